//! The program, as a user runs it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::arrow::ipc::writer::FileWriter;
use datafusion::parquet::arrow::ArrowWriter;
use serde_json::Value;
use tempfile::TempDir;

struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Ran {
    fn with_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.out, self.err);
        self
    }

    fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "\"{text}\" isn't in: {}", self.err);
        }
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugfit-score"));
    command.current_dir(folder).args(arguments).env_remove("PLUGFIT_PLUGINS").env_remove("RUST_BACKTRACE");
    command.env("HOME", folder);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = command(folder, arguments).stdin(Stdio::null()).output().expect("it runs");
    ran(output)
}

fn ran(output: std::process::Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let ran = Ran {
        status: output.status.code().expect("it ends by itself"),
        out: text(output.stdout),
        err: text(output.stderr),
    };
    assert!(!ran.err.contains("panicked at"), "{}", ran.err);
    ran
}

/// Runs `score` with the usual columns.
fn score(folder: &Path, arguments: &[&str]) -> Ran {
    run(folder, &[&["score", "--y-true", "label", "--y-pred", "score"], arguments].concat())
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

const LABELS: [i64; 8] = [0, 1, 1, 0, 1, 0, 1, 0];
const SCORES: [f64; 8] = [0.2, 0.9, 0.4, 0.6, 0.75, 0.1, 0.3, 0.7];
const WEIGHTS: [f64; 8] = [1.0, 2.0, 0.5, 1.0, 1.0, 3.0, 1.0, 0.0];
const COUNTRIES: [&str; 8] = ["de", "de", "fr", "fr", "fr", "de", "fr", "de"];

fn table() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("label", Arc::new(Int64Array::from(LABELS.to_vec()))),
        ("score", Arc::new(Float64Array::from(SCORES.to_vec()))),
        ("weight", Arc::new(Float64Array::from(WEIGHTS.to_vec()))),
        ("country", Arc::new(StringArray::from(COUNTRIES.to_vec()))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn write_parquet(path: &Path, batch: &RecordBatch) {
    let file = File::create(path).expect("it can be written");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(batch).expect("rows");
    writer.close().expect("an end");
}

fn csv() -> String {
    let row = |row: usize| format!("{},{},{},{}\n", LABELS[row], SCORES[row], WEIGHTS[row], COUNTRIES[row]);
    format!("label,score,weight,country\n{}", (0..8).map(row).collect::<String>())
}

fn json_lines() -> String {
    let row = |row: usize| {
        let (label, score) = (LABELS[row], SCORES[row]);
        format!(
            "{{\"label\": {label}, \"score\": {score}, \"weight\": {}, \"country\": \"{}\"}}\n",
            WEIGHTS[row], COUNTRIES[row]
        )
    };
    (0..8).map(row).collect()
}

fn compress(program: &str, path: &Path) {
    let status = Command::new(program).args(["-k", "-q"]).arg(path).status().expect("it is installed");
    assert!(status.success());
}

#[test]
fn every_format_gives_the_same_numbers() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    write_parquet(&path("a.parquet"), &table());
    fs::write(path("a.csv"), csv()).expect("it can be written");
    fs::write(path("a.tsv"), csv().replace(',', "\t")).expect("it can be written");
    fs::write(path("a.jsonl"), json_lines()).expect("it can be written");
    compress("gzip", &path("a.csv"));
    compress("gzip", &path("a.jsonl"));
    let mut writer =
        FileWriter::try_new(File::create(path("a.arrow")).expect("a file"), &table().schema()).expect("a writer");
    writer.write(&table()).expect("rows");
    writer.finish().expect("an end");
    let options = ["--metric", "binary_accuracy", "--metric", "auc", "--sample-weight", "weight", "--json"];
    let expected = score(folder.path(), &[&["a.parquet"], &options[..]].concat()).with_status(0).json();
    let group = &expected["groups"][0];
    assert_eq!(group["rows"], 8);
    // The weights of right predictions: 1 + 2 + 1 + 3 of 9.5.
    assert_eq!(group["metrics"]["binary_accuracy"], 7.0 / 9.5);
    for file in ["a.csv", "a.tsv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.arrow"] {
        let found = score(folder.path(), &[&[file], &options[..]].concat()).with_status(0).json();
        assert_eq!(found, expected, "{file}");
    }
    let twice =
        score(folder.path(), &[&["a.parquet", "*.csv", "./a.csv"], &options[..]].concat()).with_status(0).json();
    assert_eq!(twice["groups"][0]["rows"], 16);
    let all = score(folder.path(), &[&["."], &options[..]].concat()).with_status(0).json();
    assert_eq!(all["groups"][0]["rows"], 7 * 8);
    let mut process = command(
        folder.path(),
        &[
            "score",
            "-",
            "--input-format",
            "parquet",
            "--y-true",
            "label",
            "--y-pred",
            "score",
            "--metric",
            "auc",
            "--json",
        ],
    );
    process.stdin(File::open(path("a.parquet")).expect("a file"));
    let found = ran(process.output().expect("it runs")).with_status(0).json();
    assert_eq!(found["groups"][0]["rows"], 8);
    score(folder.path(), &["-", "--metric", "auc"]).with_status(2).says(&["standard input needs its format"]);
}

#[test]
fn zstd_is_read() {
    let folder = folder();
    fs::write(folder.path().join("a.csv"), csv()).expect("it can be written");
    if Command::new("zstd").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("zstd isn't installed");
        return;
    }
    compress("zstd", &folder.path().join("a.csv"));
    score(folder.path(), &["a.csv.zst", "--metric", "auc"]).with_status(0);
}

#[test]
fn groups_filters_and_requirements() {
    let folder = folder();
    write_parquet(&folder.path().join("a.parquet"), &table());
    let ran = score(
        folder.path(),
        &["a.parquet", "--metric", "binary_accuracy", "--by", "country", "--by", "weight > 0 AS positive", "--json"],
    );
    let found = ran.with_status(0).json();
    assert_eq!(found["groups"][1]["by"], serde_json::json!({"country": "de", "positive": true}));
    let ran = score(
        folder.path(),
        &["a.parquet", "--metric", "binary_accuracy", "--by", "country", "--where", "weight > 0", "--json"],
    );
    let found = ran.with_status(0).json();
    let groups = found["groups"].as_array().expect("groups");
    let of =
        |at: usize| (groups[at]["by"]["country"].clone(), groups[at]["rows"].clone(), groups[at]["metrics"].clone());
    assert_eq!(of(0), ("de".into(), 3.into(), serde_json::json!({"binary_accuracy": 1.0})));
    assert_eq!(of(1), ("fr".into(), 4.into(), serde_json::json!({"binary_accuracy": 0.25})));
    let base = ["a.parquet", "--metric", "binary_accuracy", "--where", "weight > 0"];
    score(folder.path(), &[&base[..], &["--by", "country", "--require", "binary_accuracy>=0.75"]].concat())
        .with_status(1)
        .says(&["binary_accuracy is 0.250000 where country = fr; >= 0.750000 is required, short by 0.500000"]);
    score(folder.path(), &[&base[..], &["--require", "binary_accuracy>=0.5"]].concat()).with_status(0);
    // A metric that only a requirement names is computed too.
    score(folder.path(), &["a.parquet", "--require", "AUC(num_thresholds=50)>0.99"])
        .with_status(1)
        .says(&["AUC(num_thresholds=50) is 0.", "> 0.99"]);
    let small = score(folder.path(), &[&base[..], &["--by", "country", "--min-rows", "4", "--json"]].concat());
    let small = small.with_status(0).says(&["1 groups with fewer than 4 rows"]).json();
    assert_eq!((small["groups"].as_array().map(Vec::len), &small["small_groups"]), (Some(1), &1.into()));
    // An undefined metric meets no requirement.
    score(folder.path(), &["a.parquet", "--where", "label = 1", "--require", "auc>=0"])
        .with_status(1)
        .says(&["auc is undefined"]);
    let table = score(folder.path(), &["a.parquet", "--metric", "auc", "--by", "country"]).with_status(0).out;
    assert!(table.starts_with("country  rows       auc\nde          4"), "{table}");
}

#[test]
fn results_are_written_in_every_format_and_never_over_a_file() {
    let folder = folder();
    write_parquet(&folder.path().join("a.parquet"), &table());
    let options =
        ["a.parquet", "--metric", "binary_accuracy", "--metric", "Precision(thresholds=[0.5, 0.8])", "--by", "country"];
    let with = |more: &[&str]| score(folder.path(), &[&options[..], more].concat());
    let csv = with(&["--format", "csv"]).with_status(0).out;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "country,rows,binary_accuracy,\"Precision(thresholds=[0.5, 0.8])[0]\",\"Precision(thresholds=[0.5, 0.8])[1]\""
    );
    assert_eq!(lines[1], "de,4,0.75,0.5,1");
    let markdown = with(&["--format", "markdown"]).with_status(0).out;
    assert!(markdown.contains("\n| --- | ---: |"), "{markdown}");
    with(&["--format", "parquet"]).with_status(2).says(&["--out"]);
    with(&["--out", "out.parquet"]).with_status(0);
    with(&["--out", "out.parquet"]).with_status(2).says(&["already exists", "--overwrite"]);
    with(&["--out", "out.parquet", "--overwrite"]).with_status(0);
    with(&["--out", "a.parquet", "--force"]).with_status(2).says(&["one of the input files"]);
    let sql = "SELECT country, rows, binary_accuracy FROM 'out.parquet' ORDER BY country";
    let found = run(folder.path(), &["sql", sql, "--format", "csv"]).with_status(0).out;
    assert_eq!(found, "country,rows,binary_accuracy\nde,4,0.75\nfr,4,0.25\n");
    let names: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    with(&["--out", "no/such/out.csv"]).with_status(1).says(&["cannot write"]);
}

#[test]
fn options_come_from_a_file_too() {
    let folder = folder();
    fs::create_dir(folder.path().join("in")).expect("a folder");
    write_parquet(&folder.path().join("in/a.parquet"), &table());
    let config = "files = [\"*.parquet\"]\ny_true = \"label\"\ny-pred = \"score\"\nmetric = [\"auc\"]\nby = [\"country\"]\nformat = \"json\"\n";
    fs::write(folder.path().join("in/score.toml"), config).expect("it can be written");
    let found = run(folder.path(), &["score", "--config", "in/score.toml"]).with_status(0).json();
    assert_eq!(found["groups"].as_array().map(Vec::len), Some(2));
    let found = run(folder.path(), &["score", "--config", "in/score.toml", "--metric", "mean_squared_error"]);
    let found = found.with_status(0).json();
    assert_eq!(found["groups"][0]["metrics"].as_object().map(serde_json::Map::len), Some(1));
    fs::write(folder.path().join("in/score.toml"), format!("{config}metrics = []\n")).expect("it can be written");
    run(folder.path(), &["score", "--config", "in/score.toml"]).with_status(2).says(&["metrics", "score.toml"]);
    run(folder.path(), &["score", "--config", "no.toml"]).with_status(2).says(&["cannot read"]);
}

#[test]
fn classes_are_columns_or_lists_and_labels_may_be_texts() {
    let folder = folder();
    let [a, b, c] = [[0.7, 0.1, 0.2, 0.5], [0.2, 0.8, 0.3, 0.4], [0.1, 0.1, 0.5, 0.1]]
        .map(|column| Arc::new(Float64Array::from(column.to_vec())) as ArrayRef);
    let lists = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [0.5, 0.4, 0.1]];
    let lists =
        ListArray::from_iter_primitive::<Float64Type, _, _>(lists.map(|list| Some(list.map(Some).to_vec())).to_vec());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![0, 1, 2, 1]))),
        ("name", Arc::new(StringArray::from(vec!["cat", "dog", "eel", "dog"]))),
        ("wrong", Arc::new(Int64Array::from(vec![0, 1, 3, 1]))),
        ("p_cat", a),
        ("p_dog", b),
        ("p_eel", c),
        ("p", Arc::new(lists)),
    ];
    write_parquet(&folder.path().join("a.parquet"), &RecordBatch::try_from_iter(columns).expect("a table"));
    let accuracy = |arguments: &[&str]| {
        run(
            folder.path(),
            &[&["score", "a.parquet", "--metric", "sparse_categorical_accuracy", "--json"], arguments].concat(),
        )
    };
    for arguments in [
        &["--y-true", "id", "--y-pred", "p"][..],
        &["--y-true", "id", "--y-pred", "p_*"],
        &["--y-true", "name", "--y-pred", "p_*", "--classes", "cat,dog,eel"],
    ] {
        let found = accuracy(arguments).with_status(0).json();
        assert_eq!(found["groups"][0]["metrics"]["sparse_categorical_accuracy"], 0.75, "{arguments:?}");
    }
    let found = accuracy(&["--y-true", "id", "--y-pred", "p_*", "--metric", "accuracy"]).with_status(0).json();
    assert_eq!(found["groups"][0]["metrics"]["accuracy"], 0.75);
    accuracy(&["--y-true", "name", "--y-pred", "p"]).with_status(2).says(&["column of text", "--classes"]);
    accuracy(&["--y-true", "name", "--y-pred", "p", "--classes", "cat,dog"])
        .with_status(2)
        .says(&["\"eel\" isn't one of the classes", "a.parquet"]);
    accuracy(&["--y-true", "id", "--y-pred", "q_*"]).with_status(2).says(&["has no column q_*", "p_cat"]);
    accuracy(&["--y-true", "wrong", "--y-pred", "p"]).with_status(1).says(&["3", "a.parquet", "2 (from 0)"]);
}

#[test]
fn nulls_are_refused_with_their_place_or_skipped() {
    let folder = folder();
    fs::write(folder.path().join("a.csv"), csv()).expect("it can be written");
    fs::write(folder.path().join("b.csv"), "label,score,weight,country\n1,0.8,1,de\n1,,1,fr\n0,0.3,1,de\n,0.3,1,fr\n")
        .expect("it can be written");
    let options = ["a.csv", "b.csv", "--metric", "TruePositives", "--by", "country"];
    score(folder.path(), &options).with_status(2).says(&["y_pred is null", "b.csv", "1 (from 0)", "country = fr"]);
    let found = score(folder.path(), &[&options[..], &["--nulls", "skip", "--json"]].concat()).with_status(0).json();
    let groups = found["groups"].as_array().expect("groups");
    let counts: Vec<_> = groups.iter().map(|group| (&group["rows"], &group["skipped"])).collect();
    assert_eq!(counts, [(&6.into(), &0.into()), (&4.into(), &2.into())]);
    assert_eq!(groups[0]["metrics"]["TruePositives"], 2.0);
    // A row that is left out may be null.
    score(folder.path(), &[&options[..], &["--where", "score IS NOT NULL AND label IS NOT NULL"]].concat())
        .with_status(0);
}

#[test]
fn damaged_and_empty_files_are_named() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    write_parquet(&path("a.parquet"), &table());
    let whole = fs::read(path("a.parquet")).expect("it is there");
    fs::write(path("cut.parquet"), &whole[..whole.len() / 2]).expect("it can be written");
    let mut damaged = whole.clone();
    damaged[8..60].fill(0xff);
    fs::write(path("damaged.parquet"), &damaged).expect("it can be written");
    fs::write(path("empty.parquet"), b"").expect("it can be written");
    fs::write(path("empty.csv"), b"").expect("it can be written");
    fs::write(path("header.csv"), "label,score\n").expect("it can be written");
    let rows = "1,0.5\n".repeat(20_000);
    fs::write(path("broken.csv"), format!("label,score\n{rows}1,half\n{rows}")).expect("it can be written");
    fs::write(path("long.csv"), format!("label,score\n{rows}1,0.5,7\n{rows}")).expect("it can be written");
    let object = "{\"label\": 1, \"score\": 0.5}\n".repeat(20_000);
    fs::write(path("broken.jsonl"), format!("{object}{{\"label\": 1, \"sc\n{object}")).expect("it can be written");
    for file in
        ["cut.parquet", "damaged.parquet", "empty.parquet", "empty.csv", "broken.csv", "long.csv", "broken.jsonl"]
    {
        let ran = score(folder.path(), &["a.parquet", file, "--metric", "auc"]);
        assert!(ran.status == 1 || ran.status == 2, "{file}: {}", ran.err);
        ran.says(&[file]);
    }
    // A value that isn't a number, in the rows from which types are inferred.
    fs::write(path("early.csv"), format!("label,score\n{}1,half\n1,0.5\n", "1,0.5\n".repeat(20)))
        .expect("it can be written");
    for files in [&["early.csv"][..], &["a.parquet", "early.csv"]] {
        score(folder.path(), &[files, &["--metric", "auc"]].concat()).with_status(1).says(&[
            "y_pred is \"half\", which isn't a number",
            "early.csv",
            "20 (from 0)",
        ]);
    }
    score(folder.path(), &["broken.csv", "--metric", "auc"]).with_status(1).says(&["half", "20"]);
    let header = score(folder.path(), &["header.csv", "--metric", "auc", "--json"]).with_status(0).json();
    assert_eq!((&header["groups"][0]["rows"], &header["groups"][0]["metrics"]["auc"]), (&0.into(), &Value::Null));
    score(folder.path(), &["a.parquet", "header.csv", "--metric", "auc"]).with_status(0);
    fs::write(path("other.csv"), "label,probability\n1,0.5\n").expect("it can be written");
    score(folder.path(), &["header.csv", "other.csv", "--metric", "auc"]).with_status(2).says(&[
        "other.csv has no column score",
        "--y-pred",
        "label, probability",
    ]);
}

#[test]
fn wrong_options_are_usage_errors() {
    let folder = folder();
    write_parquet(&folder.path().join("a.parquet"), &table());
    for (arguments, texts) in [
        (&["a.parquet"][..], &["no metric is given", "plugfit list metrics"][..]),
        (&["a.parquet", "--metric", "aucc"], &["no metric is called \"aucc\"", "near    AUC"]),
        (&["a.parquet", "--metric", "auc", "--metric", "auc"], &["two metrics are called auc"]),
        (&["b.parquet", "--metric", "auc"], &["there is no file b.parquet"]),
        (&["a.parquet", "--metric", "auc", "--by", "contry"], &["has no column contry", "country"]),
        (&["a.parquet", "--metric", "auc", "--where", "weight >"], &["--where weight >"]),
        (&["a.parquet", "--metric", "auc", "--where", "wieght > 0"], &["wieght"]),
        (&["a.parquet", "--metric", "auc", "--require", "auc"], &["isn't a requirement"]),
        (&["a.parquet", "--metric", "auc", "--memory-limit", "lots"], &["\"lots\" isn't a size"]),
        (&["a.parquet", "--metric", "auc", "--sample-weight", "country"], &["sample_weight is a column of text"]),
        (&["--metric", "auc"], &["no file is given"]),
        (&["a.parquet", "--metric", "auc", "--plugins", "nowhere.so"], &[]),
    ] {
        let ran = score(folder.path(), arguments);
        if !texts.is_empty() {
            ran.with_status(2).says(texts);
        }
    }
    run(folder.path(), &["score", "a.parquet", "--y-pred", "score", "--metric", "auc"])
        .with_status(2)
        .says(&["auc needs y_true", "--y-true"]);
    run(folder.path(), &[]).with_status(2);
    run(folder.path(), &["score", "--help"]).with_status(0);
}

#[test]
fn many_groups_fit_into_a_memory_limit() {
    let folder = folder();
    let mut file = File::create(folder.path().join("a.csv")).expect("a file");
    writeln!(file, "label,score,g").expect("it can be written");
    for row in 0..200_000_u64 {
        writeln!(file, "{},0.{},{}", row % 2, row * 7919 % 1000, row % 100_000).expect("it can be written");
    }
    drop(file);
    let options = ["a.csv", "--metric", "binary_accuracy", "--by", "g", "--format", "csv", "--threads", "2"];
    let unlimited = score(folder.path(), &options).with_status(0).out;
    assert_eq!(unlimited.lines().count(), 100_001);
    let limited = score(folder.path(), &[&options[..], &["--memory-limit", "60M"]].concat()).with_status(0).out;
    assert!(limited == unlimited);
    score(folder.path(), &[&options[..], &["--memory-limit", "1M"]].concat())
        .with_status(1)
        .says(&["the memory limit isn't enough", "--memory-limit"]);
}

#[test]
fn queries_have_functions_of_metrics() {
    let folder = folder();
    write_parquet(&folder.path().join("a.parquet"), &table());
    let sql = "SELECT country, metric('BinaryAccuracy(threshold=0.5)', label, score) AS accuracy FROM 'a.parquet' \
               GROUP BY country ORDER BY country";
    let out = run(folder.path(), &["sql", sql, "--json"]).with_status(0).out;
    assert_eq!(out, "{\"country\":\"de\",\"accuracy\":0.75}\n{\"country\":\"fr\",\"accuracy\":0.25}\n");
    let table = run(folder.path(), &["sql", sql]).with_status(0).out;
    assert!(table.contains("| de      | 0.75     |"), "{table}");
    // A metric as Keras serializes it.
    let metric = r#"{"class_name": "BinaryAccuracy", "config": {"name": "right", "threshold": 0.5}}"#;
    let groups = score(folder.path(), &["a.parquet", "--metric", metric, "--json"]).with_status(0).json();
    assert_eq!(groups["groups"][0]["metrics"]["right"], 0.5);
    run(folder.path(), &["sql", "SELECT acu(label, score) FROM 'a.parquet'"]).with_status(2).says(&["'acu'"]);
    run(folder.path(), &["sql", "SELECT auc(label, score) FROM 'b.parquet'"]).with_status(2).says(&["b.parquet"]);
}

#[test]
fn a_query_writes_no_file() {
    let folder = folder();
    write_parquet(&folder.path().join("a.parquet"), &table());
    let before = fs::read(folder.path().join("a.parquet")).expect("it is there");
    for sql in [
        "COPY (SELECT 1 AS label) TO 'a.parquet'",
        "COPY (SELECT 1 AS label) TO 'b.parquet'",
        "INSERT INTO 'a.parquet' VALUES (1)",
        "CREATE EXTERNAL TABLE b STORED AS PARQUET LOCATION 'b.parquet'",
    ] {
        run(folder.path(), &["sql", sql]).with_status(2);
    }
    assert_eq!(fs::read(folder.path().join("a.parquet")).expect("it is there"), before);
    assert!(!folder.path().join("b.parquet").exists());
}

#[test]
fn a_file_with_any_damage_is_named() {
    let folder = folder();
    let path = folder.path().join("damaged.parquet");
    write_parquet(&path, &table());
    let whole = fs::read(&path).expect("it is there");
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut failures = 0;
    for _ in 0..60 {
        let mut damaged = whole.clone();
        for _ in 0..3 {
            let at = next(damaged.len());
            damaged[at] = next(256) as u8;
        }
        fs::write(&path, &damaged).expect("it can be written");
        let ran = score(folder.path(), &["damaged.parquet", "--metric", "auc", "--by", "country"]);
        assert!((0..=2).contains(&ran.status), "{}", ran.err);
        if ran.status != 0 {
            failures += 1;
            ran.says(&["damaged.parquet"]);
        }
    }
    assert!(failures > 10, "{failures}");
}
