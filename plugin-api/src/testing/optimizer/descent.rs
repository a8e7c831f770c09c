//! Tests that an optimizer minimises functions.

use super::{
    super::{
        report::Report,
        tested::{or_report, Tested},
    },
    training::Training,
};
use crate::Result;
use plugfit_abi as abi;

/// A function to minimise.
pub(super) struct Landscape {
    start: [f64; 4],
    /// The final value must be at most this fraction of the initial value.
    tolerance: f64,
    height: fn(&[f64]) -> f64,
    derivative: fn(&[f64]) -> Vec<f64>,
}

/// The squared norm.
pub(super) const BOWL: Landscape = Landscape {
    start: [1.0, -2.0, 3.0, -0.5],
    tolerance: 1e-2,
    height: |x| x.iter().map(|x| x * x).sum(),
    derivative: |x| x.iter().map(|x| 2.0 * x).collect(),
};

/// The coefficients of [`VALLEY`].
const COEFFICIENTS: [f64; 4] = [1.0, 5.0, 20.0, 100.0];

/// A quadratic function of condition number 100.
pub(super) const VALLEY: Landscape = Landscape {
    start: [1.0, -1.0, 1.0, -1.0],
    tolerance: 3e-2,
    height: |x| x.iter().zip(COEFFICIENTS).map(|(x, coefficient)| coefficient * x * x).sum(),
    derivative: |x| x.iter().zip(COEFFICIENTS).map(|(x, coefficient)| 2.0 * coefficient * x).collect(),
};

/// The sum of two Rosenbrock functions. Rosenbrock 1960.
pub(super) const BANANA: Landscape = Landscape {
    start: [-1.2, 1.0, 0.5, 2.0],
    tolerance: 5e-2,
    height: |x| x.chunks(2).map(|x| 100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2)).sum(),
    derivative: |x| {
        let pairs = x.chunks(2).flat_map(|x| {
            let bend = x[1] - x[0] * x[0];
            [-400.0 * x[0] * bend - 2.0 * (1.0 - x[0]), 200.0 * bend]
        });
        pairs.collect()
    },
};

/// No single learning rate suits all optimizers; one of these must converge.
const RATES: [f64; 14] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1e3, 1e4];
const STEPS: u64 = 500;

/// Tests the descent in every configuration, with a matrix and with a vector.
pub(super) fn of(tested: &Tested<'_>, report: &mut Report, landscape: &Landscape) {
    tested.each_choice(report, |config, report| {
        for shape in [&[2, 2][..], &[4]] {
            descends_in(tested, config, shape, report, landscape);
        }
    });
}

/// Checks that a training with one of the [`RATES`] reaches the tolerance.
fn descends_in(
    tested: &Tested<'_>,
    config: &serde_json::Value,
    shape: &[i64],
    report: &mut Report,
    landscape: &Landscape,
) {
    let Some(instance) = tested.made::<abi::OptimizerV1>(config, report) else { return };
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
    let single = |values: &[f64]| -> Vec<f32> { values.iter().map(|&value| value as f32).collect() };
    let begin = (landscape.height)(&landscape.start);
    let mut best = f64::INFINITY;
    for rate in RATES {
        let run = || -> Result<f64> {
            let mut training = Training::new(&instance, &[shape], vec![single(&landscape.start)], rate)?;
            for _ in 0..STEPS {
                let derivative = (landscape.derivative)(&wide(&training.values[0]));
                if derivative.iter().any(|derivative| derivative.is_nan() || derivative.abs() > 1e12) {
                    return Ok(f64::INFINITY);
                }
                training.step(&instance, &[Some(single(&derivative))])?;
            }
            training.finalize(&instance)?;
            Ok((landscape.height)(&wide(&training.values[0])))
        };
        let Some(height) = or_report(report, format!("fails at the rate {rate}"), run()) else { return };
        best = best.min(if height.is_nan() { f64::INFINITY } else { height });
        if best <= begin * landscape.tolerance {
            return;
        }
    }
    report.fail(format!(
        "comes from a height of {begin:.4} to {best:.4} at the best of {} rates in {STEPS} steps, not below {:.4}, with a parameter of the shape {shape:?}",
        RATES.len(),
        begin * landscape.tolerance
    ));
}
