//! Tests of the optimizer of a run: parameter groups, weight decay, loss scales and unusual gradients.

use plugfit::component::Optimizer;
use plugfit::{Host, network::Parameter};
use plugfit_tests::{
    build::library,
    run::{digits, folder, plugfit},
};
use serde_json::json;

fn parameter(path: &str) -> Parameter {
    Parameter { name: "kernel".into(), path: path.into(), shape: vec![2], trainable: true }
}

#[test]
fn groups_can_have_their_own_rate_and_decay_or_be_frozen() {
    let compile = json!({
        "optimizer": "SGD(learning_rate=0.5, weight_decay=0.1)",
        "groups": [
            {"match": "frozen/*", "trainable": false},
            {"match": "slow/*", "learning_rate_factor": 0.1, "weight_decay": 0.0},
        ],
    });
    let mut compiled = Host::new().compile_from_config(&compile).expect("it compiles");
    let parameters = [parameter("frozen/kernel"), parameter("slow/kernel"), parameter("dense/kernel")];
    let mut values = [[1.0_f32; 2]; 3];
    let gradient: &[f32] = &[1.0; 2];
    let mut borrowed: Vec<&mut [f32]> = values.iter_mut().map(|values| &mut values[..]).collect();
    compiled.apply(&parameters, &[Some(gradient); 3], &mut borrowed).expect("a step");
    // p - p * decay * rate - rate * gradient
    assert_eq!(values, [[1.0; 2], [0.95; 2], [1.0 - 0.05 - 0.5; 2]]);
    let config = compiled.get_compile_config().expect("a configuration");
    let again = Host::new().compile_from_config(&config).expect("it compiles");
    assert_eq!(again.get_compile_config().expect("a configuration"), config);
}

#[test]
fn a_group_that_matches_nothing_or_has_an_invalid_setting_is_an_error() {
    let folder = folder();
    let file = digits(folder.path(), "optimizer = \"adam\"\nloss = \"sparse_categorical_crossentropy\"");
    let file = file.to_str().expect("a name");
    for (group, says) in [
        ("{match = \"dens/*\"}", "no parameter matches \"dens/*\""),
        ("{match = \"dense/*\", rate = 1}", "unknown field `rate`"),
        ("{match = \"dense/*\", weight_decay = -1}", "weight_decay can't be -1"),
        ("{match = \"[\"}", "isn't a pattern"),
    ] {
        let set = format!("compile.groups=[{group}]");
        plugfit(folder.path(), &["fit", file, "--set", &set]).with_status(2).says(&[says, "compile.groups"]);
    }
    let set = "compile.groups=[{match = \"dense/*\", trainable = false}]";
    plugfit(folder.path(), &["fit", file, "--set", set, "--out", "run"]).with_status(0);
}

#[test]
fn a_pattern_can_have_its_own_optimizer() {
    let map =
        json!({"default_optimizer": "SGD(learning_rate=0.5)", "optimizer_map": {"slow/.*": "SGD(learning_rate=0.1)"}});
    let optimizer = json!({"class_name": "MultiOptimizer", "config": {"optimizer_map": map}});
    let mut compiled = Host::new().compile_from_config(&json!({"optimizer": optimizer})).expect("it compiles");
    let mut values = [[1.0_f32; 2]; 2];
    let gradient: &[f32] = &[1.0; 2];
    let mut borrowed: Vec<&mut [f32]> = values.iter_mut().map(|values| &mut values[..]).collect();
    let parameters = [parameter("slow/kernel"), parameter("dense/kernel")];
    compiled.apply(&parameters, &[Some(gradient); 2], &mut borrowed).expect("a step");
    assert_eq!(values, [[0.9; 2], [0.5; 2]]);
}

/// Returns all optimizers; those that wrap another one contain one.
fn optimizers() -> (Host, Vec<serde_json::Value>) {
    let host = Host::new().with_plugins(library("stepsize")).expect("it loads");
    let names = [
        "Adadelta",
        "Adafactor",
        "Adagrad",
        "Adam",
        "AdamW",
        "Adamax",
        "Adan",
        "Ftrl",
        "Lamb",
        "Lion",
        "Muon",
        "Nadam",
        "Prodigy",
        "RMSprop",
        "SGD",
        "ScheduleFreeAdamW",
    ];
    let mut all: Vec<_> = names.iter().map(|name| json!({"class_name": name, "config": {}})).collect();
    all.push(json!({"class_name": "Adam", "config": {"amsgrad": true}}));
    all.push(json!({"class_name": "RMSprop", "config": {"centered": true, "momentum": 0.5}}));
    all.push(json!({"class_name": "SGD", "config": {"momentum": 0.9, "nesterov": true}}));
    for inner in ["Adafactor", "Adam"] {
        all.push(json!({"class_name": "Lookahead", "config": {"optimizer": inner, "k": 2}}));
        all.push(
            json!({"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": inner, "initial_scale": 1.0}}),
        );
        let map = json!({"default_optimizer": inner, "optimizer_map": {"empty.*": "Muon"}});
        all.push(json!({"class_name": "MultiOptimizer", "config": {"optimizer_map": map}}));
    }
    (host, all)
}

fn shaped(path: &str, shape: &[usize]) -> Parameter {
    Parameter { name: path.into(), path: path.into(), shape: shape.to_vec(), trainable: true }
}

/// Returns the parameters after steps with these gradients. All parameters start at 1 and have the same gradient.
fn trained(optimizer: &mut Optimizer, parameters: &[Parameter], gradients: &[f32]) -> Vec<Vec<f32>> {
    let count = |parameter: &Parameter| parameter.shape.iter().product::<usize>();
    let mut values: Vec<Vec<f32>> = parameters.iter().map(|parameter| vec![1.0; count(parameter)]).collect();
    let starts: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
    optimizer.build(parameters, &starts).expect("slots");
    for gradient in gradients {
        let gradients: Vec<Vec<f32>> = values.iter().map(|values| vec![*gradient; values.len()]).collect();
        let gradients: Vec<Option<&[f32]>> = gradients.iter().map(|gradient| Some(gradient.as_slice())).collect();
        let mut targets: Vec<&mut [f32]> = values.iter_mut().map(Vec::as_mut_slice).collect();
        optimizer.apply(&gradients, &mut targets).expect("a step");
    }
    let mut targets: Vec<&mut [f32]> = values.iter_mut().map(Vec::as_mut_slice).collect();
    optimizer.finalize(&mut targets).expect("it ends");
    values
}

#[test]
fn a_gradient_that_is_nan_makes_its_parameters_nan() {
    let (host, all) = optimizers();
    let parameters = [shaped("kernel", &[2, 2]), shaped("bias", &[3])];
    for identifier in all {
        // An optimizer that scales the loss skips such a step and reduces the scale.
        if identifier["class_name"] == "LossScaleOptimizer" {
            continue;
        }
        let mut optimizer = host.optimizer(identifier.clone()).expect("it is there");
        let values = trained(&mut optimizer, &parameters, &[0.5, f32::NAN, 0.25]);
        assert!(values.iter().flatten().all(|value| value.is_nan()), "{identifier}: {values:?}");
    }
}

#[test]
fn a_parameter_without_elements_does_not_affect_the_others() {
    let (host, all) = optimizers();
    let whole = [shaped("kernel", &[2, 2]), shaped("bias", &[2])];
    let empty: [&[usize]; 6] = [&[0], &[0, 3], &[3, 0], &[0, 0], &[2, 0, 3], &[2, 3, 0]];
    for identifier in all {
        let make = || host.optimizer(identifier.clone()).expect("it is there");
        let alone = trained(&mut make(), &whole, &[0.5, -0.25, 1.0]);
        let mut parameters = whole.to_vec();
        parameters.extend(empty.iter().enumerate().map(|(i, shape)| shaped(&format!("empty_{i}"), shape)));
        let mut optimizer = make();
        let found = trained(&mut optimizer, &parameters, &[0.5, -0.25, 1.0]);
        assert_eq!(found[..2], alone[..], "{identifier}");
        for (_, slot) in optimizer.slots() {
            let is_finite = match &slot.values {
                plugfit::plugin::SlotValues::Single(values) => values.iter().all(|value| value.is_finite()),
                plugfit::plugin::SlotValues::Double(values) => values.iter().all(|value| value.is_finite()),
            };
            assert!(is_finite, "{identifier}: {}", slot.spec.name);
        }
    }
}

#[test]
fn weights_stay_finite_without_an_epsilon_at_a_rate_of_0_and_if_squared_gradients_overflow() {
    let (host, all) = optimizers();
    let parameters = [shaped("kernel", &[2, 2]), shaped("bias", &[3])];
    for mut identifier in all {
        let class = identifier["class_name"].as_str().expect("a name").to_owned();
        let check = |identifier: &serde_json::Value, gradients: &[f32]| {
            let mut optimizer = host.optimizer(identifier.clone()).expect("it is there");
            let values = trained(&mut optimizer, &parameters, gradients);
            assert!(values.iter().flatten().all(|value| value.is_finite()), "{identifier} {gradients:?}: {values:?}");
            values
        };
        check(&identifier, &[1e3, 1e3, 1e3, 1e3, 1e3]);
        check(&identifier, &[1e20, 1.0, 1e20, 0.0, -1e25, 1.0, 0.0]);
        check(&identifier, &[1e-25, 0.0, 1e-20, 1e-30, 1e-45]);
        identifier["config"]["learning_rate"] = json!(0.0);
        if !["Lookahead", "LossScaleOptimizer", "MultiOptimizer"].contains(&class.as_str()) {
            assert_eq!(check(&identifier, &[0.5, -1.0]), [vec![1.0; 4], vec![1.0; 3]], "{class} moves at a rate of 0");
            identifier["config"]["learning_rate"] = json!(0.01);
        }
        let epsilon = match class.as_str() {
            "SGD" | "Lion" | "Lookahead" | "LossScaleOptimizer" | "MultiOptimizer" => continue,
            "Ftrl" => "initial_accumulator_value",
            "Adafactor" => "epsilon_1",
            _ => "epsilon",
        };
        identifier["config"][epsilon] = json!(0.0);
        if class == "Adagrad" {
            identifier["config"]["initial_accumulator_value"] = json!(0.0);
        }
        check(&identifier, &[0.0, 0.0, 1e-25, 0.5, 0.0]);
        check(&identifier, &[1e-30, 0.0]);
    }
}

#[test]
fn a_loss_scale_has_a_floor_and_recovers_from_it() {
    let host = Host::new();
    for (initial, floor) in [(32768.0, 1.0), (0.25, 0.25)] {
        let config =
            json!({"inner_optimizer": "SGD(learning_rate=1.0)", "initial_scale": initial, "dynamic_growth_steps": 1});
        let identifier = json!({"class_name": "LossScaleOptimizer", "config": config});
        let mut optimizer = host.optimizer(identifier).expect("it is there");
        let mut value = [1.0_f32];
        optimizer.build(&[shaped("w", &[1])], &[&[1.0]]).expect("slots");
        for _ in 0..200 {
            optimizer.apply(&[Some(&[f32::INFINITY])], &mut [&mut value]).expect("a step");
        }
        assert_eq!((optimizer.loss_scale(), value), (floor, [1.0]));
        optimizer.apply(&[Some(&[0.5 * floor as f32])], &mut [&mut value]).expect("a step");
        assert_eq!((optimizer.loss_scale(), value), (2.0 * floor, [0.5]));
        for _ in 0..300 {
            optimizer.apply(&[Some(&[0.0])], &mut [&mut value]).expect("a step");
        }
        assert!(optimizer.loss_scale().is_finite() && value == [0.5]);
    }
}

#[test]
fn exclusions_from_weight_decay_are_regular_expressions_for_parameter_names() {
    let host = Host::new();
    let named = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        Parameter { name: name.into(), path: path.into(), shape: vec![2, 2], trainable: true }
    };
    let parameters = [named("dense/kernel"), named("dense/bias"), named("norm/scale"), named("scale_1/kernel")];
    let decaying = [
        json!({"class_name": "SGD", "config": {"learning_rate": 1.0, "weight_decay": 0.5}}),
        // The setting of the optimizer, or of its inner optimizer.
        json!({"class_name": "Muon", "config": {"learning_rate": 1.0, "weight_decay": 0.5, "adam_weight_decay": 0.5}}),
        json!({"class_name": "Muon", "config": {"learning_rate": 1.0, "weight_decay": 0.5, "adam_weight_decay": 0.5, "exclude_layers": ["dense"]}}),
        json!({"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": "SGD(learning_rate=1.0, weight_decay=0.5)"}}),
        json!({"class_name": "MultiOptimizer", "config": {"optimizer_map": {"default_optimizer": "SGD(learning_rate=1.0, weight_decay=0.5)"}}}),
    ];
    for identifier in decaying {
        for (words, excluded) in [
            (&["bias"][..], [false, true, false, false]),
            (&["^sc"], [false, false, true, false]),
            (&["^(bias|scale)$"], [false, true, true, false]),
            (&["dense"], [false; 4]),
            (&["^b", "l$"], [true, true, false, true]),
            (&[], [false; 4]),
        ] {
            let mut optimizer = host.optimizer(identifier.clone()).expect("it is there");
            optimizer.exclude_from_weight_decay(words.iter().map(|word| (*word).to_owned())).expect("expressions");
            let values = trained(&mut optimizer, &parameters, &[0.0]);
            let is_excluded: Vec<bool> = values.iter().map(|values| values[0] == 1.0).collect();
            assert_eq!(is_excluded, excluded, "{identifier} {words:?}: {values:?}");
        }
    }
    let mut optimizer = host.optimizer("SGD").expect("it is there");
    for (word, reason) in
        [("b[ia", "unclosed character class"), ("(?<=a)b", "look-around"), ("a{1000}{1000}", "size limit")]
    {
        let error = optimizer.exclude_from_weight_decay(["fine".into(), word.into()]).expect_err("none").to_string();
        assert!(error.contains(&format!("{word:?} isn't a regular expression")) && error.contains(reason), "{error}");
    }
}

#[test]
fn the_weight_decay_of_a_group_replaces_that_of_the_optimizer() {
    let parameters = [parameter("slow/kernel"), parameter("dense/kernel")];
    for (optimizer, decay) in [
        ("SGD(learning_rate=0.5, weight_decay=0.1)", 0.1_f32),
        ("Muon(learning_rate=0.5, weight_decay=0.1, adam_weight_decay=0.1)", 0.1),
        ("LossScaleOptimizer(learning_rate=0.5, inner_optimizer=SGD(learning_rate=0.5, weight_decay=0.1))", 0.1),
    ] {
        let groups = json!([{"match": "slow/*", "weight_decay": 0.4}]);
        let compile = json!({"optimizer": optimizer, "groups": groups});
        let mut compiled = Host::new().compile_from_config(&compile).expect("it compiles");
        let mut values = [[1.0_f32; 2]; 2];
        let gradient: &[f32] = &[0.0; 2];
        let mut borrowed: Vec<&mut [f32]> = values.iter_mut().map(|values| &mut values[..]).collect();
        compiled.apply(&parameters, &[Some(gradient); 2], &mut borrowed).expect("a step");
        for (value, decay) in values.iter().zip([0.4, decay]) {
            assert!((value[0] - (1.0 - 0.5 * decay)).abs() < 1e-6, "{optimizer}: {values:?}");
        }
    }
}
