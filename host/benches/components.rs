//! Benchmarks of each family of components through the boundary: `cargo bench -p plugfit --bench components`. A word
//! after `--` selects benchmarks by name, such as `losses` or `8192x1000`.
//!
//! The shapes and identifiers are those of `tests/peers`, which compares them with other libraries.

use divan::{Bencher, counter::BytesCount};
use plugfit::Host;
use plugfit::component::Parameter;
use plugfit_api::{Tensor, TensorMut};
use rand::{Rng, SeedableRng};

fn main() {
    divan::main();
}

fn random() -> impl Rng {
    rand_pcg::Pcg64Mcg::seed_from_u64(1)
}

/// Returns numbers between 0 and 1.
fn uniform(count: usize) -> Vec<f32> {
    let mut random = random();
    (0..count).map(|_| random.random::<f32>()).collect()
}

/// Returns class ids.
fn ids(count: usize, classes: usize) -> Vec<i32> {
    let mut random = random();
    (0..count).map(|_| random.random_range(0..classes as i32)).collect()
}

/// Measures the value and the gradient of a loss.
fn value_and_gradient(bencher: Bencher<'_, '_>, identifier: &str, y_true: Tensor<'_>, [rows, columns]: [usize; 2]) {
    let (shape, y_pred) = ([rows as i64, columns as i64], uniform(rows * columns));
    let mut loss = Host::new().loss(identifier).expect("a built-in loss");
    let mut gradient = vec![0.0f32; y_pred.len()];
    bencher.counter(BytesCount::of_many::<f32>(2 * y_pred.len())).bench_local(|| {
        let mut gradient = TensorMut::new(&mut gradient, &shape);
        let value = loss.value_and_gradient(y_true, Tensor::new(&y_pred, &shape), None, None, 1.0, &mut gradient);
        value.and_then(|value| value.scalar()).expect("valid inputs")
    });
}

#[divan::bench_group]
mod losses {
    use super::*;

    #[divan::bench(args = ["MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh", "BinaryCrossentropy",
        "BinaryCrossentropy(from_logits=true)", "Hinge"])]
    fn elements_65536x16(bencher: Bencher<'_, '_>, identifier: &str) {
        let labels: Vec<f32> = uniform(65536 * 16).iter().map(|x| f32::from(*x > 0.7)).collect();
        value_and_gradient(bencher, identifier, Tensor::new(&labels, &[65536, 16]), [65536, 16]);
    }

    const ROWS: [&str; 6] = [
        "CategoricalCrossentropy(from_logits=true)",
        "CategoricalCrossentropy",
        "KLDivergence",
        "Poisson",
        "CosineSimilarity",
        "CategoricalFocalCrossentropy",
    ];
    const CLASS_IDS: [&str; 3] = [
        "SparseCategoricalCrossentropy(from_logits=true)",
        "SparseCategoricalCrossentropy",
        "CategoricalGeneralizedCrossEntropy",
    ];

    fn rows(bencher: Bencher<'_, '_>, identifier: &str, [rows, columns]: [usize; 2]) {
        let shape = [rows as i64, columns as i64];
        value_and_gradient(bencher, identifier, Tensor::new(&uniform(rows * columns), &shape), [rows, columns]);
    }

    #[divan::bench(args = ROWS)]
    fn rows_8192x1000(bencher: Bencher<'_, '_>, identifier: &str) {
        rows(bencher, identifier, [8192, 1000]);
    }

    #[divan::bench(args = ROWS)]
    fn rows_128x10(bencher: Bencher<'_, '_>, identifier: &str) {
        rows(bencher, identifier, [128, 10]);
    }

    #[divan::bench(args = CLASS_IDS)]
    fn class_ids_8192x1000(bencher: Bencher<'_, '_>, identifier: &str) {
        value_and_gradient(bencher, identifier, Tensor::new(&ids(8192, 1000), &[8192]), [8192, 1000]);
    }

    #[divan::bench(args = CLASS_IDS)]
    fn class_ids_128x10(bencher: Bencher<'_, '_>, identifier: &str) {
        value_and_gradient(bencher, identifier, Tensor::new(&ids(128, 10), &[128]), [128, 10]);
    }
}

#[divan::bench_group]
mod metrics {
    use super::*;

    /// Measures an update with a batch.
    fn update(bencher: Bencher<'_, '_>, identifier: &str, y_true: Tensor<'_>, [rows, columns]: [usize; 2]) {
        let y_pred = uniform(rows * columns);
        let shape = [rows as i64, columns as i64];
        let mut metric = Host::new().metric(identifier).expect("a built-in metric");
        bencher.counter(BytesCount::of_many::<f32>(y_pred.len())).bench_local(|| {
            metric.update_state(y_true, Tensor::new(&y_pred, &shape), None, None).expect("valid inputs");
        });
    }

    #[divan::bench(args = ["BinaryAccuracy", "Precision", "F1Score(average=micro, threshold=0.5)", "AUC",
        "BinaryCrossentropy", "BinaryIoU", "PrecisionAtRecall(recall=0.5)", "MeanSquaredError", "R2Score",
        "ConcordanceCorrelation(axis=0)"])]
    fn elements_8192(bencher: Bencher<'_, '_>, identifier: &str) {
        let labels: Vec<f32> = uniform(8192).iter().map(|x| f32::from(*x > 0.7)).collect();
        update(bencher, identifier, Tensor::new(&labels, &[8192, 1]), [8192, 1]);
    }

    #[divan::bench(args = ["SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy(k=5)",
        "MeanIoU(num_classes=100, sparse_y_pred=false)", "SparseCategoricalCrossentropy"])]
    fn class_ids_8192x100(bencher: Bencher<'_, '_>, identifier: &str) {
        update(bencher, identifier, Tensor::new(&ids(8192, 100), &[8192]), [8192, 100]);
    }

    #[divan::bench(args = ["F1Score(average=macro)", "CategoricalAccuracy", "CosineSimilarity"])]
    fn rows_8192x100(bencher: Bencher<'_, '_>, identifier: &str) {
        let mut one_hot = vec![0.0; 8192 * 100];
        for (row, id) in ids(8192, 100).into_iter().enumerate() {
            one_hot[row * 100 + id as usize] = 1.0;
        }
        update(bencher, identifier, Tensor::new(&one_hot, &[8192, 100]), [8192, 100]);
    }
}

#[divan::bench_group]
mod optimizers {
    use super::*;

    const ELEMENTWISE: [&str; 12] = [
        "SGD(momentum=0.9, nesterov=true)",
        "Adam",
        "AdamW",
        "RMSprop",
        "Adagrad",
        "Adadelta",
        "Adamax",
        "Nadam",
        "Ftrl",
        "Lion",
        "Adafactor",
        "Lamb",
    ];

    /// Measures a step for this many parameters of this shape.
    fn step(bencher: Bencher<'_, '_>, identifier: &str, count: usize, shape: &[usize]) {
        let parameter = |index: usize| Parameter {
            name: "kernel".into(),
            path: format!("layer{index}/kernel"),
            shape: shape.to_vec(),
            trainable: true,
        };
        let parameters: Vec<Parameter> = (0..count).map(parameter).collect();
        let elements = shape.iter().product();
        let gradients = vec![uniform(elements); count];
        let mut values = gradients.clone();
        let mut optimizer = Host::new().optimizer(identifier).expect("a built-in optimizer");
        optimizer.build(&parameters, &values.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("parameters");
        let gradients: Vec<Option<&[f32]>> = gradients.iter().map(|gradient| Some(gradient.as_slice())).collect();
        let mut values: Vec<&mut [f32]> = values.iter_mut().map(Vec::as_mut_slice).collect();
        bencher
            .counter(BytesCount::of_many::<f32>(count * elements))
            .bench_local(|| optimizer.apply(&gradients, &mut values).expect("valid gradients"));
    }

    #[divan::bench(args = ELEMENTWISE)]
    fn one_of_670k(bencher: Bencher<'_, '_>, identifier: &str) {
        step(bencher, identifier, 1, &[670_000]);
    }

    #[divan::bench(args = ELEMENTWISE)]
    fn two_hundred_of_10k(bencher: Bencher<'_, '_>, identifier: &str) {
        step(bencher, identifier, 200, &[10_000]);
    }

    #[divan::bench(args = ["Adafactor", "Lamb", "Muon"])]
    fn matrix_1024(bencher: Bencher<'_, '_>, identifier: &str) {
        step(bencher, identifier, 1, &[1024, 1024]);
    }
}
