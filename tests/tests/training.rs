//! What a run's file can ask of training: groups of parameters, what Keras stored, event files; and a plug-in that fails late.

use plugfit::compile::Compile;
use plugfit::{Host, network::Parameter};
use plugfit_tests::{
    build::{library, root},
    run::{digits, folder, plugfit, plugins},
};
use serde_json::json;

fn parameter(path: &str) -> Parameter {
    Parameter { name: "kernel".into(), path: path.into(), shape: vec![2], trainable: true }
}

#[test]
fn groups_have_a_rate_and_a_decay_of_their_own_or_stay_as_they_are() {
    let compile = json!({
        "optimizer": "SGD(learning_rate=0.5, weight_decay=0.1)",
        "groups": [
            {"match": "frozen/*", "trainable": false},
            {"match": "slow/*", "learning_rate_factor": 0.1, "weight_decay": 0.0},
        ],
    });
    let mut compiled = Host::new().compile_from_config(&compile).expect("it compiles");
    let parameters = [parameter("frozen/kernel"), parameter("slow/kernel"), parameter("dense/kernel")];
    let mut values = [[1.0_f32; 2]; 3];
    let gradient: &[f32] = &[1.0; 2];
    let mut borrowed: Vec<&mut [f32]> = values.iter_mut().map(|values| &mut values[..]).collect();
    compiled.apply(&parameters, &[Some(gradient); 3], &mut borrowed).expect("a step");
    // p - p * decay * rate - rate * gradient
    assert_eq!(values, [[1.0; 2], [0.95; 2], [1.0 - 0.05 - 0.5; 2]]);
    let config = compiled.get_compile_config().expect("a configuration");
    let again = Host::new().compile_from_config(&config).expect("it compiles");
    assert_eq!(again.get_compile_config().expect("a configuration"), config);
}

#[test]
fn a_group_that_matches_nothing_or_has_a_wrong_setting_is_named() {
    let folder = folder();
    let file = digits(folder.path(), "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"");
    let file = file.to_str().expect("a name");
    for (group, says) in [
        ("{match = \"dens/*\"}", "no parameter matches \"dens/*\""),
        ("{match = \"dense/*\", rate = 1}", "unknown field `rate`"),
        ("{match = \"dense/*\", weight_decay = -1}", "weight_decay can't be -1"),
        ("{match = \"[\"}", "is no pattern"),
    ] {
        let set = format!("compile.groups=[{group}]");
        plugfit(folder.path(), &["fit", file, "--set", &set]).with_status(2).says(&[says, "compile.groups"]);
    }
    let set = "compile.groups=[{match = \"dense/*\", trainable = false}]";
    plugfit(folder.path(), &["fit", file, "--set", set, "--out", "run"]).with_status(0);
}

#[test]
fn what_a_keras_archive_was_compiled_with_is_taken_over() {
    let archive = root().join("tests/golden/compiled.keras");
    let mut compile = Compile::from_keras(&archive).expect("it was compiled");
    compile.outputs = vec!["flag".into(), "kind".into()];
    let compiled = Host::new().compile(compile).expect("everything is found");
    let config = compiled.get_compile_config().expect("a configuration");
    assert_eq!(config["loss_weights"], json!({"flag": 0.5, "kind": 2.0}));
    assert_eq!(config["loss"]["flag"]["config"]["label_smoothing"], 0.1);
    assert_eq!(config["optimizer"]["config"]["learning_rate"]["class_name"], "standard>CosineDecay");
    assert_eq!(config["metrics"]["flag"][1]["config"]["name"], "auc");
    // In a run's file what is said beside it comes first.
    let folder = folder();
    let other = json!({"keras": archive, "optimizer": "sgd"});
    let compile = Compile::from_json(&other, Some(folder.path())).expect("it was compiled");
    assert_eq!(compile.optimizer.to_json(), "sgd");
    let error = Compile::from_keras(&root().join("README.md")).expect_err("no archive").to_string();
    assert!(error.contains("is no model that Keras saved"), "{error}");
}

#[test]
fn a_plugin_that_fails_in_epoch_three_leaves_a_checkpoint_to_go_on_from() {
    let folder = folder();
    plugins(folder.path(), &[library("hostile")]);
    let metrics = "metrics = [{class_name = \"BadMetric\", config = {at = \"later update\"}}]";
    let compile = format!("optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"\n{metrics}");
    let file = digits(folder.path(), &compile);
    let steps = "fit.steps_per_epoch=15";
    let arguments = ["fit", file.to_str().expect("a name"), "--set", "fit.epochs=2", "--set", steps, "--out", "run"];
    plugfit(folder.path(), &arguments).with_status(0);
    // The metric panics at its 21st batch.
    let more = ["fit", "--resume", "run", "--set", "fit.epochs=4", "--set", "fit.steps_per_epoch=22"];
    plugfit(folder.path(), &more).with_status(1).says(&["BadMetric", "epoch 3, batch 21", "panic", "kept"]);
    let on = ["fit", "--resume", "run", "--set", "fit.epochs=4", "--set", steps];
    plugfit(folder.path(), &on).with_status(0);
}

#[test]
fn event_files_and_a_changed_plugin() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    let compile = "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]";
    let file = digits(folder.path(), compile);
    let callbacks = "fit.callbacks=[\"TensorBoard\", \"ProgressBar\"]";
    let arguments = ["fit", file.to_str().expect("a name"), "--set", callbacks, "--out", "run"];
    plugfit(folder.path(), &arguments).with_status(0);
    for name in ["train", "validation"] {
        let events = folder.path().join("run/logs").join(name).join("events.out.tfevents.1.plugfit.v2");
        let bytes = std::fs::read(events).expect("an event file");
        let count = |tag: &[u8]| bytes.windows(tag.len()).filter(|window| *window == tag).count();
        assert_eq!((count(b"epoch_loss"), count(b"epoch_accuracy")), (3, 3), "{name}");
    }
    // Bytes after the end change the file and nothing else.
    let plugin = place.join(library("calibration").file_name().expect("a file"));
    let mut bytes = std::fs::read(&plugin).expect("it is there");
    bytes.extend([0; 8]);
    std::fs::write(&plugin, bytes).expect("it can be written");
    let more = ["fit", "--resume", "run", "--set", "fit.epochs=4"];
    plugfit(folder.path(), &more).with_status(0).says(&["calibration 0.1.0 isn't the file that the run began with"]);
}

#[test]
fn a_pattern_may_have_an_optimizer_of_its_own() {
    let map =
        json!({"default_optimizer": "SGD(learning_rate=0.5)", "optimizer_map": {"slow/.*": "SGD(learning_rate=0.1)"}});
    let optimizer = json!({"class_name": "MultiOptimizer", "config": {"optimizer_map": map}});
    let mut compiled = Host::new().compile_from_config(&json!({"optimizer": optimizer})).expect("it compiles");
    let mut values = [[1.0_f32; 2]; 2];
    let gradient: &[f32] = &[1.0; 2];
    let mut borrowed: Vec<&mut [f32]> = values.iter_mut().map(|values| &mut values[..]).collect();
    let parameters = [parameter("slow/kernel"), parameter("dense/kernel")];
    compiled.apply(&parameters, &[Some(gradient); 2], &mut borrowed).expect("a step");
    assert_eq!(values, [[0.9; 2], [0.5; 2]]);
}
