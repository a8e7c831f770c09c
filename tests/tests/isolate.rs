//! Tests of `--isolate`: a fault ends at most the worker of the plug-in, with an error that names the component.
//! Without a fault, results are identical bit for bit to those without isolation.
#![cfg(target_os = "linux")]

use plugfit::{
    ErrorKind, Host,
    network::Parameter,
    plugin::{Isolation, Level, LoadOptions},
};
use plugfit_api::{Tensor, metric::Outcome};
use plugfit_tests::{
    build::{Compiler, elsewhere, library, program, root},
    run::{Ran, command, digits, folder, history, plugfit, plugins},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, atomic::Ordering},
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

fn fit(compile: &str, arguments: &[&str]) -> (tempfile::TempDir, Ran) {
    let folder = prepared(compile, &["crashing"]);
    let ran =
        plugfit(folder.path(), &[&["fit", "fit.toml", "--out", "run", "--isolate", "--json"], arguments].concat());
    (folder, ran)
}

/// Returns the lines of `--json`, each of which must be an object.
fn events(ran: &Ran) -> Vec<Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn of_kind<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// Ways to crash, and a part of the message about each.
const ENDS: [(&str, &str); 8] = [
    ("segfault", "SIGSEGV"),
    ("abort", "SIGABRT"),
    ("exit", "called exit(0)"),
    ("stack", "overflow"),
    ("allocation", "memory allocation of"),
    ("thread", "thread local panicked on drop"),
    ("loop", "a call may take 2 s"),
    ("leave", "a call may take 2 s"),
];

#[test]
fn a_metric_that_crashes_is_named_and_training_continues_without_it() {
    for (how, said) in ENDS {
        let compile = format!(
            "{TRAINED}\nmetrics = [\"accuracy\", \"CrashingMetric(how={how}, after=30, name=first)\", \"CrashingMetric(at=nowhere, name=second)\"]"
        );
        let (folder, ran) = fit(&compile, &["--call-limit", "2"]);
        let ran = ran.with_status(0);
        let events = events(&ran);
        let warnings = of_kind(&events, "warning");
        let texts: Vec<&str> = warnings.iter().filter_map(|warning| warning["message"].as_str()).collect();
        let [first, second] = texts[..] else { panic!("{how}: {texts:?}") };
        for part in
            ["crashing>CrashingMetric crashed in update", said, "epoch 2, batch", "plugfit check", "libcrashing.so"]
        {
            assert!(first.contains(part), "{how}: {part} isn't in {first}");
        }
        assert!(second.contains("can't go on") && second.contains("in CrashingMetric (update)"), "{how}: {second}");
        assert_eq!(of_kind(&events, "epoch").len(), 3, "{how}");
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
        assert_eq!(of_kind(&events(&ran), "error").len(), 1);
        let weights = std::fs::read(folder.path().join("run/weights.safetensors")).expect("weights are kept");
        assert!(weights.len() > 1000);
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
    assert_eq!(of_kind(&events(&ran), "warning").len(), 1, "{}", ran.out);
    assert!(history(&folder.path().join("run"))[2]["logs"]["crashing_metric"].is_null());
}

#[test]
fn a_leak_is_stopped_at_the_memory_limit() {
    let compile = format!("{TRAINED}\nmetrics = [\"CrashingMetric(how=leak)\"]");
    let (_folder, ran) = fit(&compile, &["--memory-limit", "300"]);
    let ran = ran.with_status(0);
    let events = events(&ran);
    let text = of_kind(&events, "warning")[0]["message"].to_string();
    assert!(text.contains("memory allocation of 16777216 bytes failed"), "{text}");
}

#[test]
fn output_of_a_plugin_does_not_reach_the_stdout_of_the_program() {
    let (_folder, ran) = fit(&format!("{TRAINED}\nmetrics = [\"CrashingMetric(how=print)\"]"), &[]);
    let ran = ran.with_status(0).says(&["this isn't the program's"]);
    assert!(!events(&ran).is_empty() && !ran.out.contains("this isn't"));
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
        let weights = |run: &Path| std::fs::read(run.join("weights.safetensors")).expect("weights");
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
    let weights = |run: &str| std::fs::read(folder.path().join(run).join("weights.safetensors")).expect("weights");
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
    let built =
        elsewhere(&root().join("plugins/calibration"), "calibration", "test-abort", Compiler::Own, "-Cpanic=abort");
    let built = built.unwrap_or_else(|error| panic!("{error}"));
    let folder = folder();
    plugins(folder.path(), &[built]);
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
    let header = root().join("plugin-api/include").display().to_string();
    let source = "#include <plugfit.h>\n#include <stdlib.h>\n\
        PLUGFIT_CALLABLE squares(const float *t, const float *p, size_t n, size_t m, float *out) {\n\
            for (size_t i = 0; i < n * m; i++) out[i] = (p[i] - t[i]) * (p[i] - t[i]);\n\
        }\n\
        PLUGFIT_CALLABLE squares_gradient(const float *t, const float *p, size_t n, size_t m, float *out) {\n\
            static int calls = 0;\n\
            if (++calls > CALLS) abort();\n\
            for (size_t i = 0; i < n * m; i++) out[i] = 2 * (p[i] - t[i]);\n\
        }\n";
    std::fs::write(folder.path().join("squares.c"), source).expect("a file");
    let fit = |calls: &str, out: &str, isolate: &[&str]| {
        let mut compiler = Command::new("cc");
        compiler.current_dir(folder.path()).args([
            "-shared",
            "-fPIC",
            "-I",
            &header,
            calls,
            "-o",
            "libsquares.so",
            "squares.c",
        ]);
        assert!(compiler.status().expect("a C compiler").success());
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
            .says(&["--call-limit takes seconds"]);
    }
}

fn isolated(libraries: &[&str]) -> Host {
    let isolate =
        Isolation { program: vec![program().into()], call_limit: Duration::from_secs(20), ..Isolation::default() };
    let host = Host::with_options(LoadOptions { isolate: Some(isolate), ..LoadOptions::default() });
    host.add_builtin();
    libraries.iter().fold(host, |host, name| host.with_plugins(library(name)).expect("it is vetted"))
}

const Y: [f32; 8] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

fn y() -> Tensor<'static> {
    Tensor::new(&Y, &[4, 2])
}

#[test]
fn components_created_after_a_crash_run_in_a_new_process() {
    let host = isolated(&["crashing"]);
    let mut bad = host.metric("CrashingMetric(how=segfault)").expect("it can be made");
    let mut good = host.metric("CrashingMetric").expect("it can be made");
    good.update_state(y(), y(), None, None).expect("it works");
    let error = bad.update_state(y(), y(), None, None).expect_err("it crashes");
    assert_eq!(error.kind(), ErrorKind::Crash);
    let error = good.update_state(y(), y(), None, None).expect_err("their process is gone").to_string();
    assert!(error.contains("can't go on") && error.contains("SIGSEGV"), "{error}");
    assert!(good.reset_state().is_err() && good.result().is_err() && good.get_state().is_err());
    let mut new = host.metric("CrashingMetric").expect("it can be made");
    new.update_state(y(), y(), None, None).expect("it works");
    assert_eq!(new.result().expect("a result"), Outcome::Scalar(1.0));
    assert!(new.merge_state(&good).is_err(), "what the other has seen is lost");
}

#[test]
fn states_are_merged_saved_and_loaded_as_without_isolation() {
    let within = Host::new().with_plugins(library("calibration")).expect("it loads");
    let results = [within, isolated(&["calibration"])].map(|host| {
        let make = || host.metric("calibration>ExpectedCalibrationError").expect("it can be made");
        let (mut a, mut b, mut c) = (make(), make(), make());
        let labels = [1.0_f32, 0.0, 1.0, 1.0];
        let scores = [0.9_f32, 0.2, 0.4, 0.7];
        let [labels, scores] = [&labels, &scores].map(|values| Tensor::new(values, &[4, 1]));
        let weights = [1.0_f32, 0.5, 2.0, 0.0];
        a.update_state(labels, scores, None, None).expect("it fits");
        b.update_state(labels, scores, Some(Tensor::new(&weights, &[4])), None).expect("it fits");
        a.merge_state(&b).expect("they fit");
        let saved = a.get_state().expect("it can be saved");
        c.set_state(&saved).expect("it can be loaded");
        let result = c.result().expect("a result");
        c.reset_state().expect("it can be reset");
        assert_eq!(c.result().expect("a result"), Outcome::Undefined);
        let error =
            a.update_state(labels, Tensor::new(&Y[..3], &[3, 1]), None, None).map_err(|error| error.to_string());
        (saved, result, error, a.get_config().expect("a configuration"), a.direction())
    });
    assert_eq!(results[0], results[1]);
    assert!(results[0].2.is_err(), "wrong shapes are refused in the same words");
}

#[test]
fn a_refused_configuration_has_the_same_message_as_without_isolation() {
    let within = Host::new().with_plugins(library("quantile")).expect("it loads");
    let errors = [within, isolated(&["quantile"])].map(|host| {
        ["PinballLoss(quantile=3)", "PinballLoss(quantil=0.3)"]
            .map(|loss| host.loss(loss).map(drop).expect_err("it can't be").to_string())
    });
    assert_eq!(errors[0], errors[1]);
}

#[test]
fn an_isolated_component_can_nest_only_components_of_its_file_and_the_standard_set() {
    let host = isolated(&["stepsize", "crashing"]);
    let identifier = |inner: &str| json!({"class_name": "stepsize>Lookahead", "config": {"optimizer": inner}});
    for inner in ["Adam", "stepsize>Adan"] {
        let mut optimizer = host.optimizer(identifier(inner)).unwrap_or_else(|error| panic!("{inner}: {error}"));
        let parameter = Parameter { name: "w".into(), path: "w".into(), shape: vec![8], trainable: true };
        let mut values = Y;
        optimizer.build(&[parameter], &[&values]).expect("it fits");
        optimizer.apply(&[Some(&Y)], &mut [&mut values]).expect("it steps");
        assert!(values != Y && values.iter().all(|value| value.is_finite()));
    }
    let error = host.optimizer(identifier("crashing>CrashingOptimizer")).map(drop).expect_err("not there").to_string();
    assert!(error.contains("of its own file and of the standard set"), "{error}");
}

#[test]
fn an_isolated_component_can_use_threads_log_and_cancellation_of_its_host() {
    let host = isolated(&["crashing"]);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let taken = lines.clone();
    host.callbacks().set_log(move |level, line| taken.lock().expect("no panic").push((level, line.to_owned())));
    host.loss("CrashingLoss(at=host)").expect("it can be made").value(y(), y(), None, None).expect("it works");
    assert_eq!(*lines.lock().expect("no panic"), [(Level::Warning, "it is done in two pieces".to_owned())]);

    let mut waiting = host.loss("CrashingLoss(at='until cancelled')").expect("it can be made");
    let cancel = host.callbacks().cancel_flag();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        cancel.store(true, Ordering::Relaxed);
    });
    let error = waiting.value(y(), y(), None, None).map(drop).expect_err("it is stopped");
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    canceller.join().expect("it ends");
    host.callbacks().cancel_flag().store(false, Ordering::Relaxed);
    host.loss("CrashingLoss").expect("it can be made").value(y(), y(), None, None).expect("its process lives");
}

#[test]
fn a_program_that_does_not_serve_as_a_worker_is_an_error() {
    let options = |program: &[&str]| LoadOptions {
        isolate: Some(Isolation {
            program: program.iter().map(Into::into).collect(),
            call_limit: Duration::from_secs(2),
            ..Isolation::default()
        }),
        ..LoadOptions::default()
    };
    let metric = |program: &[&str]| {
        let host = Host::with_options(options(program)).with_plugins(library("crashing")).expect("it is vetted");
        host.metric("CrashingMetric").map(drop).expect_err("nobody serves").to_string()
    };
    assert!(metric(&[]).contains("worker_main()"), "{}", metric(&[]));
    assert!(metric(&["/bin/true"]).contains("called exit(0)"));
    assert!(metric(&["/nowhere"]).contains("can't be isolated: No such file"));
}

#[test]
fn threads_can_share_a_worker() {
    let host = isolated(&["crashing"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut metric = host.metric("CrashingMetric").expect("it can be made");
                (0..200).for_each(|_| metric.update_state(y(), y(), None, None).expect("it works"));
                assert_eq!(metric.result().expect("a result"), Outcome::Scalar(200.0));
            });
        }
    });
}
