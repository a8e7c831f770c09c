//! What the wrappers of all kinds share: a component and its table, released once, and a plug-in's errors in words.

use std::sync::{Arc, Mutex, PoisonError};

use plugfit_abi::abi_stable::StableAbi;
use plugfit_abi::abi_stable::std_types::{ROption, RResult, RStr, RString};
use plugfit_abi::{self as abi, Handle, Interface, LossV1, MetricV1, OptimizerV1, ScheduleV1};
use plugfit_api::Inputs;
use plugfit_api::instance::Instance;
use serde_json::{Map, Value};

use super::load::Checked;
use super::{Door, Kind, Plugin, isolate};
use crate::{Error, Result};

type Create = unsafe extern "C" fn(&abi::Host, RStr<'_>, RStr<'_>, u32) -> RResult<Handle, abi::Error>;
type Read = unsafe extern "C" fn(Handle) -> RResult<RString, abi::Error>;

/// What the tables of all kinds begin with.
pub trait Table: StableAbi + Sync + 'static {
    const KIND: Kind;
    fn create(&self) -> Create;
    fn release(&self) -> unsafe extern "C" fn(Handle);
    fn config(&self) -> Read;
    fn instance_info(&self) -> Read;
}

macro_rules! tables {
    ($($type:ty: $kind:ident),*) => {$(
        impl Table for $type {
            const KIND: Kind = Kind::$kind;
            fn create(&self) -> Create {
                self.create
            }
            fn release(&self) -> unsafe extern "C" fn(Handle) {
                self.release
            }
            fn config(&self) -> Read {
                self.config
            }
            fn instance_info(&self) -> Read {
                self.instance_info
            }
        }
    )*};
}
tables!(LossV1: Loss, MetricV1: Metric, OptimizerV1: Optimizer, ScheduleV1: Schedule);

/// A component: its table, its handle, and what errors call it.
pub struct Owned<T: Table> {
    pub table: &'static T,
    pub interface: &'static Interface,
    pub handle: Handle,
    /// What every call passes.
    pub host: abi::Host,
    name: String,
    plugin: String,
    package: String,
    /// What `host` points at.
    _door: Arc<Door>,
}

// SAFETY: by the ABI's rules a component is shared between threads, and so are the host's functions.
unsafe impl<T: Table> Send for Owned<T> {}
// SAFETY: as above.
unsafe impl<T: Table> Sync for Owned<T> {}

/// The interface of a table that this process has; as the table, it lives for ever.
fn interface_of<T: Table>(table: &'static T) -> &'static Interface {
    static KNOWN: Mutex<Vec<&'static Interface>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let same = known.iter().find(|interface| std::ptr::addr_eq(interface.functions, table));
    if let Some(interface) = same {
        return interface;
    }
    let interface = Box::leak(Box::new(Interface::of(table)));
    known.push(interface);
    interface
}

impl<T: Table> Owned<T> {
    pub(super) fn create(
        offered: &Checked<T>,
        plugin: &Plugin,
        name: &str,
        config: &Map<String, Value>,
        version: u32,
        door: &Arc<Door>,
    ) -> Result<Self> {
        let host = door.host();
        let json = serde_json::to_string(config).map_err(|error| Error::usage(error.to_string()))?;
        let made = match plugin.isolated() {
            Some(isolated) => isolated.create(T::KIND, &host, name, &json, version),
            // SAFETY: the table was checked, and what is lent lives until the call returns.
            None => unsafe { (offered.table.create())(&host, RStr::from_str(name), RStr::from_str(&json), version) },
        };
        let owned = Owned {
            table: offered.table,
            interface: offered.interface,
            handle: NOTHING,
            host,
            name: name.to_owned(),
            plugin: plugin.label().to_owned(),
            package: plugin.name().to_owned(),
            _door: door.clone(),
        };
        owned.made(made)
    }

    fn made(mut self, made: RResult<Handle, abi::Error>) -> Result<Self> {
        match made {
            RResult::ROk(handle) if handle.pointer.is_null() => Err(self.mistake("gave no component")),
            RResult::ROk(handle) => {
                self.handle = handle;
                Ok(self)
            }
            RResult::RErr(error) => Err(self.error(error)),
        }
    }

    /// A component that was made in this process; it is taken over.
    pub fn of_instance(instance: Instance<T>, label: Option<&str>) -> Self {
        let (name, table, handle) = instance.into_parts();
        Self::of_no_plugin(label.unwrap_or(name), table, interface_of(table), handle)
    }

    fn of_no_plugin(label: &str, table: &'static T, interface: &'static Interface, handle: Handle) -> Self {
        let door = Arc::new(Door::closed());
        Owned {
            table,
            interface,
            handle,
            host: door.host(),
            name: label.to_owned(),
            plugin: label.to_owned(),
            package: String::new(),
            _door: door,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// "calibration>BrierScore".
    pub fn full_name(&self) -> String {
        if self.package.is_empty() { self.name.clone() } else { format!("{}>{}", self.package, self.name) }
    }

    pub fn config(&self) -> Result<Map<String, Value>> {
        self.json("configuration", self.table.config())
    }

    /// What depends on the configuration; unknown keys are passed over.
    pub fn info<I: serde::de::DeserializeOwned>(&self) -> Result<I> {
        self.json("instance_info", self.table.instance_info())
    }

    fn json<I: serde::de::DeserializeOwned>(&self, what: &str, read: Read) -> Result<I> {
        // SAFETY: the handle belongs to this table.
        let text = self.checked(unsafe { read(self.handle) })?;
        serde_json::from_str(&text).map_err(|error| self.mistake(&format!("gave a {what} that can't be read: {error}")))
    }

    pub fn checked<R>(&self, result: RResult<R, abi::Error>) -> Result<R> {
        match result {
            RResult::ROk(value) => Ok(value),
            RResult::RErr(error) => Err(self.error(error)),
        }
    }

    /// A plug-in's error in the host's words.
    #[cold]
    pub fn error(&self, error: abi::Error) -> Error {
        let message = error.message.as_str();
        match error.kind {
            abi::ERROR_CONFIG => {
                let field = error.field.as_ref().map(|field| field.as_str().to_owned()).into_option();
                let text = if message.starts_with(&self.name) {
                    message.to_owned()
                } else {
                    format!("{}: {message}", self.name)
                };
                let (first, rest) =
                    text.split_once('\n').map_or((text.as_str(), None), |(a, b)| (a, Some(b.to_owned())));
                let mut result = Error::usage(first);
                if let Some(field) = field {
                    result = result.with("in", field);
                }
                match rest {
                    Some(rest) => result.hint(rest),
                    None => result,
                }
            }
            isolate::CRASHED => {
                let mut result = Error::crash(format!("{} {message}", self.full_name()));
                if let ROption::RSome(said) = &error.place {
                    result = result.with("said", said.as_str());
                }
                let file = error.field.as_ref().map_or("FILE", |file| file.as_str());
                result
                    .with("of", self.plugin.clone())
                    .hint(format!("`plugfit check {file}` shows what is wrong with it"))
            }
            abi::ERROR_PANIC => {
                let place = error.place.as_ref().map(|place| format!(" at {place}")).into_option().unwrap_or_default();
                Error::plugin(format!("{} failed", self.full_name()))
                    .with("panic", format!("{message:?}{place} of {}", self.plugin))
            }
            abi::ERROR_INPUT | abi::ERROR_UNSUPPORTED => Error::failure(format!("{}: {message}", self.full_name())),
            abi::ERROR_CANCELLED => Error::interrupted(format!("{} was stopped", self.full_name())),
            _ => Error::plugin(format!("{} failed: {message}", self.full_name())).with("of", self.plugin.clone()),
        }
    }

    /// The plug-in broke its word.
    #[cold]
    pub fn mistake(&self, what: &str) -> Error {
        Error::plugin(format!("{} {what}", self.full_name()))
            .hint(format!("it is the plug-in's mistake: tell who wrote {}", self.plugin))
    }
}

impl<T: Table> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.handle.pointer.is_null() {
            // SAFETY: the handle belongs to this table, and is given back once.
            unsafe { (self.table.release())(self.handle) }
        }
    }
}

impl Owned<LossV1> {
    /// The C function that an isolated library has.
    pub fn of_function(isolated: &isolate::Isolated, label: &str) -> Result<Self> {
        let (table, interface) = isolate::loss();
        let owned = Self::of_no_plugin(label, table, interface, NOTHING);
        let made = isolated.create(Kind::Loss, &owned.host, label, "{}", 1);
        owned.made(made)
    }
}

/// Where there is no component yet.
const NOTHING: Handle = Handle { pointer: std::ptr::null_mut() };

/// Inputs that a component can have.
pub const MAX_INPUTS: usize = 8;

/// Gives `f` the inputs as they cross; nothing is allocated.
pub fn with_inputs<R>(inputs: &Inputs<'_>, f: impl FnOnce(&abi::Inputs<'_>) -> R) -> Result<R> {
    let tensors = inputs.tensors();
    let count = tensors.len();
    if count == 0 || count > MAX_INPUTS {
        return Err(Error::usage(format!("a component takes 1 to {MAX_INPUTS} inputs, not {count}")));
    }
    let named = |index: usize| {
        let (name, tensor) = tensors[index.min(count - 1)];
        abi::NamedTensor { name: RStr::from_str(name), tensor: tensor.raw() }
    };
    let with = |tensors: &[abi::NamedTensor<'_>]| {
        f(&abi::Inputs {
            tensors: tensors.into(),
            weight: inputs.weight().map(|weight| weight.raw()).into(),
            mask: inputs.mask().map(|mask| mask.raw()).into(),
        })
    };
    // Nearly all components take two, for which less is written.
    Ok(match count {
        2 => with(&[named(0), named(1)]),
        _ => with(&std::array::from_fn::<_, MAX_INPUTS, _>(named)[..count]),
    })
}
