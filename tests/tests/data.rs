//! Tests of the data of a run: in memory and on disk, missing files, a full disk and a loss that isn't finite.

use std::path::Path;

use plugfit_tests::run::{digits, folder, history, plugfit};

/// Returns the bytes of the weights of a run.
fn weights(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("weights.safetensors")).expect("the run keeps its weights")
}

#[test]
fn a_run_is_the_same_with_data_in_memory_and_on_disk() {
    let folder = folder();
    let file = digits(folder.path(), "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"");
    let file = file.to_str().expect("a name");
    for (name, in_memory) in [("memory", "true"), ("disk", "false")] {
        let set = format!("data.in_memory={in_memory}");
        plugfit(folder.path(), &["fit", file, "--set", &set, "--set", "fit.epochs=2", "--out", name]).with_status(0);
    }
    let (memory, disk) = (folder.path().join("memory"), folder.path().join("disk"));
    assert_eq!(history(&memory), history(&disk));
    assert_eq!(weights(&memory), weights(&disk));
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
fn a_missing_data_file_is_named() {
    let folder = folder();
    let file = digits(folder.path(), "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let name = text.lines().find_map(|line| line.strip_prefix("file = ")).expect("it names its data");
    let data = folder.path().join("gone.csv");
    std::fs::copy(file.parent().expect("a folder").join(name.trim_matches('"')), &data).expect("a copy");
    std::fs::write(&file, text.replace(name, "\"gone.csv\"")).expect("it can be written");
    plugfit(folder.path(), &["fit", file.to_str().expect("a name"), "--out", "run"]).with_status(0);
    std::fs::remove_file(data).expect("it was there");
    let arguments = ["fit", "--resume", "run", "--set", "fit.epochs=50"];
    plugfit(folder.path(), &arguments).with_status(1).says(&["cannot read", "gone.csv"]);
    plugfit(folder.path(), &["evaluate", "run"]).with_status(1).says(&["gone.csv"]);
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
