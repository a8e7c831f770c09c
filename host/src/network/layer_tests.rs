//! Tests of embeddings, normalisations and residual connections in whole networks.

use serde_json::{Value, json};

use super::gradient_tests::{TRAINING, assert_gradients_match, gradients, inputs, network, try_network};
use super::{Network, NetworkConfig, Sequential};

/// A layer with a name.
fn layer(class: &str, config: Value) -> Value {
    json!({"class_name": class, "config": config})
}

fn dense(units: usize, activation: &str) -> Value {
    layer("Dense", json!({"units": units, "activation": activation}))
}

/// Compares the gradients of a trained dense layer before `layers` and of `layers` with central differences, with heads
/// too.
fn check_layers(layers: &[Value]) {
    let config = json!({"layers": ([&[dense(4, "tanh")], layers].concat())});
    assert_trained_gradients(network(config, &[3]), &[0]);
    let heads = json!({
        "layers": [dense(4, "tanh")],
        "outputs": [
            {"name": "a", "layers": layers},
            {"name": "b", "layers": ([layers, &[dense(2, "linear")]].concat())},
        ],
    });
    assert_trained_gradients(network(heads, &[3]), &[0, 1]);
}

fn assert_trained_gradients(network: Sequential, outputs: &[usize]) {
    assert_gradients_match(network, &inputs(&[7, 3]), outputs);
}

#[test]
fn gradients_of_batch_normalization_are_right() {
    check_layers(&["BatchNormalization".into()]);
    check_layers(&[layer("BatchNormalization", json!({"center": false, "epsilon": 0.1})), dense(3, "silu")]);
    check_layers(&[dense(3, "tanh"), layer("BatchNormalization", json!({"scale": false}))]);
}

#[test]
fn gradients_of_layer_normalization_are_right() {
    check_layers(&["LayerNormalization".into()]);
    check_layers(&[layer("LayerNormalization", json!({"center": false, "epsilon": 0.1})), dense(3, "silu")]);
    check_layers(&[layer("LayerNormalization", json!({"scale": false, "gamma_initializer": "he_normal"}))]);
}

#[test]
fn gradients_of_rescaling_are_right() {
    check_layers(&[layer("Rescaling", json!({"scale": 2.5, "offset": -1}))]);
    check_layers(&[layer("Rescaling", json!({"scale": [0.5, 2.0, -1.0, 3.0]})), dense(3, "silu")]);
}

#[test]
fn rescaling_multiplies_and_adds() {
    let layers = |config: Value| json!({"layers": [layer("Rescaling", config)]});
    let mut scaled = network(layers(json!({"scale": [2.0, 3.0], "offset": 1.0})), &[2]);
    let x = ndarray::array![[1.0_f32, 10.0], [-1.0, 0.5]].into_dyn();
    scaled.forward(&x.view(), None).expect("it fits");
    assert_eq!(scaled.output(0).as_slice(), Some(&[3.0_f32, 31.0, -1.0, 2.5][..]));
    for config in [
        json!({"scale": [1.0, 2.0, 3.0]}),
        json!({}),
        json!({"scale": "x"}),
        json!({"scale": []}),
        json!({"scale": 1e300}),
    ] {
        assert!(try_network(layers(config.clone()), &[2]).is_err(), "{config}");
    }
}

#[test]
fn gradients_of_residual_connections_are_right() {
    let named = |name: &str| layer("Dense", json!({"units": 4, "activation": "tanh", "name": name}));
    let add = |from: &str| layer("Add", json!({"from": from}));
    for layers in [
        vec![named("a"), dense(4, "silu"), add("a")],
        vec![named("a"), add("a")],
        vec![named("a"), dense(4, "silu"), add("a"), named("b"), add("a"), add("b"), dense(2, "tanh")],
        vec![named("a"), dense(6, "silu"), dense(4, "linear"), add("a"), layer("LayerNormalization", json!({}))],
        vec![layer("Activation", json!({"activation": "linear", "name": "x"})), named("a"), add("x"), add("x")],
    ] {
        check_trunk_and_head(&layers);
    }
}

/// Like [`check_layers`], with each list once, because it has names.
fn check_trunk_and_head(layers: &[Value]) {
    let trunk = json!({"layers": ([&[dense(4, "tanh")], layers].concat())});
    assert_trained_gradients(network(trunk, &[3]), &[0]);
    let head = json!({"layers": [dense(4, "tanh")], "outputs": [
        {"name": "y", "layers": layers},
        {"name": "z", "layers": [dense(1, "tanh")]},
    ]});
    assert_trained_gradients(network(head, &[3]), &[0, 1]);
}

#[test]
fn a_residual_connection_adds_and_knows_the_names_beside_it() {
    let config = json!({"layers": [
        layer("Activation", json!({"activation": "relu", "name": "first"})),
        layer("Activation", json!({"activation": "tanh"})),
        layer("Add", json!({"from": "first"})),
    ]});
    let mut network = network(config, &[3]);
    let x = inputs(&[2, 3]);
    network.forward(&x.view(), None).unwrap();
    let want = x.mapv(|x: f32| x.max(0.0) + x.max(0.0).tanh());
    assert!(network.output(0).iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-6));
    assert_eq!(network.summary(), "3 > relu > tanh > add first, 0 parameters");
    for (layers, says) in [
        (json!([dense(3, "relu"), "Add(from=dens)"]), "near    dense"),
        (json!(["Add(from=dense)", dense(3, "relu")]), "no earlier layer"),
        (json!([dense(3, "relu"), dense(2, "relu"), "Add(from=dense)"]), "[3], to an input of shape [2]"),
        (json!(["Add"]), "Add needs \"from\""),
    ] {
        let error = try_network(json!({"layers": layers}), &[3]).err().expect("a mistake").to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn moving_statistics_follow_training_steps_only() {
    let config = json!({"layers": [layer("BatchNormalization", json!({"momentum": 0.5}))]});
    let mut network = network(config, &[2]);
    let x = ndarray::array![[1.0_f32, 10.0], [3.0, 10.0]].into_dyn();
    let moving = |network: &Sequential| (network.parameter(2).to_vec(), network.parameter(3).to_vec());
    network.forward(&x.view(), None).unwrap();
    network.forward(&x.view(), TRAINING).unwrap();
    assert_eq!(moving(&network), (vec![0.0; 2], vec![1.0; 2]), "no step has ended");
    let all = gradients(&mut network, &x.view(), &[0]);
    assert_eq!(all.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(moving(&network), (vec![1.0, 5.0], vec![1.0, 0.5]));
    let trainable: Vec<bool> = network.parameters().iter().map(|parameter| parameter.trainable).collect();
    assert_eq!(trainable, [true, true, false, false]);
    network.forward(&inputs(&[0, 2]).view(), TRAINING).unwrap();
    network.backward(&[0]).unwrap();
    assert_eq!(moving(&network), (vec![1.0, 5.0], vec![1.0, 0.5]), "an empty batch has no statistics");
}

#[test]
fn the_statistics_of_a_head_without_a_loss_are_updated_too() {
    let config = json!({"outputs": [
        {"name": "a", "layers": [dense(1, "tanh")]},
        {"name": "b", "layers": ["BatchNormalization"]},
    ]});
    let mut network = network(config, &[2]);
    gradients(&mut network, &inputs(&[4, 2]).view(), &[0]);
    assert_ne!(network.weight("b/moving_mean").unwrap()[0], 0.0);
}

#[test]
fn a_frozen_batch_normalization_uses_and_keeps_its_moving_statistics() {
    let frozen = layer("BatchNormalization", json!({"trainable": false, "name": "bn"}));
    let mut network = network(json!({"layers": [dense(2, "tanh"), frozen]}), &[3]);
    let x = inputs(&[4, 3]);
    let all = gradients(&mut network, &x.view(), &[0]);
    assert_eq!(all.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, false, false, false]);
    assert_eq!(network.weight("bn/moving_mean").unwrap().as_slice(), Some(&[0.0, 0.0][..]));
    let in_training = network.output(0).to_owned();
    network.forward(&x.view(), None).unwrap();
    assert_eq!(network.output(0), in_training);
}

#[test]
fn an_embedding_layer_replaces_ids_and_adds_their_gradients() {
    let config = json!({"layers": ["Embedding(5, 2)", "Flatten", dense(3, "tanh")]});
    let mut network = network(config.clone(), &[2]);
    let ids = ndarray::array![[4.0_f32, 0.0], [4.0, 4.0], [1.0, 3.0]].into_dyn();
    assert_eq!(network.summary(), "2 > embedding 5 x 2 > flatten > 3 tanh, 25 parameters");
    assert_eq!(network.parameters()[0].path, "embedding/embeddings");
    let error = network.forward(&inputs(&[3, 2]).view(), None).expect_err("no ids").to_string();
    assert!(error.contains("an input of the layer \"embedding\" is"), "{error}");
    assert_gradients_match(network, &ids, &[0]);
    for (layers, says) in [
        (json!([dense(2, "tanh"), "Embedding(5, 2)"]), "put the Embedding first"),
        (json!(["Embedding(5)"]), "needs \"output_dim\""),
        (json!(["Embedding(5, 2, mask_zero=true)"]), "mask_zero"),
        (json!(["Embedding(16777217, 2)"]), "16,777,217 categories"),
    ] {
        let error = try_network(json!({"layers": layers}), &[3]).err().expect("a mistake").to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn settings_of_normalizations_are_checked_and_round_trip() {
    for (text, says) in [
        ("BatchNormalization(axis=1)", "\"axis\" must be -1"),
        ("BatchNormalization(momentum=1.5)", "from 0 to 1"),
        ("BatchNormalization(renorm=true)", "no \"renorm\""),
        ("BatchNormalization(epsilon=-1)", "\"epsilon\" must be"),
        ("LayerNormalization(rms_scaling=true)", "no \"rms_scaling\""),
        ("LayerNormalization(momentum=0.9)", "no setting \"momentum\""),
    ] {
        let error = try_network(json!({"layers": [text]}), &[3]).err().expect("a mistake").to_string();
        assert!(error.contains(says), "{error}");
    }
    let config = json!({"layers": [
        "BatchNormalization(momentum=0.9, epsilon=0.01, center=false, moving_mean_initializer=ones, name=b)",
        "LayerNormalization(axis=-1, scale=false, beta_initializer=he_normal)",
        "Add(from=b)",
        "Embedding(3, 4, ones)",
    ]});
    let config = NetworkConfig::from_json(&config).expect("a network");
    assert_eq!(NetworkConfig::from_json(&config.to_json()).expect("a network"), config);
}
