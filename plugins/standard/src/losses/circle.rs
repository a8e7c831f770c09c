//! Circle loss, a pair-based loss of embeddings.

use super::{
    class_ids::Labels,
    kernels, positive_derivative,
    shared::{Layout, add, run_parallel},
};
use plugfit_api::{Float, Plain, loss::LossTotals, prelude::*};

/// Circle loss of L2-normalised embeddings and class ids; pairs far from their optimum have larger weights.
/// Sun et al. 2020.
///
/// With the cosine distance `d` of a pair, the value is `softplus(logsumexp(same class) + logsumexp(other class))`. The
/// terms are `gamma (d + margin) (d - margin)` for the same class and `gamma (1 + margin - d) (1 - margin - d)` for
/// another class. A sample that lacks a pair of either kind doesn't count.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::CIRCLE)]
pub struct Circle {
    /// The scale of the pair terms.
    #[config(default = 80.0)]
    gamma: f64,
    /// The relaxation margin of the distances.
    #[config(default = 0.4)]
    margin: f64,
    /// Whether to leave out the pair of a sample with itself.
    #[config(default = true)]
    remove_diagonal: bool,
}

impl Circle {
    /// Returns a pair's term in the `logsumexp` and the derivative of that term with respect to the similarity.
    #[inline(always)]
    fn term<R: Real>(&self, similarity: R, same: bool) -> (R, R) {
        let (gamma, margin) = (R::from(self.gamma), R::from(self.margin));
        let (zero, one) = (R::from(0.0), R::from(1.0));
        let apart = one - similarity;
        let distance = apart.max(zero);
        // Same class: gamma (d + margin) (d - margin); other: gamma (1 + margin - d) (1 - margin - d). The first factor
        // is the distance from the optimum; it is differentiated too.
        let (towards, weight, off) = if same {
            (1.0, distance + margin, distance - margin)
        } else {
            (-1.0, one + margin - distance, one - margin - distance)
        };
        let positive = weight.max(zero);
        let derivative = gamma * towards * (positive_derivative(weight) * off + positive);
        (gamma * positive * off, -derivative * positive_derivative(apart))
    }
}

/// The labels and embeddings of a batch.
struct Batch<'a, F> {
    labels: Vec<i32>,
    y_pred: &'a [F],
    width: usize,
}

impl<'a, F: Dot> Batch<'a, F> {
    fn new(inputs: &Inputs<'a>) -> Result<Self> {
        let n = samples(inputs)? as usize;
        // A sample of weight 0 is still part of the other samples' pairs.
        inputs.check_whole_numbers("y_true", |_| false)?;
        let ids = inputs.y_true()?;
        let labels = compact_labels((0..n).map(|i| ids.get_whole(i).unwrap_or_default()));
        let y_pred = inputs.y_pred()?;
        Ok(Batch { labels, y_pred: y_pred.floats("y_pred")?, width: y_pred.shape()[1] as usize })
    }

    fn embedding(&self, i: usize) -> &'a [F] {
        &self.y_pred[i * self.width..(i + 1) * self.width]
    }

    /// Writes the similarities of sample `i` to all samples.
    fn similarities(&self, i: usize, similarities: &mut [F]) {
        let own = self.embedding(i);
        for (j, similarity) in similarities.iter_mut().enumerate() {
            *similarity = F::dot(own, self.embedding(j));
        }
    }
}

/// Maps ids to `i32` labels that are equal if and only if the ids are.
fn compact_labels(ids: impl Iterator<Item = i128> + Clone) -> Vec<i32> {
    if let Ok(small) = ids.clone().map(i32::try_from).collect() {
        return small;
    }
    let mut distinct: Vec<i128> = ids.clone().collect();
    distinct.sort_unstable();
    distinct.dedup();
    ids.map(|id| distinct.partition_point(|&other| other < id) as i32).collect()
}

/// The results of the rows of similarities, one element for each sample.
struct Rows<F> {
    /// `logsumexp` over the pairs of the same class (`same`) and of other classes (`other`); infinity if the derivative
    /// is 0.
    same: Vec<F>,
    other: Vec<F>,
    values: Vec<F>,
    /// The weight of the value times the derivative of the value with respect to either `logsumexp`.
    derivatives: Vec<F>,
}

/// Returns the number of samples, or an error if the shapes don't fit.
fn samples(inputs: &Inputs<'_>) -> Result<i64> {
    let (y_true, y_pred) = (inputs.y_true()?.shape(), inputs.y_pred()?.shape());
    match (y_true, y_pred) {
        (&[n], &[m, _]) | (&[n, 1], &[m, _]) if n == m => Ok(n),
        _ => Err(Error::input(format!(
            "y_true of shape {y_true:?} and y_pred of shape {y_pred:?} aren't [samples] and [samples, embedding]"
        ))),
    }
}

impl Loss for Circle {
    fn info(&self) -> LossInfo {
        LossInfo {
            rows_independent: false,
            own_mask: true,
            float64: true,
            dtypes: vec![Labels::dtypes(), vec!["float32".into()]],
            ..LossInfo::default()
        }
    }

    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        samples(inputs).map(|n| vec![n])
    }

    calls! { self, inputs, output, host => self.compute(inputs, output, host) }
}

/// The dot product of two embeddings.
trait Dot: Float {
    fn dot(first: &[Self], second: &[Self]) -> Self;
}

impl Dot for f32 {
    fn dot(first: &[f32], second: &[f32]) -> f32 {
        kernels::dot(first, second)
    }
}

impl Dot for f64 {
    fn dot(first: &[f64], second: &[f64]) -> f64 {
        kernels::sum!(first, second, |a, b| Plain(a * b)).0
    }
}

impl Circle {
    fn compute<F: Dot>(
        &self,
        inputs: &Inputs<'_>,
        output: &mut LossOutput<'_, F>,
        host: &Host<'_>,
    ) -> Result<LossTotals> {
        let batch = Batch::<F>::new(inputs)?;
        let n = batch.labels.len();
        let (upstream, scale) = (output.upstream, output.scale);
        if upstream.is_some_and(|upstream| upstream.len() != n) {
            return Err(Error::input(format!("the upstream weight isn't one for each of {n} samples")));
        }
        let weight = |i: usize| upstream.map_or(F::ONE, |upstream| upstream[i]);
        let cost = n * batch.width;
        let rows = self.rows(&batch, |i| weight(i) * scale, host)?;
        run_parallel(Layout { rows: n, values: 1, derivatives: batch.width, cost }, output, host, |mut part| {
            let mut totals = LossTotals::default();
            let first = part.rows.start;
            let mut pairs = vec![F::ZERO; if part.gradient.is_some() { n } else { 0 }];
            for i in part.rows.clone() {
                let value = rows.values[i];
                // NaN counts, so that it is visible in the result.
                let counts = value != F::ZERO;
                part.write(i - first, value, counts);
                if counts {
                    add(&mut totals, value, weight(i));
                }
                if let Some(gradient) = part.gradient.as_deref_mut() {
                    let gradient = &mut gradient[(i - first) * batch.width..][..batch.width];
                    gradient.fill(F::ZERO);
                    batch.similarities(i, &mut pairs);
                    self.pair_derivatives(&batch, &rows, i, &mut pairs);
                    for (j, &derivative) in pairs.iter().enumerate() {
                        for (target, partner) in gradient.iter_mut().zip(batch.embedding(j)) {
                            *target += derivative * *partner;
                        }
                    }
                }
            }
            totals
        })
    }

    /// Computes the results of all rows; the gradient needs those of both samples of a pair.
    fn rows<F: Dot>(&self, batch: &Batch<'_, F>, weight: impl Fn(usize) -> F, host: &Host<'_>) -> Result<Rows<F>> {
        let n = batch.labels.len();
        let (mut same, mut other) = (vec![F::ZERO; n], vec![F::ZERO; n]);
        // Two numbers for each sample, written to the buffers of values and mask.
        let mut sums = LossOutput {
            values: Some(&mut same),
            valid: Some(&mut other),
            gradients: &mut [],
            upstream: None,
            scale: F::ONE,
        };
        run_parallel(Layout { rows: n, values: 1, derivatives: 0, cost: n * batch.width }, &mut sums, host, |part| {
            let mut pairs = vec![F::ZERO; n];
            let targets = part.values.into_iter().flatten().zip(part.valid.into_iter().flatten());
            for (i, (same, other)) in part.rows.zip(targets) {
                batch.similarities(i, &mut pairs);
                (*same, *other) = self.sums(batch, i, &mut pairs);
            }
            LossTotals::default()
        })?;
        let (mut values, mut derivatives) = (vec![F::ZERO; n], vec![F::ZERO; n]);
        let infinite = F::from_f64(f64::INFINITY);
        for i in 0..n {
            let sum = (same[i] + other[i]).number();
            values[i] = F::of(sum.softplus());
            // The derivative of a sample of weight 0 is 0, even if its value is NaN.
            derivatives[i] = if weight(i) == F::ZERO { F::ZERO } else { weight(i) * F::of(sum.sigmoid()) };
            if derivatives[i] == F::ZERO {
                (same[i], other[i]) = (infinite, infinite);
            }
        }
        Ok(Rows { same, other, values, derivatives })
    }

    /// Returns `logsumexp` over the pairs of sample `i` with the same class and with others; minus infinity for no
    /// pairs. `pairs` contains the similarities and is overwritten.
    fn sums<F: Dot>(&self, batch: &Batch<'_, F>, i: usize, pairs: &mut [F]) -> (F, F) {
        let n = batch.labels.len();
        let (label, pairs) = (batch.labels[i], &mut pairs[..n]);
        let itself = pairs[i];
        for (pair, &other) in pairs.iter_mut().zip(&batch.labels) {
            *pair = F::of(self.term(pair.number(), other == label).0);
        }
        // With `remove_diagonal`, the term of the pair with itself is 0 after the exponential.
        let least = F::from_f64(f64::NEG_INFINITY);
        pairs[i] = if self.remove_diagonal { least } else { F::of(self.term(itself.number(), true).0) };
        let pairs = &*pairs;
        let none = least.number();
        let labels = &batch.labels;
        let most_same = kernels::greatest!(pairs, labels, |x, l| Real::select(l == label, x.number(), none));
        let most_other = kernels::greatest!(pairs, labels, |x, l| Real::select(l == label, none, x.number()));
        let zero = F::ZERO.number();
        let same = kernels::sum!(pairs, labels, |x, l| Real::select(l == label, (x.number() - most_same).exp(), zero));
        let other =
            kernels::sum!(pairs, labels, |x, l| Real::select(l == label, zero, (x.number() - most_other).exp()));
        let logarithm = |most: F::Number, sum: F::Number| if most.eq(none) { none } else { most + sum.ln() };
        (F::of(logarithm(most_same, same)), F::of(logarithm(most_other, other)))
    }

    /// Replaces the similarities of sample `i` in `pairs` by the derivatives of all values with respect to them. A
    /// similarity is part of the rows of both samples.
    fn pair_derivatives<F: Dot>(&self, batch: &Batch<'_, F>, rows: &Rows<F>, i: usize, pairs: &mut [F]) {
        let n = batch.labels.len();
        let label = batch.labels[i];
        let (labels, pairs) = (&batch.labels[..n], &mut pairs[..n]);
        let (same, other, derivatives) = (&rows.same[..n], &rows.other[..n], &rows.derivatives[..n]);
        let (own_same, own_other, own_derivative) = (same[i], other[i], derivatives[i]);
        for j in 0..n {
            let is_same = labels[j] == label;
            let (term, derivative) = self.term(pairs[j].number(), is_same);
            let (own, theirs) = if is_same { (own_same, same[j]) } else { (own_other, other[j]) };
            let own = own_derivative.number() * (term - own.number()).exp();
            let theirs = derivatives[j].number() * (term - theirs.number()).exp();
            pairs[j] = F::of(derivative * (own + theirs));
        }
        if self.remove_diagonal {
            pairs[i] = F::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::shared::tests::call, *};

    fn circle(remove_diagonal: bool) -> Circle {
        Circle { gamma: 2.0, margin: 0.4, remove_diagonal }
    }

    #[test]
    fn a_sample_without_pairs_of_both_kinds_does_not_count() {
        let y_pred = (&[1.0f32, 0.0, 0.6, 0.8, 0.0, 1.0][..], &[3i64, 2][..]);
        let called = call(&circle(true), (&[4i32, 4, 7], &[3]), y_pred).unwrap();
        assert_eq!(called.valid, [1.0, 1.0, 0.0]);
        assert_eq!((called.values[2], called.totals.count), (0.0, 2.0));
        let alone = call(&circle(true), (&[1i32, 1, 1], &[3, 1]), y_pred).unwrap();
        assert_eq!((alone.values, alone.gradient, alone.totals), (vec![0.0; 3], vec![0.0; 6], LossTotals::default()));
    }

    #[test]
    fn gradients_match_central_differences() {
        let y_pred: Vec<f32> = (0..15).map(|i| (i as f32 * 2.3).sin() * 0.7).collect();
        let labels = [0i32, 1, 0, 1, 1];
        for remove_diagonal in [true, false] {
            let loss = circle(remove_diagonal);
            let called = call(&loss, (&labels, &[5]), (&y_pred, &[5, 3])).unwrap();
            for i in 0..15 {
                let at = |h: f32| {
                    let mut moved = y_pred.clone();
                    moved[i] += h;
                    call(&loss, (&labels, &[5]), (&moved, &[5, 3])).unwrap().totals.value
                };
                let difference = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!((difference - f64::from(called.gradient[i])).abs() < 1e-2 * (1.0 + difference.abs()), "{i}");
            }
        }
    }

    #[test]
    fn class_ids_are_compared_as_integers() {
        let y_pred = (&[1.0f32, 0.0, 0.6, 0.8, 0.0, 1.0][..], &[3i64, 2][..]);
        let small = call(&circle(true), (&[4i32, 4, 7], &[3]), y_pred).unwrap();
        let large = call(&circle(true), (&[1i64 << 53, 1 << 53, (1 << 53) + 1], &[3]), y_pred).unwrap();
        assert_eq!((small.values, small.gradient), (large.values, large.gradient));
        let low = call(&circle(true), (&[1i64, 1, (1 << 32) + 1], &[3]), y_pred).unwrap();
        assert_eq!(low.valid, [1.0, 1.0, 0.0]);
        let error = call(&circle(true), (&[0.0f32, 0.5, 1.0], &[3]), y_pred).unwrap_err().to_string();
        assert!(error.contains("0.5 in row 1"), "{error}");
    }

    #[test]
    fn shapes_other_than_embeddings_are_errors() {
        assert!(call(&circle(true), (&[1i32], &[1]), (&[1.0], &[1])).is_err());
        assert!(call(&circle(true), (&[1i32, 2], &[2]), (&[1.0], &[1, 1])).is_err());
    }
}
