//! A plug-in's own test: what every host relies on, tried through the functions that a host calls.

mod data;
mod lending;
mod loss;
mod made;
mod metric;
mod optimizer;

use made::{Made, Table};
use plugfit_abi::{self as abi, Root};
use serde_json::{json, Map, Value};

/// Tries every component of a plug-in, each with its defaults: that its configuration is read, checked and written; that a loss's
/// gradient is that of its values; that a metric doesn't mind how its data is split, merged and saved; that an optimizer takes finite
/// steps, the same ones twice; that a schedule's rates are finite. A component that wraps another is lent those of this plug-in; one
/// that wants another plug-in's isn't tried, and the test says so.
///
/// ```
/// # use plugfit_api::prelude::*;
/// # /// How often the sign is right.
/// # #[derive(Config)]
/// # pub struct SignAccuracy;
/// # impl MeanMetric for SignAccuracy {
/// #     const DIRECTION: Direction = Direction::Maximize;
/// #     fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
/// #         y_true.iter().zip(y_pred).filter(|(t, p)| t.signum() == p.signum()).count() as f64 / y_true.len() as f64
/// #     }
/// # }
/// # export_plugin! { metrics: [SignAccuracy] }
/// # fn main() {
/// // in a test of the crate that has `export_plugin!`
/// plugfit_api::testing::check(plugin());
/// # }
/// ```
///
/// # Panics
/// Something doesn't hold: the message lists all that was found.
pub fn check(plugin: &'static Root) {
    check_with(plugin, &[]);
}

/// The same, where components are configured as given, by name; those that need a configuration must be among them.
///
/// # Panics
/// As [`check`], and where a name is no component's.
pub fn check_with(plugin: &'static Root, configs: &[(&str, Value)]) {
    let mut findings = Findings::default();
    let manifest = manifest(plugin);
    let components = manifest["components"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (name, _) in configs {
        findings
            .that(components.iter().any(|component| component["name"] == *name), || format!("{name} isn't exported"));
    }
    findings.that(!components.is_empty(), || "nothing is exported".into());
    for component in components {
        let name = component["name"].as_str().unwrap_or_default();
        findings.component = name.to_owned();
        let given = configs.iter().find(|(other, _)| *other == name).map(|(_, config)| config.clone());
        let config = match given.or_else(|| example(component)) {
            Some(config) => config,
            None => {
                findings.add("has settings without a default: test it with `check_with`");
                continue;
            }
        };
        match component["kind"].as_str() {
            Some("loss") => kind::<abi::LossV1>(plugin, name, &config, &mut findings, loss::check),
            Some("metric") => kind::<abi::MetricV1>(plugin, name, &config, &mut findings, metric::check),
            Some("optimizer") => kind::<abi::OptimizerV1>(plugin, name, &config, &mut findings, optimizer::check),
            Some("schedule") => kind::<abi::ScheduleV1>(plugin, name, &config, &mut findings, schedule),
            other => findings.add(format!("is of an unknown kind: {other:?}")),
        }
    }
    findings.finish();
}

/// What doesn't hold.
#[derive(Default)]
struct Findings {
    component: String,
    found: Vec<String>,
}

impl Findings {
    fn add(&mut self, what: impl std::fmt::Display) {
        self.found.push(format!("{} {what}", self.component));
    }

    /// What a component says of itself that it doesn't hold, so that it isn't tried.
    fn exception(&self, holds: bool, what: &str) {
        if !holds {
            println!("as {} declares: {what}", self.component);
        }
    }

    fn that(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.add(otherwise());
        }
    }

    fn finish(self) {
        assert!(
            self.found.is_empty(),
            "the plug-in doesn't hold what a host relies on:\n  {}",
            self.found.join("\n  ")
        );
    }
}

fn manifest(plugin: &'static Root) -> Value {
    // SAFETY: a root's manifest is as long as it says, and lives as long as the process.
    let bytes = unsafe { std::slice::from_raw_parts(plugin.manifest, plugin.manifest_length) };
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("the manifest is no JSON: {error}"))
}

/// A configuration with a value for each setting that has no default; none where that can't be guessed.
fn example(component: &Value) -> Option<Value> {
    let mut config = Map::new();
    for field in component["fields"].as_array()? {
        if field.get("default").is_some() {
            continue;
        }
        let bound = |key: &str| field[key].as_f64();
        let least = bound("minimum").or(bound("above")).unwrap_or(0.0);
        let value = match field["type"].as_str()? {
            "number" => match bound("maximum").or(bound("below")) {
                Some(most) => json!((least + most) / 2.0),
                None => json!(least + 1.0),
            },
            "integer" => json!(least.max(bound("above").map_or(least, |above| above + 1.0)).max(1.0) as i64),
            "boolean" => json!(false),
            _ => field["choices"].get(0)?.clone(),
        };
        config.insert(field["name"].as_str()?.into(), value);
    }
    Some(Value::Object(config))
}

/// What holds for every kind, and then what holds for this one.
fn kind<T: Table>(
    plugin: &'static Root,
    name: &str,
    config: &Value,
    findings: &mut Findings,
    check: fn(&Made<T>, &mut Findings),
) {
    let made = match Made::new(plugin, name, config) {
        Ok(made) => made,
        // Only a real host has what it wants.
        Err(error) if error.kind() == abi::ERROR_UNSUPPORTED => {
            return println!("not tried: {name}, {}", error.message());
        }
        Err(error) => return findings.add(format!("can't be made from {config}: {}", error.message())),
    };
    match made.config() {
        Err(error) => findings.add(format!("can't write its configuration: {}", error.message())),
        Ok(written) => match Made::<T>::new(plugin, name, &written).and_then(|again| again.config()) {
            Ok(again) => findings.that(again == written, || format!("reads {written} and writes {again}")),
            Err(error) => findings.add(format!("can't read the configuration that it wrote: {}", error.message())),
        },
    }
    let mut strange = config.clone();
    strange["no such setting"] = json!(1);
    findings.that(Made::<T>::new(plugin, name, &strange).is_err(), || "takes a setting that it doesn't have".into());
    check(&made, findings);
}

fn schedule(made: &Made<abi::ScheduleV1>, findings: &mut Findings) {
    for step in [0, 1, 9, 10, 100, 1_000, 1_000_000, 1 << 40] {
        match made.learning_rate(step) {
            Ok(rate) => findings.that(rate.is_finite(), || format!("has the rate {rate} at step {step}")),
            Err(error) => findings.add(format!("fails at step {step}: {}", error.message())),
        }
    }
}
