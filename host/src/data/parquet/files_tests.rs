//! Tests of Parquet files as a whole: codecs, several files, rows, and columns of the same name.

use std::fs::File;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, UInt8Array, UInt32Array,
};
use arrow_schema::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::ParquetFile;
use super::tests::{columns, folder, inputs, load, with_target};
use crate::data::Array;
use crate::data::table::{Cell, Table as _};

#[test]
fn duplicate_column_names_are_rejected() {
    let folder = folder();
    let path = folder.path().join("rows.parquet");
    let column = |values: [i64; 3]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    with_target(&folder, vec![("a", column([1, 2, 3])), ("b", column([4, 5, 6])), ("a", column([7, 8, 9]))]);
    assert_eq!(inputs(&folder), Err("rows.parquet has two columns called \"a\"\n  rename one of them".to_owned()));
    assert!(ParquetFile::open(&path).is_err());
}

#[test]
fn files_of_every_codec_and_encoding_are_read() {
    let folder = folder();
    let path = folder.path().join("rows.parquet");
    let numbers: Vec<f64> = (0..3000).map(|row| f64::from(row) / 4.0).collect();
    let words: Vec<String> = (0..3000).map(|row| format!("word {}", row % 700)).collect();
    let write = |properties: WriterProperties| {
        let missing = words.iter().enumerate().map(|(row, word)| (row > 0).then_some(word.as_str()));
        let batch: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(Float64Array::from(numbers.clone()))),
            ("i", Arc::new(Int64Array::from((0..3000).collect::<Vec<i64>>()))),
            ("y", Arc::new(StringArray::from_iter(missing))),
        ];
        columns(&path, batch, properties);
        let mut file = ParquetFile::open(&path).expect("it is whole");
        let (mut rows, mut sum) = (0, 0.0);
        while file.read_row().expect("it is whole") {
            let (Cell::Number(a), Cell::Integer(i)) = (file.cell(0), file.cell(1)) else { panic!("numbers") };
            assert_eq!(file.text(2), if rows > 0 { words[rows].as_str() } else { "" });
            (rows, sum) = (rows + 1, sum + a + i as f64);
        }
        assert_eq!((rows, sum), (3000, 1.25 * 2999.0 * 1500.0));
    };
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        write(WriterProperties::builder().set_compression(codec).build());
    }
    for version in
        [parquet::file::properties::WriterVersion::PARQUET_1_0, parquet::file::properties::WriterVersion::PARQUET_2_0]
    {
        for (numeric, integer, text) in [
            (Encoding::PLAIN, Encoding::PLAIN, Encoding::PLAIN),
            (Encoding::BYTE_STREAM_SPLIT, Encoding::DELTA_BINARY_PACKED, Encoding::DELTA_LENGTH_BYTE_ARRAY),
            (Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT, Encoding::DELTA_BYTE_ARRAY),
        ] {
            let properties = WriterProperties::builder().set_writer_version(version).set_dictionary_enabled(false);
            // Force several pages.
            let properties = properties.set_data_page_row_count_limit(500).set_write_batch_size(100);
            let properties =
                properties.set_column_encoding("a".into(), numeric).set_column_encoding("i".into(), integer);
            write(properties.set_column_encoding("y".into(), text).build());
        }
    }
}

#[test]
fn several_files_may_differ_in_their_types_and_in_the_order_of_columns() {
    let folder = folder();
    let write = |name: &str, batch| columns(&folder.path().join(name), batch, WriterProperties::default());
    write(
        "a1.parquet",
        vec![
            ("x", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("y", Arc::new(Float64Array::from(vec![0.5, 1.5]))),
        ],
    );
    let decimals = Decimal128Array::from(vec![325]).with_precision_and_scale(9, 2).expect("a type");
    write("a2.parquet", vec![("y", Arc::new(UInt8Array::from(vec![2])) as ArrayRef), ("x", Arc::new(decimals))]);
    std::fs::write(folder.path().join("a3.csv"), "y,x\n2.5,4\n").expect("it can be written");
    let files = json!(["a1.parquet", "a2.parquet"]);
    let data = load(&folder, json!({"file": files, "target": "y"})).expect("they are read");
    assert_eq!(data.train.inputs().in_memory().expect("small").values(), [1.0, 2.0, 3.25]);
    let Array::F32(values) = &data.train.targets()[0].values else { panic!("float32") };
    assert_eq!(values.values(), [0.5, 1.5, 2.0]);
    write(
        "b.parquet",
        vec![
            ("x", Arc::new(StringArray::from(vec!["one"])) as ArrayRef),
            ("y", Arc::new(Float64Array::from(vec![0.5]))),
        ],
    );
    let error =
        load(&folder, json!({"file": ["a1.parquet", "b.parquet"], "target": "y"})).expect_err("a word").to_string();
    assert!(
        error.starts_with("a cell isn't a number") && error.contains("b.parquet, row 1 (from 1), column \"x\""),
        "{error}"
    );
}

#[test]
fn files_without_rows_or_columns_are_rejected() {
    let folder = folder();
    let empty: ArrayRef = Arc::new(Float64Array::from(Vec::<f64>::new()));
    let write = |batch| columns(&folder.path().join("rows.parquet"), batch, WriterProperties::default());
    write(vec![("a", Arc::clone(&empty)), ("y", empty)]);
    assert_eq!(inputs(&folder), Err("rows.parquet has no rows below its header".to_owned()));
    let file = File::create(folder.path().join("rows.parquet")).expect("a file");
    let writer = ArrowWriter::try_new(file, Arc::new(Schema::empty()), None).expect("a writer");
    writer.close().expect("closed");
    assert!(inputs(&folder).expect_err("no columns").starts_with("rows.parquet has no column \"y\""));
    std::fs::write(folder.path().join("rows.parquet"), "").expect("it can be written");
    assert!(inputs(&folder).expect_err("no file").starts_with("cannot read rows.parquet"));
}

#[test]
fn rows_beyond_the_limit_are_stored_on_disk() {
    let folder = folder();
    with_target(&folder, vec![("a", Arc::new(UInt32Array::from(vec![1, 2, 3_000_000_000])))]);
    let config = json!({"file": "rows.parquet", "target": "y", "in_memory": false});
    let data = load(&folder, config).expect("it is read");
    assert!(data.train.inputs().in_memory().is_none());
    let mut batch = data.train.new_batch();
    data.train.gather_into(&[2, 0], &mut batch).expect("they are there");
    assert_eq!(batch.inputs().in_memory().expect("a batch").values(), [3e9, 1.0]);
}

#[test]
fn a_wrong_row_count_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    let numbers = Arc::new(Int64Array::from((0..1500).collect::<Vec<_>>()));
    let batch = RecordBatch::try_from_iter([("a", numbers as _)]).expect("a column");
    let mut writer =
        ArrowWriter::try_new(File::create(&path).expect("a file"), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    for (remaining, says) in [(100, "has more rows than it says"), (10_000, "has fewer rows than it says")] {
        let mut file = ParquetFile::open(&path).expect("it is whole");
        assert!(file.read_row().expect("a first row"));
        file.remaining = remaining;
        let error = (0..1600).find_map(|_| file.read_row().err()).expect("it is noticed").to_string();
        assert!(error.contains(says), "{error}");
    }
}
