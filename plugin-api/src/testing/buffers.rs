//! Tests that no call writes to its inputs, or reads or writes outside a buffer.

use super::{
    fences::{AllocateGuarded, Fences, GUARDED},
    report::Report,
    subject::Subject,
    tested::Tested,
};
use crate::Result;
use std::sync::{atomic::Ordering, Mutex, PoisonError};

/// Margin bytes. As floats they are numbers such as 0.75 and -787, which show in a sum; as integers they are no valid
/// class.
const FILLS: [u8; 2] = [0x3f, 0xc4];

/// Runs all configurations with margins of this byte, and returns the bits of the results.
fn run(
    tested: &Tested<'_>,
    allocate_guarded: Option<AllocateGuarded>,
    fill: u8,
) -> (Vec<Result<Vec<u64>>>, &'static Fences) {
    let fences = Fences::leaked(allocate_guarded, fill);
    let fenced = tested.with_subject(Subject { fences: Some(fences), ..tested.subject });
    (fenced.configs().iter().map(|config| fenced.thorough_bits(config)).collect(), fences)
}

/// Reports violations as failures.
fn into_report(found: &Mutex<Vec<String>>, report: &mut Report) {
    found.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|text| report.fail(text));
}

pub fn inputs(tested: &Tested<'_>, report: &mut Report) {
    let (_, fences) = run(tested, None, 0);
    into_report(&fences.written, report);
}

pub fn buffers(tested: &Tested<'_>, report: &mut Report) {
    let [(one, fences), (other, more)] = FILLS.map(|fill| run(tested, None, fill));
    into_report(&fences.beyond, report);
    into_report(&more.beyond, report);
    report.check(one == other, || "gives other numbers where other bytes lie around its buffers".into());
    if let (Some(allocate), true) = (tested.subject.allocate_guarded, report.failures.is_empty()) {
        if tested.subject.reports_to_parent {
            eprintln!("{GUARDED}");
        }
        let (_, fences) = run(tested, Some(allocate), FILLS[0]);
        into_report(&fences.beyond, report);
        if fences.is_unguarded.load(Ordering::Relaxed) {
            report.warn("has buffers that didn't end at guard pages: the system had no memory for them");
        }
    }
}
