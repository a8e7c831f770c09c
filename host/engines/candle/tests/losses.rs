//! Losses by formula, compared with the plug-in's compiled functions.

use candle_core::{DType, Device, Result, Tensor, Var};
use plugfit::Host;
use plugfit::plugin::Kind;
use plugfit_api::loss::Targets;
use plugfit_candle::Loss;

/// The greatest difference of float32 numbers, relative to the greatest number and to 1.
const BOUND: f64 = 2e-6;

/// The greatest difference of float64 numbers.
const BOUND_IN_FLOAT64: f64 = 1e-12;

/// Losses of elements, of rows and of class ids, with settings.
const SETTINGS: [&str; 15] = [
    "Huber(delta=0.2)",
    "LogCosh",
    "MeanAbsolutePercentageError",
    "BinaryCrossentropy(from_logits=true, label_smoothing=0.1)",
    "BinaryFocalCrossentropy(gamma=1.5, apply_class_balancing=true)",
    "Poisson",
    "KLDivergence",
    "CosineSimilarity",
    "CategoricalCrossentropy(from_logits=true, label_smoothing=0.1)",
    "CategoricalFocalCrossentropy(gamma=3)",
    "MeanSquaredLogarithmicError",
    "CategoricalGeneralizedCrossEntropy(q=0.7)",
    "SparseCategoricalCrossentropy",
    "SparseCategoricalCrossentropy(from_logits=true)",
    "SparseCategoricalCrossentropy(from_logits=true, reduction=sum)",
];

/// Numbers between 0.05 and 0.95 in an irregular order.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        0.05 + 0.9 * ((state >> 33) as f64 / (1u64 << 31) as f64)
    };
    (0..count).map(next).collect()
}

/// Rows of which the sum is 1.
fn probabilities(rows: usize, columns: usize, seed: u64) -> Result<Tensor> {
    let numbers = Tensor::from_vec(numbers(rows * columns, seed), (rows, columns), &Device::Cpu)?;
    numbers.broadcast_div(&numbers.sum_keepdim(1)?)
}

fn labels(host: &Host, identifier: &str, rows: usize, columns: usize) -> Result<Tensor> {
    let targets = host.loss(identifier).unwrap().info().targets;
    match targets {
        Some(Targets::Sparse) => {
            Tensor::from_vec((0..rows as i64).map(|row| row * 7 % columns as i64).collect(), rows, &Device::Cpu)
        }
        _ => probabilities(rows, columns, 2),
    }
}

fn values_and_gradient(loss: &Loss, y_true: &Tensor, y_pred: &Tensor, weight: Option<&Tensor>) -> [Vec<f64>; 2] {
    let y_pred = Var::from_tensor(y_pred).unwrap();
    let value = match weight {
        None => loss.forward(y_true, &y_pred),
        Some(weight) => loss.forward_weighted(y_true, &y_pred, weight),
    };
    let value = value.unwrap();
    // Factors that differ, so that every value counts by itself.
    let count = value.elem_count();
    let factors: Vec<f64> = (0..count).map(|number| 1.0 + number as f64 / count as f64).collect();
    let factors = Tensor::from_vec(factors, value.shape(), &Device::Cpu).unwrap().to_dtype(value.dtype()).unwrap();
    let gradients = (&value * factors).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = gradients.get(&y_pred).expect("a gradient");
    assert_eq!(gradient.shape(), y_pred.shape());
    [flat(&value), flat(gradient)]
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn assert_close(found: &[Vec<f64>; 2], expected: &[Vec<f64>; 2], bound: f64, what: &str) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let scale = expected.iter().fold(1.0_f64, |most, number| most.max(number.abs()));
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= bound * scale, "{what}: {found} is not {expected}");
        }
    }
}

fn compare_with(host: &Host, identifier: &str, y_true: &Tensor, y_pred: &Tensor, weight: &Tensor) {
    let [by_formula, native] = [Loss::new(host, identifier), Loss::native(host, identifier)].map(|loss| loss.unwrap());
    assert!(by_formula.has_formula(), "{identifier}");
    let shape = |loss: &Loss| loss.forward_weighted(y_true, y_pred, weight).unwrap().dims().to_vec();
    let what = format!("{identifier} of {:?} with weights of {:?}", y_pred.dims(), weight.dims());
    assert_eq!(shape(&by_formula), shape(&native), "{what}");
    let [found, expected] = [by_formula, native].map(|loss| values_and_gradient(&loss, y_true, y_pred, Some(weight)));
    assert_close(&found, &expected, BOUND, &what);
}

fn compare(host: &Host, identifier: &str, dtype: DType, bound: f64, weight: Option<&Tensor>) {
    let [by_formula, native] = [Loss::new(host, identifier), Loss::native(host, identifier)].map(|loss| loss.unwrap());
    assert!(by_formula.has_formula() && !native.has_formula(), "{identifier}");
    let (rows, columns) = (12, 5);
    let y_true = labels(host, identifier, rows, columns).unwrap();
    let y_pred = probabilities(rows, columns, 3).unwrap().to_dtype(dtype).unwrap();
    let [found, expected] = [&by_formula, &native].map(|loss| values_and_gradient(loss, &y_true, &y_pred, weight));
    assert_close(&found, &expected, bound, identifier);
}

#[test]
fn values_and_gradients_are_those_of_the_plug_in() {
    let host = Host::new();
    for identifier in SETTINGS {
        compare(&host, identifier, DType::F32, BOUND, None);
        compare(&host, identifier, DType::F64, BOUND_IN_FLOAT64, None);
    }
}

#[test]
fn every_loss_of_the_standard_set_with_a_formula_is_that_of_the_plug_in() {
    let host = Host::new();
    let mut count = 0;
    for (_, component) in host.components(Kind::Loss) {
        let identifier = component.name.as_str();
        if Loss::new(&host, identifier).is_ok_and(|loss| loss.has_formula()) {
            compare(&host, identifier, DType::F32, BOUND, None);
            count += 1;
        }
    }
    assert!(count >= 20, "{count} losses have formulas");
}

#[test]
fn a_loss_may_be_computed_by_the_plug_in() {
    let host = Host::new();
    let loss = Loss::native(&host, "SquaredHinge(reduction=sum)").unwrap();
    assert!(!loss.has_formula());
    let y_true = Tensor::new(&[[1.0_f32], [-1.0]], &Device::Cpu).unwrap();
    let y_pred = Tensor::new(&[[0.5_f32], [1.0]], &Device::Cpu).unwrap();
    assert_eq!(values_and_gradient(&loss, &y_true, &y_pred, None), [vec![4.25], vec![-1.0, 4.0]]);
    let y_pred = y_pred.to_dtype(DType::F64).unwrap();
    assert_eq!(loss.forward(&y_true, &y_pred).unwrap().dtype(), DType::F64);
}

#[test]
fn reductions_and_weights_are_those_of_plugfit() {
    let host = Host::new();
    let weight = Tensor::new(&[1.0_f32, 2.0, 0.0, 0.5, 1.5, 3.0, 0.0, 1.0, 1.0, 0.25, 2.0, 1.0], &Device::Cpu).unwrap();
    for reduction in ["sum_over_batch_size", "mean_with_sample_weight", "sum", "none"] {
        for name in ["Huber", "Hinge", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"] {
            let identifier = format!("{name}(reduction={reduction})");
            compare(&host, &identifier, DType::F32, BOUND, Some(&weight));
            compare(&host, &identifier, DType::F32, BOUND, Some(&weight.unsqueeze(1).unwrap()));
            compare(&host, &identifier, DType::F32, BOUND, None);
        }
    }
}

#[test]
fn weights_broadcast_to_the_values_as_in_the_plug_in() {
    let host = Host::new();
    let y_true = probabilities(12, 5, 2).unwrap().reshape((4, 3, 5)).unwrap().to_dtype(DType::F32).unwrap();
    let y_pred = probabilities(12, 5, 3).unwrap().reshape((4, 3, 5)).unwrap().to_dtype(DType::F32).unwrap();
    let weights = Tensor::from_vec(numbers(12, 4), (4, 3), &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    let row = weights.get(0).unwrap();
    let column = weights.narrow(1, 0, 1).unwrap();
    let one = Tensor::new(&[0.5_f32], &Device::Cpu).unwrap();
    for reduction in ["sum_over_batch_size", "mean_with_sample_weight", "sum", "none"] {
        for weight in [&weights, &row, &column, &one, &weights.unsqueeze(2).unwrap()] {
            for name in ["Huber", "CategoricalCrossentropy"] {
                let identifier = format!("{name}(reduction={reduction})");
                compare_with(&host, &identifier, &y_true, &y_pred, weight);
            }
        }
    }
    // The divisor is the sum of the given weights.
    let (zeros, ones) = (y_true.zeros_like().unwrap(), y_true.ones_like().unwrap());
    let loss = Loss::new(&host, "MeanSquaredError(reduction=mean_with_sample_weight)").unwrap();
    let found = loss.forward_weighted(&zeros, &ones, &row).unwrap().to_scalar::<f32>().unwrap();
    assert!((found - 4.0).abs() < 1e-5, "{found}");
}

#[test]
fn weights_may_lack_an_axis_of_length_1() {
    let host = Host::new();
    let numbers = |shape: &[usize], seed| {
        let count = shape.iter().product();
        Tensor::from_vec(numbers(count, seed), shape, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap()
    };
    for reduction in ["sum_over_batch_size", "mean_with_sample_weight", "sum", "none"] {
        for (name, shape, weight) in
            [("Huber", &[4, 1, 3][..], &[4][..]), ("Huber", &[4, 2, 1, 3], &[4, 2]), ("Dice(axis=null)", &[4, 3], &[4])]
        {
            let identifier = name.strip_suffix(')').map_or(format!("{name}("), |name| format!("{name}, "));
            let identifier = format!("{identifier}reduction={reduction})");
            compare_with(&host, &identifier, &numbers(shape, 2), &numbers(shape, 3), &numbers(weight, 4));
        }
    }
}

#[test]
fn a_derivative_that_the_plug_in_lacks_is_refused() {
    let loss = Loss::native(&Host::new(), "Huber").unwrap();
    let values = Tensor::ones((2, 1), DType::F32, &Device::Cpu).unwrap();
    let tracked = Var::from_tensor(&values).unwrap();
    let message = loss.forward_weighted(&values, &values, &tracked).unwrap_err().to_string();
    assert!(message.contains("no derivative with respect to sample_weight: pass sample_weight.detach()"), "{message}");
    let message = loss.forward(&tracked, &values).unwrap_err().to_string();
    assert!(message.contains("pass y_true.detach()"), "{message}");
}

#[test]
fn a_value_of_weight_0_may_be_nan() {
    let host = Host::new();
    let y_true = Tensor::new(&[[1.0_f32, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap();
    let y_pred = Tensor::new(&[[0.25_f32, 0.75], [f32::NAN, f32::INFINITY]], &Device::Cpu).unwrap();
    let weight = Tensor::new(&[1.0_f32, 0.0], &Device::Cpu).unwrap();
    for name in ["MeanSquaredError", "CategoricalCrossentropy(from_logits=true)"] {
        let loss = Loss::new(&host, name).unwrap();
        let found = values_and_gradient(&loss, &y_true, &y_pred, Some(&weight));
        assert!(found.iter().flatten().all(|number| number.is_finite()), "{name}: {found:?}");
        assert_eq!(found[1][2..], [0.0, 0.0], "{name}");
    }
}

#[test]
fn rows_lie_along_the_axis() {
    let host = Host::new();
    let y_true = Tensor::from_vec((0..12_u32).map(|id| id % 5).collect(), (3, 4), &Device::Cpu).unwrap();
    let numbers = numbers(3 * 5 * 4, 5).into_iter().map(|number| number as f32).collect();
    let y_pred = Tensor::from_vec(numbers, (3, 5, 4), &Device::Cpu).unwrap();
    let identifier = "SparseCategoricalCrossentropy(from_logits=true, axis=1, reduction=none)";
    let [by_formula, native] =
        [Loss::new(&host, identifier), Loss::native(&host, identifier)].map(|loss| loss.unwrap());
    assert_eq!(by_formula.forward(&y_true, &y_pred).unwrap().dims(), [3, 4]);
    let [found, expected] = [by_formula, native].map(|loss| values_and_gradient(&loss, &y_true, &y_pred, None));
    assert_close(&found, &expected, BOUND, identifier);
}

#[test]
fn low_precision_is_computed_in_float32() {
    let host = Host::new();
    for name in ["Huber", "SparseCategoricalCrossentropy(from_logits=true)"] {
        let y_true = labels(&host, name, 6, 4).unwrap();
        let y_pred = probabilities(6, 4, 3).unwrap().to_dtype(DType::BF16).unwrap();
        let [by_formula, native] = [Loss::new(&host, name), Loss::native(&host, name)].map(|loss| loss.unwrap());
        assert_eq!(by_formula.forward(&y_true, &y_pred).unwrap().dtype(), DType::F32);
        let [found, expected] = [by_formula, native].map(|loss| values_and_gradient(&loss, &y_true, &y_pred, None));
        // The gradients are rounded to bfloat16.
        assert_close(&found, &expected, 0.01, name);
    }
}

#[test]
fn an_id_that_is_no_class_gives_nan() {
    let host = Host::new();
    let loss = Loss::new(&host, "SparseCategoricalCrossentropy(from_logits=true, reduction=none)").unwrap();
    let y_pred = Tensor::zeros((3, 4), DType::F32, &Device::Cpu).unwrap();
    let y_true = Tensor::new(&[0_i64, 4, -1], &Device::Cpu).unwrap();
    let values = flat(&loss.forward(&y_true, &y_pred).unwrap());
    assert!(values[0].is_finite() && values[1].is_nan() && values[2].is_nan(), "{values:?}");
}

#[test]
fn labels_have_a_derivative_or_are_refused() {
    let host = Host::new();
    let y_true = Var::new(&[[0.0_f32], [3.0]], &Device::Cpu).unwrap();
    let y_pred = Tensor::new(&[[0.5_f32], [1.0]], &Device::Cpu).unwrap();
    let loss = Loss::new(&host, "MeanSquaredError").unwrap();
    let gradients = loss.forward(&y_true, &y_pred).unwrap().backward().unwrap();
    assert_eq!(flat(gradients.get(&y_true).unwrap()), [-0.5, 2.0]);
    let native = Loss::native(&host, "MeanSquaredError").unwrap();
    let message = native.forward(&y_true, &y_pred).unwrap_err().to_string();
    assert!(message.contains("pass y_true.detach()"), "{message}");
}

#[test]
fn shapes_and_names_that_do_not_fit_are_refused() {
    let host = Host::new();
    let loss = Loss::new(&host, "MeanSquaredError").unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let message = loss.forward(&zeros(&[4, 3]), &zeros(&[4, 1])).unwrap_err().to_string();
    assert!(message.contains("each prediction needs a label of its own"), "{message}");
    let message = loss.forward_weighted(&zeros(&[4, 3]), &zeros(&[4, 3]), &zeros(&[3])).unwrap_err().to_string();
    assert!(message.contains("give a weight for each value"), "{message}");
    assert!(Loss::new(&host, "Hubre").unwrap_err().to_string().contains("Huber"));
}

#[test]
fn an_empty_batch_has_the_loss_0() {
    let host = Host::new();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let loss = Loss::new(&host, "MeanSquaredError").unwrap();
    assert_eq!(flat(&loss.forward(&zeros(&[0, 3]), &zeros(&[0, 3])).unwrap()), [0.0]);
    let loss = Loss::new(&host, "MeanSquaredError(reduction=none)").unwrap();
    assert_eq!(loss.forward(&zeros(&[0, 3]), &zeros(&[0, 3])).unwrap().dims(), [0]);
}
