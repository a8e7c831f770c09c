//! A component under test: creates instances of it, and chooses configurations to test.

use super::{
    data::{Task, COLUMNS},
    instance::{Describe, Instance},
    report::Report,
    subject::Subject,
};
use crate::{instance::Table, loss::Targets, Error, Result};
use plugfit_abi as abi;
use serde_json::{json, Map, Value};

/// The name, the description and the function of each test of a kind.
pub type Tests = &'static [(&'static str, &'static str, fn(&Tested<'_>, &mut Report))];

/// A component under test.
#[derive(Clone, Copy)]
pub struct Tested<'a> {
    pub subject: Subject,
    /// Its description in the manifest.
    pub component: &'a Value,
    manifest: &'a Value,
    /// The configuration to start from, if the caller provides one.
    base_config: Option<&'a Value>,
}

impl<'a> Tested<'a> {
    pub fn new(subject: Subject, manifest: &'a Value, component: &'a Value, base_config: Option<&'a Value>) -> Self {
        Tested { subject, component, manifest, base_config }
    }

    /// Returns the same component with another subject.
    pub fn with_subject(&self, subject: Subject) -> Self {
        Tested { subject, ..*self }
    }

    /// Returns a number that the component declares for its batches.
    fn declared(&self, key: &str) -> Option<usize> {
        self.component["trial"][key].as_u64().and_then(|number| usize::try_from(number).ok()).filter(|&n| n > 0)
    }

    /// Returns the number of columns of a test batch, as declared or the default.
    pub fn columns(&self) -> usize {
        self.declared("columns").or(self.declared("classes")).unwrap_or(COLUMNS)
    }

    /// Returns whether it can be tested with this number of columns. A component that declares a number accepts no
    /// other.
    pub fn may_have(&self, columns: usize) -> bool {
        columns == self.columns() || self.declared("columns").or(self.declared("classes")).is_none()
    }

    /// Returns a task for test batches.
    pub fn task(&self, targets: Option<Targets>, from_logits: bool, columns: usize) -> Task {
        Task {
            targets,
            from_logits,
            columns,
            classes: self.declared("classes").unwrap_or(columns),
            seed: self.subject.seed,
        }
    }

    pub fn name(&self) -> &'a str {
        self.component["name"].as_str().unwrap_or_default()
    }

    pub fn kind(&self) -> &'a str {
        self.component["kind"].as_str().unwrap_or_default()
    }

    pub fn fields(&self) -> &'a [Value] {
        self.component["fields"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    pub fn examples(&self) -> &'a [Value] {
        self.component["examples"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns whether an instance can be created. If it needs a host or settings that the test lacks, a note says so.
    pub fn can_be_tried(&self, report: &mut Report) -> bool {
        let Some(config) = self.config() else {
            report.note("not tried: it has settings without a default, and no example of them");
            return false;
        };
        match self.described(&config) {
            Ok(_) => true,
            Err(error) if error.kind() == abi::ERROR_UNSUPPORTED => {
                report.note(format!("not tried: {}", error.message()));
                false
            }
            Err(error) => {
                report.error(format!("can't be made from {config}"), &error);
                false
            }
        }
    }

    /// Returns whether the plug-in also has a loss of this name. The metric may be the mean of its values.
    pub fn is_also_a_loss(&self) -> bool {
        super::components(self.manifest)
            .iter()
            .any(|other| other["kind"] == "loss" && other["name"] == self.component["name"])
    }

    /// Returns the configuration to start from: the one provided or that of the first example, and a guess for each
    /// setting without a default.
    pub fn config(&self) -> Option<Value> {
        let of_example = || {
            let first: Value = serde_json::from_str(self.examples().first()?.as_str()?).ok()?;
            first.get("config").cloned()
        };
        let base = self.base_config.cloned().or_else(of_example).unwrap_or_else(|| json!({}));
        let mut config = Map::new();
        for field in self.fields() {
            let name = field["name"].as_str()?;
            match base.get(name) {
                Some(value) => config.insert(name.into(), value.clone()),
                None if field.get("default").is_some() => None,
                None => config.insert(name.into(), guess(field)?),
            };
        }
        Some(Value::Object(config))
    }

    /// Returns [`config`](Self::config), one configuration for each changed setting, and those of the examples. Those
    /// that the component rejects are left out.
    pub fn configs(&self) -> Vec<Value> {
        let Some(base) = self.config() else { return Vec::new() };
        let mut configs = vec![base.clone()];
        for field in self.fields() {
            let Some(name) = field["name"].as_str() else { continue };
            let default = base.get(name).or(field.get("default")).cloned().unwrap_or(Value::Null);
            for value in other_values(field, &default) {
                let mut config = base.clone();
                config[name] = value;
                if self.described(&config).is_ok() {
                    configs.push(config);
                }
            }
        }
        for example in self.examples().iter().filter_map(|text| serde_json::from_str::<Value>(text.as_str()?).ok()) {
            let config = example.get("config").cloned().unwrap_or_else(|| json!({}));
            // A nested optimizer with its own learning rate ignores the rate of the tests.
            let has_nested_rate = config.to_string().contains("\"learning_rate\"");
            if !has_nested_rate && !configs.contains(&config) && self.described(&config).is_ok() {
                configs.push(config);
            }
        }
        configs
    }

    /// Runs `f` with [`config`](Self::config) and one configuration for each other choice. Numbers keep their values,
    /// which work best.
    pub fn each_choice(&self, report: &mut Report, f: impl FnMut(&Value, &mut Report)) {
        let keeps_numbers = |config: &Value| {
            let is_number = |field: &&Value| matches!(field["type"].as_str(), Some("number" | "integer"));
            let base = self.config().unwrap_or_default();
            self.fields()
                .iter()
                .filter(is_number)
                .all(|field| field["name"].as_str().is_none_or(|name| config.get(name) == base.get(name)))
        };
        self.run(report, self.configs().into_iter().filter(keeps_numbers).collect(), f);
    }

    /// Runs `f` with every configuration. Failures name the configuration.
    pub fn each(&self, report: &mut Report, f: impl FnMut(&Value, &mut Report)) {
        self.run(report, self.configs(), f);
    }

    fn run(&self, report: &mut Report, configs: Vec<Value>, mut f: impl FnMut(&Value, &mut Report)) {
        for (index, config) in configs.iter().enumerate() {
            report.about = if index == 0 { String::new() } else { format!(", with {config}") };
            f(config, report);
        }
        report.about.clear();
    }

    /// Creates an instance.
    pub fn instance<T: Table>(&self, config: &Value) -> Result<Instance<T>> {
        Instance::new(self.subject, self.name(), config)
    }

    /// Creates an instance, or reports why that fails.
    pub fn made<T: Table>(&self, config: &Value, report: &mut Report) -> Option<Instance<T>> {
        or_report(report, "can't be made", self.instance(config))
    }

    /// Creates an instance of any kind, which can only be described.
    pub fn described(&self, config: &Value) -> Result<Box<dyn Describe>> {
        Ok(match self.kind() {
            "loss" => Box::new(self.instance::<abi::LossV1>(config)?),
            "metric" => Box::new(self.instance::<abi::MetricV1>(config)?),
            "optimizer" => Box::new(self.instance::<abi::OptimizerV1>(config)?),
            "schedule" => Box::new(self.instance::<abi::ScheduleV1>(config)?),
            other => return Err(Error::unsupported(format!("{other} isn't a known kind"))),
        })
    }
}

/// How many kinds of calls contribute to the bits.
#[derive(Clone, Copy, PartialEq)]
pub enum Extent {
    /// Enough to distinguish instances.
    Plain,
    /// Every buffer that a call can have.
    Thorough,
}

fn bound(field: &Value, key: &str) -> Option<f64> {
    field[key].as_f64()
}

/// Guesses a value for a setting without a default.
fn guess(field: &Value) -> Option<Value> {
    let least = bound(field, "minimum").or(bound(field, "above")).unwrap_or(0.0);
    Some(match field["type"].as_str()? {
        "number" => match bound(field, "maximum").or(bound(field, "below")) {
            Some(most) => json!((least + most) / 2.0),
            None => json!(least + 1.0),
        },
        "integer" => json!(least.max(bound(field, "above").map_or(least, |above| above + 1.0)).max(1.0) as i64),
        "boolean" => json!(false),
        _ => field["choices"].get(0)?.clone(),
    })
}

/// Returns other values of a setting.
fn other_values(field: &Value, value: &Value) -> Vec<Value> {
    let choices = field["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !choices.is_empty() {
        return choices.iter().filter(|choice| *choice != value).cloned().collect();
    }
    match field["type"].as_str() {
        Some("boolean") => vec![json!(!value.as_bool().unwrap_or_default())],
        Some("number") => {
            let number = value.as_f64().unwrap_or(0.0);
            let highest = bound(field, "maximum").or(bound(field, "below")).unwrap_or(f64::INFINITY);
            let lowest = bound(field, "minimum").or(bound(field, "above")).unwrap_or(f64::NEG_INFINITY);
            // Increase by half, or go half the way to the lower bound.
            let up = number + (0.5 * number.abs()).max(0.1);
            let other = if up < highest { up } else { (number + lowest.max(number - 1.0)) / 2.0 };
            vec![json!(other)]
        }
        Some("integer") => vec![json!(value.as_i64().unwrap_or(0) + 1)],
        _ => Vec::new(),
    }
}

/// Returns the value of a result, or reports its error. Rejected inputs are ignored if a setting is changed, which may
/// require other inputs.
pub fn or_report<T>(report: &mut Report, what: impl std::fmt::Display, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.kind() == abi::ERROR_INPUT && !report.about.is_empty() => None,
        Err(error) => {
            report.error(what, &error);
            None
        }
    }
}
