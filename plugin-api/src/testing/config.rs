//! Tests for components of every kind: configuration, repeatability, threads and buffers.

use super::{
    buffers, examples,
    report::Report,
    tested::{or_report, Tested, Tests},
};
use crate::Error;
use plugfit_abi as abi;
use serde_json::{json, Value};

pub const TESTS: Tests = &[
    ("examples", "each example gives the result that it declares", examples::check),
    ("config", "a configuration is the same after it is written and read", round_trip),
    ("unknown_key", "an unknown setting is refused, and the error names it", unknown_key),
    ("mistyped", "a value of the wrong type is refused, and the error names the setting", mistyped),
    ("bounds", "numbers at the bounds are accepted, numbers beyond them refused, and nothing panics", bounds),
    ("again", "the same instance gives the same bits again", again),
    ("instances", "no instance changes the results of another", instances),
    ("threads", "8 threads at once get the same bits as one", threads),
    ("overhead", "a call for a dozen rows is fast", overhead),
    ("inputs", "no call writes to its inputs", buffers::inputs),
    ("buffers", "no call reads or writes outside a buffer", buffers::buffers),
];

fn round_trip(tested: &Tested<'_>, report: &mut Report) {
    tested.each(report, |config, report| {
        let Some(instance) = or_report(report, "can't be made", tested.described(config)) else { return };
        let Some(written) = or_report(report, "can't write its configuration", instance.config()) else { return };
        let again = tested.described(&written).and_then(|again| again.config());
        if let Some(again) = or_report(report, format!("can't read the configuration that it wrote, {written}"), again)
        {
            report.check(again == written, || format!("reads {written} and writes {again}"));
        }
        for field in tested.fields() {
            let name = field["name"].as_str().unwrap_or_default();
            report.check(written.get(name).is_some(), || format!("doesn't write {name} into its configuration"));
            if let (None, Some(default), Some(actual)) = (config.get(name), field.get("default"), written.get(name)) {
                report.check(is_default(field, actual, default), || {
                    format!("has {actual} for {name} where none is given, and says that the default is {default}")
                });
            }
        }
        let info = or_report(report, "can't describe itself", instance.info());
        report.check(info.is_none_or(|info| info.is_object()), || {
            "describes itself by a value that isn't a JSON object".into()
        });
    });
}

/// Returns whether a written value is the default. The default of a nested component is written in full, so any value
/// passes.
fn is_default(field: &Value, written: &Value, default: &Value) -> bool {
    match (field["type"].as_str(), written.as_f64(), default.as_f64()) {
        // A component may store the value as float32.
        (_, Some(written), Some(default)) => (written - default).abs() <= 1e-6 * default.abs(),
        (Some("identifier" | "object" | "any"), ..) => true,
        _ => written == default,
    }
}

/// Checks that the component rejects the configuration because of this key.
fn expect_rejection(tested: &Tested<'_>, config: &Value, key: &str, report: &mut Report) {
    match tested.described(config) {
        Ok(_) => report.fail(format!("takes {key} = {}", config[key])),
        Err(error) => check_rejection(&error, key, &config[key], |field| field.split('.').next() == Some(key), report),
    }
}

/// Checks that an error is a configuration error and names an acceptable key.
fn check_rejection(error: &Error, key: &str, value: &Value, may_name: impl Fn(&str) -> bool, report: &mut Report) {
    if error.kind() != abi::ERROR_CONFIG {
        report.error(format!("refuses {key} = {value}, but not as a configuration"), error);
    } else if !error.field().is_some_and(may_name) {
        report.error(format!("refuses {key} = {value} without saying which key it is"), error);
    }
}

fn unknown_key(tested: &Tested<'_>, report: &mut Report) {
    let mut config = tested.config().unwrap_or_else(|| json!({}));
    config["no such setting"] = json!(1);
    expect_rejection(tested, &config, "no such setting", report);
}

fn mistyped(tested: &Tested<'_>, report: &mut Report) {
    let base = tested.config().unwrap_or_else(|| json!({}));
    for field in tested.fields() {
        let name = field["name"].as_str().unwrap_or_default();
        let wrong = match field["type"].as_str() {
            Some("number") => vec![json!("a text"), json!([1.0]), json!({}), json!(true)],
            Some("integer") => vec![json!("a text"), json!(1.5), json!({}), json!(true)],
            Some("boolean") => vec![json!("a text"), json!(1), json!([])],
            Some("string") => vec![json!(1), json!([]), json!({})],
            Some("array") => vec![json!("a text"), json!(1), json!({})],
            Some("object") => vec![json!("a text"), json!(1), json!([])],
            Some("identifier") => vec![json!(1), json!([])],
            _ => Vec::new(),
        };
        let has_choices = field["choices"].as_array().is_some_and(|choices| !choices.is_empty());
        for value in wrong.into_iter().chain(has_choices.then(|| json!("no such choice"))) {
            let mut config = base.clone();
            config[name] = value;
            expect_rejection(tested, &config, name, report);
        }
    }
}

fn bounds(tested: &Tested<'_>, report: &mut Report) {
    let base = tested.config().unwrap_or_else(|| json!({}));
    for field in tested.fields() {
        let (name, whole) = (field["name"].as_str().unwrap_or_default(), field["type"] == "integer");
        if !matches!(field["type"].as_str(), Some("number" | "integer")) {
            continue;
        }
        let with = |number: f64| {
            let mut config = base.clone();
            config[name] = if whole { json!(number as i64) } else { json!(number) };
            config
        };
        let step = |bound: f64| if whole { 1.0 } else { bound.abs().max(1.0) * 1e-3 };
        let bound = |key: &str| field[key].as_f64();
        for number in [bound("minimum"), bound("maximum")].into_iter().flatten() {
            usable(tested, &with(number), name, report);
        }
        for number in [bound("above").map(|above| above + step(above)), bound("below").map(|below| below - step(below))]
        {
            number.into_iter().for_each(|number| usable(tested, &with(number), name, report));
        }
        let beyond =
            [bound("minimum").map(|least| least - step(least)), bound("maximum").map(|most| most + step(most))];
        for number in beyond.into_iter().chain([bound("above"), bound("below")]).flatten() {
            expect_rejection(tested, &with(number), name, report);
        }
        // Extreme values. An error about two keys in conflict may name either of them.
        let huge = if whole { i64::MAX as f64 } else { 1e300 };
        for number in [-huge, huge] {
            if let Err(error) = tested.described(&with(number)) {
                check_rejection(&error, name, &with(number)[name], |field| !field.is_empty(), report);
            }
        }
    }
}

/// Checks that an instance can be created and called, or that the error names a key; and that nothing panics.
fn usable(tested: &Tested<'_>, config: &Value, key: &str, report: &mut Report) {
    match tested.bits(config) {
        Err(error) if error.kind() == abi::ERROR_PANIC => report.error(format!("at {key} = {}", config[key]), &error),
        // The component may reject a combination of settings, if the error names a key.
        Err(error) if error.kind() == abi::ERROR_CONFIG && error.field().is_none() => {
            report.error(format!("refuses {key} = {} without saying which key it is", config[key]), &error);
        }
        _ => {}
    }
}

fn again(tested: &Tested<'_>, report: &mut Report) {
    tested.each(report, |config, report| {
        let both = tested.with_bits(config, |bits| Ok((bits()?, bits()?)));
        if let Some((first, second)) = or_report(report, "fails", both) {
            report.check(first == second, || "gives other numbers the second time".into());
        }
    });
}

fn instances(tested: &Tested<'_>, report: &mut Report) {
    let configs = tested.configs();
    let Some(base) = configs.first() else { return };
    let between = tested.with_bits(base, |bits| {
        let before = bits()?;
        for other in &configs {
            let _ = tested.bits(other);
        }
        Ok((before, bits()?, tested.bits(base)?))
    });
    if let Some((before, after, new)) = or_report(report, "fails", between) {
        report.check(before == after, || "gives other numbers once another instance was at work".into());
        report.check(before == new, || "gives other numbers from a second instance of the same configuration".into());
    }
}

fn threads(tested: &Tested<'_>, report: &mut Report) {
    let Some(config) = tested.config() else { return };
    let run = tested.with_bits(&config, |bits| {
        let expected = bits()?;
        let differs = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..25).find(|_| bits().as_ref() != Ok(&expected)))).collect();
            // A thread of this test panics only if a plug-in unwinds through the boundary.
            threads.into_iter().any(|thread| thread.join().map_or(true, |differs| differs.is_some()))
        });
        Ok(differs)
    });
    if let Some(differs) = or_report(report, "fails", run) {
        report.check(!differs, || "gives other numbers, or fails, where 8 threads use it at once".into());
    }
}

/// The time of a small call that users would notice in a loop over batches.
const SLOW: std::time::Duration = std::time::Duration::from_millis(2);

fn overhead(tested: &Tested<'_>, report: &mut Report) {
    let Some(config) = tested.config() else { return };
    let timed = tested.with_bits(&config, |bits| {
        bits()?;
        let mut least = std::time::Duration::MAX;
        for _ in 0..10 {
            let start = std::time::Instant::now();
            bits()?;
            // The minimum excludes other load on the machine.
            least = least.min(start.elapsed());
        }
        Ok(least)
    });
    match timed {
        Ok(each) if each > SLOW => report.warn(format!("takes {each:.1?} for a dozen rows")),
        Ok(_) => {}
        Err(error) => report.error("fails", &error),
    }
}
