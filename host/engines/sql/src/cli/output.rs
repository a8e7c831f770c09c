//! Writes the results.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::parquet::arrow::ArrowWriter;
use plugfit::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::results::{Cell, Row, Table, by_text};
use super::table;
use crate::columns::number_to_json as number;

/// A format of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Aligned columns, for people
    Table,
    /// One JSON object
    Json,
    /// CSV with all digits
    Csv,
    /// A Markdown table
    Markdown,
    /// Parquet, with --out
    Parquet,
}

impl Format {
    /// Returns the format that a file's name says.
    pub fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" => Some(Format::Table),
            "json" => Some(Format::Json),
            "csv" => Some(Format::Csv),
            "md" => Some(Format::Markdown),
            "parquet" => Some(Format::Parquet),
            _ => None,
        }
    }
}

/// Returns the results in a format.
///
/// # Errors
/// Returns an error if Parquet can't be written.
pub fn bytes(results: &Table, format: Format) -> Result<Vec<u8>> {
    Ok(match format {
        Format::Table => text(results, table::aligned).into_bytes(),
        Format::Markdown => text(results, table::markdown).into_bytes(),
        Format::Csv => csv(results).into_bytes(),
        Format::Json => format!("{}\n", json_of(results)).into_bytes(),
        Format::Parquet => parquet(results)?,
    })
}

/// Returns the results, the differences between groups below them, and whether they are partial.
fn text(results: &Table, written: impl Fn(&Table) -> String) -> String {
    let mut text = written(results);
    if let Some(differences) = &results.differences {
        let (compare, baseline) = (&differences.compare, by_text(&differences.baseline));
        text.push_str(&format!("\ndifferences from {compare} = {baseline}\n\n{}", written(&differences.table)));
    }
    if results.partial {
        text.push_str("\npartial: the query was interrupted\n");
    }
    text
}

/// Writes a file as a whole: beside its place, and then renamed.
///
/// # Errors
/// Returns an error if the file can't be written, or exists and isn't to be replaced.
pub fn write(path: &Path, bytes: &[u8], replaces: bool) -> Result<()> {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".plugfit-score-").suffix(".tmp").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        #[cfg(unix)]
        {
            // A temporary file is its owner's alone.
            use std::os::unix::fs::PermissionsExt;
            let usual =
                tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o666)).tempfile_in(folder)?;
            file.as_file().set_permissions(usual.as_file().metadata()?.permissions())?;
        }
        let persisted = if replaces { file.persist(&target) } else { file.persist_noclobber(&target) };
        persisted.map(drop).map_err(|error| error.error)
    };
    write().map_err(|error| Error::failure(format!("cannot write {}: {error}", path.display())))
}

fn by_json(value: &ScalarValue) -> Value {
    match value {
        value if value.is_null() => Value::Null,
        ScalarValue::Boolean(Some(value)) => json!(value),
        ScalarValue::Float64(Some(value)) => number(*value),
        ScalarValue::Float32(Some(value)) => number(f64::from(*value)),
        ScalarValue::Int8(Some(value)) => json!(value),
        ScalarValue::Int16(Some(value)) => json!(value),
        ScalarValue::Int32(Some(value)) => json!(value),
        ScalarValue::Int64(Some(value)) => json!(value),
        ScalarValue::UInt8(Some(value)) => json!(value),
        ScalarValue::UInt16(Some(value)) => json!(value),
        ScalarValue::UInt32(Some(value)) => json!(value),
        ScalarValue::UInt64(Some(value)) => json!(value),
        value => json!(value.to_string()),
    }
}

fn json_of(results: &Table) -> Value {
    let group = |row: &Row| {
        let by: Map<String, Value> = results.by.iter().cloned().zip(row.by.iter().map(by_json)).collect();
        let of_cell = |cell: &Cell| cell.value.map_or(Value::Null, number);
        let metrics: Map<String, Value> = results.names.iter().cloned().zip(row.cells.iter().map(of_cell)).collect();
        let mut group = Map::new();
        if !by.is_empty() {
            group.insert("by".into(), Value::Object(by));
        }
        group.insert("rows".into(), json!(row.rows));
        if results.counts_skipped {
            group.insert("skipped".into(), json!(row.skipped));
        }
        group.insert("metrics".into(), Value::Object(metrics));
        if results.has_intervals() {
            let interval =
                |cell: &Cell| cell.interval.map_or(Value::Null, |(low, high)| json!([number(low), number(high)]));
            let intervals: Map<String, Value> =
                results.names.iter().cloned().zip(row.cells.iter().map(interval)).collect();
            group.insert("intervals".into(), Value::Object(intervals));
        }
        Value::Object(group)
    };
    let groups: Vec<Value> = results.rows.iter().map(group).collect();
    let mut all = json!({"partial": results.partial, "small_groups": results.small, "groups": groups});
    if let Some(differences) = &results.differences {
        let groups: Vec<Value> = differences.table.rows.iter().map(group).collect();
        all["differences"] = json!({
            "compare": differences.compare,
            "baseline": by_json(&differences.baseline),
            "groups": groups,
        });
    }
    all
}

fn csv(results: &Table) -> String {
    let quoted = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let has_intervals = results.has_intervals();
    let mut header = results.by.clone();
    header.push("rows".into());
    header.extend(results.counts_skipped.then(|| "skipped".to_owned()));
    for name in &results.names {
        header.push(name.clone());
        if has_intervals {
            header.extend([format!("{name} low"), format!("{name} high")]);
        }
    }
    let line = |cells: &[String]| format!("{}\n", cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(","));
    let mut text = line(&header);
    for row in &results.rows {
        let by = |value: &ScalarValue| if value.is_null() { String::new() } else { by_text(value) };
        let mut cells: Vec<String> = row.by.iter().map(by).collect();
        cells.push(row.rows.to_string());
        cells.extend(results.counts_skipped.then(|| row.skipped.to_string()));
        for cell in &row.cells {
            let number = |number: Option<f64>| number.map_or_else(String::new, |number| number.to_string());
            cells.push(number(cell.value));
            if has_intervals {
                cells.extend([number(cell.interval.map(|ends| ends.0)), number(cell.interval.map(|ends| ends.1))]);
            }
        }
        text.push_str(&line(&cells));
    }
    text
}

fn parquet(results: &Table) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| Error::failure(format!("the results can't be written: {error}"));
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for (at, name) in results.by.iter().enumerate() {
        let values: Vec<ScalarValue> = results.rows.iter().filter_map(|row| row.by.get(at)).cloned().collect();
        let array: ArrayRef = match values.is_empty() {
            true => datafusion::arrow::array::new_empty_array(&DataType::Utf8),
            false => ScalarValue::iter_to_array(values).map_err(|error| failed(&error))?,
        };
        columns.push((Field::new(name, array.data_type().clone(), true), array));
    }
    let mut counts = vec![("rows", results.rows.iter().map(|row| row.rows).collect::<Vec<_>>())];
    if results.counts_skipped {
        counts.push(("skipped", results.rows.iter().map(|row| row.skipped).collect()));
    }
    for (name, counts) in counts {
        columns.push((Field::new(name, DataType::UInt64, false), Arc::new(UInt64Array::from(counts))));
    }
    let has_intervals = results.has_intervals();
    for (at, name) in results.names.iter().enumerate() {
        let mut push = |name: String, number: &dyn Fn(&Cell) -> Option<f64>| {
            let numbers: Float64Array = results.rows.iter().map(|row| row.cells.get(at).and_then(number)).collect();
            columns.push((Field::new(name, DataType::Float64, true), Arc::new(numbers)));
        };
        push(name.clone(), &|cell| cell.value);
        if has_intervals {
            push(format!("{name} low"), &|cell| cell.interval.map(|ends| ends.0));
            push(format!("{name} high"), &|cell| cell.interval.map(|ends| ends.1));
        }
    }
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).map_err(|error| failed(&error))?;
    writer.write(&batch).map_err(|error| failed(&error))?;
    writer.close().map_err(|error| failed(&error))?;
    Ok(bytes)
}
