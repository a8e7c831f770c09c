//! From a file to a plug-in whose interfaces are checked.

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

use super::component::{Owned, Table};
use super::isolate::{self, Isolated, Isolation, Source};
use super::trust::TrustedKeys;
use super::{
    Component, Door, Kind, Lock, Loss, Manifest, Metric, Optimizer, Refusal, Schedule, allocations, image, library,
    lock::hex, ownership, sha256, vet,
};
use crate::data::text::of_path;
use crate::{Error, Result};

/// How plug-ins are loaded. A host keeps those that it was made with: nothing loosens them.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// From where the file is and not from a checked copy, so that it finds libraries beside it.
    pub load_in_place: bool,
    /// Only what is in each of these locks.
    pub locks: Vec<Arc<Lock>>,
    /// Only what is signed with one of these keys.
    pub signed_by: Option<Arc<TrustedKeys>>,
    /// In processes of their own.
    pub isolate: Option<Isolation>,
    /// Their manifests alone: components can be looked at and not made, and no code of a plug-in runs.
    pub manifests_only: bool,
}

impl LoadOptions {
    /// What says which files may be loaded, if anything does.
    pub fn limit(&self) -> Option<String> {
        let lock = self.locks.first().map(|lock| of_path(lock.path()));
        lock.or_else(|| self.signed_by.as_ref().map(|_| "--require-signed".into()))
    }

    /// A library that may be loaded, the whole of it or what matters.
    pub(super) fn read(&self, path: &Path, whole: bool) -> std::result::Result<Library, Refusal> {
        if let (true, Some(limit)) = (self.load_in_place, self.limit()) {
            return Err(Refusal::asked_wrongly(format!("can't be loaded in place with {limit}"))
                .hint("what is loaded in place may change after it was checked"));
        }
        // First what is quick: without a signature nothing need be read.
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

/// Where a plug-in came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Linked in.
    BuiltIn,
    /// A file.
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

/// A plug-in that is loaded. It is never unloaded.
pub struct Plugin {
    manifest: Manifest,
    manifest_digest: String,
    label: String,
    origin: Origin,
    /// See [`digest`](Self::digest).
    digest: String,
    /// None: it isn't loaded into this process.
    root: Option<&'static Root>,
    pub(super) loss: Offered<LossV1>,
    /// What its losses do in float64; a plug-in built before there was an interface for it doesn't offer it.
    pub(super) float64: Option<&'static LossV2>,
    pub(super) metric: Offered<MetricV1>,
    pub(super) optimizer: Offered<OptimizerV1>,
    pub(super) schedule: Offered<ScheduleV1>,
    isolated: Option<Isolated>,
}

/// An interface that fits, or why it doesn't.
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
    /// Vets a file, and loads what was vetted.
    ///
    /// # Errors
    /// Why it is refused.
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
            let path_of = if in_place { real } else { path.to_owned() };
            let isolated = worker
                .map(|isolation| Isolated::new(isolation, Source { bytes, path: path_of, in_place, function: None }));
            return Ok(Arc::new(Self::not_here(isolated, vetted, digest, path)));
        }
        Self::load(&bytes, path, &real, in_place, false)
    }

    /// Loads the library of these bytes into this process; `real` is where it is loaded from, in place. `expendable`: a panic that ends it does no harm.
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
        // SAFETY: the symbol's address is wanted and nothing is assumed of what it points at.
        let root: *const Root = match unsafe { library.get::<*const Root>(vetted.root.as_bytes()) } {
            Ok(symbol) => *symbol,
            Err(error) => return Err(Refusal::new("doesn't export its root").details(error.to_string())),
        };
        // Never unloaded: threads, thread-locals and components of it may live on.
        std::mem::forget(library);
        if root.is_null() || !root.is_aligned() {
            return Err(Refusal::new("has a root that is no root"));
        }
        // SAFETY: not null, aligned, in a library that stays; magic and version come first in every version of the root.
        let (magic, version) = unsafe { ((*root).magic, (*root).abi_version) };
        if magic != plugfit_abi::MAGIC || version != plugfit_abi::ABI_VERSION {
            return Err(Refusal::new("has a root of another ABI than its manifest says").hint("build it again"));
        }
        // SAFETY: it is of our ABI version, and lives for ever.
        let root = unsafe { &*root };
        // SAFETY: the root's promise.
        let own = unsafe { std::slice::from_raw_parts(root.manifest, root.manifest_length) };
        if own != vetted.json {
            return Err(Refusal::new("has another manifest in memory than in its file").hint("build it again"));
        }
        let (manifest_digest, digest) = (sha256(&vetted.json), digest(bytes));
        Ok(Arc::new(Self::of_root(root, vetted.manifest, manifest_digest, digest, Origin::File(path.to_owned()))))
    }

    /// The manifest of a file; no code of it runs.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn read_manifest(path: &Path) -> std::result::Result<Manifest, Refusal> {
        let read = || {
            let manifest = vet::plugin(&Library::read(path, false)?.bytes, true)?.manifest;
            vet::check_panic(&manifest)?;
            Ok(manifest)
        };
        read().map_err(|refusal: Refusal| refusal.at(path))
    }

    /// A plug-in that is linked in.
    ///
    /// # Errors
    /// It is of another ABI.
    pub fn built_in(root: &'static Root) -> std::result::Result<Arc<Self>, Refusal> {
        let refused = |reason: String| Refusal::new(reason).at("a plug-in that is linked in");
        if root.magic != plugfit_abi::MAGIC || root.abi_version != plugfit_abi::ABI_VERSION {
            return Err(refused("is of another ABI".into()));
        }
        // SAFETY: the root's promise.
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

    /// One whose code isn't loaded into this process: what its manifest says is taken for true.
    fn not_here(isolated: Option<Isolated>, vetted: vet::Vetted, digest: String, path: &Path) -> Self {
        fn offered<T>((table, interface): (&'static T, &'static Interface), kind: Kind, of: &Manifest) -> Offered<T> {
            declared(kind, of)?;
            match of.interfaces.iter().any(|id| id == kind.interface()) {
                true => Ok(Checked { interface, table }),
                false => Err(not_offered(kind, of)),
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

    /// Counts from now on what its code asks of the system's allocator, for the tests of a plug-in.
    pub(crate) fn count_allocations(&self) {
        if let Some(root) = self.root {
            // SAFETY: it is never unloaded, and was vetted.
            unsafe { allocations::count(std::ptr::from_ref(root).cast()) };
        }
    }

    /// The process that its code runs in, where that isn't this one.
    pub(super) fn isolated(&self) -> Option<&Isolated> {
        self.isolated.as_ref()
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.manifest.version
    }

    /// Name and version: "calibration 0.1.0".
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Where it came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A digest of what is loaded of its file, and of the file's length; of what is built in, that of its manifest. It isn't the SHA-256 of
    /// the whole file, of which what is for debuggers alone isn't read.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The SHA-256 of its manifest.
    pub fn manifest_digest(&self) -> &str {
        &self.manifest_digest
    }

    /// For the tests of a plug-in, which begin their random numbers at `seed`. They observe and may end this process.
    ///
    /// # Errors
    /// Its code isn't loaded into this process.
    pub fn subject(&self, door: &Arc<Door>, seed: u64) -> Result<testing::Subject> {
        let root = self.root.ok_or_else(|| Error::plugin(format!("{} isn't loaded into this process", self.label)))?;
        // For ever, as the tests' host has no owner.
        std::mem::forget(door.clone());
        // SAFETY: the door is never dropped.
        let subject = unsafe { testing::Subject::new(root, seed).with_host(door.host()) };
        Ok(subject.in_own_process(super::observe, super::room()))
    }

    /// Whether its components of this kind can be used.
    pub fn has(&self, kind: Kind) -> bool {
        self.missing(kind).is_none()
    }

    /// Why its components of this kind can't be used.
    pub fn missing(&self, kind: Kind) -> Option<&str> {
        self.misfit(kind).map(|misfit| misfit.reason.as_str())
    }

    /// The whole of [`missing`](Self::missing), for those who debug.
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

    /// Makes a loss.
    ///
    /// # Errors
    /// The configuration can't be, or the plug-in fails.
    pub fn loss(&self, name: &str, config: &Map<String, Value>, door: &Arc<Door>) -> Result<Loss> {
        Loss::new(self.make(Kind::Loss, &self.loss, name, config, door)?, self.float64)
    }

    /// Makes a metric.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn metric(&self, name: &str, config: &Map<String, Value>, door: &Arc<Door>) -> Result<Metric> {
        Metric::new(self.make(Kind::Metric, &self.metric, name, config, door)?)
    }

    /// Makes an optimizer.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn optimizer(&self, name: &str, config: &Map<String, Value>, door: &Arc<Door>) -> Result<Optimizer> {
        Optimizer::new(self.make(Kind::Optimizer, &self.optimizer, name, config, door)?)
    }

    /// Makes a schedule.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn schedule(&self, name: &str, config: &Map<String, Value>, door: &Arc<Door>) -> Result<Schedule> {
        Ok(Schedule::new(self.make(Kind::Schedule, &self.schedule, name, config, door)?))
    }

    fn make<T: Table>(
        &self,
        kind: Kind,
        offered: &Offered<T>,
        name: &str,
        config: &Map<String, Value>,
        door: &Arc<Door>,
    ) -> Result<Owned<T>> {
        if self.root.is_none() && self.isolated.is_none() {
            return Err(Error::plugin(format!("{} isn't loaded: its manifest alone was read", self.label)));
        }
        let offered = offered
            .as_ref()
            .map_err(|misfit| Error::plugin(format!("{} can't be used: {}", self.label, misfit.reason)))?;
        let declared = |component: &&Component| component.kind() == Some(kind) && component.name == name;
        let version = self.manifest.components.iter().find(declared).map_or(1, |component| component.config_version);
        Owned::create(offered, self, name, config, version, door)
    }
}

/// More than any library has; a file of holes can claim any length.
const LARGEST: usize = 1 << 31;

/// A library that was read and isn't loaded.
pub(super) struct Library {
    pub bytes: Vec<u8>,
    /// Where the file is when every link is followed.
    pub real: PathBuf,
}

impl Library {
    /// Reads a file, the whole of it or what matters.
    pub fn read(path: &Path, whole: bool) -> std::result::Result<Self, Refusal> {
        let failed = |error: std::io::Error| Refusal::new(format!("cannot be read: {error}"));
        let ownership::Opened { mut file, length, real } = ownership::open(path)?;
        let bytes = match usize::try_from(length) {
            Ok(length) if length <= LARGEST && whole => {
                let mut bytes = Vec::with_capacity(length);
                file.take(LARGEST as u64).read_to_end(&mut bytes).map_err(failed)?;
                bytes
            }
            Ok(length) if length <= LARGEST => image::read(&mut file, length).map_err(failed)?,
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

/// An interface of a plug-in; what is wrong with it, or nothing where it isn't offered.
fn interface<T: StableAbi>(root: &'static Root, id: &str) -> std::result::Result<Checked<T>, Option<Misfit>> {
    let misfit = |reason: String, details: Option<String>| Some(Misfit { reason, details });
    // SAFETY: the root's promise of this function; what it gives lives as long as the library, for ever.
    let interface = unsafe { (root.get_interface)(id.as_ptr(), id.len()).as_ref() }.ok_or(None)?;
    let rebuild = format!(": rebuild it with plugfit-api {}", env!("CARGO_PKG_VERSION"));
    if interface.size != std::mem::size_of::<T>() || interface.functions.is_null() {
        return Err(misfit(format!("its {id} is of another size than this program's{rebuild}"), None));
    }
    check_layout_compatibility_with_globals(T::LAYOUT, interface.layout, &CheckingGlobals::new()).map_err(
        |report| misfit(format!("its {id} has another layout than this program's{rebuild}"), Some(report.to_string())),
    )?;
    // SAFETY: size and layout were just checked, and the table lives as long as the library, for ever.
    let table = unsafe { &*interface.functions.cast::<T>() };
    Ok(Checked { interface, table })
}
