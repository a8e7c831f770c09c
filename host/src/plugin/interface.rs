//! The interfaces of a plug-in, whose layouts are checked before they are used.

use plugfit_abi::abi_stable::StableAbi;
use plugfit_abi::abi_stable::abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals};
use plugfit_abi::{FORMULA_V1, FormulaV1, Interface, LOSS_V2, LossV1, LossV2, MetricV1, OptimizerV1, Root, ScheduleV1};

use super::{Kind, Manifest};

/// A checked interface, or the reason why it can't be used.
pub type Offered<T> = Result<Checked<T>, InterfaceError>;

/// An interface whose layout was checked.
pub struct Checked<T: 'static> {
    pub interface: &'static Interface,
    pub table: &'static T,
}

impl<T> Clone for Checked<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Checked<T> {}

/// The reason why an interface can't be used.
#[derive(Clone, Debug)]
pub struct InterfaceError {
    pub reason: String,
    /// Details for debugging.
    pub details: Option<String>,
}

/// The interfaces of a plug-in.
pub struct Interfaces {
    pub loss: Offered<LossV1>,
    /// The float64 table of its losses. A plug-in that was built before this interface existed doesn't offer it.
    pub float64: Option<&'static LossV2>,
    pub metric: Offered<MetricV1>,
    pub optimizer: Offered<OptimizerV1>,
    pub schedule: Offered<ScheduleV1>,
    /// The formulas of its components. A plug-in that was built before this interface existed doesn't offer it.
    pub formula: Option<&'static FormulaV1>,
}

impl Interfaces {
    /// Returns the interfaces of a plug-in whose code is in this process.
    pub fn of_root(root: &'static Root, manifest: &Manifest) -> Self {
        Interfaces {
            loss: check_offered(root, Kind::Loss, manifest),
            float64: interface(root, LOSS_V2).ok().map(|checked| checked.table),
            metric: check_offered(root, Kind::Metric, manifest),
            optimizer: check_offered(root, Kind::Optimizer, manifest),
            schedule: check_offered(root, Kind::Schedule, manifest),
            formula: interface(root, FORMULA_V1).ok().map(|checked| checked.table),
        }
    }

    /// Returns the reason why the components of this kind can't be used, if they can't.
    pub fn error(&self, kind: Kind) -> Option<&InterfaceError> {
        match kind {
            Kind::Loss => self.loss.as_ref().err(),
            Kind::Metric => self.metric.as_ref().err(),
            Kind::Optimizer => self.optimizer.as_ref().err(),
            Kind::Schedule => self.schedule.as_ref().err(),
        }
    }
}

/// Returns an interface if the manifest, which is trusted, offers it.
pub fn check_manifest<T>(checked: Checked<T>, kind: Kind, manifest: &Manifest) -> Offered<T> {
    check_declared(kind, manifest)?;
    if manifest.offers(kind.interface()) { Ok(checked) } else { Err(not_offered(kind, manifest)) }
}

fn check_declared(kind: Kind, manifest: &Manifest) -> Result<(), InterfaceError> {
    match manifest.components.iter().any(|component| component.kind() == Some(kind)) {
        true => Ok(()),
        false => Err(InterfaceError { reason: format!("it has no {}", kind.plural()), details: None }),
    }
}

fn not_offered(kind: Kind, manifest: &Manifest) -> InterfaceError {
    let (id, offered) = (kind.interface(), manifest.interfaces.join(", "));
    let reason = format!("it offers no {id} (it offers {offered}): update plugfit, or rebuild it");
    InterfaceError { reason, details: None }
}

fn check_offered<T: StableAbi>(root: &'static Root, kind: Kind, manifest: &Manifest) -> Offered<T> {
    check_declared(kind, manifest)?;
    interface(root, kind.interface()).map_err(|error| error.unwrap_or_else(|| not_offered(kind, manifest)))
}

/// Returns a plug-in's interface. The error is `None` if the plug-in doesn't offer it.
fn interface<T: StableAbi>(root: &'static Root, id: &str) -> Result<Checked<T>, Option<InterfaceError>> {
    let error = |reason: String, details: Option<String>| Some(InterfaceError { reason, details });
    // SAFETY: the root guarantees this function; the interface it returns is never freed, like the library.
    let interface = unsafe { (root.get_interface)(id.as_ptr(), id.len()).as_ref() }.ok_or(None)?;
    let rebuild = format!(": rebuild it with plugfit-api {}", env!("CARGO_PKG_VERSION"));
    if interface.size != std::mem::size_of::<T>() || interface.functions.is_null() {
        return Err(error(format!("its {id} is of another size than this program's{rebuild}"), None));
    }
    check_layout_compatibility_with_globals(T::LAYOUT, interface.layout, &CheckingGlobals::new()).map_err(
        |report| error(format!("its {id} has another layout than this program's{rebuild}"), Some(report.to_string())),
    )?;
    // SAFETY: size and layout were just checked, and the table is never freed, like the library.
    let table = unsafe { &*interface.functions.cast::<T>() };
    Ok(Checked { interface, table })
}
