//! The memory of metrics' states.

use plugfit::component::Metric;

/// An estimate of the memory of a metric's states. A plug-in doesn't tell how much it allocates, but how long a saved
/// state is.
#[derive(Debug)]
pub struct Memory {
    /// The size of a state that doesn't depend on the number of rows.
    fixed: usize,
    bounded: bool,
    measured: bool,
    /// What rows have added to the states that keep them.
    kept: usize,
}

/// What a metric takes besides its state.
const OVERHEAD: usize = size_of::<Metric>() + 256;

impl Memory {
    pub fn new(metric: &Metric) -> Self {
        let saved = metric.get_state().map_or(0, |state| state.len());
        Memory { fixed: OVERHEAD + saved, bounded: metric.info().bounded_state, measured: false, kept: 0 }
    }

    /// Accounts for rows that a metric has seen.
    pub fn measure(&mut self, metric: &Metric, rows: usize, row_bytes: usize) {
        if !self.bounded {
            // The plug-in may convert rows to float64, and its memory grows by doubling.
            self.kept += rows * row_bytes * 3 / 2;
        } else if !self.measured {
            // The size of a state may depend on the number of classes, which the first rows show.
            self.measured = true;
            self.fixed = self.fixed.max(OVERHEAD + metric.get_state().map_or(0, |state| state.len()));
        }
    }

    /// Accounts for a saved state that was merged.
    pub fn add_state(&mut self, length: usize) {
        match self.bounded {
            true => self.fixed = self.fixed.max(OVERHEAD + length),
            false => self.kept += length * 3 / 2,
        }
    }

    /// Accounts for rows that are kept beside the states.
    #[cfg(feature = "cli")]
    pub fn keep(&mut self, bytes: usize) {
        self.kept += bytes;
    }

    /// Accounts for `emitted` of `all` groups that are gone.
    pub fn remove(&mut self, emitted: usize, all: usize) {
        self.kept -= (self.kept as u128 * emitted as u128).checked_div(all as u128).unwrap_or(0) as usize;
    }

    /// Returns the size of all states.
    pub fn size(&self, groups: usize) -> usize {
        groups * self.fixed + self.kept
    }
}
