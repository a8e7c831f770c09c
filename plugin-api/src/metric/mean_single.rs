//! Sums of the values of a [`MeanMetric`] in one pass over float32 inputs.

use super::{Each, MeanMetric};
use crate::{
    kernels::{
        float::sum,
        scratch::{Elements, Scratch},
        simd::{dispatch, Kernel},
    },
    labels::check_ids,
    numeric::numeric,
    shape::Shape,
    walk::rows_of,
    weights::Weights,
    Inputs, Plain, Result, Row,
};

/// The number of values that are computed before they are summed.
const BLOCK: usize = 512;

/// The units of a batch, in float32.
struct Units<'a> {
    y_true: Elements<'a, f32>,
    y_pred: &'a [f32],
    /// The number of elements of a unit in `y_true`.
    labels: usize,
    /// The number of elements of a unit in `y_pred`.
    columns: usize,
    weights: UnitWeights<'a>,
}

enum UnitWeights<'a> {
    /// Each unit has the weight 1.
    None,
    Single(&'a [f32]),
    Double(Scratch<f64>),
}

impl<'a> UnitWeights<'a> {
    fn new(inputs: &Inputs<'a>, units: &Shape) -> Result<Self> {
        let count = units.count();
        let Some(weight) = inputs.weight else { return Ok(UnitWeights::None) };
        let weights = Weights::new(Some(weight), units)?;
        Ok(match weight.as_slice::<f32>().filter(|weights| weights.len() == count) {
            Some(weights) => UnitWeights::Single(weights),
            None => {
                let mut weights = weights.in_order(count);
                UnitWeights::Double(Scratch::of((0..count).map(|_| weights.next())))
            }
        })
    }

    #[inline(always)]
    fn get(&self, unit: usize) -> f64 {
        match self {
            UnitWeights::None => 1.0,
            UnitWeights::Single(weights) => weights[unit].into(),
            UnitWeights::Double(weights) => weights[unit],
        }
    }
}

impl<'a> Units<'a> {
    /// Returns the units, or `None` if an input isn't float32 or the units are lines.
    fn new(inputs: &Inputs<'a>, each: Each) -> Result<Option<Self>> {
        let (y_true, y_pred) = (numeric(inputs.y_true()?, "y_true")?, numeric(inputs.y_pred()?, "y_pred")?);
        let Some(predictions) = y_pred.as_slice::<f32>() else { return Ok(None) };
        match each {
            Each::Line(_) => Ok(None),
            Each::ClassId => {
                let (units, columns) = rows_of(&y_pred)?;
                if y_true.len() != units.count() || columns >= 1 << f32::MANTISSA_DIGITS {
                    // The loop in float64 has the error.
                    return Ok(None);
                }
                let weights = UnitWeights::new(inputs, &units)?;
                check_ids(&y_true, "y_true", Some(columns), |unit| weights.get(unit) == 0.0)?;
                let ids = match y_true.as_slice::<f32>() {
                    Some(ids) => Elements::Borrowed(ids),
                    None => Elements::Copied(Scratch::of((0..y_true.len()).map(|unit| y_true.get_f64(unit) as f32))),
                };
                Ok(Some(Units { y_true: ids, y_pred: predictions, labels: 1, columns, weights }))
            }
            Each::Row | Each::Element => {
                let Some(labels) = y_true.as_slice::<f32>() else { return Ok(None) };
                let mut units = inputs.matched_shape()?;
                let columns = units.last().filter(|_| each == Each::Row && units.rank() > 1).unwrap_or(1);
                if each == Each::Row && units.rank() > 1 {
                    units.pop();
                }
                let weights = UnitWeights::new(inputs, &units)?;
                let y_true = Elements::Borrowed(labels);
                Ok(Some(Units { y_true, y_pred: predictions, labels: columns, columns, weights }))
            }
        }
    }
}

/// Returns the sums over a batch of float32 inputs, of weight times value and of weight; `None` if it isn't one, or if the units are lines.
///
/// # Errors
/// Returns an error if the inputs don't fit each other, or if a class id is none.
pub(super) fn sums<T: MeanMetric>(metric: &T, inputs: &Inputs<'_>) -> Result<Option<[f64; 2]>> {
    let units = Units::new(inputs, metric.each())?.filter(|units| units.columns > 0);
    Ok(units.map(|units| dispatch(Values { metric, units: &units })))
}

/// The loop over units.
struct Values<'k, 'a, T> {
    metric: &'k T,
    units: &'k Units<'a>,
}

impl<T: MeanMetric> Values<'_, '_, T> {
    /// Computes the values of the units from this one on.
    #[inline(always)]
    fn block(&self, first: usize, values: &mut [f32]) {
        let Units { y_true, y_pred, labels, columns, .. } = self.units;
        let (y_true, y_pred) = (Plain::slice(&y_true[first * labels..]), Plain::slice(&y_pred[first * columns..]));
        if (*labels, *columns) == (1, 1) {
            let (y_true, y_pred) = (&y_true[..values.len()], &y_pred[..values.len()]);
            for (i, value) in values.iter_mut().enumerate() {
                *value = self.metric.value(Row::new(&y_true[i..=i]), Row::new(&y_pred[i..=i])).0;
            }
        } else {
            for (i, value) in values.iter_mut().enumerate() {
                let y_true = Row::new(&y_true[i * labels..][..*labels]);
                *value = self.metric.value(y_true, Row::new(&y_pred[i * columns..][..*columns])).0;
            }
        }
    }
}

impl<T: MeanMetric> Kernel for Values<'_, '_, T> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run(self) -> [f64; 2] {
        let count = self.units.y_pred.len() / self.units.columns;
        let mut values = [0.0; BLOCK];
        let mut total = [0.0; 2];
        for first in (0..count).step_by(BLOCK) {
            let values = &mut values[..BLOCK.min(count - first)];
            self.block(first, values);
            match &self.units.weights {
                UnitWeights::None => {
                    total[0] += sum(values);
                    total[1] += values.len() as f64;
                }
                weights => {
                    for (i, value) in values.iter().enumerate() {
                        let weight = weights.get(first + i);
                        // A value of weight 0 is ignored, even if it is NaN.
                        if weight != 0.0 {
                            total[0] += weight * f64::from(*value);
                            total[1] += weight;
                        }
                    }
                }
            }
        }
        total
    }
}
