//! Cross-entropies of class ids, with one value for each row of classes.

use super::{
    EPSILON, UPPER, clamp_derivative,
    class_ids::{ClassIdLoss, Labels, Rows, call},
    kernels,
};
use plugfit_api::{
    ClassId, Plain,
    formula::Formula,
    loss::{LossTotals, Targets},
    prelude::*,
};

/// Categorical cross-entropy of class ids: `-ln(y_pred[y_true])`. Probabilities are divided by their sum first.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::SPARSE_CATEGORICAL_CROSSENTROPY)]
pub struct SparseCategoricalCrossentropy {
    /// Whether `y_pred` contains logits instead of probabilities.
    #[config(default = false)]
    from_logits: bool,
    /// Rows with this class id don't count; null: all rows count.
    ignore_class: Option<i64>,
    /// The axis of the classes.
    #[config(default = -1)]
    axis: i64,
}

#[formula]
impl ClassIdLoss for SparseCategoricalCrossentropy {
    fn value<R: Real>(&self, label: ClassId<R>, y_pred: Row<'_, R>) -> R {
        let own = y_pred.at(label);
        let y_pred = y_pred.elements();
        if self.from_logits {
            let most = kernels::greatest!(y_pred, |x| x).detach();
            return kernels::sum!(y_pred, |x| (x - most).exp()).ln() - (own - most);
        }
        -(own / kernels::sum!(y_pred, |p| p)).clamp(EPSILON, UPPER).ln()
    }

    fn gradient(&self, label: usize, y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        if self.from_logits {
            let most = kernels::greatest!(y_pred, |x| Plain(x)).0;
            let total = kernels::write_exponentials(y_pred, most, gradient);
            let share = 1.0 / total;
            gradient.iter_mut().for_each(|derivative| *derivative *= share);
            gradient[label] -= 1.0;
            return Plain(total).ln().0 - (y_pred[label] - most);
        }
        let total = kernels::sum!(y_pred, |p| Plain(p));
        let share = Plain(y_pred[label]) / total;
        let inside = share.clamp(EPSILON, UPPER);
        let derivative = clamp_derivative(share, EPSILON, UPPER) / (inside * total);
        gradient.fill((derivative * share).0);
        gradient[label] = (derivative * share - derivative).0;
        -inside.ln().0
    }

    fn gradient_f64(&self, label: usize, y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        if self.from_logits {
            let most = kernels::greatest!(y_pred, |x| Plain(x)).0;
            gradient.iter_mut().zip(y_pred).for_each(|(derivative, x)| *derivative = (x - most).exp());
            let total: f64 = gradient.iter().sum();
            gradient.iter_mut().for_each(|derivative| *derivative /= total);
            gradient[label] -= 1.0;
            return total.ln() - (y_pred[label] - most);
        }
        let total: f64 = y_pred.iter().sum();
        let share = y_pred[label] / total;
        let inside = share.clamp(EPSILON, UPPER);
        let derivative = clamp_derivative(Plain(share), EPSILON, UPPER).0 / (inside * total);
        gradient.fill(derivative * share);
        gradient[label] = derivative * share - derivative;
        -inside.ln()
    }
}

impl Loss for SparseCategoricalCrossentropy {
    fn info(&self) -> LossInfo {
        LossInfo {
            from_logits: self.from_logits,
            own_mask: self.ignore_class.is_some(),
            float64: true,
            dtypes: vec![Labels::dtypes(), vec!["float32".into()]],
            ..LossInfo::targets(Targets::Sparse).along(Some(self.axis))
        }
    }

    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        Rows::new(inputs, self.axis).map(|(_, shape)| shape)
    }

    fn formula(&self) -> Result<Formula> {
        if self.ignore_class.is_some() {
            return Err(Error::unsupported("ignore_class marks values as invalid"));
        }
        Formula::of_class_ids(self.axis, |label, y_pred| self.value(label, y_pred))
    }

    calls! { self, inputs, output, host => call(self, self.axis, self.ignore_class, inputs, output, host) }
}

/// Generalized cross-entropy of class ids: `(1 - p^q) / q`, robust to wrong labels. Zhang & Sabuncu 2018.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::CATEGORICAL_GENERALIZED_CROSS_ENTROPY)]
pub struct CategoricalGeneralizedCrossEntropy {
    /// The exponent; near 0 the loss approaches cross-entropy, near 1 the mean absolute error.
    #[config(default = 0.5, above = 0.0, below = 1.0)]
    q: f64,
}

impl CategoricalGeneralizedCrossEntropy {
    /// Returns `(1 - p^q) / q`, computed without cancellation for q near 0.
    #[inline(always)]
    fn of_probability<R: Real>(&self, p: R) -> R {
        -(p.ln() * self.q).exp_m1() / self.q
    }
}

#[formula]
impl ClassIdLoss for CategoricalGeneralizedCrossEntropy {
    fn value<R: Real>(&self, label: ClassId<R>, y_pred: Row<'_, R>) -> R {
        self.of_probability(y_pred.at(label))
    }

    fn gradient(&self, label: usize, y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        gradient.fill(0.0);
        let p = Plain(y_pred[label]);
        gradient[label] = -p.powf(self.q - 1.0).0;
        self.of_probability(p).0
    }

    fn gradient_f64(&self, label: usize, y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        gradient[label] = -y_pred[label].powf(self.q - 1.0);
        self.of_probability(Plain(y_pred[label])).0
    }
}

impl Loss for CategoricalGeneralizedCrossEntropy {
    fn info(&self) -> LossInfo {
        LossInfo {
            float64: true,
            dtypes: vec![Labels::dtypes(), vec!["float32".into()]],
            ..LossInfo::targets(Targets::Sparse)
        }
    }

    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        Rows::new(inputs, -1).map(|(_, shape)| shape)
    }

    fn formula(&self) -> Result<Formula> {
        Formula::of_class_ids(-1, |label, y_pred| self.value(label, y_pred))
    }

    calls! { self, inputs, output, host => call(self, -1, None, inputs, output, host) }
}

#[cfg(test)]
mod tests {
    use super::{super::shared::tests::call, *};

    const PROBABILITIES: SparseCategoricalCrossentropy =
        SparseCategoricalCrossentropy { from_logits: false, ignore_class: None, axis: -1 };
    const LOGITS: SparseCategoricalCrossentropy =
        SparseCategoricalCrossentropy { from_logits: true, ignore_class: None, axis: -1 };

    #[test]
    fn ids_may_have_any_dtype_and_an_axis_of_length_one() {
        let y_pred = (&[0.5f32, 0.25, 0.25, 0.1, 0.1, 0.8][..], &[2i64, 3][..]);
        let expected = call(&PROBABILITIES, (&[0i32, 2], &[2]), y_pred).unwrap();
        assert!((expected.values[0] - std::f32::consts::LN_2).abs() < 1e-7);
        assert_eq!(expected.gradient[..3], [-1.0, 1.0, 1.0]);
        assert_eq!(expected.totals.count, 2.0);
        assert_eq!(call(&PROBABILITIES, (&[0i64, 2], &[2, 1]), y_pred).unwrap().values, expected.values);
        assert_eq!(call(&PROBABILITIES, (&[0u8, 2], &[2]), y_pred).unwrap().values, expected.values);
        assert_eq!(call(&PROBABILITIES, (&[0.0f32, 2.0], &[2]), y_pred).unwrap().values, expected.values);
        assert!(call(&PROBABILITIES, (&[0.0f64, f64::NAN], &[2]), y_pred).is_err());
        assert!(call(&PROBABILITIES, (&[0i32, 2, 1], &[3]), y_pred).is_err());
    }

    #[test]
    fn ignored_rows_cost_0_and_do_not_count() {
        let ignoring = SparseCategoricalCrossentropy { ignore_class: Some(-1), ..LOGITS };
        let called = call(&ignoring, (&[-1i32, 1], &[2]), (&[f32::NAN, 1.0, 0.0, 0.0], &[2, 2])).unwrap();
        assert_eq!((called.values[0], &called.valid[..], &called.gradient[..2]), (0.0, &[0.0, 1.0][..], &[0.0; 2][..]));
        assert_eq!((called.totals.count, called.totals.weight), (1.0, 1.0));
        assert!((called.totals.value - std::f64::consts::LN_2).abs() < 1e-6);
    }

    #[test]
    fn an_id_out_of_range_is_an_error_with_its_row() {
        let y_pred = (&[1.0f32, 2.0, 3.0, 4.0][..], &[2i64, 2][..]);
        for loss in [&LOGITS, &PROBABILITIES, &SparseCategoricalCrossentropy { ignore_class: Some(-2), ..LOGITS }] {
            for id in [2.0, -1.0, 1e18, 9e99, f64::INFINITY] {
                let error = call(loss, (&[0.0, id], &[2]), y_pred).unwrap_err().to_string();
                assert!(error.contains("in row 1 (from 0)") && error.contains(&id.to_string()), "{error}");
            }
            let error = call(loss, (&[1.5f32, 0.0], &[2, 1]), y_pred).unwrap_err().to_string();
            assert!(error.contains("1.5 in row 0") && error.contains("integers from 0"), "{error}");
            assert!(call(loss, (&[0i64, 2], &[2]), y_pred).unwrap_err().to_string().contains("0 to 1"));
        }
        let error = call(&CategoricalGeneralizedCrossEntropy { q: 0.5 }, (&[0i32, 2], &[2]), y_pred).unwrap_err();
        assert!(error.to_string().contains("in row 1"), "{error}");
    }

    #[test]
    fn an_id_of_weight_0_may_be_anything() {
        let y_pred = [1.0f32, 2.0, f32::NAN, 4.0];
        let mut gradient = [f32::NAN; 4];
        for ids in [[0.0, -1.0], [0.0, f64::NAN], [0.0, 1.0]] {
            let tensors = [("y_true", Tensor::new(&ids, &[2])), ("y_pred", Tensor::new(&y_pred, &[2, 2]))];
            let mut gradients = [None, Some(plugfit_api::TensorMut::new(&mut gradient, &[2, 2]))];
            let upstream = Some(&[1.0f32, 0.0][..]);
            let mut output = LossOutput { values: None, valid: None, gradients: &mut gradients, upstream, scale: 1.0 };
            let totals = LOGITS.call(&Inputs::new(&tensors, None, None), &mut output, &Host::none()).unwrap();
            assert!((totals.value - 1.313_261_7).abs() < 1e-6 && totals.weight == 1.0, "{totals:?}");
            assert_eq!(gradient[2..], [0.0; 2]);
        }
    }

    #[test]
    fn the_class_axis_may_be_any_axis() {
        let y_pred: Vec<f32> = (0..24).map(|i| (i as f32 * 1.7).sin()).collect();
        let ids = [0i32, 3, 2, 1, 1, 0];
        // Transpose [2, 4, 3] to [2, 3, 4].
        let turned: Vec<f32> = (0..24).map(|i| y_pred[i / 12 * 12 + i % 4 * 3 + i / 4 % 3]).collect();
        let along =
            call(&SparseCategoricalCrossentropy { axis: 1, ..LOGITS }, (&ids, &[2, 3]), (&y_pred, &[2, 4, 3])).unwrap();
        let last = call(&LOGITS, (&ids, &[2, 3]), (&turned, &[2, 3, 4])).unwrap();
        assert_eq!((&along.values, &along.shape), (&last.values, &vec![2, 3]));
        for i in 0..24 {
            assert_eq!(along.gradient[i / 12 * 12 + i % 4 * 3 + i / 4 % 3], last.gradient[i]);
        }
    }

    #[test]
    fn generalized_cross_entropy_is_bounded() {
        let loss = CategoricalGeneralizedCrossEntropy { q: 0.5 };
        let called = call(&loss, (&[0i32, 1, 1], &[3]), (&[1.0, 0.0, 0.75, 0.25, 1.0, 0.0], &[3, 2])).unwrap();
        assert_eq!(called.values, [0.0, 1.0, 2.0]);
        assert_eq!(called.gradient, [-1.0, 0.0, 0.0, -2.0, 0.0, f32::NEG_INFINITY]);
    }

    #[test]
    fn generalized_cross_entropy_is_accurate_for_q_near_0_and_1() {
        for q in [1e-6, 0.5, 0.999] {
            let loss = CategoricalGeneralizedCrossEntropy { q };
            let called = call(&loss, (&[0i32, 1], &[2]), (&[0.0, 1.0, 0.5, 0.5], &[2, 2])).unwrap();
            assert!((f64::from(called.values[0]) * q - 1.0).abs() < 1e-6, "{called:?}");
            assert!((f64::from(called.values[1]) - -(0.5f64.ln() * q).exp_m1() / q).abs() < 1e-6, "{called:?}");
        }
    }
}
