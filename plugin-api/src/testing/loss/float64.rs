//! Tests that results in float64 agree with those in float32.

use super::{
    super::{
        data::weights,
        instance,
        report::Report,
        tested::{or_report, Tested},
    },
    call, call_in, each, near, Ask, Call, Output,
};
use crate::{loss::LossInfo, Float};
use plugfit_abi as abi;

pub(super) fn same_as_single(tested: &Tested<'_>, report: &mut Report) {
    // SAFETY: `LOSS_V2` is the id of the table `LossV2`.
    let table = unsafe { instance::table::<abi::LossV2>(tested.subject.plugin, abi::LOSS_V2) };
    each(tested, report, |ready, report| {
        if !ready.info.float64 {
            return report.note("not tried: as it declares, it computes only in float32");
        }
        let function: Call = match &table {
            Ok(table) => table.call,
            Err(error) => return report.note(format!("not tried: {}", error.message())),
        };
        // Round the inputs to float32, so that only the computation differs.
        let batch = ready.batch.changed(|number| f64::from(number as f32));
        let upstream = weights((0..ready.output.values.len()).map(|i| 0.25 * i as f64));
        let plain = Ask::all(&ready.info);
        let weighted = Ask { upstream: Some(&upstream), scale: 3.0, ..Ask::all(&ready.info) };
        for (ask, with) in [(plain, ""), (weighted, " with weights")] {
            let single = or_report(report, format!("fails{with}"), call(&ready.instance, &ready.info, &batch, &ask));
            let double = call_in::<f64>(&ready.instance, function, &in_double(&ready.info), &batch, &ask);
            let double = or_report(report, format!("fails in float64{with}"), double);
            if let (Some(single), Some(double)) = (single, double) {
                compare(&single, &double, with, report);
            }
        }
    });
}

/// Returns the info with the input dtypes of a call in float64.
pub(super) fn in_double(info: &LossInfo) -> LossInfo {
    let dtypes = |index: usize| -> Vec<String> {
        let declared = info.dtypes.get(index).into_iter().flatten();
        declared.filter(|dtype| !dtype.starts_with("float")).cloned().chain(["float64".to_owned()]).collect()
    };
    LossInfo { dtypes: (0..info.inputs.len()).map(dtypes).collect(), ..info.clone() }
}

/// Compares the results in the two dtypes.
fn compare(single: &Output, double: &Output<f64>, with: &str, report: &mut Report) {
    // Another test reports non-finite results.
    let same = |single: f64, double: f64| near(double, single, 1e-3) || !single.is_finite();
    for (what, single, double) in
        [("value", &single.values, &double.values), ("derivative", &single.gradient, &double.gradient)]
    {
        let differs = |(single, double): (&f32, &f64)| !same(single.to_f64(), *double);
        if let Some(index) = single.iter().zip(double).position(differs) {
            return report.fail(format!(
                "gives the {what} {} at {index} in float64{with}, and {} in float32",
                double[index], single[index]
            ));
        }
    }
    report.check(same(single.totals.value, double.totals.value), || {
        let (single, double) = (single.totals.value, double.totals.value);
        format!("says that its values sum to {double} in float64{with}, and to {single} in float32")
    });
    report.check(same(single.totals.weight, double.totals.weight), || {
        let (single, double) = (single.totals.weight, double.totals.weight);
        format!("says that its weights sum to {double} in float64{with}, and to {single} in float32")
    });
}
