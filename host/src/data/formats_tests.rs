//! Tests of rules that all file formats share: booleans, ids, and numbers too large for float32.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::settings_for_tests::unchanged;
use super::{Array, DataConfig, LoadedData};
use crate::Result;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn load(folder: &TempDir, config: Value) -> Result<LoadedData> {
    serde_json::from_value::<DataConfig>(unchanged(config)).expect("a data table").load(folder.path())
}

/// Returns the text of the error, without the path of the folder.
fn load_error(folder: &TempDir, config: Value) -> String {
    let error = load(folder, config.clone()).err().unwrap_or_else(|| panic!("{config} is accepted"));
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

/// Returns the bytes of a .npy file in C order.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut file = ZipWriter::new(fs::File::create(path).expect("a file"));
    for (name, bytes) in arrays {
        file.start_file(format!("{name}.npy"), SimpleFileOptions::default()).expect("an array");
        std::io::Write::write_all(&mut file, bytes).expect("written");
    }
    file.finish().expect("written");
}

#[test]
fn booleans_are_0_and_1_in_every_format_and_role() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("rows.csv"), "x,y,w\nTrue,FALSE,true\nfalse,true,true\nTRUE,True,False\n").expect("written");
    let (x, y, w) = ([true, false, true], [false, true, true], [true, true, false]);
    let column = |values: [bool; 3]| Arc::new(BooleanArray::from(values.to_vec())) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("x", column(x)), ("y", column(y)), ("w", column(w))]).expect("columns");
    let file = fs::File::create(path("rows.parquet")).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    let array = |values: [bool; 3]| npy("|b1", "(3,)", &values.map(u8::from));
    npz(&path("rows.npz"), &[("x", array(x)), ("y", array(y)), ("w", array(w))]);
    for (name, values) in [("x.npy", x), ("y.npy", y), ("w.npy", w)] {
        fs::write(path(name), array(values)).expect("written");
    }
    for config in [
        json!({"file": "rows.csv", "target": "y", "sample_weight": "w"}),
        json!({"file": "rows.parquet", "target": "y", "sample_weight": "w"}),
        json!({"file": "rows.npz", "sample_weight": "w"}),
        json!({"file": "x.npy", "target": "y.npy", "sample_weight": "w.npy"}),
        json!({"file": "rows.csv", "target": "y", "inputs": ["x"], "sample_weight": "w", "in_memory": false}),
    ] {
        let data = load(&folder, config.clone()).unwrap_or_else(|error| panic!("{config}: {error}"));
        let mut batch = data.train.new_batch();
        data.train.gather_into(&[0, 1, 2], &mut batch).expect("they are there");
        assert_eq!(batch.inputs().in_memory().expect("a batch").values(), [1.0, 0.0, 1.0], "{config}");
        assert_eq!(batch.sample_weight().expect("weights").values(), [1.0, 1.0, 0.0], "{config}");
        assert_eq!(batch.targets()[0].values.class_ids(), Some(vec![0, 1, 1]), "{config}");
        assert_eq!(batch.targets()[0].class_names, None, "{config}");
        assert!(data.description.ends_with("1 input, 2 classes"), "{}", data.description);
        assert!(data.notes.is_empty(), "{config}");
    }
    // A run trained on one format can read the other.
    for (file, other) in [("rows.csv", "rows.parquet"), ("rows.parquet", "rows.csv")] {
        let data = load(&folder, json!({"file": file, "target": "y"})).expect("it is read");
        let again = data.schema.read(&[path(other)], &mut Vec::new()).expect("it is read");
        assert_eq!(again, data.train, "{other}");
    }
}

#[test]
fn a_resumed_run_checks_whether_inputs_are_booleans_or_numbers() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let y = npy("|u1", "(3,)", &[0, 1, 1]);
    let write = |name: &str, x: Vec<u8>| {
        npz(&path(&format!("{name}.npz")), &[("x", x.clone()), ("y", y.clone())]);
        fs::write(path(&format!("{name}.npy")), x).expect("written");
    };
    fs::write(path("y.npy"), &y).expect("written");
    write("booleans", npy("|b1", "(3, 1)", &[1, 0, 1]));
    write("bytes01", npy("|u1", "(3, 1)", &[1, 0, 1]));
    write("bytes", npy("|u1", "(3, 1)", &[1, 0, 255]));
    write("floats", npy("<f4", "(3, 1)", &[1.0_f32, 0.0, 0.5].map(f32::to_le_bytes).concat()));
    for scale in [1.0, 0.1] {
        for in_memory in [true, false] {
            let config = |name: &str| json!({"file": format!("{name}.npy"), "target": "y.npy", "scale": scale, "in_memory": in_memory});
            let again = |schema: &super::Schema, name: &str| -> Result<()> {
                let config: DataConfig = serde_json::from_value(config(name)).expect("a data table");
                let data = config.load_again(folder.path(), schema)?;
                data.train.gather_into(&[0, 1, 2], &mut data.train.new_batch())?;
                schema.read(&[path(&format!("{name}.npz"))], &mut Vec::new())?;
                schema.read_inputs(&[path(&format!("{name}.npy"))], &mut Vec::new()).map(drop)
            };
            let booleans = load(&folder, config("booleans")).expect("it is read").schema;
            let of_npz = load(&folder, json!({"file": "booleans.npz", "scale": scale})).expect("it is read").schema;
            assert_eq!((&booleans.kinds, &of_npz.kinds), (&vec![super::InputKind::Boolean], &booleans.kinds));
            for name in ["booleans", "bytes01"] {
                again(&booleans, name).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            for name in ["bytes", "floats"] {
                let error = again(&booleans, name).expect_err(name).to_string();
                assert!(
                    error.starts_with("the run was trained on booleans, and a number is neither 0 nor 1"),
                    "{error}"
                );
                assert!(error.contains(&format!("{name}.np")) && error.contains("row 2 (from 0)"), "{error}");
            }
            let numbers = load(&folder, config("bytes")).expect("it is read").schema;
            again(&numbers, "bytes01").expect("numbers");
            let error = again(&numbers, "booleans").expect_err("booleans").to_string();
            assert!(error.starts_with("the run was trained on numbers, and these inputs are booleans"), "{error}");
            // Runs of older versions store no kinds.
            let any = super::Schema { kinds: Vec::new(), ..numbers };
            again(&any, "booleans").expect("of any kind");
        }
    }
}

#[test]
fn unsigned_integers_are_the_same_in_memory_and_on_disk() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let x = |numbers: [u64; 2]| npy("<u8", "(2, 1)", &numbers.map(u64::to_le_bytes).concat());
    fs::write(path("y.npy"), npy("|u1", "(2,)", &[0, 1])).expect("written");
    let values = |numbers: [u64; 2], in_memory: bool| -> Result<Vec<f32>> {
        fs::write(path("x.npy"), x(numbers)).expect("written");
        let data = load(&folder, json!({"file": "x.npy", "target": "y.npy", "in_memory": in_memory}))?;
        let mut batch = data.train.new_batch();
        data.train.gather_into(&[0, 1], &mut batch)?;
        Ok(batch.inputs().in_memory().expect("a batch").values().to_vec())
    };
    for in_memory in [true, false] {
        assert_eq!(
            values([1 << 63, 3 << 62], in_memory).expect("float32 holds them"),
            [2f32.powi(63), 3.0 * 2f32.powi(62)]
        );
        let error = values([1 << 63, (1 << 63) + 1], in_memory).expect_err("it is rounded").to_string();
        assert!(error.contains("float32 rounds it") && error.contains("x.npy, inputs, row 1 (from 0)"), "{error}");
    }
    npz(&path("a.npz"), &[("x", x([1 << 63, 0])), ("y", x([1 << 63, 0]))]);
    let data = load(&folder, json!({"file": "a.npz", "target": "x"})).expect_err("a target is int64").to_string();
    assert!(data.contains("an integer is too large for int64"), "{data}");
    npz(&path("a.npz"), &[("x", x([1 << 63, 0])), ("y", x([1, 0]))]);
    let data = load(&folder, json!({"file": "a.npz"})).expect("float32 holds it");
    assert_eq!(data.train.inputs().in_memory().expect("small").values(), [2f32.powi(63), 0.0]);
}

#[test]
fn errors_report_the_array_row_for_fortran_order() {
    let folder = folder();
    fs::write(folder.path().join("y.npy"), npy("|u1", "(2,)", &[0, 1])).expect("written");
    // [[1, 2, 3], [4, NaN, 6]] in Fortran order.
    let data = [1.0_f32, 4.0, 2.0, f32::NAN, 3.0, 6.0].map(f32::to_le_bytes).concat();
    let mut file = npy("<f4", "(2, 3)", &data);
    let at = file.windows(5).position(|bytes| bytes == b"False").expect("it is there");
    file[at..at + 5].copy_from_slice(b"True ");
    fs::write(folder.path().join("x.npy"), file).expect("written");
    let error = load_error(&folder, json!({"file": "x.npy", "target": "y.npy"}));
    assert!(error.contains("x.npy, inputs, row 1 (from 0), column 1"), "{error}");
}

#[test]
fn npy_targets_are_matched_to_outputs_by_name() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("x.npy"), npy("|u1", "(2, 1)", &[0, 1])).expect("written");
    for (name, values) in [("one.npy", [1, 1]), ("two.npy", [2, 2])] {
        fs::write(path(name), npy("|u1", "(2,)", &values)).expect("written");
    }
    let config = |targets: Value| json!({"file": "x.npy", "target": targets});
    let data = load(&folder, config(json!({"a": "one.npy", "b": "two.npy"}))).expect("it is read");
    let again = |targets: Value| {
        let config: DataConfig = serde_json::from_value(config(targets)).expect("a data table");
        config.load_again(folder.path(), &data.schema).map(|again| again.train)
    };
    assert_eq!(again(json!({"b": "two.npy", "a": "one.npy"})).expect("it is read"), data.train);
    let swapped = again(json!({"b": "one.npy", "a": "two.npy"})).expect("it is read");
    assert_eq!((swapped.targets()[0].name.as_str(), swapped.targets()[0].values.label_count()), ("a", None));
    for (targets, says) in [
        (json!({"a": "one.npy", "c": "two.npy"}), "the run was trained on no target \"c\""),
        (json!({"a": "one.npy"}), "the run was trained on a target \"b\", and data.target has no file for it"),
        (json!("one.npy"), "the run was trained on no target \"one.npy\""),
    ] {
        let error = again(targets).expect_err("refused").to_string();
        assert!(error.starts_with(says) && error.contains("data.target"), "{error}");
    }
    // A single target file may have another name.
    let one = load(&folder, config(json!("one.npy"))).expect("it is read");
    let config: DataConfig = serde_json::from_value(config(json!("two.npy"))).expect("a data table");
    let two = config.load_again(folder.path(), &one.schema).expect("it is read");
    assert_eq!(two.train.targets()[0].name, "one");
}

#[test]
fn boolean_words_among_other_words_are_class_names() {
    let folder = folder();
    fs::write(folder.path().join("a.csv"), "x,y\n1,True\n2,false\n3,half-true\n4,True\n").expect("written");
    let data = load(&folder, json!({"file": "a.csv", "target": "y"})).expect("it is read");
    let names = ["True", "false", "half-true"].map(str::to_owned);
    assert_eq!(data.train.targets()[0].class_names.as_deref(), Some(&names[..]));
    fs::write(folder.path().join("b.csv"), "x,y\n1,true\n2,true\n").expect("written");
    let data = load(&folder, json!({"file": "b.csv", "target": "y"})).expect("it is read");
    assert_eq!(data.train.targets()[0].values.class_ids(), Some(vec![1, 1]), "one boolean alone is the same number");
    fs::write(folder.path().join("c.csv"), "x,y\ntrue,1\nperhaps,2\n").expect("written");
    let says = load_error(&folder, json!({"file": "c.csv", "target": "y"}));
    assert!(
        says.starts_with("a cell isn't a number\n  in      c.csv:3, column \"x\"\n  found   \"perhaps\""),
        "{says}"
    );
}

#[test]
fn csv_numbers_outside_float32_are_errors_with_their_line() {
    let folder = folder();
    for (cell, says) in [
        ("1e39", "a number is too large for float32"),
        ("-3.5e38", "a number is too large for float32"),
        ("1e400", "a number is infinite"),
        ("inf", "a number is infinite"),
        ("-Infinity", "a number is infinite"),
        ("340282366920938463463374607431768211456000", "a number is too large for float32"),
        ("170141183460469231731687303715884105727", "an integer can't be an input, since float32 rounds it"),
        ("170141183460469231731687303715884105729", "an integer can't be an input, since float32 rounds it"),
        ("-170141183460469231731687303715884105729", "an integer can't be an input, since float32 rounds it"),
        ("nan", "a value is missing"),
        ("-nan", "a value is missing"),
        ("NA", "a value is missing"),
        ("", "a value is missing"),
        ("0x1F", "a cell isn't a number"),
        ("\"1,234\"", "a cell isn't a number"),
        ("1_000", "a cell isn't a number"),
        ("1.5f", "a cell isn't a number"),
        ("16777217", "an integer can't be an input, since float32 rounds it"),
        ("-9007199254740993", "an integer can't be an input, since float32 rounds it"),
        ("18446744073709551615", "an integer can't be an input, since float32 rounds it"),
    ] {
        fs::write(folder.path().join("a.csv"), format!("x,y\n1,2\n{cell},3\n")).expect("written");
        let error = load_error(&folder, json!({"file": "a.csv", "target": "y"}));
        let found = cell.trim_matches('"');
        assert!(
            error.starts_with(&format!("{says}\n  in      a.csv:3, column \"x\"\n  found   \"{found}\"")),
            "{error}"
        );
    }
    for (cell, value) in [
        ("16777216", 16_777_216.0),
        ("20000000", 2e7),
        ("+5", 5.0),
        ("16777217.0", 16_777_216.0),
        ("1.6777217e7", 16_777_216.0),
        ("1e-50", 0.0),
        ("3.4028235e38", f32::MAX),
    ] {
        fs::write(folder.path().join("a.csv"), format!("x,y\n1,2\n{cell},3\n")).expect("written");
        let data = load(&folder, json!({"file": "a.csv", "target": "y"})).expect("it is read");
        assert_eq!(data.train.inputs().in_memory().expect("small").values()[1], value, "{cell}");
    }
    fs::write(folder.path().join("a.csv"), "x,y\n16777217,2\n").expect("written");
    assert!(
        load(&folder, json!({"file": "a.csv", "target": "y", "scale": 0.5})).is_ok(),
        "what is scaled is a quantity"
    );
}

#[test]
fn csv_targets_are_exact_or_rejected() {
    let folder = folder();
    let target = |cells: &str| {
        let rows: String = cells.split(' ').map(|cell| format!("1,{cell}\n")).collect();
        fs::write(folder.path().join("a.csv"), format!("x,y\n{rows}")).expect("written");
        load(&folder, json!({"file": "a.csv", "target": "y"})).map(|data| data.train.targets()[0].values.clone())
    };
    let Ok(Array::I64(ids)) = target("9007199254740993 0 -9223372036854775808") else { panic!("int64") };
    assert_eq!(ids.values(), [(1 << 53) + 1, 0, i64::MIN]);
    let Ok(Array::I32(ids)) = target("16777217 2.0 3e1") else { panic!("int32") };
    assert_eq!(ids.values(), [16_777_217, 2, 30]);
    let Ok(Array::F32(values)) = target("3 0.5 20000001") else { panic!("float32") };
    assert_eq!(values.values(), [3.0, 0.5, 2e7]);
    let Ok(Array::F32(values)) = target("0.5 3.4028235e38 -3.4028235e38") else { panic!("float32") };
    assert_eq!(values.values(), [0.5, f32::MAX, f32::MIN]);
    for cells in ["blue true 2", "true 2 blue"] {
        let data = target(cells);
        let Ok(Array::I32(ids)) = data else { panic!("{cells}: names of classes, not {data:?}") };
        let expected: Vec<i32> = cells
            .split(' ')
            .map(|cell| match cell {
                "2" => 0,
                "blue" => 1,
                _ => 2,
            })
            .collect();
        assert_eq!(ids.values(), expected, "{cells}");
    }
    for (cells, says) in [
        ("1 9223372036854775808", "an integer is too large for int64"),
        ("1 170141183460469231731687303715884105729", "an integer is too large for int64"),
        ("0.5 999999999999999999999999999999999999999", "a number is too large for float32"),
        ("1 true", "a target mixes booleans and numbers"),
        ("true 1", "a target mixes booleans and numbers"),
        ("true 0.5", "a target mixes booleans and numbers"),
        ("0.5 FALSE", "a target mixes booleans and numbers"),
        ("1 1e39", "a number is too large for float32"),
        ("0.5 inf", "a number is infinite"),
        ("0.5 0x10", "a cell isn't a number"),
    ] {
        let error = target(cells).expect_err("refused").to_string();
        assert!(error.starts_with(says) && error.contains("a.csv:3, column \"y\""), "{error}");
    }
}

#[test]
fn array_numbers_outside_float32_are_errors_with_their_place() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let doubles = |values: [f64; 4]| npy(">f8", "(2, 2)", &values.map(f64::to_be_bytes).concat());
    let good = doubles([1.0, 2.0, 3.0, 4.0]);
    let ids = [[1, 2], [3, 16_777_217]].concat();
    let int32 = npy("<i4", "(2, 2)", &ids.iter().flat_map(|id: &i32| id.to_le_bytes()).collect::<Vec<u8>>());
    let int64 = npy("<i8", "(2, 2)", &ids.iter().flat_map(|id| i64::from(*id).to_le_bytes()).collect::<Vec<u8>>());
    let uint64 = npy("<u8", "(2, 1, 2)", &[1_u64, 2, 3, (1 << 53) + 1].map(u64::to_le_bytes).concat());
    let large = "a number is too large for float32";
    let rounded = "an integer can't be an input, since float32 rounds it";
    for (bytes, says, at) in [
        (doubles([1.0, 2.0, 3.0, 1e39]), large, "row 1 (from 0), column 1"),
        (doubles([1.0, -1e300, 3.0, 1.0]), large, "row 0 (from 0), column 1"),
        (doubles([1.0, 2.0, f64::NAN, 1.0]), "a number is NaN or infinite", "row 1 (from 0), column 0"),
        (doubles([1.0, 2.0, f64::INFINITY, 1.0]), "a number is NaN or infinite", "row 1 (from 0), column 0"),
        (int32, rounded, "row 1 (from 0), column 1"),
        (int64, rounded, "row 1 (from 0), column 1"),
        (uint64, rounded, "row 1 (from 0), at [0, 1]"),
    ] {
        fs::write(path("x.npy"), &bytes).expect("written");
        fs::write(path("y.npy"), &good).expect("written");
        npz(&path("a.npz"), &[("x", bytes.clone()), ("y", good.clone())]);
        for (file, array, config) in
            [("x.npy", "inputs", json!({"file": "x.npy", "target": "y.npy"})), ("a.npz", "x", json!({"file": "a.npz"}))]
        {
            let error = load_error(&folder, config);
            assert!(error.starts_with(&format!("{says}\n  in      {file}, {array}, {at}")), "{error}");
        }
        // If the inputs stay on disk, the number is found when its row is read.
        let data =
            load(&folder, json!({"file": "x.npy", "target": "y.npy", "in_memory": false})).expect("it isn't read yet");
        let error = data.train.gather_into(&[1, 0], &mut data.train.new_batch()).expect_err("refused").to_string();
        assert!(error.starts_with(says) && error.contains(&format!("x.npy, inputs, {at}")), "{error}");
        if says == large {
            npz(&path("a.npz"), &[("x", good.clone()), ("y", bytes.clone()), ("w", bytes.clone())]);
            let error = load_error(&folder, json!({"file": "a.npz"}));
            assert!(error.starts_with(&format!("{says}\n  in      a.npz, y, {at}")), "{error}");
            let error =
                load_error(&folder, json!({"file": "a.npz", "target": "x", "inputs": "x", "sample_weight": "w"}));
            assert!(error.starts_with(&format!("{says}\n  in      a.npz, w, {at}")), "{error}");
            fs::write(path("y.npy"), &bytes).expect("written");
            fs::write(path("x.npy"), &good).expect("written");
            let error = load_error(&folder, json!({"file": "x.npy", "target": "y.npy"}));
            assert!(error.starts_with(&format!("{says}\n  in      y.npy, y, {at}")), "{error}");
        }
    }
    // Scaled numbers count as quantities, and may be in range after scaling.
    fs::write(path("x.npy"), doubles([1.0, 1e39, 3.0, 4.0])).expect("written");
    fs::write(path("y.npy"), npy("<u8", "(2,)", &[7_u64, 1 << 40].map(u64::to_le_bytes).concat())).expect("written");
    let data = load(&folder, json!({"file": "x.npy", "target": "y.npy", "scale": 1e-3})).expect("it fits");
    assert_eq!(data.train.inputs().in_memory().expect("small").values(), [1e-3, 1e36, 3e-3, 4e-3]);
    let Array::I64(ids) = &data.train.targets()[0].values else { panic!("int64") };
    assert_eq!(ids.values(), [7, 1 << 40]);
}
