//! Adafactor, with factored second moments.

use super::{
    bounded,
    parts::{BLOCK, PART, PARTS, part_length, run_parts, square, sum_of_squares, sum_over, totals},
    slices,
};
use plugfit_api::{
    Plain, Scratch,
    prelude::*,
    simd::{Kernel, dispatch},
};

/// Rows whose squares are added to the sums of the columns at once.
const ROWS: usize = 4;

/// Adafactor: stores only row and column means of the squared gradients of a matrix. Shazeer & Stern 2018.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::ADAFACTOR)]
pub struct Adafactor {
    /// The exponent `p` of the decay rate `1 - step^p` of the averages.
    #[config(default = -0.8, range = ..=0.0)]
    beta_2_decay: f64,
    /// Added to squared gradients.
    #[config(default = 1e-30, range = 0.0..)]
    epsilon_1: f64,
    /// The minimum root mean square of a parameter, by which its steps are scaled.
    #[config(default = 0.001, range = 0.0..)]
    epsilon_2: f64,
    /// The maximum root mean square of a step.
    #[config(default = 1.0, above = 0.0, infinite)]
    clip_threshold: f64,
    /// Has no effect: as in Keras, the rate is always at most `1 / sqrt(step)`.
    #[config(default = true)]
    relative_step: bool,
}

/// The running averages of squared gradients, in one step.
#[derive(Clone, Copy)]
struct SecondMoments {
    decay: f64,
    epsilon: f64,
}

impl SecondMoments {
    /// Returns the average after a mean of squares, to which epsilon is added here.
    #[inline(always)]
    fn average(&self, old: f32, squares: f64) -> f32 {
        let new = squares + self.epsilon;
        bounded(Plain((self.decay * f64::from(old) + (1.0 - self.decay) * new) as f32)).0
    }

    /// Updates the averages of the rows and columns of matrices. Writes the mean of the rows' averages of each matrix,
    /// and the reciprocal root of each average of a column.
    fn factored(&self, matrices: Matrices<'_>, host: &Host<'_>) {
        let Matrices { gradient, row, column, means, roots, rows, columns } = matrices;
        let size = rows * columns;
        if size > PART {
            let matrices = gradient.chunks_exact(size).zip(row.chunks_exact_mut(rows).zip(means));
            let averages = column.chunks_exact_mut(columns).zip(roots.chunks_exact_mut(columns));
            for ((gradient, (row, mean)), (column, roots)) in matrices.zip(averages) {
                // Each part has sums for all columns. With 16 rows or more, they are small compared with the gradient.
                let length = part_length(size, 16 * columns);
                let parts = size.div_ceil(length);
                let mut sums = Scratch::of_length(parts * columns);
                let split = gradient.chunks(length).zip(row.chunks_mut(length / columns));
                let split = split.zip(sums.chunks_exact_mut(columns)).map(|((gradient, row), sums)| RowMoments {
                    moments: *self,
                    gradient,
                    row,
                    sums,
                });
                run_parts(host, split, dispatch);
                dispatch(ColumnMoments { moments: *self, sums: &mut sums, row, mean, column, roots });
            }
            return;
        }
        let length = part_length(means.len() * size, size);
        let count = length / size;
        let matrices = gradient.chunks(length).zip(row.chunks_mut(count * rows).zip(means.chunks_mut(count)));
        let averages = column.chunks_mut(count * columns).zip(roots.chunks_mut(count * columns));
        run_parts(host, matrices.zip(averages), |((gradient, (row, means)), (column, roots))| {
            let mut sums = Scratch::of_length(columns);
            let matrices = gradient.chunks_exact(size).zip(row.chunks_exact_mut(rows).zip(means));
            let averages = column.chunks_exact_mut(columns).zip(roots.chunks_exact_mut(columns));
            for ((gradient, (row, mean)), (column, roots)) in matrices.zip(averages) {
                dispatch(RowMoments { moments: *self, gradient, row, sums: &mut sums });
                dispatch(ColumnMoments { moments: *self, sums: &mut sums, row, mean, column, roots });
            }
        });
    }
}

/// Matrices of one shape, their averages, and the memory for what their steps need.
struct Matrices<'a> {
    gradient: &'a [f32],
    row: &'a mut [f32],
    column: &'a mut [f32],
    /// For each matrix, the mean of the averages of its rows.
    means: &'a mut [f64],
    /// For each column, the reciprocal root of its average.
    roots: &'a mut [f32],
    rows: usize,
    columns: usize,
}

/// Updates the averages of some rows of a matrix, and writes the sums of the squares of the columns in these rows.
struct RowMoments<'a> {
    moments: SecondMoments,
    gradient: &'a [f32],
    row: &'a mut [f32],
    sums: &'a mut [f64],
}

impl Kernel for RowMoments<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let columns = self.sums.len();
        self.sums.fill(0.0);
        let average = |row: &mut f32, sum: f64| *row = self.moments.average(*row, sum / columns as f64);
        let mut several = self.gradient.chunks_exact(ROWS * columns);
        let (whole, rest) = self.row.as_chunks_mut::<ROWS>();
        for (gradient, row) in several.by_ref().zip(whole) {
            let rows = std::array::from_fn(|r| &gradient[r * columns..(r + 1) * columns]);
            let sums = add_squares::<ROWS>(rows, self.sums);
            row.iter_mut().zip(sums).for_each(|(row, sum)| average(row, sum));
        }
        for (gradient, row) in several.remainder().chunks_exact(columns).zip(rest) {
            let [sum] = add_squares([gradient], self.sums);
            average(row, sum);
        }
    }
}

/// Adds the squares of some rows to the sums of the columns, and returns the sum of each row.
#[inline(always)]
fn add_squares<const R: usize>(rows: [&[f32]; R], sums: &mut [f64]) -> [f64; R] {
    // With equal lengths the compiler removes the bounds checks of the loop.
    let rows = rows.map(|row| &row[..sums.len()]);
    for (j, sum) in sums.iter_mut().enumerate() {
        *sum += rows.iter().map(|row| square(row[j])).sum::<f64>();
    }
    rows.map(sum_of_squares)
}

/// Updates the averages of the columns of a matrix after those of its rows.
struct ColumnMoments<'a> {
    moments: SecondMoments,
    /// The sums of the squares of the columns, for each part of the rows. Those of the first part become the sums of
    /// all.
    sums: &'a mut [f64],
    row: &'a [f32],
    mean: &'a mut f64,
    column: &'a mut [f32],
    roots: &'a mut [f32],
}

impl Kernel for ColumnMoments<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.row.len() as f64;
        *self.mean = sum_over([self.row], |[average]| f64::from(average)) / rows;
        let (first, others) = self.sums.split_at_mut(self.column.len());
        for part in others.chunks_exact(first.len()) {
            first.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        for ((column, root), &sum) in self.column.iter_mut().zip(self.roots).zip(&*first) {
            *column = self.moments.average(*column, sum / rows);
            *root = 1.0 / column.sqrt();
        }
    }
}

/// The steps of matrices: `gradient / sqrt(row * column / mean of row)`.
#[derive(Clone, Copy)]
struct Factors<'a> {
    row: &'a [f32],
    means: &'a [f64],
    roots: &'a [f32],
    rows: usize,
    columns: usize,
}

impl<'a> Factors<'a> {
    /// Returns the reciprocal root of a row's relative average, and those of the columns of its matrix.
    #[inline(always)]
    fn of_row(&self, row: usize) -> (f32, &'a [f32]) {
        let matrix = row / self.rows;
        let of_row = (self.means[matrix] / f64::from(self.row[row])).sqrt() as f32;
        (of_row, &self.roots[matrix * self.columns..(matrix + 1) * self.columns])
    }

    /// Returns one step. Neither product overflows: a gradient is small compared with the averages of its row and
    /// column.
    #[inline(always)]
    fn step(g: f32, of_row: f32, of_column: f32) -> f32 {
        g * of_row * of_column
    }
}

/// Returns the sums of the squares of the values and of the steps, for rows of matrices from `first` on.
struct FactoredSquares<'a> {
    factors: Factors<'a>,
    first: usize,
    values: &'a [f32],
    gradient: &'a [f32],
}

impl Kernel for FactoredSquares<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run(self) -> [f64; 2] {
        let mut of_step = 0.0;
        for (row, gradient) in (self.first..).zip(self.gradient.chunks_exact(self.factors.columns)) {
            let (of_row, roots) = self.factors.of_row(row);
            of_step += sum_over([gradient, roots], |[g, of_column]| square(Factors::step(g, of_row, of_column)));
        }
        [sum_of_squares(self.values), of_step]
    }
}

/// Changes the values of rows of matrices from `first` on.
struct FactoredApply<'a> {
    factors: Factors<'a>,
    first: usize,
    values: &'a mut [f32],
    gradient: &'a [f32],
    rate: f32,
}

impl Kernel for FactoredApply<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let columns = self.factors.columns;
        let rows = self.values.chunks_exact_mut(columns).zip(self.gradient.chunks_exact(columns));
        for (row, (values, gradient)) in (self.first..).zip(rows) {
            let (of_row, roots) = self.factors.of_row(row);
            for ((value, &g), &of_column) in values.iter_mut().zip(gradient).zip(roots) {
                *value -= self.rate * Factors::step(g, of_row, of_column);
            }
        }
    }
}

/// Updates the averages of a part of a parameter without factors. Returns the sums of the squares of the values and of
/// the steps, `gradient / sqrt(v)`.
struct Moments<'a> {
    moments: SecondMoments,
    values: &'a [f32],
    gradient: &'a [f32],
    v: &'a mut [f32],
}

impl Kernel for Moments<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run(self) -> [f64; 2] {
        let mut of_step = 0.0;
        let mut block = [0.0_f32; BLOCK];
        for (v, gradient) in self.v.chunks_mut(BLOCK).zip(self.gradient.chunks(BLOCK)) {
            let of_steps = &mut block[..gradient.len()];
            for ((of_step, v), &g) in of_steps.iter_mut().zip(v).zip(gradient) {
                *v = self.moments.average(*v, square(g));
                // The square of the step, without a root. The square of the gradient could overflow.
                *of_step = g / *v * g;
            }
            of_step += sum_over([of_steps], |[of_step]| f64::from(of_step));
        }
        [sum_of_squares(self.values), of_step]
    }
}

/// Changes the values of a part of a parameter without factors.
struct Apply<'a> {
    values: &'a mut [f32],
    gradient: &'a [f32],
    v: &'a [f32],
    rate: f32,
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for ((value, &g), &v) in self.values.iter_mut().zip(self.gradient).zip(self.v) {
            *value -= self.rate * (g / v.sqrt());
        }
    }
}

impl Optimizer for Adafactor {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let mut slots = Vec::new();
        for (i, parameter) in parameters.iter().enumerate() {
            match parameter.shape {
                [leading @ .., rows, columns] => {
                    let shape = |last: &i64| leading.iter().chain([last]).copied().collect();
                    slots.push(Slot { shape: shape(rows), ..Slot::like(i, parameter, "row") });
                    slots.push(Slot { shape: shape(columns), ..Slot::like(i, parameter, "column") });
                }
                _ => slots.push(Slot::like(i, parameter, "velocity")),
            }
        }
        Ok(slots)
    }

    fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        let number = update.step.number();
        // A much smaller epsilon underflows to 0 in float32, and a row without a gradient would be divided by 0.
        let epsilon = self.epsilon_1.max(1e-30);
        let moments = SecondMoments { decay: 1.0 - number.powf(self.beta_2_decay), epsilon };
        for entry in update.entries.iter_mut() {
            if entry.value.is_empty() {
                continue;
            }
            let count = entry.value.len() as f64;
            let rate = entry.learning_rate.min(1.0 / number.sqrt());
            // The rate of a step, by the sums of the squares of the values and of the steps.
            let rate = |[of_value, of_step]: [f64; 2]| {
                let size = (of_value / count).sqrt().max(self.epsilon_2);
                let clip = ((of_step / count).sqrt() / self.clip_threshold).max(1.0);
                (rate * size / clip) as f32
            };
            if let [.., rows, columns] = *entry.parameter.shape {
                let (rows, columns) = (rows as usize, columns as usize);
                let Some((values, gradient, [row, column])) = slices::<2>(entry)? else { continue };
                let mut means = Scratch::of_length(row.len() / rows);
                let mut roots = Scratch::of_length(column.len());
                let (means, roots) = (&mut *means, &mut *roots);
                moments.factored(Matrices { gradient, row, column, means, roots, rows, columns }, host);
                let factors = Factors { row, means, roots, rows, columns };
                let length = part_length(values.len(), columns);
                let starts = || (0..PARTS).map(|part| part * (length / columns));
                let parts = starts().zip(values.chunks(length).zip(gradient.chunks(length)));
                let parts =
                    parts.map(|(first, (values, gradient))| FactoredSquares { factors, first, values, gradient });
                let rate = rate(totals(run_parts(host, parts, dispatch)));
                let parts = starts().zip(values.chunks_mut(length).zip(gradient.chunks(length)));
                let parts =
                    parts.map(|(first, (values, gradient))| FactoredApply { factors, first, values, gradient, rate });
                run_parts(host, parts, dispatch);
            } else {
                let Some((values, gradient, [v])) = slices::<1>(entry)? else { continue };
                let length = part_length(values.len(), BLOCK);
                let parts = values.chunks(length).zip(gradient.chunks(length).zip(v.chunks_mut(length)));
                let parts = parts.map(|(values, (gradient, v))| Moments { moments, values, gradient, v });
                let rate = rate(totals(run_parts(host, parts, dispatch)));
                let parts = values.chunks_mut(length).zip(gradient.chunks(length).zip(v.chunks(length)));
                let parts = parts.map(|(values, (gradient, v))| Apply { values, gradient, v, rate });
                run_parts(host, parts, dispatch);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::parts::tests::{assert_close, numbers, step},
        *,
    };

    const ADAFACTOR: Adafactor =
        Adafactor { beta_2_decay: -0.8, epsilon_1: 1e-30, epsilon_2: 0.001, clip_threshold: 1.0, relative_step: true };

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        let (mut count, mut sum) = (0.0, 0.0);
        for value in values {
            count += 1.0;
            sum += value;
        }
        sum / count
    }

    /// Compares a step with its definition; `average` returns the divisor of each element, and changes the slots.
    fn check(shape: &[i64], slots: &[Vec<f32>], average: impl Fn(&[f64], &mut [Vec<f64>]) -> Vec<f64>) {
        let count = shape.iter().product::<i64>() as usize;
        let start = numbers(count, 1);
        // Rows and columns of different sizes.
        let gradient: Vec<f32> =
            numbers(count, 2).iter().enumerate().map(|(i, g)| g * (1 + i % 5 + i / 100 % 7) as f32).collect();
        let doubles = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let mut averages: Vec<Vec<f64>> = slots.iter().map(|slot| doubles(slot)).collect();
        let divisors = average(&doubles(&gradient), &mut averages);
        let steps: Vec<f64> =
            gradient.iter().zip(divisors).map(|(&g, divisor)| f64::from(g) / divisor.sqrt()).collect();
        let size = mean(start.iter().map(|&x| f64::from(x).powi(2))).sqrt();
        let clip = mean(steps.iter().map(|x| x * x)).sqrt().max(1.0);
        let (mut value, mut slots) = (start.clone(), slots.to_vec());
        step(&ADAFACTOR, shape, &mut value, &gradient, &mut slots);
        for (slot, average) in slots.iter().zip(averages) {
            assert_close(slot, average, 1e-4);
        }
        let expected = start.iter().zip(steps).map(|(&x, step)| f64::from(x) - 0.01 * size * step / clip);
        assert_close(&value, expected, 1e-6);
    }

    #[test]
    fn steps_of_matrices_agree_with_their_definition() {
        let decay = 1.0 - 2.0_f64.powf(-0.8);
        // One part, rows and columns that aren't multiples of the blocks, several parts, many small matrices, and
        // several large ones.
        for shape in
            [&[5_i64, 3][..], &[1, 1], &[350, 203], &[3, 40_000], &[40_000, 3], &[41, 30, 50], &[2, 3, 211, 160]]
        {
            let [leading @ .., rows, columns] = shape else { unreachable!() };
            let matrices = leading.iter().product::<i64>() as usize;
            let (rows, columns) = (*rows as usize, *columns as usize);
            let positive = |count, salt| numbers(count, salt).iter().map(|v| v.abs() + 0.1).collect::<Vec<_>>();
            check(shape, &[positive(matrices * rows, 3), positive(matrices * columns, 4)], |gradient, slots| {
                let [row, column] = slots else { unreachable!() };
                let mut divisors = Vec::new();
                let averages = row.chunks_mut(rows).zip(column.chunks_mut(columns));
                for (gradient, (row, column)) in gradient.chunks(rows * columns).zip(averages) {
                    for (r, gradient) in row.iter_mut().zip(gradient.chunks(columns)) {
                        *r = decay * *r + (1.0 - decay) * mean(gradient.iter().map(|g| g * g));
                    }
                    for (j, c) in column.iter_mut().enumerate() {
                        let squares = gradient[j..].iter().step_by(columns).map(|g| g * g);
                        *c = decay * *c + (1.0 - decay) * mean(squares);
                    }
                    let mean = mean(row.iter().copied());
                    divisors.extend(row.iter().flat_map(|r| column.iter().map(move |c| r * c / mean)));
                }
                divisors
            });
        }
    }

    #[test]
    fn steps_of_vectors_agree_with_their_definition() {
        let decay = 1.0 - 2.0_f64.powf(-0.8);
        for count in [1, 1025, 100_000] {
            let v = numbers(count, 3).iter().map(|v| v.abs() + 0.1).collect();
            check(&[count as i64], &[v], |gradient, slots| {
                slots[0].iter_mut().zip(gradient).for_each(|(v, g)| *v = decay * *v + (1.0 - decay) * g * g);
                slots[0].clone()
            });
        }
    }

    #[test]
    fn tiny_and_huge_rows_of_a_matrix_have_steps_of_their_size() {
        // The ratio of the rows' averages is far beyond float32's range.
        let gradient = [1e-15_f32, -1e-15, 1e18, 1e18];
        let (mut value, mut slots) = ([1.0_f32; 4], [vec![0.0; 2], vec![0.0; 2]]);
        let adafactor = Adafactor { clip_threshold: f64::INFINITY, beta_2_decay: 0.0, ..ADAFACTOR };
        step(&adafactor, &[2, 2], &mut value, &gradient, &mut slots);
        assert_eq!(value[2], value[3]);
        assert!(value.iter().all(|value| (value - 1.0).abs() < 0.03), "{value:?}");
        assert!(value[2] < 1.0 && value.iter().all(|value| value.is_finite()), "{value:?}");
    }
}
