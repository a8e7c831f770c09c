//! What holds for metrics.

use super::{
    data::{batches, weights, Array, Batch, ROWS},
    made::{back, with_raw, Made},
    Findings,
};
use crate::{metric::MetricInfo, Result};
use plugfit_abi::{self as abi, abi_stable::std_types::RSlice, Handle};

/// What a metric has seen.
struct State<'m> {
    metric: &'m Made<abi::MetricV1>,
    info: &'m MetricInfo,
    state: Handle,
}

impl Drop for State<'_> {
    fn drop(&mut self) {
        // SAFETY: given back once.
        unsafe { (self.metric.table.release_state)(self.state) }
    }
}

impl<'m> State<'m> {
    fn new(metric: &'m Made<abi::MetricV1>, info: &'m MetricInfo) -> Result<Self> {
        // SAFETY: the handles belong to this table; so below.
        let state = back(unsafe { (metric.table.new_state)(metric.handle, &metric.host()) })?;
        Ok(State { metric, info, state })
    }

    fn of(metric: &'m Made<abi::MetricV1>, info: &'m MetricInfo, parts: &[(&Batch, Option<&Array>)]) -> Result<Self> {
        let mut state = State::new(metric, info)?;
        parts.iter().try_for_each(|(batch, weight)| state.update(batch, *weight))?;
        Ok(state)
    }

    fn update(&mut self, batch: &Batch, weight: Option<&Array>) -> Result<()> {
        let table = self.metric.table;
        batch.with_inputs(&self.info.inputs, &self.info.dtypes, weight, |inputs| {
            // SAFETY: as above.
            with_raw(inputs, |raw| {
                back(unsafe { (table.update)(self.metric.handle, &self.metric.host(), self.state, raw) })
            })
        })
    }

    fn merge(&mut self, other: &State<'_>) -> Result<()> {
        // SAFETY: as above.
        back(unsafe { (self.metric.table.merge)(self.metric.handle, &self.metric.host(), self.state, other.state) })
    }

    fn reset(&mut self) -> Result<()> {
        // SAFETY: as above.
        back(unsafe { (self.metric.table.reset)(self.metric.handle, &self.metric.host(), self.state) })
    }

    fn copy(&self) -> Result<State<'m>> {
        // SAFETY: as above.
        let state = back(unsafe { (self.metric.table.clone_state)(self.metric.handle, self.state) })?;
        Ok(State { state, ..*self })
    }

    fn saved(&self) -> Result<abi::SavedState> {
        // SAFETY: as above.
        back(unsafe { (self.metric.table.save)(self.metric.handle, self.state) })
    }

    fn loaded(&self, saved: &abi::SavedState) -> Result<State<'m>> {
        let bytes = RSlice::from_slice(&saved.bytes);
        // SAFETY: as above.
        let state =
            back(unsafe { (self.metric.table.load)(self.metric.handle, &self.metric.host(), saved.version, bytes) })?;
        Ok(State { metric: self.metric, info: self.info, state })
    }

    /// The kind of the result, and its numbers.
    fn result(&self) -> Result<(u32, Vec<f64>)> {
        // SAFETY: as above.
        let result = back(unsafe { (self.metric.table.result)(self.metric.handle, &self.metric.host(), self.state) })?;
        Ok((result.kind, result.values.into()))
    }
}

pub fn check(made: &Made<abi::MetricV1>, findings: &mut Findings) {
    let info: MetricInfo = match made.info().map(serde_json::from_value) {
        Ok(Ok(info)) => info,
        Ok(Err(error)) => return findings.add(format!("describes itself wrongly: {error}")),
        Err(error) => return findings.add(format!("can't describe itself: {}", error.message())),
    };
    for (holds, what) in [
        (info.rows_independent, "a batch split between rows gives another result"),
        (info.zero_weight_is_absent, "rows of weight 0 count"),
        (info.bounded_state, "the state grows with the rows"),
    ] {
        findings.exception(holds, what);
    }
    if let Err(error) = State::new(made, &info).and_then(|state| state.result()) {
        findings.add(format!("fails before anything was seen: {}", error.message()));
    }
    if info.inputs != ["y_true", "y_pred"] && info.inputs != ["values"] {
        return; // Only its author knows what these must be.
    }
    let mut last = None;
    for batch in batches(None) {
        match State::of(made, &info, &[(&batch, None)]).and_then(|state| state.result()) {
            Ok((_, values)) => {
                findings.that(values.iter().all(|value| value.is_finite()), || format!("gives {values:?}"));
                if let Err(error) = laws(made, &info, &batch, findings) {
                    findings.add(format!("fails: {}", error.message()));
                }
                return;
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.map(|error| error.message().to_owned()).unwrap_or_default();
    findings.add(format!("takes no batch of y_true and y_pred: {error}"));
}

fn same(a: &(u32, Vec<f64>), b: &(u32, Vec<f64>)) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()) || a.is_nan() && b.is_nan();
    a.0 == b.0 && a.1.len() == b.1.len() && a.1.iter().zip(&b.1).all(near)
}

fn laws(made: &Made<abi::MetricV1>, info: &MetricInfo, batch: &Batch, findings: &mut Findings) -> Result<()> {
    let (first, second) = (batch.rows(0, 5), batch.rows(5, ROWS));
    let whole = State::of(made, info, &[(batch, None)])?;
    let parts = State::of(made, info, &[(&first, None), (&second, None)])?;
    let expected = if info.rows_independent { whole.result()? } else { parts.result()? };
    let mut law = |holds: bool, what: &str| findings.that(holds, || what.to_owned());
    if info.rows_independent {
        law(same(&parts.result()?, &expected), "gives another result where a batch is split");
        let rows: Vec<Batch> = (0..ROWS).map(|row| batch.rows(row, row + 1)).collect();
        let one_by_one: Vec<(&Batch, Option<&Array>)> = rows.iter().map(|row| (row, None)).collect();
        let rows = State::of(made, info, &one_by_one)?;
        law(same(&rows.result()?, &expected), "gives another result where rows come one by one");
        let mut backwards = State::new(made, info)?;
        for row in one_by_one.iter().rev() {
            backwards.merge(&State::of(made, info, &[*row])?)?;
        }
        law(same(&backwards.result()?, &expected), "gives another result where rows are merged backwards");
    }
    let mut merged = State::of(made, info, &[(&first, None)])?;
    merged.merge(&State::of(made, info, &[(&second, None)])?)?;
    law(same(&merged.result()?, &expected), "gives another result where states are merged");
    merged.merge(&State::new(made, info)?)?;
    law(same(&merged.result()?, &expected), "changes its result when a state that saw nothing is merged");

    let half = State::of(made, info, &[(&first, None)])?;
    let saved = half.saved()?;
    let mut loaded = half.loaded(&saved)?;
    law(loaded.saved()?.bytes == saved.bytes, "saves another state than it loaded");
    loaded.update(&second, None)?;
    law(
        loaded.result()? == parts.result()?,
        "doesn't go on from a saved state as if nothing had happened, bit for bit",
    );
    let cut = &saved.bytes[..saved.bytes.len() / 2];
    let cut = abi::SavedState { version: saved.version, bytes: cut.iter().copied().collect() };
    law(saved.bytes.is_empty() || half.loaded(&cut).is_err(), "loads a state that is cut short");

    let mut copy = half.copy()?;
    copy.update(&second, None)?;
    law(half.saved()?.bytes == saved.bytes, "changes a state through its copy");
    copy.reset()?;
    law(copy.saved()?.bytes == State::new(made, info)?.saved()?.bytes, "keeps something through a reset");

    let ones = weights(std::iter::repeat_n(1.0, ROWS));
    let weighted = State::of(made, info, &[(batch, Some(&ones))])?;
    law(same(&weighted.result()?, &whole.result()?), "gives another result where all weights are 1");
    if info.zero_weight_is_absent {
        let mask = weights((0..ROWS).map(|row| if row < 5 { 1.0 } else { 0.0 }));
        let masked = State::of(made, info, &[(batch, Some(&mask))])?;
        let ones = weights(std::iter::repeat_n(1.0, 5));
        let absent = State::of(made, info, &[(&first, Some(&ones))])?;
        law(same(&masked.result()?, &absent.result()?), "counts rows of weight 0, and says that it doesn't");
    }
    Ok(())
}
