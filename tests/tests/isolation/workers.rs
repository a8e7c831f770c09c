//! Tests of workers that misbehave. This ends at most the worker and its components.

use plugfit_tests::{
    build::library,
    run::{MARK, command, digits, folder, plugfit, plugins, running_with_mark},
};
use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

fn prepared(folder: &Path, how: &str) {
    plugins(folder, &[library("crashing")]);
    let metric = format!("metrics = [\"accuracy\", \"CrashingMetric(how='{how}', after=30, name=first)\"]");
    digits(folder, &format!("optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"\n{metric}"));
}

const FIT: [&str; 6] = ["fit", "fit.toml", "--out", "run", "--isolate", "--json"];

/// Returns the warnings of a run that continues without its metric.
fn warnings(how: &str, arguments: &[&str]) -> Vec<String> {
    let folder = folder();
    prepared(folder.path(), how);
    let ran = plugfit(folder.path(), &[&FIT[..], arguments].concat()).with_status(0);
    assert_eq!(ran.events_of("epoch").len(), 3, "{how}: {}", ran.out);
    ran.events_of("warning").iter().map(|warning| warning["message"].to_string()).collect()
}

#[test]
fn a_worker_that_forges_the_turn_loses_its_component_but_does_not_fail_the_run() {
    for (how, said) in [
        ("forge end", "was ended, because it reported that it had ended"),
        ("forge nonsense", "was ended, because it reported that it had ended"),
        ("forge answer", "was ended, since"),
    ] {
        let begin = Instant::now();
        let warnings = warnings(how, &["--call-limit", "30"]);
        assert!(warnings.len() == 1 && warnings[0].contains(said), "{how}: {warnings:?}");
        assert!(warnings[0].contains("CrashingMetric crashed in update"), "{how}: {warnings:?}");
        assert!(begin.elapsed() < Duration::from_secs(30), "{how}: {:?}", begin.elapsed());
    }
}

#[test]
fn the_shared_memory_is_no_larger_than_the_memory_limit() {
    let warnings = warnings("grow", &["--memory-limit", "400", "--call-limit", "30"]);
    // Nothing is mapped beyond the memory that the host created.
    assert!(warnings.len() == 1 && warnings[0].contains("SIGBUS"), "{warnings:?}");
    // A call that needs more memory than the limit isn't made.
    let folder = folder();
    prepared(folder.path(), "nothing");
    let ran = plugfit(folder.path(), &[&FIT[..], &["--memory-limit", "1"]].concat());
    ran.with_status(1).says(&["can't be called in its process: a call takes", "its process may use 1048576"]);
}

#[test]
fn processes_that_a_plugin_started_end_when_its_host_is_killed() {
    let folder = folder();
    prepared(folder.path(), "begin");
    let mark = folder.path().display().to_string();
    let mut command = command(folder.path());
    command.args(FIT).env(MARK, &mark).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    let until = |what: &str, holds: &dyn Fn(&[String]) -> bool| {
        let begin = Instant::now();
        loop {
            let running = running_with_mark(&mark);
            if holds(&running) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{what}: {running:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("it begins a process", &|running| running.iter().any(|line| line.starts_with("sleep 65.25")));
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    until("nothing is left", &|running| running.is_empty());
}

#[test]
fn output_of_a_worker_is_prefixed_with_its_file_name() {
    let folder = folder();
    prepared(folder.path(), "print");
    let ran = plugfit(folder.path(), &FIT).with_status(0);
    let lines: Vec<&str> = ran.err.lines().filter(|line| line.contains("this isn't the program's")).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.starts_with("libcrashing.so: {")), "{}", ran.err);
}
