//! Tests of the types of Parquet columns.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringDictionaryBuilder};
use arrow_array::types::{
    Date32Type, Date64Type, Decimal256Type, DurationSecondType, Int8Type, Time64MicrosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{
    Array as _, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float16Array, Float32Array, Float64Array, Int8Array, Int64Array, LargeStringArray, NullArray,
    PrimitiveArray, RecordBatch, StringArray, StringViewArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{ByteArrayType, DoubleType, FixedLenByteArrayType, Int32Type, Int64Type, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Result;
use crate::data::settings_for_tests::unchanged;
use crate::data::{Array, DataConfig, LoadedData};

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Writes columns as one row group.
pub(super) fn columns(path: &Path, columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) {
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).expect("columns of one length");
    let file = std::fs::File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

/// Writes a file of these columns and a target `y`: 0, 1, 2.
pub(super) fn with_target(folder: &TempDir, more: Vec<(&str, ArrayRef)>) {
    let y: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 2]));
    columns(&folder.path().join("rows.parquet"), [more, vec![("y", y)]].concat(), WriterProperties::default());
}

pub(super) fn load(folder: &TempDir, config: Value) -> Result<LoadedData> {
    serde_json::from_value::<DataConfig>(unchanged(config)).expect("a data table").load(folder.path())
}

/// Loads the file with `inputs = ["a"]` and returns the inputs or the error.
pub(super) fn inputs(folder: &TempDir) -> Result<Vec<f32>, String> {
    let data = load(folder, json!({"file": "rows.parquet", "target": "y", "inputs": ["a"]}))
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))?;
    Ok(data.train.inputs().in_memory().expect("small").values().to_vec())
}

/// Writes `column` as the column `a` and returns it as inputs, or the error.
fn read(column: ArrayRef) -> Result<Vec<f32>, String> {
    let folder = folder();
    with_target(&folder, vec![("a", column)]);
    inputs(&folder)
}

/// Writes `column` as the target `y` and returns the target, or the error.
fn target(column: ArrayRef) -> Result<Array, String> {
    let folder = folder();
    let path = folder.path().join("rows.parquet");
    let x: ArrayRef = Arc::new(Float32Array::from(vec![1.0; column.len()]));
    columns(&path, vec![("x", x), ("y", column)], WriterProperties::default());
    let data = load(&folder, json!({"file": "rows.parquet", "target": "y"})).map_err(|error| error.to_string())?;
    Ok(data.train.targets()[0].values.clone())
}

#[test]
fn decimals_are_scaled_in_every_storage_type() {
    let right = Ok(vec![12.34, 0.05, -7.0]);
    for precision in [4, 9, 18, 38] {
        let values = Decimal128Array::from(vec![1234, 5, -700]).with_precision_and_scale(precision, 2).expect("a type");
        assert_eq!(read(Arc::new(values)), right, "decimal({precision}, 2)");
    }
    let wide = Decimal256Array::from_iter_values(
        [1234, 5, -700].map(<Decimal256Type as ArrowPrimitiveType>::Native::from_i128),
    );
    assert_eq!(read(Arc::new(wide.with_precision_and_scale(76, 2).expect("a type"))), right);
    let large: i128 = 12_345_678_901_234_567_890_123_456_789_012_345_678;
    let large = Decimal128Array::from(vec![large, 0, 1]).with_precision_and_scale(38, 20).expect("a type");
    assert_eq!(read(Arc::new(large)), Ok(vec![1.234_567_9e17, 0.0, 1e-20]));
    // Decimals of writers other than Arrow's.
    let folder = folder();
    let path = folder.path().join("rows.parquet");
    for stored in [
        "int32 a (DECIMAL(9, 2))",
        "int64 a (DECIMAL(18, 2))",
        "fixed_len_byte_array(5) a (DECIMAL(9, 2))",
        "binary a (DECIMAL(9, 2))",
    ] {
        let schema =
            parse_message_type(&format!("message rows {{ required {stored}; required int32 y; }}")).expect("a schema");
        let file = std::fs::File::create(&path).expect("a file");
        let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::default()).expect("a writer");
        let mut columns = writer.next_row_group().expect("a group");
        let mut column = columns.next_column().expect("a").expect("a");
        let bytes = |number: i64| number.to_be_bytes()[3..].to_vec();
        match stored.split(' ').next().expect("a type") {
            "int32" => column.typed::<Int32Type>().write_batch(&[1234, 5, -700], None, None),
            "int64" => column.typed::<Int64Type>().write_batch(&[1234, 5, -700], None, None),
            "binary" => {
                let values = [1234, 5, -700].map(|number| bytes(number).into());
                column.typed::<ByteArrayType>().write_batch(&values, None, None)
            }
            _ => {
                let values = [1234, 5, -700].map(|number| parquet::data_type::ByteArray::from(bytes(number)).into());
                column.typed::<FixedLenByteArrayType>().write_batch(&values, None, None)
            }
        }
        .expect("written");
        column.close().expect("closed");
        let mut column = columns.next_column().expect("y").expect("y");
        column.typed::<Int32Type>().write_batch(&[0, 1, 2], None, None).expect("written");
        column.close().expect("closed");
        columns.close().expect("closed");
        writer.close().expect("closed");
        assert_eq!(inputs(&folder), right, "{stored}");
    }
}

#[test]
fn integers_of_every_width_and_signedness_are_read() {
    assert_eq!(read(Arc::new(UInt8Array::from(vec![0, 128, 255]))), Ok(vec![0.0, 128.0, 255.0]));
    assert_eq!(read(Arc::new(UInt16Array::from(vec![0, 1, 65_535]))), Ok(vec![0.0, 1.0, 65_535.0]));
    assert_eq!(read(Arc::new(UInt32Array::from(vec![0, 1, 3_000_000_000]))), Ok(vec![0.0, 1.0, 3e9]));
    assert_eq!(read(Arc::new(UInt64Array::from(vec![0, 1, 1 << 63]))), Ok(vec![0.0, 1.0, 9_223_372_036_854_775_808.0]));
    assert_eq!(read(Arc::new(Int8Array::from(vec![-128, 0, 127]))), Ok(vec![-128.0, 0.0, 127.0]));
    assert_eq!(read(Arc::new(BooleanArray::from(vec![true, false, true]))), Ok(vec![1.0, 0.0, 1.0]));
    let whole = Decimal128Array::from(vec![3, -4, 5]).with_precision_and_scale(20, 0).expect("a type");
    assert_eq!(read(Arc::new(whole)), Ok(vec![3.0, -4.0, 5.0]));
}

#[test]
fn integers_inexact_in_float32_are_rejected_as_inputs_and_exact_as_targets() {
    let id = 16_777_217;
    let says = "an integer can't be an input, since float32 rounds it\n  in      rows.parquet, row 2 (from 1), column \"a\"\n  \
                found   \"16777217\"";
    let decimals = Decimal128Array::from(vec![0, id, 1]).with_precision_and_scale(38, 0).expect("a type");
    for column in [
        Arc::new(Int64Array::from(vec![0, id as i64, 1])) as ArrayRef,
        Arc::new(UInt32Array::from(vec![0, id as u32, 1])),
        Arc::new(UInt64Array::from(vec![0, id as u64, 1])),
        Arc::new(decimals),
    ] {
        let error = read(column).expect_err("it is rounded");
        assert!(error.starts_with(says), "{error}");
    }
    assert_eq!(read(Arc::new(Int64Array::from(vec![1 << 24, 20_000_000, -(1 << 40)]))).map(|rows| rows[1]), Ok(2e7));
    assert_eq!(read(Arc::new(Float64Array::from(vec![16_777_217.0, 0.0, 1.0]))).map(|rows| rows[0]), Ok(16_777_216.0));
    let folder = folder();
    with_target(&folder, vec![("a", Arc::new(Int64Array::from(vec![0, 16_777_217, 1])))]);
    let scaled = json!({"file": "rows.parquet", "target": "y", "inputs": ["a"], "scale": 0.5});
    assert!(load(&folder, scaled).is_ok(), "what is scaled is a quantity");

    let ids = vec![(1 << 53) + 1, i64::MAX, 3];
    let Ok(Array::I64(exact)) = target(Arc::new(Int64Array::from(ids.clone()))) else { panic!("int64") };
    assert_eq!(exact.values(), ids);
    let Ok(Array::I64(exact)) = target(Arc::new(UInt64Array::from(vec![(1 << 53) + 1, 7]))) else { panic!("int64") };
    assert_eq!(exact.values(), [(1 << 53) + 1, 7]);
    let error = target(Arc::new(UInt64Array::from(vec![0, u64::MAX]))).expect_err("too large");
    assert!(
        error.contains("an integer is too large for int64") && error.contains("row 2 (from 1), column \"y\""),
        "{error}"
    );
    let huge = |number: &str| {
        let huge = arrow_buffer::i256::from_string(number).expect("of 256 bits");
        let decimals = Decimal256Array::from(vec![huge, arrow_buffer::i256::ONE, arrow_buffer::i256::ZERO]);
        Arc::new(decimals.with_precision_and_scale(76, 0).expect("a type")) as ArrayRef
    };
    let two_to_127_and_1 = "170141183460469231731687303715884105729";
    let error = read(huge(two_to_127_and_1)).expect_err("it is rounded");
    assert!(error.starts_with("an integer can't be an input, since float32 rounds it"), "{error}");
    assert!(error.contains("row 1 (from 1), column \"a\""), "{error}");
    let error = read(huge(&format!("{two_to_127_and_1}000"))).expect_err("it is too large");
    assert!(error.starts_with("a number is too large for float32"), "{error}");
    let error = target(huge(two_to_127_and_1)).expect_err("it is too large");
    assert!(error.starts_with("an integer is too large for int64"), "{error}");
    let error = target(Arc::new(Float64Array::from(vec![0.5, 1e300]))).expect_err("too large");
    assert!(error.contains("a number is too large for float32") && error.contains("row 2 (from 1)"), "{error}");
}

#[test]
fn floats_of_every_type_are_read_and_too_large_ones_rejected() {
    let halves = [1.5, -2.5, 65_504.0].map(half::f16::from_f32).to_vec();
    assert_eq!(read(Arc::new(Float16Array::from(halves))), Ok(vec![1.5, -2.5, 65_504.0]));
    assert_eq!(read(Arc::new(Float32Array::from(vec![1.5, -0.0, 1e-40]))), Ok(vec![1.5, -0.0, 1e-40]));
    for (wrong, says) in [(1e39, "too large for float32"), (f64::INFINITY, "is infinite"), (f64::NAN, "is missing")] {
        let error = read(Arc::new(Float64Array::from(vec![1.0, 2.0, wrong]))).expect_err("refused");
        assert!(error.contains(says) && error.contains("row 3 (from 1), column \"a\""), "{error}");
    }
}

#[test]
fn missing_values_are_errors_with_their_row() {
    for column in [
        Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])) as ArrayRef,
        Arc::new(UInt64Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(Float64Array::from(vec![Some(1.0), None, Some(3.0)])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
    ] {
        let error = read(column).expect_err("one is missing");
        assert!(
            error.starts_with("a value is missing\n  in      rows.parquet, row 2 (from 1), column \"a\""),
            "{error}"
        );
    }
    let error = read(Arc::new(NullArray::new(3))).expect_err("all are missing");
    assert!(error.starts_with("a value is missing\n  in      rows.parquet, row 1 (from 1)"), "{error}");
}

#[test]
fn text_of_every_type_becomes_classes() {
    let mut dictionary = StringDictionaryBuilder::<Int8Type>::new();
    ["b", "a", "b"].iter().for_each(|word| dictionary.append_value(word));
    let words = vec!["b", "a", "b"];
    for column in [
        Arc::new(StringArray::from(words.clone())) as ArrayRef,
        Arc::new(LargeStringArray::from(words.clone())),
        Arc::new(StringViewArray::from(words.clone())),
        Arc::new(BinaryArray::from(vec![b"b".as_slice(), b"a", b"b"])),
        Arc::new(dictionary.finish()),
    ] {
        let found = column.data_type().clone();
        let Ok(Array::I32(ids)) = target(column) else { panic!("classes of {found}") };
        assert_eq!(ids.values(), [1, 0, 1], "{found}");
    }
    let error = target(Arc::new(BinaryArray::from(vec![b"a".as_slice(), &[0xff, 0xfe]]))).expect_err("no text");
    assert!(error.starts_with("a class name contains bytes that aren't text"), "{error}");
    assert!(error.contains("row 2 (from 1), column \"y\""), "{error}");
}

#[test]
fn text_is_always_class_names() {
    let folder = folder();
    let x: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0]));
    let words = |words: [&str; 2]| Arc::new(StringArray::from(words.to_vec())) as ArrayRef;
    let write = |name: &str, y| {
        columns(&folder.path().join(name), vec![("x", Arc::clone(&x)), ("y", y)], WriterProperties::default());
    };
    write("a.parquet", words(["true", "false"]));
    write("b.parquet", words(["false", "true"]));
    let data = load(&folder, json!({"file": "a.parquet", "validation": "b.parquet", "target": "y"})).expect("words");
    assert_eq!(data.schema.targets[0].class_names, Some(vec!["false".to_owned(), "true".to_owned()]));
    assert_eq!(data.train.targets()[0].values.class_ids(), Some(vec![1, 0]));
    assert_eq!(data.validation.expect("it is there").targets()[0].values.class_ids(), Some(vec![0, 1]));
    write("c.parquet", Arc::new(BooleanArray::from(vec![true, false])));
    let data = load(&folder, json!({"file": "c.parquet", "target": "y"})).expect("booleans");
    assert_eq!(data.schema.targets[0].class_names, None);
    assert_eq!(data.train.targets()[0].values.class_ids(), Some(vec![1, 0]));
    std::fs::write(folder.path().join("d.csv"), "x,y\n1,true\n2,False\n").expect("it can be written");
    let again = data.schema.read(&[folder.path().join("d.csv")], &mut Vec::new()).expect("it is read");
    assert_eq!(again.targets(), data.train.targets());
}

#[test]
fn non_numeric_columns_are_rejected_by_name_if_used() {
    let mut lists = ListBuilder::new(arrow_array::builder::Float64Builder::new());
    (0..3).for_each(|i| lists.append_value([Some(f64::from(i)), Some(2.0)]));
    let bytes = FixedSizeBinaryArray::try_from_iter([[1, 2], [3, 4], [5, 6]].into_iter()).expect("pairs");
    let binary = BinaryArray::from(vec![Some(&[0xff, 0xfe][..]), None, Some(b"text")]);
    let times: [(ArrayRef, &str); 7] = [
        (Arc::new(binary), "bytes that aren't text"),
        (Arc::new(PrimitiveArray::<TimestampNanosecondType>::from(vec![1, 2, 3])), "dates or times"),
        (Arc::new(PrimitiveArray::<Date32Type>::from(vec![1, 2, 3])), "dates or times"),
        (Arc::new(PrimitiveArray::<Time64MicrosecondType>::from(vec![1, 2, 3])), "dates or times"),
        (Arc::new(PrimitiveArray::<DurationSecondType>::from(vec![1, 2, 3])), "durations"),
        (Arc::new(lists.finish()), "lists"),
        (Arc::new(bytes), "values of a type that can't be read"),
    ];
    for (column, what) in times {
        let folder = folder();
        let x: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0]));
        with_target(&folder, vec![("a", column), ("x", x)]);
        // Bytes may be text, so the error is of the cell rather than of the column.
        let is_type = !what.contains("bytes");
        let error = inputs(&folder).expect_err("it isn't read");
        if is_type {
            assert!(error.starts_with(&format!("the column \"a\" contains {what}\n  in      rows.parquet")), "{error}");
            assert!(error.contains("or leave it out: `inputs` names the columns to use"), "{error}");
        } else {
            assert!(
                error.starts_with(
                    "a category contains bytes that aren't text\n  in      rows.parquet, row 1 (from 1), column \"a\""
                ),
                "{error}"
            );
        }
        for role in ["target", "sample_weight"] {
            let mut config = json!({"file": "rows.parquet", "target": "y", "inputs": ["x"]});
            config[role] = "a".into();
            let error = load(&folder, config).expect_err("it isn't read").to_string();
            if is_type || role == "target" {
                assert!(error.starts_with(&format!("the column \"a\" contains {what}")), "{role}: {error}");
            } else {
                assert!(error.contains("row 1 (from 1), column \"a\""), "{role}: {error}");
            }
        }
        let named =
            load(&folder, json!({"file": "rows.parquet", "target": "y", "inputs": ["x"]})).expect("it isn't used");
        assert!(named.notes.is_empty());
        let rest = load(&folder, json!({"file": "rows.parquet", "target": "y"})).expect("it is left out");
        assert_eq!(rest.schema.inputs, ["x"]);
        let note = &rest.notes[0];
        assert!(
            note.starts_with("columns left out, ") && (note.ends_with(": a") || note.contains("dates: a;")),
            "{note}"
        );
    }
}

#[test]
fn dates_of_every_type_are_encoded_if_that_is_asked() {
    // 2024-02-29, 1970-01-01 and none, at midnight.
    let days = [Some(19_782), Some(0), None];
    let times = |unit: i64| days.map(|day| day.map(|day| i64::from(day) * 86_400 * unit)).to_vec();
    let types: [ArrayRef; 6] = [
        Arc::new(PrimitiveArray::<Date32Type>::from(days.to_vec())),
        Arc::new(PrimitiveArray::<Date64Type>::from(times(1000))),
        Arc::new(PrimitiveArray::<TimestampSecondType>::from(times(1))),
        Arc::new(PrimitiveArray::<TimestampMillisecondType>::from(times(1000)).with_timezone("+02:00")),
        Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(times(1_000_000))),
        Arc::new(PrimitiveArray::<TimestampNanosecondType>::from(times(1_000_000_000)).with_timezone("Europe/Paris")),
    ];
    let mut first = None;
    for dates in types {
        let folder = folder();
        let shown = dates.data_type().to_string();
        with_target(&folder, vec![("a", dates)]);
        let config = json!({"file": "rows.parquet", "target": "y", "dates": "cyclic"});
        let config: DataConfig = serde_json::from_value(config).expect("a data table");
        let data = config.load(folder.path()).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let inputs = data.train.inputs().in_memory().expect("small").values().to_vec();
        // The years are standardised. January is at the start of a turn, and Thursday at 3/7 of one.
        let weekday = (3.0 / 7.0 * std::f64::consts::TAU).sin() as f32;
        assert_eq!((inputs[6], inputs[7], inputs[8], inputs[9]), (-1.0, 0.0, 1.0, weekday), "{shown}");
        assert_eq!(*first.get_or_insert(inputs.clone()), inputs, "{shown}");
    }
}

#[test]
fn int96_timestamps_are_rejected_by_name_if_used() {
    let folder = folder();
    let schema = "message rows { required int96 a; required double x; required int32 y; }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let file = std::fs::File::create(folder.path().join("rows.parquet")).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).expect("a writer");
    let mut columns = writer.next_row_group().expect("a group");
    let mut column = columns.next_column().expect("a").expect("a");
    column.typed::<Int96Type>().write_batch(&[Int96::new(); 2], None, None).expect("written");
    column.close().expect("closed");
    let mut column = columns.next_column().expect("x").expect("x");
    column.typed::<DoubleType>().write_batch(&[1.5, 2.5], None, None).expect("written");
    column.close().expect("closed");
    let mut column = columns.next_column().expect("y").expect("y");
    column.typed::<Int32Type>().write_batch(&[0, 1], None, None).expect("written");
    column.close().expect("closed");
    columns.close().expect("closed");
    writer.close().expect("closed");
    assert!(inputs(&folder).expect_err("it isn't read").starts_with("the column \"a\" contains dates or times"));
    let data = load(&folder, json!({"file": "rows.parquet", "target": "y"})).expect("it is left out");
    assert_eq!(data.train.inputs().in_memory().expect("small").values(), [1.5, 2.5]);
}

#[test]
fn a_list_column_is_rejected_by_name() {
    let folder = folder();
    let path = folder.path().join("rows.parquet");
    let schema = Arc::new(parse_message_type("message rows { repeated int32 several; }").expect("a schema"));
    let file = std::fs::File::create(&path).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).expect("a writer");
    let mut columns = writer.next_row_group().expect("a group");
    let mut column = columns.next_column().expect("several").expect("several");
    column.typed::<Int32Type>().write_batch(&[1, 2], Some(&[1, 1]), Some(&[0, 1])).expect("written");
    column.close().expect("closed");
    columns.close().expect("closed");
    writer.close().expect("closed");
    let config = json!({"file": "rows.parquet", "target": "several"});
    let error = load(&folder, config).expect_err("they are lists").to_string();
    assert!(error.starts_with("the column \"several\" contains lists"), "{error}");
}
