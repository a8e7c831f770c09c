//! A C function as a loss: `lib.so#symbol`, as `plugfit.h` describes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use plugfit_abi::LossV1;
use plugfit_api::config::ComponentSpec;
use plugfit_api::instance::Instance;
use plugfit_api::loss::{LossInfo, LossOutput, LossTotals};
use plugfit_api::{Config, Host, Inputs};
use serde_json::{Map, Value};

use super::component::Owned;
use super::isolate::{Isolated, Source};
use super::load::Library;
use super::{LoadOptions, Loss, Refusal, library, sha256, vet};
use crate::{Error, Result};

/// `void f(const float *y_true, const float *y_pred, size_t rows, size_t columns, float *out)`.
type Function = unsafe extern "C" fn(*const f32, *const f32, usize, usize, *mut f32);

struct Callable {
    values: Function,
    gradient: Option<Function>,
}

/// The libraries that functions are of, by digest, and by path where they are loaded in place. They are never unloaded; so one that is
/// named again must not be loaded again.
static LOADED: Mutex<BTreeMap<(String, Option<PathBuf>), libloading::Library>> = Mutex::new(BTreeMap::new());

/// The loss that a function of a library is.
///
/// # Errors
/// The library is refused, or has no such function.
pub fn symbol(path: &Path, name: &str, options: &LoadOptions) -> Result<Loss> {
    let label = format!("{}#{name}", path.display());
    let refused = |refusal: Refusal| Error::from(refusal.at(path));
    if options.manifests_only {
        return Err(refused(Refusal::asked_wrongly(
            "isn't loaded: only manifests are read here, and a function has none",
        )));
    }
    let (Library { bytes, real }, in_place) = (options.read(path, false).map_err(refused)?, options.load_in_place);
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
    Loss::new(Owned::of_function(&Isolated::new(isolation.clone(), source), &label)?)
}

/// The function of this name in a library of these bytes, which is from `path`.
pub(super) fn instance(
    bytes: &[u8],
    path: &Path,
    name: &str,
    in_place: bool,
) -> std::result::Result<Instance<LossV1>, Refusal> {
    let vet::Callable { has_gradient, needed } = vet::callable(bytes, name, in_place)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let library = match loaded.entry((sha256(bytes), in_place.then(|| path.to_owned()))) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(
            library::open(bytes, path, &needed, in_place)
                .map_err(|error| Refusal::new(format!("can't be loaded by the system: {error}")))?,
        ),
    };
    let function = |name: &str| {
        // SAFETY: whoever names the symbol says that it has this signature; it can't be checked.
        unsafe { library.get::<Function>(name.as_bytes()) }
            .map(|symbol| *symbol)
            .map_err(|error| Refusal::new(format!("has no function {name}: {error}")))
    };
    let values = function(name)?;
    let gradient = if has_gradient { Some(function(&format!("{name}_gradient"))?) } else { None };
    Ok(plugfit_api::instance::loss(Callable { values, gradient }))
}

impl Config for Callable {
    const SPEC: ComponentSpec = ComponentSpec {
        name: "Callable",
        aliases: &[],
        doc: "A C function.",
        version: 1,
        base: &[],
        fields: &[],
        examples: &[],
    };

    fn from_json(_: &Map<String, Value>) -> plugfit_api::Result<Self> {
        Err(plugfit_api::Error::unsupported("a function can't be made from a configuration"))
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
        let shape = inputs.y_pred()?.shape();
        Ok(if shape.len() < 2 { shape.to_vec() } else { shape[..shape.len() - 1].to_vec() })
    }

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> plugfit_api::Result<LossTotals> {
        let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
        if y_true.shape() != y_pred.shape() {
            let (y_true, y_pred) = (y_true.shape(), y_pred.shape());
            let message =
                format!("y_true has the shape {y_true:?} and y_pred {y_pred:?}; a C function takes the same of both");
            return Err(plugfit_api::Error::input(message));
        }
        let columns = if y_pred.rank() < 2 { 1 } else { y_pred.rows_and_columns().1 };
        let rows = y_pred.len().checked_div(columns).unwrap_or(0);
        let (y_true, y_pred) = (y_true.f32s("y_true")?, y_pred.f32s("y_pred")?);
        let mut values = vec![0.0_f32; rows];
        // SAFETY: the signature is the caller's promise; the arrays have rows * columns and rows elements.
        unsafe { (self.values)(y_true.as_ptr(), y_pred.as_ptr(), rows, columns, values.as_mut_ptr()) };
        let mut totals = LossTotals { count: rows as f64, ..LossTotals::default() };
        for (i, value) in values.iter().enumerate() {
            let weight = f64::from(output.upstream(i));
            if weight != 0.0 {
                totals.value += weight * f64::from(*value);
                totals.weight += weight;
            }
        }
        if let Some(target) = output.values.as_deref_mut() {
            target.copy_from_slice(&values);
        }
        let (scale, upstream) = (output.scale, output.upstream);
        if let Some(target) = output.gradient(1)? {
            let gradient =
                self.gradient.ok_or_else(|| plugfit_api::Error::unsupported("this function has no gradient"))?;
            // SAFETY: as above; the gradient has rows * columns elements.
            unsafe { gradient(y_true.as_ptr(), y_pred.as_ptr(), rows, columns, target.as_mut_ptr()) };
            for (i, row) in target.chunks_exact_mut(columns.max(1)).enumerate() {
                let factor = scale * upstream.map_or(1.0, |upstream| upstream[i]);
                if factor == 0.0 {
                    row.fill(0.0);
                } else {
                    row.iter_mut().for_each(|slope| *slope *= factor);
                }
            }
        }
        Ok(totals)
    }
}
