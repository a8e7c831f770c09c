//! A metric that is the mean of a loss's values.

use plugfit_api::loss::LossOutput;
use plugfit_api::metric::{Direction, MetricInfo, Outcome};
use plugfit_api::{Inputs, Tensor};

use super::inputs::{ValueShapes, aligned, check_pairs, in_order, reshaped};
use super::zero_weights::{self, Spare};
use crate::component::broadcast::{Shape, common, for_each_broadcast, squeeze_or_expand_to_same_rank};
use crate::component::combine::{Combiner, check_weight, misfit};
use crate::component::named::NamedTensors;
use crate::component::reduction::divide_no_nan;
use crate::{Error, Result, plugin};

/// The weighted mean of a loss's values over all samples seen.
#[derive(Debug)]
pub(in crate::component) struct LossMean {
    pub loss: plugin::Loss,
    pub info: MetricInfo,
    total: f64,
    count: f64,
    combiner: Combiner,
    shapes: ValueShapes,
    upstream: Vec<f32>,
    spare: Spare,
}

impl LossMean {
    pub fn new(loss: plugin::Loss) -> Self {
        let loss_info = loss.info();
        let float32 = || vec!["float32".to_owned()];
        let dtypes = (0..loss_info.inputs.len()).map(|input| match loss_info.dtypes.get(input) {
            Some(dtypes) if !dtypes.is_empty() => dtypes.clone(),
            _ => float32(),
        });
        let info = MetricInfo {
            inputs: loss_info.inputs.clone(),
            dtypes: dtypes.collect(),
            rows_independent: loss_info.rows_independent,
            ..MetricInfo::new(Direction::Minimize)
        };
        let (combiner, shapes, upstream) = (Combiner::default(), ValueShapes::default(), Vec::new());
        LossMean { loss, info, total: 0.0, count: 0.0, combiner, shapes, upstream, spare: Spare::default() }
    }

    /// Returns the mean of the same loss that has seen no data.
    pub fn with_new_state(&self) -> Self {
        LossMean::new(self.loss.clone())
    }

    pub fn update(
        &mut self,
        y_true: Tensor<'_>,
        y_pred: Tensor<'_>,
        further: &NamedTensors<'_>,
        weight: Option<Tensor<'_>>,
        mask: Option<Tensor<'_>>,
    ) -> Result<()> {
        let LossMean { loss, combiner, shapes, upstream, spare, .. } = self;
        let (true_shape, pred_shape) = aligned(&y_true, &y_pred)?;
        check_pairs(loss, (&y_true, &true_shape), (&y_pred, &pred_shape))?;
        let usual =
            [("y_true", reshaped(y_true, true_shape.lengths())), ("y_pred", reshaped(y_pred, pred_shape.lengths()))];
        let ordered = in_order(loss, &usual, further)?;
        let tensors = ordered.as_ref().map_or(&usual[..], |(tensors, count)| &tensors[..*count]);
        let inputs = Inputs::new(tensors, None, None);
        let shape = shapes.get(loss, &inputs, &true_shape, &pred_shape)?;
        if y_pred.is_empty() || shape.count() == 0 {
            return Ok(());
        }
        let mut value_shape = shape;
        let mut scalar_weight = None;
        let mut weights = None;
        if let Some(mut combined) = combiner.combine(weight, mask)? {
            let given = combined.shape;
            check_weight(&Tensor::new(combined.values, given.lengths()))?;
            squeeze_or_expand_to_same_rank(&mut value_shape, &mut combined.shape);
            if let ([], [single]) = (combined.shape.lengths(), combined.values) {
                // A single weight for the whole batch applies to the batch's mean.
                scalar_weight = Some(f64::from(*single));
            } else {
                // Weights apply to the leading axes; the values are averaged over the others.
                let padded = combined.shape.padded(value_shape.rank());
                if common(&value_shape, &padded) != Some(value_shape) {
                    return Err(misfit("sample_weight", given.lengths(), "the values", shape.lengths()));
                }
                weights = Some(if padded == value_shape {
                    combined.values
                } else {
                    upstream.clear();
                    for_each_broadcast(&value_shape, [&padded], |_, [at]| upstream.push(combined.values[at]));
                    &upstream[..]
                });
            }
        }
        let mut output = LossOutput { values: None, valid: None, gradients: &mut [], upstream: weights, scale: 1.0 };
        if scalar_weight == Some(0.0) {
            return Ok(());
        }
        let totals = zero_weights::call(loss, &inputs, &shape, &mut output, spare)?;
        let weighted = weights.is_some();
        // As in Keras, values that the loss itself ignores (`ignore_class`) count as 0 without weights, and have no
        // weight with weights.
        let sum = if weighted { totals.weight } else { shape.count() as f64 };
        let (total, count) = match scalar_weight {
            // Keras applies the weight to each value that the loss doesn't ignore.
            Some(weight) if loss.info().own_mask => {
                (totals.value * weight / per_sample(&value_shape), totals.count * weight / per_sample(&value_shape))
            }
            Some(weight) => (divide_no_nan(totals.value, sum) * weight, weight),
            None => (totals.value / per_sample(&value_shape), sum / per_sample(&value_shape)),
        };
        self.total += total;
        self.count += count;
        Ok(())
    }

    /// Returns the mean; undefined without values, while Keras returns 0.
    pub fn result(&self) -> Outcome {
        Outcome::ratio(self.total, self.count)
    }

    pub fn reset(&mut self) {
        (self.total, self.count) = (0.0, 0.0);
    }

    pub fn merge(&mut self, other: &LossMean) {
        self.total += other.total;
        self.count += other.count;
    }

    /// The version of the format that [`save`](Self::save) writes.
    pub const VERSION: u32 = 1;

    pub fn save(&self) -> Vec<u8> {
        [self.total.to_le_bytes(), self.count.to_le_bytes()].concat()
    }

    pub fn load(&mut self, version: u32, bytes: &[u8]) -> Result<()> {
        match (version, bytes.as_chunks::<8>()) {
            (Self::VERSION, ([total, count], [])) => {
                (self.total, self.count) = (f64::from_le_bytes(*total), f64::from_le_bytes(*count));
                Ok(())
            }
            _ => Err(Error::failure(format!("the saved state isn't that of the mean of {}", self.loss.name()))),
        }
    }
}

/// Returns the number of values per sample; the first axis counts samples.
fn per_sample(shape: &Shape) -> f64 {
    shape.lengths().iter().skip(1).map(|&length| length as f64).product::<f64>().max(1.0)
}

#[cfg(all(test, feature = "builtin"))]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ignored_values_have_no_weight_under_a_single_weight() {
        let identifier = json!({"class_name": "SparseCategoricalCrossentropy", "config": {"ignore_class": 0}});
        let (ids, predictions) = ([0i64, 1, 2], [0.7f32, 0.2, 0.1, 0.1, 0.3, 0.6, 0.2, 0.3, 0.5]);
        let mean = |weight: Option<&[f32]>| {
            let mut metric = crate::Host::new().metric(identifier.clone()).expect("it is there");
            let (t, p) = (Tensor::new(&ids, &[3]), Tensor::new(&predictions, &[3, 3]));
            let weight = weight.map(|weight| match weight {
                [_] => Tensor::new(weight, &[]),
                _ => Tensor::new(weight, &[3]),
            });
            metric.update_state(t, p, weight, None).expect("it fits");
            match metric.result().expect("a result") {
                Outcome::Scalar(value) => value,
                other => panic!("{other:?}"),
            }
        };
        let sum = -(0.3f64.ln() + 0.5f64.ln());
        for (weight, expected) in
            [(None, sum / 3.0), (Some(&[2.0f32][..]), sum / 2.0), (Some(&[2.0, 2.0, 2.0]), sum / 2.0)]
        {
            assert!((mean(weight) - expected).abs() < 1e-6, "{weight:?}: {} {expected}", mean(weight));
        }
    }
}
