use std::fmt;
use std::sync::Arc;

use plugfit_abi::{self as abi, Handle, Interface, MetricV1};
use plugfit_api::Inputs;
use plugfit_api::instance::Instance;
use plugfit_api::metric::{MetricInfo, Outcome};
use serde_json::{Map, Value};

use super::bounds;
use super::component::{Owned, with_inputs};
use crate::Result;

/// A metric of a plug-in.
#[derive(Clone)]
pub struct Metric {
    inner: Arc<Inner>,
}

struct Inner {
    owned: Owned<MetricV1>,
    info: MetricInfo,
}

impl From<Instance<MetricV1>> for Metric {
    fn from(instance: Instance<MetricV1>) -> Self {
        Metric::from_instance(instance, None)
    }
}

impl Metric {
    pub(super) fn new(owned: Owned<MetricV1>) -> Result<Self> {
        let info = owned.info()?;
        Ok(Metric { inner: Arc::new(Inner { owned, info }) })
    }

    /// A metric that was made in this process, and is taken over; `label` is what errors call it, if not by its name.
    pub(crate) fn from_instance(instance: Instance<MetricV1>, label: Option<&str>) -> Self {
        let owned = Owned::of_instance(instance, label);
        let info = owned.info().unwrap_or_default();
        Metric { inner: Arc::new(Inner { owned, info }) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.inner.owned.name()
    }

    /// Its name with its plug-in's before it.
    pub fn full_name(&self) -> String {
        self.inner.owned.full_name()
    }

    /// Its plug-in and version.
    pub fn plugin(&self) -> &str {
        self.inner.owned.plugin()
    }

    /// Every key of its own configuration.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn config(&self) -> Result<Map<String, Value>> {
        self.inner.owned.config()
    }

    /// What depends on the configuration.
    pub fn info(&self) -> &MetricInfo {
        &self.inner.info
    }

    pub(super) fn interface(&self) -> &'static Interface {
        self.inner.owned.interface
    }

    pub(super) fn handle(&self) -> Handle {
        self.inner.owned.handle
    }

    /// A state that has seen nothing.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn new_state(&self) -> Result<MetricState> {
        let owned = &self.inner.owned;
        // SAFETY: the handle belongs to this table; so in the following.
        let state = owned.checked(unsafe { (owned.table.new_state)(owned.handle, &owned.host) })?;
        self.state(state)
    }

    /// A state that was saved.
    ///
    /// # Errors
    /// The bytes are of another metric or version.
    pub fn load_state(&self, version: u32, bytes: &[u8]) -> Result<MetricState> {
        let owned = &self.inner.owned;
        // SAFETY: as above.
        let state = owned.checked(unsafe { (owned.table.load)(owned.handle, &owned.host, version, bytes.into()) })?;
        self.state(state)
    }

    fn state(&self, state: Handle) -> Result<MetricState> {
        match state.pointer.is_null() {
            true => Err(self.inner.owned.mistake("gave no state")),
            false => Ok(MetricState { metric: self.inner.clone(), state }),
        }
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name())
    }
}

/// What a metric has seen.
pub struct MetricState {
    metric: Arc<Inner>,
    state: Handle,
}

// SAFETY: by the ABI's rules a state is one thread's at a time, whichever. It is changed only through `&mut`.
unsafe impl Send for MetricState {}

impl MetricState {
    /// Takes in a batch; nothing is allocated on this side.
    ///
    /// # Errors
    /// The inputs don't fit, or the plug-in fails.
    pub fn update(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        let owned = &self.metric.owned;
        // SAFETY: state and component belong to this table; so in the following.
        let result = with_inputs(inputs, |inputs| unsafe {
            (owned.table.update)(owned.handle, &owned.host, self.state, inputs)
        })?;
        owned.checked(result)
    }

    /// Takes in what another state of the same metric has seen.
    ///
    /// # Errors
    /// They can't be merged.
    pub fn merge(&mut self, other: &MetricState) -> Result<()> {
        let owned = &self.metric.owned;
        if !std::ptr::eq(owned.table, other.metric.owned.table) {
            return Err(crate::Error::usage("states of different metrics can't be merged"));
        }
        // SAFETY: as above.
        owned.checked(unsafe { (owned.table.merge)(owned.handle, &owned.host, self.state, other.state) })
    }

    /// What it has come to.
    ///
    /// # Errors
    /// The plug-in fails, or its result can't be.
    pub fn result(&self) -> Result<Outcome> {
        let owned = &self.metric.owned;
        // SAFETY: as above.
        let result = owned.checked(unsafe { (owned.table.result)(owned.handle, &owned.host, self.state) })?;
        let count = result.values.len();
        owned.at_most(count, bounds::NUMBERS, "numbers")?;
        owned.at_most(result.names.len(), bounds::NAMES, "names")?;
        owned.at_most(result.shape.len(), bounds::AXES, "axes")?;
        let values: Vec<f64> = result.values.into();
        match result.kind {
            abi::RESULT_UNDEFINED => Ok(Outcome::Undefined),
            abi::RESULT_SCALAR if count == 1 => Ok(Outcome::Scalar(values[0])),
            abi::RESULT_ARRAY => {
                let shape: Option<Vec<usize>> =
                    result.shape.iter().map(|&length| usize::try_from(length).ok()).collect();
                let product = |shape: &Vec<usize>| shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
                match shape.filter(|shape| product(shape) == Some(count)) {
                    Some(shape) => Ok(Outcome::Array { shape, values }),
                    None => Err(owned.mistake(&format!("gave {count} numbers for the shape {:?}", result.shape))),
                }
            }
            abi::RESULT_NAMED if result.names.len() == count => {
                let names = result.names.iter().map(|name| owned.short_name(name, "name").map(str::to_owned));
                Ok(Outcome::Named(names.zip(values).map(|(name, value)| Ok((name?, value))).collect::<Result<_>>()?))
            }
            kind => Err(owned.mistake(&format!("gave a result of kind {kind} with {count} numbers"))),
        }
    }

    /// Makes it as if new.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn reset(&mut self) -> Result<()> {
        let owned = &self.metric.owned;
        // SAFETY: as above.
        owned.checked(unsafe { (owned.table.reset)(owned.handle, &owned.host, self.state) })
    }

    /// A second state of the same content.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn try_clone(&self) -> Result<MetricState> {
        let owned = &self.metric.owned;
        // SAFETY: as above.
        let state = owned.checked(unsafe { (owned.table.clone_state)(owned.handle, self.state) })?;
        Metric { inner: self.metric.clone() }.state(state)
    }

    /// The author's version of what the bytes mean, and the bytes.
    ///
    /// # Errors
    /// The plug-in fails.
    pub fn save(&self) -> Result<(u32, Vec<u8>)> {
        let owned = &self.metric.owned;
        // SAFETY: as above.
        let saved = owned.checked(unsafe { (owned.table.save)(owned.handle, self.state) })?;
        owned.at_most(saved.bytes.len(), bounds::STATE, "bytes")?;
        Ok((saved.version, saved.bytes.into()))
    }
}

impl Drop for MetricState {
    fn drop(&mut self) {
        // SAFETY: as above; given back once.
        unsafe { (self.metric.owned.table.release_state)(self.state) }
    }
}
