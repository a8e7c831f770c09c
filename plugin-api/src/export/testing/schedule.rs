//! What holds for schedules.

use super::{
    made::{back, Made},
    report::Report,
    trial::{or_report, Tests, Trial},
};
use crate::Result;
use plugfit_abi::{self as abi, abi_stable::std_types::RStr};

pub const TESTS: Tests = &[
    ("finite", "the rate is a finite number at every step up to 2^53", finite),
    ("not_negative", "no rate is negative, unless a setting is", not_negative),
];

/// Small steps, and a few from each power of two on.
fn steps() -> impl Iterator<Item = u64> {
    (0..130).chain((7..54).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]))
}

impl Made<abi::ScheduleV1> {
    pub fn learning_rate(&self, step: u64, steps_per_epoch: i64) -> Result<f64> {
        let epoch = u64::try_from(steps_per_epoch).ok().filter(|&steps| steps > 0).map_or(0, |steps| step / steps);
        let call = abi::ScheduleCall { step, epoch, steps_per_epoch, extras: RStr::from_str("") };
        // SAFETY: the handle belongs to this table.
        back(unsafe { (self.table.learning_rate)(self.handle, &self.host, &call) })
    }
}

pub fn bits(made: &Made<abi::ScheduleV1>) -> Result<Vec<u64>> {
    steps().map(|step| made.learning_rate(step, abi::NONE).map(f64::to_bits)).collect()
}

fn rates(trial: &Trial<'_>, report: &mut Report, mut f: impl FnMut(u64, f64, &mut Report)) {
    trial.each_choice(report, |config, report| {
        let Some(made) = or_report(report, "can't be made", trial.made::<abi::ScheduleV1>(config)) else { return };
        for (step, per_epoch) in steps().flat_map(|step| [(step, abi::NONE), (step, 10)]) {
            let rate = made.learning_rate(step, per_epoch);
            let Some(rate) = or_report(report, format!("fails at step {step}"), rate) else { return };
            f(step, rate, report);
        }
    });
}

fn finite(trial: &Trial<'_>, report: &mut Report) {
    rates(trial, report, |step, rate, report| {
        report.that(rate.is_finite(), || format!("has the rate {rate} at step {step}"));
    });
}

fn not_negative(trial: &Trial<'_>, report: &mut Report) {
    rates(trial, report, |step, rate, report| {
        report.that(rate.is_nan() || rate >= 0.0, || format!("has the rate {rate} at step {step}"));
    });
}
