//! Writes predictions to a file.

use std::io::{self, Write};
use std::path::Path;

use ndarray::ArrayViewD;

use super::format::Format;
use super::numpy::{write_npy, write_npz};
use crate::files::write_atomically;
use crate::{Error, Result};

/// Writes the predictions `[N, ...]` of each named output, atomically, as `.csv`, `.npy` (one output only) or `.npz`.
///
/// In a CSV, an output with one number per sample has one column with its name; an output with several has the columns
/// `name_0`, `name_1` and so on. Numbers are written with enough digits to restore the same float32.
///
/// # Errors
/// Returns an error if the file name has another extension, there are no outputs, the numbers of samples differ, or the
/// file can't be written.
pub fn write_predictions(path: &Path, outputs: &[(&str, ArrayViewD<'_, f32>)]) -> Result<()> {
    let format = Format::of(path)?;
    let samples = |values: &ArrayViewD<'_, f32>| values.shape().first().copied();
    let rows = outputs.first().and_then(|(_, values)| samples(values));
    let Some(rows) = rows.filter(|rows| outputs.iter().all(|(_, values)| samples(values) == Some(*rows))) else {
        return Err(Error::usage("predictions need at least one output, and as many samples of each"));
    };
    match (format, outputs) {
        (Format::Csv, _) => write_atomically(path, |writer| write_csv(writer, outputs, rows)),
        (Format::Npz, _) => write_atomically(path, |writer| write_npz(writer, outputs)),
        (Format::Npy, [(_, values)]) => write_atomically(path, |writer| write_npy(writer, values)),
        (Format::Npy, _) => {
            Err(Error::usage(format!("{} can contain only one output; there are {}", path.display(), outputs.len()))
                .hint("write a .npz or a .csv instead"))
        }
        (Format::Parquet, _) => {
            Err(Error::usage("predictions are written as .csv, .npy or .npz").with("found", path.display().to_string()))
        }
    }
}

fn write_csv(writer: &mut dyn Write, outputs: &[(&str, ArrayViewD<'_, f32>)], rows: usize) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    for (name, values) in outputs {
        let width = values.shape()[1..].iter().product();
        match width {
            1 => csv.write_field(name)?,
            _ => (0..width).try_for_each(|column| csv.write_field(format!("{name}_{column}")))?,
        }
    }
    csv.write_record(None::<&[u8]>)?;
    let mut text = String::new();
    for row in 0..rows {
        for (_, values) in outputs {
            for value in values.index_axis(ndarray::Axis(0), row) {
                text.clear();
                std::fmt::Write::write_fmt(&mut text, format_args!("{value}")).map_err(io::Error::other)?;
                csv.write_field(&text)?;
            }
        }
        csv.write_record(None::<&[u8]>)?;
    }
    csv.flush()
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
        write_predictions(&path, &[("digit", digit.view()), ("parity", parity.view())]).expect("it can be written");
        let text = std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(text, "digit_0,digit_1,parity\n0.1,0.9,0.25\n1,0.0000000001,-3\n");
    }

    #[test]
    fn invalid_arguments_are_errors_and_leave_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = array![1.0_f32, 2.0].into_dyn();
        let other = array![1.0_f32].into_dyn();
        let two = [("a", one.view()), ("b", one.view())];
        assert!(write_predictions(&folder.path().join("p.npy"), &two).is_err());
        assert!(write_predictions(&folder.path().join("p.txt"), &two).is_err());
        assert!(write_predictions(&folder.path().join("p.csv"), &[]).is_err());
        assert!(write_predictions(&folder.path().join("p.npz"), &[("a", one.view()), ("b", other.view())]).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
