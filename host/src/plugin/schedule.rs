//! Learning-rate schedules of plug-ins.

use std::sync::Arc;

use plugfit_abi::ScheduleV1;
use plugfit_api::instance::Instance;
use plugfit_api::schedule::When;

use super::component::{ComponentHandle, component_type};
use crate::Result;

/// A learning-rate schedule of a plug-in.
#[derive(Clone)]
pub struct Schedule {
    component: Arc<ComponentHandle<ScheduleV1>>,
}

component_type!(Schedule, ScheduleV1, "schedule");

impl Schedule {
    pub(super) fn new(component: ComponentHandle<ScheduleV1>) -> Self {
        Schedule { component: Arc::new(component) }
    }

    /// Takes over a schedule that was created in this process. Errors call it `label`, or by its name if there is none.
    pub(crate) fn from_instance(instance: Instance<ScheduleV1>, label: Option<&str>) -> Self {
        Self::new(ComponentHandle::of_instance(instance, label))
    }

    pub(super) fn component(&self) -> &ComponentHandle<ScheduleV1> {
        &self.component
    }

    /// Returns the learning rate, which is finite.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails or its learning rate isn't finite.
    pub fn learning_rate(&self, when: &When) -> Result<f64> {
        let component = &*self.component;
        let call = when.raw();
        // SAFETY: the handle belongs to this table.
        let rate =
            component.checked(unsafe { (component.table.learning_rate)(component.handle, &component.host, &call) })?;
        if rate.is_finite() {
            return Ok(rate);
        }
        Err(component.contract_violation(&format!("returned a learning rate of {rate} at step {}", when.step)))
    }
}
