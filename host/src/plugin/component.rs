//! What the components of all kinds share: a table and a handle, which is released once.

use std::sync::{Arc, Mutex};

use plugfit_abi::abi_stable::StableAbi;
use plugfit_abi::abi_stable::std_types::{RResult, RStr, RString};
use plugfit_abi::{self as abi, FormulaV1, Handle, Interface, LossV1, MetricV1, OptimizerV1, ScheduleV1};
use plugfit_api::instance::{self, DescribeFn, Instance};
use plugfit_api::manifest::not_shown;
use serde_json::{Map, Value};

use super::interface::Checked;
use super::isolate::{self, Isolated};
use super::shown_text::utf8;
use super::sync::lock_ignoring_poison;
use super::{HostCallbacks, Kind, bounds};
use crate::formula::Role;
use crate::text::printable_line;
use crate::{Error, Result};

/// The table of a kind of components.
pub trait Table: instance::Table + StableAbi + Sync {
    const KIND: Kind;
    const ROLE: Role;

    /// Returns the function that gives the formula of a component of this kind.
    fn formula(formulas: &FormulaV1) -> DescribeFn;
}

macro_rules! table {
    ($($kind:ident $table:ident $formula:ident;)*) => {$(
        impl Table for $table {
            const KIND: Kind = Kind::$kind;
            const ROLE: Role = Role::$kind;

            fn formula(formulas: &FormulaV1) -> DescribeFn {
                formulas.$formula
            }
        }
    )*};
}
table! {
    Loss LossV1 loss;
    Metric MetricV1 metric;
    Optimizer OptimizerV1 optimizer;
    Schedule ScheduleV1 schedule;
}

/// A component: its table, its handle, and its name in errors.
pub struct ComponentHandle<T: Table> {
    pub table: &'static T,
    pub interface: &'static Interface,
    pub handle: Handle,
    /// The table of formulas of its plug-in, if the plug-in offers one.
    pub formula: Option<&'static FormulaV1>,
    /// Passed to every call.
    pub host: abi::Host,
    pub name: String,
    pub plugin: String,
    pub package: String,
    /// Whether this is the program's own code, whose texts are trusted.
    pub is_own: bool,
    /// Whether errors of its table may have the host's own kinds: it is a proxy, or code of this program that passes on
    /// the errors of a proxy.
    pub gives_host_kinds: bool,
    /// Keeps the callbacks alive that `host` points to.
    _callbacks: Arc<HostCallbacks>,
}

// SAFETY: the ABI requires that components can be shared between threads, and so can the host's functions.
unsafe impl<T: Table> Send for ComponentHandle<T> {}
// SAFETY: the same as for `Send`.
unsafe impl<T: Table> Sync for ComponentHandle<T> {}

/// Returns the interface of a table in this process. Like the table, it is never freed.
fn interface_of<T: Table>(table: &'static T) -> &'static Interface {
    static KNOWN: Mutex<Vec<&'static Interface>> = Mutex::new(Vec::new());
    let mut known = lock_ignoring_poison(&KNOWN);
    let same = known.iter().find(|interface| std::ptr::addr_eq(interface.functions, table));
    if let Some(interface) = same {
        return interface;
    }
    let interface = Box::leak(Box::new(Interface::of(table)));
    known.push(interface);
    interface
}

impl<T: Table> ComponentHandle<T> {
    /// Creates the wrapper of a component that doesn't exist yet and belongs to no plug-in.
    pub fn new(interface: Checked<T>, name: &str, callbacks: Arc<HostCallbacks>) -> Self {
        ComponentHandle {
            table: interface.table,
            interface: interface.interface,
            handle: Handle { pointer: std::ptr::null_mut() },
            formula: None,
            host: callbacks.host(),
            name: name.to_owned(),
            plugin: name.to_owned(),
            package: String::new(),
            is_own: false,
            gives_host_kinds: true,
            _callbacks: callbacks,
        }
    }

    /// Sets the plug-in of the component: its name with its version, and its name.
    pub fn of_plugin(mut self, label: &str, package: &str, gives_host_kinds: bool) -> Self {
        (self.plugin, self.package) = (label.to_owned(), package.to_owned());
        self.gives_host_kinds = gives_host_kinds;
        self
    }

    /// Sets the table of formulas, which is one of the plug-in's.
    pub fn with_formula(mut self, formula: Option<&'static FormulaV1>) -> Self {
        self.formula = formula;
        self
    }

    /// Creates the component, in its worker if it has one.
    pub fn create(mut self, isolated: Option<&Isolated>, config: &str, version: u32) -> Result<Self> {
        let created = match isolated {
            Some(isolated) => isolated.create(T::KIND, &self.host, &self.name, config, version),
            // SAFETY: the table was checked, and the arguments outlive the call.
            None => unsafe {
                (self.table.create())(&self.host, RStr::from_str(&self.name), RStr::from_str(config), version)
            },
        };
        self.handle = self.checked(created)?;
        match self.handle.pointer.is_null() {
            true => Err(self.contract_violation("returned no component")),
            false => Ok(self),
        }
    }

    /// Takes over a component that was created in this process. Errors call it `label`, or by its name if there is
    /// none.
    pub fn of_instance(instance: Instance<T>, label: Option<&str>) -> Self {
        let (name, table, handle) = instance.into_parts();
        let interface = Checked { interface: interface_of(table), table };
        let mut component = Self::new(interface, label.unwrap_or(name), Arc::new(HostCallbacks::closed()));
        (component.handle, component.is_own) = (handle, true);
        component.with_formula(Some(plugfit_api::instance::formula_v1()))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Returns the name with its package, such as "calibration>BrierScore".
    pub fn full_name(&self) -> String {
        if self.package.is_empty() { self.name.clone() } else { format!("{}>{}", self.package, self.name) }
    }

    /// Returns whether the other component has the same plug-in, name and configuration.
    pub fn is_same_as(&self, other: &Self) -> Result<bool> {
        let is_of_same_class = std::ptr::eq(self.table, other.table)
            && (&self.plugin, &self.package, &self.name) == (&other.plugin, &other.package, &other.name);
        Ok(is_of_same_class && self.config()? == other.config()?)
    }

    pub fn config(&self) -> Result<Map<String, Value>> {
        self.json("configuration", self.table.config())
    }

    /// Returns the `instance_info`, which depends on the configuration. Unknown keys are ignored.
    pub fn info<I: serde::de::DeserializeOwned>(&self) -> Result<I> {
        let info = self.json::<Value>("instance_info", self.table.instance_info())?;
        if let Some(text) = not_shown(&info, false) {
            return Err(
                self.contract_violation(&format!("returned an instance_info with control characters: {text:?}"))
            );
        }
        serde_json::from_value(info).map_err(|error| self.unreadable("instance_info", &error))
    }

    fn json<I: serde::de::DeserializeOwned>(&self, what: &str, read: DescribeFn) -> Result<I> {
        // SAFETY: the handle belongs to this table.
        let text = self.checked(unsafe { read(self.handle) })?;
        let text = self.text(&text, bounds::MAX_JSON_LENGTH, what)?;
        serde_json::from_str(text).map_err(|error| self.unreadable(what, &error))
    }

    fn unreadable(&self, what: &str, error: &serde_json::Error) -> Error {
        self.contract_violation(&format!("returned a {what} that can't be read: {error}"))
    }

    /// Checks a text of the plug-in, which may not be UTF-8 despite its type. `what` names the text, without an
    /// article.
    pub fn text<'t>(&self, text: &'t RString, most: usize, what: &str) -> Result<&'t str> {
        if text.len() > most {
            return Err(self.contract_violation(&bounds::too_long(what, text.len(), most)));
        }
        utf8(text).ok_or_else(|| self.contract_violation(&format!("returned a {what} that isn't UTF-8")))
    }

    /// Checks a name of the plug-in, which is shown in tables and messages.
    pub fn short_name<'t>(&self, name: &'t RString, what: &str) -> Result<&'t str> {
        let text = self.text(name, bounds::MAX_NAME_LENGTH, what)?;
        match printable_line(text) == text {
            true => Ok(text),
            false => Err(self.contract_violation(&format!("returned a {what} with control characters: {text:?}"))),
        }
    }

    /// Refuses more than `most` items; `what` names them in the plural.
    pub fn at_most(&self, found: usize, most: usize, what: &str) -> Result<()> {
        bounds::check(found, most, what).map_err(|message| self.contract_violation(&message))
    }

    pub fn checked<R>(&self, result: RResult<R, abi::Error>) -> Result<R> {
        match result {
            RResult::ROk(value) => Ok(value),
            RResult::RErr(error) => Err(self.error(error)),
        }
    }
}

impl<T: Table> Drop for ComponentHandle<T> {
    fn drop(&mut self) {
        if !self.handle.pointer.is_null() {
            // SAFETY: the handle belongs to this table, and is released once.
            unsafe { (self.table.release())(self.handle) }
        }
    }
}

impl ComponentHandle<LossV1> {
    /// Creates the loss of an isolated library's C function.
    pub fn of_function(isolated: &Isolated, label: &str) -> Result<Self> {
        Self::new(isolate::loss(), label, Arc::new(HostCallbacks::closed())).create(Some(isolated), "{}", 1)
    }
}

/// Implements what the types of all kinds of components have in common.
macro_rules! component_type {
    ($type:ident, $table:ty, $kind:literal) => {
        impl From<plugfit_api::instance::Instance<$table>> for $type {
            fn from(instance: plugfit_api::instance::Instance<$table>) -> Self {
                Self::from_instance(instance, None)
            }
        }

        impl $type {
            #[doc = concat!("Returns the ", $kind, "'s name.")]
            pub fn name(&self) -> &str {
                self.component().name()
            }

            /// Returns the name with that of its plug-in before it.
            pub fn full_name(&self) -> String {
                self.component().full_name()
            }

            /// Returns name and version of its plug-in.
            pub fn plugin(&self) -> &str {
                self.component().plugin()
            }

            /// Returns every key of its own configuration.
            ///
            /// # Errors
            /// Returns an error if the plug-in fails.
            pub fn config(&self) -> $crate::Result<serde_json::Map<String, serde_json::Value>> {
                self.component().config()
            }

            #[doc = concat!("Returns the ", $kind, "'s formula, or the reason why it has none.")]
            ///
            /// # Errors
            /// Returns an error if the plug-in fails or its formula is invalid.
            pub fn formula(&self) -> $crate::Result<std::result::Result<$crate::formula::Formula, String>> {
                self.component().formula()
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.full_name())
            }
        }
    };
}
pub(super) use component_type;
