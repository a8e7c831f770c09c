//! Tests of how samples are split for validation, and of balanced classes.

use std::path::Path;

use plugfit_tests::run::{Finished, folder, history, plugfit, weights};
use serde_json::Value;

/// Writes `rows.csv` with 60 rows of class "a", 20 of "b" and one of "c", in this order, of 27 users, and a run file with
/// this line in its data table.
fn files(folder: &Path, data: &str) {
    let row = |row: usize| {
        let class = ["a", "b", "c"][usize::from(row >= 60) + usize::from(row >= 80)];
        format!("{},{},{class},user {}\n", row % 7, row % 5, row / 3)
    };
    let text = format!("x,z,class,user\n{}", (0..81).map(row).collect::<String>());
    std::fs::write(folder.join("rows.csv"), text).expect("a file");
    let text = format!(
        "[data]\nfile = \"rows.csv\"\ntarget = \"class\"\n{data}\n[network]\nlayers = [\"Dense(3, activation=softmax)\"]\n\
         [compile]\noptimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]\n\
         [fit]\nepochs = 4\nseed = 5\n"
    );
    std::fs::write(folder.join("fit.toml"), text).expect("a file");
}

fn fit(folder: &Path, out: &str, more: &[&str]) -> Finished {
    plugfit(folder, &[&["fit", "fit.toml", "--out", out, "--json"], more].concat())
}

fn start(ran: &Finished) -> String {
    ran.events_of("start")[0]["data"].as_str().expect("a text").to_owned()
}

fn warnings(ran: &Finished) -> String {
    let text = |event: &Value| event["message"].as_str().map(str::to_owned);
    ran.events_of("warning").iter().filter_map(text).collect::<Vec<_>>().join("\n")
}

#[test]
fn classes_are_stratified_by_default_and_the_seed_is_recorded() {
    let folder = folder();
    files(folder.path(), "validation = { fraction = 0.25 }");
    let ran = fit(folder.path(), "run", &[]).with_status(0);
    assert!(start(&ran).starts_with("61 train, 20 validation"), "{}", start(&ran));
    assert!(warnings(&ran).contains("the class \"c\" has one sample, which is for training"), "{}", warnings(&ran));
    let record = std::fs::read_to_string(folder.path().join("run/run.json")).expect("a record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    assert_eq!(record["config"]["data"]["validation"], serde_json::json!({"fraction": 0.25, "seed": 5}));
    // Another seed of the run trains on other samples, unless the split has a seed.
    let loss = |run: &str| history(&folder.path().join(run));
    fit(folder.path(), "same", &[]).with_status(0);
    assert_eq!(loss("run"), loss("same"));
    fit(folder.path(), "split", &["--set", "data.validation.seed=6"]).with_status(0);
    assert_ne!(loss("run"), loss("split"));
}

#[test]
fn a_resumed_run_has_the_same_split() {
    let folder = folder();
    files(folder.path(), "validation = { fraction = 0.25, how = \"shuffled\" }");
    let callbacks = "fit.callbacks=[\"ModelCheckpoint\"]";
    fit(folder.path(), "whole", &[]).with_status(0);
    fit(folder.path(), "run", &["--set", "fit.epochs=2", "--set", callbacks]).with_status(0);
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=4"]).with_status(0);
    assert_eq!(weights(&folder.path().join("whole")), weights(&folder.path().join("run")));
}

#[test]
fn groups_are_no_input_and_stay_together() {
    let folder = folder();
    files(folder.path(), "validation = { fraction = 0.3, by = \"user\" }");
    let ran = fit(folder.path(), "run", &[]).with_status(0);
    // Users have three rows each.
    assert!(start(&ran).contains("57 train, 24 validation; 2 inputs"), "{}", start(&ran));
    let by_number = ["--set", "data.validation={ fraction = 0.3, by = \"z\" }"];
    let ran = fit(folder.path(), "number", &by_number).with_status(0);
    assert!(start(&ran).contains(" from 2 columns") || start(&ran).contains("validation; "), "{}", start(&ran));
}

#[test]
fn splits_that_cannot_be_made_are_refused() {
    let folder = folder();
    files(folder.path(), "");
    for (split, status, parts) in [
        ("{ fraction = 0 }", 2, ["data.validation", "above 0 and below 1"]),
        ("{ fraction = 1.5 }", 2, ["data.validation", "1.5"]),
        ("{ fraction = 0.2, how = \"random\" }", 2, ["data.validation", "\"stratified\""]),
        ("{ fraction = 0.2, how = \"grouped\" }", 2, ["data.validation.how", "by"]),
        ("{ fraction = 0.2, how = \"last\", by = \"user\" }", 2, ["data.validation.by", "grouped"]),
        ("{ fraction = 0.2, by = \"usr\" }", 2, ["usr", "user"]),
        ("{ fraction = 0.01, how = \"last\" }", 0, ["only the class \"c\" of 2", "say little"]),
    ] {
        let ran = plugfit(folder.path(), &["fit", "fit.toml", "--set", &format!("data.validation={split}")]);
        ran.with_status(status).says(&parts);
    }
    let both = ["fit", "fit.toml", "--set", "data.validation_split=0.2", "--set", "data.validation={ fraction = 0.2 }"];
    plugfit(folder.path(), &both).with_status(2).says(&["one is enough"]);
    std::fs::write(folder.path().join("rows.csv"), "x,class,user\n1,a,u\n2,b,u\n").expect("a file");
    for (split, part) in [("{ fraction = 0.5, by = \"user\" }", "one group"), ("{ fraction = 0.5 }", "leaves 2 of 2")] {
        let ran = plugfit(folder.path(), &["fit", "fit.toml", "--set", &format!("data.validation={split}")]);
        assert!(ran.err.contains(part) && ran.status != Some(0), "{}", ran.err);
    }
}

#[test]
fn balanced_classes_count_equally() {
    let folder = folder();
    files(folder.path(), "");
    fit(folder.path(), "rule", &["--set", "fit.class_weight=\"balanced\""]).with_status(0);
    // N / (K n): 81 samples of 3 classes.
    let weights_of = "fit.class_weight={ a = 0.45, b = 1.35, c = 27 }";
    fit(folder.path(), "given", &["--set", weights_of]).with_status(0);
    fit(folder.path(), "none", &[]).with_status(0);
    let weights = |run: &str| weights(&folder.path().join(run));
    assert_eq!(weights("rule"), weights("given"));
    assert_ne!(weights("rule"), weights("none"));
    fit(folder.path(), "wrong", &["--set", "fit.class_weight=\"equal\""]).with_status(2);
    let number =
        ["--set", "fit.class_weight=\"balanced\"", "--set", "data.target=\"x\"", "--set", "compile.loss=\"mse\""];
    fit(folder.path(), "numbers", &[&number[..], &["--set", "network.layers=[\"Dense(1)\"]"]].concat());
}
