//! Cross-entropies of class ids, with one value for each row of classes.

use super::{
    EPSILON, clamp_derivative, kernels,
    shared::{Labels, Layout, Part, add, axis_of, check_ids, count, share},
};
use plugfit_api::{
    Float, Plain,
    loss::{LossTotals, Targets},
    prelude::*,
};

/// The upper clip of probabilities; `EPSILON` is the lower. It keeps logarithms finite.
const UPPER: f64 = 1.0 - EPSILON;

/// Categorical cross-entropy of class ids: `-ln(y_pred[y_true])`. Probabilities are divided by their sum first.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"y_true": [1, 0], "y_pred": [[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]], "gives": [0.6931472, 0.356675]}"#
)]
#[config(
    example = r#"{"config": {"from_logits": true}, "y_true": [1, 0], "y_pred": [[0.5, 1, -1], [2, 0, 1]], "gives": [0.5549569, 0.407606]}"#
)]
#[config(
    example = r#"{"config": {"ignore_class": 0}, "y_true": [1, 0], "y_pred": [[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]], "gives": [0.6931472, 0]}"#
)]
#[config(
    example = r#"{"y_true": [1, 0], "y_pred": [[0.25, 0.5, 0.5], [0.5, 0.25, 0.125]], "gives": [0.9162907, 0.5596157], "gradient": [[0.8, -1.2, 0.8], [-0.8571429, 1.142857, 1.142857]]}"#
)]
#[config(
    example = r#"{"y_true": [1, 0], "y_pred": [[0.5, 0, 0.5], [1, 0, 0]], "gives": [16.1181, 1.192093e-07], "gradient": [[0, 0, 0], [0, 0, 0]]}"#
)]
#[config(
    example = r#"{"config": {"from_logits": true}, "y_true": [1, 0], "y_pred": [[0.5, 2, -1], [0, 0, 0]], "gives": [0.2413113, 1.098612], "gradient": [[0.1752904, -0.214403, 0.03911257], [-0.6666666, 0.3333333, 0.3333333]]}"#
)]
#[config(
    example = r#"{"y_true": [0, 1], "y_pred": [[1e-07, 0.75, 0.25], [0, 0.5, 0]], "gives": [16.1181, 1.192093e-07], "gradient": [[0, 0, 0], [0, 0, 0]]}"#
)]
#[config(
    example = r#"{"config": {"axis": 1, "from_logits": true}, "y_true": [[0, 1], [2, 0]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.1, 0.25], [0.6, 0.5], [0.4, 0.125]]], "gives": [[0.9398311, 0.7679496], [1.085939, 1.152634]], "gradient": [[[-0.6093062, 0.281408], [0.319873, -0.5360366], [0.2894331, 0.2546285]], [[0.2500888, -0.6841961], [0.4123267, 0.4055002], [-0.6624155, 0.2786959]]]}"#
)]
#[config(
    example = r#"{"config": {"axis": 1}, "y_true": [[0, 1], [2, 0]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.1, 0.25], [0.6, 0.5], [0.4, 0.125]]], "gives": [[0.6931472, 0.356675], [1.011601, 1.252763]], "gradient": [[[-1, 1], [1, -0.4285715], [1, 1]], [[0.9090909, -2.857143], [0.9090909, 1.142857], [-1.590909, 1.142857]]]}"#
)]
#[config(example = r#"{"y_true": [0, 2], "y_pred": [[0.5, 0.5], [0.5, 0.5]], "refused": "2 in row 1"}"#)]
#[config(example = r#"{"config": {"axis": 2}, "y_true": [1], "y_pred": [[0.5, 0.5]], "refused": "axis"}"#)]
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

/// Generalized cross-entropy of class ids: `(1 - p^q) / q`, robust to wrong labels. Zhang & Sabuncu 2018.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"config": {"q": 0.7}, "y_true": [1, 0], "y_pred": [[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]], "gives": [0.5491826, 0.3156345]}"#
)]
#[config(
    example = r#"{"y_true": [[1, 0]], "y_pred": [[[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]]], "gives": [[0.5857865, 0.3266799]]}"#
)]
#[config(
    example = r#"{"config": {"q": 0.7}, "y_true": [1, 0], "y_pred": [[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]], "gives": [0.5491826, 0.5491826], "gradient": [[0, -1.231144, 0], [-1.231144, 0, 0]]}"#
)]
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

/// A loss of one class id and one row of predictions.
trait ClassIdLoss: Sync {
    /// Returns the value. `number` converts an element. `label` is `None` for an id out of range, which only a row of
    /// weight 0 may have.
    fn value<T: Copy, R: Real>(&self, label: Option<usize>, y_pred: &[T], number: impl Fn(T) -> R + Copy) -> R;

    /// Returns the value and writes its derivative with respect to each element of `y_pred`.
    fn gradient(&self, label: Option<usize>, y_pred: &[f32], gradient: &mut [f32]) -> f32;

    /// The same as [`gradient`](Self::gradient) in float64.
    fn gradient_f64(&self, label: Option<usize>, y_pred: &[f64], gradient: &mut [f64]) -> f64;
}

/// Selects the gradient function of a dtype.
trait Derivatives: Float {
    fn class_id_gradient(
        formula: &impl ClassIdLoss,
        label: Option<usize>,
        y_pred: &[Self],
        gradient: &mut [Self],
    ) -> Self;
}

impl Derivatives for f32 {
    #[inline(always)]
    fn class_id_gradient(
        formula: &impl ClassIdLoss,
        label: Option<usize>,
        y_pred: &[f32],
        gradient: &mut [f32],
    ) -> f32 {
        formula.gradient(label, y_pred, gradient)
    }
}

impl Derivatives for f64 {
    fn class_id_gradient(
        formula: &impl ClassIdLoss,
        label: Option<usize>,
        y_pred: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        formula.gradient_f64(label, y_pred, gradient)
    }
}

#[formula]
impl ClassIdLoss for SparseCategoricalCrossentropy {
    fn value<T: Copy, R: Real>(&self, label: Option<usize>, y_pred: &[T], number: impl Fn(T) -> R + Copy) -> R {
        let Some(label) = label else { return R::from(0.0) };
        if self.from_logits {
            let most = kernels::greatest!(y_pred, |x| number(x));
            return kernels::sum!(y_pred, |x| (number(x) - most).exp()).ln() - (number(y_pred[label]) - most);
        }
        -(number(y_pred[label]) / kernels::sum!(y_pred, |p| number(p))).clamp(EPSILON, UPPER).ln()
    }

    fn gradient(&self, label: Option<usize>, y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        let Some(label) = label else {
            gradient.fill(0.0);
            return 0.0;
        };
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

    fn gradient_f64(&self, label: Option<usize>, y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let Some(label) = label else { return 0.0 };
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

#[formula]
impl ClassIdLoss for CategoricalGeneralizedCrossEntropy {
    fn value<T: Copy, R: Real>(&self, label: Option<usize>, y_pred: &[T], number: impl Fn(T) -> R + Copy) -> R {
        self.of_probability(label.map_or(R::from(0.0), |label| number(y_pred[label])))
    }

    fn gradient(&self, label: Option<usize>, y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        gradient.fill(0.0);
        let Some(label) = label else { return (1.0 / self.q) as f32 };
        let p = Plain(y_pred[label]);
        gradient[label] = -p.powf(self.q - 1.0).0;
        self.of_probability(p).0
    }

    fn gradient_f64(&self, label: Option<usize>, y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        if let Some(label) = label {
            gradient[label] = -y_pred[label].powf(self.q - 1.0);
        }
        self.value(label, y_pred, Plain).0
    }
}

/// The lengths of the folded axes before, of and after the classes: element `class` of row `(outer, i)` is at
/// `(outer * classes + class) * inner + i`.
struct Rows {
    outer: usize,
    classes: usize,
    inner: usize,
}

impl Rows {
    /// Returns the lengths and the shape of the rows, or an error if `y_true` doesn't have one id for each row.
    fn new(inputs: &Inputs<'_>, axis: i64) -> Result<(Self, Vec<i64>)> {
        let (y_true, y_pred) = (inputs.y_true()?.shape(), inputs.y_pred()?.shape());
        let axis = axis_of(y_pred, axis)?;
        let (before, after) = (&y_pred[..axis], &y_pred[axis + 1..]);
        let rows = [before, after].concat();
        let fits = y_true == rows
            || (y_true.len() == y_pred.len()
                && y_true[axis] == 1
                && y_true[..axis] == *before
                && y_true[axis + 1..] == *after);
        if !fits {
            return Err(Error::input(format!(
                "y_true of shape {y_true:?} doesn't have a class id for each row of y_pred of shape {y_pred:?}"
            )));
        }
        let classes = y_pred[axis] as usize;
        Ok((Rows { outer: count(before), classes, inner: count(after) }, rows))
    }
}

/// Computes a loss for a batch, except for rows with the class id `ignored`.
fn call<F: Derivatives>(
    formula: &impl ClassIdLoss,
    axis: i64,
    ignored: Option<i64>,
    inputs: &Inputs<'_>,
    output: &mut LossOutput<'_, F>,
    host: &Host<'_>,
) -> Result<LossTotals> {
    let (Rows { outer, classes, inner }, _) = Rows::new(inputs, axis)?;
    let labels = Labels::new(inputs.y_true()?)?;
    check_ids(inputs, classes, ignored, output.upstream, outer * inner)?;
    let y_pred = inputs.y_pred()?.floats::<F>("y_pred")?;
    let (upstream, scale) = (output.upstream, output.scale);
    let layout = Layout { rows: outer, values: inner, derivatives: classes * inner, cost: classes * inner };
    share(layout, output, host, |mut part| {
        let mut totals = LossTotals::default();
        // Rows that aren't contiguous are gathered into a buffer, and their gradients scattered back.
        let scattered = inner != 1;
        let mut copies = if scattered { [vec![F::ZERO; classes], vec![F::ZERO; classes]] } else { Default::default() };
        let first = part.rows.start;
        for row in first * inner..part.rows.end * inner {
            let (block, i) = (row / inner, row % inner);
            let (from, at) = (block * classes * inner + i, (block - first) * classes * inner + i);
            let [copy, derivatives] = &mut copies;
            let y_pred = if scattered {
                gather(&y_pred[from..], inner, copy);
                &copy[..]
            } else {
                &y_pred[from..from + classes]
            };
            let label = labels.get(row);
            let upstream = upstream.map_or(F::ONE, |upstream| upstream[row]);
            let counts = ignored != Some(label);
            let value = match part.gradient.as_deref_mut() {
                None if !counts => F::ZERO,
                None => F::of(formula.value(class(label, classes), y_pred, F::number)),
                Some(gradient) => {
                    let derivatives = if scattered { &mut derivatives[..] } else { &mut gradient[at..at + classes] };
                    let value = one_row(formula, class(label, classes), y_pred, derivatives, counts, upstream * scale);
                    if scattered {
                        scatter(&copies[1], inner, &mut gradient[at..]);
                    }
                    value
                }
            };
            write_value(&mut part, row - first * inner, value, counts);
            if counts {
                add(&mut totals, value, upstream);
            }
        }
        totals
    })
}

#[inline(always)]
fn class(label: i64, classes: usize) -> Option<usize> {
    usize::try_from(label).ok().filter(|&label| label < classes)
}

#[inline(always)]
fn one_row<F: Derivatives>(
    formula: &impl ClassIdLoss,
    label: Option<usize>,
    y_pred: &[F],
    derivatives: &mut [F],
    counts: bool,
    factor: F,
) -> F {
    if !counts {
        derivatives.fill(F::ZERO);
        return F::ZERO;
    }
    let value = F::class_id_gradient(formula, label, y_pred, derivatives);
    if factor == F::ZERO {
        derivatives.fill(F::ZERO);
    } else if factor != F::ONE {
        derivatives.iter_mut().for_each(|derivative| *derivative *= factor);
    }
    value
}

#[inline(always)]
fn write_value<F: Float>(part: &mut Part<'_, F>, at: usize, value: F, counts: bool) {
    if let Some(values) = part.values.as_deref_mut() {
        values[at] = value;
    }
    if let Some(valid) = part.valid.as_deref_mut() {
        valid[at] = if counts { F::ONE } else { F::ZERO };
    }
}

fn gather<F: Float>(from: &[F], step: usize, row: &mut [F]) {
    for (value, from) in row.iter_mut().zip(from.iter().step_by(step)) {
        *value = *from;
    }
}

fn scatter<F: Float>(row: &[F], step: usize, to: &mut [F]) {
    for (value, to) in row.iter().zip(to.iter_mut().step_by(step)) {
        *to = *value;
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

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
        call(self, self.axis, self.ignore_class, inputs, output, host)
    }

    fn call_f64(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_, f64>, host: &Host<'_>) -> Result<LossTotals> {
        call(self, self.axis, self.ignore_class, inputs, output, host)
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

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
        call(self, -1, None, inputs, output, host)
    }

    fn call_f64(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_, f64>, host: &Host<'_>) -> Result<LossTotals> {
        call(self, -1, None, inputs, output, host)
    }
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
            assert!(error.contains("1.5 in row 0") && error.contains("whole numbers"), "{error}");
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
