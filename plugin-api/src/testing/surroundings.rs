//! Tests that a component leaves the surroundings of the process unchanged, such as signal handlers and file
//! descriptors.

use super::{report::Report, subject::Surroundings, tested::Tested};
use std::{collections::BTreeMap, hint::black_box};

/// The names and descriptions of the tests.
pub const TESTS: [(&str, &str); 5] = [
    (FLOAT_MODE, "no call changes the floating-point mode: the rounding and subnormal numbers"),
    ("signals", "no call installs, removes or blocks a signal handler"),
    ("directory", "no call changes the working directory"),
    ("umask", "no call changes the umask"),
    ("descriptors", "no call closes or replaces a file descriptor, or leaves one open in every run"),
];

/// The test that a single thread can run; the others concern the whole process.
pub const FLOAT_MODE: &str = "float_mode";

/// Returns the floating-point mode of this thread. It is measured by arithmetic, so that it works on every machine. An
/// unmasked floating-point exception ends the process here.
pub fn float_mode() -> BTreeMap<String, String> {
    let subnormal = black_box(f32::MIN_POSITIVE) * black_box(0.5);
    let doubled = black_box(f32::from_bits(1)) * black_box(2.0);
    let of = |kept: bool| if kept { "kept" } else { "flushed to zero" }.to_owned();
    let third = black_box(1.0_f32) / black_box(3.0);
    let negative = black_box(-1.0_f32) / black_box(3.0);
    let rounding = match (third.to_bits(), negative.to_bits()) {
        (0x3eaa_aaab, 0xbeaa_aaab) => "to nearest",
        (0x3eaa_aaaa, 0xbeaa_aaaa) => "toward zero",
        (0x3eaa_aaab, _) => "upward",
        _ => "downward",
    };
    // Trigger the exceptions for invalid operations and division by zero, which the results can't show.
    black_box((black_box(0.0_f32) / black_box(0.0), black_box(1.0_f32) / black_box(0.0)));
    BTreeMap::from([
        ("rounding".to_owned(), rounding.to_owned()),
        ("subnormal results".to_owned(), of(subnormal != 0.0)),
        ("subnormal operands".to_owned(), of(doubled != 0.0)),
    ])
}

/// Returns the failures of a test: the differences between two observations of the surroundings.
pub fn changes(test: &str, before: &Surroundings, after: &Surroundings) -> Vec<String> {
    let (Some(before), Some(after)) = (before.get(test), after.get(test)) else { return Vec::new() };
    let of = |was: Option<&String>, is: Option<&String>, name: &str| match (test, was, is) {
        (_, was, is) if was == is => None,
        ("descriptors", Some(was), None) => Some(format!("closes descriptor {name}, which is {was}")),
        ("descriptors", Some(was), Some(is)) => Some(format!("makes descriptor {name}, which was {was}, {is}")),
        // A second run shows whether it stays open.
        ("descriptors", None, _) => None,
        (_, was, is) => {
            let (was, is) = (was.map_or("nothing", String::as_str), is.map_or("nothing", String::as_str));
            Some(format!("changes the {name}: it was {was}, and is {is}"))
        }
    };
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter_map(|name| of(before.get(name), after.get(name), name)).collect()
}

/// Describes the first descriptor that is new, if there is one.
fn opened(before: &Surroundings, after: &Surroundings) -> Option<String> {
    let (before, after) = (before.get("descriptors")?, after.get("descriptors")?);
    let (name, what) = after.iter().find(|(name, _)| !before.contains_key(*name))?;
    Some(format!("leaves descriptor {name} open, {what}"))
}

/// Creates and calls an instance of every configuration, ignoring failures, which other tests report.
///
/// # Errors
/// Returns a report with the reason if the component can't be tested.
fn exercise(tested: &Tested<'_>) -> Result<(), Report> {
    let mut report = Report::default();
    if !tested.can_be_tried(&mut report) {
        return Err(report);
    }
    for config in tested.configs() {
        if let Ok(instance) = tested.described(&config) {
            let _ = (instance.config(), instance.info());
        }
        let _ = tested.thorough_bits(&config);
    }
    Ok(())
}

/// Returns the failures of [`FLOAT_MODE`]. It runs `exercise` in a separate thread, because the mode belongs to the
/// thread.
fn float_mode_failures(exercise: impl FnOnce() -> Result<(), Report> + Send) -> Result<Vec<String>, Report> {
    let observe = || Surroundings::from([(FLOAT_MODE, float_mode())]);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let before = observe();
            exercise()?;
            Ok(changes(FLOAT_MODE, &before, &observe()))
        });
        thread.join().unwrap_or_else(|_| Ok(vec!["unwinds through the boundary".into()]))
    })
}

/// Runs these tests at once, because a later run wouldn't show what the first run has changed.
pub fn run(tested: &Tested<'_>, tests: &[&str]) -> Vec<Report> {
    let mut reports = vec![Report::default(); tests.len()];
    let Some(observe) = tested.subject.observe else {
        let found = float_mode_failures(|| exercise(tested));
        let found = match found {
            Ok(found) => found,
            Err(report) => return vec![report; tests.len()],
        };
        for (test, report) in tests.iter().zip(&mut reports) {
            match *test {
                FLOAT_MODE => found.iter().for_each(|text| report.fail(text)),
                _ => report.note("not tried: `plugfit check` tries it, in a process of its own"),
            }
        }
        return reports;
    };
    let before = observe();
    if let Err(report) = exercise(tested) {
        return vec![report; tests.len()];
    }
    let after = observe();
    // A descriptor that is opened once may stay open. One that a second run opens too is a leak.
    let leak = opened(&before, &after).and_then(|_| {
        exercise(tested).ok()?;
        opened(&after, &observe())
    });
    for (test, report) in tests.iter().zip(&mut reports) {
        if !after.contains_key(test) {
            report.note("not tried: this system can't tell");
        }
        changes(test, &before, &after).iter().for_each(|text| report.fail(text));
        if let ("descriptors", Some(leak)) = (*test, &leak) {
            report.fail(leak);
        }
    }
    reports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_thread_has_the_default_floating_point_mode() {
        let mode = float_mode();
        assert_eq!(mode["rounding"], "to nearest");
        assert_eq!((mode["subnormal results"].as_str(), mode["subnormal operands"].as_str()), ("kept", "kept"));
    }

    #[test]
    fn a_panic_is_a_failure_of_the_float_mode() {
        assert_eq!(float_mode_failures(|| Ok(())).unwrap(), [""; 0]);
        assert_eq!(float_mode_failures(|| panic!("told to")).unwrap(), ["unwinds through the boundary"]);
    }

    #[test]
    fn a_change_is_reported_with_both_states() {
        let look = |test, name: &str, value: &str| {
            Surroundings::from([(test, BTreeMap::from([(name.to_owned(), value.to_owned())]))])
        };
        let found = changes("umask", &look("umask", "umask", "0022"), &look("umask", "umask", "0000"));
        assert_eq!(found, ["changes the umask: it was 0022, and is 0000"]);
        let none = Surroundings::from([("descriptors", BTreeMap::new())]);
        let one = look("descriptors", "5", "/dev/null");
        assert_eq!(changes("descriptors", &one, &none), ["closes descriptor 5, which is /dev/null"]);
        assert_eq!(changes("descriptors", &none, &one), [""; 0]);
        assert_eq!(opened(&none, &one).unwrap(), "leaves descriptor 5 open, /dev/null");
    }
}
