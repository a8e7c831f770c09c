//! The host: the plug-ins that are loaded, and what identifiers stand for among them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use serde_json::{Map, Value, json};

use crate::compile::{Compile, Compiled};
use crate::component;
use crate::data::text::{of_path, one_line};
use crate::identifier::{Component, Identifier, Instance, Meaning, Spec, Symbol};
use crate::plugin::find::{self, FileReport, Folder, FolderReport, Source, State, Verdict};
use crate::plugin::{self, Door, Kind, LoadOptions, Nested, Plugin, Refusal, Resolve, Resolved};
use crate::registry::{Added, Listed, Registry};
use crate::watch::Watch;
use crate::{Error, Result};

/// The plug-ins that are loaded. Clones share them.
///
/// ```
/// let host = plugfit::Host::new(); // the standard set is there already
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
    /// The files that were named, each once.
    files: RwLock<Vec<FileReport>>,
    /// Held while folders are looked into, so that two who do it at once don't load a file twice.
    scanning: Mutex<()>,
    notes: RwLock<Vec<String>>,
    options: LoadOptions,
    door: Arc<Door>,
}

impl Host {
    /// A host with the standard set, if the crate was built with the feature `builtin`, and no other plug-in.
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

    /// A host with no plug-in at all.
    pub fn empty() -> Self {
        Self::with_options(LoadOptions::default())
    }

    /// A host with no plug-in at all, that loads with these options for as long as it lives: what they refuse, nothing lets in.
    pub fn with_options(options: LoadOptions) -> Self {
        Self::with(Registry::default(), options, &Door::closed())
    }

    /// The same with the plug-ins that it has now, whatever is loaded later.
    fn as_it_is(&self) -> Self {
        let registry = read(&self.inner.registry).clone();
        Self::with(registry, self.inner.options.clone(), &self.inner.door)
    }

    fn with(registry: Registry, options: LoadOptions, door: &Door) -> Self {
        let inner = Arc::new_cyclic(|weak: &Weak<Inner>| Inner {
            registry: RwLock::new(registry),
            reports: RwLock::default(),
            files: RwLock::default(),
            scanning: Mutex::default(),
            notes: RwLock::default(),
            options,
            door: Arc::new(door.towards(weak.clone())),
        });
        Host { inner }
    }

    /// Loads a plug-in, or every plug-in of a folder.
    ///
    /// # Errors
    /// The path doesn't exist, it is a file that can't be loaded, or others could put files into the folder. A file in a folder
    /// that can't be loaded is no error: [`reports`](Self::reports) says why.
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
    /// The file is missing or refused, another plug-in of its name and version is loaded, or what is built in has its name.
    pub fn add_file(&self, path: &Path) -> Result<()> {
        match self.report_file(path).verdict {
            Verdict::Refused(refusal) => Err(refusal.into()),
            _ => Ok(()),
        }
    }

    /// Loads one plug-in, and says what became of it.
    pub fn report_file(&self, path: &Path) -> FileReport {
        let mut report = find::file(path, &self.inner.options);
        if let Verdict::Loaded(plugin) = &report.verdict
            && let Some(verdict) = self.took(plugin.clone(), path)
        {
            report.verdict = verdict;
        }
        let mut files = write(&self.inner.files);
        files.retain(|other| other.path != report.path);
        files.push(report.clone());
        report
    }

    /// What became of each file that was named by itself.
    pub fn files(&self) -> Vec<FileReport> {
        read(&self.inner.files).clone()
    }

    /// Loads the plug-ins of a folder. What can't be loaded is passed over; the report says why.
    pub fn add_folder(&self, folder: Folder) -> FolderReport {
        let _one = self.inner.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let report = self.scan(&folder, &[]);
        write(&self.inner.reports).push(report.clone());
        report
    }

    /// Looks again into the folders: what was dropped in since is loaded. [`compile`](Self::compile) does it, and
    /// [`watch`](Self::watch) whenever something changes.
    ///
    /// A newer version of a plug-in is used from now on; what was made of the older one keeps it. A library is never unloaded:
    /// one whose file was changed or deleted goes on as it was, and of a changed one that still has the same version a note is
    /// made. A file that was refused, as one that isn't copied to its end, is looked at again.
    pub fn rescan(&self) {
        let _one = self.inner.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let before = read(&self.inner.reports).clone();
        let after = before.iter().map(|report| self.scan(&report.folder, &report.files)).collect();
        *write(&self.inner.reports) = after;
    }

    /// Looks again into the folders that it has now whenever something changes in them, until what this gives is dropped: a file
    /// that is dropped in is loaded once it is whole and has lain still for a moment. It is [`rescan`](Self::rescan) on a thread of
    /// its own.
    ///
    /// # Errors
    /// The system watches no more folders.
    pub fn watch(&self) -> Result<Watch> {
        Watch::new(self.clone())
    }

    fn scan(&self, folder: &Folder, before: &[FileReport]) -> FolderReport {
        let mut report = find::scan(folder, &self.inner.options, before);
        for file in report.files.iter_mut().filter(|file| !file.is_among(before)) {
            let Verdict::Loaded(plugin) = &file.verdict else { continue };
            let label = plugin.label().to_owned();
            let was_loaded = |other: &FileReport| {
                other.path == file.path && matches!(other.verdict, Verdict::Loaded(_) | Verdict::Same(_))
            };
            // A library isn't unloaded: the file that was there goes on.
            if before.iter().any(was_loaded) && self.is_loaded_from(&label, &file.path) {
                let path = of_path(&file.path);
                self.note(format!(
                    "{path} has changed and is still {label}, which is loaded: raise its version to have it used"
                ));
                file.verdict = Verdict::Same(format!("{label} is loaded from {path} already"));
                continue;
            }
            if let Some(verdict) = self.took(plugin.clone(), &file.path) {
                file.verdict = verdict;
            }
        }
        report
    }

    /// Whether this plug-in is loaded from this file.
    fn is_loaded_from(&self, label: &str, path: &Path) -> bool {
        let is_it = |plugin: &Arc<Plugin>| {
            plugin.label() == label && matches!(plugin.origin(), plugin::Origin::File(from) if from == path)
        };
        read(&self.inner.registry).plugins().iter().any(is_it)
    }

    /// Adds a plug-in of a file; gives the verdict where it isn't used.
    fn took(&self, plugin: Arc<Plugin>, path: &Path) -> Option<Verdict> {
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

    /// Adds a plug-in that is linked in.
    ///
    /// # Errors
    /// It doesn't fit this host, or differs from a plug-in of the same name and version.
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

    /// Adds a plug-in that is loaded already.
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

    /// What became of each file of each folder.
    pub fn reports(&self) -> Vec<FolderReport> {
        read(&self.inner.reports).clone()
    }

    /// What the user should know of the plug-ins: a version that isn't used because there is a newer one.
    pub fn notes(&self) -> Vec<String> {
        read(&self.inner.notes).clone()
    }

    /// The plug-ins in use, in the order they were loaded.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        read(&self.inner.registry).plugins().to_vec()
    }

    /// Every component of a kind with its plug-in, sorted by name.
    pub fn components(&self, kind: Kind) -> Vec<(Arc<Plugin>, plugin::Component)> {
        let registry = read(&self.inner.registry);
        registry.components(kind).into_iter().map(|(plugin, component)| (plugin.clone(), component.clone())).collect()
    }

    /// The plug-in and the description of the component that a name stands for.
    ///
    /// # Errors
    /// There is none, or more than one; see [`Registry::find`].
    pub fn find(&self, kind: Kind, name: &str) -> Result<(Arc<Plugin>, plugin::Component)> {
        let registry = read(&self.inner.registry);
        registry.find(kind, name).map(|(plugin, component)| (plugin.clone(), component.clone()))
    }

    /// The plug-in and the component that each spelling of a name stands for, by their names; see [`Registry::spellings`].
    pub(crate) fn spellings(&self, kind: Kind) -> BTreeMap<String, Option<(String, String)>> {
        let registry = read(&self.inner.registry);
        let names = |(plugin, component): (&Arc<Plugin>, &plugin::Component)| {
            (plugin.name().to_owned(), component.name.clone())
        };
        registry.spellings(kind).into_iter().map(|(spelling, found)| (spelling, found.map(names))).collect()
    }

    /// Whether a plug-in has a component of this name, usable or not.
    pub fn has(&self, kind: Kind, name: &str) -> bool {
        read(&self.inner.registry).has(kind, name)
    }

    /// What plug-ins reach their host by.
    pub fn door(&self) -> &Arc<Door> {
        &self.inner.door
    }

    /// The loss that an identifier stands for.
    ///
    /// # Errors
    /// There is none, its configuration can't be, or none was given.
    pub fn loss(&self, identifier: impl Into<Identifier>) -> Result<component::Loss> {
        let Resolution { component, base } = self.inner.resolution(Kind::Loss, &identifier.into())?;
        match component {
            Resolved::Loss(loss) => component::Loss::new(loss, base),
            other => Err(wrong_kind(&other, Kind::Loss)),
        }
    }

    /// The metric that an identifier stands for. A name that no plug-in has as a metric, but as a loss, is the mean of that
    /// loss's values.
    ///
    /// # Errors
    /// There is none, its configuration can't be, or none was given.
    pub fn metric(&self, identifier: impl Into<Identifier>) -> Result<component::Metric> {
        let Resolution { component, base } = self.inner.resolution(Kind::Metric, &identifier.into())?;
        match component {
            Resolved::Metric(metric) => component::Metric::new(metric, base),
            Resolved::Loss(loss) => component::Metric::of_loss(loss, base),
            other => Err(wrong_kind(&other, Kind::Metric)),
        }
    }

    /// The optimizer that an identifier stands for.
    ///
    /// # Errors
    /// There is none, its configuration can't be, or none was given.
    pub fn optimizer(&self, identifier: impl Into<Identifier>) -> Result<component::Optimizer> {
        let Resolution { component, base } = self.inner.resolution(Kind::Optimizer, &identifier.into())?;
        match component {
            Resolved::Optimizer(optimizer) => component::Optimizer::new(optimizer, base, &*self.inner),
            other => Err(wrong_kind(&other, Kind::Optimizer)),
        }
    }

    /// The schedule that an identifier stands for.
    ///
    /// # Errors
    /// There is none, its configuration can't be, or none was given.
    pub fn schedule(&self, identifier: impl Into<Identifier>) -> Result<component::Schedule> {
        let Resolution { component, base } = self.inner.resolution(Kind::Schedule, &identifier.into())?;
        match component {
            Resolved::Schedule(schedule) => component::Schedule::new(schedule, base),
            other => Err(wrong_kind(&other, Kind::Schedule)),
        }
    }

    /// Puts an optimizer, losses and metrics together, of the newest plug-ins that there are now: it keeps them when newer ones
    /// come.
    ///
    /// # Errors
    /// An identifier stands for nothing, or doesn't fit the outputs; the error says which.
    pub fn compile(&self, compile: Compile) -> Result<Compiled> {
        self.rescan();
        // Losses and metrics are made at the first batch, and of the same plug-ins as the optimizer now.
        Compiled::new(self.as_it_is(), compile)
    }

    /// Puts together what [`Compiled::get_compile_config`] wrote, or Keras's.
    ///
    /// # Errors
    /// As [`compile`](Self::compile); the configuration has a key that isn't known.
    pub fn compile_from_config(&self, config: &Value) -> Result<Compiled> {
        self.compile(Compile::from_json(config, None)?)
    }

    /// The component of this kind that an identifier stands for, to be nested in another.
    pub(crate) fn resolve(&self, kind: Kind, identifier: &Value) -> Result<Resolved> {
        self.inner.resolve(kind, identifier)
    }

    /// As [`resolve`](Self::resolve), for an optimizer.
    pub(crate) fn nested(&self, identifier: &Value) -> Result<Nested> {
        self.inner.nested(identifier)
    }

    /// Whether what is compiled goes on without a metric that crashed in its process.
    pub(crate) fn goes_on(&self) -> bool {
        self.inner.options.isolate.as_ref().is_some_and(|isolation| isolation.goes_on)
    }

    /// Whether unnamed metrics of this class are numbered over all outputs: where the plug-in declares its name as null.
    pub(crate) fn numbers_names(&self, class_name: &str) -> bool {
        let registry = read(&self.inner.registry);
        let found = registry.find(Kind::Metric, class_name);
        found.is_ok_and(|(_, component)| component.base.get("name").is_some_and(Value::is_null))
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
            Meaning::Nothing => Err(Error::usage(format!(
                "{} {kind} was expected, none is given",
                if kind == Kind::Optimizer { "an" } else { "a" }
            ))),
            Meaning::Name(class_name) => self.named(kind, Spec { class_name, config: Map::new() }),
            Meaning::Config(spec) => self.named(kind, spec),
            Meaning::Symbol(symbol) => self.symbol(kind, symbol),
            Meaning::Instance(Instance { component, config }) => {
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
            // A loss makes a metric, where no metric of that name is meant.
            let as_loss = kind == Kind::Metric
                && !registry.has(Kind::Metric, &class_name)
                && registry.has(Kind::Loss, &class_name);
            let kind = if as_loss { Kind::Loss } else { kind };
            let (plugin, component) = registry.find(kind, &class_name)?;
            (plugin.clone(), component.clone(), kind)
        };
        let (base, own) = component::split(kind, &component, config)?;
        let component = match kind {
            Kind::Loss => Resolved::Loss(plugin.loss(&component.name, &own, &self.door)?),
            Kind::Metric => Resolved::Metric(plugin.metric(&component.name, &own, &self.door)?),
            Kind::Optimizer => Resolved::Optimizer(plugin.optimizer(&component.name, &own, &self.door)?),
            Kind::Schedule => Resolved::Schedule(plugin.schedule(&component.name, &own, &self.door)?),
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
    /// Nested components have no keys of the host: what wraps them reduces, names and rates.
    fn resolve(&self, kind: Kind, identifier: &Value) -> Result<Resolved> {
        let identifier = Identifier::from(identifier.clone());
        if let Meaning::Symbol(symbol) = identifier.read()?
            && !symbol.library.is_absolute()
        {
            // The folder that the path is seen from isn't known here, and the working directory may be any.
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
        let given = match identifier.read()? {
            Meaning::Config(spec) => ["learning_rate", "lr"].iter().any(|key| spec.config.contains_key(*key)),
            _ => false,
        };
        let Resolution { component, base } = self.resolution(Kind::Optimizer, &identifier)?;
        match component {
            Resolved::Optimizer(optimizer) => component::nested(optimizer, base, given, self),
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
    Error::usage(format!("\"{name}\" is of the {}, and one of the {} was expected", kind.plural(), wanted.plural()))
}

/// What is behind these locks is whole after every step, so that a panic elsewhere does it no harm.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
