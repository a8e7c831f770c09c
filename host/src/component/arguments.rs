//! The arguments of losses and metrics: the arrays of a batch in the dtypes that each of them accepts.

use plugfit_api::Tensor;

use super::convert::{Accepted, Conversions};
use super::named::{NamedTensors, further_inputs};
use super::values::{Output, Values};
use crate::{Error, Result};

/// The dtypes that a component accepts for its inputs.
#[derive(Clone, Debug)]
pub(super) struct InputDtypes {
    y_true: Accepted,
    y_pred: Accepted,
    further: Vec<(String, Accepted)>,
}

impl InputDtypes {
    /// Returns the dtypes that a component declares, given its inputs and their dtypes; `default` for those that it
    /// doesn't declare. `y_pred` is the name of the input that gets the predictions.
    pub fn declared(y_pred: &str, inputs: &[String], dtypes: &[Vec<String>], default: &[&str]) -> Self {
        let declared = |input: &str| Accepted::declared(input, inputs, dtypes, default);
        let further = further_inputs(inputs).map(|name| (name.to_owned(), declared(name))).collect();
        InputDtypes { y_true: declared("y_true"), y_pred: declared(y_pred), further }
    }
}

/// The arrays of one output, converted to the dtypes that its components accept.
#[derive(Debug, Default)]
pub(crate) struct DtypeCache {
    y_true: Conversions,
    y_pred: Conversions,
    weight: Conversions,
    mask: Conversions,
    /// One for each further input of the output, in its order.
    further: Vec<Conversions>,
}

/// The arguments of a component.
pub(super) struct Arguments<'l> {
    pub y_true: Option<Tensor<'l>>,
    pub y_pred: Tensor<'l>,
    pub weight: Option<Tensor<'l>>,
    pub mask: Option<Tensor<'l>>,
    /// Those of the further inputs of the component that the output has.
    pub further: NamedTensors<'l>,
}

impl DtypeCache {
    /// Marks the conversions as outdated, because a new batch begins.
    pub fn forget(&mut self) {
        for conversions in [&mut self.y_true, &mut self.y_pred, &mut self.weight, &mut self.mask] {
            conversions.forget();
        }
        self.further.iter_mut().for_each(Conversions::forget);
    }

    /// Returns the arrays of an output in accepted dtypes; without its weights unless `weighted`.
    ///
    /// # Errors
    /// Returns an error if an array can't be passed to a plug-in.
    pub(super) fn arguments<'l>(
        &'l mut self,
        output: &'l Output<'_>,
        weighted: bool,
        InputDtypes { y_true, y_pred, further }: &'l InputDtypes,
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
        self.further.resize_with(output.inputs.len().max(self.further.len()), Conversions::default);
        let position = |name: &str| output.inputs.iter().position(|(other, _)| *other == name);
        for (name, accepted) in further {
            if let Some(index) = position(name) {
                accepted.check(&output.inputs[index].1, name)?;
                self.further[index].prepare(&output.inputs[index].1, accepted);
            }
        }
        let get = |conversions: &'l Conversions, values: &'l Values<'_>, accepted: &Accepted, name: &str| {
            conversions
                .get(values, accepted)
                .ok_or_else(|| Error::usage(format!("{name} can't be passed to a plug-in")))
        };
        let mut named = NamedTensors::default();
        for (name, accepted) in further {
            if let Some(index) = position(name) {
                named.push(name, get(&self.further[index], &output.inputs[index].1, accepted, name)?)?;
            }
        }
        Ok(Arguments {
            further: named,
            y_true: output.y_true.as_ref().map(|values| get(&self.y_true, values, y_true, "y_true")).transpose()?,
            y_pred: get(&self.y_pred, &output.y_pred, y_pred, "y_pred")?,
            weight: weight.map(|values| get(&self.weight, values, &floats, "sample_weight")).transpose()?,
            mask: output.mask.as_ref().map(|values| get(&self.mask, values, &bytes, "the mask")).transpose()?,
        })
    }
}
