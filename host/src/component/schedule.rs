//! A learning-rate schedule with a name.

use plugfit_api::schedule::When;
use serde_json::{Map, Value, json};

use super::keys::Keys;
use crate::Result;
use crate::plugin::{self, Kind};

/// A learning-rate schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    name: String,
    schedule: plugin::Schedule,
}

impl Schedule {
    /// A schedule with the host's keys of its configuration: name.
    ///
    /// # Errors
    /// One of them can't be.
    pub fn new(schedule: plugin::Schedule, base: Map<String, Value>) -> Result<Self> {
        let mut keys = Keys::new(Kind::Schedule, schedule.name(), base)?;
        let name = keys.string("name")?.unwrap_or_else(|| schedule.name().to_owned());
        Ok(Schedule { name, schedule })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its class's name.
    pub fn class_name(&self) -> &str {
        self.schedule.name()
    }

    /// Its class's name after its plug-in's, `package>Name`, but for one of the standard set.
    pub fn full_name(&self) -> String {
        self.schedule.full_name()
    }

    /// The learning rate; finite.
    ///
    /// # Errors
    /// The plug-in fails, or gives what is no learning rate.
    pub fn learning_rate(&self, when: &When) -> Result<f64> {
        self.schedule.learning_rate(when)
    }

    /// Its whole configuration.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn get_config(&self) -> Result<Map<String, Value>> {
        let mut config = self.schedule.config()?;
        config.insert("name".into(), json!(self.name));
        Ok(config)
    }

    /// As an identifier that a host reads.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn serialize(&self) -> Result<Value> {
        let config = self.get_config()?;
        Ok(json!({
            "class_name": self.schedule.name(),
            "config": config,
            "registered_name": self.schedule.full_name(),
        }))
    }
}
