//! Tests of a metric's state: merging, resetting, saving, and its memory.

use super::{
    super::{
        allocation::{counted, Allocations},
        data::{weights, Array, Batch, Random, ROWS},
        report::Report,
        tested::Tested,
    },
    each, expect,
    state::Found,
};
use crate::{error::into_result, Result};
use plugfit_abi as abi;

pub(super) fn merge(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        let parts = [ready.batch.rows(0, 5), ready.batch.rows(5, 6), ready.batch.rows(6, 9), ready.batch.rows(9, ROWS)];
        let in_turn: Vec<(&Batch, Option<&Array>)> = parts.iter().map(|part| (part, None)).collect();
        let expected = ready.of(&in_turn)?.result()?;
        let states = || parts.iter().map(|part| ready.of(&[(part, None)])).collect::<Result<Vec<_>>>();
        let merged = |order: &[usize]| -> Result<Found> {
            let states = states()?;
            let mut first = states[order[0]].copy()?;
            order[1..].iter().try_for_each(|&next| first.merge(&states[next]))?;
            first.result()
        };
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            expect(report, &format!("states are merged in the order {order:?}"), &merged(&order)?, &expected);
        }
        let states = states()?;
        let (mut left, mut right) = (states[0].copy()?, states[2].copy()?);
        left.merge(&states[1])?;
        right.merge(&states[3])?;
        let before = right.bytes()?;
        left.merge(&right)?;
        expect(report, "states are merged in pairs", &left.result()?, &expected);
        report.check(right.bytes()? == before, || "changes the state that is merged into another".into());
        let mut new = ready.new_state()?;
        left.merge(&new)?;
        expect(report, "a new state is merged into it", &left.result()?, &expected);
        new.merge(&left)?;
        expect(report, "it is merged into a new state", &new.result()?, &expected);
        Ok(())
    });
}

pub(super) fn reset(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        let state = ready.of(&[(&ready.batch, None)])?;
        let before = state.bytes()?;
        let mut copy = state.copy()?;
        report.check(copy.bytes()? == before, || "makes copies that aren't the same".into());
        copy.update(&ready.batch, None)?;
        report.check(state.bytes()? == before, || "changes a state through its copy".into());
        copy.reset()?;
        report.check(copy.bytes()? == ready.new_state()?.bytes()?, || "keeps something through a reset".into());
        copy.update(&ready.batch, None)?;
        report.check(copy.bytes()? == before, || "gives something else after a reset".into());
        let (first, second) = (state.result()?, state.result()?);
        let bits = |found: &Found| found.1.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        report.check(bits(&first) == bits(&second) && state.bytes()? == before, || "changes as it is read".into());
        Ok(())
    });
}

pub(super) fn saved(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        let (first, second) = (ready.batch.rows(0, 5), ready.batch.rows(5, ROWS));
        let mut half = ready.of(&[(&first, None)])?;
        let saved = half.saved()?;
        let mut loaded = half.loaded(&saved)?;
        report.check(loaded.bytes()? == saved.bytes.as_slice(), || "saves another state than it loaded".into());
        loaded.update(&second, None)?;
        half.update(&second, None)?;
        let bits = |found: Found| (found.0, found.1.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        report.check(bits(loaded.result()?) == bits(half.result()?) && loaded.bytes()? == half.bytes()?, || {
            "doesn't continue from a saved state as if nothing had happened, bit for bit".into()
        });
        let as_saved = |bytes: &[u8], version| abi::SavedState { version, bytes: bytes.iter().copied().collect() };
        for length in [saved.bytes.len() / 2, saved.bytes.len().saturating_sub(1)] {
            let cut = as_saved(&saved.bytes[..length], saved.version);
            report.check(saved.bytes.is_empty() || half.loaded(&cut).is_err(), || {
                format!("loads the first {length} bytes of a state of {}", saved.bytes.len())
            });
        }
        let later = as_saved(&saved.bytes, saved.version.wrapping_add(1_000_000));
        report.check(half.loaded(&later).is_err(), || "loads a state of a future version".into());
        // A file may contain anything. The metric may reject a damaged state but must return.
        let mut random = Random(ready.seed);
        for _ in 0..64 {
            let mut bytes = saved.bytes.to_vec();
            for byte in &mut bytes {
                if random.next() < 0.1 {
                    *byte = (random.next() * 256.0) as u8;
                }
            }
            if let Ok(mut damaged) = half.loaded(&as_saved(&bytes, saved.version)) {
                let used =
                    damaged.update(&second, None).and_then(|()| damaged.merge(&half)).and_then(|()| damaged.result());
                if let Some(error) = used.err().filter(|error| error.kind() == abi::ERROR_PANIC) {
                    report.error("takes a damaged state, and then", &error);
                    break;
                }
            }
        }
        Ok(())
    });
}

pub(super) fn bounded(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        if !ready.info.bounded_state {
            return report.skip("as it declares: the state grows with the rows");
        }
        let mut state = ready.of(&[(&ready.batch, None)])?;
        (0..8).try_for_each(|_| state.update(&ready.batch, None))?;
        let few = state.bytes()?.len();
        (0..800).try_for_each(|_| state.update(&ready.batch, None))?;
        let many = state.bytes()?.len();
        // Counts have a variable-length encoding, so allow some growth.
        report.check(many <= few * 3 / 2 + 64, || {
            format!("has a state of {few} bytes after 9 batches and of {many} after 809 (a metric may declare bounded_state: false)")
        });
        Ok(())
    });
}

pub(super) fn allocation(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        if !ready.info.bounded_state {
            return Ok(());
        }
        let weights = weights((0..ROWS).map(|row| 1.0 + row as f64));
        for weight in [None, Some(&weights)] {
            let (info, batch) = (&ready.info, &ready.batch);
            let mut state = match ready.of(&[(batch, weight), (batch, weight)]) {
                Err(error) if weight.is_some() && error.kind() == abi::ERROR_INPUT => continue,
                state => state?,
            };
            batch.with_inputs(&info.inputs, &info.dtypes, weight, |inputs| {
                let metric = &ready.instance;
                metric.with_raw(inputs, |raw| {
                    // SAFETY: the handles belong to the table.
                    let update =
                        || into_result(unsafe { (metric.table.update)(metric.handle, &metric.host, state.state, raw) });
                    let (result, allocations) = counted(|| (0..10).try_for_each(|_| update()));
                    result?;
                    let times = |count| format!("requests memory {count} times in 10 updates");
                    match allocations {
                        Allocations::Counted(0) | Allocations::FromOutside(0) => {}
                        Allocations::Counted(count) => report.fail(times(count)),
                        Allocations::FromOutside(count) => report.warn(times(count)),
                        Allocations::Unknown => {
                            report.note("not counted: `plugfit_api::testing::Counting` does, in the crate's own test");
                        }
                    }
                    state.reset()
                })
            })?;
        }
        Ok(())
    });
    report.warnings.dedup();
}
