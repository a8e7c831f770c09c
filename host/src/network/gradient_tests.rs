//! Tests of whole networks: gradients against central differences, names, shapes, errors and determinism.

use ndarray::{Array2, ArrayD, ArrayViewD};
use serde_json::{Value, json};

use super::{Network, NetworkConfig, Sequential, Training};

pub(super) const TRAINING: Option<Training> = Some(Training { seed: 7, step: 1 });

pub(super) fn network(config: Value, input_shape: &[usize]) -> Sequential {
    try_network(config, input_shape).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn try_network(config: Value, input_shape: &[usize]) -> crate::Result<Sequential> {
    Sequential::new(&NetworkConfig::from_json(&config)?, input_shape, 3)
}

pub(super) fn inputs(shape: &[usize]) -> ArrayD<f32> {
    let mut i = 0;
    ArrayD::from_shape_simple_fn(shape, || {
        i += 1;
        ((i * 37 % 101) as f32 - 50.0) / 40.0
    })
}

/// The coefficients of the test loss, a linear combination of the outputs.
fn coefficient(output: usize, i: usize) -> f32 {
    ((i * 29 + output * 7) % 19) as f32 / 9.0 - 1.0
}

fn loss(network: &mut Sequential, inputs: &ArrayViewD<'_, f32>, outputs: &[usize]) -> f64 {
    network.forward(inputs, TRAINING).expect("the shape is right");
    let sum = |&o: &usize| -> f64 {
        network.output(o).iter().enumerate().map(|(i, y)| f64::from(*y) * f64::from(coefficient(o, i))).sum()
    };
    outputs.iter().map(sum).sum()
}

pub(super) fn gradients(
    network: &mut Sequential,
    inputs: &ArrayViewD<'_, f32>,
    outputs: &[usize],
) -> Vec<Option<Vec<f32>>> {
    network.forward(inputs, TRAINING).expect("the shape is right");
    for &o in outputs {
        let (_, mut gradient) = network.output_and_gradient(o);
        gradient.iter_mut().enumerate().for_each(|(i, gradient)| *gradient = coefficient(o, i));
    }
    network.backward(outputs).expect("it was training");
    let mut all = Vec::new();
    network.visit_parameters(&mut |_, _, gradient| all.push(gradient.map(<[f32]>::to_vec)));
    all
}

pub(super) fn assert_gradients_match(mut network: Sequential, inputs: &ArrayD<f32>, outputs: &[usize]) {
    let inputs = inputs.view();
    for (index, gradient) in gradients(&mut network, &inputs, outputs).into_iter().enumerate() {
        let path = network.parameters()[index].path.clone();
        if !network.parameters()[index].trainable {
            assert!(gradient.is_none(), "{path} isn't trained");
            continue;
        }
        let gradient = gradient.unwrap_or_else(|| panic!("{path} has no gradient"));
        assert_eq!(gradient.len(), network.parameters()[index].len());
        for (i, got) in gradient.iter().enumerate() {
            const H: f32 = 4e-3;
            let at = network.parameter(index)[i];
            let mut loss_at = |value: f32| {
                network.parameter_mut(index)[i] = value;
                loss(&mut network, &inputs, outputs)
            };
            let want = (loss_at(at + H) - loss_at(at - H)) / f64::from((at + H) - (at - H));
            loss_at(at);
            assert!((f64::from(*got) - want).abs() < 4e-3 * (1.0 + want.abs()), "{path}[{i}]: {got} {want}");
        }
    }
}

#[test]
fn dense_gradients_are_right_for_every_activation() {
    for activation in ["linear", "tanh", "sigmoid", "gelu", "silu", "softplus", "softmax", "selu", "exponential"] {
        let config = json!({"layers": [
            {"class_name": "Dense", "config": {"units": 5, "activation": activation}},
            {"class_name": "Dense", "config": {"units": 3, "activation": activation}},
        ]});
        assert_gradients_match(network(config, &[4]), &inputs(&[6, 4]), &[0]);
    }
}

#[test]
fn gradients_are_right_through_dropout_activation_and_flatten() {
    let config = json!({"layers": [
        {"class_name": "Dense", "config": {"units": 4, "use_bias": false}},
        {"class_name": "Activation", "config": {"activation": "gelu"}},
        "Flatten",
        {"class_name": "Dropout", "config": {"rate": 0.3}},
        {"class_name": "Dense", "config": {"units": 2, "activation": "tanh"}},
        {"class_name": "Activation", "config": {"activation": "softmax"}},
    ]});
    let network = network(config, &[3, 2]);
    assert_eq!(network.output_shape(0), [2]);
    assert_eq!(network.parameters()[1].shape, [12, 2]);
    assert_gradients_match(network, &inputs(&[5, 3, 2]), &[0]);
}

fn two_heads() -> Value {
    json!({
        "layers": [{"class_name": "Dense", "config": {"units": 6, "activation": "tanh"}}],
        "outputs": [
            {"name": "digit", "layers": [{"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}}]},
            {"name": "parity", "layers": [
                {"class_name": "Dense", "config": {"units": 4, "activation": "silu"}},
                {"class_name": "Dense", "config": {"units": 1, "activation": "sigmoid"}},
            ]},
        ],
    })
}

#[test]
fn heads_add_their_gradients_in_the_trunk() {
    assert_gradients_match(network(two_heads(), &[4]), &inputs(&[6, 4]), &[0, 1]);
    let config = json!({"layers": [{"class_name": "Dense", "config": {"units": 3}}], "outputs": {
        "a": [{"class_name": "Activation", "args": ["tanh"]}],
        "b": [{"class_name": "Dropout", "args": [0.5]}],
        "c": ["Flatten"],
    }});
    assert_gradients_match(network(config, &[4]), &inputs(&[6, 4]), &[0, 1, 2]);
}

#[test]
fn the_head_of_an_output_without_loss_has_no_gradient() {
    let mut network = network(two_heads(), &[4]);
    let x = inputs(&[6, 4]);
    let with_gradient = |all: &[Option<Vec<f32>>]| all.iter().map(Option::is_some).collect::<Vec<_>>();
    let all = gradients(&mut network, &x.view(), &[0]);
    assert_eq!(with_gradient(&all), [true, true, true, true, false, false, false, false]);
    let all = gradients(&mut network, &x.view(), &[]);
    assert!(with_gradient(&all).iter().all(|has| !has));
}

#[test]
fn heads_without_a_trunk_and_frozen_layers_are_supported() {
    let config = json!({"outputs": {
        "a": [{"class_name": "Dense", "config": {"units": 2}}],
        "b": [{"class_name": "Dense", "config": {"units": 1}}],
    }});
    assert_gradients_match(network(config, &[4]), &inputs(&[3, 4]), &[0, 1]);
    let config = json!({"layers": [
        {"class_name": "Dense", "config": {"units": 3, "trainable": false}},
        {"class_name": "Dense", "config": {"units": 2, "activation": "tanh"}},
    ], "outputs": {"a": ["Flatten"], "b": [{"class_name": "Dense", "config": {"units": 1, "trainable": false}}]}});
    let mut network = network(config, &[4]);
    let all = gradients(&mut network, &inputs(&[3, 4]).view(), &[0, 1]);
    assert_eq!(all.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true, true, false, false]);
}

#[test]
fn names_match_keras() {
    let network = network(two_heads(), &[4]);
    let paths: Vec<&str> = network.parameters().iter().map(|parameter| parameter.path.as_str()).collect();
    let heads = ["digit/kernel", "digit/bias", "dense_1/kernel", "dense_1/bias", "parity/kernel", "parity/bias"];
    assert_eq!(paths, [&["dense/kernel", "dense/bias"][..], &heads].concat());
    assert_eq!(network.output_names(), ["digit", "parity"]);
    assert_eq!(network.summary(), "4 > 6 tanh > (digit: 3 softmax | parity: 4 silu > 1 sigmoid), 84 parameters");
}

#[test]
fn weights_are_read_and_written_by_path() {
    let mut network = network(two_heads(), &[4]);
    let values = Array2::from_shape_fn((6, 3), |(i, j)| (i * 10 + j) as f32).into_dyn();
    network.set_weight("digit/kernel", &values.view()).expect("the shape is right");
    assert_eq!(network.weight("digit/kernel").expect("it is there"), values);
    let error = network.set_weight("digit/bias", &values.view()).expect_err("another shape");
    assert!(error.message().contains("[3]") && error.message().contains("[6, 3]"), "{error}");
    let error = network.weight("digits/kernel").expect_err("no such path");
    assert_eq!(error.details()[0].0, "near");
}

#[test]
fn batch_size_and_input_layout_do_not_change_the_outputs() {
    let mut network = network(two_heads(), &[4]);
    let x = inputs(&[8, 4]);
    network.forward(&x.view(), None).expect("the shape is right");
    let whole = network.output(0).to_owned();
    let half = x.slice_each_axis(|axis| ndarray::Slice::from(0..if axis.axis.0 == 0 { 3 } else { 4 }));
    network.forward(&half, None).expect("the shape is right");
    assert_eq!(network.output(0).shape(), [3, 3]);
    let transposed = x.view().reversed_axes().as_standard_layout().into_owned();
    network.forward(&transposed.view().reversed_axes(), None).expect("the shape is right");
    assert_eq!(network.output(0), whole);
    network.forward(&inputs(&[0, 4]).view(), TRAINING).expect("an empty batch is one too");
    assert_eq!(network.output(1).shape(), [0, 1]);
    network.backward(&[0]).expect("it was training");
}

#[test]
fn invalid_configurations_and_calls_are_errors() {
    let mut network = network(two_heads(), &[4]);
    let error = network.forward(&inputs(&[2, 5]).view(), None).expect_err("another width");
    assert_eq!(error.message(), "the network takes inputs of shape [N, 4]; these have [2, 5]");
    network.forward(&inputs(&[2, 4]).view(), None).expect("the shape is right");
    assert!(network.backward(&[0]).is_err(), "it wasn't training");
    network.forward(&inputs(&[2, 4]).view(), TRAINING).expect("the shape is right");
    assert!(network.backward(&[2]).is_err(), "there is no third output");

    for (config, shape, says) in [
        (json!({}), &[4][..], "no layers"),
        (json!({"layers": [{"class_name": "Dense", "args": [2]}]}), &[], "at least one number"),
        (json!({"layers": ["Flatten"]}), &[3, 0], "have no numbers"),
        (json!({"outputs": {"a": []}}), &[4], "has no layers"),
        (json!({"outputs": {"a/b": ["Flatten"]}}), &[4], "must not be empty"),
        (
            json!({"layers": [{"class_name": "Flatten", "config": {"name": "a"}}, {"class_name": "Flatten", "config": {"name": "a"}}]}),
            &[4],
            "two layers",
        ),
        (json!({"layers": [{"class_name": "Dense", "args": [1_u64 << 62]}]}), &[4], "fit in memory"),
    ] {
        let error = try_network(config, shape).err().expect("a mistake");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn weights_depend_only_on_the_seed() {
    let weights = |seed| {
        let config = NetworkConfig::from_json(&two_heads()).expect("a network");
        let network = Sequential::new(&config, &[4], seed).expect("a network");
        (0..network.parameters().len()).flat_map(|i| network.parameter(i).to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
}

#[test]
fn all_parameters_can_be_borrowed_at_once() {
    let mut network: Box<dyn Network> = Box::new(network(two_heads(), &[4]));
    network.forward(&inputs(&[6, 4]).view(), TRAINING).expect("the shape is right");
    for output in [0, 1] {
        network.output_and_gradient(output).1.fill(1.0);
    }
    network.backward(&[0, 1]).expect("it was training");
    let before = network.parameter(7).to_vec();
    let mut all = Vec::new();
    network.visit_parameters(&mut |index, values, gradient| all.push((index, values, gradient)));
    for (_, values, gradient) in &mut all {
        let gradient = gradient.expect("every output has a gradient");
        values.iter_mut().zip(gradient).for_each(|(value, gradient)| *value -= 0.1 * gradient);
    }
    assert!(all.iter().map(|(index, ..)| *index).eq(0..8));
    assert_ne!(network.parameter(7), before);
}
