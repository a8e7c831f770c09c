//! A host that lends the plug-in's own components to each other, and nothing else.

use super::{
    components,
    made::{Made, Table},
    manifest,
    trial::Subject,
    SEED,
};
use crate::{Error, Result};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RStr},
    ComponentV1, Interface, Root,
};
use serde_json::{json, Value};
use std::ffi::c_void;

static LENDING: ComponentV1 = ComponentV1 { get };
static INTERFACE: Interface = Interface::of(&LENDING);

/// The host, for a component of this plug-in.
pub fn host(plugin: &'static Root) -> abi::Host {
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
    // SAFETY: the context of `host`.
    let plugin = unsafe { &*context.cast::<Root>() };
    let lent = match interface.as_str() {
        abi::LOSS_V1 => lend::<abi::LossV1>(plugin, "loss", &identifier),
        abi::OPTIMIZER_V1 => lend::<abi::OptimizerV1>(plugin, "optimizer", &identifier),
        abi::SCHEDULE_V1 => lend::<abi::ScheduleV1>(plugin, "schedule", &identifier),
        other => Err(Error::unsupported(format!("this test lends no {other}"))),
    };
    match lent {
        Ok(component) => RResult::ROk(component),
        Err(error) => RResult::RErr(error.into()),
    }
}

fn lend<T: Table>(plugin: &'static Root, kind: &str, identifier: &str) -> Result<abi::Component> {
    let identifier: Value = serde_json::from_str(identifier).unwrap_or_default();
    let name = identifier["class_name"].as_str().or(identifier.as_str()).unwrap_or_default();
    let mut config = identifier.get("config").cloned().unwrap_or_else(|| json!({}));
    if let (abi::OPTIMIZER_V1, Some(config)) = (T::ID, config.as_object_mut()) {
        // A rate is the host's affair: here it is that of what nests.
        config.remove("learning_rate");
    }
    let manifest = manifest(plugin).map_err(Error::other)?;
    if !components(&manifest).iter().any(|component| component["kind"] == kind && component["name"] == name) {
        return Err(Error::unsupported(format!("{name} is of another plug-in; this test lends what is in this one")));
    }
    let made = Made::<T>::new(Subject::new(plugin, SEED), name, &config)?;
    // SAFETY: the plug-in's function, called as the ABI says; null was refused when `made` was made.
    let interface = unsafe { (plugin.get_interface)(T::ID.as_ptr(), T::ID.len()) };
    let handle = made.handle;
    let owner = Box::into_raw(Box::new(made)).cast::<c_void>();
    Ok(abi::Component {
        interface: interface.cast(),
        handle,
        identifier: identifier.to_string().into(),
        owner,
        release: release::<T>,
    })
}

unsafe extern "C" fn release<T: Table>(owner: *const c_void) {
    // SAFETY: the owner of `lend`, given back once.
    drop(unsafe { Box::from_raw(owner.cast_mut().cast::<Made<T>>()) });
}
