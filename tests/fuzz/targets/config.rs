//! Reads any text as an identifier, as JSON and as a run file. The text must be accepted or rejected without a panic.
//!
//! If it names a component of the standard set, the target creates the component and calls it with a small batch. A
//! panic ends the target even if the plug-in's panic boundary would catch it.
#![no_main]

use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plugfit::compile::Compile;
use plugfit::identifier::ParsedIdentifier;
use plugfit::network::{Parameter, Sequential};
use plugfit::plugin::Kind;
use plugfit::train::RunFile;
use plugfit::{Host, Identifier};
use plugfit_api::schedule::When;
use plugfit_api::{Tensor, TensorMut};
use serde_json::Value;

static HOST: LazyLock<Host> = LazyLock::new(Host::new);

/// The names and aliases of the standard set's components, normalised for comparison.
static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let components = Kind::ALL.into_iter().flat_map(|kind| HOST.components(kind));
    components.flat_map(|(_, one)| one.aliases.into_iter().chain([one.name])).map(|name| normalised(&name)).collect()
});

fn normalised(name: &str) -> String {
    name.rsplit('>').next().unwrap_or_default().replace('_', "").to_lowercase()
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    identifier(text.into());
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        identifier(json.clone().into());
        compile(Compile::from_json(&json, Some(Path::new("/nowhere"))));
    }
    if let Ok(mut file) = RunFile::parse(text, "fit.toml", Path::new("/nowhere")) {
        let located = |error: plugfit::Error| assert!(!file.located(error).to_string().is_empty());
        file.plugins().map_err(located).ok();
        file.data().map_err(located).ok();
        file.fit().map_err(located).ok();
        match file.network() {
            Ok(network) if is_small(&network.to_json()) => {
                Sequential::new(&network, &[4], 1).map_err(located).ok();
            }
            Ok(_) => {}
            Err(error) => located(error),
        }
        compile(file.compile());
        let _ = file.set(text.lines().next().unwrap_or_default());
    }
});

/// Returns whether all numbers in a network are small. Large ones are valid but need much memory.
fn is_small(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number < 1000.0),
        Value::Array(items) => items.len() < 10 && items.iter().all(is_small),
        Value::Object(items) => items.values().all(is_small),
        Value::String(text) => text.len() < 1000,
        Value::Null | Value::Bool(_) => true,
    }
}

fn compile(compile: plugfit::Result<Compile>) {
    let Ok(compile) = compile else { return };
    let written = compile.to_json();
    // Don't load libraries that the text names.
    if written.to_string().contains('#') {
        return;
    }
    let Ok(mut run) = HOST.compile(compile) else { return };
    let y_true = [0.0_f32, 1.0, 1.0, 0.0, 0.0, 1.0];
    let y_pred = [0.25_f32, 0.75, 0.5, 0.5, 0.0, 1.0];
    let shape = &[2, 3][..];
    let (y_true, y_pred) = ((&y_true[..], shape), (&y_pred[..], shape));
    let _ = run.value_and_gradient(y_true, y_pred).map(|_| ());
    let _ = run.update_metrics(y_true, y_pred);
    let _ = run.logs();
    let _ = run.get_compile_config();
}

fn identifier(identifier: Identifier) {
    let name = match identifier.parse() {
        Ok(ParsedIdentifier::Name(name)) => name,
        Ok(ParsedIdentifier::Config(spec)) => spec.class_name,
        _ => return,
    };
    // The search for names similar to an unknown name is slow, so run it for some names only.
    if !NAMES.contains(&normalised(&name)) && name.len() % 16 != 0 {
        return;
    }
    let y_true = [0.0_f32, 1.0, 1.0, 0.0, 0.0, 1.0];
    let y_pred = [0.25_f32, 0.75, 0.5, 0.5, 0.0, 1.0];
    let arrays = || (Tensor::new(&y_true, &[2, 3]), Tensor::new(&y_pred, &[2, 3]));
    if let Ok(mut loss) = HOST.loss(identifier.clone()) {
        let (y_true, y_pred) = arrays();
        let mut gradient = [0.0_f32; 6];
        let gradient = &mut TensorMut::new(&mut gradient, &[2, 3]);
        let _ = loss.value_and_gradient(y_true, y_pred, None, None, 1.0, gradient).map(|_| ());
        // The configuration that the loss reports creates the loss again.
        let config = loss.get_config().expect("a loss has a configuration");
        let again = serde_json::json!({"class_name": loss.class_name(), "config": config});
        HOST.loss(again).expect("its own configuration makes it");
    }
    if let Ok(mut metric) = HOST.metric(identifier.clone()) {
        let (y_true, y_pred) = arrays();
        let _ = metric.update_state(y_true, y_pred, None, None);
        let _ = metric.result();
        let saved = metric.get_state().expect("a state can be saved");
        metric.set_state(&saved).expect("and loaded");
        metric.get_config().expect("a metric has a configuration");
    }
    if let Ok(mut optimizer) = HOST.optimizer(identifier.clone()) {
        let parameter =
            Parameter { name: "kernel".into(), path: "dense/kernel".into(), shape: vec![2, 3], trainable: true };
        let mut values = y_pred;
        if optimizer.build(&[parameter], &[&values]).is_ok() {
            for _ in 0..2 {
                let _ = optimizer.apply(&[Some(&y_true)], &mut [&mut values]);
            }
            let _ = optimizer.finalize(&mut [&mut values]);
        }
        let again = optimizer.serialize().expect("an optimizer has a configuration");
        HOST.optimizer(again).expect("its own configuration makes it");
    }
    if let Ok(schedule) = HOST.schedule(identifier) {
        for step in [0, 1, 1000, 1 << 53] {
            let _ = schedule.learning_rate(&When { step, epoch: step / 10, steps_per_epoch: Some(10) });
        }
        schedule.get_config().expect("a schedule has a configuration");
    }
}
