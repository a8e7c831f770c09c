//! Tests of training options: settings from Keras archives, class weights, and the length of epochs.

use plugfit::{Host, compile::Compile};
use plugfit_tests::{
    build::root,
    run::{digits, folder, history, plugfit, weights},
};
use serde_json::json;

const CLASSES: &str =
    "optimizer = \"AdamW(learning_rate=0.005)\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]";

#[test]
fn the_compile_settings_of_a_keras_archive_can_be_used() {
    let archive = root().join("tests/golden/compiled.keras");
    let mut compile = Compile::from_keras(&archive).expect("it was compiled");
    compile.outputs = vec!["flag".into(), "kind".into()];
    let compiled = Host::new().compile(compile).expect("everything is found");
    let config = compiled.get_compile_config().expect("a configuration");
    assert_eq!(config["loss_weights"], json!({"flag": 0.5, "kind": 2.0}));
    assert_eq!(config["loss"]["flag"]["config"]["label_smoothing"], 0.1);
    assert_eq!(config["optimizer"]["config"]["learning_rate"]["class_name"], "standard>CosineDecay");
    assert_eq!(config["metrics"]["flag"][1]["config"]["name"], "auc");
    // In a run file, other settings take precedence over those of the archive.
    let folder = folder();
    let other = json!({"keras": archive, "optimizer": "sgd"});
    let compile = Compile::from_json(&other, Some(folder.path())).expect("it was compiled");
    assert_eq!(compile.optimizer.to_json(), "sgd");
    let error = Compile::from_keras(&root().join("README.md")).expect_err("no archive").to_string();
    assert!(error.contains("isn't a model saved by Keras"), "{error}");
}

#[test]
fn classes_with_weight_0_are_not_learnt_and_weight_1_changes_nothing() {
    let folder = folder();
    digits(
        folder.path(),
        "optimizer = \"AdamW(learning_rate=0.01)\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]",
    );
    let fit = |out: &str, set: &str| plugfit(folder.path(), &["fit", "fit.toml", "--out", out, "--set", set]);
    fit("even", "fit.class_weight={ 3 = 1.0 }").with_status(0);
    fit("none", "fit.epochs=3").with_status(0);
    let last = |run: &str| history(&folder.path().join(run))[2]["logs"]["val_loss"].as_f64().expect("a number");
    assert_eq!(last("even"), last("none"), "a weight of 1 changes nothing");
    fit("without", "fit.class_weight={ 3 = 0.0, 5 = 0.0 }").with_status(0);
    assert!(last("without") > 1.5 * last("even"), "{} {}", last("without"), last("even"));
    fit("wrong", "fit.class_weight={ three = 1.0 }").with_status(2).says(&["three", "fit.class_weight"]);
}

#[test]
fn an_invalid_class_weight_is_an_error() {
    let folder = folder();
    digits(folder.path(), CLASSES);
    let fit =
        |weight: &str| plugfit(folder.path(), &["fit", "fit.toml", "--set", &format!("fit.class_weight={weight}")]);
    fit("{ 10 = 2.0 }").with_status(2).says(&["label has no class \"10\"", "classes 0, 1, 2, 3", "fit.class_weight"]);
    fit("{ 3 = -1.0 }").with_status(2).says(&["the weight of class \"3\" is -1"]);
    fit("{ 3 = nan }").with_status(2).says(&["fit.class_weight"]);
    fit("{ 3 = 1e39 }").with_status(2).says(&["the weight of class \"3\" is 1e39", "float32"]);
    fit("{ 3 = 1e-50 }").with_status(2).says(&["the weight of class \"3\" is 1e-50", "float32"]);
}

#[test]
fn validation_can_run_every_other_epoch() {
    let folder = folder();
    digits(folder.path(), "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"");
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--set", "fit.validation_freq=2"]).with_status(0);
    let history = history(&folder.path().join("run"));
    let validated: Vec<bool> = (0..3).map(|epoch| history[epoch]["logs"]["val_loss"].is_number()).collect();
    assert_eq!(validated, [false, true, false]);
}

#[test]
fn an_epoch_may_be_shorter_or_longer_than_the_data() {
    let folder = folder();
    let file = digits(folder.path(), "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"");
    let file = file.to_str().expect("a name");
    // Four epochs of 60 steps take the same steps, in the same order, as one epoch of 240.
    for (name, epochs, steps) in [("many", "4", "60"), ("one", "1", "240")] {
        let (epochs, steps) = (format!("fit.epochs={epochs}"), format!("fit.steps_per_epoch={steps}"));
        let arguments = ["fit", file, "--set", &epochs, "--set", &steps, "--out", name];
        plugfit(folder.path(), &arguments).with_status(0);
    }
    assert_eq!(weights(&folder.path().join("many")), weights(&folder.path().join("one")));
    let later = ["fit", file, "--set", "fit.epochs=5", "--set", "fit.initial_epoch=3", "--out", "later"];
    plugfit(folder.path(), &later).with_status(0);
    let epochs = history(&folder.path().join("later"));
    let numbers: Vec<u64> = epochs
        .as_array()
        .or(epochs["epochs"].as_array())
        .expect("epochs")
        .iter()
        .filter_map(|epoch| epoch["epoch"].as_u64())
        .collect();
    assert_eq!(numbers, [4, 5]);
}
