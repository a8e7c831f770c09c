//! Splits the update of a parameter into parts that run in tasks.

use plugfit_api::Host;
use std::sync::{Mutex, PoisonError};

/// Elements per part. For smaller parts, threads cost more than they save.
pub(super) const PART: usize = 1 << 15;
/// The maximum number of parts. Their number depends only on the size of a parameter, so sums over the parts are the
/// same for any number of threads.
pub(super) const PARTS: usize = 64;
/// Elements per block. A block of each slice stays in the first-level cache through all stages of a pass.
pub(super) const BLOCK: usize = 1024;
/// The number of partial sums of a reduction: two vectors of float64 at the widest SIMD level.
const LANES: usize = 16;

/// Returns the length of the parts of a parameter, a multiple of `unit`. The last part may be shorter.
pub(super) fn part_length(total: usize, unit: usize) -> usize {
    total.div_ceil(PARTS).max(PART).next_multiple_of(unit.max(1))
}

/// Runs a function for each of at most [`PARTS`] parts, and returns the results in the order of the parts.
pub(super) fn run_parts<P: Send, T: Default + Send>(
    host: &Host<'_>,
    mut parts: impl Iterator<Item = P>,
    run: impl Fn(P) -> T + Sync,
) -> [T; PARTS] {
    let mut first = parts.next();
    let mut second = parts.next();
    if second.is_none() {
        return std::array::from_fn(|_| first.take().map_or_else(T::default, &run));
    }
    let mut count = 0;
    let cells: [Mutex<(Option<P>, T)>; PARTS] = std::array::from_fn(|_| {
        let part = first.take().or_else(|| second.take()).or_else(|| parts.next());
        count += usize::from(part.is_some());
        Mutex::new((part, T::default()))
    });
    debug_assert!(parts.next().is_none(), "there are {PARTS} parts at most");
    host.parallel(count, |index| {
        let mut cell = cells[index].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = cell.0.take() {
            cell.1 = run(part);
        }
    });
    cells.map(|cell| cell.into_inner().unwrap_or_else(PoisonError::into_inner).1)
}

/// Adds the sums of the parts in their order.
pub(super) fn totals<const N: usize>(parts: [[f64; N]; PARTS]) -> [f64; N] {
    parts.iter().fold([0.0; N], |totals, part| std::array::from_fn(|k| totals[k] + part[k]))
}

/// Returns the sum of a function over the elements of slices of the same length.
#[inline(always)]
pub(super) fn sum_over<const N: usize>(slices: [&[f32]; N], f: impl Fn([f32; N]) -> f64) -> f64 {
    let mut sums = [0.0_f64; LANES];
    let length = slices.iter().map(|slice| slice.len()).min().unwrap_or_default();
    let count = length / LANES;
    let chunks = slices.map(|slice| &slice.as_chunks::<LANES>().0[..count]);
    for i in 0..count {
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum += f(chunks.map(|chunks| chunks[i][k]));
        }
    }
    for (sum, i) in sums.iter_mut().zip(count * LANES..length) {
        *sum += f(slices.map(|slice| slice[i]));
    }
    total(sums)
}

/// Returns the sum of the squares.
#[inline(always)]
pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    sum_over([values], |[value]| square(value))
}

/// Returns the square in float64, which neither overflows nor underflows.
#[inline(always)]
pub(super) fn square(value: f32) -> f64 {
    f64::from(value) * f64::from(value)
}

/// Adds the partial sums in pairs, which takes fewer dependent additions than one after another.
#[inline(always)]
fn total(mut sums: [f64; LANES]) -> f64 {
    let mut count = LANES / 2;
    while count > 0 {
        for k in 0..count {
            sums[k] += sums[k + count];
        }
        count /= 2;
    }
    sums[0]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use plugfit_api::{
        Tensor, TensorMut,
        optimizer::{Entry, Optimizer, Parameter, Step, Update},
    };

    /// Returns numbers between -1 and 1.
    pub(in super::super) fn numbers(count: usize, salt: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| (i.wrapping_add(salt).wrapping_mul(2_654_435_761) >> 12) as f32 / (1 << 19) as f32 - 1.0)
            .collect()
    }

    /// Updates one parameter by the second step of a training, at a learning rate of 0.01.
    pub(in super::super) fn step(
        optimizer: &impl Optimizer,
        shape: &[i64],
        value: &mut [f32],
        gradient: &[f32],
        slots: &mut [Vec<f32>],
    ) {
        let step = Step { iteration: 1, step: 1, learning_rate: 0.01, seed: 0 };
        let parameter = Parameter { name: "w", path: "w", shape, embedding: false, trainable: true, decays: true };
        let described = optimizer.slots(&[parameter], &Host::none()).unwrap();
        let mut entries = [Entry {
            parameter,
            value: TensorMut::new(value, shape),
            gradient: Some(Tensor::new(gradient, shape)),
            slots: slots.iter_mut().zip(&described).map(|(slot, of)| TensorMut::new(slot, &of.shape)).collect(),
            learning_rate: step.learning_rate,
        }];
        let mut update = Update { step, entries: &mut entries, slots: &mut [], gradient_scale: 1.0 };
        optimizer.update(&mut update, &Host::none()).unwrap();
    }

    pub(in super::super) fn assert_close(found: &[f32], expected: impl IntoIterator<Item = f64>, tolerance: f64) {
        let mut count = 0;
        for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(found) - expected).abs() <= tolerance, "{i}: {found} is not {expected}");
            count += 1;
        }
        assert_eq!(count, found.len());
    }

    #[test]
    fn results_are_in_the_order_of_the_parts() {
        for total in [0, 1, PART, PART + 1, 5 * PART + 7, 3 * PART * PARTS + 1] {
            for unit in [1, 3, 1000, 1 << 20] {
                let length = part_length(total, unit);
                assert!(length.is_multiple_of(unit) && total.div_ceil(length) <= PARTS);
                let found = run_parts(&Host::none(), (0..total.div_ceil(length)).map(|part| part + 1), |part| part);
                let expected = std::array::from_fn(|part| if part * length < total { part + 1 } else { 0 });
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn sums_contain_each_element_once() {
        for count in [0, 1, 15, 16, 17, 1000] {
            let values: Vec<f32> = (0..count as u16).map(f32::from).collect();
            let expected: f64 = (0..count).map(|i| f64::from(i) * f64::from(i)).sum();
            assert_eq!(sum_of_squares(&values), expected);
            assert_eq!(sum_over([&values, &values], |[a, b]| f64::from(a * b)), expected);
        }
        assert_eq!(sum_of_squares(&[1e30, 1e-30]), square(1e30) + square(1e-30));
    }
}
