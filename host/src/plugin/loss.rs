use std::fmt;
use std::sync::Arc;

use plugfit_abi::{self as abi, Handle, Interface, LossV1, LossV2};
use plugfit_api::instance::Instance;
use plugfit_api::loss::{LossInfo, LossOutput, LossTotals};
use plugfit_api::{Element, Float, Inputs, Tensor, TensorMut};
use serde_json::{Map, Value};

use super::bounds;
use super::component::{MAX_INPUTS, Owned, with_inputs};
use crate::{Error, Result};

/// A loss of a plug-in: unreduced values and gradients.
#[derive(Clone)]
pub struct Loss {
    inner: Arc<Inner>,
}

struct Inner {
    owned: Owned<LossV1>,
    /// What it does in float64, if its plug-in offers that.
    float64: Option<&'static LossV2>,
    info: LossInfo,
}

impl From<Instance<LossV1>> for Loss {
    fn from(instance: Instance<LossV1>) -> Self {
        Loss::from_instance(instance, None)
    }
}

impl Loss {
    pub(super) fn new(owned: Owned<LossV1>, float64: Option<&'static LossV2>) -> Result<Self> {
        let info = owned.info()?;
        Ok(Loss { inner: Arc::new(Inner { owned, float64, info }) })
    }

    /// A loss that was made in this process, and is taken over; `label` is what errors call it, if not by its name.
    pub(crate) fn from_instance(instance: Instance<LossV1>, label: Option<&str>) -> Self {
        let owned = Owned::of_instance(instance, label);
        let info = owned.info().unwrap_or_default();
        Loss { inner: Arc::new(Inner { owned, float64: Some(plugfit_api::instance::loss_v2()), info }) }
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
    pub fn info(&self) -> &LossInfo {
        &self.inner.info
    }

    /// Refuses a loss that computes in float32 alone.
    ///
    /// # Errors
    /// It is one.
    pub fn check_float64(&self) -> Result<()> {
        if self.info().float64 && self.inner.float64.is_some() {
            return Ok(());
        }
        let error = Error::usage(format!("{} computes in float32 alone", self.full_name())).with("in", "dtype");
        Err(match self.inner.float64 {
            None => error.hint(format!(
                "{} offers no {}: rebuild it with plugfit-api {}, or leave dtype out",
                self.plugin(),
                abi::LOSS_V2,
                env!("CARGO_PKG_VERSION")
            )),
            Some(_) => error.hint("leave dtype out"),
        })
    }

    pub(super) fn interface(&self) -> &'static Interface {
        self.inner.owned.interface
    }

    pub(super) fn handle(&self) -> Handle {
        self.inner.owned.handle
    }

    /// The shape of the values for inputs of these shapes.
    ///
    /// # Errors
    /// The inputs don't fit, or the shape can't be.
    pub fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        let owned = &self.inner.owned;
        // SAFETY: the handle belongs to this table.
        let shape = owned
            .checked(with_inputs(inputs, |inputs| unsafe { (owned.table.output_shape)(owned.handle, inputs) })?)?;
        owned.at_most(shape.len(), bounds::AXES, "axes")?;
        let shape: Vec<i64> = shape.into();
        let product = shape.iter().try_fold(1_i64, |product, &length| product.checked_mul(length));
        if shape.iter().any(|&length| length < 0) || product.is_none_or(|product| product > 1 << 48) {
            return Err(owned.mistake(&format!("says that its values have the shape {shape:?}")));
        }
        Ok(shape)
    }

    /// Values, gradients or both, whichever `output` has room for. `shape` is what `output_shape` gave, and the buffers have
    /// as many numbers.
    ///
    /// # Errors
    /// The inputs don't fit, the loss has no float64 where that is asked for, or the plug-in fails.
    pub fn call<F: Float>(
        &self,
        inputs: &Inputs<'_>,
        shape: &[i64],
        output: &mut LossOutput<'_, F>,
    ) -> Result<LossTotals> {
        let owned = &self.inner.owned;
        let mut gradients = [abi::abi_stable::std_types::ROption::RNone; MAX_INPUTS];
        for (raw, gradient) in gradients.iter_mut().zip(output.gradients.iter()) {
            *raw = gradient.as_ref().map(|gradient| gradient.raw()).into();
        }
        let writable = |buffer: Option<&mut [F]>| buffer.map(|buffer| TensorMut::new(buffer, shape).raw());
        let raw = abi::LossOutput {
            values: writable(output.values.as_deref_mut()).into(),
            valid: writable(output.valid.as_deref_mut()).into(),
            gradients: gradients[..output.gradients.len().min(MAX_INPUTS)].into(),
            upstream: output.upstream.map(|upstream| Tensor::new(upstream, shape).raw()).into(),
            scale: output.scale.exact(),
        };
        let call = match self.inner.float64 {
            Some(table) if F::DTYPE == f64::DTYPE => table.call,
            _ => owned.table.call,
        };
        // SAFETY: the handle belongs to these tables; what is lent is borrowed for the call, what is written mutably.
        let result = with_inputs(inputs, |inputs| unsafe { call(owned.handle, &owned.host, inputs, &raw) })?;
        owned.checked(result)
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name())
    }
}
