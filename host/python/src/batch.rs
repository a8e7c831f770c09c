//! The arrays of a call of a loss or a metric.

use plugfit::compile::{Accepted, Values};
use plugfit_api::Tensor;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::{Borrowed, InputConverter};

/// The arrays of a call, as Python objects, as borrowed numbers or as tensors. The values of a metric without targets
/// are `y_pred`.
pub struct Batch<T> {
    pub y_true: Option<T>,
    pub y_pred: T,
    pub weight: Option<T>,
    pub mask: Option<T>,
    /// Further inputs of the component, by name.
    pub further: Vec<(String, T)>,
}

impl<T> Batch<T> {
    /// Returns the names of the further inputs.
    pub fn further_names(&self) -> Vec<&str> {
        self.further.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl<'py> Batch<Borrowed<'py>> {
    /// Borrows the arrays. The default of the mask is the one that Keras's layers attach to `y_pred`. `name` is the
    /// name of `y_pred` in errors.
    ///
    /// # Errors
    /// Raises an error if an object isn't an array of numbers.
    pub fn new(
        y_true: Option<&Bound<'py, PyAny>>,
        (y_pred, name): (&Bound<'py, PyAny>, &str),
        weight: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
        further: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let named = |(name, array): (Bound<'py, PyAny>, Bound<'py, PyAny>)| {
            let name: String = name.extract()?;
            let array = Borrowed::new(&array, &name)?;
            Ok::<_, PyErr>((name, array))
        };
        let mask = mask.map_or_else(|| keras_mask(y_pred), |mask| Ok(Some(mask.clone())))?;
        Ok(Batch {
            y_true: y_true.map(|y_true| Borrowed::new(y_true, "y_true")).transpose()?,
            y_pred: Borrowed::new(y_pred, name)?,
            weight: weight.map(|weight| Borrowed::new(weight, "sample_weight")).transpose()?,
            mask: mask.map(|mask| Borrowed::new(&mask, "mask")).transpose()?,
            further: further.into_iter().flatten().map(named).collect::<PyResult<_>>()?,
        })
    }

    /// Views the numbers of each array.
    pub fn values(&self) -> Batch<Values<'_>> {
        Batch {
            y_true: self.y_true.as_ref().map(Borrowed::values),
            y_pred: self.y_pred.values(),
            weight: self.weight.as_ref().map(Borrowed::values),
            mask: self.mask.as_ref().map(Borrowed::values),
            further: self.further.iter().map(|(name, array)| (name.clone(), array.values())).collect(),
        }
    }
}

/// Returns the mask that Keras's layers attach to their output.
fn keras_mask<'py>(y_pred: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if y_pred.is_exact_instance_of::<numpy::PyUntypedArray>() {
        return Ok(None);
    }
    let mask = y_pred.getattr_opt(pyo3::intern!(y_pred.py(), "_keras_mask"))?;
    Ok(mask.filter(|mask| !mask.is_none()))
}

/// The converters of the arrays of a component.
pub struct BatchConverter {
    y_true: InputConverter,
    y_pred: InputConverter,
    weight: InputConverter,
    mask: InputConverter,
    further: Vec<(String, InputConverter)>,
}

impl BatchConverter {
    /// Creates the converters for the dtypes that the component accepts. `further` are its further inputs.
    pub fn new(y_true: Accepted, y_pred: Accepted, weight: Accepted, further: Vec<(String, Accepted)>) -> Self {
        let [y_true, y_pred, weight] = [y_true, y_pred, weight].map(InputConverter::new);
        let further = further.into_iter().map(|(name, accepted)| (name, InputConverter::new(accepted))).collect();
        BatchConverter { y_true, y_pred, weight, mask: InputConverter::of_mask(), further }
    }

    /// Returns the arrays as tensors, converted if necessary.
    ///
    /// # Errors
    /// Returns the errors of [`InputConverter::convert`]. A further input that the component doesn't declare is left
    /// out; check their names first.
    pub fn convert<'l>(&'l mut self, batch: &'l Batch<Values<'_>>) -> plugfit::Result<Batch<Tensor<'l>>> {
        let Batch { y_true, y_pred, weight, mask, further } = batch;
        let mut converted = Vec::new();
        for (name, converter) in &mut self.further {
            if let Some((_, values)) = further.iter().find(|(other, _)| other == name) {
                converted.push((name.clone(), converter.convert(values, name)?));
            }
        }
        Ok(Batch {
            further: converted,
            y_true: y_true.as_ref().map(|y_true| self.y_true.convert(y_true, "y_true")).transpose()?,
            y_pred: self.y_pred.convert(y_pred, "y_pred")?,
            weight: weight.as_ref().map(|weight| self.weight.convert(weight, "sample_weight")).transpose()?,
            mask: mask.as_ref().map(|mask| self.mask.convert(mask, "mask")).transpose()?,
        })
    }
}
