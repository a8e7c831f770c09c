//! Tests of run folders: which files a run writes, which it doesn't touch, and which process may write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use plugfit_tests::{
    build::{library, root},
    run::{Finished, command, digits, folder, kill, listing, plugfit, plugins, start_run, weights},
};

const COMPILE: &str = "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"";

/// Creates a folder with files of the user, some of which have the names of run files.
fn user_files(folder: &Path) {
    std::fs::create_dir_all(folder.join("curves/deep")).expect("a folder");
    for name in [
        "thesis.txt",
        "weights.safetensors",
        "history.csv",
        "config.toml",
        "curves/deep/mine.svg",
        ".hidden",
        "best.txt",
    ] {
        std::fs::write(folder.join(name), format!("mine: {name}")).expect("a file");
    }
}

fn fit(folder: &Path, more: &[&str]) -> Finished {
    plugfit(folder, &[&["fit", "fit.toml"], more].concat())
}

/// A loss that doesn't accept class ids, so that the first batch fails.
const MISFIT: [&str; 2] = ["--set", "compile.loss=categorical_crossentropy"];

/// A metric of a plug-in that panics in the first batch.
const PANICS: [&str; 2] = ["--set", "compile.metrics=[{class_name = \"BadMetric\", config = {at = \"update\"}}]"];

/// Creates a project whose files and folders a run must not change.
fn prepared_project(folder: &Path) -> PathBuf {
    let project = folder.join("project");
    plugins(&project, &[library("hostile")]);
    digits(&project, COMPILE);
    user_files(&project);
    user_files(&project.join("results"));
    user_files(&project.join("plain"));
    std::fs::create_dir(project.join("empty")).expect("a folder");
    std::fs::write(project.join("cut.csv"), "a,label\n1\n").expect("a file");
    std::fs::write(project.join("text.csv"), "a,label\n1,1\nx,2\n").expect("a file");
    std::fs::write(project.join("damaged.json"), "{}").expect("a file");
    std::fs::create_dir(project.join("foreign")).expect("a folder");
    std::fs::write(project.join("foreign/run.json"), "{\"lr\": 1}").expect("a file");
    std::os::unix::fs::symlink("results", project.join("link")).expect("a link");
    std::fs::create_dir_all(project.join("board/train")).expect("a folder");
    std::fs::write(project.join("board/train/events.out.tfevents.1.plugfit.v2"), "mine").expect("a file");
    project
}

/// Checks that a run with these arguments fails and changes nothing in a project with these files.
#[track_caller]
fn fails_without_changes(project: &Path, path: &[&str], before: &BTreeMap<PathBuf, Option<Vec<u8>>>) {
    let ran = match path[0] {
        "--resume" => plugfit(project, &[&["fit"], path].concat()),
        _ => fit(project, path),
    };
    assert!(matches!(ran.status, Some(1 | 2)), "{path:?}: {ran:?}");
    assert!(ran.err.starts_with("error: ") || ran.err.contains("\nerror: "), "{path:?}: {}", ran.err);
    let after = listing(project);
    let changed: Vec<_> = before.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)).collect();
    assert!(changed.is_empty(), "{path:?} changed {:?}", changed.iter().map(|(path, _)| path).collect::<Vec<_>>());
    let added: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(added.is_empty(), "{path:?} left {added:?}");
}

#[test]
fn a_run_that_fails_changes_no_file_that_it_has_not_written() {
    let folder = folder();
    let project = prepared_project(folder.path());
    let before = listing(&project);
    let absolute = project.join("best.txt").display().to_string();
    let logger = format!("fit.callbacks=[\"CSVLogger(filename='{absolute}')\"]");
    let checkpoint = format!("fit.callbacks=[\"ModelCheckpoint(filepath='{absolute}', monitor=loss)\"]");
    let dotted = "fit.callbacks=[\"CSVLogger(filename='../best.txt')\"]";
    let board = project.join("board").display().to_string();
    let board = format!("fit.callbacks=[\"TensorBoard(log_dir='{board}')\"]");
    let nan = ["--set", "compile.optimizer=SGD(learning_rate=nan)"];
    let paths: &[&[&str]] = &[
        // Folders that contain no run.
        &["--out", "results"],
        &["--out", "."],
        &["--out", "link"],
        &["--out", "foreign"],
        &["--out", "results/thesis.txt"],
        &["--out", "results/thesis.txt/below"],
        &["--out", "results", "--overwrite"],
        &["--out", ".", "--overwrite"],
        &["--out", "foreign", "--overwrite"],
        &["--out", project.to_str().expect("UTF-8")],
        &["--out", "plain/../results"],
        // A run that fails before or in its first batch.
        &[&["--out", "empty"], &MISFIT[..]].concat(),
        &[&["--out", "new/deep/run"], &MISFIT[..]].concat(),
        &MISFIT,
        &[&["--out", "new", "--overwrite"], &MISFIT[..]].concat(),
        &[&["--out", "new"], &PANICS[..]].concat(),
        &PANICS,
        &[&["--out", "new"], &nan[..]].concat(),
        &["--out", "new", "--set", "fit.class_weight={ x = 1.0 }"],
        &["--out", "new", "--set", "data.file=missing.csv"],
        &["--out", "new", "--set", "data.file=cut.csv"],
        &["--out", "new", "--set", "data.file=text.csv"],
        &["--out", "new", "--set", "compile.loss=no_such_loss"],
        &["--out", "new", "--set", "plugins=[\"missing.so\"]", "--locked"],
        &["--out", "new", "--set", "fit.callbacks=[\"EarlyStopping(monitor=nothing)\"]"],
        // Callbacks whose output exists already or has a reserved name.
        &["--out", "new", "--set", &logger],
        &["--out", "new", "--set", &checkpoint],
        &["--out", "new", "--set", &board],
        &["--out", "new", "--set", dotted],
        &["--out", "new", "--set", "fit.callbacks=[\"CSVLogger(filename='run.json')\"]"],
        &[
            "--out",
            "new",
            "--set",
            "fit.callbacks=[\"ModelCheckpoint(filepath='./weights.safetensors', monitor=loss)\"]",
        ],
        &["--out", "new", "--set", "fit.callbacks=[\"TensorBoard(log_dir='curves')\"]"],
        // No run to resume.
        &["--resume", "results"],
        &["--resume", "."],
        &["--resume", "foreign"],
        &["--resume", "results/weights.safetensors"],
    ];
    for path in paths {
        fails_without_changes(&project, path, &before);
    }
    fit(&project, &["--out", "results"])
        .with_status(2)
        .says(&["results isn't empty, and isn't a folder of a run", "name one"]);
    fit(&project, &["--out", "empty"]).with_status(0);
    let after = listing(&project);
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "and none that succeeds");
}

#[test]
fn files_of_the_user_in_a_run_folder_survive_resumptions_and_replacements_even_failed_ones() {
    let folder = folder();
    plugins(folder.path(), &[library("hostile")]);
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    let callbacks = ["--set", "fit.callbacks=[\"CSVLogger\", \"TensorBoard\"]"];
    fit(folder.path(), &[&["--out", "run"], &callbacks[..]].concat()).with_status(0);
    std::fs::write(run.join("notes.md"), "mine").expect("a file");
    std::fs::write(run.join("curves/mine.svg"), "mine").expect("a file");
    std::fs::write(run.join("best.safetensors"), "mine").expect("a file");
    let before = listing(&run);
    for fails in [MISFIT, PANICS] {
        let resumed = [&["fit", "--resume", "run", "--set", "fit.epochs=9"], &fails[..]].concat();
        let ran = plugfit(folder.path(), &resumed);
        assert!(matches!(ran.status, Some(1 | 2)), "{fails:?}: {ran:?}");
        assert_eq!(listing(&run), before, "a run that can't go on is as it was");
    }
    let best = ["--set", "fit.callbacks=[\"ModelCheckpoint(monitor=loss)\"]"];
    for fails in [MISFIT, PANICS, best, ["--set", "data.file=missing.csv"]] {
        let ran = fit(folder.path(), &[&["--out", "run", "--overwrite"], &fails[..]].concat());
        assert!(matches!(ran.status, Some(1 | 2)), "{fails:?}: {ran:?}");
        assert_eq!(listing(&run), before, "{fails:?}");
        plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
    }
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=5"]).with_status(0);
    fit(folder.path(), &["--out", "run"]).with_status(2).says(&["already contains a run", "--overwrite", "--resume"]);
    let other = ["--set", "fit.seed=8", "--set", "fit.epochs=2"];
    fit(folder.path(), &[&["--out", "other"], &other[..]].concat()).with_status(0);
    fit(folder.path(), &[&["--out", "run", "--overwrite"], &other[..]].concat()).with_status(0);
    assert_eq!(weights(&run), weights(&folder.path().join("other")));
    for name in ["notes.md", "curves/mine.svg", "best.safetensors"] {
        assert_eq!(std::fs::read_to_string(run.join(name)).expect("it is there"), "mine", "{name}");
    }
    assert!(!run.join(".unfinished").exists());
    plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=3"]).with_status(0);
}

#[test]
fn only_one_process_at_a_time_trains_in_a_folder() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    let long = ["--set", "fit.epochs=1000000"];
    let busy = "another process is training in run";
    let child =
        start_run(folder.path(), &[&["fit", "fit.toml", "--out", "run"], &long[..]].concat(), &run.join("run.json"));
    fit(folder.path(), &["--out", "run"]).with_status(2).says(&["already contains a run"]);
    fit(folder.path(), &["--out", "run", "--overwrite"]).with_status(1).says(&[busy]);
    plugfit(folder.path(), &["fit", "--resume", "run"]).with_status(1).says(&[busy]);
    kill(child);
    // The lock is released when the process ends.
    let child = start_run(folder.path(), &["fit", "--resume", "run"], &run.join("checkpoint.safetensors"));
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=1"]).with_status(1).says(&[busy]);
    kill(child);
    // Several processes at once, in a folder that doesn't exist yet.
    let spawn = || {
        let mut command = command(folder.path());
        command.args(["fit", "fit.toml", "--out", "same"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("it starts")
    };
    let mut children = [spawn(), spawn(), spawn()];
    let statuses: Vec<_> = children.iter_mut().map(|child| child.wait().expect("it ends").code()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == Some(0)).count(), 1, "{statuses:?}");
}

#[test]
fn predictions_overwrite_a_file_only_with_overwrite_and_never_the_input() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    fit(folder.path(), &["--out", "run"]).with_status(0);
    let data = folder.path().join("d.csv");
    std::fs::copy(root().join("host/examples/digits/digits.csv"), &data).expect("a copy");
    let original = std::fs::read(&data).expect("it is there");
    let predict = |more: &[&str]| plugfit(folder.path(), &[&["predict", "run", "d.csv"], more].concat());
    for more in [&["--out", "d.csv"][..], &["--out", "./d.csv", "--overwrite"]] {
        predict(more).with_status(2).says(&["d.csv is one of the input files"]);
        assert_eq!(std::fs::read(&data).expect("it is there"), original);
    }
    std::fs::write(folder.path().join("predictions.csv"), "mine").expect("a file");
    predict(&[]).with_status(2).says(&["predictions.csv already exists", "--overwrite"]);
    assert_eq!(std::fs::read(folder.path().join("predictions.csv")).expect("it is there"), b"mine");
    predict(&["--overwrite"]).with_status(0);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("predictions.csv")).expect("it is there").lines().count(),
        1798
    );
}

#[test]
fn a_file_that_a_callback_writes_elsewhere_belongs_to_its_run() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let log = folder.path().join("log.csv");
    let callbacks = format!("fit.callbacks=[\"CSVLogger(filename='{}')\"]", log.display());
    fit(folder.path(), &["--out", "one", "--set", &callbacks]).with_status(0);
    let of_one = std::fs::read(&log).expect("a log");
    fit(folder.path(), &["--out", "two", "--set", &callbacks])
        .with_status(2)
        .says(&["log.csv already exists and wasn't written by this run", "fit.callbacks[0]"]);
    assert_eq!(std::fs::read(&log).expect("a log"), of_one);
    plugfit(folder.path(), &["fit", "--resume", "one", "--set", "fit.epochs=4"]).with_status(0);
    assert!(std::fs::read(&log).expect("a log").len() > of_one.len());
    fit(folder.path(), &["--out", "one", "--overwrite", "--set", &callbacks]).with_status(0);
    assert_eq!(std::fs::read_to_string(&log).expect("a log").lines().count(), 4);
}

#[test]
fn a_failed_resumption_from_the_previous_checkpoint_keeps_the_last_one() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    fit(folder.path(), &["--out", "run"]).with_status(0);
    let before = listing(&run);
    let previous = "run/checkpoint-previous.safetensors";
    plugfit(folder.path(), &[&["fit", "--resume", previous], &MISFIT[..]].concat()).with_status(2);
    assert!(listing(&run) == before);
    let mut damaged = before[&run.join("checkpoint-previous.safetensors")].clone().expect("a file");
    damaged.truncate(100);
    std::fs::write(folder.path().join(previous), damaged).expect("a file");
    plugfit(folder.path(), &["fit", "--resume", previous])
        .with_status(1)
        .says(&["run/checkpoint.safetensors is intact", "`plugfit fit --resume run/checkpoint.safetensors`"]);
}

#[test]
fn a_run_that_failed_before_its_first_checkpoint_starts_again() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let first = folder.path().join("w-1.safetensors");
    std::fs::write(&first, "mine").expect("a file");
    let name = folder.path().join("w-{epoch}.safetensors").display().to_string();
    let callbacks = format!("fit.callbacks=[{{class_name = \"ModelCheckpoint\", config = {{filepath = \"{name}\"}}}}]");
    fit(folder.path(), &["--out", "run", "--set", &callbacks]).with_status(2).says(&["w-1.safetensors already exists"]);
    assert_eq!(std::fs::read_to_string(&first).expect("it is still there"), "mine");
    std::fs::remove_file(&first).expect("it is moved elsewhere");
    plugfit(folder.path(), &["fit", "--resume", "run"]).with_status(0);
}

#[test]
fn a_run_that_fails_before_its_first_batch_leaves_no_folders_of_callbacks() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let callbacks = [
        "--set",
        "fit.callbacks=[\"TensorBoard\", \"CSVLogger(filename='a/b/c.csv')\", \"EarlyStopping(monitor=nothing)\"]",
    ];
    fit(folder.path(), &[&["--out", "run"], &callbacks[..]].concat()).with_status(2);
    assert!(!folder.path().join("run").exists());
    fit(folder.path(), &["--out", "run"]).with_status(0);
    let before = listing(&folder.path().join("run"));
    fit(folder.path(), &[&["--out", "run", "--overwrite"], &callbacks[..]].concat()).with_status(2);
    assert!(listing(&folder.path().join("run")) == before);
}
