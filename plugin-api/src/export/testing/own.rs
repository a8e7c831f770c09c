//! Batches of inputs that only an author knows: those of a component's examples.

use super::{
    data::{Array, Batch, ROWS},
    examples,
    trial::Trial,
};
use serde_json::{Map, Value};

/// What is said where there is no such example.
pub const UNKNOWN: &str = "not tried: only an example can say what its inputs must be (#[config(example = …)])";
/// What is said of a test that needs y_true and y_pred.
pub const OTHER: &str = "not tried: it is for losses and metrics of y_true and y_pred alone";

/// A batch of the examples' inputs of these names, for a component of this configuration.
///
/// It has the rows of all batches of an example, again and again up to [`ROWS`], where every input has a row for each of the first
/// one's or the same for all. None: no example has all of the inputs.
pub fn batch(trial: &Trial<'_>, config: &Value, names: &[String]) -> Option<Batch> {
    let examples: Vec<Map<String, Value>> =
        trial.examples().iter().filter_map(|text| serde_json::from_str(text.as_str()?).ok()).collect();
    let is_of = |example: &&Map<String, Value>| {
        let given = example.get("config").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        given == *config
    };
    // What is refused is no batch to go on with.
    let takes = |example: &&Map<String, Value>| !example.contains_key("refused");
    let own = examples.iter().filter(takes).filter(is_of);
    own.chain(examples.iter().filter(takes)).find_map(|example| of_example(example, names))
}

fn of_example(example: &Map<String, Value>, names: &[String]) -> Option<Batch> {
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
            true => array.shape().first() == rows && array.shape()[1..] == first.shape()[1..],
            false => array.shape() == first.shape() && array.numbers() == first.numbers(),
        })
    };
    let joined = |index: usize| match has_rows(&whole[index]) {
        true => Array::joined(parts.iter().filter(alike).map(|part| &part[index])),
        false => whole[index].copied(),
    };
    let arrays: Vec<Array> = (0..names.len()).map(joined).collect();
    let named = |name: &str| arrays[names.iter().position(|other| other == name).unwrap_or(0)].copied();
    let (y_true, y_pred) = (named("y_true"), named("y_pred"));
    let range = y_pred.numbers().iter().fold((0.0_f64, 1.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
    let all = *arrays[0].shape().first()? as usize;
    let others = names.iter().cloned().zip(arrays).filter(|(name, _)| name != "y_true" && name != "y_pred").collect();
    let batch = Batch { y_true, y_pred, range, others };
    (all > 0).then(|| batch.picked((0..ROWS).map(|row| row % all)))
}
