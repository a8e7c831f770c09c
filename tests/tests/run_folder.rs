//! A run's folder: what a run writes into, what it leaves alone, and who may write.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plugfit_tests::{
    build::{library, root},
    run::{Ran, command, digits, folder, plugfit, plugins},
};

const COMPILE: &str = "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"";

/// Every file below a folder with its bytes, and every folder.
fn listing(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() {
                found.insert(path.clone(), None);
                folders.push(path);
            } else {
                found.insert(path.clone(), Some(std::fs::read(&path).unwrap_or_default()));
            }
        }
    }
    found
}

/// A folder of the user's own files, some of which are called as a run's are.
fn bystanders(folder: &Path) {
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

fn fit(folder: &Path, more: &[&str]) -> Ran {
    plugfit(folder, &[&["fit", "fit.toml"], more].concat())
}

fn weights(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("weights.safetensors")).expect("weights")
}

/// A loss that doesn't take class ids: it fails in the first batch.
const MISFIT: [&str; 2] = ["--set", "compile.loss=categorical_crossentropy"];
/// A metric of a plug-in that panics in the first batch.
const PANICS: [&str; 2] = ["--set", "compile.metrics=[{class_name = \"BadMetric\", config = {at = \"update\"}}]"];

#[test]
fn no_way_to_fail_touches_a_file_that_the_run_has_not_written() {
    let folder = folder();
    let project = folder.path().join("project");
    plugins(&project, &[library("hostile")]);
    digits(&project, COMPILE);
    bystanders(&project);
    bystanders(&project.join("results"));
    bystanders(&project.join("plain"));
    std::fs::create_dir(project.join("empty")).expect("a folder");
    std::fs::write(project.join("cut.csv"), "a,label\n1\n").expect("a file");
    std::fs::write(project.join("text.csv"), "a,label\nx,1\n1,2\n").expect("a file");
    std::fs::write(project.join("damaged.json"), "{}").expect("a file");
    std::fs::create_dir(project.join("foreign")).expect("a folder");
    std::fs::write(project.join("foreign/run.json"), "{\"lr\": 1}").expect("a file");
    std::os::unix::fs::symlink("results", project.join("link")).expect("a link");
    std::fs::create_dir_all(project.join("board/train")).expect("a folder");
    std::fs::write(project.join("board/train/events.out.tfevents.1.plugfit.v2"), "mine").expect("a file");
    let before = listing(&project);
    let absolute = project.join("best.txt").display().to_string();
    let logger = format!("fit.callbacks=[\"CSVLogger(filename='{absolute}')\"]");
    let checkpoint = format!("fit.callbacks=[\"ModelCheckpoint(filepath='{absolute}', monitor=loss)\"]");
    let dotted = "fit.callbacks=[\"CSVLogger(filename='../best.txt')\"]";
    let board = project.join("board").display().to_string();
    let board = format!("fit.callbacks=[\"TensorBoard(log_dir='{board}')\"]");
    let nan = ["--set", "compile.optimizer=SGD(learning_rate=nan)"];
    let paths: &[&[&str]] = &[
        // Folders that are no run's.
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
        // Callbacks that are told to write where something is.
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
        // There is no run to go on with.
        &["--resume", "results"],
        &["--resume", "."],
        &["--resume", "foreign"],
        &["--resume", "results/weights.safetensors"],
    ];
    for path in paths {
        let ran = match path[0] {
            "--resume" => plugfit(&project, &[&["fit"], *path].concat()),
            _ => fit(&project, path),
        };
        assert!(matches!(ran.status, Some(1 | 2)), "{path:?}: {ran:?}");
        assert!(ran.err.starts_with("error: ") || ran.err.contains("\nerror: "), "{path:?}: {}", ran.err);
        let after = listing(&project);
        let changed: Vec<_> = before.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)).collect();
        assert!(changed.is_empty(), "{path:?} changed {:?}", changed.iter().map(|(path, _)| path).collect::<Vec<_>>());
        let added: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
        assert!(added.is_empty(), "{path:?} left {added:?}");
    }
    fit(&project, &["--out", "results"])
        .with_status(2)
        .says(&["results isn't empty, and is no folder of a run", "name one"]);
    fit(&project, &["--out", "empty"]).with_status(0);
    let after = listing(&project);
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "and none that succeeds");
}

#[test]
fn files_in_a_runs_folder_outlive_a_resumption_and_a_replacement_whether_they_fail_or_not() {
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
    fit(folder.path(), &["--out", "run"]).with_status(2).says(&["holds a run already", "--overwrite", "--resume"]);
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

/// Starts a run that takes its time, and waits until it has begun and this file is there.
fn begin(folder: &Path, arguments: &[&str], until: &Path) -> Child {
    let mut command = command(folder);
    let mut child =
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    lines.next().expect("a line").expect("text");
    std::thread::spawn(move || lines.for_each(drop));
    let since = Instant::now();
    while !until.exists() {
        assert!(since.elapsed() < Duration::from_secs(60), "{} never came", until.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn kill(mut child: Child) {
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

#[test]
fn the_old_weights_stay_until_the_new_ones_are_complete_and_a_killed_replacement_goes_on() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    fit(folder.path(), &["--out", "run"]).with_status(0);
    let old = weights(&run);
    let other = ["--set", "network.layers=[\"Dense(10, activation=softmax)\"]", "--set", "fit.epochs=2000"];
    let arguments = [&["fit", "fit.toml", "--out", "run", "--overwrite"], &other[..]].concat();
    for _ in 0..2 {
        kill(begin(folder.path(), &arguments, &run.join(".unfinished/checkpoint.safetensors")));
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
fn one_process_at_a_time_trains_in_a_folder() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let run = folder.path().join("run");
    let long = ["--set", "fit.epochs=1000000"];
    let busy = "another process is training in run";
    let child =
        begin(folder.path(), &[&["fit", "fit.toml", "--out", "run"], &long[..]].concat(), &run.join("run.json"));
    fit(folder.path(), &["--out", "run"]).with_status(2).says(&["holds a run already"]);
    fit(folder.path(), &["--out", "run", "--overwrite"]).with_status(1).says(&[busy]);
    plugfit(folder.path(), &["fit", "--resume", "run"]).with_status(1).says(&[busy]);
    kill(child);
    // The lock ended with the process.
    let child = begin(folder.path(), &["fit", "--resume", "run"], &run.join("checkpoint.safetensors"));
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=1"]).with_status(1).says(&[busy]);
    kill(child);
    // At once into a folder that isn't there yet.
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
fn a_plugin_that_changes_the_working_directory_moves_no_output() {
    let folder = folder();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    let header = root().join("plugin-api/include").display().to_string();
    let source = format!(
        "#include <plugfit.h>\n#include <unistd.h>\n\
         PLUGFIT_CALLABLE moves(const float *t, const float *p, size_t rows, size_t columns, float *out) {{\n\
             if (chdir({elsewhere:?})) return;\n\
             for (size_t i = 0; i < rows; i++) out[i] = p[i * columns] - t[i];\n\
         }}\n"
    );
    std::fs::write(folder.path().join("moves.c"), source).expect("a file");
    let built = Command::new("cc")
        .current_dir(folder.path())
        .args(["-O2", "-shared", "-fPIC", "-I", &header, "-o", "libmoves.so", "moves.c"])
        .status();
    assert!(built.expect("a C compiler").success());
    digits(
        folder.path(),
        "optimizer = \"SGD(learning_rate=0.001)\"\nloss = \"mse\"\nmetrics = [\"./libmoves.so#moves\"]",
    );
    let data = root().join("host/examples/digits/digits.csv");
    std::fs::copy(data, folder.path().join("digits.csv")).expect("a copy");
    let set = [
        "--set",
        "network.layers=[\"Dense(1)\"]",
        "--set",
        "data.file=digits.csv",
        "--set",
        "fit.callbacks=[\"CSVLogger\"]",
    ];
    fit(folder.path(), &[&["--out", "run"], &set[..]].concat()).with_status(0);
    fit(folder.path(), &set).with_status(0);
    plugfit(folder.path(), &["fit", "--resume", "run", "--set", "fit.epochs=4"]).with_status(0);
    plugfit(folder.path(), &["evaluate", "run", "digits.csv"]).with_status(0);
    plugfit(folder.path(), &["predict", "run", "digits.csv"]).with_status(0);
    assert_eq!(listing(&elsewhere), BTreeMap::new());
    for file in ["run/weights.safetensors", "run/history.csv", "runs", "predictions.csv"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
}

#[test]
fn predictions_are_written_over_nothing_that_was_not_given_away() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    fit(folder.path(), &["--out", "run"]).with_status(0);
    let data = folder.path().join("d.csv");
    std::fs::copy(root().join("host/examples/digits/digits.csv"), &data).expect("a copy");
    let own = std::fs::read(&data).expect("it is there");
    let predict = |more: &[&str]| plugfit(folder.path(), &[&["predict", "run", "d.csv"], more].concat());
    for more in [&["--out", "d.csv"][..], &["--out", "./d.csv", "--overwrite"]] {
        predict(more).with_status(2).says(&["d.csv is a file to predict for"]);
        assert_eq!(std::fs::read(&data).expect("it is there"), own);
    }
    std::fs::write(folder.path().join("predictions.csv"), "mine").expect("a file");
    predict(&[]).with_status(2).says(&["predictions.csv is there already", "--overwrite"]);
    assert_eq!(std::fs::read(folder.path().join("predictions.csv")).expect("it is there"), b"mine");
    predict(&["--overwrite"]).with_status(0);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("predictions.csv")).expect("it is there").lines().count(),
        1798
    );
}

#[test]
fn a_file_that_a_callback_writes_elsewhere_is_its_runs_alone() {
    let folder = folder();
    digits(folder.path(), COMPILE);
    let log = folder.path().join("log.csv");
    let callbacks = format!("fit.callbacks=[\"CSVLogger(filename='{}')\"]", log.display());
    fit(folder.path(), &["--out", "one", "--set", &callbacks]).with_status(0);
    let of_one = std::fs::read(&log).expect("a log");
    fit(folder.path(), &["--out", "two", "--set", &callbacks])
        .with_status(2)
        .says(&["log.csv is there already, and this run hasn't written it", "fit.callbacks[0]"]);
    assert_eq!(std::fs::read(&log).expect("a log"), of_one);
    plugfit(folder.path(), &["fit", "--resume", "one", "--set", "fit.epochs=4"]).with_status(0);
    assert!(std::fs::read(&log).expect("a log").len() > of_one.len());
    fit(folder.path(), &["--out", "one", "--overwrite", "--set", &callbacks]).with_status(0);
    assert_eq!(std::fs::read_to_string(&log).expect("a log").lines().count(), 4);
}
