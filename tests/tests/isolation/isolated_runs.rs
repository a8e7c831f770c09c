//! Tests of `--isolate`: a fault ends at most the worker of the plug-in, with an error that names the component.
//! Without a fault, results are identical bit for bit to those without isolation.

use plugfit_tests::{
    build::{c_library, calibration_with_panic_abort, library},
    run::{Finished, command, digits, folder, history, plugfit, plugins, weights},
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const TRAINED: &str = "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"";

/// Creates a folder with a run file and these plug-ins.
fn prepared(compile: &str, libraries: &[&str]) -> tempfile::TempDir {
    let folder = folder();
    let libraries: Vec<PathBuf> = libraries.iter().map(|name| library(name)).collect();
    plugins(folder.path(), &libraries);
    digits(folder.path(), compile);
    folder
}

fn fit(compile: &str, arguments: &[&str]) -> (tempfile::TempDir, Finished) {
    let folder = prepared(compile, &["crashing"]);
    let ran =
        plugfit(folder.path(), &[&["fit", "fit.toml", "--out", "run", "--isolate", "--json"], arguments].concat());
    (folder, ran)
}

/// Ways to crash, and a part of the message about each.
const CRASHES: [(&str, &str); 8] = [
    ("segfault", "SIGSEGV"),
    ("abort", "SIGABRT"),
    ("exit", "called exit(0)"),
    ("stack", "overflow"),
    ("allocation", "memory allocation of"),
    ("thread", "thread local panicked on drop"),
    ("loop", "a call may take at most 2 s"),
    ("leave", "a call may take at most 2 s"),
];

#[test]
fn a_metric_that_crashes_is_named_and_training_continues_without_it() {
    for (how, said) in CRASHES {
        let compile = format!(
            "{TRAINED}\nmetrics = [\"accuracy\", \"CrashingMetric(how={how}, after=30, name=first)\", \"CrashingMetric(at=nowhere, name=second)\"]"
        );
        let (folder, ran) = fit(&compile, &["--call-limit", "2"]);
        let ran = ran.with_status(0);
        let warnings = ran.events_of("warning");
        let texts: Vec<&str> = warnings.iter().filter_map(|warning| warning["message"].as_str()).collect();
        let [first, second] = texts[..] else { panic!("{how}: {texts:?}") };
        for part in
            ["crashing>CrashingMetric crashed in update", said, "epoch 2, batch", "plugfit check", "libcrashing.so"]
        {
            assert!(first.contains(part), "{how}: {part} isn't in {first}");
        }
        assert!(second.contains("can't continue") && second.contains("in CrashingMetric (update)"), "{how}: {second}");
        assert_eq!(ran.events_of("epoch").len(), 3, "{how}");
        let history = history(&folder.path().join("run"));
        for epoch in 0..3 {
            let logs = &history[epoch]["logs"];
            assert!(logs["accuracy"].is_f64() && logs["val_accuracy"].is_f64(), "{how}: {logs}");
            assert_eq!(logs["first"].is_null(), epoch > 0, "{how}: {logs}");
        }
    }
}

#[test]
fn a_crash_that_training_cannot_survive_fails_the_run_and_keeps_the_trained_weights() {
    let metric = format!("{TRAINED}\nmetrics = [\"CrashingMetric(how=segfault, after=30)\"]");
    let loss = "optimizer = \"SGD\"\nloss = \"CrashingLoss(how=segfault, after=30)\"";
    let optimizer = "optimizer = \"CrashingOptimizer(how=exit, after=30)\"\nloss = \"sparse_categorical_crossentropy\"";
    let schedule = "optimizer = \"SGD(learning_rate=CrashingSchedule(how=abort, after=60))\"\nloss = \"sparse_categorical_crossentropy\"";
    let panic = format!("{TRAINED}\nmetrics = [\"CrashingMetric(how=panic, after=30)\"]");
    for (compile, component, said, arguments) in [
        (metric.as_str(), "CrashingMetric", "SIGSEGV", &["--on-crash", "stop"][..]),
        (loss, "CrashingLoss", "SIGSEGV", &[]),
        (optimizer, "CrashingOptimizer", "called exit(0)", &[]),
        (schedule, "CrashingSchedule", "SIGABRT", &[]),
        (&panic, "CrashingMetric", "told to panic", &[]),
    ] {
        let (folder, ran) = fit(compile, arguments);
        let ran = ran.with_status(1).says(&["error: crashing>", component, said, "batch", "kept"]);
        assert_eq!(ran.events_of("error").len(), 1);
        assert!(weights(&folder.path().join("run")).len() > 1000);
    }
}

#[test]
fn a_crash_before_training_is_an_error_that_names_the_component_and_the_function() {
    for (component, at, function) in [
        ("CrashingMetric", "create", "create"),
        ("CrashingMetric", "info", "info"),
        ("CrashingMetric", "init", "init"),
        ("CrashingLoss", "create", "create"),
    ] {
        let compile = match component {
            "CrashingLoss" => format!("optimizer = \"SGD\"\nloss = \"CrashingLoss(how=segfault, at={at})\""),
            _ => format!("{TRAINED}\nmetrics = [\"{component}(how=segfault, at={at})\"]"),
        };
        let (_folder, ran) = fit(&compile, &[]);
        let name = format!("crashing>{component} crashed in {function}");
        ran.with_status(1).says(&[&name, "SIGSEGV", "compile."]);
    }
    let slots = "optimizer = \"CrashingOptimizer(how=segfault, at=slots)\"\nloss = \"sparse_categorical_crossentropy\"";
    fit(slots, &[]).1.with_status(1).says(&["crashing>CrashingOptimizer crashed in slots"]);
}

#[test]
fn a_crash_during_load_drop_or_result_does_not_crash_the_host() {
    let folder = prepared(&format!("{TRAINED}\nmetrics = [\"CrashingMetric\"]"), &["crashing"]);
    let arguments = ["fit", "fit.toml", "--out", "run", "--isolate"];
    let output = command(folder.path()).args(arguments).env("CRASH_AT_LOAD", "segfault").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("CrashingMetric crashed in loading"), "{said}");
    let list = ["list", "--why", "--plugins", "plugins", "--isolate"];
    let output = command(folder.path()).args(list).env("CRASH_AT_LOAD", "segfault").output().expect("it runs");
    assert!(output.status.success(), "a list runs none of its code");

    let (_folder, ran) = fit(&format!("{TRAINED}\nmetrics = [\"CrashingMetric(how=abort, at=drop)\"]"), &[]);
    ran.with_status(0);
    let (folder, ran) = fit(&format!("{TRAINED}\nmetrics = [\"CrashingMetric(how=abort, at=result)\"]"), &[]);
    let ran = ran.with_status(0);
    assert_eq!(ran.events_of("warning").len(), 1, "{}", ran.out);
    assert!(history(&folder.path().join("run"))[2]["logs"]["crashing_metric"].is_null());
}

#[test]
fn a_leak_is_stopped_at_the_memory_limit() {
    let compile = format!("{TRAINED}\nmetrics = [\"CrashingMetric(how=leak)\"]");
    let (_folder, ran) = fit(&compile, &["--memory-limit", "300"]);
    let ran = ran.with_status(0);
    let text = ran.events_of("warning")[0]["message"].to_string();
    assert!(text.contains("memory allocation of 16777216 bytes failed"), "{text}");
}

#[test]
fn output_of_a_plugin_does_not_reach_the_stdout_of_the_program() {
    let (_folder, ran) = fit(&format!("{TRAINED}\nmetrics = [\"CrashingMetric(how=print)\"]"), &[]);
    let ran = ran.with_status(0).says(&["this isn't the program's"]);
    assert!(!ran.events().is_empty() && !ran.out.contains("this isn't"));
}

#[test]
fn isolation_does_not_change_results() {
    let stepsize = "optimizer = \"stepsize>Adan(learning_rate=0.01, weight_decay=0.01, use_ema=true)\"\nloss = \"sparse_categorical_crossentropy\"\n\
        metrics = [\"accuracy\", \"calibration>ExpectedCalibrationError(name=ece)\"]";
    let nested = "optimizer = \"stepsize>Lookahead(optimizer='SGD(learning_rate=0.1, momentum=0.9, clipnorm=1.0)')\"\n\
        loss = \"sparse_categorical_crossentropy\"";
    let within = "optimizer = \"LossScaleOptimizer(inner_optimizer='stepsize>Adan(learning_rate=0.01)')\"\n\
        loss = \"sparse_categorical_crossentropy\"";
    let quantile =
        "optimizer = \"Adam\"\nloss = \"quantile>PinballLoss(quantile=0.3)\"\nmetrics = [\"QuantileCoverage\"]";
    for (compile, layers) in [
        (stepsize, None),
        (nested, None),
        (within, None),
        (quantile, Some("network.layers=[\"Dense(8, activation=relu)\", \"Dense(1)\"]")),
    ] {
        let folder = prepared(compile, &["calibration", "stepsize", "quantile"]);
        let set: Vec<&str> = layers.into_iter().flat_map(|layers| ["--set", layers]).collect();
        for (out, isolate) in [("within", &[][..]), ("isolated", &["--isolate"])] {
            plugfit(folder.path(), &[&["fit", "fit.toml", "--out", out], &set[..], isolate].concat()).with_status(0);
        }
        let [within, isolated] = ["within", "isolated"].map(|run| folder.path().join(run));
        assert_eq!(history(&within), history(&isolated), "{compile}");
        assert!(weights(&within) == weights(&isolated), "{compile}");
        let evaluate = |run: &str, isolate: &[&str]| plugfit(folder.path(), &[&["evaluate", run], isolate].concat());
        assert_eq!(evaluate("within", &[]).with_status(0).out, evaluate("isolated", &["--isolate"]).with_status(0).out);
    }
}

#[test]
fn a_run_that_is_resumed_in_isolation_ends_with_identical_weights() {
    let compile = "optimizer = \"stepsize>Adan(learning_rate=0.01)\"\nloss = \"sparse_categorical_crossentropy\"";
    let folder = prepared(compile, &["stepsize"]);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "whole"]).with_status(0);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "parts", "--set", "fit.epochs=1", "--isolate"]).with_status(0);
    plugfit(folder.path(), &["fit", "--resume", "parts", "--set", "fit.epochs=3", "--isolate"]).with_status(0);
    let weights = |run: &str| weights(&folder.path().join(run));
    assert!(weights("whole") == weights("parts"));
    assert_eq!(history(&folder.path().join("whole")), history(&folder.path().join("parts")));
}

/// Returns the parent of a process, or `None` if the process doesn't run.
fn parent(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("State:")?.starts_with('Z') { None } else { field("PPid:")?.parse().ok() }
}

fn worker_of(child: &Child) -> u32 {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        let processes = std::fs::read_dir("/proc").expect("processes");
        let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut workers = numbers.filter(|&process| parent(process) == Some(child.id()));
        if let Some(worker) = workers.next() {
            return worker;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("there is no worker")
}

fn kill(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, "--", process]).status().expect("it runs").success());
}

/// Starts a run with a slow or endless metric and waits until it trains.
fn slow(folder: &Path, how: &str) -> Child {
    use std::os::unix::process::CommandExt;
    plugins(folder, &[library("crashing")]);
    digits(folder, &format!("{TRAINED}\nmetrics = [\"accuracy\", \"CrashingMetric(how={how}, name=slow)\"]"));
    let mut command = command(folder);
    command.args(["fit", "fit.toml", "--out", "run", "--isolate", "--json"]).process_group(0);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let begin = Instant::now();
    // Before that, the components are created and dropped once.
    while !folder.join("run/run.json").exists() && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn training_continues_without_a_worker_that_is_killed() {
    let folder = folder();
    let child = slow(folder.path(), "sleep");
    kill("-9", &worker_of(&child).to_string());
    let output = child.wait_with_output().expect("it ends");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.contains("SIGKILL") && out.contains("\"epoch\":3"), "{out}");
}

#[test]
fn a_worker_in_an_endless_loop_ends_with_its_host() {
    let folder = folder();
    let mut child = slow(folder.path(), "loop");
    let worker = worker_of(&child);
    std::thread::sleep(Duration::from_millis(300));
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let begin = Instant::now();
    while parent(worker).is_some() {
        assert!(begin.elapsed() < Duration::from_secs(5), "{worker} still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_interrupt_reaches_only_the_host_and_is_not_a_crash() {
    let folder = folder();
    let child = slow(folder.path(), "sleep");
    worker_of(&child);
    // Signal the whole process group, as a terminal does.
    kill("-INT", &format!("-{}", child.id()));
    let output = child.wait_with_output().expect("it ends");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(130), "{out}{err}");
    assert!(err.contains("stopped in epoch 1") && !out.contains("crashed"), "{out}{err}");
}

#[test]
fn a_plugin_built_with_panic_abort_can_be_used_in_isolation() {
    let folder = folder();
    plugins(folder.path(), &[calibration_with_panic_abort()]);
    digits(folder.path(), &format!("{TRAINED}\nmetrics = [\"calibration>ExpectedCalibrationError(name=ece)\"]"));
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "not"])
        .says(&["panic = \"abort\"", "--isolate"])
        .with_status(2);
    plugfit(folder.path(), &["fit", "fit.toml", "--out", "run", "--isolate"]).with_status(0);
    assert!(history(&folder.path().join("run"))[2]["logs"]["ece"].is_f64());
}

#[test]
fn a_c_function_can_be_isolated() {
    let folder = prepared("optimizer = \"SGD\"\nloss = \"./libsquares.so#squares\"", &[]);
    let source = "#include <plugfit.h>\n#include <stdlib.h>\n\
        PLUGFIT_CALLABLE squares(const float *t, const float *p, size_t n, size_t m, float *out) {\n\
            for (size_t i = 0; i < n * m; i++) out[i] = (p[i] - t[i]) * (p[i] - t[i]);\n\
        }\n\
        PLUGFIT_CALLABLE squares_gradient(const float *t, const float *p, size_t n, size_t m, float *out) {\n\
            static int calls = 0;\n\
            if (++calls > CALLS) abort();\n\
            for (size_t i = 0; i < n * m; i++) out[i] = 2 * (p[i] - t[i]);\n\
        }\n";
    let fit = |calls: &str, out: &str, isolate: &[&str]| {
        c_library(folder.path(), "squares", source, &[calls]);
        let regression = ["fit", "fit.toml", "--out", out, "--set", "network.layers=[\"Dense(1)\"]"];
        plugfit(folder.path(), &[&regression[..], isolate].concat())
    };
    fit("-DCALLS=1000", "within", &[]).with_status(0);
    fit("-DCALLS=1000", "isolated", &["--isolate"]).with_status(0);
    assert_eq!(history(&folder.path().join("within")), history(&folder.path().join("isolated")));
    fit("-DCALLS=30", "aborted", &["--isolate", "--load-in-place"]).with_status(1).says(&[
        "libsquares.so#squares crashed",
        "`plugfit check 'libsquares.so#squares' --load-in-place` shows what is wrong with it",
        "SIGABRT",
        "kept",
    ]);
}

#[test]
fn limits_without_isolation_and_invalid_limits_are_usage_errors() {
    let folder = prepared(TRAINED, &[]);
    plugfit(folder.path(), &["fit", "fit.toml", "--call-limit", "3"])
        .with_status(2)
        .says(&["--call-limit", "--isolate"]);
    for limit in ["0", "-1", "nan", "1e300"] {
        let limit = format!("--call-limit={limit}");
        plugfit(folder.path(), &["fit", "fit.toml", "--isolate", &limit])
            .with_status(2)
            .says(&["--call-limit must be a number of seconds"]);
    }
}
