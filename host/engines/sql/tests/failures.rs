//! Plug-ins that fail, and interruptions.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

/// Builds plug-ins of the main workspace, in a target folder of these tests, and returns the folder with their
/// libraries.
fn plugins() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root).args(["build", "--quiet", "--package", "hostile", "--package", "ranking"]);
        cargo.env("CARGO_TARGET_DIR", &target);
        assert!(cargo.status().expect("cargo runs").success());
        target.join("debug")
    })
}

fn library(name: &str) -> String {
    let name = format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    plugins().join(name).display().to_string()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugfit-score"));
    let usual = ["score", "--y-true", "label", "--y-pred", "score"];
    command.current_dir(folder).args(usual).args(arguments);
    command.env_remove("PLUGFIT_PLUGINS").env("HOME", folder).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(path: &Path, rows: u64) {
    let mut text = "label,score,g\n".to_owned();
    for row in 0..rows {
        text.push_str(&format!("{},0.{},{}\n", row % 2, row * 7919 % 1000, row % 5));
    }
    let mut file = File::create(path).expect("a file");
    file.write_all(text.as_bytes()).expect("it can be written");
}

#[test]
fn a_plugin_that_panics_or_fails_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "b", "c"] {
        write(&folder.path().join(format!("{name}.csv")), 1000);
    }
    let library = library("hostile");
    for at in
        ["info", "prepare", "init", "update", "merge", "result", "too many names", "a million names", "shape", "error"]
    {
        for more in [&["--by", "g"][..], &[], &["--ci", "95", "--replicates", "3"], &["--isolate"]] {
            let metric = format!("BadMetric(at=\"{at}\")");
            let arguments = ["a.csv", "b.csv", "c.csv", "--threads", "3", "--plugins", &library, "--metric", &metric];
            let output = run(folder.path(), &[&arguments, more].concat());
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{at} {more:?}: {error}{}", text(&output.stdout));
            assert!(error.contains("BadMetric"), "{at} {more:?}: {error}");
            if at == "update" {
                assert!(error.contains("a.csv") && error.contains("0 (from 0)"), "{error}");
            }
        }
    }
    let output = run(folder.path(), &["a.csv", "--plugins", &library, "--metric", "BadMetric(at=\"drop\")"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_metric_that_keeps_rows_is_the_same_for_every_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "b", "c"] {
        write(&folder.path().join(format!("{name}.csv")), 5000);
    }
    let library = library("ranking");
    let of = |more: &[&str]| -> Value {
        let arguments = [
            "*.csv",
            "--plugins",
            &library,
            "--metric",
            "RocAuc",
            "--metric",
            "AveragePrecision",
            "--by",
            "g",
            "--json",
        ];
        let output = run(folder.path(), &[&arguments, more].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
    };
    for more in [&[][..], &["--ci", "95", "--replicates", "20"]] {
        let one = of(&[more, &["--threads", "1"]].concat());
        assert_eq!(one["groups"].as_array().map(Vec::len), Some(5));
        for threads in ["2", "8"] {
            assert_eq!(of(&[more, &["--threads", threads]].concat()), one, "{threads} threads");
        }
    }
    let group = ["--input", "group=g", "--metric", "GroupRocAuc"];
    let output = run(folder.path(), &[&["a.csv", "--plugins", &library], &group[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = run(folder.path(), &["a.csv", "--plugins", &library, "--metric", "GroupRocAuc"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--input group=COLUMN"), "{}", text(&output.stderr));
}

#[cfg(unix)]
#[test]
fn an_interruption_prints_what_was_scored() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = 3_000_000;
    write(&folder.path().join("a.csv"), rows);
    let child = command(folder.path(), &["a.csv", "--metric", "auc", "--by", "g", "--json", "--threads", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    std::thread::sleep(Duration::from_millis(1500));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success(), "it has ended already");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the results are partial"), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["partial"], true);
    let scored: u64 =
        found["groups"].as_array().expect("groups").iter().filter_map(|group| group["rows"].as_u64()).sum();
    assert!(scored > 0 && scored < rows, "{scored}");
    fs::remove_file(folder.path().join("a.csv")).expect("it is there");
}
