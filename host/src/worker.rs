//! The worker of an isolated plug-in: the entry point of its process, and the components that its plug-in may nest.

use std::ffi::OsString;
use std::sync::Arc;

use serde_json::Value;

use crate::plugin::{self, HostCallbacks, Kind, LoadOptions, Nested, Plugin, Resolve, Resolved, WorkerHost};
use crate::{Error, Host, Result};

/// Must be called first in the `main` of a program that isolates plug-ins. If the program was started as a worker, this
/// function acts as the worker and never returns; otherwise it does nothing.
pub fn worker_main() {
    plugin::declare_worker_program();
    worker_main_of(std::env::args_os().skip(1));
}

/// The same as [`worker_main`], for a program that is started with more than its own file, such as `python -m plugfit`.
/// `arguments` are those that follow.
pub fn worker_main_of(arguments: impl IntoIterator<Item = OsString>) {
    plugin::serve_if_worker(arguments, || Arc::new(NestedComponents::new()));
}

/// Resolves the components that the plug-in may nest: those of its own file and of the standard set. No code of any
/// further file runs, since the host's locks and signatures aren't checked here.
struct NestedComponents(Host);

impl NestedComponents {
    fn new() -> Self {
        let host = Host::with_options(LoadOptions { manifests_only: true, ..LoadOptions::default() });
        host.add_builtin();
        NestedComponents(host)
    }
}

impl Resolve for NestedComponents {
    fn resolve(&self, kind: Kind, identifier: &Value) -> Result<Resolved> {
        self.0.resolve(kind, identifier).map_err(with_hint)
    }

    fn nested(&self, identifier: &Value) -> Result<Nested> {
        self.0.nested(identifier).map_err(with_hint)
    }
}

impl WorkerHost for NestedComponents {
    fn callbacks(&self) -> &Arc<HostCallbacks> {
        self.0.callbacks()
    }

    fn add(&self, plugin: Arc<Plugin>) {
        self.0.add_loaded(plugin);
    }
}

/// Adds a hint: a component that can't be found here may exist in the host.
fn with_hint(error: Error) -> Error {
    error.hint("an isolated component nests only others of its own file and of the standard set")
}
