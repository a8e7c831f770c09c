//! What holds for metrics.

mod extremes;
mod state;

use state::Found;
pub use state::State;

use super::{
    allocation::{counted, Asked},
    data::{batches, weights, Array, Batch, Random, ROWS},
    made::{back, Described, Made},
    own,
    report::Report,
    trial::{or_report, Extent, Tests, Trial},
};
use crate::{
    metric::{Direction, MetricInfo},
    Error, Result,
};
use plugfit_abi as abi;

pub const TESTS: Tests = &[
    ("split", "a batch may be split anywhere between its rows, in any order", split),
    ("merge", "states merge in any order and grouping to the same", merge),
    ("reset", "a state that was reset is as a new one, and a copy is its own", reset),
    ("saved", "a state that is saved and loaded goes on to the same bits", saved),
    ("zero_weight", "a row of weight 0 counts as if it weren't there, where it says so", zero_weight),
    ("direction", "the truth isn't worse than anything, by the direction it declares", direction),
    ("defined", "a result is of finite numbers, or undefined", defined),
    (
        "odd",
        "no number makes it panic or keep a part of a batch: NaN, infinity, a class that isn't there",
        extremes::odd,
    ),
    ("nan", "predictions that are NaN aren't as good as the truth", extremes::nan),
    ("shapes", "inputs that don't fit are refused, and leave the state as it was", extremes::shapes),
    ("empty", "a batch without rows changes nothing, and one without columns doesn't make it panic", extremes::empty),
    ("bounded", "the state's size doesn't grow with the rows, unless it declares so", bounded),
    (super::ALLOCATION, "an update asks for no memory once it is warm", allocation),
];

pub fn info(made: &Made<abi::MetricV1>) -> Result<MetricInfo> {
    serde_json::from_value(made.info()?).map_err(|error| Error::other(format!("it describes itself wrongly: {error}")))
}

fn can_be_guessed(info: &MetricInfo) -> bool {
    info.inputs == ["y_true", "y_pred"] || info.inputs == ["values"]
}

/// A batch for it.
fn batch_for(
    trial: &Trial<'_>,
    config: &serde_json::Value,
    made: &Made<abi::MetricV1>,
    info: &MetricInfo,
) -> Result<own::Found> {
    if can_be_guessed(info) {
        return fitting(trial, made, info).map(own::Found::Rows);
    }
    Ok(own::batch(trial, config, &info.inputs, |rows| {
        let parts = [&rows.rows(0, 5), &rows.rows(5, ROWS), rows];
        parts.iter().try_for_each(|part| State::of(made, info, &[(part, None)]).map(drop))
    }))
}

/// The first batch that it has a result of.
fn fitting(trial: &Trial<'_>, made: &Made<abi::MetricV1>, info: &MetricInfo) -> Result<Batch> {
    let mut refusal = Error::input("there is no batch for it");
    let mut taken = None;
    for batch in batches(&trial.task(None, false, trial.columns())) {
        match State::of(made, info, &[(&batch, None)]).and_then(|state| state.result()) {
            Ok((kind, values)) if kind != abi::RESULT_UNDEFINED && values.iter().all(|value| value.is_finite()) => {
                return Ok(batch);
            }
            Ok(_) => taken = taken.or(Some(batch)),
            Err(error) if error.kind() == abi::ERROR_PANIC => return Err(error),
            Err(error) => refusal = error,
        }
    }
    taken.ok_or(refusal)
}

/// A metric that can be updated, and a batch for it.
struct Ready {
    made: Made<abi::MetricV1>,
    info: MetricInfo,
    batch: Batch,
    seed: u64,
    /// Whether it may be given a batch without columns.
    takes_no_columns: bool,
}

impl Ready {
    fn of(&self, parts: &[(&Batch, Option<&Array>)]) -> Result<State<'_>> {
        State::of(&self.made, &self.info, parts)
    }

    fn new_state(&self) -> Result<State<'_>> {
        State::new(&self.made, &self.info)
    }
}

/// Runs `f` with every configuration that can be updated. What fails in a call fails the test.
fn each(trial: &Trial<'_>, report: &mut Report, f: fn(&Ready, &mut Report) -> Result<()>) {
    trial.each(report, |config, report| tried(trial, config, report, f));
    report.notes.dedup();
}

/// The same without changed numbers, which may mean other inputs.
fn each_choice(trial: &Trial<'_>, report: &mut Report, f: fn(&Ready, &mut Report) -> Result<()>) {
    trial.each_choice(report, |config, report| tried(trial, config, report, f));
    report.notes.dedup();
}

fn tried(trial: &Trial<'_>, config: &serde_json::Value, report: &mut Report, f: fn(&Ready, &mut Report) -> Result<()>) {
    let Some(made) = or_report(report, "can't be made", trial.made::<abi::MetricV1>(config)) else { return };
    let Some(info) = or_report(report, "can't describe itself", info(&made)) else { return };
    let batch = batch_for(trial, config, &made, &info);
    let Some(batch) = or_report(report, "takes no batch of y_true and y_pred", batch) else { return };
    let Some(batch) = batch.rows(report) else { return };
    let takes_no_columns = can_be_guessed(&info) && trial.may_have(0);
    let ready = Ready { made, info, batch, seed: trial.subject.seed, takes_no_columns };
    match f(&ready, report) {
        // Only an update can refuse inputs: rows of an example mean something together, or it takes no weights.
        Err(error) if error.kind() == abi::ERROR_INPUT && !can_be_guessed(&ready.info) => {
            report.note(format!("not tried: it doesn't take the rows of its example so: {}", error.message()));
        }
        result => drop(or_report(report, "fails", result)),
    }
    report.keep(&[
        ("y_true", ready.batch.y_true.shape(), ready.batch.y_true.numbers().to_vec()),
        ("y_pred", ready.batch.y_pred.shape(), ready.batch.y_pred.numbers().to_vec()),
    ]);
}

pub fn bits(
    trial: &Trial<'_>,
    config: &serde_json::Value,
    made: &Made<abi::MetricV1>,
    extent: Extent,
) -> Result<Vec<u64>> {
    let info = info(made)?;
    let (batch, parts) = match batch_for(trial, config, made, &info)? {
        own::Found::Rows(batch) => {
            let parts = [batch.rows(0, 5), batch.rows(5, ROWS)];
            (batch, Some(parts))
        }
        own::Found::Whole(batch) => (batch, None),
        own::Found::Unknown => return Ok(Vec::new()),
    };
    let [first, second] = parts.as_ref().map_or([&batch, &batch], |[first, second]| [first, second]);
    let mut state = State::of(made, &info, &[(first, None)])?;
    if extent == Extent::Thorough {
        // Not every metric takes weights.
        let given = weights((0..batch.count).map(|row| 0.5 + row as f64));
        let _ = state.update(&batch, Some(&given));
        let mut copy = state.copy()?;
        copy.reset()?;
        copy.update(first, None)?;
        let saved = state.saved()?;
        state = state.loaded(&saved)?;
    }
    state.merge(&State::of(made, &info, &[(second, None)])?)?;
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

fn same(a: &Found, b: &Found) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()) || a.is_nan() && b.is_nan();
    a.0 == b.0 && a.1.len() == b.1.len() && a.1.iter().zip(&b.1).all(near)
}

fn shown((kind, values): &Found) -> String {
    match (*kind, &values[..]) {
        (abi::RESULT_UNDEFINED, _) => "undefined".into(),
        (_, [one]) => one.to_string(),
        (_, all) => format!("{all:?}"),
    }
}

fn expect(report: &mut Report, what: &str, found: &Found, expected: &Found) {
    report.that(same(found, expected), || format!("gives {} where {what}, and {} else", shown(found), shown(expected)));
}

fn split(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        if !ready.info.rows_independent {
            report.note("as it declares: a batch split between rows gives another result");
            return Ok(());
        }
        let whole = ready.of(&[(&ready.batch, None)])?.result()?;
        let mut random = Random(ready.seed);
        let given: Vec<f64> = (0..ROWS).map(|_| 0.25 + random.next()).collect();
        let weighted = ready.of(&[(&ready.batch, Some(&weights(given.iter().copied())))])?.result()?;
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
                with_weights.update(&batch, Some(&weights(rows.iter().map(|&row| given[row]))))?;
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

fn merge(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
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
        report.that(right.bytes()? == before, || "changes the state that is merged into another".into());
        let mut new = ready.new_state()?;
        left.merge(&new)?;
        expect(report, "a new state is merged into it", &left.result()?, &expected);
        new.merge(&left)?;
        expect(report, "it is merged into a new state", &new.result()?, &expected);
        Ok(())
    });
}

fn reset(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        let state = ready.of(&[(&ready.batch, None)])?;
        let before = state.bytes()?;
        let mut copy = state.copy()?;
        report.that(copy.bytes()? == before, || "makes copies that aren't the same".into());
        copy.update(&ready.batch, None)?;
        report.that(state.bytes()? == before, || "changes a state through its copy".into());
        copy.reset()?;
        report.that(copy.bytes()? == ready.new_state()?.bytes()?, || "keeps something through a reset".into());
        copy.update(&ready.batch, None)?;
        report.that(copy.bytes()? == before, || "gives something else after a reset".into());
        let (first, second) = (state.result()?, state.result()?);
        let bits = |found: &Found| found.1.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        report.that(bits(&first) == bits(&second) && state.bytes()? == before, || "changes as it is read".into());
        Ok(())
    });
}

fn saved(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        let (first, second) = (ready.batch.rows(0, 5), ready.batch.rows(5, ROWS));
        let mut half = ready.of(&[(&first, None)])?;
        let saved = half.saved()?;
        let mut loaded = half.loaded(&saved)?;
        report.that(loaded.bytes()? == saved.bytes.as_slice(), || "saves another state than it loaded".into());
        loaded.update(&second, None)?;
        half.update(&second, None)?;
        let bits = |found: Found| (found.0, found.1.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        report.that(bits(loaded.result()?) == bits(half.result()?) && loaded.bytes()? == half.bytes()?, || {
            "doesn't go on from a saved state as if nothing had happened, bit for bit".into()
        });
        let as_saved = |bytes: &[u8], version| abi::SavedState { version, bytes: bytes.iter().copied().collect() };
        for length in [saved.bytes.len() / 2, saved.bytes.len().saturating_sub(1)] {
            let cut = as_saved(&saved.bytes[..length], saved.version);
            report.that(saved.bytes.is_empty() || half.loaded(&cut).is_err(), || {
                format!("loads the first {length} bytes of a state of {}", saved.bytes.len())
            });
        }
        let later = as_saved(&saved.bytes, saved.version.wrapping_add(1_000_000));
        report.that(half.loaded(&later).is_err(), || "loads a state of a version that isn't there yet".into());
        // Anything may be in a file; the call may refuse it, and must come back.
        let mut random = Random(ready.seed);
        for _ in 0..64 {
            let mut bytes = saved.bytes.to_vec();
            for byte in &mut bytes {
                if random.next() < 0.1 {
                    *byte = (random.next() * 256.0) as u8;
                }
            }
            if let Ok(mut odd) = half.loaded(&as_saved(&bytes, saved.version)) {
                let used = odd.update(&second, None).and_then(|()| odd.merge(&half)).and_then(|()| odd.result());
                if let Some(error) = used.err().filter(|error| error.kind() == abi::ERROR_PANIC) {
                    report.error("takes a damaged state, and then", &error);
                    break;
                }
            }
        }
        Ok(())
    });
}

fn zero_weight(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        let whole = ready.of(&[(&ready.batch, None)])?;
        let ones = weights(std::iter::repeat_n(1.0, ROWS));
        let weighted = ready.of(&[(&ready.batch, Some(&ones))])?;
        expect(report, "all weights are 1", &weighted.result()?, &whole.result()?);
        if !ready.info.zero_weight_is_absent {
            report.note("as it declares: rows of weight 0 count");
            return Ok(());
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
                // A batch may be refused as a whole.
                Err(error) if error.kind() == abi::ERROR_INPUT => {}
                spoiled => expect(report, &format!("{what} and are NaN"), &spoiled?.result()?, &absent.result()?),
            }
        }
        Ok(())
    });
}

/// The truth of a batch as predictions, where it is known.
fn truth_of(batch: &Batch) -> Option<Batch> {
    let by_id = |id: f64| (0..batch.y_pred.len() / ROWS).map(move |column| f64::from(u8::from(column as f64 == id)));
    match batch.truth() {
        Some(truth) => Some(truth),
        // Of class ids the truth is a row that is sure of it.
        None if batch.y_true.len() == ROWS && batch.y_pred.shape().len() == 2 => {
            let sure = batch.y_true.numbers().iter().flat_map(|&id| by_id(id)).collect();
            Some(batch.predicting(batch.y_pred.with(sure)))
        }
        None => None,
    }
}

/// 1 where more is better and -1 where less is, and what nothing is better than; where that isn't known it is noted.
fn best_of(ready: &Ready, report: &mut Report) -> Option<(f64, Batch)> {
    let truth = match can_be_guessed(&ready.info) {
        true => truth_of(&ready.batch),
        false => {
            report.note(own::OTHER);
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

fn direction(trial: &Trial<'_>, report: &mut Report) {
    // Some settings move a loss's least value away from the truth; its own test knows them.
    if trial.is_also_a_loss() {
        return report.note("it is the mean of a loss, which is tried for this itself");
    }
    each(trial, report, |ready, report| {
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

fn defined(trial: &Trial<'_>, report: &mut Report) {
    each_choice(trial, report, |ready, report| {
        for state in
            [ready.new_state()?, ready.of(&[(&ready.batch, None)])?, ready.of(&[(&ready.batch.rows(0, 1), None)])?]
        {
            let result = state.whole_result()?;
            let (count, names) = (result.values.len(), result.names.len());
            let product = result.shape.iter().product::<i64>();
            report.that(result.values.iter().all(|value| value.is_finite()), || {
                format!("gives {:?}; what can't be said is undefined, not NaN", result.values)
            });
            let fits = match result.kind {
                abi::RESULT_UNDEFINED => true,
                abi::RESULT_SCALAR => count == 1,
                abi::RESULT_ARRAY => product == count as i64,
                abi::RESULT_NAMED => names == count,
                _ => false,
            };
            report.that(fits, || {
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

fn bounded(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
        if !ready.info.bounded_state {
            report.note("as it declares: the state grows with the rows");
            return Ok(());
        }
        let mut state = ready.of(&[(&ready.batch, None)])?;
        (0..8).try_for_each(|_| state.update(&ready.batch, None))?;
        let few = state.bytes()?.len();
        (0..800).try_for_each(|_| state.update(&ready.batch, None))?;
        let many = state.bytes()?.len();
        // Counts are written in as many bytes as they need.
        report.that(many <= few * 3 / 2 + 64, || {
            format!("has a state of {few} bytes after 9 batches and of {many} after 809 (a metric may declare bounded_state: false)")
        });
        Ok(())
    });
}

fn allocation(trial: &Trial<'_>, report: &mut Report) {
    each(trial, report, |ready, report| {
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
                let metric = &ready.made;
                metric.with_raw(inputs, |raw| {
                    // SAFETY: the handles belong to this table.
                    let update =
                        || back(unsafe { (metric.table.update)(metric.handle, &metric.host, state.state, raw) });
                    let (result, asked) = counted(|| (0..10).try_for_each(|_| update()));
                    result?;
                    let times = |count| format!("asks for memory {count} times in 10 updates");
                    match asked {
                        Asked::Counted(0) | Asked::FromOutside(0) => {}
                        Asked::Counted(count) => report.fail(times(count)),
                        Asked::FromOutside(count) => report.warn(times(count)),
                        Asked::Unknown => {
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
