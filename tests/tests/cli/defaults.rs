//! Tests of runs whose network and compile settings follow from the target.

use std::fs;
use std::path::Path;

use plugfit_tests::run::{folder, plugfit, weights};
use serde_json::{Value, json};

/// Writes `table.csv` with a column of words, one of numbers and these targets, and a run file of two lines.
fn table(folder: &Path, target: impl Fn(usize) -> String) {
    let row = |row: usize| format!("{},{},{}\n", ["red", "blue"][row % 2], row * 37 % 100, target(row));
    fs::write(folder.join("table.csv"), format!("colour,size,y\n{}", (0..200).map(row).collect::<String>()))
        .expect("it can be written");
    fs::write(folder.join("fit.toml"), "[data]\nfile = \"table.csv\"\ntarget = \"y\"\n").expect("it can be written");
}

fn record(run: &Path) -> Value {
    let text = fs::read_to_string(run.join("run.json")).expect("a record");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_file_and_a_target_are_enough() {
    let large = |row: usize| row * 37 % 100 > 50;
    let two = move |row: usize| if large(row) { "big" } else { "small" }.to_owned();
    let three = move |row: usize| (usize::from(large(row)) + usize::from(row.is_multiple_of(2))).to_string();
    let price = |row: usize| (250_000.0 + 1_000.0 * (row * 37 % 100) as f64).to_string();
    for (target, of, loss, metric, at_least) in [
        (Box::new(two) as Box<dyn Fn(usize) -> String>, "2 classes", "binary_crossentropy", "val_accuracy", 0.95),
        (Box::new(three), "3 classes", "sparse_categorical_crossentropy", "val_accuracy", 0.9),
        (Box::new(price), "numbers", "mean_squared_error", "val_R2Score", 0.9),
    ] {
        let folder = folder();
        table(folder.path(), target);
        let ran = plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--json", "--set", "fit.epochs=60"])
            .with_status(0);
        assert_eq!(ran.events_of("start")[0]["defaults_for"], format!("a target of {of}"));
        let epochs = ran.events_of("epoch");
        let best = epochs.iter().filter_map(|epoch| epoch["logs"][metric].as_f64()).fold(f64::MIN, f64::max);
        assert!(best >= at_least, "{metric} of {of}: {best}");
        // The record has all settings: as a run file, it gives the same run.
        let config = &record(&folder.path().join("run"))["config"];
        assert_eq!(config["compile"]["loss"], loss);
        assert_eq!(config["data"]["validation"], json!({"fraction": 0.2, "seed": 0}));
        let weights_before = weights(&folder.path().join("run"));
        plugfit(folder.path(), &["fit", "--resume", "run"]).with_status(0);
        assert_eq!(weights(&folder.path().join("run")), weights_before, "the run has ended");
        // Predictions are in the units of the target.
        plugfit(folder.path(), &["predict", "run", "table.csv", "--out", "p.csv"]).with_status(0);
        if of == "numbers" {
            let text = fs::read_to_string(folder.path().join("p.csv")).expect("predictions");
            let number = |line: &str| line.split(',').next_back().and_then(|cell| cell.parse::<f64>().ok());
            let all: Vec<f64> = text.lines().skip(1).filter_map(number).collect();
            assert!(all.len() == 200 && all.iter().all(|price| (200_000.0..400_000.0).contains(price)), "{all:?}");
        }
    }
}

#[test]
fn settings_of_the_file_take_precedence_over_the_defaults() {
    let folder = folder();
    table(folder.path(), |row| (row % 2).to_string());
    let set = ["--set", "fit.epochs=3", "--set", "fit.callbacks=[]", "--set", "data.validation_split=0.5"];
    let ran = plugfit(folder.path(), &[&["fit", "fit.toml", "--out", "run", "--json"], &set[..]].concat());
    assert_eq!(ran.with_status(0).events_of("epoch").len(), 3);
    assert!(record(&folder.path().join("run"))["config"]["data"].get("validation").is_none());
    for (set, missing) in [("network.layers=[\"Dense(1)\"]", "[compile]"), ("compile.loss=\"mse\"", "[network]")] {
        plugfit(folder.path(), &["fit", "fit.toml", "--set", set]).with_status(2).says(&[missing, "leave out both"]);
    }
    table(folder.path(), |_| "same".to_owned());
    plugfit(folder.path(), &["fit", "fit.toml"]).with_status(1).says(&["all samples have the same y"]);
}
