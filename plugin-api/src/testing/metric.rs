//! Tests for metrics.

mod extremes;
mod formula;
mod state;
mod state_laws;

use state::Found;
pub use state::State;

use super::{
    data::{fitting, weights, Array, Batch, Random, ROWS},
    example_batches::{self, ExampleBatch, NEEDS_Y_TRUE_AND_Y_PRED},
    instance::Instance,
    report::Report,
    tested::{or_report, Extent, Tested, Tests},
};
use crate::{
    metric::{Direction, MetricInfo},
    Result,
};
use plugfit_abi as abi;

pub const TESTS: Tests = &[
    ("split", "a batch may be split anywhere between its rows, in any order", split),
    ("merge", "states merge to the same result in any order and grouping", state_laws::merge),
    ("reset", "a reset state equals a new one, and a copy is independent", state_laws::reset),
    ("saved", "a saved and loaded state continues with the same bits", state_laws::saved),
    ("zero_weight", "a row of weight 0 is ignored, unless the metric declares that it counts", zero_weight),
    ("formula", "the formula computes the same result", formula::same_as_native),
    ("direction", "no predictions are better than the truth, by the declared direction", direction),
    ("defined", "a result consists of finite numbers or is undefined", defined),
    ("odd", "no number makes it panic or keep part of a refused batch: NaN, infinity, an unknown class", extremes::odd),
    ("nan", "predictions that are NaN aren't as good as the truth", extremes::nan),
    ("shapes", "inputs whose shapes don't match are refused, and don't change the state", extremes::shapes),
    ("empty", "a batch without rows changes nothing, and one without columns doesn't make it panic", extremes::empty),
    (
        "bounded",
        "the state's size doesn't grow with the rows, unless the metric declares that it does",
        state_laws::bounded,
    ),
    (super::ALLOCATION, "an update allocates no memory after the first ones", state_laws::allocation),
];

/// Returns whether batches for the metric can be generated.
fn can_be_guessed(info: &MetricInfo) -> bool {
    info.inputs == ["y_true", "y_pred"] || info.inputs == ["values"]
}

/// Returns a batch for the metric.
fn batch_for(
    tested: &Tested<'_>,
    config: &serde_json::Value,
    instance: &Instance<abi::MetricV1>,
    info: &MetricInfo,
) -> Result<ExampleBatch> {
    if can_be_guessed(info) {
        let batch = fitting(&tested.task(None, false, tested.columns()), "there is no batch for it", |batch| {
            let (kind, values) = State::of(instance, info, &[(batch, None)])?.result()?;
            Ok(kind != abi::RESULT_UNDEFINED && values.iter().all(|value| value.is_finite()))
        });
        return batch.map(ExampleBatch::Rows);
    }
    Ok(example_batches::batch(tested, config, &info.inputs, |rows| {
        let parts = [&rows.rows(0, 5), &rows.rows(5, ROWS), rows];
        parts.iter().try_for_each(|part| State::of(instance, info, &[(part, None)]).map(drop))
    }))
}

/// A metric that can be updated, with a batch for it.
struct Ready {
    instance: Instance<abi::MetricV1>,
    info: MetricInfo,
    batch: Batch,
    seed: u64,
    /// Whether it can be updated with a batch without columns.
    takes_no_columns: bool,
}

impl Ready {
    /// Returns a state that was updated with these batches and weights.
    fn of(&self, parts: &[(&Batch, Option<&Array>)]) -> Result<State<'_>> {
        State::of(&self.instance, &self.info, parts)
    }

    fn new_state(&self) -> Result<State<'_>> {
        State::new(&self.instance, &self.info)
    }
}

/// Runs `f` for every configuration in which the metric can be updated. An error of a call fails the test.
fn each(tested: &Tested<'_>, report: &mut Report, f: impl Fn(&Ready, &mut Report) -> Result<()>) {
    tested.each(report, |config, report| run_config(tested, config, report, &f));
    report.notes.dedup();
}

/// Does the same as [`each`] without changed numbers, which may require other inputs.
fn each_choice(tested: &Tested<'_>, report: &mut Report, f: fn(&Ready, &mut Report) -> Result<()>) {
    tested.each_choice(report, |config, report| run_config(tested, config, report, f));
    report.notes.dedup();
}

/// Creates an instance, finds a batch and runs `f`. Reports what fails.
fn run_config(
    tested: &Tested<'_>,
    config: &serde_json::Value,
    report: &mut Report,
    f: impl Fn(&Ready, &mut Report) -> Result<()>,
) {
    let Some(instance) = tested.made::<abi::MetricV1>(config, report) else { return };
    let Some(info) = or_report(report, "can't describe itself", instance.typed_info::<MetricInfo>()) else { return };
    let batch = batch_for(tested, config, &instance, &info);
    let Some(batch) = or_report(report, "takes no batch of y_true and y_pred", batch) else { return };
    let Some(batch) = batch.rows(report) else { return };
    let takes_no_columns = can_be_guessed(&info) && tested.may_have(0);
    let ready = Ready { instance, info, batch, seed: tested.subject.seed, takes_no_columns };
    match f(&ready, report) {
        // Only an update can reject inputs. The rows of the example may belong together, or the metric accepts no
        // weights.
        Err(error) if error.kind() == abi::ERROR_INPUT && !can_be_guessed(&ready.info) => {
            report.note(format!("not tried: it refuses the rows of its example in this form: {}", error.message()));
        }
        result => drop(or_report(report, "fails", result)),
    }
    report.save_arrays(&[
        ("y_true", ready.batch.y_true.shape(), ready.batch.y_true.numbers().to_vec()),
        ("y_pred", ready.batch.y_pred.shape(), ready.batch.y_pred.numbers().to_vec()),
    ]);
}

/// Returns the bits of the result and the state of a metric.
pub fn bits(
    tested: &Tested<'_>,
    config: &serde_json::Value,
    instance: &Instance<abi::MetricV1>,
    extent: Extent,
) -> Result<Vec<u64>> {
    let info: MetricInfo = instance.typed_info()?;
    let (batch, parts) = match batch_for(tested, config, instance, &info)? {
        ExampleBatch::Rows(batch) => {
            let parts = [batch.rows(0, 5), batch.rows(5, ROWS)];
            (batch, Some(parts))
        }
        ExampleBatch::Whole(batch) => (batch, None),
        ExampleBatch::Unknown => return Ok(Vec::new()),
    };
    let [first, second] = parts.as_ref().map_or([&batch, &batch], |[first, second]| [first, second]);
    let mut state = State::of(instance, &info, &[(first, None)])?;
    if extent == Extent::Thorough {
        // Not every metric accepts weights.
        let row_weights = weights((0..batch.count).map(|row| 0.5 + row as f64));
        let _ = state.update(&batch, Some(&row_weights));
        let mut copy = state.copy()?;
        copy.reset()?;
        copy.update(first, None)?;
        let saved = state.saved()?;
        state = state.loaded(&saved)?;
    }
    state.merge(&State::of(instance, &info, &[(second, None)])?)?;
    let (kind, values) = state.result()?;
    let bytes = state.bytes()?;
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let saved = bytes.chunks(8).map(word).chain([bytes.len() as u64]);
    Ok(saved.chain([u64::from(kind)]).chain(values.into_iter().map(f64::to_bits)).collect())
}

/// Compares results with a tolerance. NaN equals NaN, because another test reports it.
fn same(a: &Found, b: &Found) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()) || a.is_nan() && b.is_nan();
    a.0 == b.0 && a.1.len() == b.1.len() && a.1.iter().zip(&b.1).all(near)
}

/// Formats a result.
fn shown((kind, values): &Found) -> String {
    match (*kind, &values[..]) {
        (abi::RESULT_UNDEFINED, _) => "undefined".into(),
        (_, [one]) => one.to_string(),
        (_, all) => format!("{all:?}"),
    }
}

/// Fails unless the results are the same; `what` describes the condition of the first.
fn expect(report: &mut Report, what: &str, found: &Found, expected: &Found) {
    report
        .check(same(found, expected), || format!("gives {} where {what}, and {} else", shown(found), shown(expected)));
}

fn split(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        if !ready.info.rows_independent {
            return report.skip("as it declares: a batch split between rows gives another result");
        }
        let whole = ready.of(&[(&ready.batch, None)])?.result()?;
        let mut random = Random(ready.seed);
        let row_weights: Vec<f64> = (0..ROWS).map(|_| 0.25 + random.next()).collect();
        let weighted = ready.of(&[(&ready.batch, Some(&weights(row_weights.iter().copied())))])?.result()?;
        for _ in 0..6 {
            let mut order: Vec<usize> = (0..ROWS).collect();
            order.sort_by_key(|_| (random.next() * 1e9) as u64);
            let mut parts: Vec<Vec<usize>> = vec![Vec::new()];
            for row in order {
                if random.next() < 0.4 && !parts[parts.len() - 1].is_empty() {
                    parts.push(Vec::new());
                }
                let last = parts.len() - 1;
                parts[last].push(row);
            }
            let (mut state, mut with_weights) = (ready.new_state()?, ready.new_state()?);
            for rows in &parts {
                let batch = ready.batch.picked(rows.iter().copied());
                state.update(&batch, None)?;
                with_weights.update(&batch, Some(&weights(rows.iter().map(|&row| row_weights[row]))))?;
            }
            expect(report, &format!("rows come as {parts:?}"), &state.result()?, &whole);
            expect(report, &format!("rows with weights come as {parts:?}"), &with_weights.result()?, &weighted);
        }
        let mut one_by_one = ready.new_state()?;
        (0..ROWS).try_for_each(|row| one_by_one.update(&ready.batch.rows(row, row + 1), None))?;
        expect(report, "rows come one by one", &one_by_one.result()?, &whole);
        Ok(())
    });
}

fn zero_weight(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| {
        let whole = ready.of(&[(&ready.batch, None)])?;
        let ones = weights(std::iter::repeat_n(1.0, ROWS));
        let weighted = ready.of(&[(&ready.batch, Some(&ones))])?;
        expect(report, "all weights are 1", &weighted.result()?, &whole.result()?);
        if !ready.info.zero_weight_is_absent {
            return report.skip("as it declares: rows of weight 0 count");
        }
        for picked in [[0, 1, 2, 3, 4], [1, 3, 6, 8, 11]] {
            let mask = weights((0..ROWS).map(|row| f64::from(u8::from(picked.contains(&row))) * 0.75));
            let masked = ready.of(&[(&ready.batch, Some(&mask))])?;
            let some = weights(std::iter::repeat_n(0.75, 5));
            let absent = ready.of(&[(&ready.batch.picked(picked), Some(&some))])?;
            let what = format!("all rows but {picked:?} have the weight 0");
            expect(report, &what, &masked.result()?, &absent.result()?);
            if !can_be_guessed(&ready.info) {
                continue;
            }
            let spoiled = ready.batch.without_predictions(|row| !picked.contains(&row));
            match ready.of(&[(&spoiled, Some(&mask))]) {
                // The metric may reject the whole batch.
                Err(error) if error.kind() == abi::ERROR_INPUT => {}
                spoiled => expect(report, &format!("{what} and are NaN"), &spoiled?.result()?, &absent.result()?),
            }
        }
        Ok(())
    });
}

/// Returns the batch with the truth as predictions, if it is known.
fn truth_of(batch: &Batch) -> Option<Batch> {
    let by_id = |id: f64| (0..batch.y_pred.len() / ROWS).map(move |column| f64::from(u8::from(column as f64 == id)));
    match batch.truth() {
        Some(truth) => Some(truth),
        // The truth for a class id is its one-hot row.
        None if batch.y_true.len() == ROWS && batch.y_pred.shape().len() == 2 => {
            let one_hot = batch.y_true.numbers().iter().flat_map(|&id| by_id(id)).collect();
            Some(batch.predicting(batch.y_pred.with(one_hot)))
        }
        None => None,
    }
}

/// Returns the sign of the direction (1 if more is better, -1 if less is) and a batch that predicts the truth. Adds a
/// note if either is unknown.
fn best_of(ready: &Ready, report: &mut Report) -> Option<(f64, Batch)> {
    let truth = match can_be_guessed(&ready.info) {
        true => truth_of(&ready.batch),
        false => {
            report.note(NEEDS_Y_TRUE_AND_Y_PRED);
            return None;
        }
    };
    match (ready.info.direction, truth) {
        (Direction::Maximize, Some(truth)) => Some((1.0, truth)),
        (Direction::Minimize, Some(truth)) => Some((-1.0, truth)),
        (Direction::Neither, _) => {
            report.note("not tried: as it declares, neither way is better");
            None
        }
        (_, None) => {
            report.note("not tried: its truth isn't known");
            None
        }
    }
}

fn direction(tested: &Tested<'_>, report: &mut Report) {
    // The test of the loss handles settings that move its minimum away from the truth.
    if tested.is_also_a_loss() {
        return report.note("it is the mean of a loss, which is tried for this itself");
    }
    each(tested, report, |ready, report| {
        let Some((sign, truth)) = best_of(ready, report) else { return Ok(()) };
        let (kind, best) = ready.of(&[(&truth, None)])?.result()?;
        let (_, found) = ready.of(&[(&ready.batch, None)])?.result()?;
        let worse =
            best.iter().zip(&found).find(|(best, found)| sign * (**best - **found) < -1e-6 * (1.0 + found.abs()));
        if let (abi::RESULT_SCALAR | abi::RESULT_ARRAY, Some((best, found))) = (kind, worse) {
            let way = if sign > 0.0 { "more" } else { "less" };
            report.fail(format!("says that {way} is better, and gives {best} for the truth and {found} for a guess"));
        }
        Ok(())
    });
}

fn defined(tested: &Tested<'_>, report: &mut Report) {
    each_choice(tested, report, |ready, report| {
        for state in
            [ready.new_state()?, ready.of(&[(&ready.batch, None)])?, ready.of(&[(&ready.batch.rows(0, 1), None)])?]
        {
            let result = state.whole_result()?;
            let (count, names) = (result.values.len(), result.names.len());
            let product = result.shape.iter().product::<i64>();
            report.check(result.values.iter().all(|value| value.is_finite()), || {
                format!("gives {:?}; what can't be said is undefined, not NaN", result.values)
            });
            let fits = match result.kind {
                abi::RESULT_UNDEFINED => true,
                abi::RESULT_SCALAR => count == 1,
                abi::RESULT_ARRAY => product == count as i64,
                abi::RESULT_NAMED => names == count,
                _ => false,
            };
            report.check(fits, || {
                let what = match result.kind {
                    abi::RESULT_SCALAR => "as a single number".to_owned(),
                    abi::RESULT_ARRAY => format!("as an array of the shape {:?}", result.shape.as_slice()),
                    abi::RESULT_NAMED => format!("with {names} names"),
                    kind => format!("as a result of the unknown kind {kind}"),
                };
                format!("gives {count} numbers {what}")
            });
        }
        Ok(())
    });
}
