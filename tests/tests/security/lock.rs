//! Tests of lock files: only files in the lock are loaded.

use std::path::Path;

use plugfit_tests::{
    build::{c_library, library, root},
    run::{command, digits, folder, plugfit, plugins},
};

const COMPILE: &str =
    "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"ExpectedCalibrationError\"]";

#[test]
fn a_file_in_the_lock_is_loaded_and_a_changed_one_is_not() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);

    digits(folder.path(), COMPILE);
    plugfit(folder.path(), &["lock", "fit.toml"]).with_status(0).prints(&["calibration 0.2.0", "lists 1 plug-ins"]);
    let written = std::fs::read_to_string(folder.path().join("plugfit.lock")).expect("a lock");
    assert!(written.contains("version = 1") && written.contains("name = \"calibration\""), "{written}");
    plugfit(folder.path(), &["fit", "fit.toml", "--locked", "--out", "run"]).with_status(0);
    let file = place.join(library("calibration").file_name().expect("a name"));
    let whole = std::fs::read(&file).expect("it is there");
    std::fs::write(&file, [&whole[..], b"\0"].concat()).expect("it can be written");
    // The lock applies with and without `--locked`.
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "other"]).with_status(2).says(&[
        "isn't the calibration 0.2.0 that",
        "plugfit.lock names",
        "no metric is called",
    ]);
    plugfit(folder.path(), &["evaluate", "run"]).with_status(2).says(&["plugfit.lock names"]);
    std::fs::write(&file, whole).expect("it can be written");
    plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
}

#[test]
fn the_lock_of_a_run_applies_wherever_the_run_is_used_from() {
    for (out, run) in
        [(Some("kept"), "project/kept"), (None, "project/runs/project-1"), (Some("../away/kept"), "away/kept")]
    {
        let folder = folder();
        let project = folder.path().join("project");
        let place = plugins(&project, &[library("calibration")]);
        digits(&project, COMPILE);
        std::fs::create_dir(folder.path().join("away")).expect("a folder");
        plugfit(&project, &["lock", "fit.toml"]).with_status(0);
        let out: Vec<&str> = out.iter().flat_map(|out| ["--out", out]).collect();
        plugfit(&project, &[&["fit", "fit.toml"], &out[..]].concat()).with_status(0);
        let data = root().join("host/examples/digits/digits.csv").display().to_string();
        let more = ["fit", "--resume", run, "--set", "fit.epochs=4"];
        let uses = [&["evaluate", run][..], &["predict", run, &data, "--overwrite"], &more];
        for arguments in uses {
            plugfit(folder.path(), &[arguments, &["--locked"]].concat()).with_status(0);
        }
        let file = place.join(library("calibration").file_name().expect("a name"));
        let whole = std::fs::read(&file).expect("it is there");
        std::fs::write(&file, [&whole[..], b"\0"].concat()).expect("it can be written");
        for arguments in uses {
            let ran = plugfit(folder.path(), arguments);
            assert!(ran.err.contains("project/plugfit.lock names"), "{run} {arguments:?}: {}", ran.err);
        }
    }
}

#[test]
fn a_plugin_that_is_not_the_one_of_training_causes_a_warning() {
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    digits(folder.path(), COMPILE);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(0);
    let data = root().join("host/examples/digits/digits.csv").display().to_string();
    let more = ["fit", "--resume", "run", "--set", "fit.epochs=4"];
    let uses = [&["evaluate", "run"][..], &["predict", "run", &data, "--overwrite"], &more];
    let text = "calibration 0.2.0 isn't the file that the run was trained with";
    for arguments in &uses[..2] {
        let ran = plugfit(folder.path(), arguments).with_status(0);
        assert!(!ran.err.contains(text), "{}", ran.err);
    }
    let file = place.join(library("calibration").file_name().expect("a name"));
    let whole = std::fs::read(&file).expect("it is there");
    std::fs::write(&file, [&whole[..], b"\0"].concat()).expect("it can be written");
    for arguments in uses {
        plugfit(folder.path(), arguments).with_status(0).says(&[text]);
    }
    // The run that was resumed with the changed file still stores the file that it began with.
    plugfit(folder.path(), &["evaluate", "run"]).with_status(0).says(&[text]);
}

/// Builds a library with the C function `squares`, which runs `at_load` when it is loaded, and writes a run file.
#[cfg(target_os = "linux")]
fn squares(folder: &Path, at_load: &str) {
    let source = format!(
        "#include <stddef.h>\n#include <unistd.h>\n\
         __attribute__((constructor)) static void loaded(void) {{ {at_load} }}\n\
         void squares(const float *t, const float *p, size_t rows, size_t columns, float *out) {{\n\
             for (size_t i = 0; i < rows; i++) out[i] = (p[i * columns] - t[i]) * (p[i * columns] - t[i]);\n\
         }}\n"
    );
    c_library(folder, "squares", &source, &[]);
    digits(folder, "optimizer = \"SGD(learning_rate=0.001)\"\nloss = \"mse\"\nmetrics = [\"./libsquares.so#squares\"]");
}

#[cfg(target_os = "linux")]
const REGRESSION: [&str; 4] = ["fit", "fit.toml", "--set", "network.layers=[\"Dense(1)\"]"];

#[cfg(target_os = "linux")]
#[test]
fn a_function_library_that_is_not_the_one_of_training_causes_a_warning() {
    for isolate in [&[][..], &["--isolate"]] {
        let folder = folder();
        squares(folder.path(), "");
        let run = |arguments: &[&str]| plugfit(folder.path(), &[arguments, isolate].concat()).with_status(0);
        run(&[&REGRESSION[..], &["--out", "run"]].concat());
        let (evaluate, resume) = (&["evaluate", "run"][..], &["fit", "--resume", "run", "--set", "fit.epochs=4"][..]);
        let text = "libsquares.so isn't the file that the run was trained with";
        let ran = run(evaluate);
        assert!(!ran.err.contains(text), "{}", ran.err);
        squares(folder.path(), "(void)0;");
        let file = folder.path().join("libsquares.so");
        let bytes = std::fs::read(&file).expect("it is there");
        std::fs::write(&file, [&bytes[..], b"\0"].concat()).expect("it can be written");
        for arguments in [evaluate, resume, evaluate] {
            run(arguments).says(&[text]);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_lock_of_a_run_is_that_of_the_folder_where_the_program_was_started() {
    let folder = folder();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    std::fs::write(elsewhere.join("plugfit.lock"), "version = 1\n").expect("a lock");
    squares(folder.path(), &format!("if (chdir({elsewhere:?})) _exit(9);"));
    plugfit(folder.path(), &[&REGRESSION[..], &["--out", "run"]].concat()).with_status(0);
    assert_eq!(record(&folder.path().join("run"))["lock"], serde_json::Value::Null);
}

fn record(run: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(run.join("run.json")).expect("a record")).expect("JSON")
}

#[test]
fn the_lock_of_someone_elses_run_does_not_loosen_the_users_lock() {
    let folder = folder();
    let [stranger, project] = ["stranger", "project"].map(|name| folder.path().join(name));
    plugins(&stranger, &[library("calibration")]);
    digits(&stranger, COMPILE);
    plugfit(&stranger, &["lock", "fit.toml"]).with_status(0);
    plugfit(&stranger, &["fit", "fit.toml", "--locked", "--out", "run"]).with_status(0);
    std::fs::create_dir(&project).expect("a folder");
    plugfit(&project, &["evaluate", "--locked", "../stranger/run"]).with_status(0);
    std::fs::write(project.join("plugfit.lock"), "version = 1\n").expect("a lock");
    let data = root().join("host/examples/digits/digits.csv").display().to_string();
    for arguments in
        [&["evaluate", "../stranger/run"][..], &["fit", "--resume", "../stranger/run", "--set", "fit.epochs=4"]]
    {
        for locked in [&[][..], &["--locked"]] {
            let ran = plugfit(&project, &[arguments, locked].concat()).with_status(2);
            ran.says(&["isn't in plugfit.lock: its sha256 is", "no metric is called"]);
        }
    }
    let ran = plugfit(&project, &["predict", "../stranger/run", &data]).with_status(0);
    ran.says(&["isn't in plugfit.lock"]);
    // The lock of the run applies as well.
    std::fs::copy(stranger.join("plugfit.lock"), project.join("plugfit.lock")).expect("a copy");
    plugfit(&project, &["evaluate", "../stranger/run"]).with_status(0);
    std::fs::write(stranger.join("plugfit.lock"), "version = 1\n").expect("a lock");
    plugfit(&project, &["evaluate", "../stranger/run"]).with_status(2).says(&["stranger/plugfit.lock"]);
}

#[test]
fn a_run_trained_under_a_lock_is_not_used_without_one_and_stores_its_path() {
    let folder = folder();
    plugins(folder.path(), &[library("calibration")]);
    digits(folder.path(), COMPILE);
    plugfit(folder.path(), &["lock", "fit.toml"]).with_status(0);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(0);
    let run = folder.path().join("run");
    let lock = record(&run)["lock"].clone();
    let path = folder.path().join("plugfit.lock");
    assert_eq!(lock, path.canonicalize().expect("it is there").display().to_string());
    // From another folder, whose lock allows the same files.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).expect("a folder");
    std::fs::rename(&path, other.join("plugfit.lock")).expect("it can be moved");
    plugfit(&other, &["fit", "--resume", "../run", "--set", "fit.epochs=4"]).with_status(0);
    assert_eq!(record(&run)["lock"], lock);
    let data = root().join("host/examples/digits/digits.csv").display().to_string();
    let uses =
        [&["evaluate", "run"][..], &["predict", "run", &data], &["fit", "--resume", "run", "--set", "fit.epochs=5"]];
    for arguments in uses {
        plugfit(folder.path(), arguments).with_status(2).says(&[
            "error: the run was trained with the lock plugfit.lock, which no longer exists",
            "put it back, or write a new one with `plugfit lock`",
        ]);
    }
    plugfit(folder.path(), &["lock", "fit.toml"]).with_status(0);
    plugfit(folder.path(), &["evaluate", "run"]).with_status(0);
}

#[test]
fn under_a_lock_nothing_else_is_loaded() {
    let folder = folder();
    plugins(folder.path(), &[library("calibration")]);
    digits(folder.path(), COMPILE);
    plugfit(folder.path(), &["list", "--locked"]).with_status(2).says(&["there is no plugfit.lock", "plugfit lock"]);
    plugfit(folder.path(), &["lock", "fit.toml"]).with_status(0);
    let more = folder.path().join("more");
    std::fs::create_dir(&more).expect("a folder");
    let stepsize = library("stepsize");
    let other = more.join(stepsize.file_name().expect("a name"));
    std::fs::copy(&stepsize, &other).expect("a copy");
    let named = other.to_str().expect("a name");
    plugfit(folder.path(), &["list", "--plugins", named]).with_status(1).says(&["isn't in", "sha256"]);
    let listed = |folder: &std::path::Path| {
        let output =
            command(folder).args(["list", "optimizers"]).env("PLUGFIT_PLUGINS", &more).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(!listed(folder.path()).contains("Prodigy"));
    std::fs::remove_file(folder.path().join("plugfit.lock")).expect("it is there");
    assert!(listed(folder.path()).contains("Prodigy"), "without a lock it does");
    plugfit(folder.path(), &["lock", "fit.toml"]).with_status(0);
    plugfit(folder.path(), &["list", "--load-in-place"]).with_status(2).says(&["--load-in-place can't be used"]);
    std::fs::write(folder.path().join("plugfit.lock"), "version = 1\n[[plugin]]\nname = 3\n").expect("a lock");
    plugfit(folder.path(), &["list"]).with_status(1).says(&["plugfit.lock:", "can't be parsed"]);
    std::fs::write(folder.path().join("plugfit.lock"), "version = 2\n").expect("a lock");
    plugfit(folder.path(), &["list"]).with_status(1).says(&["of version 2; this program reads 1"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_plugin_whose_file_name_is_not_utf_8_is_left_out_of_a_lock_with_a_message() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let place = plugins(folder.path(), &[library("calibration")]);
    std::fs::copy(library("stepsize"), place.join(std::ffi::OsStr::from_bytes(b"lib\xff.so"))).expect("a copy");
    digits(folder.path(), COMPILE);
    plugfit(folder.path(), &["lock", "fit.toml"])
        .with_status(0)
        .prints(&["lists 1 plug-ins"])
        .says(&["left out: plugins/lib\u{fffd}.so has a path that isn't UTF-8"]);
}
