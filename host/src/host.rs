//! The host: the loaded plug-ins, and the resolution of identifiers to their components.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use serde_json::{Map, Value, json};

use crate::compile::{Compile, Compiled, Components};
use crate::component;
use crate::identifier::{Component, Identifier, Instance, ParsedIdentifier, Spec, Symbol};
use crate::plugin::find::{self, FileReport, Folder, FolderReport, Source, State, Verdict};
use crate::plugin::{self, HostCallbacks, Kind, LoadOptions, Nested, Plugin, Refusal, Resolve, Resolved};
use crate::registry::{Added, Listed, Registry};
use crate::text::{of_path, one_line};
use crate::watch::Watch;
use crate::{Error, Result};

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

    /// Loads a plug-in, or every plug-in of a folder.
    ///
    /// # Errors
    /// Returns an error if the path doesn't exist, if it is a file that can't be loaded, or if other users can write to
    /// the folder. A file in a folder that can't be loaded is not an error: [`reports`](Self::reports) contains the
    /// reason.
    pub fn with_plugins(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            self.add_file(path)?;
        } else if let State::Refused(refusal) =
            self.add_folder(Folder { path: path.to_owned(), source: Source::Flag }).state
        {
            return Err(refusal.into());
        }
        Ok(self)
    }

    /// Loads one plug-in.
    ///
    /// # Errors
    /// Returns an error if the file is missing or rejected, if another plug-in of the same name and version is loaded,
    /// or if the name is that of the built-in plug-in.
    pub fn add_file(&self, path: &Path) -> Result<()> {
        match self.report_file(path).verdict {
            Verdict::Refused(refusal) => Err(refusal.into()),
            _ => Ok(()),
        }
    }

    /// Loads one plug-in and returns a report on the outcome.
    pub fn report_file(&self, path: &Path) -> FileReport {
        let mut report = find::file(path, &self.inner.options);
        if let Verdict::Loaded(plugin) = &report.verdict
            && let Some(verdict) = self.add_from_file(plugin.clone(), path)
        {
            report.verdict = verdict;
        }
        let mut files = write(&self.inner.files);
        files.retain(|other| other.path != report.path);
        files.push(report.clone());
        report
    }

    /// Returns the report on each file that was loaded individually.
    pub fn files(&self) -> Vec<FileReport> {
        read(&self.inner.files).clone()
    }

    /// Loads the plug-ins of a folder. Files that can't be loaded are skipped; the report says why.
    pub fn add_folder(&self, folder: Folder) -> FolderReport {
        let _one = self.inner.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let report = self.scan(&folder, &[]);
        write(&self.inner.reports).push(report.clone());
        report
    }

    /// Scans the folders again and loads plug-ins that were added since. [`compile`](Self::compile) calls it, and so
    /// does [`watch`](Self::watch) whenever something changes.
    ///
    /// From now on the newest version of a plug-in is used; components that were created from an older version continue
    /// to use it. Libraries are never unloaded: if a file changes or is deleted, the loaded library stays in use, and
    /// if a changed file has the same version, a note is added. Files that were rejected, such as a file that was still
    /// being copied, are checked again.
    pub fn rescan(&self) {
        let _one = self.inner.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let before = read(&self.inner.reports).clone();
        let after = before.iter().map(|report| self.scan(&report.folder, &report.files)).collect();
        *write(&self.inner.reports) = after;
    }

    /// Watches the current folders and scans them again whenever something changes, until the returned value is
    /// dropped. A new file is loaded once it is complete and hasn't changed for a moment. Runs [`rescan`](Self::rescan)
    /// on a thread.
    ///
    /// # Errors
    /// Returns an error if the operating system can't watch more folders.
    pub fn watch(&self) -> Result<Watch> {
        let host = self.clone();
        let folders = self.reports().into_iter().map(|report| report.folder.path).collect();
        Watch::new(folders, move || host.rescan())
    }

    fn scan(&self, folder: &Folder, before: &[FileReport]) -> FolderReport {
        let mut report = find::scan(folder, &self.inner.options, before);
        for file in report.files.iter_mut().filter(|file| !file.is_among(before)) {
            let Verdict::Loaded(plugin) = &file.verdict else { continue };
            let label = plugin.label().to_owned();
            let was_loaded = |other: &FileReport| {
                other.path == file.path && matches!(other.verdict, Verdict::Loaded(_) | Verdict::Same(_))
            };
            // Libraries aren't unloaded: the one loaded from the old file stays in use.
            if before.iter().any(was_loaded) && self.is_loaded_from(&label, &file.path) {
                let path = of_path(&file.path);
                self.note(format!(
                    "{path} has changed and is still {label}, which is loaded: raise its version to have it used"
                ));
                file.verdict = Verdict::Same(format!("{label} is loaded from {path} already"));
                continue;
            }
            if let Some(verdict) = self.add_from_file(plugin.clone(), &file.path) {
                file.verdict = verdict;
            }
        }
        report
    }

    /// Returns whether this plug-in is loaded from this file.
    fn is_loaded_from(&self, label: &str, path: &Path) -> bool {
        let matches_plugin = |plugin: &Arc<Plugin>| {
            plugin.label() == label && matches!(plugin.origin(), plugin::Origin::File(from) if from == path)
        };
        read(&self.inner.registry).plugins().iter().any(matches_plugin)
    }

    /// Adds a plug-in that was loaded from a file. Returns the verdict if the plug-in isn't used.
    fn add_from_file(&self, plugin: Arc<Plugin>, path: &Path) -> Option<Verdict> {
        let label = plugin.label().to_owned();
        match self.add(plugin) {
            Added::New | Added::Replaced { .. } => None,
            Added::Same { place } if place == "built in" => Some(Verdict::Same(format!("{label} is built in already"))),
            Added::Same { place } => Some(Verdict::Same(format!("{label} is loaded from {place} already"))),
            Added::Older { version, place } => {
                Some(Verdict::PassedBy(format!("{label} is older than {version}, loaded from {place}")))
            }
            Added::Conflict { place } => Some(Verdict::Refused(Refusal::conflict(&label, &place).at(path))),
            Added::Reserved => Some(Verdict::Refused(Refusal::reserved(&label).at(path))),
        }
    }

    /// Adds a plug-in that is linked into the program.
    ///
    /// # Errors
    /// Returns an error if the plug-in isn't compatible with this host, or differs from a loaded plug-in of the same
    /// name and version.
    pub fn add_plugin(&self, root: &'static plugfit_abi::Root) -> Result<()> {
        let plugin = Plugin::built_in(root)?;
        let label = plugin.label().to_owned();
        match self.add(plugin) {
            Added::Conflict { place } => {
                Err(Refusal::conflict(&label, &place).at("a plug-in that is linked in").into())
            }
            _ => Ok(()),
        }
    }

    /// Adds a plug-in that is already loaded.
    pub fn add_loaded(&self, plugin: Arc<Plugin>) {
        self.add(plugin);
    }

    pub(crate) fn add(&self, plugin: Arc<Plugin>) -> Added {
        let label = plugin.label().to_owned();
        let origin = plugin.origin().to_string();
        let added = write(&self.inner.registry).add(plugin);
        if let Added::Replaced { version, place } | Added::Older { version, place } = &added {
            let (used, not) = match added {
                Added::Replaced { .. } => (format!("{label} ({origin})"), format!("{version} ({place})")),
                _ => (format!("{version} ({place})"), format!("{label} ({origin})")),
            };
            self.note(format!("of two versions the newest is used: {used}, not {not}"));
        }
        added
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
        let plugins: Vec<String> = self.plugins().iter().map(Listed::label).collect();
        f.debug_struct("Host").field("plugins", &plugins).finish()
    }
}

/// A component, and the host's keys of its configuration.
struct Resolution {
    component: Resolved,
    base: Map<String, Value>,
}

impl Inner {
    fn resolution(&self, kind: Kind, identifier: &Identifier) -> Result<Resolution> {
        match identifier.read()? {
            ParsedIdentifier::Nothing => Err(Error::usage(format!(
                "{} {kind} was expected, none is given",
                if kind == Kind::Optimizer { "an" } else { "a" }
            ))),
            ParsedIdentifier::Name(class_name) => self.named(kind, Spec { class_name, config: Map::new() }),
            ParsedIdentifier::Config(spec) => self.named(kind, spec),
            ParsedIdentifier::Symbol(symbol) => self.symbol(kind, symbol),
            ParsedIdentifier::Instance(Instance { component, config }) => {
                let component = match component {
                    Component::Loss(loss) => Resolved::Loss(loss),
                    Component::Metric(metric) => Resolved::Metric(metric),
                    Component::Optimizer(optimizer) => Resolved::Optimizer(optimizer),
                    Component::Schedule(schedule) => Resolved::Schedule(schedule),
                    Component::Callable(callable) => return Ok(from_callable(&callable, config)),
                };
                Ok(Resolution { component, base: config })
            }
        }
    }

    fn named(&self, kind: Kind, spec: Spec) -> Result<Resolution> {
        let Spec { class_name, config } = spec;
        let (plugin, component, kind) = {
            let registry = read(&self.registry);
            // If no metric has this name, a loss with the name serves as a metric.
            let as_loss = kind == Kind::Metric
                && !registry.has(Kind::Metric, &class_name)
                && registry.has(Kind::Loss, &class_name);
            let kind = if as_loss { Kind::Loss } else { kind };
            let (plugin, component) = registry.find(kind, &class_name)?;
            (plugin.clone(), component.clone(), kind)
        };
        let (base, own) = component::split(kind, &component, config)?;
        let component = match kind {
            Kind::Loss => Resolved::Loss(plugin.loss(&component.name, &own, &self.callbacks)?),
            Kind::Metric => Resolved::Metric(plugin.metric(&component.name, &own, &self.callbacks)?),
            Kind::Optimizer => Resolved::Optimizer(plugin.optimizer(&component.name, &own, &self.callbacks)?),
            Kind::Schedule => Resolved::Schedule(plugin.schedule(&component.name, &own, &self.callbacks)?),
        };
        Ok(Resolution { component, base })
    }

    fn symbol(&self, kind: Kind, symbol: Symbol) -> Result<Resolution> {
        let Symbol { library, symbol, mut config } = symbol;
        if !matches!(kind, Kind::Loss | Kind::Metric) {
            return Err(Error::usage(format!(
                "{}#{} is a function, and no {kind} is one",
                of_path(&library),
                one_line(&symbol)
            )));
        }
        let loss = plugin::symbol(&library, &symbol, &self.options)?;
        config.entry("name").or_insert_with(|| json!(symbol));
        Ok(Resolution { component: Resolved::Loss(loss), base: config })
    }
}

impl Resolve for Inner {
    /// Nested components have none of the host's keys: the component around them handles reduction, names and rates.
    fn resolve(&self, kind: Kind, identifier: &Value) -> Result<Resolved> {
        let identifier = Identifier::from(identifier.clone());
        if let ParsedIdentifier::Symbol(symbol) = identifier.read()?
            && !symbol.library.is_absolute()
        {
            // The folder that the path is relative to isn't available here, and the working directory is arbitrary.
            return Err(Error::usage(format!("{identifier} is given to another component by a relative path"))
                .hint("write the library's path in full"));
        }
        let Resolution { component, .. } = self.resolution(kind, &identifier)?;
        match (&component, kind) {
            (Resolved::Loss(_), Kind::Loss)
            | (Resolved::Metric(_), Kind::Metric)
            | (Resolved::Optimizer(_), Kind::Optimizer)
            | (Resolved::Schedule(_), Kind::Schedule) => Ok(component),
            _ => Err(wrong_kind(&component, kind)),
        }
    }

    fn nested(&self, identifier: &Value) -> Result<Nested> {
        let identifier = Identifier::from(identifier.clone());
        let sets_rate = match identifier.read()? {
            ParsedIdentifier::Config(spec) => ["learning_rate", "lr"].iter().any(|key| spec.config.contains_key(*key)),
            _ => false,
        };
        let Resolution { component, base } = self.resolution(Kind::Optimizer, &identifier)?;
        match component {
            Resolved::Optimizer(optimizer) => component::nested(optimizer, base, sets_rate, self),
            other => Err(wrong_kind(&other, Kind::Optimizer)),
        }
    }
}

fn from_callable(callable: &crate::identifier::Callable, mut base: Map<String, Value>) -> Resolution {
    base.entry("name").or_insert_with(|| json!(callable.name()));
    Resolution { component: Resolved::Loss(callable.to_loss()), base }
}

fn wrong_kind(found: &Resolved, wanted: Kind) -> Error {
    let (name, kind) = match found {
        Resolved::Loss(loss) => (loss.name(), Kind::Loss),
        Resolved::Metric(metric) => (metric.name(), Kind::Metric),
        Resolved::Optimizer(optimizer) => (optimizer.name(), Kind::Optimizer),
        Resolved::Schedule(schedule) => (schedule.name(), Kind::Schedule),
    };
    Error::usage(format!("\"{name}\" is one of the {}, but one of the {} was expected", kind.plural(), wanted.plural()))
}

/// The data behind these locks is consistent after every step, so a poisoned lock is safe to use.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
