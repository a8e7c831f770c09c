//! The loop around an optimizer's element formula. It clips, decays weights, applies the formula and updates the EMA in
//! one pass over memory.

use super::ElementwiseOptimizer;
use crate::{
    kernels::{
        disjoint_slices::DisjointSlices,
        simd::{dispatch, Kernel},
    },
    Host, Plain,
};
use std::ops::Range;

/// Elements per block. A block stays in the first-level cache through all stages of an update.
const BLOCK: usize = 1024;
/// Elements per task. For smaller tasks, threads cost more than they save.
const TASK: usize = 1 << 15;
/// The maximum number of slots of a formula.
pub(crate) const MAX_SLOTS: usize = 4;

/// One parameter in an update, with all numbers that its loop needs.
pub(crate) struct Job<'a, const M: usize> {
    pub(crate) value: DisjointSlices<'a, f32>,
    pub(crate) gradient: &'a [f32],
    pub(crate) slots: [Option<DisjointSlices<'a, f32>>; MAX_SLOTS],
    pub(crate) numbers: [Plain<f32>; M],
    pub(crate) gradient_scale: f32,
    /// The bound of a gradient's absolute value; infinity if gradients aren't clipped.
    pub(crate) clip_value: f32,
    /// Weight decay times learning rate.
    pub(crate) decay: f32,
    /// The average of the parameter, and its momentum.
    pub(crate) ema: Option<(DisjointSlices<'a, f32>, f32)>,
}

/// Updates all parameters. Tasks have equal sizes: large parameters are split, small ones are combined.
pub(crate) fn update<T: ElementwiseOptimizer<N, M>, const N: usize, const M: usize>(
    optimizer: &T,
    jobs: &[Job<'_, M>],
    host: &Host<'_>,
) {
    let total: usize = jobs.iter().map(|job| job.gradient.len()).sum();
    let tasks = total.div_ceil(TASK);
    let run = |wanted: Range<usize>| {
        let mut before = 0;
        for job in jobs {
            let length = job.gradient.len();
            let (start, end) = (wanted.start.clamp(before, before + length), wanted.end.clamp(before, before + length));
            if start < end {
                update_range(optimizer, job, start - before..end - before);
            }
            before += length;
        }
    };
    if tasks <= 1 {
        run(0..total);
    } else {
        // A cache line holds 16 float32. Tasks that end on a multiple of 16 don't share a line.
        host.parallel(tasks, |task| run(task * TASK..total.min((task + 1) * TASK)));
    }
}

fn update_range<T: ElementwiseOptimizer<N, M>, const N: usize, const M: usize>(
    optimizer: &T,
    job: &Job<'_, M>,
    range: Range<usize>,
) {
    let used = job.slots.iter().take_while(|slot| slot.is_some()).count();
    macro_rules! with {
        ($($k:literal)*) => {
            match used {
                $($k => dispatch(Elements::<T, N, M, $k> { optimizer, job, range }),)*
                _ => unreachable!("a formula has {MAX_SLOTS} slots at most"),
            }
        };
    }
    with!(0 1 2 3 4)
}

/// The loop over a range of one parameter. `K` of the formula's `N` slots are in use.
struct Elements<'k, 'a, T: ElementwiseOptimizer<N, M>, const N: usize, const M: usize, const K: usize> {
    optimizer: &'k T,
    job: &'k Job<'a, M>,
    range: Range<usize>,
}

impl<T: ElementwiseOptimizer<N, M>, const N: usize, const M: usize, const K: usize> Kernel
    for Elements<'_, '_, T, N, M, K>
{
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let job = self.job;
        let numbers = job.numbers;
        let clips = job.clip_value.is_finite();
        let scales = job.gradient_scale != 1.0;
        let mut scratch = [0.0f32; BLOCK];
        let mut start = self.range.start;
        while start < self.range.end {
            let part = start..self.range.end.min(start + BLOCK);
            let n = part.len();
            // SAFETY: tasks have disjoint ranges, and the value, the slots and the EMA don't overlap.
            let value = unsafe { job.value.part(part.clone()) };
            // SAFETY: as above.
            let mut slots: [&mut [f32]; K] = std::array::from_fn(|k| match &job.slots[k] {
                // SAFETY: as above.
                Some(slot) => unsafe { slot.part(part.clone()) },
                None => unreachable!("the first K slots are in use"),
            });
            let mut gradient = &job.gradient[part.clone()];
            if scales || clips {
                for (scaled, &gradient) in scratch.iter_mut().zip(gradient) {
                    let product = gradient * job.gradient_scale;
                    *scaled = if clips { product.clamp(-job.clip_value, job.clip_value) } else { product };
                }
                gradient = &scratch[..n];
            }
            if job.decay != 0.0 {
                value.iter_mut().for_each(|value| *value -= *value * job.decay);
            }
            for slot in &mut slots {
                // With equal lengths the compiler removes the bounds checks of the loop.
                assert!(slot.len() == n);
            }
            for i in 0..n {
                let before: [Plain<f32>; N] = std::array::from_fn(|k| Plain(if k < K { slots[k][i] } else { 0.0 }));
                let (new, after) = self.optimizer.update(&numbers, Plain(value[i]), Plain(gradient[i]), before);
                value[i] = new.0;
                for k in 0..K.min(N) {
                    slots[k][i] = after[k].0;
                }
            }
            if let Some((ema, momentum)) = &job.ema {
                // SAFETY: as above.
                let ema = unsafe { ema.part(part) };
                for (ema, &value) in ema.iter_mut().zip(value.iter()) {
                    *ema = *momentum * *ema + (1.0 - *momentum) * value;
                }
            }
            start += n;
        }
    }
}
