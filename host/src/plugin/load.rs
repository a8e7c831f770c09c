//! Loads plug-ins from files, checks their interfaces, and creates their components.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugfit_abi::abi_stable::StableAbi;
use plugfit_abi::abi_stable::abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals};
use plugfit_abi::{Interface, LOSS_V2, LossV1, LossV2, MetricV1, OptimizerV1, Root, ScheduleV1};
use plugfit_api::testing;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::component::{ComponentHandle, Table};
use super::isolate::{self, Isolated, Isolation, Source};
use super::trust::TrustedKeys;
use super::{
    Component, HostCallbacks, Kind, Lock, Loss, Manifest, Metric, Optimizer, Refusal, Schedule, allocations, image,
    library, lock::hex, ownership, sha256, vet,
};
use crate::text::of_path;
use crate::{Error, Result};

/// How plug-ins are loaded. A host's options are fixed when it is created; nothing can loosen them later.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Load the file itself instead of a checked copy, so that the loader finds libraries beside it.
    pub load_in_place: bool,
    /// Load only files that are in each of these locks.
    pub locks: Vec<Arc<Lock>>,
    /// Load only files that are signed with one of these keys.
    pub signed_by: Option<Arc<TrustedKeys>>,
    /// Run each plug-in in its own process.
    pub isolate: Option<Isolation>,
    /// Read only manifests: components can be inspected but not created, and no code of a plug-in runs.
    pub manifests_only: bool,
}

impl LoadOptions {
    /// Returns what limits the files that may be loaded, if anything does: the path of a lock, or `--require-signed`.
    pub fn limit(&self) -> Option<String> {
        let lock = self.locks.first().map(|lock| of_path(lock.path()));
        lock.or_else(|| self.signed_by.as_ref().map(|_| "--require-signed".into()))
    }

    /// Reads a library that may be loaded: the whole file, or only the relevant parts.
    pub(super) fn read(&self, path: &Path, whole: bool) -> std::result::Result<Library, Refusal> {
        if let (true, Some(limit)) = (self.load_in_place, self.limit()) {
            return Err(Refusal::asked_wrongly(format!("can't be loaded in place with {limit}"))
                .hint("what is loaded in place may change after it was checked"));
        }
        // The signature is read first, since that is quick: without one, the library need not be read.
        let signature = self.signed_by.as_ref().map(|keys| keys.signature(path)).transpose()?;
        let library = Library::read(path, whole || self.limit().is_some())?;
        for lock in &self.locks {
            lock.check(path, &library.bytes)?;
        }
        if let Some(signature) = signature {
            signature.check(&library.bytes)?;
        }
        Ok(library)
    }
}

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
            Origin::File(path) => f.write_str(&of_path(path)),
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
    pub(super) loss: Offered<LossV1>,
    /// The float64 table of its losses. A plug-in that was built before this interface existed doesn't offer it.
    pub(super) float64: Option<&'static LossV2>,
    pub(super) metric: Offered<MetricV1>,
    pub(super) optimizer: Offered<OptimizerV1>,
    pub(super) schedule: Offered<ScheduleV1>,
    isolated: Option<Isolated>,
}

/// A checked interface, or the reason why it can't be used.
pub(super) type Offered<T> = std::result::Result<Checked<T>, Misfit>;

/// An interface whose layout was checked.
pub(super) struct Checked<T: 'static> {
    pub interface: &'static Interface,
    pub table: &'static T,
}

#[derive(Clone, Debug)]
pub(super) struct Misfit {
    reason: String,
    details: Option<String>,
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
            return Ok(Arc::new(Self::not_loaded(isolated, vetted, digest, path)));
        }
        Self::load(&bytes, path, &real, in_place, false)
    }

    /// Loads the library of these bytes into this process. `real` is the file to load if `in_place` is set.
    /// `expendable`: a panic may end the process.
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
            return Err(Refusal::new("has a root that is no root"));
        }
        // SAFETY: `root` isn't null, is aligned, and points into a library that is never unloaded; magic and version
        // come first in every version of the root.
        let (magic, version) = unsafe { ((*root).magic, (*root).abi_version) };
        if magic != plugfit_abi::MAGIC || version != plugfit_abi::ABI_VERSION {
            return Err(Refusal::new("has a root of another ABI than its manifest says").hint("build it again"));
        }
        // SAFETY: the root has this program's ABI version, and is never freed.
        let root = unsafe { &*root };
        // SAFETY: the root guarantees that its manifest has this address and length.
        let manifest_in_memory = unsafe { std::slice::from_raw_parts(root.manifest, root.manifest_length) };
        if manifest_in_memory != vetted.json {
            return Err(Refusal::new("has another manifest in memory than in its file").hint("build it again"));
        }
        let (manifest_digest, digest) = (sha256(&vetted.json), digest(bytes));
        Ok(Arc::new(Self::of_root(root, vetted.manifest, manifest_digest, digest, Origin::File(path.to_owned()))))
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
        Ok(Arc::new(Self::of_root(root, manifest, digest.clone(), digest, Origin::BuiltIn)))
    }

    fn of_root(
        root: &'static Root,
        manifest: Manifest,
        manifest_digest: String,
        digest: String,
        origin: Origin,
    ) -> Self {
        let label = format!("{} {}", manifest.name, manifest.version);
        Plugin {
            loss: offered(root, Kind::Loss, &manifest),
            float64: interface(root, LOSS_V2).ok().map(|checked| checked.table),
            metric: offered(root, Kind::Metric, &manifest),
            optimizer: offered(root, Kind::Optimizer, &manifest),
            schedule: offered(root, Kind::Schedule, &manifest),
            manifest,
            manifest_digest,
            label,
            origin,
            digest,
            root: Some(root),
            isolated: None,
        }
    }

    /// Creates a plug-in whose code isn't loaded into this process; its manifest is trusted.
    fn not_loaded(isolated: Option<Isolated>, vetted: vet::Vetted, digest: String, path: &Path) -> Self {
        fn offered<T>(
            (table, interface): (&'static T, &'static Interface),
            kind: Kind,
            manifest: &Manifest,
        ) -> Offered<T> {
            declared(kind, manifest)?;
            match manifest.interfaces.iter().any(|id| id == kind.interface()) {
                true => Ok(Checked { interface, table }),
                false => Err(not_offered(kind, manifest)),
            }
        }
        let manifest = vetted.manifest;
        Plugin {
            loss: offered(isolate::loss(), Kind::Loss, &manifest),
            float64: manifest.interfaces.iter().any(|id| id == LOSS_V2).then(isolate::loss_v2),
            metric: offered(isolate::metric(), Kind::Metric, &manifest),
            optimizer: offered(isolate::optimizer(), Kind::Optimizer, &manifest),
            schedule: offered(isolate::schedule(), Kind::Schedule, &manifest),
            label: format!("{} {}", manifest.name, manifest.version),
            manifest,
            manifest_digest: sha256(&vetted.json),
            origin: Origin::File(path.to_owned()),
            digest,
            isolated,
            root: None,
        }
    }

    /// Counts the plug-in's allocations from now on, for `plugfit check`.
    pub(crate) fn count_allocations(&self) {
        if let Some(root) = self.root {
            // SAFETY: the library is never unloaded, and was vetted.
            unsafe { allocations::count(std::ptr::from_ref(root).cast()) };
        }
    }

    /// Returns the process that its code runs in, if that isn't this one.
    pub(super) fn isolated(&self) -> Option<&Isolated> {
        self.isolated.as_ref()
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

    /// Returns name and version, such as "calibration 0.1.0".
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
        Ok(subject.in_own_process(super::observe, super::room()))
    }

    /// Returns whether the plug-in's components of this kind can be used.
    pub fn has(&self, kind: Kind) -> bool {
        self.missing(kind).is_none()
    }

    /// Returns the reason why the plug-in's components of this kind can't be used, if they can't.
    pub fn missing(&self, kind: Kind) -> Option<&str> {
        self.misfit(kind).map(|misfit| misfit.reason.as_str())
    }

    /// Returns the details of [`missing`](Self::missing), for debugging.
    pub fn missing_details(&self, kind: Kind) -> Option<&str> {
        self.misfit(kind).and_then(|misfit| misfit.details.as_deref())
    }

    fn misfit(&self, kind: Kind) -> Option<&Misfit> {
        match kind {
            Kind::Loss => self.loss.as_ref().err(),
            Kind::Metric => self.metric.as_ref().err(),
            Kind::Optimizer => self.optimizer.as_ref().err(),
            Kind::Schedule => self.schedule.as_ref().err(),
        }
    }

    /// Creates a loss.
    ///
    /// # Errors
    /// Returns an error if the configuration is invalid or the plug-in fails.
    pub fn loss(&self, name: &str, config: &Map<String, Value>, callbacks: &Arc<HostCallbacks>) -> Result<Loss> {
        Loss::new(self.create(Kind::Loss, &self.loss, name, config, callbacks)?, self.float64)
    }

    /// Creates a metric.
    ///
    /// # Errors
    /// As for [`loss`](Self::loss).
    pub fn metric(&self, name: &str, config: &Map<String, Value>, callbacks: &Arc<HostCallbacks>) -> Result<Metric> {
        Metric::new(self.create(Kind::Metric, &self.metric, name, config, callbacks)?)
    }

    /// Creates an optimizer.
    ///
    /// # Errors
    /// As for [`loss`](Self::loss).
    pub fn optimizer(
        &self,
        name: &str,
        config: &Map<String, Value>,
        callbacks: &Arc<HostCallbacks>,
    ) -> Result<Optimizer> {
        Optimizer::new(self.create(Kind::Optimizer, &self.optimizer, name, config, callbacks)?)
    }

    /// Creates a schedule.
    ///
    /// # Errors
    /// As for [`loss`](Self::loss).
    pub fn schedule(
        &self,
        name: &str,
        config: &Map<String, Value>,
        callbacks: &Arc<HostCallbacks>,
    ) -> Result<Schedule> {
        Ok(Schedule::new(self.create(Kind::Schedule, &self.schedule, name, config, callbacks)?))
    }

    fn create<T: Table>(
        &self,
        kind: Kind,
        offered: &Offered<T>,
        name: &str,
        config: &Map<String, Value>,
        callbacks: &Arc<HostCallbacks>,
    ) -> Result<ComponentHandle<T>> {
        if self.root.is_none() && self.isolated.is_none() {
            return Err(Error::plugin(format!("{} isn't loaded: its manifest alone was read", self.label)));
        }
        let offered = offered
            .as_ref()
            .map_err(|misfit| Error::plugin(format!("{} can't be used: {}", self.label, misfit.reason)))?;
        let declared = |component: &&Component| component.kind() == Some(kind) && component.name == name;
        let version = self.manifest.components.iter().find(declared).map_or(1, |component| component.config_version);
        ComponentHandle::create(offered, self, name, config, version, callbacks)
    }
}

/// Maximum size of a library, in bytes; a sparse file can claim any size.
const MAX_LENGTH: usize = 1 << 31;

/// A library that was read but not loaded.
pub(super) struct Library {
    pub bytes: Vec<u8>,
    /// The canonical path of the file.
    pub real: PathBuf,
}

impl Library {
    /// Reads a file: the whole of it, or only the parts that are loaded or vetted.
    pub fn read(path: &Path, whole: bool) -> std::result::Result<Self, Refusal> {
        let failed = |error: std::io::Error| Refusal::new(format!("cannot be read: {error}"));
        let ownership::Opened { mut file, length, real } = ownership::open(path)?;
        let bytes = match usize::try_from(length) {
            Ok(length) if length <= MAX_LENGTH && whole => {
                let mut bytes = Vec::with_capacity(length);
                file.take(MAX_LENGTH as u64).read_to_end(&mut bytes).map_err(failed)?;
                bytes
            }
            Ok(length) if length <= MAX_LENGTH => image::read(&mut file, length).map_err(failed)?,
            _ => return Err(Refusal::new("is larger than 2 GiB").hint("build it in release mode")),
        };
        Ok(Library { bytes, real })
    }
}

/// See [`Plugin::digest`].
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(&bytes[..image::mapped(bytes)]);
    hash.update(bytes.len().to_le_bytes());
    hex(&hash.finalize())
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn declared(kind: Kind, manifest: &Manifest) -> std::result::Result<(), Misfit> {
    match manifest.components.iter().any(|component| component.kind() == Some(kind)) {
        true => Ok(()),
        false => Err(Misfit { reason: format!("it has no {}", kind.plural()), details: None }),
    }
}

fn not_offered(kind: Kind, manifest: &Manifest) -> Misfit {
    let (id, offered) = (kind.interface(), manifest.interfaces.join(", "));
    let reason = format!("it offers no {id} (it offers {offered}): update plugfit, or rebuild it");
    Misfit { reason, details: None }
}

fn offered<T: StableAbi>(root: &'static Root, kind: Kind, manifest: &Manifest) -> Offered<T> {
    declared(kind, manifest)?;
    interface(root, kind.interface()).map_err(|misfit| misfit.unwrap_or_else(|| not_offered(kind, manifest)))
}

/// Returns a plug-in's interface. The error is `None` if the plug-in doesn't offer it.
fn interface<T: StableAbi>(root: &'static Root, id: &str) -> std::result::Result<Checked<T>, Option<Misfit>> {
    let misfit = |reason: String, details: Option<String>| Some(Misfit { reason, details });
    // SAFETY: the root guarantees this function; the interface it returns is never freed, like the library.
    let interface = unsafe { (root.get_interface)(id.as_ptr(), id.len()).as_ref() }.ok_or(None)?;
    let rebuild = format!(": rebuild it with plugfit-api {}", env!("CARGO_PKG_VERSION"));
    if interface.size != std::mem::size_of::<T>() || interface.functions.is_null() {
        return Err(misfit(format!("its {id} is of another size than this program's{rebuild}"), None));
    }
    check_layout_compatibility_with_globals(T::LAYOUT, interface.layout, &CheckingGlobals::new()).map_err(
        |report| misfit(format!("its {id} has another layout than this program's{rebuild}"), Some(report.to_string())),
    )?;
    // SAFETY: size and layout were just checked, and the table is never freed, like the library.
    let table = unsafe { &*interface.functions.cast::<T>() };
    Ok(Checked { interface, table })
}
