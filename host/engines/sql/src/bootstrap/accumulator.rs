//! The accumulator of a query without groups.

use std::sync::{Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::groups::BootstrapGroups;

/// The accumulator of a query without groups: one group.
pub struct BootstrapAccumulator {
    /// The groups are used by one thread at a time; DataFusion also wants them to be `Sync`.
    groups: Mutex<BootstrapGroups>,
}

impl BootstrapAccumulator {
    /// Creates the accumulator of a metric without groups yet.
    pub fn new(groups: BootstrapGroups) -> Self {
        BootstrapAccumulator { groups: Mutex::new(groups) }
    }

    fn groups(&mut self) -> &mut BootstrapGroups {
        self.groups.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for BootstrapAccumulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootstrapAccumulator").finish_non_exhaustive()
    }
}

impl Accumulator for BootstrapAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |array| array.len());
        self.groups().update_batch(values, &vec![0; rows], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let groups = self.groups();
        groups.grow(1).map_err(|error| groups.named(error))?;
        let results = groups.evaluate(EmitTo::All)?;
        ScalarValue::try_from_array(&results, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.lock().unwrap_or_else(PoisonError::into_inner).size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let groups = self.groups();
        groups.grow(1).map_err(|error| groups.named(error))?;
        groups.state(EmitTo::All)?.iter().map(|states| ScalarValue::try_from_array(states, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let count = states.first().map_or(0, |array| array.len());
        self.groups().merge_batch(states, &vec![0; count], 1)
    }
}
