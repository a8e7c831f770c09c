//! Tests of loading `[data]` tables: contents, notes and errors.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn, array};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Result;
use crate::data::numpy::{write_npy, write_npz};
use crate::data::settings_for_tests::unchanged;
use crate::data::{Array, DataConfig, Encoding, LoadedData, RawValue, Rows};

/// Creates a folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("it can be written");
    }
    folder
}

fn load(folder: &TempDir, config: Value) -> Result<LoadedData> {
    serde_json::from_value::<DataConfig>(unchanged(config)).expect("a data table").load(folder.path())
}

/// Returns the text of the error, without the path of the folder.
fn load_error(folder: &TempDir, config: Value) -> String {
    let error = load(folder, config.clone()).err().unwrap_or_else(|| panic!("{config} is accepted"));
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn i32s(values: &[i32]) -> Array {
    Array::I32(Rows::new(values.to_vec(), &[values.len()]).expect("a vector"))
}

const FRUIT: &str =
    "\u{feff}weight,colour,diameter,kind\n150, red ,7.5,apple\n120,yellow,\"3\",banana\n160,green,8,apple\n";

#[test]
fn csv_columns_are_classified() {
    let folder = folder(&[("fruit.csv", FRUIT)]);
    let data = load(&folder, json!({"file": "fruit.csv", "target": "kind", "scale": 0.5})).expect("it is read");
    assert_eq!(data.schema.inputs, ["weight", "colour", "diameter"]);
    assert_eq!(
        data.train.inputs().in_memory().expect("small").view(),
        array![[75.0, 0.0, 1.0, 0.0, 3.75], [60.0, 0.0, 0.0, 1.0, 1.5], [80.0, 1.0, 0.0, 0.0, 4.0]].into_dyn()
    );
    assert_eq!(data.schema.feature_names(), ["weight", "colour=green", "colour=red", "colour=yellow", "diameter"]);
    assert_eq!(data.train.targets()[0].values, i32s(&[0, 1, 0]));
    assert_eq!(data.schema.targets[0].class_names.as_deref(), Some(&["apple".to_owned(), "banana".to_owned()][..]));
    assert_eq!(data.description, "3 train; 5 inputs from 3 columns, 2 classes");
    assert_eq!(data.notes, [""; 0]);
    assert_eq!(data.source, "fruit.csv");
}

#[test]
fn several_outputs_and_several_columns_are_targets() {
    let folder = folder(&[("a.csv", "x,label,odd,u,v,w\n1,3,1,0.5,2,1\n2,4,0,1.5,3,2\n")]);
    let config = json!({
        "file": "a.csv", "inputs": ["x"], "sample_weight": "w",
        "target": {"parity": "odd", "digit": "label", "place": ["u", "v"]},
    });
    let data = load(&folder, config).expect("it is read");
    let names: Vec<&str> = data.train.targets().iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["digit", "parity", "place"]);
    assert_eq!(data.train.targets()[0].values, i32s(&[3, 4]));
    let place = Array::F32(Rows::new(vec![0.5, 2.0, 1.5, 3.0], &[2, 2]).expect("four"));
    assert_eq!(data.train.targets()[2].values, place);
    assert_eq!(data.train.sample_weight().expect("weights").values(), [1.0, 2.0]);
    assert_eq!(data.description, "2 train; 1 input, target digit, parity (2 classes), target place");
}

#[test]
fn validation_uses_the_last_samples_or_another_file() {
    let rows = |from: usize, to: usize| (from..to).map(|i| format!("{i},{}\n", ["b", "a"][i % 2])).collect::<String>();
    let files = [
        ("t1.csv", format!("x,y\n{}", rows(0, 10))),
        ("t2.csv", format!("y,x\n{}", "a,11\n")),
        ("v.csv", format!("x,y\n{}", rows(20, 23))),
        ("new.csv", "x,y\n1,c\n".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let folder = folder(&files);
    let data = load(&folder, json!({"file": "t1.csv", "target": "y", "validation_split": 0.25})).expect("it is read");
    assert_eq!((data.train.len(), data.validation.as_ref().map(crate::data::Dataset::len)), (7, Some(3)));
    assert_eq!(data.description, "7 train, 3 validation; 1 input, 2 classes");

    let data = load(&folder, json!({"train": "t*.csv", "validation": "v.csv", "target": "y"})).expect("it is read");
    assert_eq!(
        data.train.inputs().in_memory().expect("small").values()[10],
        11.0,
        "columns are found by name in each file"
    );
    assert_eq!(data.validation.expect("a file").targets()[0].values, i32s(&[1, 0, 1]));
    assert_eq!(data.source, "t1.csv, t2.csv, v.csv");

    let says = load_error(&folder, json!({"train": "t1.csv", "validation": "new.csv", "target": "y"}));
    assert!(
        says.starts_with("a class isn't among those that were trained\n  in      new.csv:2, column \"y\""),
        "{says}"
    );
}

#[test]
fn a_schema_reads_further_files_like_the_training_files() {
    let folder = folder(&[("a.csv", "a,b,y\n1,2,no\n3,4,yes\n"), ("more.csv", "b,name,a\n20,Ann,10\n")]);
    let data = load(&folder, json!({"file": "a.csv", "target": "y", "scale": 2})).expect("it is read");
    let schema = serde_json::from_value(json!(data.schema)).expect("it is stored and read back");
    assert_eq!(data.schema, schema);
    let path = |name: &str| vec![folder.path().join(name)];
    assert_eq!(
        schema
            .read_inputs(&path("more.csv"), &mut Vec::new())
            .expect("it is read")
            .in_memory()
            .expect("small")
            .values(),
        [20.0, 40.0]
    );
    assert_eq!(schema.read(&path("a.csv"), &mut Vec::new()).expect("it is read"), data.train);
    assert!(schema.read(&path("more.csv"), &mut Vec::new()).is_err(), "it has no y");
    let wide = ArrayD::<f32>::zeros(IxDyn(&[1, 3]));
    fs::write(folder.path().join("w.npy"), npy_bytes(&wide)).expect("it can be written");
    let error = schema.read_inputs(&path("w.npy"), &mut Vec::new()).expect_err("another width");
    assert!(error.message().ends_with("has samples of shape [3]; the run was trained on [2]"), "{error}");
}

#[test]
fn csv_errors_report_their_place() {
    let folder = folder(&[
        ("ok.csv", "x,z,label\n1,2,0\n2,3,1\n"),
        ("text.csv", "x,label\n1,0\n2,1\n3x,0\n"),
        ("nan.csv", "x,label\n1,0\nNaN,1\n"),
        ("gap.csv", "x,label\n,0\n1,1\n"),
        ("inf.csv", "x,label\n1,0\ninf,1\n"),
        ("big.csv", "x,label\n1e300,0\n"),
        ("class.csv", "x,label\n1,a\n2,\n"),
        ("ragged.csv", "x,label\n1,0\n2\n"),
        ("empty.csv", ""),
        ("header.csv", "x,label\n"),
        ("headless.csv", "1,2\n3,4\n"),
        ("semicolon.csv", "x;label\n1;0\n"),
        ("twice.csv", "x,x,label\n1,2,0\n"),
        ("mixed.csv", "x,a,b\n1,2,c\n"),
        ("alone.csv", "label\n1\n"),
    ]);
    fs::write(folder.path().join("latin.csv"), b"x,label\n1,caf\xe9\n").expect("it can be written");
    for (file, says) in [
        ("text.csv", "a cell isn't a number\n  in      text.csv:4, column \"x\"\n  found   \"3x\""),
        ("nan.csv", "a value is missing\n  in      nan.csv:3, column \"x\"\n  found   \"NaN\""),
        ("gap.csv", "a value is missing\n  in      gap.csv:2, column \"x\"\n  found   \"\""),
        ("inf.csv", "a number is infinite\n  in      inf.csv:3, column \"x\""),
        ("big.csv", "a number is too large for float32\n  in      big.csv:2, column \"x\"\n  found   \"1e300\""),
        ("class.csv", "a class name is missing\n  in      class.csv:3, column \"label\""),
        ("ragged.csv", "a row has 1 cells; the header has 2\n  in      ragged.csv:3"),
        ("empty.csv", "empty.csv is empty"),
        ("header.csv", "header.csv has no rows below its header"),
        ("headless.csv", "headless.csv has no header row\n  line 1  1,2"),
        ("semicolon.csv", "semicolon.csv separates its columns by ';'"),
        ("twice.csv", "twice.csv has two columns called \"x\""),
        ("alone.csv", "alone.csv has no column for the inputs beside the target"),
        ("latin.csv", "a row is not UTF-8 text\n  in      latin.csv:2"),
        ("none.csv", "cannot read none.csv: No such file"),
    ] {
        let error = load_error(&folder, json!({"file": file, "target": "label"}));
        assert!(error.starts_with(says), "{error}");
    }
    for (config, says) in [
        (json!({"file": "ok.csv", "target": "lable"}), "ok.csv has no column \"lable\"\n  near    label"),
        (json!({"file": "ok.csv"}), "data names no target\n  a column, such as target = \"label\""),
        (
            json!({"file": "ok.csv", "target": "label", "inputs": ["x", "label"]}),
            "the column \"label\" is an input and",
        ),
        (json!({"file": "ok.csv", "target": "label", "inputs": ["y"]}), "ok.csv has no column \"y\""),
        (json!({"file": "mixed.csv", "target": ["a", "b"]}), "the target \"target\" has words among its columns"),
        (json!({"file": "ok.csv", "train": "ok.csv", "target": "label"}), "data has both \"file\" and \"train\""),
        (json!({"target": "label"}), "data names no file"),
        (json!({"file": [], "target": "label"}), "data names no file"),
        (json!({"file": "z*.csv", "target": "label"}), "no file fits the pattern \"z*.csv\""),
        (json!({"file": "ok.xlsx", "target": "label"}), "ok.xlsx is in no known format"),
        (json!({"file": "ok.csv", "target": "label", "scale": 0}), "data.scale must be"),
        (json!({"file": "ok.csv", "target": "label", "validation_split": 1.5}), "validation_split must be"),
        (
            json!({"file": "ok.csv", "validation": "ok.csv", "validation_split": 0.5, "target": "label"}),
            "data has both \"validation\" and",
        ),
    ] {
        let error = load_error(&folder, config);
        assert!(error.starts_with(says), "{error}");
    }
    assert!(serde_json::from_value::<DataConfig>(json!({"fil": "a.csv"})).is_err());
}

fn npy_bytes(array: &ArrayD<f32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_npy(&mut bytes, &array.view()).expect("memory can be written");
    bytes
}

fn npz_file(folder: &Path, name: &str, arrays: &[(&str, &ArrayD<f32>)]) -> PathBuf {
    let views: Vec<_> = arrays.iter().map(|(name, array)| (*name, array.view())).collect();
    let mut bytes = Vec::new();
    write_npz(&mut bytes, &views).expect("memory can be written");
    let path = folder.join(name);
    fs::write(&path, bytes).expect("it can be written");
    path
}

#[test]
fn npy_pairs_and_npz_files_are_read() {
    let folder = folder(&[]);
    let x = ArrayD::from_shape_fn(IxDyn(&[4, 2, 3]), |at| (at[0] * 6 + at[1] * 3 + at[2]) as f32);
    let y = array![0.0_f32, 1.0, 0.5, 2.0].into_dyn();
    fs::write(folder.path().join("x.npy"), npy_bytes(&x)).expect("it can be written");
    fs::write(folder.path().join("y.npy"), npy_bytes(&y)).expect("it can be written");
    let data = load(&folder, json!({"file": "x.npy", "target": "y.npy"})).expect("it is read");
    assert_eq!(data.train.inputs().in_memory().expect("small").view(), x);
    assert_eq!(data.description, "4 train; inputs of 2x3, target y");

    let path = npz_file(folder.path(), "a.npz", &[("x", &x), ("y", &y), ("w", &y)]);
    let data =
        load(&folder, json!({"file": "a.npz", "sample_weight": "w", "validation_split": 0.5})).expect("it is read");
    assert_eq!((data.train.len(), data.validation.map(|validation| validation.len())), (2, Some(2)));
    assert_eq!(data.schema.read(std::slice::from_ref(&path), &mut Vec::new()).expect("it is read").len(), 4);
    assert_eq!(
        data.schema
            .read_inputs(&[folder.path().join("x.npy")], &mut Vec::new())
            .expect("it is read")
            .in_memory()
            .expect("small")
            .view(),
        x
    );

    let error = load_error(&folder, json!({"file": "a.npz", "columns": {"x": "drop"}}));
    assert!(error.starts_with("data.columns is for the columns of tables, and these files are arrays"), "{error}");
    let error = load_error(&folder, json!({"file": "a.npz", "target": "z"}));
    assert!(error.contains("a.npz has no array \"z\"") && error.contains("w, x, y"), "{error}");
    npz_file(folder.path(), "short.npz", &[("x", &x), ("y", &array![1.0_f32].into_dyn())]);
    assert!(
        load_error(&folder, json!({"file": "short.npz"})).starts_with("the inputs have 4 rows and the target \"y\" 1")
    );
    npz_file(folder.path(), "nan.npz", &[("x", &array![[1.0_f32], [f32::NAN]].into_dyn()), ("y", &y)]);
    let error = load_error(&folder, json!({"file": "nan.npz"}));
    assert!(error.contains("nan.npz, x, row 1 (from 0)"), "{error}");
}

#[test]
fn truncated_and_changed_npz_files_cause_no_panic() {
    let folder = folder(&[]);
    let x = ArrayD::<f32>::zeros(IxDyn(&[3, 2]));
    let path = npz_file(folder.path(), "a.npz", &[("x", &x), ("y", &x)]);
    let whole = fs::read(&path).expect("it is there");
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).expect("it can be written");
        assert!(load(&folder, json!({"file": "a.npz"})).is_err(), "{length} bytes");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        fs::write(&path, &changed).expect("it can be written");
        let _ = load(&folder, json!({"file": "a.npz"}));
    }
}

#[test]
fn the_digits_example_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits");
    let config = json!({"file": "digits.csv", "target": "label", "scale": 0.0625, "validation_split": 0.2});
    let data = serde_json::from_value::<DataConfig>(config).expect("a data table").load(&folder).expect("it is read");
    assert_eq!(data.description, "1,437 train, 360 validation; 64 inputs, 10 classes");
    assert!(data.train.inputs().in_memory().expect("small").values().iter().all(|value| (0.0..=1.0).contains(value)));
    assert!(data.notes.is_empty());
}

#[test]
fn encoded_inputs_are_the_same_in_memory_and_on_disk() {
    let rows: String = (0..500)
        .map(|row| {
            let age = if row % 7 == 0 { String::new() } else { (row * 37 % 60).to_string() };
            let word = format!("w{}", row * row % 45);
            format!(
                "{age},{word},{}, 20{:02}-03-0{}T1{}:00,{}\n",
                row % 3 == 0,
                row % 30,
                1 + row % 9,
                row % 10,
                row % 4
            )
        })
        .collect();
    let folder = folder(&[("d.csv", &format!("age,word,yes,day,y\n{rows}"))]);
    let config = |in_memory: bool| {
        let config = json!({
            "file": "d.csv", "target": "y", "validation_split": 0.2, "in_memory": in_memory, "dates": "cyclic",
        });
        serde_json::from_value::<DataConfig>(config).expect("a data table")
    };
    let memory = config(true).load(folder.path()).expect("it is read");
    let disk = config(false).load(folder.path()).expect("it is read");
    assert_eq!((&memory.schema, &memory.notes), (&disk.schema, &disk.notes));
    let validation = |data: &LoadedData| data.validation.clone().expect("a part");
    for (memory, disk) in [(memory.train.clone(), disk.train.clone()), (validation(&memory), validation(&disk))] {
        assert!(disk.inputs().in_memory().is_none());
        let mut buffer = Rows::without_rows(&[]);
        let on_disk = disk.inputs().rows(0..disk.len(), &mut buffer).expect("it can be read");
        assert_eq!(on_disk, memory.inputs().in_memory().expect("small").view());
        assert_eq!(disk.targets(), memory.targets());
    }
    // The schema encodes the file as the run did.
    let again = config(true).load_again(folder.path(), &memory.schema).expect("it is read");
    assert_eq!((again.train, again.validation), (memory.train, memory.validation));
}

#[test]
fn an_encoder_of_the_schema_encodes_single_rows() {
    let folder = folder(&[("d.csv", "age,city,y\n10,Oslo,0\n30,Rome,1\n,Oslo,1\n")]);
    let config: DataConfig = serde_json::from_value(json!({"file": "d.csv", "target": "y"})).expect("a data table");
    let data = config.load(folder.path()).expect("it is read");
    let encoder = data.schema.encoder();
    let mut features = Vec::new();
    for (age, city) in [
        (RawValue::Number(10.0), RawValue::Word("Oslo")),
        (RawValue::Number(30.0), RawValue::Word("Rome")),
        (RawValue::Missing, RawValue::Word("Oslo")),
    ] {
        encoder.encode(&[age, city], &mut features).expect("it fits");
    }
    assert_eq!(features, data.train.inputs().in_memory().expect("small").values());
    assert_eq!(features, [-1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(data.schema.feature_names(), ["age", "age is missing", "city=Oslo", "city=Rome"]);
}

#[test]
fn ids_and_free_text_are_left_out_and_many_categories_embedded() {
    let rows: String = (0..200).map(|row| format!("{row},text {row},c{},{}\n", row % 40, row * row % 3)).collect();
    let folder = folder(&[("d.csv", &format!("id,text,city,y\n{rows}"))]);
    let load = |more: Value| {
        let mut config = json!({"file": "d.csv", "target": "y"});
        config.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
        serde_json::from_value::<DataConfig>(config).expect("a data table").load(folder.path()).expect("it is read")
    };
    let data = load(json!({}));
    assert_eq!(data.schema.inputs, ["id", "city"]);
    assert_eq!(
        data.notes,
        [
            "columns left out, ids or free text: text",
            "columns that are probably ids: id; leave one out with `id = \"drop\"` in [data.columns]",
        ]
    );
    // Each of the 40 categories has 5 rows; the root of 40 is 6.3.
    assert!(
        matches!(&data.schema.columns[1].encoding, Encoding::Embedding { categories, dim: 6 } if categories.len() == 40)
    );
    assert_eq!(data.schema.embedded()[0].0, 1);
    let data = load(json!({"columns": {"text": {"embed": 3}, "id": "drop"}, "categories": "one_hot"}));
    assert_eq!(data.schema.inputs, ["text", "city"]);
    // Every text occurs once, so all are kept.
    assert!(
        matches!(&data.schema.columns[0].encoding, Encoding::Embedding { categories, dim: 3 } if categories.len() == 200)
    );
    assert_eq!(data.train.inputs().row_shape(), [41]);
    assert_eq!(load(json!({"categories": "drop"})).schema.left_out.len(), 2);
}
