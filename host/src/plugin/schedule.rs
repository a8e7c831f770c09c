//! Learning-rate schedules of plug-ins.

use std::fmt;
use std::sync::Arc;

use plugfit_abi::abi_stable::std_types::RStr;
use plugfit_abi::{self as abi, Handle, Interface, ScheduleV1};
use plugfit_api::instance::Instance;
use plugfit_api::schedule::When;
use serde_json::{Map, Value};

use super::component::ComponentHandle;
use crate::Result;

/// A learning-rate schedule of a plug-in.
#[derive(Clone)]
pub struct Schedule {
    component: Arc<ComponentHandle<ScheduleV1>>,
}

impl From<Instance<ScheduleV1>> for Schedule {
    fn from(instance: Instance<ScheduleV1>) -> Self {
        Schedule::from_instance(instance, None)
    }
}

impl Schedule {
    pub(super) fn new(component: ComponentHandle<ScheduleV1>) -> Self {
        Schedule { component: Arc::new(component) }
    }

    /// Takes over a schedule that was created in this process. Errors call it `label`, or by its name if there is none.
    pub(crate) fn from_instance(instance: Instance<ScheduleV1>, label: Option<&str>) -> Self {
        Self::new(ComponentHandle::of_instance(instance, label))
    }

    /// Returns the schedule's name.
    pub fn name(&self) -> &str {
        self.component.name()
    }

    /// Returns the name with that of its plug-in before it.
    pub fn full_name(&self) -> String {
        self.component.full_name()
    }

    /// Returns name and version of its plug-in.
    pub fn plugin(&self) -> &str {
        self.component.plugin()
    }

    /// Returns every key of its own configuration.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn config(&self) -> Result<Map<String, Value>> {
        self.component.config()
    }

    pub(super) fn interface(&self) -> &'static Interface {
        self.component.interface
    }

    pub(super) fn handle(&self) -> Handle {
        self.component.handle
    }

    /// Returns the learning rate, which is finite.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails or its learning rate isn't finite.
    pub fn learning_rate(&self, when: &When) -> Result<f64> {
        let component = &*self.component;
        let call = abi::ScheduleCall {
            step: when.step,
            epoch: when.epoch,
            steps_per_epoch: when.steps_per_epoch.and_then(|steps| i64::try_from(steps).ok()).unwrap_or(abi::NONE),
            extras: RStr::from_str(""),
        };
        // SAFETY: the handle belongs to this table.
        let rate =
            component.checked(unsafe { (component.table.learning_rate)(component.handle, &component.host, &call) })?;
        if rate.is_finite() {
            return Ok(rate);
        }
        Err(component.mistake(&format!("gave a learning rate of {rate} at step {}", when.step)))
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name())
    }
}
