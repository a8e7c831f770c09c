//! Tests of Parquet files with several row groups, intact and damaged.

use std::sync::Arc;

use parquet::data_type::{ByteArrayType, DoubleType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use super::ParquetFile;
use crate::data::table::Table as _;
use crate::data::{DataConfig, Missing, Numbers};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Writes three row groups of 1,500 rows with columns `a`, `b` and the word `kind`; `b` is null in row `missing`.
fn write(path: &std::path::Path, missing: Option<usize>) {
    let schema = "message rows { required int32 a; optional double b; required binary kind (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
    let file = std::fs::File::create(path).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).expect("a writer");
    for group in 0..3 {
        let rows = group * 1500..(group + 1) * 1500;
        let mut columns = writer.next_row_group().expect("a group");
        let a: Vec<i32> = rows.clone().map(|row| row as i32).collect();
        let present = rows.clone().filter(|row| Some(*row) != missing);
        let b: Vec<f64> = present.map(|row| row as f64 / 2.0).collect();
        let levels: Vec<i16> = rows.clone().map(|row| i16::from(Some(row) != missing)).collect();
        let kinds: Vec<_> = rows.map(|row| if row % 2 == 0 { "even" } else { "odd" }.into()).collect();
        let mut column = columns.next_column().expect("a").expect("a");
        column.typed::<Int32Type>().write_batch(&a, None, None).expect("written");
        column.close().expect("closed");
        let mut column = columns.next_column().expect("b").expect("b");
        column.typed::<DoubleType>().write_batch(&b, Some(&levels), None).expect("written");
        column.close().expect("closed");
        let mut column = columns.next_column().expect("kind").expect("kind");
        column.typed::<ByteArrayType>().write_batch(&kinds, None, None).expect("written");
        column.close().expect("closed");
        columns.close().expect("closed");
    }
    writer.close().expect("closed");
}

fn config() -> DataConfig {
    DataConfig {
        file: Some("rows.parquet".into()),
        target: Some("kind".into()),
        numbers: Some(Numbers::None),
        missing: Some(Missing::Error),
        ..DataConfig::default()
    }
}

#[test]
fn rows_of_all_groups_are_read_with_words_as_classes() {
    let folder = folder();
    write(&folder.path().join("rows.parquet"), None);
    let data = config().load(folder.path()).expect("it is read").train;
    assert_eq!((data.len(), data.inputs().row_shape()), (4500, &[2][..]));
    let values = data.inputs().in_memory().expect("small").values();
    assert!(values.chunks(2).enumerate().all(|(row, pair)| pair == [row as f32, row as f32 / 2.0]));
    let ids = data.targets()[0].values.class_ids().expect("classes");
    assert!(ids.iter().enumerate().all(|(row, id)| *id == row % 2));
    assert_eq!(data.targets()[0].class_names.as_deref(), Some(&["even".to_owned(), "odd".to_owned()][..]));
}

#[test]
fn a_missing_value_and_a_file_that_is_not_parquet_are_errors() {
    let folder = folder();
    let path = folder.path().join("rows.parquet");
    write(&path, Some(2600));
    let error = config().load(folder.path()).expect_err("one is missing").to_string();
    assert!(error.contains("rows.parquet, row 2601 (from 1), column \"b\""), "{error}");
    let bytes = std::fs::read(&path).expect("it is there");
    for length in [0, 3, 100, bytes.len() - 5] {
        std::fs::write(&path, &bytes[..length]).expect("it can be written");
        let error = config().load(folder.path()).expect_err("cut short").to_string();
        assert!(error.contains("cannot read"), "{error}");
    }
}

#[test]
fn a_page_that_claims_too_much_ends_at_the_end_of_the_file() {
    let folder = folder();
    let path = folder.path().join("rows.parquet");
    write(&path, None);
    let mut bytes = std::fs::read(&path).expect("it is there");
    // An unknown field in the header of the first page: a list of 2^31 - 1 bytes.
    bytes[4..11].copy_from_slice(&[0x79, 0xf3, 0xff, 0xff, 0xff, 0xff, 0x07]);
    std::fs::write(&path, &bytes).expect("it can be written");
    let begin = std::time::Instant::now();
    let error = ParquetFile::open(&path).and_then(|mut file| file.read_row()).expect_err("it isn't there");
    assert!(error.to_string().contains("cannot read"), "{error}");
    assert!(begin.elapsed().as_secs() < 60, "it took {:?}", begin.elapsed());
}

#[test]
fn lists_of_booleans_without_bytes_are_rejected() {
    let folder = folder();
    let path = folder.path().join("rows.parquet");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("it can be written");
        let error = ParquetFile::open(&path).and_then(|mut file| file.read_row()).expect_err("they aren't there");
        assert!(error.to_string().contains("claims 1000 values that take no bytes"), "{error}");
    };
    // Field 10, a list, first in the footer and then before the first page.
    let many = [0xa9, 0xf1, 0xe8, 0x07, 0];
    refused(&[b"PAR1".as_slice(), &many, &5_u32.to_le_bytes(), b"PAR1"].concat());
    write(&path, None);
    let mut bytes = std::fs::read(&path).expect("it is there");
    bytes[4..9].copy_from_slice(&many);
    refused(&bytes);
}

#[test]
fn a_damaged_footer_never_causes_a_panic() {
    let folder = folder();
    let path = folder.path().join("rows.parquet");
    write(&path, None);
    let bytes = std::fs::read(&path).expect("it is there");
    let (_, length) = bytes[..bytes.len() - 4].split_last_chunk::<4>().expect("a footer");
    let footer = bytes.len() - 8 - u32::from_le_bytes(*length) as usize..bytes.len() - 8;
    for at in footer {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).expect("it can be written");
        let read = ParquetFile::open(&path).and_then(|mut file| file.read_row());
        let _ = read.map_err(|error| assert!(error.to_string().contains("rows.parquet"), "{error}"));
    }
}
