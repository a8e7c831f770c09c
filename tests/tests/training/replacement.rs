//! Tests of `fit --overwrite`, which replaces the run in a folder. The old run stays until the new one is complete.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use plugfit_tests::run::{Finished, digits, folder, kill, listing, plugfit, start_run, weights};

const COMPILE: &str = "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"";

fn fit(folder: &Path, more: &[&str]) -> Finished {
    plugfit(folder, &[&["fit", "fit.toml"], more].concat())
}

#[test]
fn the_old_weights_stay_until_the_new_ones_are_complete_and_a_killed_replacement_can_be_resumed() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    fit(folder.path(), &["--out", "run"]).with_status(0);
    let old = weights(&run);
    let other = ["--set", "network.layers=[\"Dense(10, activation=softmax)\"]", "--set", "fit.epochs=2000"];
    let arguments = [&["fit", "fit.toml", "--out", "run", "--overwrite"], &other[..]].concat();
    for _ in 0..2 {
        kill(start_run(folder.path(), &arguments, &run.join(".unfinished/checkpoint.safetensors")));
        assert_eq!(weights(&run), old);
        plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
    }
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=40"]).with_status(0);
    assert!(!run.join(".unfinished").exists());
    assert_ne!(weights(&run), old);
    plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
    plugfit(folder.path(), &["fit", "--resume", "run"]).with_status(0);
}

#[test]
fn only_the_files_of_an_unfinished_replacement_itself_are_deleted() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    fit(folder.path(), &["--out", "run"]).with_status(0);
    let old = weights(&run);
    let callbacks = "fit.callbacks=[{class_name = \"CSVLogger\", config = {filename = \"logs/all.csv\"}}]";
    let long = ["--set", "fit.epochs=2000", "--set", callbacks];
    let arguments = [&["fit", "fit.toml", "--out", "run", "--overwrite"], &long[..]].concat();
    let unfinished = run.join(".unfinished");
    kill(start_run(folder.path(), &arguments, &unfinished.join("checkpoint.safetensors")));
    assert!(unfinished.join("logs/all.csv").exists());
    std::fs::write(unfinished.join(".weights.safetensors.12345-6.tmp"), "half").expect("a file");
    for name in ["thesis.txt", "logs/mine.csv", ".weights.safetensors.tmp", "curves/deep/mine.svg"] {
        let mine = unfinished.join(name);
        std::fs::create_dir_all(mine.parent().expect("a folder")).expect("a folder");
        std::fs::write(&mine, "mine").expect("a file");
        fit(folder.path(), &["--out", "run", "--overwrite"]).with_status(1).says(&["move it elsewhere"]);
        assert_eq!(std::fs::read_to_string(&mine).expect("it is still there"), "mine");
        assert_eq!(weights(&run), old);
        std::fs::remove_file(&mine).expect("it is moved elsewhere");
        for folder in mine.ancestors().skip(1).take_while(|folder| **folder != unfinished) {
            std::fs::remove_dir(folder).expect("it was left because it had a file");
        }
        // The folder is empty now.
        assert!(std::fs::read_dir(&unfinished).expect("a folder").next().is_none(), "{name}");
        kill(start_run(folder.path(), &arguments, &unfinished.join("checkpoint.safetensors")));
    }
    fit(folder.path(), &["--out", "run", "--overwrite", "--set", callbacks]).with_status(0);
    assert!(!unfinished.exists() && run.join("logs/all.csv").exists());
}

#[test]
fn a_replacement_that_was_killed_while_moving_its_files_is_completed() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    fit(folder.path(), &["--out", "run", "--set", "compile.optimizer=Adam", "--set", "fit.epochs=1"]).with_status(0);
    let old = weights(&run);
    let arguments = ["fit", "fit.toml", "--out", "run", "--overwrite", "--set", "fit.epochs=2000"];
    let unfinished = run.join(".unfinished");
    kill(start_run(folder.path(), &arguments, &unfinished.join("checkpoint.safetensors")));
    // The record of the old run is removed first, and that of the new one is moved last.
    std::fs::remove_file(run.join("run.json")).expect("a record");
    std::fs::rename(unfinished.join("checkpoint.safetensors"), run.join("checkpoint.safetensors")).expect("a file");
    plugfit(folder.path(), &["evaluate", "run"]).with_status(1).says(&["--resume run"]);
    // Another replacement completes the move first. If it fails, the moved files stay unchanged.
    let fails = ["--out", "run", "--overwrite", "--set", "fit.callbacks=[\"EarlyStopping(monitor=nothing)\"]"];
    fit(folder.path(), &fails).with_status(2);
    assert!(!unfinished.exists());
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=1"]).with_status(0);
    assert!(!unfinished.exists());
    assert!(weights(&run) != old, "the new run's checkpoint was used");
}

#[test]
fn a_replacement_does_not_overwrite_a_file_that_was_added_meanwhile() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    fit(folder.path(), &["--out", "run"]).with_status(0);
    let callbacks = "fit.callbacks=[{class_name = \"CSVLogger\", config = {filename = \"log.csv\"}}]";
    let arguments = ["fit", "fit.toml", "--out", "run", "--overwrite", "--set", "fit.epochs=2000", "--set", callbacks];
    kill(start_run(folder.path(), &arguments, &run.join(".unfinished/checkpoint.safetensors")));
    std::fs::write(run.join("log.csv"), "mine").expect("a file");
    let resume = ["fit", "--resume", "run", "--set", "fit.epochs=1"];
    plugfit(folder.path(), &resume).with_status(1).says(&["log.csv already exists"]);
    assert_eq!(std::fs::read_to_string(run.join("log.csv")).expect("it is still there"), "mine");
    std::fs::rename(run.join("log.csv"), folder.path().join("mine.csv")).expect("it can be moved");
    plugfit(folder.path(), &resume).with_status(0);
    assert!(!run.join(".unfinished").exists() && run.join("log.csv").exists());
}

/// Interrupts a process as Ctrl-C does, and returns its exit status.
fn interrupt(mut child: Child) -> Option<i32> {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    assert!(sent.success());
    child.wait().expect("it ends").code()
}

/// Returns the files of a run without those of an unfinished replacement.
fn without_unfinished(run: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut files = listing(run);
    files.retain(|path, _| !path.starts_with(run.join(".unfinished")));
    files
}

#[test]
fn a_replacement_that_fails_or_is_stopped_does_not_change_the_old_run() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    let best = folder.path().join("best.safetensors");
    let callbacks = format!("fit.callbacks=[\"ModelCheckpoint(filepath='{}')\"]", best.display());
    fit(folder.path(), &["--out", "run", "--set", &callbacks]).with_status(0);
    let (before, best_before) = (listing(&run), std::fs::read(&best).expect("weights"));
    let is_unchanged = |what: &str| {
        assert!(without_unfinished(&run) == before, "{what}");
        assert!(std::fs::read(&best).expect("weights") == best_before, "{what}");
        plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
    };
    let overwrite = ["--out", "run", "--overwrite", "--set", &callbacks];
    let diverges = ["--set", "compile.optimizer=SGD(learning_rate=1e30)", "--set", "fit.batch_size=16"];
    fit(folder.path(), &[&overwrite[..], &diverges].concat())
        .with_status(1)
        .says(&["the loss became", "the run in run is unchanged"]);
    is_unchanged("the loss is infinite");
    let ends_on_nan = ["--set", "fit.callbacks=[\"TerminateOnNaN\"]"];
    fit(folder.path(), &[&["--out", "run", "--overwrite"], &diverges[..], &ends_on_nan].concat())
        .with_status(0)
        .says(&["ended in epoch 1"]);
    is_unchanged("a callback ended it on NaN");
    let long = [&["fit", "fit.toml"], &overwrite[..], &["--set", "fit.epochs=1000000"]].concat();
    let child = start_run(folder.path(), &long, &run.join(".unfinished/checkpoint.safetensors"));
    assert_eq!(interrupt(child), Some(130));
    is_unchanged("it was interrupted");
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=1"]).with_status(0);
    assert!(!run.join(".unfinished").exists() && !run.join(".elsewhere").exists());
    assert!(std::fs::read(&best).expect("weights") != best_before);
}

#[test]
fn a_checkpoint_of_a_run_that_is_being_replaced_cannot_be_resumed() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    fit(folder.path(), &["--out", "run"]).with_status(0);
    let arguments = ["fit", "fit.toml", "--out", "run", "--overwrite", "--set", "fit.epochs=2000"];
    kill(start_run(folder.path(), &arguments, &run.join(".unfinished/checkpoint.safetensors")));
    let before = listing(&run);
    plugfit(folder.path(), &["fit", "--resume", "run/checkpoint.safetensors"])
        .with_status(2)
        .says(&["belongs to a run that is being replaced", "plugfit fit --resume run"]);
    assert!(listing(&run) == before);
    plugfit(folder.path(), &["fit", "--resume", "run/.unfinished/checkpoint.safetensors", "--set", "fit.epochs=1"])
        .with_status(0)
        .says(&["the run continues in the replacement"]);
}

#[test]
fn a_replacement_may_overwrite_only_files_that_the_old_run_has_written() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let callbacks = ["--set", "fit.callbacks=[\"ModelCheckpoint(filepath='w/{epoch}.safetensors')\"]"];
    fit(folder.path(), &[&["--out", "run"], &callbacks[..]].concat()).with_status(0);
    let overwrite = ["--out", "run", "--overwrite"];
    fit(folder.path(), &overwrite).with_status(0);
    std::fs::write(folder.path().join("run/mine.txt"), "mine").expect("a file");
    fit(folder.path(), &[&overwrite[..], &callbacks].concat()).with_status(0);
    let mine = ["--set", "fit.callbacks=[\"CSVLogger(filename='mine.txt')\"]"];
    fit(folder.path(), &[&overwrite[..], &mine].concat()).with_status(2).says(&["mine.txt already exists"]);
}
