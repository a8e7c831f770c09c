//! Instances of components, created and called through the tables of a plug-in.

use super::{
    fences::{Borders, Fences},
    subject::Subject,
};
use crate::{
    error::into_result,
    instance::{DescribeFn, Table},
    Error, Inputs, Result,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RSlice, RStr},
    Handle, Interface, Root,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Returns the table of a plug-in with this id.
///
/// # Errors
/// Returns an error if the plug-in has no such table.
///
/// # Safety
/// `T` must be the type of the table with this id in the ABI.
pub unsafe fn table<T>(plugin: &'static Root, id: &str) -> Result<&'static T> {
    // SAFETY: the id is readable; the result is null or an interface that lives as long as the process.
    let interface = unsafe { (plugin.get_interface)(id.as_ptr(), id.len()).as_ref() };
    match interface.filter(|interface: &&Interface| interface.size == std::mem::size_of::<T>()) {
        // SAFETY: the caller guarantees the type for the id, and the sizes match.
        Some(interface) => Ok(unsafe { &*interface.functions.cast::<T>() }),
        None => Err(Error::unsupported(format!("the plug-in offers no {id}"))),
    }
}

/// An instance of a component, released on drop.
pub struct Instance<T: Table> {
    pub table: &'static T,
    pub handle: Handle,
    /// The host that every call receives.
    pub host: abi::Host,
    /// The margins around the buffers of its calls, if they are tested.
    pub fences: Option<&'static Fences>,
}

// SAFETY: the ABI allows any thread to use a component and a host.
unsafe impl<T: Table> Send for Instance<T> {}
// SAFETY: as above.
unsafe impl<T: Table> Sync for Instance<T> {}

/// The configuration and the info of an instance of any kind.
pub trait Describe {
    fn config(&self) -> Result<Value>;
    fn info(&self) -> Result<Value>;
}

impl<T: Table> Describe for Instance<T> {
    fn config(&self) -> Result<Value> {
        self.describe(self.table.config())
    }

    fn info(&self) -> Result<Value> {
        self.describe(self.table.instance_info())
    }
}

impl<T: Table> Instance<T> {
    pub fn new(subject: Subject, name: &str, config: &Value) -> Result<Self> {
        // SAFETY: `T::ID` is the id of the table `T`.
        let table = unsafe { table::<T>(subject.plugin, T::ID) }?;
        let (config, host) = (config.to_string(), subject.host);
        // SAFETY: the host and the texts are valid during the call.
        let handle = unsafe { (table.create())(&host, RStr::from_str(name), RStr::from_str(&config), 1) };
        let handle = into_result(handle)?;
        match handle.pointer.is_null() {
            true => Err(Error::other("returned no component, and no error")),
            false => Ok(Instance { table, handle, host, fences: subject.fences }),
        }
    }

    /// Returns the info as the type of its kind.
    pub fn typed_info<I: DeserializeOwned>(&self) -> Result<I> {
        serde_json::from_value(self.info()?).map_err(|error| Error::other(format!("its info is invalid: {error}")))
    }

    fn describe(&self, describe: DescribeFn) -> Result<Value> {
        // SAFETY: the handle belongs to the table.
        let text = into_result(unsafe { describe(self.handle) })?;
        serde_json::from_str(&text).map_err(|error| Error::other(format!("gives no JSON ({error}): {text}")))
    }
}

impl<T: Table> Drop for Instance<T> {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to the table, and it is released once.
        unsafe { (self.table.release())(self.handle) }
    }
}

impl<T: Table> Instance<T> {
    /// Calls `f` with the inputs in the ABI's form, in fenced copies if margins are tested.
    pub fn with_raw<R>(&self, inputs: &Inputs<'_>, f: impl FnOnce(&abi::Inputs<'_>) -> R) -> R {
        let mut borders = Borders::new(self.fences);
        let named = inputs.tensors().iter();
        let tensors: Vec<abi::NamedTensor<'_>> = named
            .map(|(name, tensor)| abi::NamedTensor {
                name: RStr::from_str(name),
                tensor: borders.input(name, tensor.raw()),
            })
            .collect();
        let weight = inputs.weight().map(|weight| borders.input("sample_weight", weight.raw()));
        f(&abi::Inputs { tensors: RSlice::from_slice(&tensors), weight: weight.into(), mask: ROption::RNone })
    }

    /// Returns the borders for the buffers of one call.
    pub fn borders(&self) -> Borders {
        Borders::new(self.fences)
    }
}
