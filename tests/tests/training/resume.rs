//! Tests that interrupted and failed runs can be resumed, and end like uninterrupted ones.

use plugfit_tests::{
    build::{library, root},
    run::{command, digits, folder, history, plugfit, plugins, weights},
};
use std::{process::Stdio, time::Duration};

const COMPILE: &str = "optimizer = \"AdamW(learning_rate=0.003, use_ema=true)\"\nloss = \"sparse_categorical_crossentropy\"\n\
    metrics = [\"accuracy\", \"calibration>ExpectedCalibrationError(name=ece)\"]";

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
            "run/checkpoint-previous.safetensors is intact, from epoch",
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
    plugfit(folder.path(), &resume).with_status(1).says(&["no other checkpoint is intact"]);
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
fn a_loss_that_is_not_finite_fails_the_run_and_keeps_the_last_checkpoint() {
    let folder = folder();
    let file =
        digits(folder.path(), "optimizer = \"SGD(learning_rate=0.1)\"\nloss = \"sparse_categorical_crossentropy\"");
    let file = file.to_str().expect("a name");
    plugfit(folder.path(), &["fit", file, "--set", "fit.epochs=2", "--out", "run"]).with_status(0);
    let before = weights(&folder.path().join("run"));
    let wild = "compile.optimizer=SGD(learning_rate=1e30)";
    let arguments = ["fit", "--resume", "run", "--set", "fit.epochs=5", "--set", wild];
    plugfit(folder.path(), &arguments).with_status(1).says(&["the loss became", "epoch 3, batch ", "kept"]);
    assert_eq!(weights(&folder.path().join("run")), before);
    let tame = "compile.optimizer=SGD(learning_rate=0.1)";
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=3", "--set", tame]).with_status(0);
}

#[test]
fn a_full_disk_does_not_damage_the_previous_checkpoint() {
    let folder = folder();
    let file = digits(folder.path(), "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"");
    plugfit(folder.path(), &["fit", file.to_str().expect("a name"), "--out", "run"]).with_status(0);
    // A limit on the file size makes writes fail as a full disk does.
    let program = plugfit_tests::run::command(folder.path());
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} fit --resume run --set fit.epochs=50",
        program.get_program().to_string_lossy()
    );
    let ran = std::process::Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().expect("sh");
    let says = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{says}");
    assert!(says.contains("cannot write") || says.contains("File too large"), "{says}");
    let arguments = ["fit", "--resume", "run", "--set", "fit.epochs=2"];
    plugfit(folder.path(), &arguments).with_status(0);
}

#[test]
fn a_plugin_that_fails_in_epoch_three_leaves_a_checkpoint_to_resume_from() {
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
    let resume = ["fit", "--resume", "run", "--set", "fit.epochs=4", "--set", steps];
    plugfit(folder.path(), &resume).with_status(0);
}

#[test]
fn a_resumed_run_has_the_moving_statistics_of_an_uninterrupted_one() {
    let folder = folder();
    let compile = "optimizer = \"AdamW(learning_rate=0.003, weight_decay=0.1, use_ema=true, ema_overwrite_frequency=7)\"\n\
        loss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\"]";
    digits(folder.path(), compile);
    let layers = "network.layers=[\"Dense(16, activation=relu)\", \"BatchNormalization(momentum=0.9)\", \
        \"Dense(16, activation=relu, name=deep)\", \"LayerNormalization\", \"Add(from=dense)\", \"Dropout(0.2)\", \
        \"Dense(10, activation=softmax)\"]";
    let callbacks = "fit.callbacks=[\"EarlyStopping(monitor=val_loss, patience=9, restore_best_weights=true)\"]";
    let fit = |out: &str, epochs: &str| {
        let set = ["--set", epochs, "--set", layers, "--set", callbacks];
        plugfit(folder.path(), &[&["fit", "fit.toml", "--out", out], &set[..]].concat()).with_status(0);
    };
    fit("six", "fit.epochs=6");
    fit("three", "fit.epochs=3");
    plugfit(folder.path(), &["fit", "--resume", "three", "--set", "fit.epochs=6"]).with_status(0);
    assert_eq!(weights(&folder.path().join("six")), weights(&folder.path().join("three")));
    assert_eq!(history(&folder.path().join("six")), history(&folder.path().join("three")));
}

#[test]
fn an_evaluation_uses_the_moving_statistics_of_the_run() {
    let folder = folder();
    digits(folder.path(), "optimizer = \"Adam\"\nloss = \"sparse_categorical_crossentropy\"");
    let layers =
        "network.layers=[\"Dense(16)\", \"BatchNormalization(momentum=0.9)\", \"Dense(10, activation=softmax)\"]";
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--set", layers]).with_status(0);
    let history = history(&folder.path().join("run"));
    let expected = history[2]["logs"]["val_loss"].as_f64().expect("a validation loss");
    let evaluated = plugfit(folder.path(), &["evaluate", "run", "--json"]).with_status(0);
    let end = evaluated.out.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let loss = end.and_then(|end: serde_json::Value| end["logs"]["loss"].as_f64()).expect("a loss");
    assert!((loss - expected).abs() < 1e-5 * expected, "{loss} {expected}");
}
