//! The accumulator of a query without groups, and of windows.

use std::sync::{Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;
use plugfit::component::Metric;

use crate::columns;
use crate::error::from_plugfit;
use crate::form::Form;
use crate::memory::Memory;
use crate::rows::Arguments;

/// A metric that accumulates all rows.
#[derive(Debug)]
pub struct MetricAccumulator {
    /// The state is used by one thread at a time; DataFusion also wants it to be `Sync`.
    metric: Mutex<Metric>,
    /// Whether the state has seen no data.
    fresh: bool,
    arguments: Arguments,
    /// The number of arguments before those of the metric.
    leading: usize,
    memory: Memory,
    label: String,
    form: Form,
}

impl MetricAccumulator {
    /// Creates the accumulator of a function with `count` arguments, of which the first `leading` aren't the metric's.
    /// Errors call it `label`.
    ///
    /// # Errors
    /// Returns an error if the metric takes another number of arguments.
    pub fn new(metric: Metric, leading: usize, count: usize, label: String, form: Form) -> plugfit::Result<Self> {
        let arguments = Arguments::new(&metric, count - leading.min(count))?;
        let memory = Memory::new(&metric);
        Ok(MetricAccumulator { metric: Mutex::new(metric), fresh: true, arguments, leading, memory, label, form })
    }

    fn metric(&mut self) -> &mut Metric {
        self.metric.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accumulator for MetricAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let MetricAccumulator { metric, fresh, arguments, leading, memory, label, .. } = self;
        let metric = metric.get_mut().unwrap_or_else(PoisonError::into_inner);
        let arrays = values.get(*leading..).unwrap_or_default();
        if arrays.first().is_none_or(|array| array.is_empty()) {
            return Ok(());
        }
        let updated = arguments.with_rows(arrays, None, |rows| {
            rows.update(metric, 0..rows.count())?;
            memory.measure(metric, rows.count(), rows.row_bytes());
            *fresh = false;
            Ok(())
        });
        updated.map_err(|error| from_plugfit(error.with("in", label.clone())))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let form = self.form;
        let result = columns::result(self.metric(), form);
        result.map_err(|error| from_plugfit(error.with("in", self.label.clone())))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.memory.size(1) + self.arguments.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::LargeBinary(Some(self.metric().get_state().map_err(from_plugfit)?))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let MetricAccumulator { metric, fresh, memory, label, .. } = self;
        let metric = metric.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(states) = states.first().and_then(|states| states.as_binary_opt::<i64>()) else { return Ok(()) };
        let mut merge = |bytes: &[u8]| -> plugfit::Result<()> {
            if std::mem::take(fresh) {
                metric.set_state(bytes)?;
            } else {
                let mut other = metric.with_new_state()?;
                other.set_state(bytes)?;
                metric.merge_state(&other)?;
            }
            memory.add_state(bytes.len());
            Ok(())
        };
        let merged = states.iter().flatten().try_for_each(&mut merge);
        merged.map_err(|error| from_plugfit(error.with("in", label.clone())))
    }
}
