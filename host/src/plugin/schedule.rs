use std::fmt;
use std::sync::Arc;

use plugfit_abi::abi_stable::std_types::RStr;
use plugfit_abi::{self as abi, Handle, Interface, ScheduleV1};
use plugfit_api::instance::Instance;
use plugfit_api::schedule::When;
use serde_json::{Map, Value};

use super::component::Owned;
use crate::Result;

/// A learning-rate schedule of a plug-in.
#[derive(Clone)]
pub struct Schedule {
    owned: Arc<Owned<ScheduleV1>>,
}

impl From<Instance<ScheduleV1>> for Schedule {
    fn from(instance: Instance<ScheduleV1>) -> Self {
        Schedule::from_instance(instance, None)
    }
}

impl Schedule {
    pub(super) fn new(owned: Owned<ScheduleV1>) -> Self {
        Schedule { owned: Arc::new(owned) }
    }

    /// A schedule that was made in this process, and is taken over; `label` is what errors call it, if not by its name.
    pub(crate) fn from_instance(instance: Instance<ScheduleV1>, label: Option<&str>) -> Self {
        Self::new(Owned::of_instance(instance, label))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.owned.name()
    }

    /// Its name with its plug-in's before it.
    pub fn full_name(&self) -> String {
        self.owned.full_name()
    }

    /// Its plug-in and version.
    pub fn plugin(&self) -> &str {
        self.owned.plugin()
    }

    /// Every key of its own configuration.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn config(&self) -> Result<Map<String, Value>> {
        self.owned.config()
    }

    pub(super) fn interface(&self) -> &'static Interface {
        self.owned.interface
    }

    pub(super) fn handle(&self) -> Handle {
        self.owned.handle
    }

    /// The learning rate; finite.
    ///
    /// # Errors
    /// The plug-in fails, or gives what is no learning rate.
    pub fn learning_rate(&self, when: &When) -> Result<f64> {
        let owned = &*self.owned;
        let call = abi::ScheduleCall {
            step: when.step,
            epoch: when.epoch,
            steps_per_epoch: when.steps_per_epoch.and_then(|steps| i64::try_from(steps).ok()).unwrap_or(abi::NONE),
            extras: RStr::from_str(""),
        };
        // SAFETY: the handle belongs to this table.
        let rate = owned.checked(unsafe { (owned.table.learning_rate)(owned.handle, &owned.host, &call) })?;
        if rate.is_finite() {
            return Ok(rate);
        }
        Err(owned.mistake(&format!("gave a learning rate of {rate} at step {}", when.step)))
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name())
    }
}
