//! Connectionist temporal classification (CTC) of label sequences without an alignment.

use super::{
    class_ids::{Labels, check_ids},
    kernels,
    shared::{Layout, add, run_parallel},
};
use plugfit_api::{Float, loss::LossTotals, prelude::*};

/// Connectionist temporal classification: the negative log-likelihood of `y_true` over all alignments with `y_pred`.
/// Graves et al. 2006.
///
/// `y_true` has the shape [batch, labels], the logits `y_pred` have [batch, time, classes], and class 0 is the blank.
/// The length of a target is the number of its ids other than 0. A target without a possible alignment has a value of
/// about 1e5 instead of infinity, so that one such sample doesn't stop the training.
#[derive(Clone, Debug, Config)]
#[config(name = "CTC")]
#[config(examples = super::examples::CTC)]
pub struct Ctc;

/// The log-probability of impossible events.
const IMPOSSIBLE: f64 = -1e5;
/// The class id of the blank.
const BLANK: usize = 0;

/// Buffers for one sample, reused for the next.
///
/// The states are blank, label, blank, label, …, blank: label `i` is state `2 i + 1`. Each row of states starts with
/// [`MARGIN`] unreachable states.
#[derive(Default)]
struct Buffers<F> {
    /// The class of each state; `None` for an id out of range, which only a sample of weight 0 may have.
    classes: Vec<Option<usize>>,
    /// The log-weight of the transition that skips the previous state: 0 for a label, `IMPOSSIBLE` for a repeated
    /// label, minus infinity for a blank.
    skips: Vec<f64>,
    /// Log-probabilities, [time, classes].
    scores: Vec<F>,
    /// The scores of the states at one step.
    emitted: Vec<f64>,
    /// Forward log-probabilities: all prefixes that end in a state, [1 + time, 2 + states].
    before: Vec<f64>,
    /// Backward log-probabilities: all suffixes that start after a state, [states + 2].
    after: Vec<f64>,
}

/// The number of unreachable states before each row.
const MARGIN: usize = 2;

/// Returns the logarithm of the sum of three numbers given by their logarithms.
#[inline(always)]
fn log_sum<F: Float>(a: f64, b: f64, c: f64) -> f64 {
    let most = if a > b { a } else { b };
    let most = if c > most { c } else { most };
    // The sum of the exponentials is between 1 and 3, for which float32 is accurate enough, and its functions are fast.
    let part = |x: f64| F::from_f64(x - most).number().exp();
    let sum = most + F::of((part(a) + part(b) + part(c)).ln()).to_f64();
    if most == f64::NEG_INFINITY { most } else { sum }
}

impl<F: Float> Buffers<F> {
    fn prepare(&mut self, labels: &[i64], logits: &[F], classes: usize) {
        let class = |label: i64| usize::try_from(label).ok().filter(|&label| label < classes);
        self.classes.clear();
        self.skips.clear();
        for (i, &label) in labels.iter().enumerate() {
            let skip = match i.checked_sub(1).map(|before| labels[before]) {
                None => f64::NEG_INFINITY,
                Some(before) if before == label => IMPOSSIBLE,
                Some(_) => 0.0,
            };
            self.classes.extend([Some(BLANK), class(label)]);
            self.skips.extend([f64::NEG_INFINITY, skip]);
        }
        self.classes.push(Some(BLANK));
        self.skips.push(f64::NEG_INFINITY);
        self.emitted.resize(self.classes.len(), 0.0);
        self.scores.clear();
        for row in logits.chunks_exact(classes) {
            let most = kernels::greatest!(row, |x| x.number());
            let logarithm = kernels::sum!(row, |x| (x.number() - most).exp()).ln();
            self.scores.extend(row.iter().map(|&x| F::of(x.number() - most - logarithm)));
        }
    }

    /// Fills `emitted` with the scores of the states at a step.
    fn emit(&mut self, step: usize, classes: usize) {
        let scores = &self.scores[step * classes..(step + 1) * classes];
        for (emitted, class) in self.emitted.iter_mut().zip(&self.classes) {
            *emitted = class.map_or(0.0, |class| scores[class].to_f64());
        }
    }

    /// Fills `before` and returns the value.
    fn forward(&mut self, time: usize, classes: usize) -> f64 {
        let n = self.classes.len();
        let row = MARGIN + n;
        self.before.clear();
        self.before.resize((1 + time) * row, f64::NEG_INFINITY);
        // Before the first step the first blank has probability 1, and other states have the finite log-probability
        // `IMPOSSIBLE`.
        self.before[MARGIN..row].fill(IMPOSSIBLE);
        self.before[MARGIN] = 0.0;
        for step in 0..time {
            self.emit(step, classes);
            let (last, next) = self.before[step * row..(step + 2) * row].split_at_mut(row);
            let (skips, emitted, last) = (&self.skips[..n], &self.emitted[..n], &last[..n + MARGIN]);
            let next = &mut next[MARGIN..MARGIN + n];
            for s in 0..n {
                next[s] = log_sum::<F>(last[s + 2], last[s + 1], last[s] + skips[s]) + emitted[s];
            }
        }
        // A sequence ends with its last label or with the blank after it; an empty one ends with the blank.
        let last = &self.before[time * row..];
        -log_sum::<F>(last[row - 1], last[row - 2], f64::NEG_INFINITY)
    }

    /// Writes the gradient: the softmax of the logits minus the posterior probability of each class over all
    /// alignments.
    fn backward(&mut self, time: usize, classes: usize, value: f64, factor: F, gradient: &mut [F]) {
        let n = self.classes.len();
        let row = MARGIN + n;
        self.after.clear();
        self.after.resize(n + MARGIN, f64::NEG_INFINITY);
        self.after[n.saturating_sub(2)..n].fill(0.0);
        for step in (0..time).rev() {
            self.emit(step, classes);
            let gradient = &mut gradient[step * classes..(step + 1) * classes];
            for (derivative, &score) in gradient.iter_mut().zip(&self.scores[step * classes..]) {
                *derivative = F::of(score.number().exp()) * factor;
            }
            let before = &self.before[(step + 1) * row + MARGIN..(step + 2) * row];
            for ((class, before), after) in self.classes.iter().zip(before).zip(&self.after) {
                if let Some(class) = class {
                    let posterior = F::of(F::from_f64(before + after + value).number().exp()) * factor;
                    gradient[*class] = F::of(gradient[*class].number() - posterior.number());
                }
            }
            // Update `after` for the previous step in place, in ascending order: later states aren't overwritten before
            // they are read.
            let (skips, emitted, after) = (&self.skips[..n], &self.emitted[..n], &mut self.after[..n + MARGIN]);
            for s in 0..n {
                after[s] += emitted[s];
            }
            for s in 0..n {
                let skipped = if s + 2 < n { after[s + 2] + skips[s + 2] } else { f64::NEG_INFINITY };
                after[s] = log_sum::<F>(after[s], after[s + 1], skipped);
            }
        }
    }
}

/// Returns `[batch, labels, time, classes]` from the shapes `[batch, labels]` and `[batch, time, classes]`.
fn lengths(inputs: &Inputs<'_>) -> Result<[usize; 4]> {
    let (y_true, y_pred) = (inputs.y_true()?.shape(), inputs.y_pred()?.shape());
    match (y_true, y_pred) {
        (&[n, labels], &[m, time, classes]) if n == m && classes > 0 => {
            Ok([n, labels, time, classes].map(|n| n as usize))
        }
        (&[n, _], &[m, _, _]) if n == m => Err(Error::input("y_pred has no class, not even the blank")),
        _ => Err(Error::input(format!(
            "y_true of shape {y_true:?} and y_pred of shape {y_pred:?} aren't [batch, labels] and [batch, time, classes]"
        ))),
    }
}

impl Loss for Ctc {
    fn info(&self) -> LossInfo {
        LossInfo {
            from_logits: true,
            float64: true,
            dtypes: vec![Labels::dtypes(), vec!["float32".into()]],
            ..LossInfo::default()
        }
    }

    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        lengths(inputs).map(|[n, ..]| vec![n as i64])
    }

    calls! { self, inputs, output, host => call(inputs, output, host) }
}

fn call<F: Float>(inputs: &Inputs<'_>, output: &mut LossOutput<'_, F>, host: &Host<'_>) -> Result<LossTotals> {
    let [n, width, time, classes] = lengths(inputs)?;
    let ids = Labels::new(inputs.y_true()?)?;
    check_ids(inputs, classes, None, output.upstream, n)?;
    let y_pred = inputs.y_pred()?.floats::<F>("y_pred")?;
    let (upstream, scale) = (output.upstream, output.scale);
    let size = time * classes;
    // A step of the alignment costs about as much as ten elements of another loss.
    let layout = Layout { rows: n, values: 1, derivatives: size, cost: size + 20 * time * (2 * width + 1) };
    run_parallel(layout, output, host, |mut part| {
        let mut totals = LossTotals::default();
        let (mut buffers, mut labels) = (Buffers::default(), Vec::new());
        let first = part.rows.start;
        for sample in part.rows.clone() {
            let all = (sample * width..(sample + 1) * width).map(|i| ids.get(i));
            let length = all.clone().filter(|&id| id != BLANK as i64).count();
            labels.clear();
            labels.extend(all.take(length));
            buffers.prepare(&labels, &y_pred[sample * size..(sample + 1) * size], classes);
            let value = buffers.forward(time, classes);
            let upstream = upstream.map_or(F::ONE, |upstream| upstream[sample]);
            part.write(sample - first, F::from_f64(value), true);
            add(&mut totals, F::from_f64(value), upstream);
            if let Some(gradient) = part.gradient.as_deref_mut() {
                let gradient = &mut gradient[(sample - first) * size..][..size];
                if upstream * scale == F::ZERO {
                    gradient.fill(F::ZERO);
                } else {
                    buffers.backward(time, classes, value, upstream * scale, gradient);
                }
            }
        }
        totals
    })
}

#[cfg(test)]
mod tests {
    use super::{super::shared::tests::call, *};

    /// Sums the probabilities of all alignments one by one and returns the negative logarithm.
    fn brute_force(labels: &[usize], logits: &[f64], time: usize, classes: usize) -> f64 {
        let probability = |row: usize, class: usize| {
            let row = &logits[row * classes..][..classes];
            row[class].exp() / row.iter().map(|x| x.exp()).sum::<f64>()
        };
        let mut total = 0.0;
        for number in 0..classes.pow(time as u32) {
            let path: Vec<usize> = (0..time).map(|row| number / classes.pow(row as u32) % classes).collect();
            let mut read = path.clone();
            read.dedup();
            read.retain(|&class| class != BLANK);
            if read == labels {
                total += path.iter().enumerate().map(|(row, &class)| probability(row, class)).product::<f64>();
            }
        }
        -total.ln()
    }

    fn logits(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 1.3).sin() * 2.0).collect()
    }

    #[test]
    fn the_value_is_the_sum_over_all_alignments() {
        let y_pred = logits(15);
        let exact: Vec<f64> = y_pred.iter().map(|&x| f64::from(x)).collect();
        for labels in [&[1i32, 2, 0][..], &[1, 1, 0], &[2, 0, 0], &[1, 2, 1], &[0, 0, 0]] {
            let read: Vec<usize> = labels.iter().filter(|&&id| id != 0).map(|&id| id as usize).collect();
            let called = call(&Ctc, (labels, &[1, 3]), (&y_pred, &[1, 5, 3])).unwrap();
            assert!((f64::from(called.values[0]) - brute_force(&read, &exact, 5, 3)).abs() < 1e-5, "{labels:?}");
            for i in 0..15 {
                let at = |h: f64| {
                    let mut moved = exact.clone();
                    moved[i] += h;
                    brute_force(&read, &moved, 5, 3)
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((difference - f64::from(called.gradient[i])).abs() < 1e-5, "{labels:?} {i}");
            }
        }
    }

    #[test]
    fn a_target_without_an_alignment_has_a_large_finite_value() {
        let called = call(&Ctc, (&[1i32, 1, 1], &[1, 3]), (&logits(6), &[1, 2, 3])).unwrap();
        assert!(called.values[0] > 9e4 && called.values[0] < 4e5);
        assert!(called.gradient.iter().all(|derivative| derivative.is_finite()));
    }

    #[test]
    fn ids_out_of_range_are_errors_and_empty_sequences_do_not_panic() {
        for (labels, wrong) in [([1i32, 9], "9"), ([-1, 1], "-1")] {
            let error = call(&Ctc, (&labels, &[1, 2]), (&logits(12), &[1, 4, 3])).unwrap_err().to_string();
            assert!(error.contains(&format!("contains {wrong} in row 0")) && error.contains("from 0 to 2"), "{error}");
        }
        assert!(call(&Ctc, (&[1i32, 2], &[1, 2]), (&[], &[1, 0, 3])).unwrap().values[0] > 9e4);
        assert_eq!(call(&Ctc, (&[] as &[i32], &[1, 0]), (&[0.0; 2], &[1, 2, 1])).unwrap().values, [0.0]);
        assert!(call(&Ctc, (&[1i32], &[1, 1]), (&[], &[1, 3, 0])).is_err());
        assert!(call(&Ctc, (&[1i32], &[1]), (&[0.0; 3], &[1, 1, 3])).is_err());
    }
}
