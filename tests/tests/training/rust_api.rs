//! Tests of the library as a Rust program uses it.

use ndarray::{Array2, Axis, array};
use plugfit::{Host, Identifier, compile::Compile, network::Parameter};
use plugfit_tests::build::library;
use serde_json::json;

/// A custom model: the softmax of a matrix product.
struct Linear {
    kernel: Array2<f32>,
}

impl Linear {
    fn parameters(&self) -> [Parameter; 1] {
        let shape = self.kernel.shape().to_vec();
        [Parameter { name: "kernel".into(), path: "linear/kernel".into(), shape, trainable: true }]
    }

    fn forward(&self, x: &Array2<f32>) -> Array2<f32> {
        let mut y = x.dot(&self.kernel).mapv(f32::exp);
        for mut row in y.axis_iter_mut(Axis(0)) {
            let sum = row.sum();
            row /= sum;
        }
        y
    }

    fn backward(x: &Array2<f32>, y: &Array2<f32>, d_y: &Array2<f32>) -> Array2<f32> {
        let inner = (y * d_y).sum_axis(Axis(1)).insert_axis(Axis(1));
        x.t().dot(&(y * &(d_y - &inner)))
    }
}

#[test]
fn a_custom_model_can_be_trained_in_a_custom_loop() {
    let host = Host::new().with_plugins(library("calibration")).expect("it loads");
    let mut run = host
        .compile(Compile {
            optimizer: "AdamW(learning_rate=0.1)".into(),
            loss: "sparse_categorical_crossentropy".into(),
            metrics: ["accuracy", "calibration>ExpectedCalibrationError(name=ece)"].into(),
            ..Compile::default()
        })
        .expect("it compiles");
    let x = array![
        [1.0_f32, 0.0, 0.2],
        [0.9, 0.1, 0.0],
        [0.0, 1.0, 0.1],
        [0.1, 0.8, 0.0],
        [0.0, 0.1, 1.0],
        [0.2, 0.0, 0.9]
    ];
    let labels = array![0_i64, 0, 1, 1, 2, 2];
    let mut model = Linear { kernel: Array2::zeros((3, 3)) };
    let mut losses = Vec::new();
    for _ in 0..50 {
        run.reset_metrics().expect("they can be reset");
        let y_pred = model.forward(&x);
        let (loss, d_y_pred) = run.value_and_gradient(&labels, &y_pred).expect("it fits");
        let d_y_pred = d_y_pred.to_owned().into_dimensionality().expect("a matrix");
        let gradient = Linear::backward(&x, &y_pred, &d_y_pred);
        let parameters = model.parameters();
        let gradients = [gradient.as_standard_layout().as_slice().map(<[f32]>::to_vec).expect("in order")];
        let values = &mut [model.kernel.as_slice_mut().expect("in order")];
        run.apply(&parameters, &[Some(&gradients[0])], values).expect("it steps");
        run.update_metrics(&labels, &y_pred).expect("it fits");
        losses.push(loss);
    }
    assert!(losses[49] < 0.2 * losses[0], "{losses:?}");
    let logs = run.logs().expect("there are logs");
    assert_eq!(logs.number("accuracy"), Some(1.0));
    assert!(logs.number("ece").is_some_and(|ece| ece > 0.0));
    assert_eq!(logs.names().collect::<Vec<_>>(), ["loss", "accuracy", "ece"]);
}

#[test]
fn the_classic_example_of_keras_works_as_written() {
    let host = Host::new();
    let sgd = "SGD(lr=0.01, decay=1e-6, momentum=0.9, nesterov=True)";
    let mut run = host
        .compile(Compile {
            optimizer: sgd.into(),
            loss: "categorical_crossentropy".into(),
            metrics: ["accuracy"].into(),
            ..Compile::default()
        })
        .expect("it compiles");
    let (y_true, y_pred) = (array![[0.0_f32, 1.0], [1.0, 0.0]], array![[0.2_f32, 0.8], [0.4, 0.6]]);
    let (loss, _) = run.value_and_gradient(&y_true, &y_pred).expect("it fits");
    assert!((loss - 0.5697).abs() < 1e-3, "{loss}");
    run.update_metrics(&y_true, &y_pred).expect("it fits");
    assert_eq!(run.logs().expect("logs").number("accuracy"), Some(0.5));
    let parameters = [Parameter { name: "w".into(), path: "w".into(), shape: vec![1], trainable: true }];
    let mut value = [1.0_f32];
    for _ in 0..2 {
        run.apply(&parameters, &[Some(&[1.0])], &mut [&mut value]).expect("it steps");
    }
    // By hand: v = 0.9 v - rate, p += 0.9 v - rate; the rate of the second step is 0.01 / (1 + 1e-6).
    assert!((f64::from(value[0]) - (1.0 - 0.019 - 0.0271)).abs() < 1e-6, "{value:?}");
    assert!((run.optimizer().expect("it is there").learning_rate() - 0.01 / (1.0 + 2e-6)).abs() < 1e-12);
}

#[test]
fn strings_calls_and_objects_create_the_same_loss_and_a_closure_is_a_loss() {
    let host = Host::new();
    let keras = json!({
        "module": "keras.losses",
        "class_name": "Huber",
        "config": {"name": "huber_loss", "reduction": "sum", "delta": 2.0},
        "registered_name": null,
    });
    let spellings: Vec<Identifier> = vec![
        "Huber(delta=2.0, reduction=sum)".into(),
        "standard>Huber(delta=2.0, reduction=sum)".into(),
        json!({"class_name": "huber", "config": {"delta": 2, "reduction": "sum"}}).into(),
        keras.into(),
    ];
    let (y_true, y_pred) = ([0.0_f32, 0.0], [1.0_f32, 5.0]);
    let shape = [2, 1];
    let [y_true, y_pred] = [&y_true, &y_pred].map(|y| plugfit_api::Tensor::new(y, &shape));
    for identifier in spellings {
        let mut loss = host.loss(identifier.clone()).unwrap_or_else(|error| panic!("{identifier}: {error}"));
        let value = loss.value(y_true, y_pred, None, None).and_then(|value| value.scalar()).expect("a number");
        assert_eq!(value, 0.5 + 2.0 * 5.0 - 2.0, "{identifier}");
    }
    let closure = Identifier::callable("twice", |_, y_pred| 2.0 * y_pred[0]);
    let mut loss = host.loss(closure).expect("a closure is a loss");
    assert_eq!(loss.value(y_true, y_pred, None, None).and_then(|value| value.scalar()).expect("a number"), 6.0);
}

/// A loss of this program that is in no plug-in.
#[derive(plugfit_api::Config)]
struct Quartic {
    /// Factor of the loss.
    #[config(default = 1.0)]
    scale: f64,
}

#[plugfit_api::formula]
impl plugfit_api::loss::ElementwiseLoss for Quartic {
    fn value<R: plugfit_api::Real>(&self, y_true: R, y_pred: R) -> R {
        (y_pred - y_true).powi(4) * self.scale
    }
}

#[test]
fn an_instance_of_a_custom_type_is_an_identifier() {
    let quartic = || plugfit_api::instance::elementwise_loss(Quartic { scale: 0.5 });
    let compile = Compile {
        loss: Identifier::from(quartic()).into(),
        metrics: [Identifier::from(quartic())].into(),
        ..Compile::default()
    };
    let mut run = Host::new().compile(compile).expect("it compiles");
    let (y_true, y_pred) = (array![[0.0_f32], [1.0]], array![[2.0_f32], [1.0]]);
    let (loss, gradient) = run.value_and_gradient(&y_true, &y_pred).expect("it fits");
    assert_eq!(loss, 4.0);
    assert_eq!(gradient.as_slice(), Some(&[8.0, 0.0][..]));
    run.update_metrics(&y_true, &y_pred).expect("it fits");
    assert_eq!(run.logs().expect("logs").number("quartic"), Some(4.0));
}
