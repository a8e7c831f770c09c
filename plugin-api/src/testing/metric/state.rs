//! The state of a metric, used through the functions that a host calls.
//!
//! Only an update receives inputs. If another call returns an error about inputs, it gets another kind, so that the
//! tests don't mistake it for a rejected batch.

use super::super::{
    data::{Array, Batch},
    instance::Instance,
};
use crate::{error::into_result, metric::MetricInfo, Error, Inputs, Result};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RSlice},
    Handle,
};

/// A state of a metric, released on drop.
pub struct State<'m> {
    metric: &'m Instance<abi::MetricV1>,
    info: &'m MetricInfo,
    pub(super) state: Handle,
}

impl Drop for State<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to the table, and it is released once.
        unsafe { (self.metric.table.release_state)(self.state) }
    }
}

/// Converts the result of a call without inputs.
fn without_inputs<T>(result: RResult<T, abi::Error>) -> Result<T> {
    into_result(result).map_err(not_about_inputs)
}

/// Changes the kind of an error about inputs.
fn not_about_inputs(error: Error) -> Error {
    match error.kind() {
        abi::ERROR_INPUT => Error::other(error.message()),
        _ => error,
    }
}

/// The kind of a result and its numbers.
pub(super) type Found = (u32, Vec<f64>);

impl<'m> State<'m> {
    /// Creates a new state.
    pub fn new(metric: &'m Instance<abi::MetricV1>, info: &'m MetricInfo) -> Result<Self> {
        // SAFETY: the handle belongs to the table.
        let state = without_inputs(unsafe { (metric.table.new_state)(metric.handle, &metric.host) })?;
        match state.pointer.is_null() {
            true => Err(Error::other("returned no state, and no error")),
            false => Ok(State { metric, info, state }),
        }
    }

    /// Creates a state and updates it with these batches and weights.
    pub(super) fn of(
        metric: &'m Instance<abi::MetricV1>,
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
        // SAFETY: the handles belong to the table.
        metric.with_raw(inputs, |raw| {
            into_result(unsafe { (metric.table.update)(metric.handle, &metric.host, self.state, raw) })
        })
    }

    pub(super) fn merge(&mut self, other: &State<'_>) -> Result<()> {
        // SAFETY: the handles belong to the table.
        without_inputs(unsafe {
            (self.metric.table.merge)(self.metric.handle, &self.metric.host, self.state, other.state)
        })
    }

    pub(super) fn reset(&mut self) -> Result<()> {
        // SAFETY: the handles belong to the table.
        without_inputs(unsafe { (self.metric.table.reset)(self.metric.handle, &self.metric.host, self.state) })
    }

    pub(super) fn copy(&self) -> Result<State<'m>> {
        // SAFETY: the handles belong to the table.
        let state = without_inputs(unsafe { (self.metric.table.clone_state)(self.metric.handle, self.state) })?;
        Ok(State { state, ..*self })
    }

    pub(super) fn saved(&self) -> Result<abi::SavedState> {
        // SAFETY: the handles belong to the table.
        without_inputs(unsafe { (self.metric.table.save)(self.metric.handle, self.state) })
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        Ok(self.saved()?.bytes.into())
    }

    pub(super) fn loaded(&self, saved: &abi::SavedState) -> Result<State<'m>> {
        let (metric, bytes) = (self.metric, RSlice::from_slice(&saved.bytes));
        // SAFETY: the handles belong to the table.
        let state = without_inputs(unsafe { (metric.table.load)(metric.handle, &metric.host, saved.version, bytes) })?;
        Ok(State { metric, info: self.info, state })
    }

    pub fn raw_result(&self) -> Result<abi::MetricResult> {
        // SAFETY: the handles belong to the table.
        into_result(unsafe { (self.metric.table.result)(self.metric.handle, &self.metric.host, self.state) })
    }

    pub(super) fn whole_result(&self) -> Result<abi::MetricResult> {
        self.raw_result().map_err(not_about_inputs)
    }

    pub(super) fn result(&self) -> Result<Found> {
        let result = self.whole_result()?;
        Ok((result.kind, result.values.into()))
    }
}
