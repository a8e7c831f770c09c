//! Compares learning rate schedules with Keras.

use plugfit::Host;
use plugfit_api::schedule::When;
use plugfit_tests::golden::{Failures, cases, file, near, number};
use serde_json::Value;

fn check(host: &Host, case: &Value) -> Result<(), String> {
    let schedule = host.schedule(case["identifier"].clone()).map_err(|error| error.to_string())?;
    let values: Vec<f64> = case["values"].as_array().unwrap().iter().map(number).collect();
    let initial = values[0].abs();
    for (step, expected) in case["steps"].as_array().unwrap().iter().zip(&values) {
        let step = step.as_u64().unwrap();
        let when = When { step, epoch: 0, steps_per_epoch: None };
        let found = schedule.learning_rate(&when).map_err(|error| error.to_string())?;
        if !near(found, *expected, 1e-5 * initial, 1e-6) {
            return Err(format!("at step {step} the rate is {found}, not {expected}"));
        }
    }
    Ok(())
}

#[test]
fn schedules_match_keras() {
    let (host, file) = (Host::new(), file("schedules"));
    let mut failures = Failures::default();
    for case in cases(&file, "cases", &[]) {
        failures.add(&case["id"], check(&host, case));
    }
    failures.finish(33);
}
