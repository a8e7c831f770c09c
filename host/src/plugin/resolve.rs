//! Resolves the components that plug-ins request from the host.

use std::ffi::c_void;

use plugfit_abi::{self as abi, Handle, Interface};
use serde_json::{Value, json};

use super::component::{ComponentHandle, Table};
use super::host_callbacks::ComponentProvider;
use super::{Kind, Loss, Metric, Nested, Optimizer, Schedule};
use crate::Result;

/// Finds components for plug-ins.
pub trait Resolve: Send + Sync {
    /// Resolves an identifier to a component.
    ///
    /// # Errors
    /// Returns an error if there is no such component.
    fn resolve(&self, kind: Kind, identifier: &Value) -> Result<Resolved>;

    /// Resolves an identifier to an optimizer that is nested in another one.
    ///
    /// # Errors
    /// Returns an error if there is no such optimizer, or if its configuration has keys that only the outer optimizer
    /// supports.
    fn nested(&self, identifier: &Value) -> Result<Nested>;
}

/// A component of any kind.
pub enum Resolved {
    /// A loss.
    Loss(Loss),
    /// A metric.
    Metric(Metric),
    /// An optimizer.
    Optimizer(Optimizer),
    /// A schedule.
    Schedule(Schedule),
}

impl<R: Resolve> ComponentProvider for R {
    fn component(&self, kind: Kind, identifier: &Value) -> Result<abi::Component> {
        if kind == Kind::Optimizer {
            return Ok(self.nested(identifier)?.into_component());
        }
        let resolved = self.resolve(kind, identifier)?;
        let (interface, handle, identifier) = match &resolved {
            Resolved::Loss(loss) => parts(loss.component()),
            Resolved::Metric(metric) => parts(metric.component()),
            Resolved::Optimizer(optimizer) => parts(optimizer.component()),
            Resolved::Schedule(schedule) => parts(schedule.component()),
        }?;
        Ok(abi::Component {
            interface: std::ptr::from_ref(interface).cast(),
            handle,
            identifier: identifier.into(),
            owner: Box::into_raw(Box::new(resolved)).cast::<c_void>(),
            release,
        })
    }
}

/// Returns the interface, the handle and the identifier of a component.
fn parts<T: Table>(component: &ComponentHandle<T>) -> Result<(&'static Interface, Handle, String)> {
    let identifier = json!({"class_name": component.full_name(), "config": component.config()?}).to_string();
    Ok((component.interface, component.handle, identifier))
}

unsafe extern "C" fn release(owner: *const c_void) {
    // SAFETY: `owner` comes from `component` and is released once. The component's own release doesn't unwind.
    drop(unsafe { Box::from_raw(owner.cast_mut().cast::<Resolved>()) });
}
