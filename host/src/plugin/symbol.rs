//! C functions as losses: `lib.so#symbol`, as `plugfit.h` describes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use plugfit_abi::LossV1;
use plugfit_api::config::ComponentSpec;
use plugfit_api::export::{self, AnyLoss, AnyMetric, AnyOptimizer, AnySchedule, Create, LossByTensor};
use plugfit_api::instance::Instance;
use plugfit_api::loss::{LossInfo, LossOutput, LossTotals};
use plugfit_api::{Config, Host, Inputs};
use serde_json::{Map, Value};

use super::component::ComponentHandle;
use super::digest::digest;
use super::isolate::{Isolated, Source};
use super::options::Library;
use super::sync::lock_ignoring_poison;
use super::{Component, LoadOptions, Loss, Manifest, Plugin, Refusal, library, row_function, sha256, vet};
use crate::text::{printable_line, printable_path};
use crate::{Error, Result};

/// `void f(const float *y_true, const float *y_pred, size_t rows, size_t columns, float *out)`.
type Function = unsafe extern "C" fn(*const f32, *const f32, usize, usize, *mut f32);

#[derive(Clone, Copy)]
struct Callable {
    values: Function,
    gradient: Option<Function>,
    /// Whether it is under test. Then a function that writes no values is detected, and NaN is returned.
    is_tested: bool,
}

impl Callable {
    /// Returns whether the function leaves its output unchanged, after it returned only zeros. A function that adds 0
    /// to every value is also counted as such.
    ///
    /// # Safety
    /// The same as for the function itself.
    unsafe fn writes_nothing(&self, y_true: &[f32], y_pred: &[f32], (rows, columns): (usize, usize)) -> bool {
        const SENTINEL: f32 = -1.234_567e-5;
        let mut values = vec![SENTINEL; rows];
        // SAFETY: guaranteed by the caller; `values` has one element for each row.
        unsafe { (self.values)(y_true.as_ptr(), y_pred.as_ptr(), rows, columns, values.as_mut_ptr()) };
        values.iter().all(|&value| value == SENTINEL)
    }
}

/// The loaded libraries, by digest and, if loaded in place, by path. They are never unloaded, so a library that is
/// named again must not be loaded again.
static LOADED: Mutex<BTreeMap<(String, Option<PathBuf>), libloading::Library>> = Mutex::new(BTreeMap::new());

/// The digest of each library from which functions were requested, by path.
static DIGESTS: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

/// Returns the digest of each library from which functions were requested in this process, by path; see
/// [`Plugin::digest`].
pub fn function_digests() -> BTreeMap<PathBuf, String> {
    lock_ignoring_poison(&DIGESTS).clone()
}

/// Loads a C function of a library as a loss.
///
/// # Errors
/// Returns an error if the library is refused or has no such function.
pub fn symbol(path: &Path, name: &str, options: &LoadOptions) -> Result<Loss> {
    let label = format!("{}#{}", printable_path(path), printable_line(name));
    let refused = |refusal: Refusal| Error::from(refusal.at(path));
    if options.manifests_only {
        return Err(refused(Refusal::invalid_request(
            "isn't loaded: only manifests are read here, and a function has none",
        )));
    }
    let (Library { bytes, real }, in_place) = (options.read(path, false).map_err(refused)?, options.load_in_place);
    lock_ignoring_poison(&DIGESTS).insert(path.to_owned(), digest(&bytes));
    let Some(isolation) = &options.isolate else {
        let instance = instance(&bytes, &real, name, in_place).map_err(refused)?;
        return Ok(Loss::from_instance(instance, Some(&label)));
    };
    vet::callable(&bytes, name, in_place).map_err(refused)?;
    let source = Source {
        bytes,
        path: if in_place { real } else { path.to_owned() },
        in_place,
        function: Some(name.to_owned()),
    };
    Loss::new(ComponentHandle::of_function(&Isolated::new(isolation.clone(), source), &label)?, None)
}

/// Loads the function of this name from the library with these bytes, which were read from `path`.
pub(super) fn instance(
    bytes: &[u8],
    path: &Path,
    name: &str,
    in_place: bool,
) -> std::result::Result<Instance<LossV1>, Refusal> {
    callable(bytes, path, name, in_place).map(plugfit_api::instance::loss)
}

fn callable(bytes: &[u8], path: &Path, name: &str, in_place: bool) -> std::result::Result<Callable, Refusal> {
    let vet::Callable { has_gradient, needed } = vet::callable(bytes, name, in_place)?;
    let mut loaded = lock_ignoring_poison(&LOADED);
    let library = match loaded.entry((sha256(bytes), in_place.then(|| path.to_owned()))) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(
            library::open(bytes, path, &needed, in_place)
                .map_err(|error| Refusal::new(format!("can't be loaded by the system: {error}")))?,
        ),
    };
    let function = |name: &str| {
        // SAFETY: the caller who names the symbol guarantees that it has this signature; it can't be checked.
        unsafe { library.get::<Function>(name.as_bytes()) }
            .map(|symbol| *symbol)
            .map_err(|error| Refusal::new(format!("has no function {name}: {error}")))
    };
    let values = function(name)?;
    let gradient = if has_gradient { Some(function(&format!("{name}_gradient"))?) } else { None };
    Ok(Callable { values, gradient, is_tested: false })
}

/// The function that [`function`] loaded; a process tests only one.
static TESTED: OnceLock<Callable> = OnceLock::new();

/// A plug-in whose only component is that function.
struct FunctionPlugin;

impl Create<dyn AnyLoss> for FunctionPlugin {
    fn create(_: &str, config: &Map<String, Value>, host: &Host<'_>) -> plugfit_api::Result<Box<dyn AnyLoss>> {
        (&&export::Probe::<Callable>::new()).create_loss(config, host)
    }
}
impl Create<dyn AnyMetric> for FunctionPlugin {}
impl Create<dyn AnyOptimizer> for FunctionPlugin {}
impl Create<dyn AnySchedule> for FunctionPlugin {}

/// Returns the manifest of a plug-in that consists of this function alone. No code of the library runs.
///
/// # Errors
/// Returns an error if the library is refused or has no such function.
pub fn function_manifest(path: &Path, name: &str, options: &LoadOptions) -> std::result::Result<Manifest, Refusal> {
    let read = || vet::callable(&options.read(path, false)?.bytes, name, options.load_in_place);
    read().map_err(|refusal| refusal.at(path))?;
    let component =
        Component { kind: "loss".into(), name: name.into(), doc: "A C function.".into(), ..Component::default() };
    Ok(Manifest {
        abi: plugfit_abi::ABI_VERSION,
        name: "function".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        interfaces: vec![plugfit_abi::LOSS_V1.into()],
        components: vec![component],
        ..Manifest::default()
    })
}

/// Loads a function as a plug-in of one loss, for `plugfit check`. A process can load only one.
///
/// # Errors
/// Returns an error if the library is refused or has no such function.
pub fn function(path: &Path, name: &str, options: &LoadOptions) -> std::result::Result<Arc<Plugin>, Refusal> {
    let manifest = function_manifest(path, name, options)?;
    let load = || {
        let (Library { bytes, real }, in_place) = (options.read(path, false)?, options.load_in_place);
        callable(&bytes, &real, name, in_place)
    };
    let found = load().map_err(|refusal| refusal.at(path))?;
    TESTED.get_or_init(|| found);
    let json = serde_json::to_vec(&manifest).map_err(|error| Refusal::new(error.to_string()))?;
    Plugin::built_in(Box::leak(Box::new(export::Tables::<FunctionPlugin>::root(json.leak()))))
}

impl Config for Callable {
    const SPEC: ComponentSpec = ComponentSpec { doc: "A C function.", ..row_function::SPEC };

    fn from_json(_: &Map<String, Value>) -> plugfit_api::Result<Self> {
        let tested = TESTED.get().map(|tested| Callable { is_tested: true, ..*tested });
        tested.ok_or_else(|| plugfit_api::Error::unsupported("a function can't be made from a configuration"))
    }

    fn to_json(&self) -> Map<String, Value> {
        Map::new()
    }
}

impl plugfit_api::loss::Loss for Callable {
    fn info(&self) -> LossInfo {
        LossInfo { differentiable: self.gradient.is_some(), ..LossInfo::default() }
    }

    fn output_shape(&self, inputs: &Inputs<'_>) -> plugfit_api::Result<Vec<i64>> {
        row_function::output_shape(inputs)
    }

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> plugfit_api::Result<LossTotals> {
        let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
        if y_true.shape() != y_pred.shape() {
            let (y_true, y_pred) = (y_true.shape(), y_pred.shape());
            let message =
                format!("y_true has the shape {y_true:?} and y_pred {y_pred:?}; a C function takes the same of both");
            return Err(plugfit_api::Error::input(message));
        }
        let (rows, columns) = if y_pred.rank() < 2 { (y_pred.len(), 1) } else { y_pred.rows_and_columns() };
        let (y_true, y_pred) = (y_true.f32s("y_true")?, y_pred.f32s("y_pred")?);
        let (scale, upstream) = (output.scale, output.upstream);
        let mut scratch = Vec::new();
        let values = match output.values.as_deref_mut() {
            Some(target) if target.len() == rows => target,
            _ => {
                scratch.resize(rows, 0.0_f32);
                &mut scratch[..]
            }
        };
        // A function may accumulate into its output, so the output starts at 0.
        values.fill(0.0);
        // SAFETY: the caller guarantees the signature; the arrays have rows * columns and rows elements.
        unsafe { (self.values)(y_true.as_ptr(), y_pred.as_ptr(), rows, columns, values.as_mut_ptr()) };
        // For equal labels and predictions, 0 is the expected value.
        let is_suspect = || rows > 0 && y_true != y_pred && values.iter().all(|&value| value == 0.0);
        // SAFETY: the same as above.
        if self.is_tested && is_suspect() && unsafe { self.writes_nothing(y_true, y_pred, (rows, columns)) } {
            values.fill(f32::NAN);
        }
        let mut totals = LossTotals { count: rows as f64, ..LossTotals::default() };
        for (i, value) in values.iter().enumerate() {
            row_function::add(&mut totals, *value, upstream.map_or(1.0, |upstream| upstream[i]));
        }
        if let Some(target) = output.gradient(1)? {
            let gradient =
                self.gradient.ok_or_else(|| plugfit_api::Error::unsupported("this function has no gradient"))?;
            // SAFETY: the same as above; the gradient has rows * columns elements.
            unsafe { gradient(y_true.as_ptr(), y_pred.as_ptr(), rows, columns, target.as_mut_ptr()) };
            for (i, row) in target.chunks_exact_mut(columns.max(1)).enumerate() {
                row_function::scale_row(row, scale * upstream.map_or(1.0, |upstream| upstream[i]));
            }
        }
        Ok(totals)
    }
}
