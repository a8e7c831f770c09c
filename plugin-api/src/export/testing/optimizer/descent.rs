//! Whether steps lead downwards.

use super::{
    super::{
        report::Report,
        trial::{or_report, Trial},
    },
    Training,
};
use crate::Result;
use plugfit_abi as abi;

/// Something to descend in.
pub(super) struct Landscape {
    start: [f64; 4],
    /// The share of the height at the start that must not be left.
    left: f64,
    height: fn(&[f64]) -> f64,
    slope: fn(&[f64]) -> Vec<f64>,
}

pub(super) const BOWL: Landscape = Landscape {
    start: [1.0, -2.0, 3.0, -0.5],
    left: 1e-2,
    height: |x| x.iter().map(|x| x * x).sum(),
    slope: |x| x.iter().map(|x| 2.0 * x).collect(),
};

const LENGTHS: [f64; 4] = [1.0, 5.0, 20.0, 100.0];

pub(super) const VALLEY: Landscape = Landscape {
    start: [1.0, -1.0, 1.0, -1.0],
    left: 3e-2,
    height: |x| x.iter().zip(LENGTHS).map(|(x, length)| length * x * x).sum(),
    slope: |x| x.iter().zip(LENGTHS).map(|(x, length)| 2.0 * length * x).collect(),
};

/// Rosenbrock 1960, twice.
pub(super) const BANANA: Landscape = Landscape {
    start: [-1.2, 1.0, 0.5, 2.0],
    left: 5e-2,
    height: |x| x.chunks(2).map(|x| 100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2)).sum(),
    slope: |x| {
        let pairs = x.chunks(2).flat_map(|x| {
            let bend = x[1] - x[0] * x[0];
            [-400.0 * x[0] * bend - 2.0 * (1.0 - x[0]), 200.0 * bend]
        });
        pairs.collect()
    },
};

/// Rates are of no use in common between optimizers, so that one of these must do.
const RATES: [f64; 14] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1e3, 1e4];
const STEPS: u64 = 500;

pub(super) fn of(trial: &Trial<'_>, report: &mut Report, landscape: &Landscape) {
    trial.each_choice(report, |config, report| {
        for shape in [&[2, 2][..], &[4]] {
            descends_in(trial, config, shape, report, landscape);
        }
    });
}

fn descends_in(
    trial: &Trial<'_>,
    config: &serde_json::Value,
    shape: &[i64],
    report: &mut Report,
    landscape: &Landscape,
) {
    let Some(made) = or_report(report, "can't be made", trial.made::<abi::OptimizerV1>(config)) else { return };
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
    let single = |values: &[f64]| -> Vec<f32> { values.iter().map(|&value| value as f32).collect() };
    let begin = (landscape.height)(&landscape.start);
    let mut best = f64::INFINITY;
    for rate in RATES {
        let run = || -> Result<f64> {
            let mut training = Training::new(&made, &[shape], vec![single(&landscape.start)], rate)?;
            for _ in 0..STEPS {
                let slope = (landscape.slope)(&wide(&training.values[0]));
                if slope.iter().any(|slope| slope.is_nan() || slope.abs() > 1e12) {
                    return Ok(f64::INFINITY);
                }
                training.step(&made, &[Some(single(&slope))])?;
            }
            training.finalize(&made)?;
            Ok((landscape.height)(&wide(&training.values[0])))
        };
        let Some(height) = or_report(report, format!("fails at the rate {rate}"), run()) else { return };
        best = best.min(if height.is_nan() { f64::INFINITY } else { height });
        if best <= begin * landscape.left {
            return;
        }
    }
    report.fail(format!(
        "comes from a height of {begin:.4} to {best:.4} at the best of {} rates in {STEPS} steps, not below {:.4}, with a parameter of the shape {shape:?}",
        RATES.len(),
        begin * landscape.left
    ));
}
