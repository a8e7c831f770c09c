//! A host that provides only the plug-in's own components, to each other.

use super::{components, instance::Instance, manifest, subject::Subject, SEED};
use crate::{instance::Table, Error, Result};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RStr},
    ComponentV1, Interface, Root,
};
use serde_json::{json, Value};
use std::ffi::c_void;

static TABLE: ComponentV1 = ComponentV1 { get };
static INTERFACE: Interface = Interface::of(&TABLE);

impl Subject {
    /// Creates a subject whose host provides only the plug-in's own components.
    pub fn new(plugin: &'static Root, seed: u64) -> Self {
        Subject {
            plugin,
            host: host(plugin),
            seed,
            observe: None,
            allocate_guarded: None,
            reports_to_parent: false,
            fences: None,
        }
    }
}

/// Returns the host for components of this plug-in.
fn host(plugin: &'static Root) -> abi::Host {
    abi::Host { abi_version: abi::ABI_VERSION, context: std::ptr::from_ref(plugin).cast(), get_interface }
}

unsafe extern "C" fn get_interface(_: *const c_void, id: RStr<'_>) -> *const c_void {
    match id.as_str() {
        abi::COMPONENT_V1 => std::ptr::from_ref(&INTERFACE).cast(),
        _ => std::ptr::null(),
    }
}

unsafe extern "C" fn get(
    context: *const c_void,
    interface: RStr<'_>,
    identifier: RStr<'_>,
) -> RResult<abi::Component, abi::Error> {
    // SAFETY: `context` is the root that `host` stores, which is `'static`.
    let plugin = unsafe { &*context.cast::<Root>() };
    let created = match interface.as_str() {
        abi::LOSS_V1 => create_component::<abi::LossV1>(plugin, "loss", &identifier),
        abi::OPTIMIZER_V1 => create_component::<abi::OptimizerV1>(plugin, "optimizer", &identifier),
        abi::SCHEDULE_V1 => create_component::<abi::ScheduleV1>(plugin, "schedule", &identifier),
        other => Err(Error::unsupported(format!("this test provides no {other}"))),
    };
    created.map_err(Into::into).into()
}

/// Creates a component of the plug-in. Its owner is the boxed instance.
fn create_component<T: Table>(plugin: &'static Root, kind: &str, identifier: &str) -> Result<abi::Component> {
    let identifier: Value = serde_json::from_str(identifier).unwrap_or_default();
    let name = identifier["class_name"].as_str().or(identifier.as_str()).unwrap_or_default();
    let mut config = identifier.get("config").cloned().unwrap_or_else(|| json!({}));
    if let (abi::OPTIMIZER_V1, Some(config)) = (T::ID, config.as_object_mut()) {
        // The host handles the learning rate of an optimizer. Here the outer optimizer passes it.
        config.remove("learning_rate");
    }
    let manifest = manifest(plugin).map_err(Error::other)?;
    if !components(&manifest).iter().any(|component| component["kind"] == kind && component["name"] == name) {
        return Err(Error::unsupported(format!(
            "{name} isn't in this plug-in; this test provides only its own components"
        )));
    }
    let instance = Instance::<T>::new(Subject::new(plugin, SEED), name, &config)?;
    // SAFETY: the id is readable. The result isn't null, because `instance` was created through the same interface.
    let interface = unsafe { (plugin.get_interface)(T::ID.as_ptr(), T::ID.len()) };
    let handle = instance.handle;
    let owner = Box::into_raw(Box::new(instance)).cast::<c_void>();
    Ok(abi::Component {
        interface: interface.cast(),
        handle,
        identifier: identifier.to_string().into(),
        owner,
        release: release::<T>,
    })
}

unsafe extern "C" fn release<T: Table>(owner: *const c_void) {
    // SAFETY: `owner` is the box that `create_component` leaked, and the component is released once.
    drop(unsafe { Box::from_raw(owner.cast_mut().cast::<Instance<T>>()) });
}
