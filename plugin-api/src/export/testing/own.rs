//! Batches of inputs that only an author knows: those of a component's examples.

use super::{
    data::{Array, Batch, ROWS},
    examples,
    report::Report,
    trial::Trial,
};
use crate::Result;
use plugfit_abi as abi;
use serde_json::{Map, Value};

/// What is said where there is no such example.
const UNKNOWN: &str = "not tried: only an example can say what its inputs must be (#[config(example = …)])";
/// What is said of a test that needs y_true and y_pred.
pub const OTHER: &str = "not tried: it is for losses and metrics of y_true and y_pred alone";

/// What is said of a law about rows where an input belongs to all of an example's rows together.
const TOGETHER: &str = "not tried: it refuses the rows of its example in other numbers, as the law must give them";

/// A batch to try a component with.
pub enum Found {
    /// Rows that can be split, picked and repeated.
    Rows(Batch),
    /// An example as it stands: its rows mean something together.
    Whole(Batch),
    /// Only an example could say which.
    Unknown,
}

impl Found {
    /// Rows for a law about them; what there is instead is noted.
    pub fn rows(self, report: &mut Report) -> Option<Batch> {
        let why = match self {
            Found::Rows(batch) => return Some(batch),
            Found::Whole(_) => TOGETHER,
            Found::Unknown => UNKNOWN,
        };
        report.note(why);
        None
    }
}

/// A batch of the examples' inputs of these names, for a component of this configuration. `takes` tries to use one.
///
/// It has the rows of all batches of an example, again and again up to [`ROWS`], where every input has a row for each of the first
/// one's or the same for all. If that is refused, an input may be about the rows together (the sizes of groups, a distance of each
/// row to each): then it is the example's first batch as it stands.
pub fn batch(trial: &Trial<'_>, config: &Value, names: &[String], takes: impl FnOnce(&Batch) -> Result<()>) -> Found {
    let examples: Vec<Map<String, Value>> =
        trial.examples().iter().filter_map(|text| serde_json::from_str(text.as_str()?).ok()).collect();
    let is_of = |example: &&Map<String, Value>| {
        let given = example.get("config").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        given == *config
    };
    // What is refused is no batch to go on with.
    let is_taken = |example: &&Map<String, Value>| !example.contains_key("refused");
    let own = examples.iter().filter(is_taken).filter(is_of);
    let found = own.chain(examples.iter().filter(is_taken)).find_map(|example| of_example(example, names));
    let Some((whole, rows)) = found else { return Found::Unknown };
    match takes(&rows) {
        Err(error) if error.kind() == abi::ERROR_INPUT => Found::Whole(whole),
        // What else is wrong fails every law.
        _ => Found::Rows(rows),
    }
}

/// The first batch of an example, and the rows of all of them.
fn of_example(example: &Map<String, Value>, names: &[String]) -> Option<(Batch, Batch)> {
    let batches = example.get("batches").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let parts: Vec<Vec<Array>> = batches
        .iter()
        .filter_map(Value::as_object)
        .chain(batches.is_empty().then_some(example))
        .map(|part| names.iter().map(|name| examples::array(part, name).ok()).collect())
        .collect::<Option<_>>()?;
    let whole = parts.first()?;
    let rows = *whole.first()?.shape().first().unwrap_or(&0);
    let has_rows = |array: &Array| array.shape().first() == Some(&rows);
    // Parts of the same form are one batch.
    let alike = |part: &&Vec<Array>| {
        let rows = part[0].shape().first();
        part.iter().zip(whole).all(|(array, first)| match has_rows(first) {
            true => array.shape().first() == rows && array.shape().get(1..) == first.shape().get(1..),
            false => array.shape() == first.shape() && array.numbers() == first.numbers(),
        })
    };
    let joined = |index: usize| match has_rows(&whole[index]) {
        true => Array::joined(parts.iter().filter(alike).map(|part| &part[index])),
        false => whole[index].copied(),
    };
    let all = of_arrays(names, (0..names.len()).map(joined).collect())?;
    let rows = all.picked((0..ROWS).map(|row| row % all.count));
    Some((of_arrays(names, whole.iter().map(Array::copied).collect())?, rows))
}

/// A batch of inputs of these names; none has no rows.
fn of_arrays(names: &[String], arrays: Vec<Array>) -> Option<Batch> {
    let named = |name: &str| arrays[names.iter().position(|other| other == name).unwrap_or(0)].copied();
    let (y_true, y_pred) = (named("y_true"), named("y_pred"));
    let range = y_pred.numbers().iter().fold((0.0_f64, 1.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
    let count = *arrays.first()?.shape().first()? as usize;
    let past = *y_pred.shape().last().unwrap_or(&1) as usize;
    let others = names.iter().cloned().zip(arrays).filter(|(name, _)| name != "y_true" && name != "y_pred").collect();
    (count > 0).then_some(Batch { y_true, y_pred, range, others, count, past })
}
