//! The loop around an element's update: clipping, weight decay, the formula and EMA, in one pass over memory.

use super::{
    pieces::Pieces,
    simd::{dispatch, Kernel},
};
use crate::{optimizer::ElementwiseOptimizer, Host};
use std::ops::Range;

/// Elements that stay in the first-level cache while the stages of an update follow one another.
const BLOCK: usize = 1024;
/// Elements of a task: below this, threads cost more than they save.
const TASK: usize = 1 << 15;
/// Slots that a formula can have.
pub(crate) const MAX_SLOTS: usize = 4;

/// One parameter in an update.
pub(crate) struct Job<'a, Numbers> {
    pub(crate) value: Pieces<'a, f32>,
    pub(crate) gradient: &'a [f32],
    pub(crate) slots: [Option<Pieces<'a, f32>>; MAX_SLOTS],
    pub(crate) numbers: Numbers,
    pub(crate) gradient_scale: f32,
    /// Infinity: not clipped.
    pub(crate) clip_value: f32,
    /// Weight decay times learning rate.
    pub(crate) decay: f32,
    pub(crate) ema: Option<(Pieces<'a, f32>, f32)>,
}

/// Updates all parameters. Large ones are cut, small ones are put together, so that tasks are of one size.
pub(crate) fn update<T: ElementwiseOptimizer<N>, const N: usize>(
    optimizer: &T,
    jobs: &[Job<'_, T::Numbers>],
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
                part(optimizer, job, start - before..end - before);
            }
            before += length;
        }
    };
    if tasks <= 1 {
        run(0..total);
    } else {
        // A cache line has sixteen float32: tasks that end there don't share one.
        host.parallel(tasks, |task| run(task * TASK..total.min((task + 1) * TASK)));
    }
}

fn part<T: ElementwiseOptimizer<N>, const N: usize>(optimizer: &T, job: &Job<'_, T::Numbers>, range: Range<usize>) {
    let used = job.slots.iter().take_while(|slot| slot.is_some()).count();
    macro_rules! with {
        ($($k:literal)*) => {
            match used {
                $($k => dispatch(Elements::<T, N, $k> { optimizer, job, range }),)*
                _ => unreachable!("a formula has {MAX_SLOTS} slots at most"),
            }
        };
    }
    with!(0 1 2 3 4)
}

/// `K` of the formula's `N` slots are in use.
struct Elements<'k, 'a, T: ElementwiseOptimizer<N>, const N: usize, const K: usize> {
    optimizer: &'k T,
    job: &'k Job<'a, T::Numbers>,
    range: Range<usize>,
}

impl<T: ElementwiseOptimizer<N>, const N: usize, const K: usize> Kernel for Elements<'_, '_, T, N, K> {
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
            // SAFETY: tasks have disjoint ranges, and the value, the slots and the EMA are different memory.
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
                // Tells the compiler that all are of one length, so that the loop has no bounds checks.
                assert!(slot.len() == n);
            }
            for i in 0..n {
                let before: [f32; N] = std::array::from_fn(|k| if k < K { slots[k][i] } else { 0.0 });
                let (new, after) = self.optimizer.update(&numbers, value[i], gradient[i], before);
                value[i] = new;
                for k in 0..K.min(N) {
                    slots[k][i] = after[k];
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
