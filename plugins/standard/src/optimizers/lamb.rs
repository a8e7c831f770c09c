//! LAMB, Adam for large batches.

use super::{
    LEAST_EPSILON, bounded, correction,
    parts::{BLOCK, part_length, run_parts, sum_of_squares, totals},
    slices,
};
use plugfit_api::{
    Plain,
    formula::{Formula, Traced},
    prelude::*,
    simd::{Kernel, dispatch},
};

/// LAMB: Adam's step, scaled for each parameter to the norm of the parameter. You et al. 2019.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::LAMB)]
pub struct Lamb {
    /// The decay rate of the gradient's average.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// The decay rate of the average of squares.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the denominator.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
}

impl Optimizer for Lamb {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let each = parameters.iter().enumerate();
        Ok(each.flat_map(|(i, p)| [Slot::like(i, p, "momentum"), Slot::like(i, p, "velocity")]).collect())
    }

    fn formula(&self) -> Result<Formula> {
        Formula::of_parameter(&[("momentum", 0.0), ("velocity", 0.0)], |step, parameter, gradient, slots| {
            let (m, v) = (slots[0], slots[1]);
            let m = m + (gradient - m) * (1.0 - self.beta_1);
            let v = v + (bounded(gradient * gradient) - v) * (1.0 - self.beta_2);
            let size = (v / correction(self.beta_2, step.number)).sqrt() + self.epsilon.max(LEAST_EPSILON);
            let change = m / correction(self.beta_1, step.number) / size;
            let squares = |x: Traced| Row::of_element(&x).sum(|x| x * x);
            let (of_value, of_step) = (squares(parameter), squares(change));
            let (zero, one) = (Real::from(0.0), Real::from(1.0));
            let ratio = Traced::select(of_value.gt(zero) & of_step.gt(zero), (of_value / of_step).sqrt(), one);
            (parameter - ratio * step.learning_rate * change, vec![m, v])
        })
    }

    fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        let number = update.step.number();
        let numbers = Numbers {
            first: (1.0 / (1.0 - self.beta_1.powf(number))) as f32,
            second: (1.0 / (1.0 - self.beta_2.powf(number))) as f32,
            new_first: (1.0 - self.beta_1) as f32,
            new_second: (1.0 - self.beta_2) as f32,
            epsilon: self.epsilon.max(LEAST_EPSILON) as f32,
        };
        for entry in update.entries.iter_mut() {
            let rate = entry.learning_rate;
            let Some((values, gradient, [m, v])) = slices::<2>(entry)? else { continue };
            let length = part_length(values.len(), BLOCK);
            let parts = values.chunks(length).zip(gradient.chunks(length));
            let parts = parts.zip(m.chunks_mut(length).zip(v.chunks_mut(length)));
            let parts = parts.map(|((values, gradient), (m, v))| Moments { numbers, values, gradient, m, v });
            let [of_value, of_step] = totals(run_parts(host, parts, dispatch));
            let ratio = if of_value > 0.0 && of_step > 0.0 { (of_value / of_step).sqrt() } else { 1.0 };
            let factor = (ratio * rate) as f32;
            let parts = values.chunks_mut(length).zip(m.chunks(length).zip(v.chunks(length)));
            let parts = parts.map(|(values, (m, v))| Apply { numbers, factor, values, m, v });
            run_parts(host, parts, dispatch);
        }
        Ok(())
    }
}

/// The numbers that all elements share in one step.
#[derive(Clone, Copy)]
struct Numbers {
    first: f32,
    second: f32,
    new_first: f32,
    new_second: f32,
    epsilon: f32,
}

impl Numbers {
    #[inline(always)]
    fn step(&self, m: f32, v: f32) -> f32 {
        m * self.first / ((v * self.second).sqrt() + self.epsilon)
    }
}

/// The first pass over a part: updates the averages, and returns the sums of the squares of the values and the steps.
struct Moments<'a> {
    numbers: Numbers,
    values: &'a [f32],
    gradient: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Kernel for Moments<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run(self) -> [f64; 2] {
        let numbers = self.numbers;
        let (mut of_value, mut of_step) = (0.0, 0.0);
        let mut block = [0.0_f32; BLOCK];
        let averages = self.m.chunks_mut(BLOCK).zip(self.v.chunks_mut(BLOCK));
        for ((values, gradient), (m, v)) in self.values.chunks(BLOCK).zip(self.gradient.chunks(BLOCK)).zip(averages) {
            let steps = &mut block[..values.len()];
            for (((step, m), v), &g) in steps.iter_mut().zip(m).zip(v).zip(gradient) {
                *m += (g - *m) * numbers.new_first;
                *v += (bounded(Plain(g * g)).0 - *v) * numbers.new_second;
                *step = numbers.step(*m, *v);
            }
            of_value += sum_of_squares(values);
            of_step += sum_of_squares(steps);
        }
        [of_value, of_step]
    }
}

/// The second pass over a part: changes the values.
struct Apply<'a> {
    numbers: Numbers,
    factor: f32,
    values: &'a mut [f32],
    m: &'a [f32],
    v: &'a [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // Beyond the first-level cache, loading stored steps takes as long as computing them again.
        for ((value, &m), &v) in self.values.iter_mut().zip(self.m).zip(self.v) {
            *value -= self.factor * self.numbers.step(m, v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::parts::{
            PART,
            tests::{assert_close, numbers, step},
        },
        *,
    };

    #[test]
    fn a_parameter_of_several_parts_has_one_ratio() {
        let lamb = Lamb { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
        let count = 2 * PART + 77;
        let (start, gradient) = (numbers(count, 1), numbers(count, 2));
        let mut slots = [numbers(count, 3), numbers(count, 4).iter().map(|v| v.abs()).collect()];
        let averages = |i: usize| {
            let (g, m, v) = (f64::from(gradient[i]), f64::from(slots[0][i]), f64::from(slots[1][i]));
            (m + (g - m) * 0.1, v + (g * g - v) * 0.001)
        };
        let steps: Vec<f64> = (0..count)
            .map(averages)
            .map(|(m, v)| m / (1.0 - 0.81) / ((v / (1.0 - 0.999_f64.powi(2))).sqrt() + 1e-7))
            .collect();
        let expected: Vec<(f64, f64)> = (0..count).map(averages).collect();
        let norm = |squares: f64| squares.sqrt();
        let of_value = norm(start.iter().map(|&x| f64::from(x) * f64::from(x)).sum());
        let ratio = of_value / norm(steps.iter().map(|x| x * x).sum());
        let mut value = start.clone();
        step(&lamb, &[count as i64], &mut value, &gradient, &mut slots);
        assert_close(&slots[0], expected.iter().map(|(m, _)| *m), 1e-6);
        assert_close(&slots[1], expected.iter().map(|(_, v)| *v), 1e-6);
        let expected = start.iter().zip(&steps).map(|(&x, step)| f64::from(x) - 0.01 * ratio * step);
        assert_close(&value, expected, 1e-6);
    }
}
