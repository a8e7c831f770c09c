//! Tests of losses with unusual numbers and shapes.

use super::{
    super::{
        data::{Array, Batch, ROWS},
        example_batches::NEEDS_Y_TRUE_AND_Y_PRED,
        report::{describe_error, Report},
        tested::{or_report, Tested},
    },
    each_usual, ready, ready_unless_refused, Ready, PAST_REGISTERS, USUAL,
};
use crate::loss::Targets;
use plugfit_abi as abi;

pub(super) fn finite(tested: &Tested<'_>, report: &mut Report) {
    each_usual(tested, report, |ready, report| {
        let Ready { info, batch, .. } = ready;
        let cells = batch.y_pred.len();
        let all = |number: f64| batch.y_pred.with(vec![number; cells]);
        let mut edges = vec![("all 1", all(1.0)), ("all one number", all(0.5))];
        if matches!(info.targets, Some(Targets::Categorical | Targets::Sparse)) {
            // A row of zeros isn't a distribution, but a one-hot row is.
            let columns = *batch.y_pred.shape().last().unwrap_or(&1) as usize;
            let one_hot = (0..cells).map(|i| f64::from(u8::from(i % columns == (i / columns) % columns))).collect();
            edges.push(("sure of one class", batch.y_pred.with(one_hot)));
        } else {
            edges.push(("all 0", all(0.0)));
        }
        if info.from_logits {
            let huge = (0..cells).map(|i| if i % 3 == 0 { 1e30 } else { -1e30 }).collect();
            edges.push(("1e30 and -1e30", batch.y_pred.with(huge)));
        }
        if let Some(truth) = batch.truth() {
            edges.push(("y_true itself", truth.y_pred));
        }
        for (what, y_pred) in edges {
            let edge = batch.predicting(y_pred);
            match ready.call(&edge) {
                Ok(output) => {
                    let non_finite = |numbers: &[f32]| numbers.iter().find(|number| !number.is_finite()).copied();
                    if let Some(number) = non_finite(&output.values) {
                        report.fail(format!("gives {number} where y_pred is {what}"));
                    }
                    // A derivative may be infinite, such as that of a square root at 0.
                    if let Some(number) = non_finite(&output.gradient).filter(|number| number.is_nan()) {
                        report.fail(format!("gives the derivative {number} where y_pred is {what}"));
                    }
                }
                Err(error) => report.fail(format!("fails where y_pred is {what}: {}", describe_error(&error))),
            }
        }
    });
    finite_for_every_largest_logit(tested, report);
}

/// Checks logits whose maximum is at each place in turn: a softmax must subtract it before exponentiation.
fn finite_for_every_largest_logit(tested: &Tested<'_>, report: &mut Report) {
    tested.each(report, |config, report| {
        let Some(ready) = ready_unless_refused(tested, config, PAST_REGISTERS, report) else { return };
        let columns = PAST_REGISTERS as i64;
        if ready.info.inputs != USUAL || !ready.info.from_logits || ready.batch.y_pred.shape() != [ROWS as i64, columns]
        {
            return;
        }
        let batch = ready.batch.picked((0..PAST_REGISTERS).map(|row| row % ROWS));
        let cells = 0..PAST_REGISTERS * PAST_REGISTERS;
        let sure = cells.map(|i| if i % PAST_REGISTERS == i / PAST_REGISTERS { 1e30 } else { 0.0 }).collect();
        let Ok(values) = ready.values(&batch.predicting(batch.y_pred.with(sure))) else { return };
        if let Some(column) = values.iter().position(|value| !value.is_finite()) {
            report.fail(format!("gives {} where of {columns} logits only number {column} is 1e30", values[column]));
        }
    });
}

/// Prepares the loss with the first configuration, or returns `None` if it has other inputs or can't be called.
fn usual(tested: &Tested<'_>, report: &mut Report) -> Option<Ready> {
    let ready = ready(tested, &tested.config()?, tested.columns(), report)?;
    let is_usual = ready.info.inputs == USUAL;
    if !is_usual {
        report.note(NEEDS_Y_TRUE_AND_Y_PRED);
    }
    is_usual.then_some(ready)
}

pub(super) fn truth(tested: &Tested<'_>, report: &mut Report) {
    let Some(ready) = usual(tested, report) else { return };
    if !ready.info.least_at_truth {
        return report.note("as it declares: its least value isn't at the truth");
    }
    let truth = ready.batch.truth().filter(|_| !ready.info.from_logits);
    let Some(truth) = truth else { return };
    let Some(best) = or_report(report, "fails at the truth", ready.values(&truth)) else { return };
    for share in [1.0, 0.5, 0.05] {
        let moved = |(truth, pred): (&f64, &f64)| truth + share * (pred - truth);
        let pairs = ready.batch.y_true.numbers().iter().zip(ready.batch.y_pred.numbers());
        let away = truth.predicting(truth.y_pred.with(pairs.map(moved).collect()));
        let Some(values) = or_report(report, "fails", ready.values(&away)) else { return };
        let better = values.iter().zip(&best).position(|(value, best)| value < &(best - 1e-5 * (1.0 + best.abs())));
        if let Some(row) = better {
            report.fail(format!(
                "gives {} for value {row} of predictions that are wrong, and {} where they are right (a loss may declare least_at_truth: false)",
                values[row], best[row]
            ));
            break;
        }
    }
    ready.save_arrays(report);
}

pub(super) fn odd(tested: &Tested<'_>, report: &mut Report) {
    each_usual(tested, report, |ready, report| {
        for (what, batch) in ready.batch.odd() {
            match ready.call(&batch) {
                Err(error) if error.kind() == abi::ERROR_PANIC => {
                    return report.error(format!("where {what}"), &error);
                }
                _ => {}
            }
        }
    });
}

pub(super) fn shapes(tested: &Tested<'_>, report: &mut Report) {
    let Some(ready) = usual(tested, report) else { return };
    let batch = &ready.batch;
    let cut = |array: &Array| {
        let mut shape: Vec<usize> = array.shape().iter().map(|&length| length as usize).collect();
        let last = shape.len() - 1;
        shape[last] -= 1;
        let count = shape.iter().product();
        Array::new(&shape, array.numbers()[..count].to_vec())
    };
    let mut wrong = vec![Batch { y_true: batch.y_true.rows(0..5), ..batch.picked(0..12) }];
    if batch.y_true.shape() == batch.y_pred.shape() {
        wrong.push(Batch { y_true: cut(&batch.y_true), ..batch.picked(0..12) });
    }
    for batch in wrong {
        let (y_true, y_pred) = (batch.y_true.shape(), batch.y_pred.shape());
        match ready.call(&batch) {
            Ok(_) => report.fail(format!("takes y_true of the shape {y_true:?} with y_pred of {y_pred:?}")),
            Err(error) if error.kind() == abi::ERROR_PANIC => {
                report.error(format!("with y_true of the shape {y_true:?} and y_pred of {y_pred:?}"), &error);
            }
            Err(_) => {}
        }
    }
}

pub(super) fn empty(tested: &Tested<'_>, report: &mut Report) {
    each_usual(tested, report, |ready, report| {
        match ready.values(&ready.batch.rows(0, 0)) {
            Ok(values) => report
                .check(values.is_empty() || !ready.has_rows(), || format!("gives {} values for no rows", values.len())),
            Err(error) if error.kind() == abi::ERROR_INPUT => {}
            Err(error) => report.error("fails with no rows", &error),
        }
        if !ready.takes_no_columns {
            return;
        }
        let none = ready.batch.without_columns();
        if let Err(error) = ready.call(&none) {
            if error.kind() == abi::ERROR_PANIC {
                report.error("with no columns", &error);
            }
        }
    });
}
