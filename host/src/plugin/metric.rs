//! Metrics of plug-ins and their states.

use std::sync::Arc;

use plugfit_abi::{self as abi, Handle, MetricV1};
use plugfit_api::Inputs;
use plugfit_api::instance::Instance;
use plugfit_api::metric::{MetricInfo, Outcome};

use super::bounds;
use super::component::{ComponentHandle, component_type};
use super::inputs::with_inputs;
use crate::Result;

/// A metric of a plug-in.
#[derive(Clone)]
pub struct Metric {
    inner: Arc<Inner>,
}

struct Inner {
    component: ComponentHandle<MetricV1>,
    info: MetricInfo,
}

component_type!(Metric, MetricV1, "metric");

impl Metric {
    pub(super) fn new(component: ComponentHandle<MetricV1>) -> Result<Self> {
        let info = component.info()?;
        Ok(Metric { inner: Arc::new(Inner { component, info }) })
    }

    /// Takes over a metric that was created in this process. Errors call it `label`, or by its name if there is none.
    pub(crate) fn from_instance(instance: Instance<MetricV1>, label: Option<&str>) -> Self {
        let component = ComponentHandle::of_instance(instance, label);
        let info = component.info().unwrap_or_default();
        Metric { inner: Arc::new(Inner { component, info }) }
    }

    /// Returns the information that depends on the configuration.
    pub fn info(&self) -> &MetricInfo {
        &self.inner.info
    }

    pub(super) fn component(&self) -> &ComponentHandle<MetricV1> {
        &self.inner.component
    }

    /// Returns whether both are one instance.
    pub(crate) fn is_instance_of(&self, other: &Metric) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Creates a state that has seen no data.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn new_state(&self) -> Result<MetricState> {
        let component = &self.inner.component;
        // SAFETY: the handle belongs to this table.
        let state = component.checked(unsafe { (component.table.new_state)(component.handle, &component.host) })?;
        self.state(state)
    }

    /// Restores a saved state.
    ///
    /// # Errors
    /// Returns an error if the bytes were saved by another metric or version.
    pub fn load_state(&self, version: u32, bytes: &[u8]) -> Result<MetricState> {
        let component = &self.inner.component;
        // SAFETY: the handles belong to this table.
        let state = component
            .checked(unsafe { (component.table.load)(component.handle, &component.host, version, bytes.into()) })?;
        self.state(state)
    }

    fn state(&self, state: Handle) -> Result<MetricState> {
        match state.pointer.is_null() {
            true => Err(self.component().contract_violation("returned no state")),
            false => Ok(MetricState { metric: self.inner.clone(), state }),
        }
    }
}

/// The state of a metric: what it has accumulated.
pub struct MetricState {
    metric: Arc<Inner>,
    state: Handle,
}

// SAFETY: the ABI requires that a state can move between threads; only `&mut` methods change it.
unsafe impl Send for MetricState {}

impl MetricState {
    /// Updates the state with a batch. The host allocates nothing.
    ///
    /// # Errors
    /// Returns an error if the inputs don't fit or the plug-in fails.
    pub fn update(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        let component = &self.metric.component;
        // SAFETY: state and component belong to this table.
        let result = with_inputs(inputs, |inputs| unsafe {
            (component.table.update)(component.handle, &component.host, self.state, inputs)
        })?;
        component.checked(result)
    }

    /// Merges another state of the same metric into this one.
    ///
    /// # Errors
    /// Returns an error if the states can't be merged.
    pub fn merge(&mut self, other: &MetricState) -> Result<()> {
        let component = &self.metric.component;
        if !Arc::ptr_eq(&self.metric, &other.metric) && !component.is_same_as(&other.metric.component)? {
            return Err(crate::Error::usage("states of different metrics can't be merged"));
        }
        // SAFETY: the handles belong to this table.
        component
            .checked(unsafe { (component.table.merge)(component.handle, &component.host, self.state, other.state) })
    }

    /// Returns the result.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails or its result is malformed.
    pub fn result(&self) -> Result<Outcome> {
        let component = &self.metric.component;
        // SAFETY: the handles belong to this table.
        let result =
            component.checked(unsafe { (component.table.result)(component.handle, &component.host, self.state) })?;
        let count = result.values.len();
        component.at_most(count, bounds::MAX_NUMBERS, "numbers")?;
        component.at_most(result.names.len(), bounds::MAX_NAMES, "names")?;
        component.at_most(result.shape.len(), bounds::MAX_AXES, "axes")?;
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
                    None => Err(component
                        .contract_violation(&format!("returned {count} numbers for the shape {:?}", result.shape))),
                }
            }
            abi::RESULT_NAMED if result.names.len() == count => {
                let names = result.names.iter().map(|name| component.short_name(name, "name").map(str::to_owned));
                Ok(Outcome::Named(names.zip(values).map(|(name, value)| Ok((name?, value))).collect::<Result<_>>()?))
            }
            kind => {
                Err(component.contract_violation(&format!("returned a result of kind {kind} with {count} numbers")))
            }
        }
    }

    /// Resets the state to that of a new one.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn reset(&mut self) -> Result<()> {
        let component = &self.metric.component;
        // SAFETY: the handles belong to this table.
        component.checked(unsafe { (component.table.reset)(component.handle, &component.host, self.state) })
    }

    /// Returns a copy of the state.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn try_clone(&self) -> Result<MetricState> {
        let component = &self.metric.component;
        // SAFETY: the handles belong to this table.
        let state = component.checked(unsafe { (component.table.clone_state)(component.handle, self.state) })?;
        Metric { inner: self.metric.clone() }.state(state)
    }

    /// Returns the serialized state, preceded by the plug-in author's version of its format.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn save(&self) -> Result<(u32, Vec<u8>)> {
        let component = &self.metric.component;
        // SAFETY: the handles belong to this table.
        let saved = component.checked(unsafe { (component.table.save)(component.handle, self.state) })?;
        component.at_most(saved.bytes.len(), bounds::MAX_STATE_LENGTH, "bytes")?;
        Ok((saved.version, saved.bytes.into()))
    }
}

impl Drop for MetricState {
    fn drop(&mut self) {
        // SAFETY: the state belongs to this table, and is released once.
        unsafe { (self.metric.component.table.release_state)(self.state) }
    }
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use serde_json::{Value, json};

    use crate::plugin::{Kind, Resolved};

    #[test]
    fn only_states_of_equal_metrics_are_merged() {
        let host = crate::Host::new();
        let metric = |identifier: &Value| match host.resolve(Kind::Metric, identifier) {
            Ok(Resolved::Metric(metric)) => metric.new_state().expect("a state"),
            _ => panic!("{identifier} isn't a metric"),
        };
        let auc = |thresholds: u64| metric(&json!({"class_name": "AUC", "config": {"num_thresholds": thresholds}}));
        let mut state = auc(20);
        state.merge(&auc(20)).expect("the metrics are equal");
        for other in [auc(30), metric(&"Precision".into())] {
            let error = state.merge(&other).expect_err("another metric").to_string();
            assert_eq!(error, "states of different metrics can't be merged");
        }
    }
}
