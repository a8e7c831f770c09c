//! What components of all kinds have in common: creation by name, and the functions that the tables of all kinds begin
//! with.

use crate::{
    catch_panics::{catch_drop_panics, catch_panics},
    Error, Host, Result,
};
use plugfit_abi::{
    self as abi,
    abi_stable::std_types::{RResult, RStr, RString},
    Handle,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::marker::PhantomData;

/// A type-erased component of any kind.
#[doc(hidden)]
pub trait Component: Send + Sync {
    fn config(&self) -> Map<String, Value>;
    /// Returns the properties that depend on the configuration, as JSON.
    fn info(&self) -> Result<String>;
    /// Returns the document of its formula.
    fn formula(&self) -> Result<String>;
}

/// Creates the components of one kind by name. `export_plugin!` implements it for each kind. The default has none.
#[doc(hidden)]
pub trait Create<T: ?Sized> {
    fn create(name: &str, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<T>> {
        let _ = (config, host);
        Err(Error::unknown_component(name))
    }
}

/// Selects the trait of a kind that a type implements, by autoref specialisation. In
/// `(&&&&&Probe::<T>::new()).create_loss(…)`, method lookup tries the implementation for the most references first,
/// which is that of the highest level.
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    #[doc(hidden)]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Probe(PhantomData)
    }
}

/// Defines the trait by which a [`Probe`] creates a component of one level, and implements it for the types `T` of the
/// level.
macro_rules! level {
    (
        $(#[$doc:meta])*
        $level:ident $(<$(const $n:ident),*>)? for $probe:ty where T: $bound:path;
        fn $create:ident($config:ident, $host:ident) -> $any:ident $body:block
    ) => {
        $(#[$doc])*
        pub trait $level$(<$(const $n: usize),*>)? {
            #[doc(hidden)]
            fn $create(
                &self,
                config: &serde_json::Map<String, serde_json::Value>,
                host: &$crate::Host<'_>,
            ) -> $crate::Result<Box<dyn $any>>;
        }
        impl<T: $bound $($(, const $n: usize)*)?> $level$(<$($n),*>)? for $probe {
            fn $create(
                &self,
                $config: &serde_json::Map<String, serde_json::Value>,
                $host: &$crate::Host<'_>,
            ) -> $crate::Result<Box<dyn $any>> $body
        }
    };
}
pub(super) use level;

/// Implements [`Component`] for a wrapper of the types of one level. The expression after `=>` is the info, the one
/// after `formula` the document of the formula.
macro_rules! component {
    ($wrapper:ident<T: $bound:path $(, const $n:ident)*>, $level:ident => $info:expr, formula $formula:expr) => {
        impl<T: $bound $(, const $n: usize)*> Component for $wrapper<T $(, $n)*> {
            fn config(&self) -> serde_json::Map<String, serde_json::Value> {
                self.0.to_json()
            }
            fn info(&self) -> $crate::Result<String> {
                let $level = &self.0;
                $crate::export::component::info_json(&$info)
            }
            fn formula(&self) -> $crate::Result<String> {
                let $level = &self.0;
                $formula
            }
        }
    };
}
pub(super) use component as impl_component;

/// Writes the info of a component as JSON.
pub(super) fn info_json(info: &impl Serialize) -> Result<String> {
    serde_json::to_string(info).map_err(|error| Error::other(format!("its info can't be written as JSON: {error}")))
}

/// Moves a value to the heap. The handle owns it.
pub(crate) fn handle<T>(value: T) -> Handle {
    Handle { pointer: Box::into_raw(Box::new(value)).cast() }
}

/// Returns the component of a handle.
///
/// # Safety
/// [`create`] must have returned the handle for the same `T`, and it must not be released during `'a`.
pub(super) unsafe fn component<'a, T: ?Sized + 'a>(handle: Handle) -> &'a T {
    // SAFETY: the caller upholds the contract of this function.
    unsafe { &*handle.pointer.cast::<Box<T>>() }
}

pub(super) unsafe extern "C" fn create<P: Create<T>, T: ?Sized>(
    host: &abi::Host,
    name: RStr<'_>,
    config: RStr<'_>,
    _version: u32,
) -> RResult<Handle, abi::Error> {
    catch_panics(|| {
        let config = serde_json::from_str(&config)
            .map_err(|error| Error::other(format!("the configuration isn't a JSON object: {error}")))?;
        Ok(handle(P::create(&name, &config, &Host::new(host))?))
    })
}

pub(super) unsafe extern "C" fn release<T: ?Sized>(handle: Handle) {
    // SAFETY: `create` returned the handle, and the host releases it once.
    catch_drop_panics(|| drop(unsafe { Box::from_raw(handle.pointer.cast::<Box<T>>()) }));
}

pub(super) unsafe extern "C" fn config<T: Component + ?Sized>(handle: Handle) -> RResult<RString, abi::Error> {
    // SAFETY: `create` returned the handle, and it isn't released yet.
    catch_panics(|| Ok(Value::Object(unsafe { component::<T>(handle) }.config()).to_string().into()))
}

pub(super) unsafe extern "C" fn instance_info<T: Component + ?Sized>(handle: Handle) -> RResult<RString, abi::Error> {
    // SAFETY: `create` returned the handle, and it isn't released yet.
    catch_panics(|| unsafe { component::<T>(handle) }.info().map(Into::into))
}

pub(super) unsafe extern "C" fn formula<T: Component + ?Sized>(handle: Handle) -> RResult<RString, abi::Error> {
    // SAFETY: `create` returned the handle, and it isn't released yet.
    catch_panics(|| unsafe { component::<T>(handle) }.formula().map(Into::into))
}
