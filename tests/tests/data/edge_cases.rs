//! Tests of edge cases of the inputs. Each must yield a result, or an error that names the argument and the reason, but
//! never a panic.

use plugfit::{
    Host,
    component::{Loss, Metric},
    plugin::Kind,
};
use plugfit_api::{Tensor, TensorMut, metric::Outcome};
use plugfit_tests::components::{host, identifier, names, update};
use serde_json::{Value, json};

/// A description, and the shape and values of y_true and of y_pred.
type UnusualInputs = (&'static str, Vec<i64>, Vec<f32>, Vec<i64>, Vec<f32>);

/// Returns arrays with unusual shapes and values.
fn unusual_inputs() -> Vec<UnusualInputs> {
    let ramp = |n: usize| (0..n).map(|i| i as f32 / n as f32).collect::<Vec<f32>>();
    let mut all = vec![
        ("nothing", vec![0, 4], vec![], vec![0, 4], vec![]),
        ("nothing of rank 1", vec![0], vec![], vec![0], vec![]),
        ("rows of nothing", vec![3, 0], vec![], vec![3, 0], vec![]),
        ("numbers", vec![], vec![1.0], vec![], vec![0.5]),
        ("one row", vec![1, 4], vec![0.0, 1.0, 0.0, 0.0], vec![1, 4], vec![0.1, 0.7, 0.1, 0.1]),
        ("one class", vec![6], vec![1.0; 6], vec![6], ramp(6)),
        ("zeros", vec![3, 4], vec![0.0; 12], vec![3, 4], vec![0.0; 12]),
        ("ids out of range", vec![3], vec![-1.0, 9.0, 1e9], vec![3, 4], ramp(12)),
        ("ids that are no whole numbers", vec![3], vec![0.5, 1.5, f32::NAN], vec![3, 4], ramp(12)),
        ("other lengths", vec![3, 4], vec![1.0; 12], vec![2, 4], ramp(8)),
        ("other ranks", vec![2], vec![1.0; 2], vec![2, 3, 4, 5], ramp(120)),
        ("five axes", vec![2, 1, 2, 1, 2], vec![1.0; 8], vec![2, 1, 2, 1, 2], ramp(8)),
    ];
    for (what, value) in
        [("NaN", f32::NAN), ("infinity", f32::INFINITY), ("minus infinity", f32::NEG_INFINITY), ("huge", f32::MAX)]
    {
        let mut y_pred = ramp(12);
        y_pred[5] = value;
        all.push((what, vec![3, 4], vec![0., 1., 0., 0., 1., 0., 0., 0., 0., 0., 0., 1.], vec![3, 4], y_pred.clone()));
        all.push((what, vec![3, 4], y_pred, vec![3, 4], ramp(12)));
    }
    all
}

fn no_panic(component: &str, what: &str, error: Option<plugfit::Error>) {
    if let Some(error) = error {
        let text = error.to_string();
        assert!(!text.contains("panic"), "{component} with {what}: {text}");
        assert!(text.contains(component.rsplit('>').next().unwrap()), "{component} with {what} isn't named: {text}");
    }
}

#[test]
fn no_loss_panics_on_unusual_inputs() {
    let host = host();
    let losses = names(&host, Kind::Loss);
    assert!(losses.len() >= 24, "{losses:?}");
    for name in losses {
        for (what, true_shape, y_true, pred_shape, y_pred) in unusual_inputs() {
            let mut loss: Loss = host.loss(identifier(&name)).unwrap_or_else(|error| panic!("{error}"));
            let (t, p) = (Tensor::new(&y_true, &true_shape), Tensor::new(&y_pred, &pred_shape));
            let mut gradient = vec![0.0_f32; y_pred.len()];
            let mut target = TensorMut::new(&mut gradient, &pred_shape);
            let result = loss.value_and_gradient(t, p, None, None, 1.0, &mut target).map(|_| ());
            if let Err(error) = &result
                && error.to_string().contains("doesn't fit")
            {
                continue; // The host has rejected the shapes.
            }
            no_panic(&name, what, result.err());
        }
    }
}

#[test]
fn no_metric_panics_on_unusual_inputs_and_a_failed_one_can_be_reset() {
    let host = host();
    let metrics = names(&host, Kind::Metric);
    assert!(metrics.len() >= 38, "{metrics:?}");
    for name in metrics {
        let make = || -> Metric { host.metric(identifier(&name)).unwrap_or_else(|error| panic!("{error}")) };
        for (what, true_shape, y_true, pred_shape, y_pred) in unusual_inputs() {
            let mut metric = make();
            let (t, p) = (Tensor::new(&y_true, &true_shape), Tensor::new(&y_pred, &pred_shape));
            let updated = update(&mut metric, t, p, None, None);
            no_panic(&name, what, updated.err());
            no_panic(&name, what, metric.result().err());
            metric.reset_state().unwrap_or_else(|error| panic!("{name} with {what}: {error}"));
        }
    }
}

#[test]
fn sums_of_ten_million_samples_are_exact_to_float64() {
    let host = Host::new();
    let mut mse = host.metric("MeanSquaredError").expect("it is there");
    let mut mean = host.metric("Mean").expect("it is there");
    let (zeros, tenths) = (vec![0.0_f32; 100_000], vec![0.1_f32; 100_000]);
    let shape = [100_000, 1];
    for _ in 0..100 {
        mse.update_state(Tensor::new(&zeros, &shape), Tensor::new(&tenths, &shape), None, None).expect("it fits");
        mean.update_values(Tensor::new(&tenths, &shape), None, None).expect("it fits");
    }
    let number = |metric: &Metric| match metric.result().expect("a result") {
        Outcome::Scalar(value) => value,
        other => panic!("{other:?}"),
    };
    let exact = f64::from(0.1_f32);
    assert!((number(&mean) - exact).abs() < 1e-13, "{}", number(&mean));
    // Each square is rounded to float32, as y_pred is.
    assert!((number(&mse) - exact * exact).abs() < 1e-9, "{}", number(&mse));
    let in_float32 = (0..10_000_000).fold(0.0_f32, |sum, _| sum + 0.1) / 1e7;
    assert!((f64::from(in_float32) - exact).abs() > 1e-3, "float32 would do: {in_float32}");
}

#[test]
fn float64_predictions_keep_their_precision() {
    let host = Host::new();
    let y_true: Vec<f64> = (0..1000).map(|i| 1.7e9 + f64::from(i)).collect();
    let y_pred: Vec<f64> = y_true.iter().enumerate().map(|(i, y)| y + if i % 2 == 0 { 90.0 } else { -90.0 }).collect();
    let shape = [1000, 1];
    let mut r2 = host.metric("R2Score").expect("it is there");
    r2.update_state(Tensor::new(&y_true, &shape), Tensor::new(&y_pred, &shape), None, None).expect("it fits");
    let Outcome::Scalar(found) = r2.result().expect("a result") else { panic!("a number is wanted") };
    let expected = 1.0 - 8100.0 * 12.0 / (1e6 - 1.0);
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    // Scores that float32 would round to 1 keep their order.
    let mut auc = host.metric("AUC(thresholds=[0.99999999])").expect("it is there");
    let (labels, scores) = ([0.0_f64, 1.0], [0.999_999_98, 0.999_999_995]);
    auc.update_state(Tensor::new(&labels, &[2]), Tensor::new(&scores, &[2]), None, None).expect("it fits");
    assert_eq!(auc.result().expect("a result"), Outcome::Scalar(1.0));
}

/// Returns a batch that suits a loss. The labels are class ids if the loss takes those.
fn batch(name: &str) -> (Vec<f64>, Vec<i64>, Vec<f64>, Vec<i64>) {
    let p: Vec<f64> = (0..24).map(|i| 0.05 + 0.9 * (f64::from(i) * 0.7).sin().abs()).collect();
    match name.rsplit('>').next().unwrap_or(name) {
        "CTC" => (vec![1.0, 2.0, 2.0, 0.0], vec![2, 2], p, vec![2, 4, 3]),
        "Circle" => (vec![0.0, 1.0, 0.0, 1.0, 1.0, 0.0], vec![6], unit_rows(p), vec![6, 4]),
        "SparseCategoricalCrossentropy" | "CategoricalGeneralizedCrossEntropy" => {
            (vec![0.0, 1.0, 3.0, 2.0, 2.0, 0.0], vec![6], p, vec![6, 4])
        }
        name if name.contains("Hinge") => {
            ((0..24).map(|i| if i % 3 == 0 { 1.0 } else { -1.0 }).collect(), vec![6, 4], p, vec![6, 4])
        }
        name if name.contains("Categorical") => {
            ((0..24).map(|i| if i % 4 == i / 4 % 4 { 1.0 } else { 0.0 }).collect(), vec![6, 4], p, vec![6, 4])
        }
        _ => ((0..24).map(|i| 0.1 + 0.8 * (f64::from(i) * 1.3).cos().abs()).collect(), vec![6, 4], p, vec![6, 4]),
    }
}

fn unit_rows(mut rows: Vec<f64>) -> Vec<f64> {
    for row in rows.chunks_mut(4) {
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    rows
}

#[test]
fn every_loss_of_the_standard_set_computes_in_float64() {
    let host = Host::new();
    let losses = names(&host, Kind::Loss);
    assert!(losses.len() >= 22, "{losses:?}");
    for name in losses {
        let (y_true, true_shape, mut y_pred, pred_shape) = batch(&name);
        let loss = |dtype: &str| host.loss(json!({"class_name": name, "config": {"dtype": dtype}}));
        let mut double = loss("float64").unwrap_or_else(|error| panic!("{name}: {error}"));
        let weight: Vec<f64> = (0..6).map(|i| 0.5 + f64::from(i) / 7.0).collect();
        let rows = [pred_shape[0]];
        let weight = (name.rsplit('>').next() != Some("Dice") && !name.ends_with("Tversky"))
            .then(|| Tensor::new(&weight[..rows[0] as usize], &rows));
        let mut value = |y_pred: &[f64]| -> f64 {
            let (t, p) = (Tensor::new(&y_true, &true_shape), Tensor::new(y_pred, &pred_shape));
            double.value(t, p, weight, None).and_then(|value| value.scalar()).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let found = value(&y_pred);
        let differences: Vec<f64> = (0..24)
            .map(|i| {
                let (h, x) = (1e-5, y_pred[i]);
                let mut at = |to: f64, y_pred: &mut Vec<f64>| {
                    y_pred[i] = to;
                    value(y_pred)
                };
                let derivative = (at(x - 2.0 * h, &mut y_pred) - 8.0 * at(x - h, &mut y_pred)
                    + 8.0 * at(x + h, &mut y_pred)
                    - at(x + 2.0 * h, &mut y_pred))
                    / (12.0 * h);
                y_pred[i] = x;
                derivative
            })
            .collect();
        let mut gradient = vec![f64::NAN; 24];
        let (t, p) = (Tensor::new(&y_true, &true_shape), Tensor::new(&y_pred, &pred_shape));
        let mut target = TensorMut::new(&mut gradient, &pred_shape);
        let again = double.value_and_gradient(t, p, weight, None, 1.0, &mut target).and_then(|value| value.scalar());
        assert!((again.expect("it fits") - found).abs() <= 1e-14 * found.abs(), "{name}");
        // In float32, such differences are accurate only to about 1e-3 of the greatest derivative.
        let greatest = gradient.iter().fold(0.0_f64, |greatest, derivative| greatest.max(derivative.abs()));
        for (derivative, difference) in gradient.iter().zip(&differences) {
            assert!((derivative - difference).abs() <= 1e-8 * greatest + 1e-10, "{name}: {derivative} {difference}");
        }
        // The value in float32 is close to it.
        let narrow = |numbers: &[f64]| numbers.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let (t, p) = (narrow(&y_true), narrow(&y_pred));
        let (t, p) = (Tensor::new(&t, &true_shape), Tensor::new(&p, &pred_shape));
        let single = loss("float32").expect("it is there").value(t, p, weight, None).expect("it fits").scalar();
        assert!((single.expect("a number") - found).abs() <= 1e-5 * found.abs().max(1.0), "{name}");
    }
}

#[test]
fn settings_reject_nan_and_accept_infinity_only_if_it_has_a_meaning() {
    let host = host();
    let creation_error = |kind: Kind, identifier: Value| match kind {
        Kind::Loss => host.loss(identifier).err(),
        Kind::Metric => host.metric(identifier).err(),
        Kind::Optimizer => host.optimizer(identifier).err(),
        Kind::Schedule => host.schedule(identifier).err(),
    };
    let (mut refused, mut taken) = (0, Vec::new());
    for kind in Kind::ALL {
        for (plugin, component) in host.components(kind) {
            let name = format!("{}>{}", plugin.name(), component.name);
            let mut base = identifier(&name);
            for field in component.fields.iter().filter(|field| field.default.is_none()) {
                if base["config"].get(&field.name).is_none() {
                    base["config"][&field.name] = match field.type_.as_str() {
                        "array" if field.name == "boundaries" => json!([10]),
                        "array" => json!([0.1, 0.2]),
                        "integer" => json!(3),
                        _ => json!(0.5),
                    };
                }
            }
            if creation_error(kind, base.clone()).is_some() {
                continue;
            }
            for field in component.fields.iter().filter(|field| field.type_ == "number") {
                for word in ["nan", "inf", "-inf"] {
                    let mut config = base.clone();
                    config["config"][&field.name] = json!(word);
                    match creation_error(kind, config) {
                        Some(error) => {
                            let error = error.to_string();
                            assert!(error.contains(&field.name) && error.contains(word), "{name}: {error}");
                            assert!(!error.contains("plug-in's mistake"), "{name}: {error}");
                            refused += 1;
                        }
                        None => taken.push(format!("{}.{} = {word}", component.name, field.name)),
                    }
                }
            }
        }
    }
    assert!(refused > 150, "{refused} are refused");
    assert_eq!(taken, ["Huber.delta = inf", "Adafactor.clip_threshold = inf"]);
    let decay = |values: Value| {
        host.schedule(
            json!({"class_name": "PiecewiseConstantDecay", "config": {"boundaries": [1, 2], "values": values}}),
        )
    };
    let error = decay(json!([0.1, "nan", 0.1])).expect_err("a NaN").to_string();
    assert!(error.contains("must be finite") && error.contains("in      values"), "{error}");
    assert!(decay(json!([0.1, 0.2, 0.1])).is_ok());
}
