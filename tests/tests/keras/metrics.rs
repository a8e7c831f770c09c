//! Compares metrics with Keras.

use plugfit::{Host, component::Metric};
use plugfit_api::metric::Outcome;
use plugfit_tests::golden::{Array, Failures, cases, file, near};
use serde_json::Value;

/// Cases that deliberately differ from Keras, with the reason.
const DIFFERENCES: [(&str, &str); 10] = [
    ("RootMeanSquaredError/3d/mask*", "the mask counts, as it does for every other metric"),
    ("PearsonCorrelation/axis=0", "all samples are correlated, whatever batches they come in, not each batch"),
    ("PearsonCorrelation/1d", "the same"),
    ("ConcordanceCorrelation/axis=0", "the same"),
    ("ConcordanceCorrelation/1d", "the same"),
    ("CosineSimilarity/axis=0", "the same"),
    ("R2Score/num_regressors=2*", "rows are counted, not numbers, as Keras 3.16 does"),
    ("R2Score/class_aggregation=None,num_regressors=1*", "the same"),
    ("IoU/float-weight", "weights aren't cut to whole numbers"),
    ("AUC/multi_label/thresholds", "a label of which a class is missing has no area; Keras counts it as 0"),
];

/// A batch of a case.
struct Batch {
    values: Option<Array>,
    y_true: Option<Array>,
    y_pred: Option<Array>,
    weight: Option<Array>,
    mask: Option<Array>,
}

impl Batch {
    fn read(batch: &Value) -> Self {
        let read = |key: &str| Array::read(&batch[key]);
        let (weight, mask) = (read("sample_weight"), read("mask"));
        Batch { values: read("values"), y_true: read("y_true"), y_pred: read("y_pred"), weight, mask }
    }

    fn update(&self, metric: &mut Metric) -> Result<(), String> {
        let weight = self.weight.as_ref().map(|weight| weight.tensor(None));
        let mask = self.mask.as_ref().map(Array::mask);
        let dtypes = metric.info().dtypes.clone();
        let updated = match (&self.values, &self.y_true, &self.y_pred) {
            (Some(values), ..) => metric.update_values(values.tensor(None), weight, mask),
            (None, Some(y_true), Some(y_pred)) => {
                metric.update_state(y_true.tensor(dtypes.first()), y_pred.tensor(dtypes.get(1)), weight, mask)
            }
            _ => return Err("a batch without data".into()),
        };
        updated.map_err(|error| error.to_string())
    }
}

fn compare(metric: &Metric, expected: &Value, what: &str) -> Result<(), String> {
    let expected = Array::read(expected).ok_or("no result")?;
    let (shape, values) = match metric.result().map_err(|error| error.to_string())? {
        // Keras returns 0 or NaN for an undefined result.
        Outcome::Undefined if expected.values.iter().all(|&value| value == 0.0 || value.is_nan()) => return Ok(()),
        Outcome::Undefined => return Err(format!("{what} is undefined, not {:?}", expected.values)),
        Outcome::Scalar(value) => (Vec::new(), vec![value]),
        Outcome::Array { shape, values } => (shape, values),
        Outcome::Named(_) => return Err("named values".into()),
    };
    if shape.iter().map(|&length| length as i64).ne(expected.shape.iter().copied()) {
        return Err(format!("{what} has the shape {shape:?}, not {:?}", expected.shape));
    }
    match values.iter().zip(&expected.values).find(|(found, expected)| !near(**found, **expected, 1e-6, 1e-5)) {
        Some((found, expected)) => Err(format!("{what} is {found}, not {expected}")),
        None => Ok(()),
    }
}

fn check(host: &Host, case: &Value) -> Result<(), String> {
    let new = || host.metric(case["identifier"].clone()).map_err(|error| error.to_string());
    let batches: Vec<Batch> = case["batches"].as_array().unwrap().iter().map(Batch::read).collect();
    let mut metric = new()?;
    for (i, batch) in batches.iter().enumerate() {
        batch.update(&mut metric)?;
        compare(&metric, &case["results"][i], &format!("result {i}"))?;
    }
    let saved = metric.get_state().map_err(|error| error.to_string())?;
    metric.reset_state().map_err(|error| error.to_string())?;
    compare(&metric, &case["after_reset"], "after a reset the result")?;
    batches.last().unwrap().update(&mut metric)?;
    compare(&metric, &case["after_reset_then_last_batch"], "after a reset and a batch the result")?;
    metric.set_state(&saved).map_err(|error| error.to_string())?;
    compare(&metric, case["results"].as_array().unwrap().last().unwrap(), "after loading the result")?;
    if case["merged"].is_object() {
        let part = |key: &str| {
            let mut metric = new()?;
            for index in case["merged"][key].as_array().unwrap() {
                batches[index.as_u64().unwrap() as usize].update(&mut metric)?;
            }
            Ok::<_, String>(metric)
        };
        let mut first = part("first")?;
        first.merge_state(&part("second")?).map_err(|error| error.to_string())?;
        compare(&first, &case["merged"]["result"], "after merging the result")?;
    }
    Ok(())
}

#[test]
fn metrics_match_keras_after_each_batch_after_resets_and_merged() {
    let (host, file) = (Host::new(), file("metrics"));
    let mut failures = Failures::default();
    for case in cases(&file, "cases", &[]) {
        failures.add_with_differences(&case["id"], &DIFFERENCES, check(&host, case));
    }
    failures.finish(577);
}

#[test]
fn cases_that_keras_refuses_are_refused() {
    let (host, file) = (Host::new(), file("metrics"));
    let mut failures = Failures::default();
    let refused = cases(&file, "refused", &[]).into_iter();
    // The other errors are shortcomings of Keras.
    for case in refused.filter(|case| case["id"].as_str().is_some_and(|id| id.contains("refused/"))) {
        let result = match check(&host, case) {
            Err(_) => Ok(()),
            Ok(()) => Err(format!("was taken; Keras: {}", case["error"]["gist"])),
        };
        failures.add(&case["id"], result);
    }
    failures.finish(3);
}
