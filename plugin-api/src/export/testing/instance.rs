//! Instances of components, created and called through the tables of a plug-in.

use super::{
    fences::{Borders, Fences},
    tested::Subject,
};
use crate::{Error, Inputs, Result};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString},
    Handle, Interface, Root,
};
use serde_json::Value;

type Create = unsafe extern "C" fn(
    host: &abi::Host,
    name: RStr<'_>,
    config: RStr<'_>,
    version: u32,
) -> RResult<Handle, abi::Error>;
type Describe = unsafe extern "C" fn(Handle) -> RResult<RString, abi::Error>;

/// The functions that all tables have.
pub trait Table: 'static {
    const ID: &'static str;
    fn create(&self) -> Create;
    fn release(&self) -> unsafe extern "C" fn(Handle);
    fn config(&self) -> Describe;
    fn instance_info(&self) -> Describe;
}

macro_rules! table {
    ($($table:ident, $id:ident;)*) => {
        $(impl Table for abi::$table {
            const ID: &'static str = abi::$id;
            fn create(&self) -> Create {
                self.create
            }
            fn release(&self) -> unsafe extern "C" fn(Handle) {
                self.release
            }
            fn config(&self) -> Describe {
                self.config
            }
            fn instance_info(&self) -> Describe {
                self.instance_info
            }
        })*
    };
}
table! {
    LossV1, LOSS_V1;
    MetricV1, METRIC_V1;
    OptimizerV1, OPTIMIZER_V1;
    ScheduleV1, SCHEDULE_V1;
}

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

/// Converts a result of the ABI.
pub fn back<T>(result: RResult<T, abi::Error>) -> Result<T> {
    match result {
        RResult::ROk(value) => Ok(value),
        RResult::RErr(error) => Err(error.into()),
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
pub trait Described {
    fn config(&self) -> Result<Value>;
    fn info(&self) -> Result<Value>;
}

impl<T: Table> Described for Instance<T> {
    fn config(&self) -> Result<Value> {
        self.described(self.table.config())
    }

    fn info(&self) -> Result<Value> {
        self.described(self.table.instance_info())
    }
}

impl<T: Table> Instance<T> {
    pub fn new(subject: Subject, name: &str, config: &Value) -> Result<Self> {
        // SAFETY: `T::ID` is the id of the table `T`.
        let table = unsafe { table::<T>(subject.plugin, T::ID) }?;
        let (config, host) = (config.to_string(), subject.host);
        // SAFETY: the host and the texts are valid during the call.
        let handle = unsafe { (table.create())(&host, RStr::from_str(name), RStr::from_str(&config), 1) };
        let handle = back(handle)?;
        match handle.pointer.is_null() {
            true => Err(Error::other("gave no component, and no error")),
            false => Ok(Instance { table, handle, host, fences: subject.fences }),
        }
    }

    fn described(&self, describe: Describe) -> Result<Value> {
        // SAFETY: the handle belongs to the table.
        let text = back(unsafe { describe(self.handle) })?;
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
