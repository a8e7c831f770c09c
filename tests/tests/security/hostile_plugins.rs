//! Tests of plug-ins that violate their contract. Their run fails with an error that names them, and the process and
//! the trained weights stay intact.

use plugfit::{
    Host,
    network::Parameter,
    plugin::{Isolation, LoadOptions},
};
use plugfit_api::Tensor;
use plugfit_tests::{
    build::{library, program},
    run::{digits, folder, plugfit, plugins, weights},
};
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

fn host() -> Host {
    Host::new().with_plugins(library("hostile")).expect("it loads")
}

const Y: [f32; 8] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

fn y() -> Tensor<'static> {
    Tensor::new(&Y, &[4, 2])
}

fn isolated() -> Host {
    let isolate = Isolation { program: vec![program().into()], ..Isolation::default() };
    let host = Host::with_options(LoadOptions { isolate: Some(isolate), ..LoadOptions::default() });
    host.with_plugins(library("hostile")).expect("it is vetted")
}

/// Returns the error of a loss that fails at `at`, or `None` if it doesn't fail.
fn loss(at: &str) -> Option<String> {
    loss_of(&host(), at)
}

fn loss_of(host: &Host, at: &str) -> Option<String> {
    weighted_loss_of(host, at, None)
}

fn weighted_loss_of(host: &Host, at: &str, weight: Option<Tensor<'_>>) -> Option<String> {
    let created = host.loss(json!({"class_name": "BadLoss", "config": {"at": at}}));
    let value = created.and_then(|mut loss| loss.value(y(), y(), weight, None).and_then(|value| value.scalar()));
    value.err().map(|error| error.to_string())
}

fn metric(at: &str) -> Option<String> {
    metric_of(&host(), at)
}

fn metric_of(host: &Host, at: &str) -> Option<String> {
    let identifier = || json!({"class_name": "BadMetric", "config": {"at": at}});
    let run = || {
        let mut metric = host.metric(identifier())?;
        metric.update_state(y(), y(), None, None)?;
        let mut other = host.metric(identifier())?;
        other.update_state(y(), y(), None, None)?;
        metric.merge_state(&other)?;
        metric.result()
    };
    run().err().map(|error: plugfit::Error| error.to_string())
}

fn optimizer(at: &str) -> Option<String> {
    optimizer_of(&host(), at)
}

fn optimizer_of(host: &Host, at: &str) -> Option<String> {
    let parameters =
        [Parameter { name: "kernel".into(), path: "dense/kernel".into(), shape: vec![4, 2], trainable: true }];
    let run = || {
        let mut optimizer = host.optimizer(json!({"class_name": "BadOptimizer", "config": {"at": at}}))?;
        let mut values = Y;
        optimizer.build(&parameters, &[&values])?;
        optimizer.apply(&[Some(&Y)], &mut [&mut values])?;
        optimizer.finalize(&mut [&mut values])
    };
    run().err().map(|error: plugfit::Error| error.to_string())
}

#[track_caller]
fn assert_names(said: Option<String>, component: &str, at: &str) {
    let said = said.unwrap_or_else(|| panic!("{component} at {at}: no error"));
    assert!(said.contains(component) && said.contains("hostile"), "{component} at {at}: {said}");
}

#[test]
fn a_panic_in_any_function_is_an_error_that_names_the_component() {
    for at in ["info", "prepare", "output_shape", "call"] {
        assert_names(loss(at), "BadLoss", at);
    }
    for at in ["info", "prepare", "init", "update", "merge", "result"] {
        assert_names(metric(at), "BadMetric", at);
    }
    for at in ["prepare", "slots", "fill_slot", "update", "finalize"] {
        assert_names(optimizer(at), "BadOptimizer", at);
    }
    let schedule = host().schedule("BadSchedule(at=learning_rate)").expect("it can be made");
    let when = plugfit_api::schedule::When { step: 0, epoch: 0, steps_per_epoch: None };
    assert_names(schedule.learning_rate(&when).err().map(|error| error.to_string()), "BadSchedule", "learning_rate");
}

#[test]
fn a_panic_is_shown_with_its_message_and_location() {
    let said = loss("call").expect("an error");
    assert!(said.contains("told to panic in call") && said.contains("src/lib.rs"), "{said}");
}

#[test]
fn a_panic_in_drop_is_not_an_error() {
    assert_eq!(loss("drop"), None);
    assert_eq!(metric("drop"), None);
    assert_eq!(optimizer("drop"), None);
}

#[test]
fn invalid_shapes_and_numbers_are_refused() {
    for at in ["negative shape", "huge shape"] {
        assert_names(loss(at), "BadLoss", at);
    }
    assert_names(metric("shape"), "BadMetric", "shape");
    assert_names(metric("error"), "BadMetric", "error");
    for at in ["slot of no parameter", "negative slot", "huge slot"] {
        assert_names(optimizer(at), "BadOptimizer", at);
    }
    let schedule = host().schedule("BadSchedule(at=nan)").expect("it can be made");
    let when = plugfit_api::schedule::When { step: 0, epoch: 0, steps_per_epoch: None };
    assert_names(schedule.learning_rate(&when).err().map(|error| error.to_string()), "BadSchedule", "nan");
}

#[test]
fn the_shape_of_the_values_of_a_loss_must_match_the_batch() {
    for host in [host(), isolated()] {
        for (at, shape) in [
            ("shape of other rows", "[5]"),
            ("shape of more rows", "[8, 4]"),
            ("shape of a terabyte", "[17592186044416, 4]"),
        ] {
            for weight in [None, Some(Tensor::new(&[1.0, 0.0, 1.0, 2.0_f32], &[4]))] {
                let said = weighted_loss_of(&host, at, weight).unwrap_or_else(|| panic!("{at}: no error"));
                let expected =
                    format!("BadLoss says that its values have the shape {shape}, for inputs of the shape [4, 2]");
                assert!(said.contains(&expected), "{at}: {said}");
            }
        }
    }
}

/// Checks that each case fails with this text in time, in this process and isolated.
#[track_caller]
fn says(call: fn(&Host, &str) -> Option<String>, cases: &[(&str, &str)]) {
    for host in [host(), isolated()] {
        for (at, expected) in cases {
            let begin = Instant::now();
            let said = call(&host, at).unwrap_or_else(|| panic!("{at}: no error"));
            assert!(said.contains(expected) && said.contains("Bad"), "{at}: {expected} isn't in {said}");
            assert!(said.len() < 10_000, "{at}: {} bytes", said.len());
            assert!(begin.elapsed() < Duration::from_secs(20), "{at}: {:?}", begin.elapsed());
        }
    }
}

#[test]
fn too_many_names_numbers_axes_or_slots_are_refused() {
    says(
        metric_of,
        &[
            ("too many names", "returned 1025 names; at most 1024 are allowed"),
            ("a million names", "returned 1000000 names; at most 1024 are allowed"),
            ("too many numbers", "returned 4194305 numbers; at most 4194304 are allowed"),
            ("too many axes", "returned 33 axes; at most 32 are allowed"),
            ("long name", "returned a name of 257 bytes; at most 256 are allowed"),
        ],
    );
    says(loss_of, &[("many axes", "returned 1048576 axes; at most 32 are allowed")]);
    says(
        optimizer_of,
        &[
            ("too many slots", "returned 200000 slots; at most 128 are allowed"),
            ("slot of many axes", "returned 33 axes; at most 32 are allowed"),
            ("slot of two million", "requests a slot \"slot\" of shape [2097152] that is invalid, too large"),
            ("slot of a terabyte", "requests a slot \"slot\" of shape [274877906944] that is invalid, too large"),
        ],
    );
    assert_eq!(metric("many names"), None, "so many may be");
}

#[test]
fn unlimited_nesting_of_components_is_refused() {
    says(
        loss_of,
        &[
            ("nest without end", "BadLoss can't be created: 16 components are already nested"),
            ("nest many", "BadLoss can't be created: 1024 components were already created for one"),
        ],
    );
}

#[test]
fn texts_of_a_plugin_cannot_add_lines_or_control_characters_to_messages() {
    let texts = [loss_of as fn(&Host, &str) -> Option<String>, metric_of, optimizer_of];
    for host in [host(), isolated()] {
        for (of, at) in [
            (0, "forged failure"),
            (0, "forged input"),
            (0, "forged error"),
            (0, "forged panic"),
            (1, "forged name"),
            (2, "forged slot"),
        ] {
            let said = texts[of](&host, at).unwrap_or_else(|| panic!("{at}: no error"));
            assert!(!said.contains(['\u{1b}', '\u{202e}', '\r']), "{at}: {said:?}");
            assert!(said.lines().all(|line| !line.starts_with("error")), "{at}: {said}");
            assert!(said.contains("forged"), "{at}: {said}");
        }
    }
}

#[test]
fn a_text_that_is_not_utf8_is_reported_and_the_plugin_keeps_working() {
    says(metric_of, &[("name that isn't UTF-8", "returned a name that isn't UTF-8")]);
    says(loss_of, &[("failure that isn't UTF-8", "failed: n\u{fffd}"), ("long failure", "failed: xxx")]);
    let isolated = isolated();
    assert!(optimizer_of(&isolated, "slot that isn't UTF-8").is_some_and(|said| said.contains("that isn't UTF-8")));
    let mut good = isolated.metric("BadMetric").expect("it can be made");
    let said = metric_of(&isolated, "name that isn't UTF-8").expect("an error");
    good.update_state(y(), y(), None, None).unwrap_or_else(|error| panic!("{said}, and its process ended: {error}"));
}

#[test]
fn log_messages_of_a_plugin_are_single_lines() {
    for host in [host(), isolated()] {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taken = lines.clone();
        host.callbacks().set_log(move |_, line| taken.lock().expect("no panic").push(line.to_owned()));
        host.loss("BadLoss(at=log)").expect("it can be made");
        let lines = lines.lock().expect("no panic");
        assert!(!lines.is_empty() && lines.len() <= 5000);
        assert!(lines.iter().all(|line| line == "all is well\u{fffd}error: forged\u{fffd}[2J\u{fffd}"), "{}", lines[0]);
    }
}

#[test]
fn a_run_whose_metric_returns_too_many_names_fails_at_once() {
    let folder = folder();
    plugins(folder.path(), &[library("hostile")]);
    let metric = "metrics = [\"BadMetric(at='a million names')\"]";
    digits(folder.path(), &format!("optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"\n{metric}"));
    for isolate in [&["--out", "within"][..], &["--out", "isolated", "--isolate"]] {
        let begin = Instant::now();
        let arguments = [&["fit", "fit.toml"], isolate].concat();
        plugfit(folder.path(), &arguments).with_status(1).says(&["BadMetric", "1000000 names"]);
        assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    }
}

#[test]
fn a_metric_that_panicked_can_be_reset_and_others_keep_working() {
    let host = host();
    let mut bad = host.metric("BadMetric(at=update)").expect("it can be made");
    let mut good = host.metric("BadMetric").expect("it can be made");
    assert!(bad.update_state(y(), y(), None, None).is_err());
    good.update_state(y(), y(), None, None).expect("the other is as it was");
    bad.reset_state().expect("it can be reset");
    assert!(bad.update_state(y(), y(), None, None).is_err());
}

#[test]
fn a_run_that_fails_in_a_plugin_keeps_the_trained_weights() {
    for (compile, component) in [
        (
            "optimizer = \"SGD\"\nloss = \"sparse_categorical_crossentropy\"\nmetrics = [\"BadMetric(at='later update')\"]",
            "BadMetric",
        ),
        ("optimizer = \"BadOptimizer(at='later update')\"\nloss = \"sparse_categorical_crossentropy\"", "BadOptimizer"),
        (
            "optimizer = \"SGD(learning_rate=BadSchedule(at='later learning_rate'))\"\nloss = \"sparse_categorical_crossentropy\"",
            "BadSchedule",
        ),
    ] {
        let folder = folder();
        plugins(folder.path(), &[library("hostile")]);
        digits(folder.path(), compile);
        plugfit(folder.path(), &["fit", "fit.toml", "--out", "run"]).with_status(1).says(&[
            "error: ",
            component,
            "epoch 1, batch 2",
            "told to panic",
            "report.html are in run",
        ]);
        assert!(weights(&folder.path().join("run")).len() > 1000);
    }
}
