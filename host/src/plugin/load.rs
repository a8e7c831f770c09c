//! Loads plug-ins from files, checks their interfaces, and creates their components.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugfit_abi::Root;
use plugfit_api::testing;
use serde_json::{Map, Value};

use super::component::{ComponentHandle, Table};
use super::creation_guard::CreationGuard;
use super::digest::digest;
use super::interface::{Interfaces, Offered};
use super::isolate::{self, Isolated, Source};
use super::options::Library;
use super::{
    Component, HostCallbacks, Kind, LoadOptions, Loss, Manifest, Metric, Optimizer, Refusal, Resolved, Schedule,
    allocations, library, sha256, vet,
};
use crate::text::printable_path;
use crate::{Error, Result};

/// The origin of a plug-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Linked into the program.
    BuiltIn,
    /// Loaded from this file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::BuiltIn => f.write_str("built in"),
            Origin::File(path) => f.write_str(&printable_path(path)),
        }
    }
}

/// A loaded plug-in. It is never unloaded.
pub struct Plugin {
    manifest: Manifest,
    manifest_digest: String,
    label: String,
    origin: Origin,
    /// See [`digest`](Self::digest).
    digest: String,
    /// `None` if its code isn't loaded into this process.
    root: Option<&'static Root>,
    interfaces: Interfaces,
    isolated: Option<Isolated>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.label, self.origin)
    }
}

impl Plugin {
    /// Vets a file and loads the vetted bytes.
    ///
    /// # Errors
    /// Returns a refusal if the file can't be used or may not be loaded.
    pub fn open(path: &Path, options: &LoadOptions) -> std::result::Result<Arc<Self>, Refusal> {
        Self::open_file(path, options).map_err(|refusal| refusal.at(path))
    }

    fn open_file(path: &Path, options: &LoadOptions) -> std::result::Result<Arc<Self>, Refusal> {
        let (Library { bytes, real }, in_place) = (options.read(path, false)?, options.load_in_place);
        if options.manifests_only || options.isolate.is_some() {
            let vetted = vet::plugin(&bytes, in_place)?;
            if options.isolate.is_none() {
                vet::check_panic(&vetted.manifest)?;
            }
            let digest = digest(&bytes);
            let worker = options.isolate.clone().filter(|_| !options.manifests_only);
            let library_path = if in_place { real } else { path.to_owned() };
            let isolated = worker.map(|isolation| {
                Isolated::new(isolation, Source { bytes, path: library_path, in_place, function: None })
            });
            let interfaces = isolate::interfaces(&vetted.manifest);
            let origin = Origin::File(path.to_owned());
            let plugin = Self::new(vetted.manifest, interfaces, origin, digest, sha256(&vetted.json));
            return Ok(Arc::new(Plugin { isolated, ..plugin }));
        }
        Self::load(&bytes, path, &real, in_place, false)
    }

    /// Loads the library of these bytes into this process. `real` is the file to load if `in_place` is set.
    /// If `expendable` is true, plug-ins built with `panic = "abort"` are loaded too.
    pub(super) fn load(
        bytes: &[u8],
        path: &Path,
        real: &Path,
        in_place: bool,
        expendable: bool,
    ) -> std::result::Result<Arc<Self>, Refusal> {
        let vetted = vet::plugin(bytes, in_place)?;
        if !expendable {
            vet::check_panic(&vetted.manifest)?;
        }
        let library = library::open(bytes, real, &vetted.needed, in_place)
            .map_err(|error| Refusal::new("can't be loaded by the system").hint(one_line(&error)).details(error))?;
        // SAFETY: only the symbol's address is taken; nothing is assumed about what it points to.
        let root: *const Root = match unsafe { library.get::<*const Root>(vetted.root.as_bytes()) } {
            Ok(symbol) => *symbol,
            Err(error) => return Err(Refusal::new("doesn't export its root").details(error.to_string())),
        };
        // Never unloaded: threads, thread-locals and components of the library may live on.
        std::mem::forget(library);
        if root.is_null() || !root.is_aligned() {
            return Err(Refusal::new("exports a root that is null or not aligned"));
        }
        // SAFETY: `root` isn't null, is aligned, and points into a library that is never unloaded; magic and version
        // come first in every version of the root.
        let (magic, version) = unsafe { ((*root).magic, (*root).abi_version) };
        if magic != plugfit_abi::MAGIC || version != plugfit_abi::ABI_VERSION {
            return Err(Refusal::new("has a root whose ABI differs from that of its manifest").hint("build it again"));
        }
        // SAFETY: the root has this program's ABI version, and is never freed.
        let root = unsafe { &*root };
        // SAFETY: the root guarantees that its manifest has this address and length.
        let manifest_in_memory = unsafe { std::slice::from_raw_parts(root.manifest, root.manifest_length) };
        if manifest_in_memory != vetted.json {
            return Err(
                Refusal::new("has a manifest in memory that differs from that in its file").hint("build it again")
            );
        }
        let (manifest_digest, digest) = (sha256(&vetted.json), digest(bytes));
        let interfaces = Interfaces::of_root(root, &vetted.manifest);
        let origin = Origin::File(path.to_owned());
        let plugin = Self::new(vetted.manifest, interfaces, origin, digest, manifest_digest);
        Ok(Arc::new(Plugin { root: Some(root), ..plugin }))
    }

    /// Reads the manifest of a file without running any of its code.
    ///
    /// # Errors
    /// Returns a refusal if the file could not be loaded.
    pub fn read_manifest(path: &Path) -> std::result::Result<Manifest, Refusal> {
        let read = || {
            let manifest = vet::plugin(&Library::read(path, false)?.bytes, true)?.manifest;
            vet::check_panic(&manifest)?;
            Ok(manifest)
        };
        read().map_err(|refusal: Refusal| refusal.at(path))
    }

    /// Creates the plug-in of a root that is linked into the program.
    ///
    /// # Errors
    /// Returns a refusal if the root has another ABI version.
    pub fn built_in(root: &'static Root) -> std::result::Result<Arc<Self>, Refusal> {
        let refused = |reason: String| Refusal::new(reason).at("a plug-in that is linked in");
        if root.magic != plugfit_abi::MAGIC || root.abi_version != plugfit_abi::ABI_VERSION {
            return Err(refused("is of another ABI".into()));
        }
        // SAFETY: the root guarantees that its manifest has this address and length.
        let json = unsafe { std::slice::from_raw_parts(root.manifest, root.manifest_length) };
        let manifest =
            serde_json::from_slice(json).map_err(|error| refused(format!("has a damaged manifest: {error}")))?;
        let digest = sha256(json);
        let interfaces = Interfaces::of_root(root, &manifest);
        let plugin = Self::new(manifest, interfaces, Origin::BuiltIn, digest.clone(), digest);
        Ok(Arc::new(Plugin { root: Some(root), ..plugin }))
    }

    fn new(
        manifest: Manifest,
        interfaces: Interfaces,
        origin: Origin,
        digest: String,
        manifest_digest: String,
    ) -> Self {
        let label = format!("{} {}", manifest.name, manifest.version);
        Plugin { manifest, interfaces, manifest_digest, label, origin, digest, root: None, isolated: None }
    }

    /// Counts the plug-in's allocations from now on, for `plugfit check`.
    pub(crate) fn count_allocations(&self) {
        if let Some(root) = self.root {
            // SAFETY: the library is never unloaded, and was vetted.
            unsafe { allocations::count(std::ptr::from_ref(root).cast()) };
        }
    }

    /// Returns the interfaces of its components.
    pub(super) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// Returns the plug-in's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the plug-in's name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Returns the plug-in's version.
    pub fn version(&self) -> &str {
        &self.manifest.version
    }

    /// Returns name and version, such as "calibration 0.2.0".
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the plug-in's origin.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns a digest of the loaded parts of the file and of the file's length; for a built-in plug-in, the digest of
    /// its manifest. It isn't the SHA-256 of the whole file, since debugging symbols aren't read.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the SHA-256 of the manifest.
    pub fn manifest_digest(&self) -> &str {
        &self.manifest_digest
    }

    /// Returns the plug-in as a subject of `plugfit check`, with random numbers seeded by `seed`. The tests observe
    /// this process, and may end it.
    ///
    /// # Errors
    /// Returns an error if the plug-in's code isn't loaded into this process.
    pub fn subject(&self, callbacks: &Arc<HostCallbacks>, seed: u64) -> Result<testing::Subject> {
        let root = self.root.ok_or_else(|| Error::plugin(format!("{} isn't loaded into this process", self.label)))?;
        // The test host has no owner, so the callbacks are leaked.
        std::mem::forget(callbacks.clone());
        // SAFETY: the callbacks are never dropped.
        let subject = unsafe { testing::Subject::new(root, seed).with_host(callbacks.host()) };
        Ok(subject.in_own_process(super::observe, super::allocate_guarded()))
    }

    /// Returns whether the plug-in's components of this kind can be used.
    pub fn has(&self, kind: Kind) -> bool {
        self.unusable_reason(kind).is_none()
    }

    /// Returns the reason why the plug-in's components of this kind can't be used, if they can't.
    pub fn unusable_reason(&self, kind: Kind) -> Option<&str> {
        self.interfaces.error(kind).map(|error| error.reason.as_str())
    }

    /// Returns the details of [`unusable_reason`](Self::unusable_reason), for debugging.
    pub fn unusable_details(&self, kind: Kind) -> Option<&str> {
        self.interfaces.error(kind).and_then(|error| error.details.as_deref())
    }

    /// Creates a component that the plug-in's manifest declares.
    ///
    /// # Errors
    /// Returns an error if the configuration is invalid or the plug-in fails.
    pub fn create(
        &self,
        kind: Kind,
        component: &Component,
        config: &Map<String, Value>,
        callbacks: &Arc<HostCallbacks>,
    ) -> Result<Resolved> {
        let Interfaces { loss, float64, metric, optimizer, schedule, formula: _ } = &self.interfaces;
        Ok(match kind {
            Kind::Loss => Resolved::Loss(Loss::new(self.create_handle(loss, component, config, callbacks)?, *float64)?),
            Kind::Metric => Resolved::Metric(Metric::new(self.create_handle(metric, component, config, callbacks)?)?),
            Kind::Optimizer => {
                Resolved::Optimizer(Optimizer::new(self.create_handle(optimizer, component, config, callbacks)?)?)
            }
            Kind::Schedule => {
                Resolved::Schedule(Schedule::new(self.create_handle(schedule, component, config, callbacks)?))
            }
        })
    }

    fn create_handle<T: Table>(
        &self,
        offered: &Offered<T>,
        component: &Component,
        config: &Map<String, Value>,
        callbacks: &Arc<HostCallbacks>,
    ) -> Result<ComponentHandle<T>> {
        if self.root.is_none() && self.isolated.is_none() {
            return Err(Error::plugin(format!("{} isn't loaded: only its manifest was read", self.label)));
        }
        let interface = offered
            .as_ref()
            .map_err(|error| Error::plugin(format!("{} can't be used: {}", self.label, error.reason)))?;
        let _guard = CreationGuard::begin(&component.name)?;
        let config = serde_json::to_string(config).map_err(|error| Error::usage(error.to_string()))?;
        let gives_host_kinds = self.isolated.is_some() || self.origin == Origin::BuiltIn;
        ComponentHandle::new(*interface, &component.name, callbacks.clone())
            .of_plugin(&self.label, &self.manifest.name, gives_host_kinds)
            .with_formula(self.interfaces.formula)
            .create(self.isolated.as_ref(), &config, component.config_version)
    }
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
