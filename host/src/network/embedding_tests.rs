//! Tests of embeddings in whole networks.

use ndarray::{Array2, ArrayD, array};
use serde_json::{Value, json};

use super::gradient_tests::{TRAINING, assert_gradients_match, gradients, network, try_network};
use super::{Network, NetworkConfig};

fn columns() -> Value {
    json!({
        "embeddings": [
            {"name": "city", "column": 2, "categories": 3, "dim": 2},
            {"name": "km/h", "column": 0, "categories": 4, "dim": 1},
        ],
        "layers": [{"class_name": "Dense", "config": {"units": 3, "activation": "tanh"}}],
    })
}

fn rows() -> ArrayD<f32> {
    array![[3.0, 0.5, 1.0, -1.5], [0.0, 0.25, 2.0, 0.5], [3.0, -0.5, 1.0, 2.0], [1.0, 1.0, 0.0, 1.0]].into_dyn()
}

#[test]
fn embedded_columns_follow_the_others_in_the_order_of_the_embeddings() {
    let mut config = columns();
    config["layers"] = json!([{"class_name": "Activation", "args": ["linear"]}]);
    let mut network = network(config, &[4]);
    network
        .set_weight("embedding_city/embeddings", &array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].into_dyn().view())
        .unwrap();
    network.set_weight("embedding_km/h/embeddings", &array![[7.0], [8.0], [9.0], [10.0]].into_dyn().view()).unwrap();
    network.forward(&rows().view(), None).unwrap();
    let want: Array2<f32> = array![
        [0.5, -1.5, 3.0, 4.0, 10.0],
        [0.25, 0.5, 5.0, 6.0, 7.0],
        [-0.5, 2.0, 3.0, 4.0, 10.0],
        [1.0, 1.0, 1.0, 2.0, 8.0]
    ];
    assert_eq!(network.output(0), want.into_dyn());
}

#[test]
fn tables_start_uniform_within_a_twentieth() {
    let network = network(columns(), &[4]);
    let table = network.weight("embedding_city/embeddings").unwrap();
    assert_eq!(table.shape(), [3, 2]);
    assert!(table.iter().all(|value| value.abs() <= 0.05 && *value != 0.0), "{table}");
    assert_ne!(table[[0, 0]], network.weight("embedding_km/h/embeddings").unwrap()[[0, 0]]);
}

#[test]
fn gradients_of_equal_ids_are_added() {
    assert_gradients_match(network(columns(), &[4]), &rows(), &[0]);
    let heads = json!({"embeddings": columns()["embeddings"], "outputs": {
        "a": [{"class_name": "Dense", "args": [2, "tanh"]}],
        "b": [{"class_name": "Dense", "args": [1]}],
    }});
    assert_gradients_match(network(heads, &[4]), &rows(), &[0, 1]);
    let mut network = network(columns(), &[4]);
    let all = gradients(&mut network, &rows().view(), &[0]);
    let speed = all[1].as_ref().unwrap();
    assert_eq!(speed[2], 0.0, "no row has the id 2");
    assert!(speed[3] != 0.0);
}

#[test]
fn a_value_that_is_no_id_is_an_error_that_names_the_column() {
    let mut network = network(columns(), &[4]);
    for (column, value, says) in [
        (2, 3.0, "the column \"city\" has the category id 3; ids are 0 to 2"),
        (0, -1.0, "the column \"km/h\" has the category id -1; ids are 0 to 3"),
        (0, 0.5, "the category id 0.5"),
        (2, f32::NAN, "the category id NaN"),
    ] {
        let mut rows = rows();
        rows[[1, column]] = value;
        let error = network.forward(&rows.view(), TRAINING).expect_err("no id").to_string();
        assert!(error.contains(says), "{error}");
        assert!(network.backward(&[0]).is_err(), "the forward pass failed");
    }
    network.forward(&rows().view(), TRAINING).expect("the network is as before");
}

#[test]
fn configurations_with_embeddings_round_trip_and_are_counted() {
    let config = NetworkConfig::from_json(&columns()).unwrap();
    assert_eq!(NetworkConfig::from_json(&config.to_json()).unwrap(), config);
    assert_eq!(config.to_json()["embeddings"], columns()["embeddings"]);
    assert!(NetworkConfig::default().to_json().get("embeddings").is_none());
    let network = network(columns(), &[4]);
    assert_eq!(network.parameter_count(), 6 + 4 + 5 * 3 + 3);
    assert_eq!(config.count_parameters(&[4]), Some(network.parameter_count()));
    assert_eq!(config.count_parameters(&[1]), None);
    assert_eq!(network.summary(), "4 > embeddings (city: 3 x 2, km/h: 4 x 1) > 3 tanh, 28 parameters");
    let paths: Vec<&str> = network.parameters().iter().map(|parameter| parameter.path.as_str()).collect();
    assert_eq!(paths[..2], ["embedding_city/embeddings", "embedding_km/h/embeddings"]);
}

#[test]
fn invalid_embeddings_are_errors() {
    let one = |name: &str, column: u64, categories: u64, dim: u64| json!({"name": name, "column": column, "categories": categories, "dim": dim});
    for (embeddings, shape, says) in [
        (json!([one("a", 4, 2, 2)]), &[4][..], "\"a\" embeds column 4; there are 4"),
        (json!([one("a", 1, 2, 2), one("b", 1, 2, 2)]), &[4], "as \"a\" and as \"b\""),
        (json!([one("a", 1, 2, 2), one("a", 2, 2, 2)]), &[4], "two embeddings are called \"a\""),
        (json!([one("a", 1, 1 << 25, 2)]), &[4], "33,554,432 categories"),
        (json!([one("a", 1, 1 << 24, 1 << 60)]), &[4], "fit in memory"),
        (json!([one("a", 1, 2, 2)]), &[4, 2], "have the shape [4, 2]"),
        (json!([one("a", 1, 0, 2)]), &[4], "needs \"categories\""),
        (json!([one("a", 1, 2, 0)]), &[4], "needs \"dim\""),
        (json!([one("", 1, 2, 2)]), &[4], "has no name"),
        (json!([{"name": "a"}]), &[4], "needs \"column\""),
        (json!({}), &[4], "a list of columns"),
    ] {
        let config = json!({"embeddings": embeddings, "layers": ["Dense(2)"]});
        let error = try_network(config, shape).err().expect("a mistake").to_string();
        assert!(error.contains(says), "{error}");
    }
    let layer = json!({"class_name": "Dense", "config": {"units": 2, "name": "embedding_a"}});
    let config = json!({"embeddings": [one("a", 1, 2, 2)], "layers": [layer]});
    assert!(try_network(config, &[4]).err().expect("the name is taken").to_string().contains("two layers"));
}
