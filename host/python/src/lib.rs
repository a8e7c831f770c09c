//! The native module of the Python package `plugfit`: components that operate on arrays borrowed from NumPy.
//!
//! The package's Python files add the interface of Keras: classes by name, `get`, and configurations as dicts.

mod arrays;
mod batch;
mod callable;
mod error;
mod formula;
mod host;
mod loss;
mod metric;
mod model;
mod optimizer;
mod optimizer_state;
mod schedule;
mod threads;
// XLA has no 32-bit targets.
#[cfg(target_pointer_width = "64")]
mod xla;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the program `plugfit` and returns its exit status. The first argument is the program's name.
/// `restart_command` is the command that starts the program again, for its worker processes.
#[pyfunction]
fn run_program(py: Python<'_>, arguments: Vec<OsString>, restart_command: Vec<OsString>) -> u8 {
    plugfit::cli::set_program(restart_command);
    py.detach(|| {
        plugfit::worker_main_of(arguments.iter().skip(1).cloned());
        plugfit::cli::run(arguments)
    })
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("PluginError", module.py().get_type::<error::PluginError>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<loss::Loss>()?;
    module.add_class::<metric::Metric>()?;
    module.add_class::<model::Model>()?;
    module.add_class::<optimizer::Optimizer>()?;
    module.add_class::<schedule::Schedule>()?;
    threads::check_environment(module.py())?;
    module.add_function(wrap_pyfunction!(threads::after_fork, module)?)?;
    module.add_function(wrap_pyfunction!(threads::get_threads, module)?)?;
    module.add_function(wrap_pyfunction!(threads::set_threads, module)?)?;
    module.add_function(wrap_pyfunction!(host::components, module)?)?;
    module.add_function(wrap_pyfunction!(host::find, module)?)?;
    module.add_function(wrap_pyfunction!(host::has, module)?)?;
    module.add_function(wrap_pyfunction!(host::load_plugins, module)?)?;
    module.add_function(wrap_pyfunction!(host::standard, module)?)?;
    module.add_function(wrap_pyfunction!(model::read_model, module)?)?;
    module.add_function(wrap_pyfunction!(model::write_model, module)?)?;
    module.add_function(wrap_pyfunction!(run_program, module)?)?;
    #[cfg(target_pointer_width = "64")]
    {
        module.add_function(wrap_pyfunction!(xla::xla_digest, module)?)?;
        module.add_function(wrap_pyfunction!(xla::xla_metric_number, module)?)?;
        module.add_function(wrap_pyfunction!(xla::xla_optimizer_number, module)?)?;
        module.add_function(wrap_pyfunction!(xla::xla_targets, module)?)?;
    }
    Ok(())
}
