//! Tests for schedules.

use super::{
    formula::{compute, formula_of},
    instance::Instance,
    report::Report,
    tested::{or_report, Tested, Tests},
};
use crate::{error::into_result, Result};
use plugfit_abi::{self as abi, abi_stable::std_types::RStr};
use plugfit_formula::{Role, Shape};

pub const TESTS: Tests = &[
    ("finite", "the rate is a finite number at every step up to 2^53", finite),
    ("formula", "the formula computes the same rates", formula),
    ("not_negative", "no rate is negative, unless a setting is", not_negative),
];

/// Returns all small steps, and the steps next to each larger power of two.
fn steps() -> impl Iterator<Item = u64> {
    (0..130).chain((7..54).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]))
}

impl Instance<abi::ScheduleV1> {
    /// Returns the learning rate at a step.
    pub fn learning_rate(&self, step: u64, steps_per_epoch: i64) -> Result<f64> {
        let epoch = u64::try_from(steps_per_epoch).ok().filter(|&steps| steps > 0).map_or(0, |steps| step / steps);
        let call = abi::ScheduleCall { step, epoch, steps_per_epoch, extras: RStr::from_str("") };
        // SAFETY: the handle belongs to the table.
        into_result(unsafe { (self.table.learning_rate)(self.handle, &self.host, &call) })
    }
}

/// Returns the bits of the rates at all [`steps`].
pub fn bits(instance: &Instance<abi::ScheduleV1>) -> Result<Vec<u64>> {
    steps().map(|step| instance.learning_rate(step, abi::NONE).map(f64::to_bits)).collect()
}

/// Calls `f` with the rate at each step, with and without epochs, in every configuration.
fn rates(tested: &Tested<'_>, report: &mut Report, mut f: impl FnMut(u64, f64, &mut Report)) {
    tested.each_choice(report, |config, report| {
        let Some(instance) = tested.made::<abi::ScheduleV1>(config, report) else { return };
        for (step, per_epoch) in steps().flat_map(|step| [(step, abi::NONE), (step, 10)]) {
            let rate = instance.learning_rate(step, per_epoch);
            let Some(rate) = or_report(report, format!("fails at step {step}"), rate) else { return };
            f(step, rate, report);
        }
    });
}

fn finite(tested: &Tested<'_>, report: &mut Report) {
    rates(tested, report, |step, rate, report| {
        report.check(rate.is_finite(), || format!("has the rate {rate} at step {step}"));
    });
}

fn formula(tested: &Tested<'_>, report: &mut Report) {
    tested.each(report, |config, report| {
        let Some(instance) = tested.made::<abi::ScheduleV1>(config, report) else { return };
        let found = formula_of(tested, &instance, |table| table.schedule, Role::Schedule);
        let formula = match or_report(report, "fails", found) {
            Some(Ok(formula)) => formula,
            Some(Err(reason)) => return report.note(format!("not tried: there is no formula: {reason}")),
            None => return,
        };
        for step in steps() {
            let rate = instance.learning_rate(step, abi::NONE);
            let computed =
                compute(&formula, "learning_rate", &[("step", &[step as f64])], Shape { rows: 1, columns: 1 });
            let results = rate.and_then(|rate| Ok((rate, computed?[0])));
            let Some((rate, computed)) = or_report(report, format!("fails at step {step}"), results) else { return };
            if (rate - computed).abs() > 1e-9 * (1e-6 + rate.abs()) {
                return report.fail(format!("has the rate {rate} at step {step}, and its formula {computed}"));
            }
        }
    });
    report.notes.dedup();
}

fn not_negative(tested: &Tested<'_>, report: &mut Report) {
    rates(tested, report, |step, rate, report| {
        report.check(rate.is_nan() || rate >= 0.0, || format!("has the rate {rate} at step {step}"));
    });
}
