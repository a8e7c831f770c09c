//! The accumulator of a query without groups, and of windows.

use std::sync::{Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;

use crate::groups::MetricGroups;

/// Metrics of all rows: one group. It may be evaluated several times.
pub struct MetricAccumulator {
    /// The states are used by one thread at a time; DataFusion also wants them to be `Sync`.
    groups: Mutex<MetricGroups>,
}

impl MetricAccumulator {
    /// Creates the accumulator of metrics without groups yet.
    pub fn new(groups: MetricGroups) -> Self {
        MetricAccumulator { groups: Mutex::new(groups) }
    }

    /// Calls a function with the group.
    fn with<T>(&mut self, work: impl FnOnce(&mut MetricGroups) -> plugfit::Result<T>) -> Result<T> {
        let groups = self.groups.get_mut().unwrap_or_else(PoisonError::into_inner);
        let done = groups.grow(1).and_then(|()| work(groups));
        done.map_err(|error| groups.named(error))
    }
}

impl std::fmt::Debug for MetricAccumulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricAccumulator").finish_non_exhaustive()
    }
}

impl Accumulator for MetricAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.with(|groups| groups.update_first(values))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let results = self.with(|groups| groups.all_results())?;
        ScalarValue::try_from_array(&results, 0)
    }

    fn size(&self) -> usize {
        use datafusion::logical_expr::GroupsAccumulator;
        size_of_val(self) + self.groups.lock().unwrap_or_else(PoisonError::into_inner).size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.with(|groups| groups.all_states())?;
        Ok(vec![ScalarValue::try_from_array(&states, 0)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first() else { return Ok(()) };
        self.with(|groups| groups.merge(states, &vec![0; states.len()], 1))
    }
}
