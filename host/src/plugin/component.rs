//! What the wrappers of all kinds share: a component and its table, released once, and a plug-in's errors in words.

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
use super::{Door, Kind, Origin, Plugin, bounds, isolate};
use crate::data::text::{cut, one_line};
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
    /// Whether it is of this program's own code, whose texts are as they should be.
    pub is_own: bool,
    /// Whether the host's own kinds of errors can come from its table: it is a proxy, or a part of this program that passes on what a proxy
    /// within it gave.
    gives_host_kinds: bool,
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
        let _making = Making::begin(name)?;
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
            is_own: false,
            gives_host_kinds: plugin.isolated().is_some() || plugin.origin() == &Origin::BuiltIn,
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
        let mut owned = Self::of_no_plugin(label.unwrap_or(name), table, interface_of(table), handle);
        owned.is_own = true;
        owned
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
            is_own: false,
            gives_host_kinds: true,
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

    /// A text of the plug-in's, which needn't be what its type says. `what` is what it is called, without an article.
    pub fn text<'t>(&self, text: &'t RString, most: usize, what: &str) -> Result<&'t str> {
        if text.len() > most {
            return Err(self.mistake(&bounds::too_long(what, text.len(), most)));
        }
        utf8(text).ok_or_else(|| self.mistake(&format!("gave a {what} that isn't UTF-8")))
    }

    /// A name of the plug-in's, which is shown in tables and messages.
    pub fn short_name<'t>(&self, name: &'t RString, what: &str) -> Result<&'t str> {
        let text = self.text(name, bounds::NAME, what)?;
        match one_line(text) == text {
            true => Ok(text),
            false => Err(self.mistake(&format!("gave a {what} with control characters: {text:?}"))),
        }
    }

    /// Refuses too many of something, which `what` names in the plural.
    pub fn at_most(&self, found: usize, most: usize, what: &str) -> Result<()> {
        bounds::check(found, most, what).map_err(|said| self.mistake(&said))
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
                // What a nested component was refused for has details of its own. They stand deeper than what the host says.
                for line in lines.take(bounds::ERROR_LINES) {
                    result = result.hint(format!("  {}", shown_line(line.trim_start())));
                }
                result
            }
            isolate::CRASHED => {
                let mut result = Error::crash(format!("{} {}", self.full_name(), shown_line(message)));
                if let ROption::RSome(said) = &error.place {
                    result = result.with("said", line(said));
                }
                // As a shell takes it.
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
                Error::failure(format!("{}: {}", self.full_name(), self.said(message))).at_row(row)
            }
            abi::ERROR_CANCELLED => Error::interrupted(format!("{} was stopped", self.full_name())),
            _ => Error::plugin(format!("{} failed: {}", self.full_name(), self.said(message)))
                .with("of", self.plugin.clone()),
        }
    }

    /// A text of an error, whatever its bytes are; of a plug-in's no more than is shown.
    fn lossy<'t>(&self, text: &'t RString) -> Cow<'t, str> {
        let bytes = text.as_bytes();
        String::from_utf8_lossy(if self.is_own { bytes } else { shown_part(bytes) })
    }

    /// A plug-in's message on one line. What this program's own functions say, such as one in Python, may have several.
    fn said(&self, message: &str) -> String {
        if self.is_own { message.to_owned() } else { shown_line(message) }
    }

    /// The plug-in broke its word.
    #[cold]
    pub fn mistake(&self, what: &str) -> Error {
        Error::plugin(format!("{} {}", self.full_name(), shown_line(what)))
            .hint(format!("it is the plug-in's mistake: tell who wrote {}", self.plugin))
    }
}

/// A text of a plug-in's, if it is UTF-8 as its type says.
pub fn utf8(text: &str) -> Option<&str> {
    std::str::from_utf8(text.as_bytes()).ok()
}

/// As much of a text as is shown, and a little more, by which it is seen that something is left out.
pub fn shown_part(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(bounds::TEXT + 4)]
}

/// A text of a plug-in's as it is shown: on one line, and cut where it is too long.
pub fn shown_line(text: &str) -> String {
    cut(&one_line(text), bounds::TEXT).into_owned()
}

thread_local! {
    /// How many components are being made on this thread, one for another, and how many were made for the outermost one.
    static MAKING: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// A component is being made. One whose plug-in asks for further ones without an end is refused before the stack or the memory ends.
pub struct Making;

impl Making {
    pub fn begin(name: &str) -> Result<Self> {
        let (depth, made) = MAKING.get();
        if depth >= bounds::DEPTH || made >= bounds::NESTED {
            let most = if depth >= bounds::DEPTH {
                format!("{} components are nested in one another", bounds::DEPTH)
            } else {
                format!("{} components are made for one", bounds::NESTED)
            };
            return Err(Error::plugin(format!("{name} isn't made: {most} already"))
                .hint("a component that asks for itself never ends"));
        }
        MAKING.set((depth + 1, made + 1));
        Ok(Making)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let (depth, made) = MAKING.get();
        MAKING.set((depth - 1, if depth == 1 { 0 } else { made }));
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

    /// As one of a plug-in in this process.
    fn owned() -> Owned<ScheduleV1> {
        let mut owned = Owned::of_instance(plugfit_api::instance::schedule(Constant {}), None);
        (owned.is_own, owned.gives_host_kinds) = (false, false);
        owned
    }

    fn error(kind: u32, message: &str) -> abi::Error {
        abi::Error { kind, message: message.into(), field: ROption::RSome("f".into()), place: ROption::RNone }
    }

    #[test]
    fn no_plugin_gives_the_errors_of_the_host() {
        const FORGED: &str = "x\nerror: the disk is full\n  run `this`\u{202e}";
        for kind in [isolate::CRASHED, isolate::MISTAKEN] {
            let error = owned().error(error(kind, FORGED));
            assert_eq!(error.kind(), crate::ErrorKind::Plugin);
            assert!(error.message().starts_with("Constant failed: x\u{fffd}error"), "{error}");
            assert!(!error.to_string().contains("plugfit check"), "{error}");
        }
        // What a worker ended by is on one line, too.
        let mut proxy = owned();
        proxy.gives_host_kinds = true;
        let text = proxy.error(error(isolate::CRASHED, FORGED)).to_string();
        assert!(text.starts_with("Constant x\u{fffd}error: the disk is full\u{fffd}  run `this`\u{fffd}\n"), "{text}");
        assert!(text.ends_with("`plugfit check f` shows what is wrong with it"), "{text}");
    }

    #[test]
    fn further_lines_of_a_plugin_stand_deeper_than_those_of_the_host() {
        let text = owned().error(error(abi::ERROR_CONFIG, "it\n  near    a\nrun `this`")).to_string();
        assert_eq!(text, "Constant: it\n  in      f\n    near    a\n    run `this`");
    }
}
