//! Code that the wrappers of all kinds share: a component's table and handle, released once, and the conversion of a
//! plug-in's errors.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use plugfit_abi::abi_stable::StableAbi;
use plugfit_abi::abi_stable::std_types::{ROption, RResult, RStr, RString};
use plugfit_abi::{self as abi, Handle, Interface, LossV1, MetricV1, OptimizerV1, ScheduleV1};
use plugfit_api::Inputs;
use plugfit_api::instance::Instance;
use plugfit_api::manifest::not_shown;
use serde_json::{Map, Value};

use super::load::Checked;
use super::{HostCallbacks, Kind, Origin, Plugin, bounds, isolate};
use crate::text::{cut, one_line};
use crate::{Error, Result};

type Create = unsafe extern "C" fn(&abi::Host, RStr<'_>, RStr<'_>, u32) -> RResult<Handle, abi::Error>;
type Read = unsafe extern "C" fn(Handle) -> RResult<RString, abi::Error>;

/// The functions that the tables of all kinds begin with.
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

/// A component: its table, its handle, and its name in errors.
pub struct ComponentHandle<T: Table> {
    pub table: &'static T,
    pub interface: &'static Interface,
    pub handle: Handle,
    /// Passed to every call.
    pub host: abi::Host,
    name: String,
    plugin: String,
    package: String,
    /// Whether this is the program's own code, whose texts are trusted.
    pub is_own: bool,
    /// Whether errors of its table may have the host's own kinds: it is a proxy, or code of this program that passes on
    /// the errors of a proxy.
    gives_host_kinds: bool,
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
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let same = known.iter().find(|interface| std::ptr::addr_eq(interface.functions, table));
    if let Some(interface) = same {
        return interface;
    }
    let interface = Box::leak(Box::new(Interface::of(table)));
    known.push(interface);
    interface
}

impl<T: Table> ComponentHandle<T> {
    pub(super) fn create(
        offered: &Checked<T>,
        plugin: &Plugin,
        name: &str,
        config: &Map<String, Value>,
        version: u32,
        callbacks: &Arc<HostCallbacks>,
    ) -> Result<Self> {
        let _making = Making::begin(name)?;
        let host = callbacks.host();
        let json = serde_json::to_string(config).map_err(|error| Error::usage(error.to_string()))?;
        let created = match plugin.isolated() {
            Some(isolated) => isolated.create(T::KIND, &host, name, &json, version),
            // SAFETY: the table was checked, and the arguments outlive the call.
            None => unsafe { (offered.table.create())(&host, RStr::from_str(name), RStr::from_str(&json), version) },
        };
        let component = ComponentHandle {
            table: offered.table,
            interface: offered.interface,
            handle: NULL_HANDLE,
            host,
            name: name.to_owned(),
            plugin: plugin.label().to_owned(),
            package: plugin.name().to_owned(),
            is_own: false,
            gives_host_kinds: plugin.isolated().is_some() || plugin.origin() == &Origin::BuiltIn,
            _callbacks: callbacks.clone(),
        };
        component.with_handle(created)
    }

    fn with_handle(mut self, created: RResult<Handle, abi::Error>) -> Result<Self> {
        match created {
            RResult::ROk(handle) if handle.pointer.is_null() => Err(self.mistake("gave no component")),
            RResult::ROk(handle) => {
                self.handle = handle;
                Ok(self)
            }
            RResult::RErr(error) => Err(self.error(error)),
        }
    }

    /// Takes over a component that was created in this process. Errors call it `label`, or by its name if there is
    /// none.
    pub fn of_instance(instance: Instance<T>, label: Option<&str>) -> Self {
        let (name, table, handle) = instance.into_parts();
        let mut component = Self::of_no_plugin(label.unwrap_or(name), table, interface_of(table), handle);
        component.is_own = true;
        component
    }

    fn of_no_plugin(label: &str, table: &'static T, interface: &'static Interface, handle: Handle) -> Self {
        let callbacks = Arc::new(HostCallbacks::closed());
        ComponentHandle {
            table,
            interface,
            handle,
            host: callbacks.host(),
            name: label.to_owned(),
            plugin: label.to_owned(),
            package: String::new(),
            is_own: false,
            gives_host_kinds: true,
            _callbacks: callbacks,
        }
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

    pub fn config(&self) -> Result<Map<String, Value>> {
        self.json("configuration", self.table.config())
    }

    /// Returns the `instance_info`, which depends on the configuration. Unknown keys are ignored.
    pub fn info<I: serde::de::DeserializeOwned>(&self) -> Result<I> {
        let info = self.json::<Value>("instance_info", self.table.instance_info())?;
        if let Some(text) = not_shown(&info, false) {
            return Err(self.mistake(&format!("gave an instance_info with control characters: {text:?}")));
        }
        serde_json::from_value(info).map_err(|error| self.unreadable("instance_info", &error))
    }

    fn json<I: serde::de::DeserializeOwned>(&self, what: &str, read: Read) -> Result<I> {
        // SAFETY: the handle belongs to this table.
        let text = self.checked(unsafe { read(self.handle) })?;
        let text = self.text(&text, bounds::JSON, what)?;
        serde_json::from_str(text).map_err(|error| self.unreadable(what, &error))
    }

    fn unreadable(&self, what: &str, error: &serde_json::Error) -> Error {
        self.mistake(&format!("gave a {what} that can't be read: {error}"))
    }

    /// Checks a text of the plug-in, which may not be UTF-8 despite its type. `what` names the text, without an
    /// article.
    pub fn text<'t>(&self, text: &'t RString, most: usize, what: &str) -> Result<&'t str> {
        if text.len() > most {
            return Err(self.mistake(&bounds::too_long(what, text.len(), most)));
        }
        utf8(text).ok_or_else(|| self.mistake(&format!("gave a {what} that isn't UTF-8")))
    }

    /// Checks a name of the plug-in, which is shown in tables and messages.
    pub fn short_name<'t>(&self, name: &'t RString, what: &str) -> Result<&'t str> {
        let text = self.text(name, bounds::NAME, what)?;
        match one_line(text) == text {
            true => Ok(text),
            false => Err(self.mistake(&format!("gave a {what} with control characters: {text:?}"))),
        }
    }

    /// Refuses more than `most` items; `what` names them in the plural.
    pub fn at_most(&self, found: usize, most: usize, what: &str) -> Result<()> {
        bounds::check(found, most, what).map_err(|message| self.mistake(&message))
    }

    pub fn checked<R>(&self, result: RResult<R, abi::Error>) -> Result<R> {
        match result {
            RResult::ROk(value) => Ok(value),
            RResult::RErr(error) => Err(self.error(error)),
        }
    }

    /// Converts a plug-in's error to the host's.
    #[cold]
    pub fn error(&self, error: abi::Error) -> Error {
        let message = self.lossy(&error.message);
        let message = &*message;
        let line = |text: &RString| shown_line(&self.lossy(text));
        let kind = match error.kind {
            isolate::CRASHED | isolate::MISTAKEN if !self.gives_host_kinds => abi::ERROR_OTHER,
            kind => kind,
        };
        match kind {
            abi::ERROR_CONFIG => {
                let field = error.field.as_ref().map(line).into_option();
                let text = if message.starts_with(&self.name) {
                    message.to_owned()
                } else {
                    format!("{}: {message}", self.name)
                };
                let mut lines = text.lines();
                let mut result = Error::usage(shown_line(lines.next().unwrap_or_default()));
                if let Some(field) = field {
                    result = result.with("in", field);
                }
                // Details of a nested component's error, indented more than the host's own lines.
                for line in lines.take(bounds::ERROR_LINES) {
                    result = result.hint(format!("  {}", shown_line(line.trim_start())));
                }
                result
            }
            isolate::CRASHED => {
                let mut result = Error::crash(format!("{} {}", self.full_name(), shown_line(message)));
                if let ROption::RSome(output) = &error.place {
                    result = result.with("said", line(output));
                }
                // Already quoted for a shell.
                let file = error.field.as_ref().map_or_else(|| "FILE".into(), line);
                result
                    .with("of", self.plugin.clone())
                    .hint(format!("`plugfit check {file}` shows what is wrong with it"))
            }
            isolate::MISTAKEN => self.mistake(message),
            abi::ERROR_PANIC => {
                let place = error.place.as_ref().map_or_else(String::new, |place| format!(" at {}", line(place)));
                let message = cut(message, bounds::TEXT);
                Error::plugin(format!("{} failed", self.full_name()))
                    .with("panic", format!("{message:?}{place} of {}", self.plugin))
            }
            abi::ERROR_INPUT | abi::ERROR_UNSUPPORTED => {
                let field = error.field.as_ref().map(|field| self.lossy(field)).into_option();
                let row = field.as_deref().and_then(plugfit_api::Error::row_of);
                Error::failure(format!("{}: {}", self.full_name(), self.message_line(message))).at_row(row)
            }
            abi::ERROR_CANCELLED => Error::interrupted(format!("{} was stopped", self.full_name())),
            _ => Error::plugin(format!("{} failed: {}", self.full_name(), self.message_line(message)))
                .with("of", self.plugin.clone()),
        }
    }

    /// Decodes a text of an error, whose bytes may not be UTF-8. A plug-in's text is cut to what is shown.
    fn lossy<'t>(&self, text: &'t RString) -> Cow<'t, str> {
        let bytes = text.as_bytes();
        String::from_utf8_lossy(if self.is_own { bytes } else { shown_part(bytes) })
    }

    /// Returns a plug-in's message on one line. A message of the program's own functions, such as one in Python, may
    /// have several lines.
    fn message_line(&self, message: &str) -> String {
        if self.is_own { message.to_owned() } else { shown_line(message) }
    }

    /// Returns the error for a plug-in that violates the API.
    #[cold]
    pub fn mistake(&self, what: &str) -> Error {
        Error::plugin(format!("{} {}", self.full_name(), shown_line(what)))
            .hint(format!("it is the plug-in's mistake: tell who wrote {}", self.plugin))
    }
}

/// Returns a plug-in's text if it is UTF-8, as its type requires.
pub fn utf8(text: &str) -> Option<&str> {
    std::str::from_utf8(text.as_bytes()).ok()
}

/// Returns as much of a text as is shown, and a few bytes more, so that a cut is noticed.
pub fn shown_part(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(bounds::TEXT + 4)]
}

/// Returns a plug-in's text as it is shown: on one line, and cut if it is too long.
pub fn shown_line(text: &str) -> String {
    cut(&one_line(text), bounds::TEXT).into_owned()
}

thread_local! {
    /// The nesting depth of the components that are being created on this thread, and how many have been created for
    /// the outermost one.
    static MAKING: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Guard for the creation of a component. It bounds the depth and the number, so that a plug-in that requests
/// components endlessly is refused before the stack or the memory is exhausted.
pub struct Making;

impl Making {
    pub fn begin(name: &str) -> Result<Self> {
        let (depth, created) = MAKING.get();
        if depth >= bounds::DEPTH || created >= bounds::NESTED {
            let most = if depth >= bounds::DEPTH {
                format!("{} components are nested in one another", bounds::DEPTH)
            } else {
                format!("{} components are made for one", bounds::NESTED)
            };
            return Err(Error::plugin(format!("{name} isn't made: {most} already"))
                .hint("a component that asks for itself never ends"));
        }
        MAKING.set((depth + 1, created + 1));
        Ok(Making)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let (depth, created) = MAKING.get();
        MAKING.set((depth - 1, if depth == 1 { 0 } else { created }));
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
    pub fn of_function(isolated: &isolate::Isolated, label: &str) -> Result<Self> {
        let (table, interface) = isolate::loss();
        let component = Self::of_no_plugin(label, table, interface, NULL_HANDLE);
        let created = isolated.create(Kind::Loss, &component.host, label, "{}", 1);
        component.with_handle(created)
    }
}

/// The handle of a component that hasn't been created.
const NULL_HANDLE: Handle = Handle { pointer: std::ptr::null_mut() };

/// Maximum number of inputs of a component.
pub const MAX_INPUTS: usize = 8;

/// Calls `f` with the inputs in the ABI's form. Doesn't allocate.
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
    // Nearly all components take two inputs, which is the fast path.
    Ok(match count {
        2 => with(&[named(0), named(1)]),
        _ => with(&std::array::from_fn::<_, MAX_INPUTS, _>(named)[..count]),
    })
}

#[cfg(test)]
mod tests {
    use plugfit_api::Config;
    use plugfit_api::schedule::{Schedule, When};

    use super::*;

    #[derive(Config)]
    struct Constant {}

    impl Schedule for Constant {
        fn learning_rate(&self, _: &When) -> f64 {
            1.0
        }
    }

    /// Returns a component that is treated as one of a plug-in in this process.
    fn plugin_component() -> ComponentHandle<ScheduleV1> {
        let mut component = ComponentHandle::of_instance(plugfit_api::instance::schedule(Constant {}), None);
        (component.is_own, component.gives_host_kinds) = (false, false);
        component
    }

    fn error(kind: u32, message: &str) -> abi::Error {
        abi::Error { kind, message: message.into(), field: ROption::RSome("f".into()), place: ROption::RNone }
    }

    #[test]
    fn a_plugin_cannot_forge_the_hosts_kinds_of_errors() {
        const FORGED: &str = "x\nerror: the disk is full\n  run `this`\u{202e}";
        for kind in [isolate::CRASHED, isolate::MISTAKEN] {
            let error = plugin_component().error(error(kind, FORGED));
            assert_eq!(error.kind(), crate::ErrorKind::Plugin);
            assert!(error.message().starts_with("Constant failed: x\u{fffd}error"), "{error}");
            assert!(!error.to_string().contains("plugfit check"), "{error}");
        }
        // How a worker ended is also shown on one line.
        let mut proxy = plugin_component();
        proxy.gives_host_kinds = true;
        let text = proxy.error(error(isolate::CRASHED, FORGED)).to_string();
        assert!(text.starts_with("Constant x\u{fffd}error: the disk is full\u{fffd}  run `this`\u{fffd}\n"), "{text}");
        assert!(text.ends_with("`plugfit check f` shows what is wrong with it"), "{text}");
    }

    #[test]
    fn further_lines_of_a_plugins_error_are_indented_more_than_the_hosts() {
        let text = plugin_component().error(error(abi::ERROR_CONFIG, "it\n  near    a\nrun `this`")).to_string();
        assert_eq!(text, "Constant: it\n  in      f\n    near    a\n    run `this`");
    }
}
