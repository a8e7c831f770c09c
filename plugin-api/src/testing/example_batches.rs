//! Batches from the examples of a component whose inputs can't be generated.

use super::{
    data::{Array, Batch, ROWS},
    example_arrays::array,
    report::Report,
    tested::Tested,
};
use crate::Result;
use plugfit_abi as abi;
use serde_json::{Map, Value};

/// The note if no example has the inputs.
const UNKNOWN: &str = "not tried: only an example can show what inputs it requires (#[config(example = …)])";
/// The note of a test that needs `y_true` and `y_pred`.
pub const NEEDS_Y_TRUE_AND_Y_PRED: &str = "not tried: it is only for losses and metrics of y_true and y_pred";

/// The note of a law about rows if an input belongs to all rows of an example together.
const TOGETHER: &str =
    "not tried: the law needs batches of other sizes, and the component refuses the rows of its example in other numbers";

/// A batch to test a component with.
pub enum ExampleBatch {
    /// Rows that can be split, picked and repeated.
    Rows(Batch),
    /// An unchanged example, whose rows belong together.
    Whole(Batch),
    /// There is none: only an example could show the required inputs.
    Unknown,
}

impl ExampleBatch {
    /// Returns the rows for a law about rows, or adds a note with the reason why there are none.
    pub fn rows(self, report: &mut Report) -> Option<Batch> {
        let why = match self {
            ExampleBatch::Rows(batch) => return Some(batch),
            ExampleBatch::Whole(_) => TOGETHER,
            ExampleBatch::Unknown => UNKNOWN,
        };
        report.note(why);
        None
    }
}

/// Finds a batch with inputs of these names in the examples, preferably in those with this configuration. `takes` tests
/// whether the component accepts a batch.
///
/// The batch repeats the rows of all batches of an example up to [`ROWS`] rows. An input whose number of rows differs
/// from that of the first input is used whole. If the component rejects this batch, an input may describe all rows
/// together (such as the sizes of groups or pairwise distances), and the result is the unchanged first batch of the
/// example.
pub fn batch(
    tested: &Tested<'_>,
    config: &Value,
    names: &[String],
    takes: impl FnOnce(&Batch) -> Result<()>,
) -> ExampleBatch {
    let examples: Vec<Map<String, Value>> =
        tested.examples().iter().filter_map(|text| serde_json::from_str(text.as_str()?).ok()).collect();
    let has_config = |example: &&Map<String, Value>| {
        let example_config = example.get("config").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        example_config == *config
    };
    // An example of a rejection has no usable batch.
    let is_accepted = |example: &&Map<String, Value>| !example.contains_key("refused");
    let matching = examples.iter().filter(is_accepted).filter(has_config);
    let found =
        matching.chain(examples.iter().filter(is_accepted)).find_map(|example| first_and_all_rows(example, names));
    let Some((whole, rows)) = found else { return ExampleBatch::Unknown };
    match takes(&rows) {
        Err(error) if error.kind() == abi::ERROR_INPUT => ExampleBatch::Whole(whole),
        // The laws report any other error.
        _ => ExampleBatch::Rows(rows),
    }
}

/// Returns the first batch of an example, and a batch that repeats the rows of all its batches.
fn first_and_all_rows(example: &Map<String, Value>, names: &[String]) -> Option<(Batch, Batch)> {
    let batches = example.get("batches").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let parts: Vec<Vec<Array>> = batches
        .iter()
        .filter_map(Value::as_object)
        .chain(batches.is_empty().then_some(example))
        .map(|part| names.iter().map(|name| array(part, name).ok()).collect())
        .collect::<Option<_>>()?;
    let whole = parts.first()?;
    let rows = *whole.first()?.shape().first().unwrap_or(&0);
    let has_rows = |array: &Array| array.shape().first() == Some(&rows);
    // Join the parts that have the form of the first.
    let same_form = |part: &&Vec<Array>| {
        let rows = part[0].shape().first();
        part.iter().zip(whole).all(|(array, first)| match has_rows(first) {
            true => array.shape().first() == rows && array.shape().get(1..) == first.shape().get(1..),
            false => array.shape() == first.shape() && array.numbers() == first.numbers(),
        })
    };
    let joined = |index: usize| match has_rows(&whole[index]) {
        true => Array::joined(parts.iter().filter(same_form).map(|part| &part[index])),
        false => whole[index].copied(),
    };
    let all = batch_of(names, (0..names.len()).map(joined).collect())?;
    let rows = all.picked((0..ROWS).map(|row| row % all.count));
    Some((batch_of(names, whole.iter().map(Array::copied).collect())?, rows))
}

/// Creates a batch from inputs with these names, or returns `None` if it would have no rows.
fn batch_of(names: &[String], arrays: Vec<Array>) -> Option<Batch> {
    let named = |name: &str| arrays[names.iter().position(|other| other == name).unwrap_or(0)].copied();
    let (y_true, y_pred) = (named("y_true"), named("y_pred"));
    let range = y_pred.numbers().iter().fold((0.0_f64, 1.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
    let count = *arrays.first()?.shape().first()? as usize;
    let unknown_class = *y_pred.shape().last().unwrap_or(&1) as usize;
    let others = names.iter().cloned().zip(arrays).filter(|(name, _)| name != "y_true" && name != "y_pred").collect();
    (count > 0).then_some(Batch { y_true, y_pred, range, others, count, unknown_class })
}
