//! The arguments of losses and metrics: the arrays of a batch in the dtypes that each of them accepts.

use plugfit_api::Tensor;

use super::convert::{Accepted, Conversions};
use super::values::{Output, Values};
use crate::{Error, Result};

/// The dtypes that a component accepts for its inputs.
#[derive(Clone, Debug)]
pub(super) struct InputDtypes {
    y_true: Accepted,
    y_pred: Accepted,
}

impl InputDtypes {
    /// Returns the dtypes that a component declares, given its inputs and their dtypes; `default` for those that it
    /// doesn't declare. `y_pred` is the name of the input that gets the predictions.
    pub fn declared(y_pred: &str, inputs: &[String], dtypes: &[Vec<String>], default: &[&str]) -> Self {
        let declared = |input: &str| Accepted::declared(input, inputs, dtypes, default);
        InputDtypes { y_true: declared("y_true"), y_pred: declared(y_pred) }
    }
}

/// The arrays of one output, converted to the dtypes that its components accept.
#[derive(Debug, Default)]
pub(crate) struct DtypeCache {
    y_true: Conversions,
    y_pred: Conversions,
    weight: Conversions,
    mask: Conversions,
}

/// The arguments of a component.
pub(super) struct Arguments<'l> {
    pub y_true: Option<Tensor<'l>>,
    pub y_pred: Tensor<'l>,
    pub weight: Option<Tensor<'l>>,
    pub mask: Option<Tensor<'l>>,
}

impl DtypeCache {
    /// Marks the conversions as outdated, because a new batch begins.
    pub fn forget(&mut self) {
        for conversions in [&mut self.y_true, &mut self.y_pred, &mut self.weight, &mut self.mask] {
            conversions.forget();
        }
    }

    /// Returns the arrays of an output in accepted dtypes; without its weights unless `weighted`.
    ///
    /// # Errors
    /// Returns an error if an array can't be passed to a plug-in.
    pub(super) fn arguments<'l>(
        &'l mut self,
        output: &'l Output<'_>,
        weighted: bool,
        InputDtypes { y_true, y_pred }: &InputDtypes,
    ) -> Result<Arguments<'l>> {
        let floats = Accepted::f32();
        let bytes = Accepted::u8();
        let weight = output.sample_weight.as_ref().filter(|_| weighted);
        if let Some(values) = &output.y_true {
            self.y_true.prepare(values, y_true);
        }
        self.y_pred.prepare(&output.y_pred, y_pred);
        if let Some(values) = weight {
            self.weight.prepare(values, &floats);
        }
        if let Some(values) = &output.mask {
            self.mask.prepare_mask(values);
        }
        let get = |conversions: &'l Conversions, values: &'l Values<'_>, accepted: &Accepted, name: &str| {
            conversions
                .get(values, accepted)
                .ok_or_else(|| Error::usage(format!("{name} can't be passed to a plug-in")))
        };
        Ok(Arguments {
            y_true: output.y_true.as_ref().map(|values| get(&self.y_true, values, y_true, "y_true")).transpose()?,
            y_pred: get(&self.y_pred, &output.y_pred, y_pred, "y_pred")?,
            weight: weight.map(|values| get(&self.weight, values, &floats, "sample_weight")).transpose()?,
            mask: output.mask.as_ref().map(|values| get(&self.mask, values, &bytes, "the mask")).transpose()?,
        })
    }
}
