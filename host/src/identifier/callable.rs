//! Closures as losses and metrics.

use std::fmt;
use std::sync::Arc;

use plugfit_api::config::ComponentSpec;
use plugfit_api::loss::{Loss, LossInfo, LossOutput, LossTotals};
use plugfit_api::{Config, Host, Inputs, Tensor};
use serde_json::{Map, Value};

use crate::plugin::{self, row_function};

type RowValue = dyn Fn(&[f32], &[f32]) -> f32 + Send + Sync;
type RowGradient = dyn Fn(&[f32], &[f32], &mut [f32]) + Send + Sync;

/// A closure that maps a row of `y_true` and a row of `y_pred` to a value.
///
/// A row extends along the last axis of `y_pred`; predictions of shape `[N]` are N rows of one number. A row of
/// `y_true` has as many numbers as a row of `y_pred`, or one (a class id).
#[derive(Clone)]
pub struct Callable {
    name: Arc<str>,
    value: Arc<RowValue>,
    gradient: Option<Arc<RowGradient>>,
}

impl Callable {
    /// Creates a callable with this name.
    pub fn new(name: impl Into<String>, value: impl Fn(&[f32], &[f32]) -> f32 + Send + Sync + 'static) -> Self {
        Callable { name: name.into().into(), value: Arc::new(value), gradient: None }
    }

    /// Adds a closure that writes the derivative with respect to each element of a row of `y_pred`.
    #[must_use]
    pub fn with_gradient(mut self, gradient: impl Fn(&[f32], &[f32], &mut [f32]) + Send + Sync + 'static) -> Self {
        self.gradient = Some(Arc::new(gradient));
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates a loss from the closure.
    pub(crate) fn to_loss(&self) -> plugin::Loss {
        let label = format!("the closure \"{}\"", self.name);
        let instance = plugfit_api::instance::loss(self.clone());
        plugin::Loss::from_instance(instance, Some(&label))
    }

    /// Returns the number of rows, and the lengths of a row of `y_true` and of `y_pred`.
    fn rows(y_true: &Tensor<'_>, y_pred: &Tensor<'_>) -> plugfit_api::Result<(usize, usize, usize)> {
        let columns = if y_pred.rank() < 2 { 1 } else { y_pred.rows_and_columns().1 };
        let rows = y_pred.len().checked_div(columns).unwrap_or(0);
        let true_columns = if y_true.len() == y_pred.len() { columns } else { 1 };
        if y_true.len() == rows * true_columns {
            return Ok((rows, true_columns, columns));
        }
        Err(plugfit_api::Error::input(format!(
            "y_true of shape {:?} doesn't fit y_pred of shape {:?}",
            y_true.shape(),
            y_pred.shape()
        )))
    }
}

impl fmt::Debug for Callable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the closure {:?}", self.name)
    }
}

impl Config for Callable {
    const SPEC: ComponentSpec = ComponentSpec { doc: "A closure.", ..row_function::SPEC };

    fn from_json(_: &Map<String, Value>) -> plugfit_api::Result<Self> {
        Err(plugfit_api::Error::unsupported("a closure can't be made from a configuration"))
    }

    fn to_json(&self) -> Map<String, Value> {
        Map::new()
    }
}

impl Loss for Callable {
    fn info(&self) -> LossInfo {
        LossInfo { differentiable: self.gradient.is_some(), ..LossInfo::default() }
    }

    fn output_shape(&self, inputs: &Inputs<'_>) -> plugfit_api::Result<Vec<i64>> {
        row_function::output_shape(inputs)
    }

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> plugfit_api::Result<LossTotals> {
        let (y_true, y_pred) = (inputs.y_true()?, inputs.y_pred()?);
        let (rows, true_columns, columns) = Self::rows(&y_true, &y_pred)?;
        let (y_true, y_pred) = (y_true.f32s("y_true")?, y_pred.f32s("y_pred")?);
        let row = |i: usize| (&y_true[i * true_columns..][..true_columns], &y_pred[i * columns..][..columns]);
        let mut totals = LossTotals { count: rows as f64, ..LossTotals::default() };
        for i in 0..rows {
            let (t, p) = row(i);
            let value = (self.value)(t, p);
            row_function::add(&mut totals, value, output.upstream(i));
            if let Some(place) = output.values.as_deref_mut().and_then(|values| values.get_mut(i)) {
                *place = value;
            }
        }
        let scale = output.scale;
        let upstream = output.upstream;
        if let Some(gradient) = output.gradient(1)? {
            let row_gradient = self
                .gradient
                .as_ref()
                .ok_or_else(|| plugfit_api::Error::unsupported("this closure has no gradient"))?;
            for (i, place) in gradient.chunks_exact_mut(columns.max(1)).enumerate().take(rows) {
                let (t, p) = row(i);
                row_gradient(t, p, place);
                row_function::scale_row(place, scale * upstream.map_or(1.0, |upstream| upstream[i]));
            }
        }
        Ok(totals)
    }
}
