//! Plug-ins that break their word fail their run, say which they are, and leave the process and what was trained intact.

use plugfit::{Host, network::Parameter};
use plugfit_api::Tensor;
use plugfit_tests::{
    build::{Compiler, library, root},
    run::{digits, folder, plugfit, plugins},
};

fn host() -> Host {
    Host::new().with_plugins(library("hostile")).expect("it loads")
}

const Y: [f32; 8] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

fn y() -> Tensor<'static> {
    Tensor::new(&Y, &[4, 2])
}

/// What is said where a component goes wrong at some place; none where it doesn't.
fn loss(at: &str) -> Option<String> {
    let made = host().loss(format!("BadLoss(at={at:?})"));
    let tried = made.and_then(|mut loss| loss.value(y(), y(), None, None).and_then(|value| value.scalar()));
    tried.err().map(|error| error.to_string())
}

fn metric(at: &str) -> Option<String> {
    let host = host();
    let run = || {
        let mut metric = host.metric(format!("BadMetric(at={at:?})"))?;
        metric.update_state(y(), y(), None, None)?;
        let mut other = host.metric(format!("BadMetric(at={at:?})"))?;
        other.update_state(y(), y(), None, None)?;
        metric.merge_state(&other)?;
        metric.result()
    };
    run().err().map(|error: plugfit::Error| error.to_string())
}

fn optimizer(at: &str) -> Option<String> {
    let parameters =
        [Parameter { name: "kernel".into(), path: "dense/kernel".into(), shape: vec![4, 2], trainable: true }];
    let run = || {
        let mut optimizer = host().optimizer(format!("BadOptimizer(at={at:?})"))?;
        let mut values = Y;
        optimizer.build(&parameters, &[&values])?;
        optimizer.apply(&[Some(&Y)], &mut [&mut values])?;
        optimizer.finalize(&mut [&mut values])
    };
    run().err().map(|error: plugfit::Error| error.to_string())
}

#[track_caller]
fn names_it(said: Option<String>, component: &str, at: &str) {
    let said = said.unwrap_or_else(|| panic!("{component} at {at}: no error"));
    assert!(said.contains(component) && said.contains("hostile"), "{component} at {at}: {said}");
}

#[test]
fn a_panic_in_any_function_is_an_error_that_names_the_component() {
    for at in ["info", "prepare", "output_shape", "call"] {
        names_it(loss(at), "BadLoss", at);
    }
    for at in ["info", "prepare", "init", "update", "merge", "result"] {
        names_it(metric(at), "BadMetric", at);
    }
    for at in ["prepare", "slots", "fill_slot", "update", "finalize"] {
        names_it(optimizer(at), "BadOptimizer", at);
    }
    let schedule = host().schedule("BadSchedule(at=learning_rate)").expect("it can be made");
    let when = plugfit_api::schedule::When { step: 0, epoch: 0, steps_per_epoch: None };
    names_it(schedule.learning_rate(&when).err().map(|error| error.to_string()), "BadSchedule", "learning_rate");
}

#[test]
fn a_panic_is_shown_with_its_message_and_its_place() {
    let said = loss("call").expect("an error");
    assert!(said.contains("told to panic in call") && said.contains("src/lib.rs"), "{said}");
}

#[test]
fn a_panic_in_drop_stays_in_the_plugin() {
    assert_eq!(loss("drop"), None);
    assert_eq!(metric("drop"), None);
    assert_eq!(optimizer("drop"), None);
}

#[test]
fn wrong_shapes_and_numbers_are_refused() {
    for at in ["negative shape", "huge shape"] {
        names_it(loss(at), "BadLoss", at);
    }
    names_it(metric("shape"), "BadMetric", "shape");
    names_it(metric("error"), "BadMetric", "error");
    for at in ["slot of no parameter", "negative slot", "huge slot"] {
        names_it(optimizer(at), "BadOptimizer", at);
    }
    let schedule = host().schedule("BadSchedule(at=nan)").expect("it can be made");
    let when = plugfit_api::schedule::When { step: 0, epoch: 0, steps_per_epoch: None };
    names_it(schedule.learning_rate(&when).err().map(|error| error.to_string()), "BadSchedule", "nan");
}

#[test]
fn a_metric_that_panicked_can_be_reset_and_others_go_on() {
    let host = host();
    let mut bad = host.metric("BadMetric(at=update)").expect("it can be made");
    let mut good = host.metric("BadMetric").expect("it can be made");
    assert!(bad.update_state(y(), y(), None, None).is_err());
    good.update_state(y(), y(), None, None).expect("the other is as it was");
    bad.reset_state().expect("it can be reset");
    assert!(bad.update_state(y(), y(), None, None).is_err());
}

#[test]
fn a_run_that_a_plugin_fails_keeps_what_was_trained() {
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
            "run holds weights",
        ]);
        let weights = std::fs::read(folder.path().join("run/weights.safetensors")).expect("weights are kept");
        assert!(weights.len() > 1000);
    }
}

#[test]
fn what_was_built_to_abort_is_refused_by_its_file() {
    let target = plugfit_tests::build::elsewhere(
        &root().join("plugins/calibration"),
        "calibration",
        "test-abort",
        Compiler::Own,
        "-Cpanic=abort",
    );
    let library = target.unwrap_or_else(|error| panic!("{error}"));
    let folder = folder();
    let plugins = plugins(folder.path(), &[library]);
    let plugins = plugins.display().to_string();
    plugfit(folder.path(), &["list", "--why", "--plugins", &plugins]).with_status(0).prints(&[
        "libcalibration.so",
        "refused",
        "panic = \"abort\"",
    ]);
    plugfit(folder.path(), &["show", "BrierScore", "--plugins", &plugins]).with_status(2).says(&["BrierScore"]);
}

#[test]
fn a_name_declared_twice_is_refused_and_the_others_load() {
    let folder = folder();
    let plugins = plugins(folder.path(), &[library("twice"), library("calibration")]).display().to_string();
    plugfit(folder.path(), &["list", "--why", "--plugins", &plugins]).with_status(0).prints(&[
        "libtwice.so",
        "refused",
        "\"Same\" twice",
        "libcalibration.so",
        "loaded",
    ]);
}

#[test]
fn a_name_of_two_plugins_asks_for_the_one_that_is_meant() {
    let folder = folder();
    let plugins = plugins(folder.path(), &[library("rival"), library("calibration")]).display().to_string();
    plugfit(folder.path(), &["show", "BrierScore", "--plugins", &plugins]).with_status(2).says(&[
        "in two plug-ins",
        "rival>BrierScore",
        "calibration>BrierScore",
    ]);
    plugfit(folder.path(), &["show", "rival>BrierScore", "--plugins", &plugins])
        .with_status(0)
        .prints(&["rival 0.1.0"]);
}
