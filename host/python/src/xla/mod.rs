//! Components that functions compiled by XLA call on the CPU, without Python.

mod api;
mod digest;
mod frame;
mod live;
mod loss;
mod metric;
mod optimizer;
mod pool;
mod schedule;

use std::ffi::c_void;
use std::ptr::NonNull;

use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use crate::error::Raise;
use crate::metric::Metric;
use crate::optimizer::Optimizer;
use api::{CallFrame, XlaError};

macro_rules! handlers {
    ($($name:ident: $function:path,)*) => {
        $(unsafe extern "C" fn $name(frame: *mut CallFrame) -> *mut XlaError {
            // SAFETY: XLA calls it with the frame of a call.
            unsafe { frame::run(frame, $function) }
        })*

        /// Returns the handlers by the names of their targets, as `jax.ffi.register_ffi_target` takes them.
        #[pyfunction]
        pub fn xla_targets(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
            let targets = PyDict::new(py);
            $(
                let handler: unsafe extern "C" fn(*mut CallFrame) -> *mut XlaError = $name;
                if let Some(pointer) = NonNull::new(handler as *mut c_void) {
                    // SAFETY: a function of this library lives as long as the process.
                    let capsule = unsafe { PyCapsule::new_with_pointer(py, pointer, c"xla._CUSTOM_CALL_TARGET") }?;
                    targets.set_item(stringify!($name), capsule)?;
                }
            )*
            Ok(targets)
        }
    };
}

handlers! {
    plugfit_loss: loss::loss,
    plugfit_metric_result: metric::result,
    plugfit_metric_update: metric::update,
    plugfit_optimizer: optimizer::step,
    plugfit_schedule: schedule::learning_rate,
}

/// Returns the digest of the plug-in that has this component.
#[pyfunction]
pub fn xla_digest(kind: &str, name: &str) -> PyResult<String> {
    digest::of(crate::host::kind(kind)?, name).or_raise()
}

/// Returns the number by which compiled functions find the metric.
#[pyfunction]
pub fn xla_metric_number(metric: &Metric) -> u64 {
    metric::METRICS.enter(metric.shared(), None)
}

/// Returns the number by which compiled functions find the optimizer. With a number, it replaces the one of it.
#[pyfunction]
#[pyo3(signature = (optimizer, number=None))]
pub fn xla_optimizer_number(optimizer: &Optimizer, number: Option<u64>) -> u64 {
    optimizer::OPTIMIZERS.enter(optimizer.shared(), number)
}
