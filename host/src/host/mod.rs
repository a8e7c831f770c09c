//! The host: the loaded plug-ins, and the resolution of identifiers to their components.

mod load;
mod resolve;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use serde_json::Value;

use crate::compile::{Compile, Compiled, Components};
use crate::component;
use crate::identifier::Identifier;
use crate::plugin::find::{FileReport, FolderReport};
use crate::plugin::{self, HostCallbacks, Kind, LoadOptions, Nested, Plugin, Resolve, Resolved};
use crate::registry::{RegisteredPlugin, Registry};
use crate::{Error, Result};
use resolve::{Resolution, wrong_kind};

/// The loaded plug-ins. Clones share them.
///
/// ```
/// let host = plugfit::Host::new(); // includes the standard set
/// let huber = host.loss("Huber(delta=2.0)")?;
/// # Ok::<(), plugfit::Error>(())
/// ```
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    registry: RwLock<Registry>,
    reports: RwLock<Vec<FolderReport>>,
    /// The files that were loaded individually, each once.
    files: RwLock<Vec<FileReport>>,
    /// Locked during a scan, so that concurrent scans don't load a file twice.
    scanning: Mutex<()>,
    notes: RwLock<Vec<String>>,
    options: LoadOptions,
    callbacks: Arc<HostCallbacks>,
}

impl Host {
    /// Creates a host with the standard set, if the crate was built with the feature `builtin`, and no other plug-in.
    pub fn new() -> Self {
        let host = Host::empty();
        host.add_builtin();
        host
    }

    /// Adds the standard set, if the crate was built with the feature `builtin`.
    pub fn add_builtin(&self) {
        #[cfg(feature = "builtin")]
        match Plugin::built_in(plugfit_standard::plugin()) {
            Ok(plugin) => {
                self.add(plugin);
            }
            Err(refusal) => self.note(Error::from(refusal).to_string()),
        }
    }

    /// Creates a host without plug-ins.
    pub fn empty() -> Self {
        Self::with_options(LoadOptions::default())
    }

    /// Creates a host without plug-ins that loads with these options. They can't be changed later.
    pub fn with_options(options: LoadOptions) -> Self {
        Self::with(Registry::default(), options, &HostCallbacks::closed())
    }

    /// Returns a host with the plug-ins loaded now; plug-ins loaded later don't affect it.
    fn snapshot(&self) -> Self {
        let registry = read(&self.inner.registry).clone();
        Self::with(registry, self.inner.options.clone(), &self.inner.callbacks)
    }

    fn with(registry: Registry, options: LoadOptions, callbacks: &HostCallbacks) -> Self {
        let inner = Arc::new_cyclic(|weak: &Weak<Inner>| Inner {
            registry: RwLock::new(registry),
            reports: RwLock::default(),
            files: RwLock::default(),
            scanning: Mutex::default(),
            notes: RwLock::default(),
            options,
            callbacks: Arc::new(callbacks.towards(weak.clone())),
        });
        Host { inner }
    }

    fn note(&self, note: String) {
        write(&self.inner.notes).push(note);
    }

    /// Returns the report on each folder, with the outcome for each file.
    pub fn reports(&self) -> Vec<FolderReport> {
        read(&self.inner.reports).clone()
    }

    /// Returns notes on the plug-ins for the user, such as a version that isn't used because there is a newer one.
    pub fn notes(&self) -> Vec<String> {
        read(&self.inner.notes).clone()
    }

    /// Returns the plug-ins in use, in loading order.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        read(&self.inner.registry).plugins().to_vec()
    }

    /// Returns every component of a kind with its plug-in, sorted by name.
    pub fn components(&self, kind: Kind) -> Vec<(Arc<Plugin>, plugin::Component)> {
        let registry = read(&self.inner.registry);
        registry.components(kind).into_iter().map(|(plugin, component)| (plugin.clone(), component.clone())).collect()
    }

    /// Returns the plug-in and the description of the component with this name.
    ///
    /// # Errors
    /// Returns an error if there is no such component, or more than one; see [`Registry::find`].
    pub fn find(&self, kind: Kind, name: &str) -> Result<(Arc<Plugin>, plugin::Component)> {
        let registry = read(&self.inner.registry);
        registry.find(kind, name).map(|(plugin, component)| (plugin.clone(), component.clone()))
    }

    /// Maps each spelling of a name to the names of its plug-in and component; see [`Registry::spellings`].
    pub(crate) fn spellings(&self, kind: Kind) -> BTreeMap<String, Option<(String, String)>> {
        let registry = read(&self.inner.registry);
        let names = |(plugin, component): (&Arc<Plugin>, &plugin::Component)| {
            (plugin.name().to_owned(), component.name.clone())
        };
        registry.spellings(kind).into_iter().map(|(spelling, found)| (spelling, found.map(names))).collect()
    }

    /// Returns whether a plug-in has a component of this name, usable or not.
    pub fn has(&self, kind: Kind, name: &str) -> bool {
        read(&self.inner.registry).has(kind, name)
    }

    /// Returns the functions that plug-ins call on the host.
    pub fn callbacks(&self) -> &Arc<HostCallbacks> {
        &self.inner.callbacks
    }

    /// Resolves an identifier to a loss.
    ///
    /// # Errors
    /// Returns an error if there is no such loss, if its configuration is invalid, or if the identifier is empty.
    pub fn loss(&self, identifier: impl Into<Identifier>) -> Result<component::Loss> {
        let Resolution { component, base } = self.inner.resolution(Kind::Loss, &identifier.into())?;
        match component {
            Resolved::Loss(loss) => component::Loss::new(loss, base),
            other => Err(wrong_kind(&other, Kind::Loss)),
        }
    }

    /// Resolves an identifier to a metric. If only a loss has the name, the metric is the mean of that loss.
    ///
    /// # Errors
    /// Returns an error if there is no such metric, if its configuration is invalid, or if the identifier is empty.
    pub fn metric(&self, identifier: impl Into<Identifier>) -> Result<component::Metric> {
        let Resolution { component, base } = self.inner.resolution(Kind::Metric, &identifier.into())?;
        match component {
            Resolved::Metric(metric) => component::Metric::new(metric, base),
            Resolved::Loss(loss) => component::Metric::of_loss(loss, base),
            other => Err(wrong_kind(&other, Kind::Metric)),
        }
    }

    /// Resolves an identifier to an optimizer.
    ///
    /// # Errors
    /// Returns an error if there is no such optimizer, if its configuration is invalid, or if the identifier is empty.
    pub fn optimizer(&self, identifier: impl Into<Identifier>) -> Result<component::Optimizer> {
        let Resolution { component, base } = self.inner.resolution(Kind::Optimizer, &identifier.into())?;
        match component {
            Resolved::Optimizer(optimizer) => component::Optimizer::new(optimizer, base, &*self.inner),
            other => Err(wrong_kind(&other, Kind::Optimizer)),
        }
    }

    /// Resolves an identifier to a schedule.
    ///
    /// # Errors
    /// Returns an error if there is no such schedule, if its configuration is invalid, or if the identifier is empty.
    pub fn schedule(&self, identifier: impl Into<Identifier>) -> Result<component::Schedule> {
        let Resolution { component, base } = self.inner.resolution(Kind::Schedule, &identifier.into())?;
        match component {
            Resolved::Schedule(schedule) => component::Schedule::new(schedule, base),
            other => Err(wrong_kind(&other, Kind::Schedule)),
        }
    }

    /// Compiles an optimizer, losses and metrics from the newest plug-ins. Plug-ins loaded later don't change the
    /// result.
    ///
    /// # Errors
    /// Returns an error if an identifier can't be resolved or a component doesn't fit the outputs; the error says
    /// which.
    pub fn compile(&self, compile: Compile) -> Result<Compiled> {
        self.rescan();
        // Losses and metrics are created at the first batch; the snapshot makes them come from the same plug-ins as the
        // optimizer.
        Compiled::new(Arc::new(self.snapshot()), compile)
    }

    /// Compiles from the output of [`Compiled::get_compile_config`] or from Keras's compile configuration.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`compile`](Self::compile), or if the configuration has an unknown
    /// key.
    pub fn compile_from_config(&self, config: &Value) -> Result<Compiled> {
        self.compile(Compile::from_json(config, None)?)
    }

    /// Resolves an identifier to a component of this kind, to be nested in another.
    pub(crate) fn resolve(&self, kind: Kind, identifier: &Value) -> Result<Resolved> {
        self.inner.resolve(kind, identifier)
    }

    /// Resolves an identifier to an optimizer, to be nested in another.
    pub(crate) fn nested(&self, identifier: &Value) -> Result<Nested> {
        self.inner.nested(identifier)
    }
}

impl Components for Host {
    fn loss(&self, identifier: Identifier) -> Result<component::Loss> {
        Host::loss(self, identifier)
    }

    fn metric(&self, identifier: Identifier) -> Result<component::Metric> {
        Host::metric(self, identifier)
    }

    fn optimizer(&self, identifier: Identifier) -> Result<component::Optimizer> {
        Host::optimizer(self, identifier)
    }

    fn numbers_names(&self, class_name: &str) -> bool {
        let registry = read(&self.inner.registry);
        let found = registry.find(Kind::Metric, class_name);
        found.is_ok_and(|(_, component)| component.base.get("name").is_some_and(Value::is_null))
    }

    fn continue_on_crash(&self) -> bool {
        self.inner.options.isolate.as_ref().is_some_and(|isolation| isolation.continue_on_crash)
    }
}

impl Default for Host {
    fn default() -> Self {
        Host::new()
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plugins: Vec<String> = self.plugins().iter().map(RegisteredPlugin::label).collect();
        f.debug_struct("Host").field("plugins", &plugins).finish()
    }
}

/// The data behind these locks is consistent after every step, so a poisoned lock is safe to use.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
