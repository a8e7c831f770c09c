//! A component under test: how it is made, in which configurations, and what it does, in bits.

use super::{
    data::{Task, COLUMNS},
    fences::{Fences, Room},
    lending, loss,
    made::{Described, Made, Table},
    metric, optimizer,
    report::Report,
    schedule,
    surroundings::Observe,
};
use crate::{loss::Targets, Error, Result};
use plugfit_abi::{self as abi, Root};
use serde_json::{json, Map, Value};

/// Name, what holds, and the function of each test of a kind.
pub type Tests = &'static [(&'static str, &'static str, fn(&Trial<'_>, &mut Report))];

/// The plug-in that is tried, the host that its components are given, and where random numbers begin.
#[derive(Clone, Copy)]
pub struct Subject {
    pub(super) plugin: &'static Root,
    pub(super) host: abi::Host,
    pub(super) seed: u64,
    /// What the process can tell of itself, where it is one of its own.
    pub(super) observe: Option<Observe>,
    /// Memory that ends at a page which can't be touched, where the process may end by it.
    pub(super) room: Option<Room>,
    /// Whether a parent reads what this process says of itself on stderr.
    pub(super) tells_parent: bool,
    pub(super) fences: Option<&'static Fences>,
}

// SAFETY: by the ABI's rules a host's table may be used from any thread.
unsafe impl Send for Subject {}
// SAFETY: as above.
unsafe impl Sync for Subject {}

impl Subject {
    /// With a host that lends the plug-in's own components to each other, and nothing else.
    pub fn new(plugin: &'static Root, seed: u64) -> Self {
        Subject {
            plugin,
            host: lending::host(plugin),
            seed,
            observe: None,
            room: None,
            tells_parent: false,
            fences: None,
        }
    }

    /// In a process of its own, which tells of itself by `observe`, and may end where it touches what is behind a buffer.
    pub fn in_own_process(self, observe: Observe, room: Option<Room>) -> Self {
        Subject { observe: Some(observe), room, ..self }
    }

    /// In a process whose parent reads the [line](super::GUARDED) by which it tells of guard pages.
    pub fn telling_parent(self) -> Self {
        Subject { tells_parent: true, ..self }
    }

    /// With another host.
    ///
    /// # Safety
    /// The host is as the ABI says, and lives as long as the tests.
    pub unsafe fn with_host(self, host: abi::Host) -> Self {
        Subject { host, ..self }
    }
}

/// A component under test.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    pub subject: Subject,
    /// As the manifest describes it.
    pub component: &'a Value,
    manifest: &'a Value,
    given: Option<&'a Value>,
}

impl<'a> Trial<'a> {
    pub fn new(subject: Subject, manifest: &'a Value, component: &'a Value, given: Option<&'a Value>) -> Self {
        Trial { subject, component, manifest, given }
    }

    /// The same with another subject.
    pub fn with_subject(&self, subject: Subject) -> Self {
        Trial { subject, ..*self }
    }

    /// What it declares of the batches that it takes.
    fn declared(&self, key: &str) -> Option<usize> {
        self.component["trial"][key].as_u64().and_then(|number| usize::try_from(number).ok()).filter(|&n| n > 0)
    }

    /// The columns of a batch that it is tried with: what it declares, or some.
    pub fn columns(&self) -> usize {
        self.declared("columns").or(self.declared("classes")).unwrap_or(COLUMNS)
    }

    /// Whether it may be tried with so many columns, or none: a component that declares them takes no others.
    pub fn may_have(&self, columns: usize) -> bool {
        columns == self.columns() || self.declared("columns").or(self.declared("classes")).is_none()
    }

    /// A task that it may be meant for.
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

    /// Whether it can be made; where that depends on a host that isn't here, or on settings, it is noted.
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

    /// Whether the plug-in has a loss of this name too: the metric may be the mean of its values.
    pub fn is_also_a_loss(&self) -> bool {
        super::components(self.manifest)
            .iter()
            .any(|other| other["kind"] == "loss" && other["name"] == self.component["name"])
    }

    /// The configuration that tests begin with: what was given, or the first example's, or a value for each setting without a default.
    pub fn config(&self) -> Option<Value> {
        let of_example = || {
            let first: Value = serde_json::from_str(self.examples().first()?.as_str()?).ok()?;
            first.get("config").cloned()
        };
        let base = self.given.cloned().or_else(of_example).unwrap_or_else(|| json!({}));
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

    /// That configuration, one for each other choice and each number changed, and those of its examples, as far as the component takes
    /// them.
    pub fn configs(&self) -> Vec<Value> {
        let Some(base) = self.config() else { return Vec::new() };
        let mut configs = vec![base.clone()];
        for field in self.fields() {
            let Some(name) = field["name"].as_str() else { continue };
            let default = base.get(name).or(field.get("default")).cloned().unwrap_or(Value::Null);
            for value in others(field, &default) {
                let mut config = base.clone();
                config[name] = value;
                if self.described(&config).is_ok() {
                    configs.push(config);
                }
            }
        }
        for example in self.examples().iter().filter_map(|text| serde_json::from_str::<Value>(text.as_str()?).ok()) {
            let config = example.get("config").cloned().unwrap_or_else(|| json!({}));
            // An optimizer inside that has a rate of its own doesn't take that of the tests.
            let own_rate = config.to_string().contains("\"learning_rate\"");
            if !own_rate && !configs.contains(&config) && self.described(&config).is_ok() {
                configs.push(config);
            }
        }
        configs
    }

    /// The configuration that tests begin with, and one for each other choice: numbers as they are, with which it does its best.
    pub fn each_choice(&self, report: &mut Report, f: impl FnMut(&Value, &mut Report)) {
        let numbers = |config: &Value| {
            let changed = |field: &&Value| matches!(field["type"].as_str(), Some("number" | "integer"));
            let base = self.config().unwrap_or_default();
            self.fields()
                .iter()
                .filter(changed)
                .all(|field| field["name"].as_str().is_none_or(|name| config.get(name) == base.get(name)))
        };
        self.run(report, self.configs().into_iter().filter(numbers).collect(), f);
    }

    /// Runs `f` with every configuration, of which failures tell.
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

    pub fn made<T: Table>(&self, config: &Value) -> Result<Made<T>> {
        Made::new(self.subject, self.name(), config)
    }

    pub fn described(&self, config: &Value) -> Result<Box<dyn Described>> {
        Ok(match self.kind() {
            "loss" => Box::new(self.made::<abi::LossV1>(config)?),
            "metric" => Box::new(self.made::<abi::MetricV1>(config)?),
            "optimizer" => Box::new(self.made::<abi::OptimizerV1>(config)?),
            "schedule" => Box::new(self.made::<abi::ScheduleV1>(config)?),
            other => return Err(Error::unsupported(format!("{other} is no kind that is known"))),
        })
    }

    /// Makes it and does with it what it is for; the bits of all that came out.
    pub fn bits(&self, config: &Value) -> Result<Vec<u64>> {
        self.with_bits(config, |bits| bits())
    }

    /// Makes it, and gives `f` a function that does with it what it is for.
    pub fn with_bits<R>(
        &self,
        config: &Value,
        f: impl FnOnce(&(dyn Fn() -> Result<Vec<u64>> + Sync)) -> Result<R>,
    ) -> Result<R> {
        self.with_bits_of(config, Extent::Plain, f)
    }

    /// The bits of all ways to call it: with weights, with more columns than a register holds, and through every function of a kind.
    pub fn thorough_bits(&self, config: &Value) -> Result<Vec<u64>> {
        self.with_bits_of(config, Extent::Thorough, |bits| bits())
    }

    fn with_bits_of<R>(
        &self,
        config: &Value,
        extent: Extent,
        f: impl FnOnce(&(dyn Fn() -> Result<Vec<u64>> + Sync)) -> Result<R>,
    ) -> Result<R> {
        match self.kind() {
            "loss" => {
                let made = self.made::<abi::LossV1>(config)?;
                f(&|| loss::bits(self, config, &made, extent))
            }
            "metric" => {
                let made = self.made::<abi::MetricV1>(config)?;
                f(&|| metric::bits(self, config, &made, extent))
            }
            "optimizer" => {
                let made = self.made::<abi::OptimizerV1>(config)?;
                f(&|| optimizer::bits(&made, self.subject.seed, extent))
            }
            _ => {
                let made = self.made::<abi::ScheduleV1>(config)?;
                f(&|| schedule::bits(&made))
            }
        }
    }
}

/// How much is tried for the bits of what comes out.
#[derive(Clone, Copy, PartialEq)]
pub enum Extent {
    /// What tells one instance from another.
    Plain,
    /// Every buffer that a call may have.
    Thorough,
}

fn bound(field: &Value, key: &str) -> Option<f64> {
    field[key].as_f64()
}

/// A value for a setting that has no default.
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

/// Other values of a setting than this one.
fn others(field: &Value, value: &Value) -> Vec<Value> {
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
            // Half the way to a bound, or half as much again.
            let up = number + (0.5 * number.abs()).max(0.1);
            let other = if up < highest { up } else { (number + lowest.max(number - 1.0)) / 2.0 };
            vec![json!(other)]
        }
        Some("integer") => vec![json!(value.as_i64().unwrap_or(0) + 1)],
        _ => Vec::new(),
    }
}

/// Gives what a call gave, or says what went wrong. Another setting may want other inputs, which nobody here knows.
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
