//! Tests of the features with the highest demands on the ABI, through a shared library.

use plugfit::{Host, component::LossValue, network::Parameter};
use plugfit_api::{Inputs, Tensor, TensorMut, loss::LossOutput, metric::Outcome};
use plugfit_tests::build::library;

fn host() -> Host {
    Host::new().with_plugins(library("demanding")).expect("it loads")
}

fn parameter(shape: &[usize]) -> [Parameter; 1] {
    [Parameter { name: "kernel".into(), path: "dense/kernel".into(), shape: shape.to_vec(), trainable: true }]
}

#[test]
fn an_optimizer_can_wrap_an_optimizer_of_another_plugin() {
    let host = Host::new().with_plugins(library("stepsize")).expect("it loads");
    let mut lookahead = host
        .optimizer("Lookahead(optimizer=SGD(momentum=0.5), k=3, alpha=0.5, learning_rate=0.1)")
        .expect("it can be made");
    let mut value = [1.0_f32];
    lookahead.build(&parameter(&[1]), &[&value]).expect("it takes it");
    let names: Vec<String> = lookahead.slots().map(|(_, slot)| slot.spec.name.to_string()).collect();
    assert_eq!(names, ["momentum", "slow"]);
    let mut path = Vec::new();
    for _ in 0..4 {
        lookahead.apply(&[Some(&[1.0])], &mut [&mut value]).expect("it steps");
        path.push(value[0]);
    }
    // The steps of the fast weights are -0.1, -0.15 and -0.175. After the third, the weights go back half of the way.
    let expected = [0.9, 0.75, 1.0 + 0.5 * (0.575 - 1.0), 0.7875 - 0.1875];
    assert!(path.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{path:?}");
    let error = host.optimizer("Lookahead(optimizer=SDG)").map(drop).expect_err("no such optimizer").to_string();
    assert!(error.contains("SDG") && error.contains("SGD"), "{error}");
}

#[test]
fn an_optimizer_can_orthogonalise_the_step_of_a_matrix() {
    let mut muon = host().optimizer("demanding>Muon(rounds=30, learning_rate=1.0)").expect("it can be made");
    let mut value = [0.0_f32; 6];
    muon.build(&parameter(&[2, 3]), &[&value]).expect("it takes it");
    muon.apply(&[Some(&[3.0, 1.0, 0.0, -1.0, 0.5, 2.0])], &mut [&mut value]).expect("it steps");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (a, b) = value.split_at(3);
    for (found, expected) in [(dot(a, a), 1.0), (dot(b, b), 1.0), (dot(a, b), 0.0)] {
        assert!((found - expected).abs() < 1e-4, "{value:?}");
    }
}

#[test]
fn a_loss_can_have_three_inputs_and_two_gradients() {
    let loss = host().loss("GaussianNll").expect("it can be made");
    let loss = loss.plugin();
    let shape = [2];
    let (y_true, y_pred, variance) = ([1.0_f32, 2.0], [1.5_f32, 1.0], [0.5_f32, 2.0]);
    let call = |y_pred: &[f32; 2], variance: &[f32; 2], gradients: Option<[&mut [f32; 2]; 2]>| {
        let tensors = [
            ("y_true", Tensor::new(&y_true, &shape)),
            ("y_pred", Tensor::new(y_pred, &shape)),
            ("variance", Tensor::new(variance, &shape)),
        ];
        let [first, second] = match gradients {
            Some([first, second]) => [Some(TensorMut::new(first, &shape)), Some(TensorMut::new(second, &shape))],
            None => [None, None],
        };
        let mut gradients = [None, first, second];
        let mut output =
            LossOutput { values: None, valid: None, gradients: &mut gradients, upstream: None, scale: 1.0 };
        loss.call(&Inputs::new(&tensors, None, None), &shape, &mut output).expect("it fits").value
    };
    let (mut by_mean, mut by_variance) = ([0.0; 2], [0.0; 2]);
    call(&y_pred, &variance, Some([&mut by_mean, &mut by_variance]));
    let step = 1e-2_f32;
    for i in 0..2 {
        let moved = |by: f32, which: usize| {
            let (mut y_pred, mut variance) = (y_pred, variance);
            if which == 0 {
                y_pred[i] += by
            } else {
                variance[i] += by
            }
            call(&y_pred, &variance, None)
        };
        for (which, derivative) in [(0, by_mean[i]), (1, by_variance[i])] {
            let difference = (moved(step, which) - moved(-step, which)) / f64::from(2.0 * step);
            assert!((difference - f64::from(derivative)).abs() < 1e-2, "{which}: {derivative} is not {difference}");
        }
    }
}

#[test]
fn a_loss_can_mask_times_and_is_averaged_over_the_others() {
    let mut loss = host().loss("MaskedTemporalCrossentropy").expect("it can be made");
    let (y_true, y_pred) = ([0_i32, -1, 1, -1, -1, 1], [0.5_f32; 12]);
    let (y_true, y_pred) = (Tensor::new(&y_true, &[2, 3]), Tensor::new(&y_pred, &[2, 3, 2]));
    let value = loss.value(y_true, y_pred, None, None).and_then(|value| value.scalar()).expect("a number");
    assert!((value - 2.0_f64.ln()).abs() < 1e-6, "{value}");
    let mask = [1_u8, 1, 0, 1, 1, 1];
    let both = loss.value(y_true, y_pred, None, Some(Tensor::new(&mask, &[2, 3]))).and_then(|value| value.scalar());
    assert!((both.expect("a number") - 2.0_f64.ln()).abs() < 1e-6);
    let mut each = host().loss("MaskedTemporalCrossentropy(reduction=none)").expect("it can be made");
    let LossValue::Array { shape, values } = each.value(y_true, y_pred, None, None).expect("it fits") else {
        panic!("values are wanted")
    };
    assert_eq!(shape, [2, 3]);
    assert_eq!(values.iter().filter(|value| **value == 0.0).count(), 3);
}

#[test]
fn a_metric_can_have_a_named_value_for_each_class() {
    let host = host();
    let mut metric = host.metric("ClassF1").expect("it can be made");
    let (y_true, y_pred) = ([0.0_f32, 1.0, 2.0], [0.8_f32, 0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.8, 0.1]);
    let mut other = host.metric("ClassF1").expect("it can be made");
    other.update_state(Tensor::new(&y_true, &[3]), Tensor::new(&y_pred, &[3, 3]), None, None).expect("it fits");
    metric
        .update_state(Tensor::new(&y_true[..1], &[1]), Tensor::new(&y_pred[..3], &[1, 3]), None, None)
        .expect("it fits");
    metric.merge_state(&other).expect("they merge");
    let Outcome::Named(values) = metric.result().expect("a result") else { panic!("names are wanted") };
    let expected = [("class_0", 1.0), ("class_1", 2.0 / 3.0), ("class_2", 0.0)];
    assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn adan_and_prodigy_take_the_steps_of_their_papers() {
    // Values after five steps in float64: algorithm 1 of the Adan paper in numpy (optax 0.2.8 has 1 - beta_2 where the
    // paper and the code of its authors have beta_2), and optax.contrib.prodigy(1.0, estim_lr0=0.01).
    let host = Host::new().with_plugins(library("stepsize")).expect("it loads");
    for (identifier, expected) in [
        ("Adan(learning_rate=0.05)", [0.9330940004529943, -1.9330939992972778, 0.4330940012785061]),
        ("Prodigy(d0=0.01)", [0.9739307132405545, -1.9739307007352933, 0.47393072217287485]),
    ] {
        let mut optimizer = host.optimizer(identifier).unwrap_or_else(|error| panic!("{error}"));
        let mut value = [1.0_f32, -2.0, 0.5];
        optimizer.build(&parameter(&[3]), &[&value]).expect("it takes it");
        for i in 0..5 {
            let factor = (1.0 + 0.5 * i as f32) * if i % 2 == 0 { 1.0 } else { -0.4 };
            let gradient = [0.3 * factor, -factor, 0.2 * factor];
            optimizer.apply(&[Some(&gradient)], &mut [&mut value]).expect("it steps");
        }
        let near = |(a, b): (&f32, f64)| (f64::from(*a) - b).abs() < 2e-5;
        assert!(value.iter().zip(expected).all(near), "{identifier}: {value:?}, {expected:?}");
    }
}
