//! What holds for components of every kind.

use super::{
    examples, fences,
    report::Report,
    trial::{or_report, Tests, Trial},
};
use crate::Error;
use plugfit_abi as abi;
use serde_json::{json, Value};

pub const TESTS: Tests = &[
    ("examples", "what it says that it gives, it gives", examples::check),
    ("config", "a configuration that is written and read is the same", round_trip),
    ("unknown_key", "a setting that it doesn't have is refused, by its name", unknown_key),
    ("mistyped", "a value of another type is refused, with the key's path", mistyped),
    ("bounds", "at its bounds a number is taken, beyond them refused, and nothing panics", bounds),
    ("again", "the same instance gives the same again, to the bit", again),
    ("instances", "no instance changes what another gives", instances),
    ("threads", "8 threads at once give what one gives, to the bit", threads),
    ("overhead", "a call costs little", overhead),
    ("inputs", "inputs are read and never written to", fences::inputs),
    ("buffers", "nothing before or behind a buffer is written, and nothing there is read", fences::buffers),
];

fn round_trip(trial: &Trial<'_>, report: &mut Report) {
    trial.each(report, |config, report| {
        let Some(made) = or_report(report, "can't be made", trial.described(config)) else { return };
        let Some(written) = or_report(report, "can't write its configuration", made.config()) else { return };
        let again = trial.described(&written).and_then(|again| again.config());
        if let Some(again) = or_report(report, format!("can't read the configuration that it wrote, {written}"), again)
        {
            report.that(again == written, || format!("reads {written} and writes {again}"));
        }
        for field in trial.fields() {
            let name = field["name"].as_str().unwrap_or_default();
            report.that(written.get(name).is_some(), || format!("doesn't write {name} into its configuration"));
            if let (None, Some(default), Some(own)) = (config.get(name), field.get("default"), written.get(name)) {
                report.that(is_default(field, own, default), || {
                    format!("has {own} for {name} where none is given, and says that the default is {default}")
                });
            }
        }
        let info = or_report(report, "can't describe itself", made.info());
        report.that(info.is_none_or(|info| info.is_object()), || "describes itself by what is no JSON object".into());
    });
}

/// Whether a value that was written is the default; a nested component's default is written out.
fn is_default(field: &Value, written: &Value, default: &Value) -> bool {
    match (field["type"].as_str(), written.as_f64(), default.as_f64()) {
        // What is kept as float32 is written as it is kept.
        (_, Some(written), Some(default)) => (written - default).abs() <= 1e-6 * default.abs(),
        (Some("identifier" | "object" | "any"), ..) => true,
        _ => written == default,
    }
}

/// That this configuration is refused as one, for the sake of this key.
fn refused(trial: &Trial<'_>, config: &Value, key: &str, report: &mut Report) {
    match trial.described(config) {
        Ok(_) => report.fail(format!("takes {key} = {}", config[key])),
        Err(error) => refusal(&error, key, &config[key], |field| field.split('.').next() == Some(key), report),
    }
}

/// That an error is one of the configuration, and names a key that may be named.
fn refusal(error: &Error, key: &str, value: &Value, may_name: impl Fn(&str) -> bool, report: &mut Report) {
    if error.kind() != abi::ERROR_CONFIG {
        report.error(format!("refuses {key} = {value}, but not as a configuration"), error);
    } else if !error.field().is_some_and(may_name) {
        report.error(format!("refuses {key} = {value} without saying which key it is"), error);
    }
}

fn unknown_key(trial: &Trial<'_>, report: &mut Report) {
    let mut config = trial.config().unwrap_or_else(|| json!({}));
    config["no such setting"] = json!(1);
    refused(trial, &config, "no such setting", report);
}

fn mistyped(trial: &Trial<'_>, report: &mut Report) {
    let base = trial.config().unwrap_or_else(|| json!({}));
    for field in trial.fields() {
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
        for value in wrong {
            let mut config = base.clone();
            config[name] = value;
            refused(trial, &config, name, report);
        }
        if field["choices"].as_array().is_some_and(|choices| !choices.is_empty()) {
            let mut config = base.clone();
            config[name] = json!("no such choice");
            refused(trial, &config, name, report);
        }
    }
}

fn bounds(trial: &Trial<'_>, report: &mut Report) {
    let base = trial.config().unwrap_or_else(|| json!({}));
    for field in trial.fields() {
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
            usable(trial, &with(number), name, report);
        }
        for number in [bound("above").map(|above| above + step(above)), bound("below").map(|below| below - step(below))]
        {
            number.into_iter().for_each(|number| usable(trial, &with(number), name, report));
        }
        let beyond =
            [bound("minimum").map(|least| least - step(least)), bound("maximum").map(|most| most + step(most))];
        for number in beyond.into_iter().chain([bound("above"), bound("below")]).flatten() {
            refused(trial, &with(number), name, report);
        }
        // What nobody would write. Two keys that can't be together may be told by either.
        let huge = if whole { i64::MAX as f64 } else { 1e300 };
        for number in [-huge, huge] {
            if let Err(error) = trial.described(&with(number)) {
                refusal(&error, name, &with(number)[name], |field| !field.is_empty(), report);
            }
        }
    }
}

/// That it can be made so, or refuses the key; and that nothing panics.
fn usable(trial: &Trial<'_>, config: &Value, key: &str, report: &mut Report) {
    match trial.bits(config) {
        Err(error) if error.kind() == abi::ERROR_PANIC => report.error(format!("at {key} = {}", config[key]), &error),
        // What can't be together with the other settings is refused by a check of its own.
        Err(error) if error.kind() == abi::ERROR_CONFIG && error.field().is_none() => {
            report.error(format!("refuses {key} = {} without saying which key it is", config[key]), &error);
        }
        _ => {}
    }
}

fn again(trial: &Trial<'_>, report: &mut Report) {
    trial.each(report, |config, report| {
        let both = trial.with_bits(config, |bits| Ok((bits()?, bits()?)));
        if let Some((first, second)) = or_report(report, "fails", both) {
            report.that(first == second, || "gives other numbers the second time".into());
        }
    });
}

fn instances(trial: &Trial<'_>, report: &mut Report) {
    let configs = trial.configs();
    let Some(base) = configs.first() else { return };
    let between = trial.with_bits(base, |bits| {
        let before = bits()?;
        for other in &configs {
            let _ = trial.bits(other);
        }
        Ok((before, bits()?, trial.bits(base)?))
    });
    if let Some((before, after, new)) = or_report(report, "fails", between) {
        report.that(before == after, || "gives other numbers once another instance was at work".into());
        report.that(before == new, || "gives other numbers from a second instance of the same configuration".into());
    }
}

fn threads(trial: &Trial<'_>, report: &mut Report) {
    let Some(config) = trial.config() else { return };
    let run = trial.with_bits(&config, |bits| {
        let expected = bits()?;
        let strayed = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..25).find(|_| bits().as_ref() != Ok(&expected)))).collect();
            // A thread of this test panics only where a plug-in unwinds through the boundary.
            threads.into_iter().any(|thread| thread.join().map_or(true, |strayed| strayed.is_some()))
        });
        Ok(strayed)
    });
    if let Some(strayed) = or_report(report, "fails", run) {
        report.that(!strayed, || "gives other numbers, or fails, where 8 threads use it at once".into());
    }
}

/// The time of a small call that a person would notice in a loop over batches.
const SLOW: std::time::Duration = std::time::Duration::from_millis(2);

fn overhead(trial: &Trial<'_>, report: &mut Report) {
    let Some(config) = trial.config() else { return };
    let timed = trial.with_bits(&config, |bits| {
        bits()?;
        let mut least = std::time::Duration::MAX;
        for _ in 0..10 {
            let start = std::time::Instant::now();
            bits()?;
            // What else the machine does takes nothing away.
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
