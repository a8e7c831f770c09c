//! A learning-rate schedule and its name.

use plugfit_api::schedule::When;
use serde_json::{Map, Value, json};

use super::keys::Keys;
use crate::Result;
use crate::formula::Formula;
use crate::plugin::{self, Kind};

/// A learning-rate schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    name: String,
    schedule: plugin::Schedule,
}

impl Schedule {
    /// Creates a schedule with the host's key of its configuration: name.
    ///
    /// # Errors
    /// Returns an error if a key is unknown or invalid.
    pub fn new(schedule: plugin::Schedule, base: Map<String, Value>) -> Result<Self> {
        let mut keys = Keys::new(Kind::Schedule, schedule.name(), base)?;
        let name = keys.string("name")?.unwrap_or_else(|| schedule.name().to_owned());
        Ok(Schedule { name, schedule })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the class.
    pub fn class_name(&self) -> &str {
        self.schedule.name()
    }

    /// Returns the class name with its package, `package>Name`; without the package for the standard set.
    pub fn full_name(&self) -> String {
        self.schedule.full_name()
    }

    /// Returns the learning rate, which is finite.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails or returns an invalid learning rate.
    pub fn learning_rate(&self, when: &When) -> Result<f64> {
        self.schedule.learning_rate(when)
    }

    /// Returns the formula, or the reason why there is none.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails or its formula is invalid.
    pub fn formula(&self) -> Result<std::result::Result<Formula, String>> {
        self.schedule.formula()
    }

    /// Returns the complete configuration.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn get_config(&self) -> Result<Map<String, Value>> {
        let mut config = self.schedule.config()?;
        config.insert("name".into(), json!(self.name));
        Ok(config)
    }

    /// Returns an identifier that a host can resolve.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn serialize(&self) -> Result<Value> {
        let config = self.get_config()?;
        Ok(json!({
            "class_name": self.schedule.name(),
            "config": config,
            "registered_name": self.schedule.full_name(),
        }))
    }
}
