//! Cosine similarity.

use super::{EPSILON, kernels};
use plugfit_api::{Plain, prelude::*};

/// The negative cosine of the angle between two vectors: -1 if they have the same direction, 0 if one is zero.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::COSINE_SIMILARITY)]
pub struct CosineSimilarity {
    /// The axis of the vectors.
    #[config(default = -1)]
    axis: i64,
}

/// Returns `1 / |v|` for a given `|v|²`, at most 1e7.
#[inline(always)]
fn inverse_length<R: Real>(squares: R) -> R {
    (R::from(1.0) / squares.sqrt()).min(R::from(1.0 / EPSILON))
}

/// Up to this squared length, computations with two vectors don't overflow or underflow.
const LARGE: f64 = 1e30;

/// Returns the factor by which a vector is divided before its length is computed, and the inverse length of the scaled
/// vector. The factor is 1, except for very long vectors, whose squares overflow.
#[inline(always)]
fn scale_and_inverse<T: Copy, R: Real>(vector: &[T], number: impl Fn(T) -> R + Copy) -> (R, R) {
    let one = R::from(1.0);
    let squares = kernels::sum!(vector, |x| number(x) * number(x));
    if R::is_common(squares.le(R::from(LARGE))) {
        return (one, inverse_length(squares));
    }
    let most = kernels::greatest!(vector, |x| number(x).abs());
    (most, one / kernels::sum!(vector, |x| (number(x) / most) * (number(x) / most)).sqrt())
}

#[formula]
impl RowLoss for CosineSimilarity {
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        let (y_true, y_pred) = (y_true.elements(), y_pred.elements());
        let (true_scale, true_inverse) = scale_and_inverse(y_true, |t| t);
        let (pred_scale, pred_inverse) = scale_and_inverse(y_pred, |p| p);
        let dot = match R::is_common(true_scale.eq(R::from(1.0)) & pred_scale.eq(R::from(1.0))) {
            true => kernels::sum!(y_true, y_pred, |t, p| t * p),
            false => kernels::sum!(y_true, y_pred, |t, p| (t / true_scale) * (p / pred_scale)),
        };
        -(dot * true_inverse * pred_inverse)
    }

    fn gradient(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        let (true_scale, true_inverse) = scale_and_inverse(y_true, Plain);
        let (pred_scale, pred_inverse) = scale_and_inverse(y_pred, Plain);
        let one = Plain(1.0);
        if true_scale != one || pred_scale != one {
            let dot = kernels::sum!(y_true, y_pred, |t, p| (Plain(t) / true_scale) * (Plain(p) / pred_scale));
            let cosine = dot * true_inverse * pred_inverse;
            // A clipped length is constant, so its derivative is 0.
            let along = if pred_inverse.0 >= (1.0 / EPSILON) as f32 { Plain(0.0) } else { cosine };
            for ((derivative, &t), &p) in gradient.iter_mut().zip(y_true).zip(y_pred) {
                let (t, p) = (Plain(t) / true_scale * true_inverse, Plain(p) / pred_scale * pred_inverse);
                *derivative = ((p * along - t) * pred_inverse / pred_scale).0;
            }
            return -cosine.0;
        }
        let (true_inverse, pred_inverse) = (true_inverse.0, pred_inverse.0);
        let cosine = kernels::sum!(y_true, y_pred, |t, p| Plain(t * p)).0 * true_inverse * pred_inverse;
        let towards = true_inverse * pred_inverse;
        let clipped = pred_inverse >= (1.0 / EPSILON) as f32;
        let along = if clipped { 0.0 } else { cosine * pred_inverse * pred_inverse };
        for ((derivative, &t), &p) in gradient.iter_mut().zip(y_true).zip(y_pred) {
            *derivative = p * along - t * towards;
        }
        -cosine
    }

    fn axis(&self) -> Option<i64> {
        Some(self.axis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSINE: CosineSimilarity = CosineSimilarity { axis: -1 };

    #[test]
    fn the_value_depends_only_on_the_angle() {
        let mut gradient = [0.0; 2];
        assert_eq!(COSINE.gradient(&[1.0, 0.0], &[4.0, 0.0], &mut gradient), -1.0);
        assert_eq!(gradient, [0.0, 0.0]);
        assert_eq!(COSINE.gradient(&[1.0, 0.0], &[0.0, 2.0], &mut gradient), 0.0);
        assert_eq!(gradient, [-0.5, 0.0]);
    }

    #[test]
    fn lengths_of_any_magnitude_change_nothing() {
        let (t, p) = ([3.0f32, 4.0, 0.0], [1.0f32, 2.0, -2.0]);
        let cosine = 11.0 / 15.0;
        for true_size in [1e-6, 1.0, 1e10, 1e20, 1e30, 5e37] {
            for pred_size in [1e-6, 1.0, 1e10, 1e20, 1e30, 5e37] {
                let (t, p) = (t.map(|t| t * true_size), p.map(|p| p * pred_size));
                let mut gradient = [f32::NAN; 3];
                let value = COSINE.gradient(&t, &p, &mut gradient);
                assert!((value + cosine).abs() < 1e-6, "{true_size} {pred_size}: {value}");
                assert_eq!(COSINE.value(Row::new(&t.map(Plain)), Row::new(&p.map(Plain))).0, value);
                for (derivative, (t, p)) in gradient.iter().zip([(0.6, 1.0 / 3.0), (0.8, 2.0 / 3.0), (0.0, -2.0 / 3.0)])
                {
                    let expected = f64::from(p * cosine - t) / (3.0 * f64::from(pred_size));
                    let error = (f64::from(*derivative) - expected).abs();
                    assert!(error <= 1e-5 / f64::from(pred_size), "{true_size} {pred_size}: {derivative} {expected}");
                }
            }
        }
        let exact = [3e200, 4e200, 0.0].map(Plain);
        assert!(
            (COSINE.value(Row::new(&exact), Row::new(&[1.0, 2.0, -2.0].map(Plain))).0 + f64::from(cosine)).abs() < 1e-6
        );
        let mut gradient = [0.0; 3];
        assert!(COSINE.gradient(&[f32::NAN, 1.0, 1.0], &p, &mut gradient).is_nan());
    }

    #[test]
    fn a_zero_vector_has_similarity_0_and_a_finite_derivative() {
        let mut gradient = [7.0; 2];
        assert_eq!(COSINE.gradient(&[0.0, 0.0], &[1.0, 2.0], &mut gradient), 0.0);
        assert_eq!(gradient, [0.0, 0.0]);
        assert_eq!(COSINE.gradient(&[3.0, 0.0], &[0.0, 0.0], &mut gradient), 0.0);
        assert_eq!(gradient, [-1e7, 0.0]);
    }
}
