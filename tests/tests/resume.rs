//! Tests that an interrupted run ends like an uninterrupted one, and tests of callbacks, class weights and validation.

use plugfit_tests::{
    build::{library, root},
    run::{command, digits, folder, history, plugfit, plugins},
};
use std::{path::Path, process::Stdio, time::Duration};

const COMPILE: &str = "optimizer = \"AdamW(learning_rate=0.003, use_ema=true)\"\nloss = \"sparse_categorical_crossentropy\"\n\
    metrics = [\"accuracy\", \"calibration>ExpectedCalibrationError(name=ece)\"]";

fn weights(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("weights.safetensors")).expect("weights")
}

#[test]
fn a_run_killed_twenty_times_ends_with_identical_weights() {
    let folder = folder();
    plugins(folder.path(), &[library("calibration")]);
    digits(folder.path(), COMPILE);
    let callbacks = "fit.callbacks=[\"ReduceLROnPlateau(patience=3, factor=0.7)\", \"CSVLogger\"]";
    let set = [
        "--set",
        "fit.epochs=150",
        "--set",
        callbacks,
        "--set",
        "network.layers=[\"Dense(32, activation=relu)\", \"Dropout(0.2)\", \"Dense(10, activation=softmax)\"]",
    ];
    plugfit(folder.path(), &[&["fit", "fit.toml", "--out", "whole"], &set[..]].concat()).with_status(0);
    let spawn = |arguments: &[&str]| {
        let mut command = command(folder.path());
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
    };
    let mut child = spawn(&[&["fit", "fit.toml", "--out", "killed"], &set[..]].concat());
    let mut random = 12345_u64;
    let mut kills = 0;
    while kills < 20 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis(60 + (random >> 33) % 400));
        if !folder.path().join("killed/run.json").exists() {
            continue;
        }
        child.kill().expect("it can be killed");
        let status = child.wait().expect("it ends");
        kills += 1;
        child = spawn(&["fit", "--resume", "killed"]);
        if status.success() {
            break; // The run ended before it was killed.
        }
    }
    assert!(child.wait().expect("it ends").success());
    assert_eq!(weights(&folder.path().join("whole")), weights(&folder.path().join("killed")), "after {kills} kills");
    assert_eq!(history(&folder.path().join("whole")), history(&folder.path().join("killed")));
    let log = |run: &str| std::fs::read_to_string(folder.path().join(run).join("history.csv")).expect("a log");
    assert_eq!(log("whole"), log("killed"));
    assert!(kills >= 3, "it was killed {kills} times only");
}

#[test]
fn a_run_can_be_resumed_for_more_epochs_and_names_a_missing_plugin() {
    let folder = folder();
    plugins(folder.path(), &[library("calibration")]);
    digits(folder.path(), COMPILE);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "six", "--set", "fit.epochs=6"]).with_status(0);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "three"]).with_status(0);
    plugfit(folder.path(), &["fit", "--resume", "three", "--set", "fit.epochs=6"]).with_status(0);
    assert_eq!(weights(&folder.path().join("six")), weights(&folder.path().join("three")));
    assert_eq!(history(&folder.path().join("six")), history(&folder.path().join("three")));
    std::fs::remove_file(folder.path().join("plugins/libcalibration.so")).expect("it is there");
    let ran = plugfit(folder.path(), &["fit", "--resume", "three"]);
    assert_ne!(ran.status, Some(0));
    assert!(ran.err.contains("calibration"), "{}", ran.err);
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_weights_are_kept() {
    let folder = folder();
    digits(folder.path(), "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"");
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(0);
    let file = folder.path().join("run/checkpoint.safetensors");
    let whole = std::fs::read(&file).expect("a checkpoint");
    let before = weights(&folder.path().join("run"));
    for damaged in [&whole[..whole.len() / 2], b"", b"not a checkpoint at all, whatever it is called"] {
        std::fs::write(&file, damaged).expect("a file");
        plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=9"])
            .with_status(1)
            .says(&["cannot resume from", "checkpoint.safetensors"]);
        assert_eq!(weights(&folder.path().join("run")), before);
    }
}

/// Returns the offset of the data in a safetensors file.
fn header(file: &[u8]) -> usize {
    8 + u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize
}

#[test]
fn a_flipped_bit_is_detected_and_the_previous_checkpoint_is_named_and_works() {
    let folder = folder();
    digits(folder.path(), "optimizer = \"Adam\"\nloss = \"sparse_categorical_crossentropy\"");
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(0);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "whole", "--set", "fit.epochs=5"]).with_status(0);
    let run = folder.path().join("run");
    let resume = ["fit", "--resume", "run", "--set", "fit.epochs=5"];
    let (file, weights_file) = (run.join("checkpoint.safetensors"), run.join("weights.safetensors"));
    let (whole, before) = (std::fs::read(&file).expect("a checkpoint"), weights(&run));
    for (bit, at) in
        (0..30).map(|i| header(&whole) + i * (whole.len() - header(&whole)) / 30).chain([100, 3]).enumerate()
    {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (bit % 8);
        std::fs::write(&file, &damaged).expect("a file");
        plugfit(folder.path(), &resume).with_status(1).says(&[
            "cannot resume from",
            "run/checkpoint-previous.safetensors is whole, of epoch",
            "plugfit fit --resume run/checkpoint-previous.safetensors",
        ]);
        assert_eq!((weights(&run), std::fs::read(&file).expect("it is there")), (before.clone(), damaged));
    }
    let mut damaged = before.clone();
    let at = header(&before) + 5;
    damaged[at] ^= 4;
    std::fs::write(&weights_file, &damaged).expect("a file");
    let data = root().join("host/examples/digits/digits.csv").display().to_string();
    for arguments in [&["evaluate", "run"][..], &["predict", "run", &data]] {
        plugfit(folder.path(), arguments).with_status(1).says(&["cannot read the weights", "it is damaged"]);
    }
    let older = "run/checkpoint-previous.safetensors";
    plugfit(folder.path(), &["fit", "--resume", older, "--set", "fit.epochs=5"]).with_status(0);
    assert_eq!(weights(&run), weights(&folder.path().join("whole")), "from an older one it ends the same");
    plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=6"]).with_status(0);
    for name in ["checkpoint.safetensors", "checkpoint-previous.safetensors"] {
        std::fs::write(run.join(name), &whole[..whole.len() - 1]).expect("a file");
    }
    plugfit(folder.path(), &resume).with_status(1).says(&["no other checkpoint is whole"]);
    std::fs::remove_file(&file).expect("it is there");
    plugfit(folder.path(), &resume).with_status(1).says(&["cannot resume from", "checkpoint.safetensors"]);
}

#[test]
fn a_run_killed_before_its_first_weights_names_the_command_to_resume_it() {
    let folder = folder();
    digits(folder.path(), "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"");
    let mut child = command(folder.path());
    let child = child.args(["fit", "fit.toml", "--out", "run", "--set", "fit.epochs=100000"]).stdout(Stdio::null());
    let mut child = child.spawn().expect("the program starts");
    while !folder.path().join("run/config.toml").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let data = root().join("host/examples/digits/digits.csv").display().to_string();
    for arguments in [&["evaluate", "run"][..], &["predict", "run", &data]] {
        plugfit(folder.path(), arguments).with_status(1).says(&["run has no weights yet", "plugfit fit --resume run"]);
    }
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=2"]).with_status(0);
    plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
}

#[test]
fn early_stopping_ends_a_run_with_its_best_weights() {
    let folder = folder();
    digits(
        folder.path(),
        "optimizer = \"SGD(learning_rate=0.1)\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]",
    );
    let callback = "fit.callbacks=[\"EarlyStopping(monitor=val_accuracy, patience=3, restore_best_weights=true)\", \
        \"ModelCheckpoint(filepath='best-{epoch:03d}.safetensors', monitor=val_accuracy)\"]";
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--set", "fit.epochs=500", "--set", callback])
        .with_status(0)
        .says(&["ended in epoch", "val_accuracy was best at epoch"]);
    let run = folder.path().join("run");
    let epochs = history(&run);
    let values: Vec<f64> = epochs
        .as_array()
        .expect("a list")
        .iter()
        .map(|epoch| epoch["logs"]["val_accuracy"].as_f64().expect("a number"))
        .collect();
    let best = (0..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best });
    assert_eq!(values.len(), best + 1 + 3, "{values:?}");
    let file = run.join(format!("best-{:03}.safetensors", best + 1));
    assert_eq!(std::fs::read(file).expect("the best weights"), weights(&run));
}

#[test]
fn errors_of_callbacks_name_the_cause() {
    let folder = folder();
    digits(folder.path(), "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"");
    let fit = |callback: &str| {
        plugfit(folder.path(), &["fit", "fit.toml", "--set", &format!("fit.callbacks=[\"{callback}\"]")])
    };
    fit("EarlyStoping(patience=3)").with_status(2).says(&["EarlyStoping", "fit.callbacks[0]", "EarlyStopping"]);
    fit("EarlyStopping(patients=3)").with_status(2).says(&["patients", "patience"]);
    fit("EarlyStopping(monitor=val_acuracy)").with_status(2).says(&["val_acuracy"]);
    let nan = "optimizer = \"SGD(learning_rate=1e30)\"\nloss = \"mse\"";
    digits(folder.path(), nan);
    let layers = "network.layers=[\"Dense(1)\"]";
    let ran = plugfit(
        folder.path(),
        &["fit", "fit.toml", "--out", "nan", "--set", "fit.callbacks=[\"TerminateOnNaN\"]", "--set", layers],
    );
    ran.with_status(0).says(&["ended in epoch 1", "the loss is"]);
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
fn validation_can_run_every_other_epoch() {
    let folder = folder();
    digits(folder.path(), "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"");
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--set", "fit.validation_freq=2"]).with_status(0);
    let history = history(&folder.path().join("run"));
    let validated: Vec<bool> = (0..3).map(|epoch| history[epoch]["logs"]["val_loss"].is_number()).collect();
    assert_eq!(validated, [false, true, false]);
}
