//! Tests of components of a host that isolates plug-ins.

use plugfit::{
    ErrorKind, Host,
    network::Parameter,
    plugin::{Isolation, Level, LoadOptions},
};
use plugfit_api::{Tensor, metric::Outcome};
use plugfit_tests::build::{library, program};
use serde_json::json;
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

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
    assert!(error.contains("can't continue") && error.contains("SIGSEGV"), "{error}");
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
