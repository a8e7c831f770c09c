//! Losses by formula, compared with the plug-in's compiled functions.

use burn::backend::{Autodiff, NdArray};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Int, Tensor, TensorData};
use burn_flex::Flex;
use plugfit::plugin::Kind;
use plugfit::{Host, Result};
use plugfit_api::loss::Targets;
use plugfit_burn::Loss;

type Training = Autodiff<NdArray>;

/// The greatest difference of float32 numbers, relative to the greatest number and to 1.
const BOUND: f64 = 2e-6;

/// The greatest difference of float64 numbers.
const BOUND_IN_FLOAT64: f64 = 1e-12;

const ROWS: usize = 12;
const COLUMNS: usize = 5;

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

/// Rows of positive numbers in an irregular order, of which the sum is 1.
fn probabilities<B: Backend>(seed: u64, dtype: DType) -> Tensor<B, 2> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        0.05 + 0.9 * ((state >> 33) as f64 / (1u64 << 31) as f64)
    };
    let mut numbers: Vec<f64> = (0..ROWS * COLUMNS).map(next).collect();
    for row in numbers.chunks_exact_mut(COLUMNS) {
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|number| *number /= sum);
    }
    Tensor::from_data(TensorData::new(numbers, [ROWS, COLUMNS]), (&Default::default(), dtype))
}

fn ids<B: Backend>() -> Tensor<B, 1, Int> {
    let ids: Vec<i64> = (0..ROWS as i64).map(|row| row * 7 % COLUMNS as i64).collect();
    Tensor::from_data(TensorData::new(ids, [ROWS]), &Default::default())
}

fn weights<B: Backend>() -> Tensor<B, 1> {
    Tensor::from_data([1.0, 2.0, 0.0, 0.5, 1.5, 3.0, 0.0, 1.0, 1.0, 0.25, 2.0, 1.0], &Default::default())
}

fn flat<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Returns the value, and the derivative of three times its sum with respect to the predictions.
fn value_and_gradient<B: AutodiffBackend, const D: usize>(
    y_pred: Tensor<B, D>,
    loss: impl FnOnce(Tensor<B, D>) -> Result<Tensor<B, 1>>,
) -> [Vec<f64>; 2] {
    let y_pred = y_pred.require_grad();
    let value = loss(y_pred.clone()).unwrap();
    let gradients = value.clone().sum().mul_scalar(3.0).backward();
    [flat(value), flat(y_pred.grad(&gradients).expect("a gradient"))]
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

fn both(host: &Host, identifier: &str) -> [Loss; 2] {
    let [by_formula, native] = [Loss::new(host, identifier), Loss::native(host, identifier)].map(|loss| loss.unwrap());
    assert!(by_formula.has_formula() && !native.has_formula(), "{identifier}");
    [by_formula, native]
}

/// Compares the loss by formula with that of the plug-in.
fn compare<B: AutodiffBackend>(host: &Host, identifier: &str, dtype: DType, bound: f64) {
    let has_class_ids = host.loss(identifier).unwrap().info().targets == Some(Targets::Sparse);
    let y_pred = || probabilities::<B>(3, dtype);
    let [found, expected] = both(host, identifier).map(|loss| {
        value_and_gradient(y_pred(), |y_pred| match has_class_ids {
            true => loss.forward(ids(), y_pred),
            false => loss.forward(probabilities::<B>(2, dtype), y_pred),
        })
    });
    assert_close(&found, &expected, bound, identifier);
}

/// Compares the loss of weighted values by formula with that of the plug-in.
fn compare_weighted<B: AutodiffBackend>(host: &Host, identifier: &str, dtype: DType, bound: f64) {
    let has_class_ids = host.loss(identifier).unwrap().info().targets == Some(Targets::Sparse);
    let y_pred = || probabilities::<B>(3, dtype);
    let [found, expected] = both(host, identifier).map(|loss| {
        value_and_gradient(y_pred(), |y_pred| match has_class_ids {
            true => loss.forward_weighted(ids(), y_pred, weights()),
            false => loss.forward_weighted(probabilities::<B>(2, dtype), y_pred, weights()),
        })
    });
    assert_close(&found, &expected, bound, identifier);
}

#[test]
fn values_and_gradients_are_those_of_the_plug_in() {
    let host = Host::new();
    for identifier in SETTINGS {
        compare::<Training>(&host, identifier, DType::F32, BOUND);
        compare::<Training>(&host, identifier, DType::F64, BOUND_IN_FLOAT64);
        compare::<Autodiff<Flex>>(&host, identifier, DType::F32, BOUND);
    }
}

#[test]
fn every_loss_of_the_standard_set_with_a_formula_is_that_of_the_plug_in() {
    let host = Host::new();
    let mut count = 0;
    for (_, component) in host.components(Kind::Loss) {
        let identifier = component.name.as_str();
        if Loss::new(&host, identifier).is_ok_and(|loss| loss.has_formula()) {
            compare::<Training>(&host, identifier, DType::F32, BOUND);
            count += 1;
        }
    }
    assert!(count >= 20, "{count} losses have formulas");
}

#[test]
fn reductions_and_weights_are_those_of_plugfit() {
    let host = Host::new();
    for reduction in ["sum_over_batch_size", "mean_with_sample_weight", "sum"] {
        for name in ["Huber", "Hinge", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"] {
            let identifier = format!("{name}(reduction={reduction})");
            compare::<Training>(&host, &identifier, DType::F32, BOUND);
            compare_weighted::<Training>(&host, &identifier, DType::F32, BOUND);
        }
    }
    let loss = Loss::new(&host, "Huber(reduction=mean_with_sample_weight)").unwrap();
    let [y_true, y_pred] = [2, 3].map(|seed| probabilities::<Training>(seed, DType::F32));
    assert_eq!(flat(loss.forward_weighted(y_true, y_pred, weights().zeros_like()).unwrap()), [0.0]);
}

#[test]
fn weights_broadcast_to_the_values() {
    let host = Host::new();
    for reduction in ["sum_over_batch_size", "mean_with_sample_weight", "sum"] {
        let identifier = format!("MeanSquaredError(reduction={reduction})");
        let losses = both(&host, &identifier);
        compare_with_weight(&losses, weights().reshape([3, 4]));
        compare_with_weight(&losses, weights().reshape([3, 4, 1]));
        compare_with_weight(&losses, weights().narrow(0, 0, 4));
        compare_with_weight(&losses, weights().narrow(0, 0, 4).reshape([1, 4]));
        compare_with_weight(&losses, weights().narrow(0, 0, 4).reshape([1, 4, 1]));
        compare_with_weight(&losses, weights().narrow(0, 0, 3).reshape([3, 1]));
    }
}

fn compare_with_weight<const W: usize>(losses: &[Loss; 2], weight: Tensor<Training, W>) {
    let [y_true, y_pred] = [2, 3].map(|seed| probabilities::<Training>(seed, DType::F32).reshape([3, 4, 5]));
    let [found, expected] = losses.each_ref().map(|loss| {
        let y_pred: Tensor<Training, 3> = y_pred.clone();
        let y_true: Tensor<Training, 3> = y_true.clone();
        value_and_gradient(y_pred, |y_pred| loss.forward_weighted(y_true, y_pred, weight.clone()))
    });
    assert_close(&found, &expected, BOUND, &format!("{:?} {:?}", losses[0].reduction(), weight.dims()));
}

#[test]
fn without_reduction_there_is_a_value_for_each_row() {
    let host = Host::new();
    let identifier = "CategoricalCrossentropy(reduction=none)";
    let [y_true, y_pred] = [2, 3].map(|seed| probabilities::<NdArray>(seed, DType::F32));
    let [found, expected] =
        both(&host, identifier).map(|loss| flat(loss.forward(y_true.clone(), y_pred.clone()).unwrap()));
    assert_eq!(found.len(), ROWS);
    assert_close(&[found, vec![]], &[expected, vec![]], BOUND, identifier);
}

#[test]
fn without_reduction_each_value_has_a_gradient_of_its_own() {
    let host = Host::new();
    let identifier = "CategoricalCrossentropy(reduction=none)";
    let [y_true, y_pred] = [2, 3].map(|seed| probabilities::<Training>(seed, DType::F32));
    let [by_formula, native] = both(&host, identifier);
    let found =
        value_and_gradient(y_pred.clone(), |y_pred| Ok(by_formula.forward(y_true.clone(), y_pred)? * weights()));
    let sum = Loss::native(&host, "CategoricalCrossentropy(reduction=sum)").unwrap();
    let expected = value_and_gradient(y_pred.clone(), |y_pred| sum.forward_weighted(y_true.clone(), y_pred, weights()));
    assert_close(&[found[1].clone(), vec![]], &[expected[1].clone(), vec![]], BOUND, identifier);
    let error = native.forward(y_true, y_pred).unwrap_err();
    assert!(error.to_string().contains("use the reduction \"sum\""), "{error}");
}

#[test]
fn a_loss_may_be_computed_by_the_plug_in() {
    let loss = Loss::native(&Host::new(), "SquaredHinge(reduction=sum)").unwrap();
    assert!(!loss.has_formula());
    let device = Default::default();
    let y_true = Tensor::<Training, 2>::from_data([[1.0], [-1.0]], &device);
    let y_pred = Tensor::<Training, 2>::from_data([[0.5], [1.0]], &device);
    let found = value_and_gradient(y_pred.clone(), |y_pred| loss.forward(y_true.clone(), y_pred));
    assert_eq!(found, [vec![4.25], vec![-3.0, 12.0]]);
    assert_eq!(loss.forward(y_true, y_pred.cast(DType::F64)).unwrap().dtype(), DType::F64);
}

#[test]
fn a_value_of_weight_0_may_be_nan() {
    let host = Host::new();
    let device = Default::default();
    let y_true = Tensor::<Training, 2>::from_data([[1.0, 0.0], [0.0, 1.0]], &device);
    let y_pred = Tensor::<Training, 2>::from_data([[0.25, 0.75], [f32::NAN, f32::INFINITY]], &device);
    let weight = Tensor::<Training, 1>::from_data([1.0, 0.0], &device);
    for name in ["MeanSquaredError", "CategoricalCrossentropy(from_logits=true)"] {
        let loss = Loss::new(&host, name).unwrap();
        let found =
            value_and_gradient(y_pred.clone(), |y_pred| loss.forward_weighted(y_true.clone(), y_pred, weight.clone()));
        assert!(found.iter().flatten().all(|number| number.is_finite()), "{name}: {found:?}");
        assert_eq!(found[1][2..], [0.0, 0.0], "{name}");
    }
}

#[test]
fn infinite_logits_keep_the_value() {
    let host = Host::new();
    let device = Default::default();
    let y_true = Tensor::<Training, 2>::from_data([[1.0, 0.0]], &device);
    let y_pred = Tensor::<Training, 2>::from_data([[0.5, f32::NEG_INFINITY]], &device);
    let loss = Loss::new(&host, "CategoricalCrossentropy(from_logits=true)").unwrap();
    let found = value_and_gradient(y_pred, |y_pred| loss.forward(y_true, y_pred));
    assert_eq!(found, [vec![0.0], vec![0.0, 0.0]]);
}

#[test]
fn rows_lie_along_the_axis() {
    let host = Host::new();
    let identifier = "SparseCategoricalCrossentropy(from_logits=true, axis=1)";
    let y_pred: Tensor<Training, 3> = probabilities::<Training>(3, DType::F32).reshape([3, 5, 4]);
    let y_true: Tensor<Training, 2, Int> = ids::<Training>().reshape([3, 4]);
    let weight = weights::<Training>().reshape([3, 4]);
    let [found, expected] = both(&host, identifier)
        .map(|loss| value_and_gradient(y_pred.clone(), |y_pred| loss.forward(y_true.clone(), y_pred)));
    assert_close(&found, &expected, BOUND, identifier);
    let [found, expected] = both(&host, identifier).map(|loss| {
        value_and_gradient(y_pred.clone(), |y_pred| loss.forward_weighted(y_true.clone(), y_pred, weight.clone()))
    });
    assert_close(&found, &expected, BOUND, identifier);
}

#[test]
fn low_precision_is_computed_in_float32_and_a_loss_may_have_a_dtype() {
    let host = Host::new();
    for name in ["Huber", "CategoricalCrossentropy(from_logits=true)"] {
        let [y_true, y_pred] = [2, 3].map(|seed| probabilities::<Autodiff<Flex>>(seed, DType::BF16));
        let [by_formula, native] = both(&host, name);
        assert_eq!(by_formula.forward(y_true.clone(), y_pred.clone()).unwrap().dtype(), DType::F32);
        let [found, expected] = [by_formula, native]
            .map(|loss| value_and_gradient(y_pred.clone(), |y_pred| loss.forward(y_true.clone(), y_pred)));
        // The gradients are rounded to bfloat16.
        assert_close(&found, &expected, 0.01, name);
    }
    let [y_true, y_pred] = [2, 3].map(|seed| probabilities::<Training>(seed, DType::F32));
    let [found, expected] = both(&host, "MeanSquaredError(dtype=float64)").map(|loss| {
        assert_eq!(loss.forward(y_true.clone(), y_pred.clone()).unwrap().dtype(), DType::F64);
        value_and_gradient(y_pred.clone(), |y_pred| loss.forward(y_true.clone(), y_pred))
    });
    assert_close(&[found[0].clone(), vec![]], &[expected[0].clone(), vec![]], BOUND_IN_FLOAT64, "MeanSquaredError");
    assert_close(&found, &expected, BOUND, "MeanSquaredError");
}

#[test]
fn an_id_that_is_no_class_gives_nan() {
    let loss = Loss::new(&Host::new(), "SparseCategoricalCrossentropy(from_logits=true, reduction=none)").unwrap();
    let device = Default::default();
    let y_pred = Tensor::<NdArray, 2>::zeros([3, 4], &device);
    let values = flat(loss.forward(Tensor::<NdArray, 1, Int>::from_data([0, 4, -1], &device), y_pred.clone()).unwrap());
    assert!(values[0].is_finite() && values[1].is_nan() && values[2].is_nan(), "{values:?}");
    let y_true = Tensor::<NdArray, 2>::from_data([[0.0], [3.0], [1.5]], &device);
    let values = flat(loss.forward(y_true, y_pred).unwrap());
    assert!(values[0].is_finite() && values[1].is_finite() && values[2].is_nan(), "{values:?}");
}

#[test]
fn labels_have_a_derivative_or_are_refused() {
    let host = Host::new();
    let device = Default::default();
    let y_true = Tensor::<Training, 2>::from_data([[0.0], [3.0]], &device).require_grad();
    let y_pred = Tensor::<Training, 2>::from_data([[0.5], [1.0]], &device).require_grad();
    let loss = Loss::new(&host, "MeanSquaredError").unwrap();
    let gradients = loss.forward(y_true.clone().mul_scalar(1.0), y_pred.clone()).unwrap().backward();
    assert_eq!(flat(y_true.grad(&gradients).unwrap()), [-0.5, 2.0]);
    assert_eq!(flat(y_pred.grad(&gradients).unwrap()), [0.5, -2.0]);
    let native = Loss::native(&host, "MeanSquaredError").unwrap();
    let message = native.forward(y_true.clone(), y_pred.clone()).unwrap_err().to_string();
    assert!(message.contains("pass y_true.set_require_grad(false)"), "{message}");
    let weight = Tensor::<Training, 1>::ones([2], &device).require_grad();
    let y_true = y_true.set_require_grad(false);
    let value = loss.forward_weighted(y_true.clone(), y_pred.clone(), weight.clone()).unwrap();
    assert_eq!(flat(weight.grad(&value.backward()).unwrap()), [0.125, 2.0]);
    let message = native.forward_weighted(y_true, y_pred, weight).unwrap_err().to_string();
    assert!(message.contains("pass sample_weight.set_require_grad(false)"), "{message}");
}

#[test]
fn shapes_and_names_that_do_not_fit_are_refused() {
    let host = Host::new();
    let loss = Loss::new(&host, "MeanSquaredError").unwrap();
    let zeros = |shape: [usize; 2]| Tensor::<NdArray, 2>::zeros(shape, &Default::default());
    let message = loss.forward(zeros([4, 3]), zeros([4, 1])).unwrap_err().to_string();
    assert!(message.contains("each prediction needs a label of its own"), "{message}");
    let weight = Tensor::<NdArray, 1>::ones([3], &Default::default());
    for rows in [4, 0] {
        let refused = loss.forward_weighted(zeros([rows, 3]), zeros([rows, 3]), weight.clone());
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("give a weight for each value"), "{message}");
    }
    assert!(Loss::new(&host, "Hubre").unwrap_err().to_string().contains("Huber"));
}

#[test]
fn an_empty_batch_has_the_loss_0() {
    let host = Host::new();
    let zeros = |shape: [usize; 2]| Tensor::<Training, 2>::zeros(shape, &Default::default());
    for loss in both(&host, "MeanSquaredError") {
        assert_eq!(flat(loss.forward(zeros([0, 3]), zeros([0, 3])).unwrap()), [0.0]);
    }
    let loss = Loss::new(&host, "MeanSquaredError(reduction=none)").unwrap();
    assert_eq!(loss.forward(zeros([0, 3]), zeros([0, 3])).unwrap().dims(), [0]);
}
