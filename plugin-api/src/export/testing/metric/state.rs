//! A metric's state, called as a host calls it.
//!
//! Only an update is given inputs. An error of inputs from another call is made one of another kind, so that it isn't taken for a batch
//! which the metric isn't for.

use super::super::{
    data::{Array, Batch},
    made::{back, Made},
};
use crate::{metric::MetricInfo, Error, Inputs, Result};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RSlice},
    Handle,
};

/// What a metric has seen, by way of its table.
pub struct State<'m> {
    metric: &'m Made<abi::MetricV1>,
    info: &'m MetricInfo,
    pub(super) state: Handle,
}

impl Drop for State<'_> {
    fn drop(&mut self) {
        // SAFETY: given back once.
        unsafe { (self.metric.table.release_state)(self.state) }
    }
}

/// What a call gave that has no inputs to refuse.
fn without_inputs<T>(result: RResult<T, abi::Error>) -> Result<T> {
    back(result).map_err(of_no_inputs)
}

fn of_no_inputs(error: Error) -> Error {
    match error.kind() {
        abi::ERROR_INPUT => Error::other(error.message()),
        _ => error,
    }
}

/// The kind of a result, and its numbers.
pub(super) type Found = (u32, Vec<f64>);

impl<'m> State<'m> {
    pub fn new(metric: &'m Made<abi::MetricV1>, info: &'m MetricInfo) -> Result<Self> {
        // SAFETY: the handles belong to this table; so below.
        let state = without_inputs(unsafe { (metric.table.new_state)(metric.handle, &metric.host) })?;
        match state.pointer.is_null() {
            true => Err(Error::other("gave no state, and no error")),
            false => Ok(State { metric, info, state }),
        }
    }

    pub(super) fn of(
        metric: &'m Made<abi::MetricV1>,
        info: &'m MetricInfo,
        parts: &[(&Batch, Option<&Array>)],
    ) -> Result<Self> {
        let mut state = State::new(metric, info)?;
        parts.iter().try_for_each(|(batch, weight)| state.update(batch, *weight))?;
        Ok(state)
    }

    pub(super) fn update(&mut self, batch: &Batch, weight: Option<&Array>) -> Result<()> {
        let info = self.info;
        batch.with_inputs(&info.inputs, &info.dtypes, weight, |inputs| self.update_with(inputs))
    }

    pub fn update_with(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        let metric = self.metric;
        // SAFETY: as above.
        metric.with_raw(inputs, |raw| {
            back(unsafe { (metric.table.update)(metric.handle, &metric.host, self.state, raw) })
        })
    }

    pub(super) fn merge(&mut self, other: &State<'_>) -> Result<()> {
        // SAFETY: as above.
        without_inputs(unsafe {
            (self.metric.table.merge)(self.metric.handle, &self.metric.host, self.state, other.state)
        })
    }

    pub(super) fn reset(&mut self) -> Result<()> {
        // SAFETY: as above.
        without_inputs(unsafe { (self.metric.table.reset)(self.metric.handle, &self.metric.host, self.state) })
    }

    pub(super) fn copy(&self) -> Result<State<'m>> {
        // SAFETY: as above.
        let state = without_inputs(unsafe { (self.metric.table.clone_state)(self.metric.handle, self.state) })?;
        Ok(State { state, ..*self })
    }

    pub(super) fn saved(&self) -> Result<abi::SavedState> {
        // SAFETY: as above.
        without_inputs(unsafe { (self.metric.table.save)(self.metric.handle, self.state) })
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        Ok(self.saved()?.bytes.into())
    }

    pub(super) fn loaded(&self, saved: &abi::SavedState) -> Result<State<'m>> {
        let (metric, bytes) = (self.metric, RSlice::from_slice(&saved.bytes));
        // SAFETY: as above.
        let state = without_inputs(unsafe { (metric.table.load)(metric.handle, &metric.host, saved.version, bytes) })?;
        Ok(State { metric, info: self.info, state })
    }

    pub fn raw_result(&self) -> Result<abi::MetricResult> {
        // SAFETY: as above.
        back(unsafe { (self.metric.table.result)(self.metric.handle, &self.metric.host, self.state) })
    }

    pub(super) fn whole_result(&self) -> Result<abi::MetricResult> {
        self.raw_result().map_err(of_no_inputs)
    }

    pub(super) fn result(&self) -> Result<Found> {
        let result = self.whole_result()?;
        Ok((result.kind, result.values.into()))
    }
}
