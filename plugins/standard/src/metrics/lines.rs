//! Metrics that are the mean of a value for each line along any axis.

use plugfit_api::prelude::*;
use std::cell::Cell;

thread_local! {
    /// Labels, predictions and weights of a batch, and of a line; kept from batch to batch.
    static BUFFERS: Cell<[Vec<f64>; 5]> = const { Cell::new([const { Vec::new() }; 5]) };
}

/// Weight times value, and weight.
#[state]
#[derive(Copy, Default)]
pub struct Lines {
    sum: f64,
    weight: f64,
}

impl Lines {
    /// Takes in the value of each line of `y_true` and `y_pred`. An array of rank 1 is a line.
    pub fn update(&mut self, axis: i64, inputs: &Inputs<'_>, value: impl Fn(&[f64], &[f64]) -> f64) -> Result<()> {
        let (y_true, y_pred) = (inputs.y_true()?.shape(), inputs.y_pred()?.shape());
        // Of two ranks the longer ends in 1, or the arrays don't fit and for_each says so. Beside rows of one number, numbers are such
        // rows too.
        let (shorter, longer) = if y_true.len() < y_pred.len() { (y_true, y_pred) } else { (y_pred, y_true) };
        let shape = if shorter.len() > 1 { shorter } else { longer };
        let place = if axis < 0 { axis + shape.len() as i64 } else { axis };
        let Some(&length) = usize::try_from(place).ok().and_then(|place| shape.get(place)) else {
            return Err(Error::input(format!("y_pred of shape {shape:?} has no axis {axis}")));
        };
        let (length, place) = (length as usize, place as usize);
        let behind = shape[place + 1..].iter().product::<i64>() as usize;
        let mut buffers = BUFFERS.take();
        let [all_true, all_pred, weights, line_true, line_pred] = &mut buffers;
        [&mut *all_true, &mut *all_pred, &mut *weights].into_iter().for_each(Vec::clear);
        let walked = inputs.for_each(|y_true, y_pred, weight| {
            all_true.push(y_true);
            all_pred.push(y_pred);
            weights.push(weight);
        });
        let mut batch = Lines::default();
        for line in 0..all_pred.len().checked_div(length).unwrap_or(0) {
            let at = |i: usize| (line / behind * length + i) * behind + line % behind;
            let weight = weights[at(0)];
            if weight != 0.0 {
                [&mut *line_true, &mut *line_pred].into_iter().for_each(Vec::clear);
                line_true.extend((0..length).map(|i| all_true[at(i)]));
                line_pred.extend((0..length).map(|i| all_pred[at(i)]));
                batch.sum += weight * value(line_true, line_pred);
                batch.weight += weight;
            }
        }
        BUFFERS.set(buffers);
        walked?;
        // As many values as stand behind the first axis make a sample.
        let others = shape.iter().enumerate().filter(|(i, _)| *i != place).map(|(_, length)| *length);
        let each = others.skip(1).product::<i64>().max(1) as f64;
        self.sum += batch.sum / each;
        self.weight += batch.weight / each;
        Ok(())
    }

    pub fn merge(&mut self, other: &Lines) {
        self.sum += other.sum;
        self.weight += other.weight;
    }

    pub fn result(&self) -> Outcome {
        Outcome::ratio(self.sum, self.weight)
    }
}

/// Implements [`Metric`] for a struct with an `axis` and a function of a line.
macro_rules! mean_of_lines {
    ($name:ident) => {
        impl Metric for $name {
            type State = Lines;
            fn info(&self) -> MetricInfo {
                // A batch of rank 1 is a line, and its rows belong together; so do those of a column.
                let along_rows = self.axis == 0;
                MetricInfo {
                    rows_independent: !along_rows,
                    zero_weight_is_absent: !along_rows,
                    ..MetricInfo::new(Direction::Maximize)
                }
            }
            fn init(&self) -> Lines {
                Lines::default()
            }
            fn update(&self, lines: &mut Lines, inputs: &Inputs<'_>) -> Result<()> {
                lines.update(self.axis, inputs, $name::of_line)
            }
            fn merge(&self, lines: &mut Lines, other: &Lines) -> Result<()> {
                lines.merge(other);
                Ok(())
            }
            fn result(&self, lines: &Lines) -> Result<Outcome> {
                Ok(lines.result())
            }
        }
    };
}
pub(super) use mean_of_lines;
