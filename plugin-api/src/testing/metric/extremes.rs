//! Tests of metrics with unusual numbers, shapes and batches.

use super::{
    super::{
        data::{Batch, ROWS},
        example_batches::NEEDS_Y_TRUE_AND_Y_PRED,
        report::Report,
        tested::Tested,
    },
    best_of, can_be_guessed, each, each_choice, expect,
};
use plugfit_abi as abi;

/// The failure if a rejected batch changes the state.
const KEEPS: &str = "keeps something of a batch that it refuses";

pub(super) fn odd(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        if !can_be_guessed(&ready.info) {
            return report.skip(NEEDS_Y_TRUE_AND_Y_PRED);
        }
        for (what, batch) in ready.batch.odd() {
            for mut state in [ready.new_state()?, ready.of(&[(&ready.batch, None)])?] {
                let before = state.bytes()?;
                let updated = state.update(&batch, None);
                let refused = updated.is_err();
                match updated.and_then(|()| state.result()) {
                    Err(error) if error.kind() == abi::ERROR_PANIC => {
                        report.error(format!("where {what}"), &error);
                        return Ok(());
                    }
                    _ if refused => report.check(state.bytes()? == before, || format!("{KEEPS}, where {what}")),
                    _ => {}
                }
            }
        }
        Ok(())
    });
}

/// Checks that the truth with NaN in all rows but the first is worse than the truth. A metric that skips NaN, or loses
/// it in a comparison, still returns the best result. One that counts NaN as a class or a miss passes, because that
/// looks like a wrong prediction.
pub(super) fn nan(tested: &Tested<'_>, report: &mut Report) {
    each_choice(tested, report, |ready, report| {
        let Some((sign, truth)) = best_of(ready, report) else { return Ok(()) };
        let (best_kind, best) = ready.of(&[(&truth, None)])?.result()?;
        let (_, guess) = ready.of(&[(&ready.batch, None)])?.result()?;
        let updated = ready.of(&[(&truth.without_predictions(|row| row > 0), None)]);
        let (kind, found) = match updated.and_then(|state| state.result()) {
            Ok(found) => found,
            // If it is a panic, another test reports it.
            Err(_) => return Ok(()),
        };
        if kind != best_kind || ![abi::RESULT_SCALAR, abi::RESULT_ARRAY].contains(&kind) || found.len() != best.len() {
            return Ok(());
        }
        let is_good = |((best, guess), found): &((&f64, &f64), &f64)| {
            let matters = sign * (**best - **guess) > 1e-6 * (1.0 + guess.abs());
            matters && sign * (**found - **best) >= -1e-6 * (1.0 + best.abs())
        };
        if let Some(((best, _), found)) = best.iter().zip(&guess).zip(&found).find(is_good) {
            report.fail(format!(
                "gives {found} for predictions that are NaN in all rows but one, and {best} for the truth: NaN gives NaN, or is refused"
            ));
        }
        Ok(())
    });
}

pub(super) fn shapes(tested: &Tested<'_>, report: &mut Report) {
    each_choice(tested, report, |ready, report| {
        if ready.info.inputs != ["y_true", "y_pred"] {
            if !can_be_guessed(&ready.info) {
                report.note(NEEDS_Y_TRUE_AND_Y_PRED);
            }
            return Ok(());
        }
        let wrong = Batch { y_true: ready.batch.y_true.rows(0..5), ..ready.batch.picked(0..ROWS) };
        let (y_true, y_pred) = (wrong.y_true.shape(), wrong.y_pred.shape());
        let mut merged = ready.new_state()?;
        merged.merge(&ready.new_state()?)?;
        for mut state in [ready.of(&[(&ready.batch.rows(0, 5), None)])?, ready.new_state()?, merged] {
            let before = state.bytes()?;
            match state.update(&wrong, None) {
                Ok(()) => report.fail(format!("takes y_true of the shape {y_true:?} with y_pred of {y_pred:?}")),
                Err(error) if error.kind() == abi::ERROR_PANIC => {
                    report.error(format!("with y_true of the shape {y_true:?} and y_pred of {y_pred:?}"), &error);
                }
                Err(_) => report.check(state.bytes()? == before, || KEEPS.into()),
            }
        }
        Ok(())
    });
}

pub(super) fn empty(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        let mut state = ready.of(&[(&ready.batch, None)])?;
        let before = state.result()?;
        match state.update(&ready.batch.rows(0, 0), None) {
            Ok(()) => expect(report, "a batch without rows came last", &state.result()?, &before),
            Err(error) if error.kind() == abi::ERROR_INPUT => {}
            Err(error) => report.error("fails with no rows", &error),
        }
        if !ready.takes_no_columns {
            return Ok(());
        }
        let none = ready.batch.without_columns();
        if let Some(error) = ready.of(&[(&none, None)]).err().filter(|error| error.kind() == abi::ERROR_PANIC) {
            report.error("with no columns", &error);
        }
        Ok(())
    });
}
