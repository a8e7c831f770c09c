//! A whole plug-in: `export_plugin!` turns lists of types into the root symbol that a host looks up.

use super::{
    component::{formula, Create},
    loss::{self, AnyLoss},
    metric::{self, AnyMetric},
    optimizer::{self, AnyOptimizer},
    schedule::{self, AnySchedule},
};
use plugfit_abi::{self as abi, Interface};
use std::marker::PhantomData;

/// The constructors of a plug-in's components, by name.
pub trait Plugin:
    Create<dyn AnyLoss> + Create<dyn AnyMetric> + Create<dyn AnyOptimizer> + Create<dyn AnySchedule> + 'static
{
}
impl<P> Plugin for P where
    P: Create<dyn AnyLoss> + Create<dyn AnyMetric> + Create<dyn AnyOptimizer> + Create<dyn AnySchedule> + 'static
{
}

/// The function table of `plugfit.formula/1`, for the components that the tables of all kinds created.
pub(crate) const FORMULA: &abi::FormulaV1 = &abi::FormulaV1 {
    loss: formula::<dyn AnyLoss>,
    metric: formula::<dyn AnyMetric>,
    optimizer: formula::<dyn AnyOptimizer>,
    schedule: formula::<dyn AnySchedule>,
};

/// The function tables of a plug-in and their interfaces.
pub struct Tables<P>(PhantomData<P>);

impl<P: Plugin> Tables<P> {
    const LOSS: &'static abi::LossV1 = &loss::table::<P>();
    const METRIC: &'static abi::MetricV1 = &metric::table::<P>();
    const OPTIMIZER: &'static abi::OptimizerV1 = &optimizer::table::<P>();
    const SCHEDULE: &'static abi::ScheduleV1 = &schedule::table::<P>();
    const INTERFACES: &'static [Interface; 6] = &[
        Interface::of(Self::LOSS),
        Interface::of(Self::METRIC),
        Interface::of(Self::OPTIMIZER),
        Interface::of(Self::SCHEDULE),
        Interface::of(loss::FLOAT64),
        Interface::of(FORMULA),
    ];

    /// Returns the interface with this id, or null if there is none. The root points to this function.
    ///
    /// # Safety
    /// `id` must be null or valid for reads of `length` bytes.
    #[doc(hidden)]
    pub unsafe extern "C" fn get_interface(id: *const u8, length: usize) -> *const Interface {
        if id.is_null() {
            return std::ptr::null();
        }
        // SAFETY: `id` isn't null, so the caller guarantees `length` readable bytes.
        let id = unsafe { std::slice::from_raw_parts(id, length) };
        let ids = [abi::LOSS_V1, abi::METRIC_V1, abi::OPTIMIZER_V1, abi::SCHEDULE_V1, abi::LOSS_V2, abi::FORMULA_V1];
        match ids.iter().position(|known| known.as_bytes() == id) {
            Some(index) => &Self::INTERFACES[index],
            None => std::ptr::null(),
        }
    }

    /// Returns the root of a plug-in with this manifest.
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

/// Exports a plug-in. Each list names types that implement a trait of its kind:
///
/// ```
/// # use plugfit_api::prelude::*;
/// /// The same rate at every step.
/// #[derive(Config)]
/// pub struct Constant {
///     /// The rate.
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
/// The plug-in takes its name, version and description from the crate. Use the macro once, in the root of the crate.
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

            $crate::export_plugin! { @constructors losses, AnyLoss, create_loss, [$($kind [$($component,)*])*] }
            $crate::export_plugin! { @constructors metrics, AnyMetric, create_metric, [$($kind [$($component,)*])*] }
            $crate::export_plugin! {
                @constructors optimizers, AnyOptimizer, create_optimizer, [$($kind [$($component,)*])*]
            }
            $crate::export_plugin! { @constructors schedules, AnySchedule, create_schedule, [$($kind [$($component,)*])*] }

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

        /// Returns the root of this plug-in, for tests and for programs that link the plug-in.
        pub fn plugin() -> &'static $crate::abi::Root {
            &plugfit_export::ROOT
        }
    };

    (@constructors $wanted:ident, $any:ident, $create:ident, [$($kind:ident [$($component:ty,)*])*]) => {
        impl $crate::export::Create<dyn $any> for Exported {
            #[allow(unused_variables)]
            fn create(
                name: &str,
                config: &$crate::serde_json::Map<String, $crate::serde_json::Value>,
                host: &$crate::Host<'_>,
            ) -> $crate::Result<Box<dyn $any>> {
                $($crate::export_plugin! { @if $kind $wanted {
                    $(if name == <$component as $crate::Config>::SPEC.name {
                        return (&&&&&$crate::export::Probe::<$component>::new()).$create(config, host);
                    })*
                }})*
                Err($crate::Error::unknown_component(name))
            }
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
        compile_error!(concat!("`", stringify!($other), "` isn't a list of a plug-in: losses, metrics, optimizers, schedules"))
    };
}
