//! Tests of tables with columns of several kinds: words, dates, missing values, and columns that don't fit.

use std::fmt::Write;
use std::path::Path;

use plugfit_tests::run::{Finished, folder, history, plugfit, weights};
use serde_json::Value;

/// Writes a run file that classifies the rows of `train.csv`, with these further keys of the data table.
fn run_file(folder: &Path, data: &str) {
    let text = format!(
        "[data]\nfile = \"train.csv\"\ntarget = \"churned\"\nvalidation_split = 0.25\n{data}\n[network]\n\
         layers = [\"Dense(8, activation=relu)\", \"Dense(1, activation=sigmoid)\"]\n[compile]\n\
         optimizer = \"Adam(learning_rate=0.02)\"\nloss = \"binary_crossentropy\"\nmetrics = [\"AUC\"]\n\
         [fit]\nepochs = 6\nseed = 3\n"
    );
    std::fs::write(folder.join("fit.toml"), text).expect("a file");
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file");
}

/// Pseudo-random numbers below `below`.
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// The rows of a table of customers: age (some are missing), city, plan (of many), signup and the target, which depends
/// on age, city and plan.
fn customers(rows: usize) -> String {
    let mut next = random(7);
    let mut text = "age,city,plan,signup,active,churned\n".to_owned();
    for _ in 0..rows {
        let (age, city, plan) = (18 + next(60), ["Paris", "Oslo", "Rome"][next(3) as usize], next(40));
        let score = age as f64 / 30.0 + if city == "Oslo" { 1.5 } else { 0.0 } + (plan % 2) as f64;
        let age = if next(8) == 0 { String::new() } else { age.to_string() };
        let (year, month, day) = (2015 + next(10), 1 + next(12), 1 + next(28));
        let active = next(2) == 0;
        let churned = if score > 2.9 { "yes" } else { "no" };
        writeln!(text, "{age},{city},p{plan},{year}-{month:02}-{day:02},{active},{churned}").expect("text");
    }
    text
}

fn last_event(ran: &Finished) -> Value {
    serde_json::from_str(ran.out.lines().last().expect("a line")).expect("JSON")
}

fn schema(run: &Path) -> Value {
    let text = std::fs::read_to_string(run.join("run.json")).expect("a record");
    serde_json::from_str::<Value>(&text).expect("JSON")["schema"].clone()
}

#[test]
fn columns_of_very_different_scale_are_learnt_with_a_short_run_file() {
    let folder = folder();
    let folder = folder.path();
    // Ten measurements of scales from 0.001 to 1,000,000; the class depends on the sum of their standardised values.
    let mut next = random(1);
    let header: Vec<String> = (0..10).map(|i| format!("m{i}")).collect();
    let mut text = header.join(",") + ",diagnosis\n";
    for _ in 0..500 {
        let values: Vec<f64> = (0..10).map(|_| next(2001) as f64 / 1000.0 - 1.0).collect();
        let cells: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(i, value)| ((value + 5.0) * 10_f64.powi(i as i32 - 3)).to_string())
            .collect();
        let class = if values.iter().sum::<f64>() > 0.0 { "malignant" } else { "benign" };
        writeln!(text, "{},{class}", cells.join(",")).expect("text");
    }
    write(folder, "cells.csv", &text);
    write(
        folder,
        "fit.toml",
        "[data]\nfile = \"cells.csv\"\ntarget = \"diagnosis\"\nvalidation_split = 0.3\n[network]\n\
         layers = [\"Dense(1, activation=sigmoid)\"]\n[compile]\noptimizer = \"Adam(learning_rate=0.01)\"\n\
         loss = \"binary_crossentropy\"\nmetrics = [\"AUC\"]\n[fit]\nepochs = 10\n",
    );
    plugfit(folder, &["fit", "fit.toml", "--out", "r"]).with_status(0);
    plugfit(folder, &["fit", "fit.toml", "--out", "raw", "--set", "data.numbers=none"]).with_status(0);
    let auc = |run: &str| history(&folder.join(run))[9]["logs"]["val_AUC"].as_f64().expect("a number");
    assert!(auc("r") > 0.95, "{}", auc("r"));
    assert!(auc("raw") < 0.7, "{}", auc("raw"));
}

#[test]
fn a_table_with_words_dates_and_missing_values_is_read_by_what_was_learnt() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "train.csv", &customers(400));
    run_file(folder, "[data.columns]\nsignup = \"cyclic\"\nplan = { embed = 3 }\n");
    let ran = plugfit(folder, &["fit", "fit.toml", "--out", "r"]).with_status(0);
    assert!(ran.err.starts_with("warning: columns with missing values, which are filled: age\n"), "{}", ran.err);
    let report = std::fs::read_to_string(folder.join("r/report.html")).expect("a report");
    assert!(report.contains("<td>city</td><td>words</td>") && report.contains("one-hot of 3"), "{report}");
    let of_validation = last_event(&plugfit(folder, &["evaluate", "r", "--json"]).with_status(0));
    // The same rows in another order of the columns, with another column, and in another file.
    let text = std::fs::read_to_string(folder.join("train.csv")).expect("it is there");
    let reordered: String = text
        .lines()
        .enumerate()
        .filter(|(line, _)| *line == 0 || *line > 300)
        .map(|(line, row)| {
            let cells: Vec<&str> = row.split(',').collect();
            let extra = if line == 0 { "extra" } else { "anything" };
            format!("{},{},{extra},{},{},{},{}\n", cells[5], cells[3], cells[2], cells[1], cells[4], cells[0])
        })
        .collect();
    write(folder, "again.csv", &reordered);
    let again = plugfit(folder, &["evaluate", "r", "again.csv", "--json"]).with_status(0);
    assert_eq!(last_event(&again), of_validation);
    plugfit(folder, &["predict", "r", "again.csv", "--out", "p.csv"]).with_status(0);
    let predicted = std::fs::read_to_string(folder.join("p.csv")).expect("predictions");
    assert_eq!(predicted.lines().count(), 101);
    // Other categories, and a missing value where the training rows have none.
    write(
        folder,
        "new.csv",
        "age,city,plan,signup,active\n30,Lima,p1,2020-01-01,true\n,Oslo,q,,false\n40,Bonn,p2,,true\n",
    );
    plugfit(folder, &["predict", "r", "new.csv", "--out", "n.csv"]).with_status(0).says(&[
        "in 2 rows, \"city\" has a category that the run doesn't know; the first is \"Lima\", in ",
        "new.csv:2",
        "in 1 row, \"plan\"",
        "in 2 rows, \"signup\" is missing, as in no training row; the first is ",
    ]);
    for (text, says) in [
        ("age,city,plan,signup\n30,Oslo,p1,2020-01-01\n", ["has no column \"active\"", "new.csv"]),
        (
            "age,city,plan,signup,active\nold,Oslo,p1,2020-01-01,true\n",
            ["a cell isn't a number", "new.csv:2, column \"age\""],
        ),
        ("age,city,plan,signup,active\n1,Oslo,p1,soon,true\n", ["a cell isn't a date", "new.csv:2, column \"signup\""]),
    ] {
        write(folder, "new.csv", text);
        let ran = plugfit(folder, &["predict", "r", "new.csv", "--out", "m.csv"]);
        assert!(matches!(ran.status, Some(1 | 2)), "{ran:?}");
        ran.says(&says);
    }
}

#[test]
fn a_resumed_run_of_a_table_equals_an_uninterrupted_one() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "train.csv", &customers(300));
    run_file(folder, "dates = \"cyclic\"");
    plugfit(folder, &["fit", "fit.toml", "--out", "whole", "--set", "fit.epochs=6"]).with_status(0);
    plugfit(folder, &["fit", "fit.toml", "--out", "parts", "--set", "fit.epochs=2"]).with_status(0);
    plugfit(folder, &["fit", "--resume", "parts", "--set", "fit.epochs=6"]).with_status(0);
    assert!(weights(&folder.join("whole")) == weights(&folder.join("parts")), "other weights");
    assert_eq!(schema(&folder.join("whole")), schema(&folder.join("parts")));
    assert!(schema(&folder.join("whole"))["columns"].to_string().contains("embedding"), "there are 40 plans");
    for (set, key) in [("data.numbers=minmax", "data.numbers"), ("data.columns.age=drop", "data.columns")] {
        plugfit(folder, &["fit", "--resume", "parts", "--set", set])
            .with_status(2)
            .says(&[key, "isn't what the run was"]);
    }
}

#[test]
fn statistics_are_those_of_a_random_part_of_the_rows() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "train.csv", &customers(200));
    run_file(folder, "");
    let text = std::fs::read_to_string(folder.join("fit.toml")).expect("it is there");
    let split = "validation = { fraction = 0.5, by = \"signup\" }";
    write(folder, "fit.toml", &text.replace("validation_split = 0.25", split));
    plugfit(folder, &["data", "fit.toml"]).with_status(0).prints(&["group of the split"]);
    plugfit(folder, &["fit", "fit.toml", "--out", "whole"]).with_status(0);
    plugfit(folder, &["fit", "fit.toml", "--out", "parts", "--set", "fit.epochs=2"]).with_status(0);
    plugfit(folder, &["fit", "--resume", "parts", "--set", "fit.epochs=6"]).with_status(0);
    assert!(weights(&folder.join("whole")) == weights(&folder.join("parts")), "other weights");
    let schema = schema(&folder.join("whole"));
    assert!(!schema["inputs"].to_string().contains("signup"), "{schema}");
    let rows = schema["columns"][0]["summary"]["rows"].as_u64().expect("a number");
    assert!((60..140).contains(&rows), "{rows}");
    let evaluated = last_event(&plugfit(folder, &["evaluate", "whole", "--json"]).with_status(0));
    assert_eq!(evaluated["samples"].as_u64(), Some(200 - rows));
    assert_eq!(evaluated["logs"]["loss"], history(&folder.join("whole"))[5]["logs"]["val_loss"]);
    let embed = ["fit", "fit.toml", "--set", "data.columns.signup=embed"];
    plugfit(folder, &embed).with_status(2).says(&["the column \"signup\" is the group of the split"]);
}

#[test]
fn statistics_are_those_of_the_training_rows() {
    let folder = folder();
    let folder = folder.path();
    // The last 2 of 8 rows are for validation.
    write(
        folder,
        "train.csv",
        "a,b,c,churned\n1,x,7,0\n3,y,7,1\n,x,7,0\n5,y,7,1\n1,x,7,0\n5,x,7,1\n900,z,,0\n,x,8,1\n",
    );
    run_file(folder, "");
    let ran = plugfit(folder, &["fit", "fit.toml", "--out", "r"]).with_status(0).says(&[
        "columns with the same value in each training row: c",
        "columns with missing values, which are filled: a",
        "in the validation rows: in 1 row, \"b\" has a category that the run doesn't know; the first is \"z\", in row 6",
        "in the validation rows: in 1 row, \"c\" is missing, as in no training row; the first is row 6 (from 0)",
    ]);
    assert!(ran.out.contains("6 train, 2 validation; 5 inputs from 3 columns"), "{}", ran.out);
    let columns = &schema(&folder.join("r"))["columns"];
    let a = &columns[0];
    // 1, 3, 5, 1 and 5 have the mean 3 and the variance (4 + 0 + 4 + 4 + 4) / 5.
    assert_eq!(a["encoding"]["shift"], 3.0);
    assert!((a["encoding"]["factor"].as_f64().expect("a number") - (5.0_f64 / 16.0).sqrt()).abs() < 1e-15);
    assert_eq!(a["missing"]["fill"]["value"], 3.0);
    assert_eq!(columns[1]["encoding"]["categories"], serde_json::json!(["x", "y"]));
    assert_eq!(columns[2]["encoding"]["factor"], 0.0);
}

#[test]
fn named_inputs_are_kept_unless_they_have_no_values() {
    let folder = folder();
    let folder = folder.path();
    let rows: String = (0..60).map(|row| format!("{row},text {row},,{}\n", row * row % 2)).collect();
    write(folder, "train.csv", &format!("a,text,empty,churned\n{rows}"));
    run_file(folder, "inputs = [\"text\", \"empty\", \"a\"]");
    let ran = plugfit(folder, &["fit", "fit.toml", "--out", "r"]).with_status(0);
    assert!(ran.err.contains("columns left out, no values: empty") && !ran.err.contains("free text"), "{}", ran.err);
    assert_eq!(schema(&folder.join("r"))["inputs"], serde_json::json!(["text", "a"]));
    plugfit(folder, &["evaluate", "r"]).with_status(0);
    plugfit(folder, &["fit", "--resume", "r", "--set", "fit.epochs=7"]).with_status(0);
    let other = ["fit", "--resume", "r", "--set", "data.inputs=[\"a\"]"];
    plugfit(folder, &other).with_status(2).says(&["data.inputs isn't what the run was trained with"]);
    let one = ["fit", "fit.toml", "--set", "data.inputs=[\"a\"]", "--set"];
    let with = |set| plugfit(folder, &[&one[..], &[set]].concat());
    with("data.columns.text=embed").with_status(2).says(&["the column \"text\" isn't among data.inputs"]);
    with("data.columns.text=drop").with_status(0);
}

#[test]
fn scaled_numbers_are_not_standardised() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "train.csv", "a,b,churned\n1,8,0\n3,4,1\n5,2,0\n7,1,1\n");
    run_file(folder, "scale = 0.5");
    plugfit(folder, &["fit", "fit.toml", "--out", "r"]).with_status(0);
    // A run of an older version has no settings for columns.
    let path = folder.join("r/run.json");
    let mut record: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("a record")).expect("JSON");
    let columns = record["schema"].as_object_mut().expect("an object").remove("columns").expect("columns");
    assert_eq!(
        columns[0]["encoding"],
        serde_json::json!({"as": "number", "shift": 0.0, "factor": 0.5, "scaling": null})
    );
    let before = last_event(&plugfit(folder, &["evaluate", "r", "--json"]).with_status(0));
    std::fs::write(&path, record.to_string()).expect("a record");
    assert_eq!(last_event(&plugfit(folder, &["evaluate", "r", "--json"]).with_status(0)), before);
    plugfit(folder, &["fit", "--resume", "r", "--set", "fit.epochs=7"]).with_status(0);
    let both = ["fit", "fit.toml", "--set", "data.numbers=minmax"];
    plugfit(folder, &both).with_status(2).says(&["data has both \"scale\" and \"numbers\""]);
}

#[test]
fn bad_tables_and_settings_get_a_clear_answer() {
    let folder = folder();
    let folder = folder.path();
    run_file(folder, "");
    let fit = |arguments: &[&str]| plugfit(folder, &[&["fit", "fit.toml"], arguments].concat());
    let rows: String = (0..40).map(|i| format!("{i},{},{},{}\n", i % 2, (i * 7) % 5, i % 2)).collect();
    for (text, set, status, says) in [
        ("a,churned\n1,0\n2,1\nx,0\n", "", 1, "a cell isn't a number\n  in      train.csv:4, column \"a\""),
        ("a,churned\nx,0\ny,1\n3,0\n4,1\n", "", 0, ""),
        ("a,b,churned\n,1,0\n,2,1\n,3,0\n", "", 0, "columns left out, no values: a"),
        ("a,churned\n,0\n,1\n", "", 2, "train.csv has no column for the inputs beside the target"),
        ("a,churned\n1,0\n2,\n", "", 1, "a value is missing\n  in      train.csv:3, column \"churned\""),
        ("a,churned\n1,no\n2,\n", "", 1, "a class name is missing\n  in      train.csv:3, column \"churned\""),
        ("a,churned\n1,0\n,1\n", "data.missing=error", 1, "a value is missing\n  in      train.csv:3, column \"a\""),
        ("age,churned\n1,0\n2,1\n", "data.columns.aeg=drop", 2, "has no column \"aeg\""),
        ("age,churned\n1,0\n2,1\n", "data.columns.churned=drop", 2, "the column \"churned\" is the target"),
        ("age,churned\nx,0\ny,1\n", "data.columns.age=minmax", 2, "the column \"age\" contains words"),
        ("age,churned\n1,0\n2,1\n", "data.columns.age=cyclic", 2, "the column \"age\" contains no dates"),
        ("age,churned\n1,0\n2,1\n", "data.columns.age=scaled", 2, "data.columns.age is invalid: expected \"standard\""),
        ("age,churned\n1,0\n2,1\n", "data.numbers=large", 2, "data.numbers is invalid"),
        (&format!("a,copy,b,churned\n{rows}"), "", 0, "the target \"churned\" can be read off copy"),
    ] {
        write(folder, "train.csv", text);
        let arguments: &[&str] = if set.is_empty() { &[] } else { &["--set", set] };
        fit(arguments).with_status(status).says(&[says]);
    }
}

#[test]
fn ten_thousand_columns_are_read_with_short_notes() {
    let folder = folder();
    let folder = folder.path();
    let names: Vec<String> = (0..10_000).map(|i| format!("measurement_{i}")).collect();
    let mut text = names.join(",") + ",churned\n";
    for row in 0..30 {
        let cell = |i: usize| match i % 4 {
            0 => "5".to_owned(),
            1 if row % 3 == 0 => String::new(),
            2 => ["a", "b"][(row + i) % 2].to_owned(),
            _ => (row * i % 17).to_string(),
        };
        let cells: Vec<String> = (0..10_000).map(cell).collect();
        writeln!(text, "{},{}", cells.join(","), row % 2).expect("text");
    }
    write(folder, "train.csv", &text);
    run_file(folder, "");
    let ran = plugfit(folder, &["fit", "fit.toml", "--set", "fit.epochs=1"])
        .with_status(0)
        .says(&["measurement_0, measurement_4, ", "… (2,500 in all)"]);
    assert!(ran.err.len() < 2000 && ran.err.lines().count() < 8, "{}", ran.err);
    let described = plugfit(folder, &["data", "train.csv", "--target", "churned"]).with_status(0);
    assert_eq!(described.out.lines().count(), 2 + 1 + 10_001);
}

#[test]
fn the_columns_of_a_table_are_described() {
    let folder = folder();
    let folder = folder.path();
    write(
        folder,
        "d.csv",
        "age,city,day,empty,y\n1,Oslo,2024-01-05,,a\n,Rome,2024-03-01,,b\n3,Oslo,2023-01-01,,a\nx,,2024-02-01,,b\n",
    );
    let ran = plugfit(folder, &["data", "d.csv", "--target", "y"]).with_status(0);
    let lines: Vec<String> =
        ran.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "d.csv: 4 rows, 5 columns",
            "",
            "column kind missing distinct values input",
            "age integers 2 2 1 to 3 refused: a cell isn't a number, d.csv:5",
            "city words 1 2 Oslo (2), Rome (1) one-hot of 2, 1 if missing",
            "day dates 0 4 2023-01-01 to 2024-03-01 left out: dates",
            "empty left out: no values",
            "y words 0 2 a (2), b (2) target",
        ]
    );
    let ran = plugfit(folder, &["data", "d.csv", "--json"]).with_status(0);
    let columns = ran.events_of("column");
    assert_eq!((columns.len(), &columns[1]["name"], &columns[1]["summary"]["missing"]), (5, &"city".into(), &1.into()));
    assert_eq!(columns[0]["refused"]["cells"], 1);
    assert_eq!(ran.events_of("end")[0]["rows"], 4);
    // The settings of a run file apply.
    write(
        folder,
        "fit.toml",
        "[data]\nfile = \"d.csv\"\ntarget = \"y\"\nnumbers = \"minmax\"\n[data.columns]\nage = \"one_hot\"\nday = \"cyclic\"\n",
    );
    plugfit(folder, &["data", "fit.toml"])
        .with_status(0)
        .prints(&["one-hot of 3, 1 if missing", "year, month, weekday"]);
    plugfit(folder, &["data", "d.csv", "--target", "z"]).with_status(2).says(&["d.csv has no column \"z\""]);
    plugfit(folder, &["data", "none.csv"]).with_status(1).says(&["cannot read none.csv"]);
    plugfit(folder, &["data", "d.npy"]).with_status(2).says(&["only the columns of .csv and .parquet files"]);
}
