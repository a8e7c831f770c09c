//! Components, made and called through their tables.

use super::{
    fences::{Borders, Fences},
    trial::Subject,
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

/// What all tables have.
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

/// The table of a plug-in with this id.
///
/// # Safety
/// `T` is the table that the ABI has for the id.
pub unsafe fn table<T>(plugin: &'static Root, id: &str) -> Result<&'static T> {
    // SAFETY: as the ABI says, an interface that lives as long as the process, or null.
    let interface = unsafe { (plugin.get_interface)(id.as_ptr(), id.len()).as_ref() };
    match interface.filter(|interface: &&Interface| interface.size == std::mem::size_of::<T>()) {
        // SAFETY: the same crate made both, so that the layout is this one.
        Some(interface) => Ok(unsafe { &*interface.functions.cast::<T>() }),
        None => Err(Error::unsupported(format!("the plug-in offers no {id}"))),
    }
}

pub fn back<T>(result: RResult<T, abi::Error>) -> Result<T> {
    match result {
        RResult::ROk(value) => Ok(value),
        RResult::RErr(error) => Err(error.into()),
    }
}

/// A component.
pub struct Made<T: Table> {
    pub table: &'static T,
    pub handle: Handle,
    /// What every call is given.
    pub host: abi::Host,
    /// What the buffers of its calls lie between, if that is tried.
    pub fences: Option<&'static Fences>,
}

// SAFETY: by the ABI's rules a component is shared between threads, and so is a host.
unsafe impl<T: Table> Send for Made<T> {}
// SAFETY: as above.
unsafe impl<T: Table> Sync for Made<T> {}

/// What a component of any kind says of itself.
pub trait Described {
    fn config(&self) -> Result<Value>;
    fn info(&self) -> Result<Value>;
}

impl<T: Table> Described for Made<T> {
    fn config(&self) -> Result<Value> {
        self.described(self.table.config())
    }

    fn info(&self) -> Result<Value> {
        self.described(self.table.instance_info())
    }
}

impl<T: Table> Made<T> {
    pub fn new(subject: Subject, name: &str, config: &Value) -> Result<Self> {
        // SAFETY: the id of this table.
        let table = unsafe { table::<T>(subject.plugin, T::ID) }?;
        let (config, host) = (config.to_string(), subject.host);
        // SAFETY: a function of a table, called as the ABI says; so below.
        let handle = unsafe { (table.create())(&host, RStr::from_str(name), RStr::from_str(&config), 1) };
        let handle = back(handle)?;
        match handle.pointer.is_null() {
            true => Err(Error::other("gave no component, and no error")),
            false => Ok(Made { table, handle, host, fences: subject.fences }),
        }
    }

    fn described(&self, describe: Describe) -> Result<Value> {
        // SAFETY: the handle belongs to this table.
        let text = back(unsafe { describe(self.handle) })?;
        serde_json::from_str(&text).map_err(|error| Error::other(format!("gives no JSON ({error}): {text}")))
    }
}

impl<T: Table> Drop for Made<T> {
    fn drop(&mut self) {
        // SAFETY: given back once.
        unsafe { (self.table.release())(self.handle) }
    }
}

impl<T: Table> Made<T> {
    /// Gives `f` inputs as they cross.
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

    /// The borders of the buffers of one call.
    pub fn borders(&self) -> Borders {
        Borders::new(self.fences)
    }
}
