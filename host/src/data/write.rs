//! Writes predictions to a file.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use ndarray::ArrayViewD;

use super::format::Format;
use super::numpy::{write_npy, write_npz};
use crate::files::write_atomically;
use crate::{Error, Result};

/// The predictions of an output.
#[derive(Clone, Debug)]
pub struct PredictedOutput<'a> {
    /// The name of the output.
    pub name: &'a str,
    /// The values `[N, ...]`.
    pub values: ArrayViewD<'a, f32>,
    /// The names of the classes, if a CSV is to name them. The values are then `[N, C]`, a score for each class; or
    /// `[N]` or `[N, 1]` for two classes, the probability of the second.
    pub class_names: Option<&'a [String]>,
}

impl<'a> PredictedOutput<'a> {
    /// Describes an output without class names.
    pub fn new(name: &'a str, values: ArrayViewD<'a, f32>) -> Self {
        PredictedOutput { name, values, class_names: None }
    }

    /// Adds the names of the classes.
    #[must_use]
    pub fn with_class_names(self, class_names: &'a [String]) -> Self {
        PredictedOutput { class_names: Some(class_names), ..self }
    }

    /// Returns the number of values of a sample.
    fn width(&self) -> usize {
        self.values.shape().iter().skip(1).product()
    }

    /// Returns the names of the classes if the values have the shape for them.
    fn classes(&self) -> Option<&'a [String]> {
        let names = self.class_names?;
        let is_pair = self.width() == 1 && names.len() == 2;
        (is_pair || self.values.ndim() == 2 && self.width() > 1 && names.len() <= self.width()).then_some(names)
    }

    /// Returns the columns of a CSV. Those of classes have the names of the classes, preceded by the name of the output
    /// if `is_prefixed` is set. Classes without a name are numbered.
    fn columns(&self, is_prefixed: bool) -> Vec<String> {
        let numbered = |index: usize| format!("{}_{index}", self.name);
        let Some(names) = self.classes() else {
            return match self.width() {
                1 => vec![self.name.to_owned()],
                width => (0..width).map(numbered).collect(),
            };
        };
        let named = |name: &str| if is_prefixed { format!("{}_{name}", self.name) } else { name.to_owned() };
        let class = |index: usize| names.get(index).map_or_else(|| numbered(index), |name| named(name));
        (0..self.width().max(names.len())).map(class).chain([named(PREDICTED)]).collect()
    }
}

/// The column with the name of the predicted class.
const PREDICTED: &str = "predicted";

/// Writes the predictions of each output, atomically, as `.csv`, `.npy` (one output only) or `.npz`.
///
/// In a CSV, an output with class names has a column for each class with its name, and the column `predicted` with the
/// name of the class of the highest score, which is empty if a score is NaN. Of two classes with one probability, the
/// second is predicted if that is above 0.5. With several outputs, or if two columns had the same name otherwise, these
/// names are preceded by that of the output: `digit_even`, `digit_predicted`. Another output with one number per sample
/// has one column with its name; with several, the columns `name_0`, `name_1` and so on. Numbers are written with
/// enough digits to restore the same float32.
///
/// # Errors
/// Returns an error if the file name has another extension, there are no outputs, the numbers of samples differ, two
/// columns of a CSV would have the same name, or the file can't be written.
pub fn write_predictions(path: &Path, outputs: &[PredictedOutput<'_>]) -> Result<()> {
    let format = Format::of(path)?;
    let samples = |values: &ArrayViewD<'_, f32>| values.shape().first().copied();
    let rows = outputs.first().and_then(|output| samples(&output.values));
    let Some(rows) = rows.filter(|rows| outputs.iter().all(|output| samples(&output.values) == Some(*rows))) else {
        return Err(Error::usage("predictions need at least one output, and as many samples of each"));
    };
    match (format, outputs) {
        (Format::Csv, _) => {
            let columns = columns(outputs)?;
            write_atomically(path, |writer| write_csv(writer, &columns, outputs, rows))
        }
        (Format::Npz, _) => {
            let arrays: Vec<_> = outputs.iter().map(|output| (output.name, output.values.view())).collect();
            write_atomically(path, |writer| write_npz(writer, &arrays))
        }
        (Format::Npy, [output]) => write_atomically(path, |writer| write_npy(writer, &output.values)),
        (Format::Npy, _) => {
            Err(Error::usage(format!("{} can contain only one output; there are {}", path.display(), outputs.len()))
                .hint("write a .npz or a .csv instead"))
        }
        (Format::Parquet, _) => {
            Err(Error::usage("predictions are written as .csv, .npy or .npz").with("found", path.display().to_string()))
        }
    }
}

/// Returns the header of a CSV.
fn columns(outputs: &[PredictedOutput<'_>]) -> Result<Vec<String>> {
    let named = |is_prefixed| outputs.iter().flat_map(|output| output.columns(is_prefixed)).collect::<Vec<_>>();
    let repeated = |columns: &[String]| {
        let mut seen = HashSet::new();
        columns.iter().find(|column| !seen.insert(column.as_str())).cloned()
    };
    let short = named(false);
    if outputs.len() == 1 && repeated(&short).is_none() {
        return Ok(short);
    }
    let long = named(true);
    match repeated(&long) {
        None => Ok(long),
        Some(column) => Err(Error::usage(format!("two columns of the predictions would be called \"{column}\""))
            .hint("write a .npz instead")),
    }
}

fn write_csv(
    writer: &mut dyn Write,
    columns: &[String],
    outputs: &[PredictedOutput<'_>],
    rows: usize,
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record(columns)?;
    let mut text = String::new();
    let mut write = |csv: &mut csv::Writer<_>, value: f32| {
        text.clear();
        std::fmt::Write::write_fmt(&mut text, format_args!("{value}")).map_err(io::Error::other)?;
        csv.write_field(&text).map_err(io::Error::from)
    };
    for row in 0..rows {
        let mut first = 0;
        for output in outputs {
            let values = output.values.index_axis(ndarray::Axis(0), row);
            let classes = output.classes();
            let scores: Vec<f32> = match (classes, values.len()) {
                (Some(_), 1) => values.iter().flat_map(|probability| [1.0 - probability, *probability]).collect(),
                _ => values.iter().copied().collect(),
            };
            scores.iter().try_for_each(|score| write(&mut csv, *score))?;
            if classes.is_some() {
                let names = classes.unwrap_or_default();
                let class = highest(&scores).map(|class| names.get(class).unwrap_or(&columns[first + class]));
                csv.write_field(class.map_or("", String::as_str))?;
                first += 1;
            }
            first += scores.len();
        }
        csv.write_record(None::<&[u8]>)?;
    }
    csv.flush()
}

/// Returns the index of the first of the highest scores; `None` if a score is NaN.
fn highest(scores: &[f32]) -> Option<usize> {
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut scores = scores.iter().enumerate();
    let first = scores.next()?;
    Some(scores.fold(first, |best, score| if score.1 > best.1 { score } else { best }).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_csv_has_one_column_per_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.csv");
        let digit = array![[0.1_f32, 0.9], [1.0, 1e-10]].into_dyn();
        let parity = array![[0.25_f32], [-3.0]].into_dyn();
        let outputs = [PredictedOutput::new("digit", digit.view()), PredictedOutput::new("parity", parity.view())];
        write_predictions(&path, &outputs).expect("it can be written");
        let text = std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(text, "digit_0,digit_1,parity\n0.1,0.9,0.25\n1,0.0000000001,-3\n");
    }

    #[test]
    fn invalid_arguments_are_errors_and_leave_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = array![1.0_f32, 2.0].into_dyn();
        let other = array![1.0_f32].into_dyn();
        let output = PredictedOutput::new;
        let two = [output("a", one.view()), output("b", one.view())];
        assert!(write_predictions(&folder.path().join("p.npy"), &two).is_err());
        assert!(write_predictions(&folder.path().join("p.txt"), &two).is_err());
        assert!(write_predictions(&folder.path().join("p.csv"), &[]).is_err());
        assert!(
            write_predictions(&folder.path().join("p.npz"), &[output("a", one.view()), output("b", other.view())])
                .is_err()
        );
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    fn written(outputs: &[PredictedOutput<'_>]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.csv");
        write_predictions(&path, outputs).expect("it can be written");
        std::fs::read_to_string(&path).expect("it is there")
    }

    #[test]
    fn classes_have_columns_with_their_names() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let kinds = names(&["cat", "dog, big", "owl"]);
        let scores = array![[0.1_f32, 0.7, 0.2], [0.5, 0.0, 0.5], [f32::NAN, 0.0, 1.0]].into_dyn();
        let kind = PredictedOutput::new("kind", scores.view()).with_class_names(&kinds);
        let rows = "0.1,0.7,0.2,\"dog, big\"\n0.5,0,0.5,cat\nNaN,0,1,\n";
        assert_eq!(written(std::slice::from_ref(&kind)), format!("cat,\"dog, big\",owl,predicted\n{rows}"));
        let probabilities = array![[0.75_f32], [0.5], [0.0]].into_dyn();
        let answers = names(&["no", "yes"]);
        let answer = PredictedOutput::new("answer", probabilities.view()).with_class_names(&answers);
        assert_eq!(written(std::slice::from_ref(&answer)), "no,yes,predicted\n0.25,0.75,yes\n0.5,0.5,no\n1,0,no\n");
        let both = written(&[kind, answer]);
        let header = "kind_cat,\"kind_dog, big\",kind_owl,kind_predicted,answer_no,answer_yes,answer_predicted\n";
        assert!(both.starts_with(&format!("{header}0.1,0.7,0.2,\"dog, big\",0.25,0.75,yes\n")), "{both}");
    }

    #[test]
    fn names_that_do_not_fit_are_left_out_or_completed() {
        let names = ["a", "predicted"].map(str::to_owned);
        let wide = array![[0.1_f32, 0.2, 0.3]].into_dyn();
        let output = |values: ArrayViewD<'_, f32>, names: &[String]| {
            written(&[PredictedOutput::new("y", values).with_class_names(names)])
        };
        assert_eq!(output(wide.view(), &names[..1]), "a,y_1,y_2,predicted\n0.1,0.2,0.3,y_2\n");
        let (narrow, deep) = (array![[0.5_f32]].into_dyn(), array![[[0.5_f32, 1.0]]].into_dyn());
        assert_eq!(output(narrow.view(), &names[..1]), "y\n0.5\n");
        assert_eq!(output(deep.view(), &names), "y_0,y_1\n0.5,1\n");
        let folder = tempfile::tempdir().expect("a folder");
        let output = PredictedOutput::new("y", wide.view()).with_class_names(&names);
        let error = write_predictions(&folder.path().join("p.csv"), &[output]).expect_err("two columns of a name");
        assert!(error.to_string().contains("would be called \"y_predicted\""), "{error}");
    }
}
