//! What a process has besides its memory, which a component must leave as it was.

use super::{report::Report, trial::Trial};
use std::{collections::BTreeMap, hint::black_box};

/// For each test of the surroundings, what was there, by a name.
pub type Surroundings = BTreeMap<&'static str, BTreeMap<String, String>>;

/// Gives the surroundings of this process as they are. What the system can't tell is left out.
pub type Observe = fn() -> Surroundings;

/// The floating-point mode, the working directory, and so on, each with what holds where nothing changes it.
pub const TESTS: [(&str, &str); 5] = [
    (FLOAT_MODE, "rounding and subnormal numbers are as they were: no call changes the floating-point mode"),
    ("signals", "no call installs, removes or blocks a signal handler"),
    ("directory", "no call changes the working directory"),
    ("umask", "no call changes the umask"),
    ("descriptors", "no call closes or replaces a file descriptor, or leaves more open with every run"),
];

/// The test that a thread can be put to; all others are of a whole process.
pub const FLOAT_MODE: &str = "float_mode";

/// How this thread calculates: as numbers show, so that it is the same on every machine. What traps ends the process here.
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
    // A trap for one of these is no mode that numbers show.
    black_box((black_box(0.0_f32) / black_box(0.0), black_box(1.0_f32) / black_box(0.0)));
    BTreeMap::from([
        ("rounding".to_owned(), rounding.to_owned()),
        ("subnormal results".to_owned(), of(subnormal != 0.0)),
        ("subnormal operands".to_owned(), of(doubled != 0.0)),
    ])
}

/// What one test says of two looks at the surroundings.
pub fn changes(test: &str, before: &Surroundings, after: &Surroundings) -> Vec<String> {
    let (Some(before), Some(after)) = (before.get(test), after.get(test)) else { return Vec::new() };
    let of = |was: Option<&String>, is: Option<&String>, name: &str| match (test, was, is) {
        (_, was, is) if was == is => None,
        ("descriptors", Some(was), None) => Some(format!("closes descriptor {name}, which is {was}")),
        ("descriptors", Some(was), Some(is)) => Some(format!("makes descriptor {name}, which was {was}, {is}")),
        // Whether it stays open is told by a second run.
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

/// The descriptors that are there now and weren't, if there are any.
fn opened(before: &Surroundings, after: &Surroundings) -> Option<String> {
    let (before, after) = (before.get("descriptors")?, after.get("descriptors")?);
    let (name, what) = after.iter().find(|(name, _)| !before.contains_key(*name))?;
    Some(format!("leaves descriptor {name} open, {what}"))
}

/// Makes and uses every configuration; gives what keeps it from being tried. What fails is another test's finding.
fn exercise(trial: &Trial<'_>) -> Result<(), Report> {
    let mut report = Report::default();
    if !trial.can_be_tried(&mut report) {
        return Err(report);
    }
    for config in trial.configs() {
        if let Ok(made) = trial.described(&config) {
            let _ = (made.config(), made.info());
        }
        let _ = trial.thorough_bits(&config);
    }
    Ok(())
}

/// Runs these tests at once, as what one run changes the next can't.
pub fn run(trial: &Trial<'_>, tests: &[&str]) -> Vec<Report> {
    let mut reports = vec![Report::default(); tests.len()];
    let Some(observe) = trial.subject.observe else {
        // A mode is of its thread, and ends with it.
        let found = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let look = || Surroundings::from([(FLOAT_MODE, float_mode())]);
                let before = look();
                exercise(trial)?;
                Ok(changes(FLOAT_MODE, &before, &look()))
            });
            thread.join().unwrap_or(Ok(Vec::new()))
        });
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
    if let Err(report) = exercise(trial) {
        return vec![report; tests.len()];
    }
    let after = observe();
    // What is made once may stay open; what is opened by each run is never closed.
    let leak = opened(&before, &after).and_then(|_| {
        exercise(trial).ok()?;
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
    fn numbers_show_the_mode_that_threads_begin_with() {
        let mode = float_mode();
        assert_eq!(mode["rounding"], "to nearest");
        assert_eq!((mode["subnormal results"].as_str(), mode["subnormal operands"].as_str()), ("kept", "kept"));
    }

    #[test]
    fn a_change_is_told_with_what_was_and_what_is() {
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
