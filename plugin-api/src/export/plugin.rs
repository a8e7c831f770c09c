//! A plug-in as a whole: from a list of types to a root that a host finds.

use super::{loss, metric, optimizer, schedule, AnyLoss, AnyMetric, AnyOptimizer, AnySchedule};
use crate::{Error, Host, Result};
use plugfit_abi::{self as abi, Interface};
use serde_json::{Map, Value};
use std::marker::PhantomData;

/// What `export_plugin!` implements: how each component is made.
pub trait Plugin: 'static {
    #[doc(hidden)]
    fn loss(name: &str, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyLoss>>;
    #[doc(hidden)]
    fn metric(name: &str, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyMetric>>;
    #[doc(hidden)]
    fn optimizer(name: &str, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnyOptimizer>>;
    #[doc(hidden)]
    fn schedule(name: &str, config: &Map<String, Value>, host: &Host<'_>) -> Result<Box<dyn AnySchedule>>;
}

/// Asks a type which of a kind's traits it implements. `(&&&&&Probe::<T>::new()).make_loss(…)` finds the method of the most
/// references first, that is of the highest level; a type needs no more than to implement its trait.
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    #[doc(hidden)]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Probe(PhantomData)
    }
}

/// The tables of a plug-in and their interfaces.
pub struct Tables<P>(PhantomData<P>);

impl<P: Plugin> Tables<P> {
    const LOSS: &'static abi::LossV1 = &loss::table::<P>();
    const METRIC: &'static abi::MetricV1 = &metric::table::<P>();
    const OPTIMIZER: &'static abi::OptimizerV1 = &optimizer::table::<P>();
    const SCHEDULE: &'static abi::ScheduleV1 = &schedule::table::<P>();
    const INTERFACES: &'static [Interface; 5] = &[
        Interface::of(Self::LOSS),
        Interface::of(Self::METRIC),
        Interface::of(Self::OPTIMIZER),
        Interface::of(Self::SCHEDULE),
        Interface::of(loss::FLOAT64),
    ];

    /// The root's function.
    ///
    /// # Safety
    /// `id` must be valid for `length` reads.
    #[doc(hidden)]
    pub unsafe extern "C" fn get_interface(id: *const u8, length: usize) -> *const Interface {
        if id.is_null() {
            return std::ptr::null();
        }
        // SAFETY: the caller's promise.
        let id = unsafe { std::slice::from_raw_parts(id, length) };
        let ids = [abi::LOSS_V1, abi::METRIC_V1, abi::OPTIMIZER_V1, abi::SCHEDULE_V1, abi::LOSS_V2];
        match ids.iter().position(|known| known.as_bytes() == id) {
            Some(index) => &Self::INTERFACES[index],
            None => std::ptr::null(),
        }
    }

    /// The root, with this manifest.
    #[doc(hidden)]
    pub const fn root(manifest: &'static [u8]) -> abi::Root {
        abi::Root {
            magic: abi::MAGIC,
            abi_version: abi::ABI_VERSION,
            reserved: 0,
            manifest: manifest.as_ptr(),
            manifest_length: manifest.len(),
            get_interface: Self::get_interface,
        }
    }
}

/// What a maker says of a name that isn't on its list.
#[doc(hidden)]
pub fn unknown(name: &str) -> Error {
    Error::unknown_component(name)
}

/// What the tables of all kinds begin with.
macro_rules! component {
    ($create:ident = Plugin::$make:ident, $release:ident, $config:ident, $info:ident: $object:ty) => {
        unsafe extern "C" fn $create<P: Plugin>(
            host: &abi::Host,
            name: RStr<'_>,
            config: RStr<'_>,
            _version: u32,
        ) -> RResult<Handle, abi::Error> {
            wall(|| {
                let config = serde_json::from_str(&config)
                    .map_err(|error| Error::other(format!("the configuration is no JSON object: {error}")))?;
                let object: $object = P::$make(&name, &config, &Host::new(host))?;
                Ok(Handle { pointer: Box::into_raw(Box::new(object)).cast() })
            })
        }

        unsafe extern "C" fn $release(handle: Handle) {
            // SAFETY: a handle of `create`, given back once.
            dropping(|| drop(unsafe { Box::from_raw(handle.pointer.cast::<$object>()) }));
        }

        unsafe extern "C" fn $config(handle: Handle) -> RResult<RString, abi::Error> {
            wall(|| {
                // SAFETY: a handle of `create`.
                let object = unsafe { &*handle.pointer.cast::<$object>() };
                Ok(Value::Object(object.config()).to_string().into())
            })
        }

        unsafe extern "C" fn $info(handle: Handle) -> RResult<RString, abi::Error> {
            wall(|| {
                // SAFETY: a handle of `create`.
                let object = unsafe { &*handle.pointer.cast::<$object>() };
                serde_json::to_string(&object.info())
                    .map(Into::into)
                    .map_err(|error| Error::other(format!("what it says of itself is no JSON: {error}")))
            })
        }
    };
}
pub(crate) use component;

/// Exports a plug-in from lists of types, each of which implements a trait of its kind:
///
/// ```
/// # use plugfit_api::prelude::*;
/// /// The rate of every step is the same.
/// #[derive(Config)]
/// pub struct Constant {
///     /// Which.
///     #[config(default = 0.01, range = 0.0..)]
///     rate: f64,
/// }
///
/// impl Schedule for Constant {
///     fn learning_rate(&self, _: &When) -> f64 {
///         self.rate
///     }
/// }
///
/// export_plugin! { schedules: [Constant] }
/// # fn main() {
/// # plugfit_api::testing::check(plugin());
/// # }
/// ```
///
/// Name, version and description are the crate's. Once in a crate, in its root.
#[macro_export]
macro_rules! export_plugin {
    ($($kind:ident: [$($component:ty),* $(,)?]),* $(,)?) => {
        #[doc(hidden)]
        pub mod plugfit_export {
            #[allow(unused_imports)]
            use super::*;
            #[allow(unused_imports)]
            use $crate::export::*;

            pub struct Exported;

            impl $crate::export::Plugin for Exported {
                $crate::export_plugin! { @makers loss, losses, AnyLoss, make_loss, [$($kind [$($component,)*])*] }
                $crate::export_plugin! { @makers metric, metrics, AnyMetric, make_metric, [$($kind [$($component,)*])*] }
                $crate::export_plugin! {
                    @makers optimizer, optimizers, AnyOptimizer, make_optimizer, [$($kind [$($component,)*])*]
                }
                $crate::export_plugin! { @makers schedule, schedules, AnySchedule, make_schedule, [$($kind [$($component,)*])*] }
            }

            pub const MANIFEST: $crate::manifest::Manifest = $crate::manifest::Manifest {
                name: $crate::manifest::plugin_name(env!("CARGO_PKG_NAME")),
                version: env!("CARGO_PKG_VERSION"),
                description: env!("CARGO_PKG_DESCRIPTION"),
                panic: if cfg!(panic = "abort") { "abort" } else { "unwind" },
                components: &[$((
                    $crate::export_plugin!(@kind $kind),
                    &[$(<$component as $crate::Config>::SPEC),*],
                )),*],
            };

            #[used]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__plugfit"))]
            #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".plugfit.manifest"))]
            static JSON: [u8; $crate::manifest::length(&MANIFEST)] = $crate::manifest::json(&MANIFEST);

            #[unsafe(export_name = concat!("plugfit_root__", env!("CARGO_CRATE_NAME")))]
            pub static ROOT: $crate::abi::Root = $crate::export::Tables::<Exported>::root(&JSON);
        }

        /// The root of this plug-in, as a host finds it in the library; for a program that links the plug-in in, and for tests.
        pub fn plugin() -> &'static $crate::abi::Root {
            &plugfit_export::ROOT
        }
    };

    (@makers $method:ident, $wanted:ident, $any:ident, $make:ident, [$($kind:ident [$($component:ty,)*])*]) => {
        #[allow(unused_variables)]
        fn $method(
            name: &str,
            config: &$crate::serde_json::Map<String, $crate::serde_json::Value>,
            host: &$crate::Host<'_>,
        ) -> $crate::Result<Box<dyn $any>> {
            $($crate::export_plugin! { @if $kind $wanted {
                $(if name == <$component as $crate::Config>::SPEC.name {
                    return (&&&&&$crate::export::Probe::<$component>::new()).$make(config, host);
                })*
            }})*
            Err($crate::export::unknown(name))
        }
    };

    (@if losses losses $body:tt) => { $crate::export_plugin! { @unwrap $body } };
    (@if metrics metrics $body:tt) => { $crate::export_plugin! { @unwrap $body } };
    (@if optimizers optimizers $body:tt) => { $crate::export_plugin! { @unwrap $body } };
    (@if schedules schedules $body:tt) => { $crate::export_plugin! { @unwrap $body } };
    (@if $kind:ident $wanted:ident $body:tt) => {};
    (@unwrap { $($body:tt)* }) => { $($body)* };

    (@kind losses) => { "loss" };
    (@kind metrics) => { "metric" };
    (@kind optimizers) => { "optimizer" };
    (@kind schedules) => { "schedule" };
    (@kind $other:ident) => {
        compile_error!(concat!("`", stringify!($other), "` is no list of a plug-in: losses, metrics, optimizers, schedules"))
    };
}
