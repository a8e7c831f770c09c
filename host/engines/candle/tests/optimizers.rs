//! Optimizers by formula, compared with the plug-in's compiled functions.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::Optimizer as _;
use plugfit::Host;
use plugfit_candle::{Optimizer, Schedule};

/// The greatest difference of a parameter after 20 steps, relative to 1.
const BOUND: f64 = 2e-6;

/// Optimizers that have a formula, with settings of the plug-in and of the host.
const IDENTIFIERS: [&str; 15] = [
    "SGD(learning_rate=0.05, momentum=0.9, nesterov=true)",
    "RMSprop(learning_rate=0.01, momentum=0.5, centered=true)",
    "Adam(learning_rate=0.02)",
    "Adam(learning_rate=0.02, amsgrad=true)",
    "AdamW(learning_rate=0.02, weight_decay=0.1)",
    "Adamax(learning_rate=0.02)",
    "Nadam(learning_rate=0.02)",
    "Adagrad(learning_rate=0.1)",
    "Adadelta(learning_rate=1.0)",
    "Ftrl(learning_rate=0.1, l1_regularization_strength=0.01)",
    "Lion(learning_rate=0.01)",
    "Adam(learning_rate=0.02, clipnorm=0.5)",
    "Adam(learning_rate=0.02, global_clipnorm=0.5, loss_scale_factor=4.0)",
    "SGD(learning_rate=0.05, clipvalue=0.1, weight_decay=0.01)",
    "Adam(learning_rate=CosineDecay(initial_learning_rate=0.05, decay_steps=15))",
];

fn variables(dtype: DType) -> Result<Vec<(String, Var)>> {
    let kernel: Vec<f64> = (0..12).map(|i| f64::from(i * 7 % 12) / 6.0 - 1.0).collect();
    let kernel = Tensor::from_vec(kernel, (3, 4), &Device::Cpu)?.to_dtype(dtype)?;
    let bias = Tensor::new(&[0.5, -0.25, 0.0, 1.0], &Device::Cpu)?.to_dtype(dtype)?;
    let unused = Tensor::ones(2, dtype, &Device::Cpu)?;
    let named = [("dense.kernel", kernel), ("dense.bias", bias), ("unused", unused)];
    named.into_iter().map(|(name, value)| Ok((name.to_owned(), Var::from_tensor(&value)?))).collect()
}

/// A loss that isn't quadratic, and whose gradient differs between steps.
fn loss(variables: &[(String, Var)], step: usize) -> Result<Tensor> {
    let x = Tensor::from_vec((0..6).map(|i| ((i + step) % 5) as f64 / 2.0 - 1.0).collect(), (2, 3), &Device::Cpu)?;
    let x = x.to_dtype(variables[0].1.dtype())?;
    let y = x.matmul(&variables[0].1)?.broadcast_add(&variables[1].1)?;
    y.tanh()?.affine(1.0, -0.3)?.sqr()?.sum_all()
}

fn trained(
    make: impl Fn(Vec<(String, Var)>) -> Result<Optimizer>,
    dtype: DType,
    steps: usize,
) -> Result<(Optimizer, Vec<f64>)> {
    let variables = variables(dtype)?;
    let mut optimizer = make(variables.clone())?;
    for step in 0..steps {
        optimizer.backward_step(&loss(&variables, step)?)?;
    }
    let mut values = Vec::new();
    for (_, var) in &variables {
        values.extend(var.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
    }
    Ok((optimizer, values))
}

fn greatest_difference(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
}

#[test]
fn steps_are_those_of_the_plug_in() -> Result<()> {
    let host = Host::new();
    for identifier in IDENTIFIERS {
        let made = || host.optimizer(identifier).unwrap();
        let (by_formula, found) = trained(|variables| Optimizer::named(variables, made()), DType::F32, 20)?;
        let (native, expected) = trained(|variables| Optimizer::native(variables, made()), DType::F32, 20)?;
        assert!(by_formula.has_formula() && !native.has_formula(), "{identifier}");
        let difference = greatest_difference(&found, &expected);
        assert!(difference <= BOUND, "{identifier}: {difference:e}");
        assert_eq!(by_formula.learning_rate(), native.learning_rate(), "{identifier}");
        assert_eq!(found[16..], [1.0, 1.0], "{identifier}: a variable without a gradient has changed");
        assert_ne!(found[..4], trained(|variables| Optimizer::named(variables, made()), DType::F32, 0)?.1[..4]);
    }
    Ok(())
}

#[test]
fn float64_is_computed_in_float64_and_bfloat16_in_float32() -> Result<()> {
    let host = Host::new();
    let make = |variables| Optimizer::named(variables, host.optimizer("Adam(learning_rate=0.02)").unwrap());
    let (_, in_float64) = trained(make, DType::F64, 20)?;
    let (_, in_float32) = trained(make, DType::F32, 20)?;
    let difference = greatest_difference(&in_float64, &in_float32);
    assert!(difference > 0.0 && difference <= BOUND, "{difference:e}");
    let (_, in_bfloat16) = trained(make, DType::BF16, 20)?;
    assert!(greatest_difference(&in_bfloat16, &in_float32) < 0.1);
    Ok(())
}

#[test]
fn small_updates_of_low_precision_add_up() -> Result<()> {
    let host = Host::new();
    for native in [false, true] {
        let x = Var::from_tensor(&Tensor::ones(3, DType::BF16, &Device::Cpu)?)?;
        let given = vec![("x".to_owned(), x.clone())];
        let optimizer = host.optimizer("SGD(learning_rate=0.0001)").unwrap();
        let made = if native { Optimizer::native(given, optimizer) } else { Optimizer::named(given, optimizer) };
        let mut optimizer = made?;
        for _ in 0..500 {
            optimizer.backward_step(&x.sum_all()?)?;
        }
        // bfloat16 alone would round each step away.
        let found: Vec<f32> = x.to_dtype(DType::F32)?.to_vec1()?;
        assert!(found.iter().all(|number| (number - 0.95).abs() < 0.004), "native: {native}, {found:?}");
        // A variable that was changed elsewhere has a new copy.
        x.set(&Tensor::zeros(3, DType::BF16, &Device::Cpu)?)?;
        optimizer.backward_step(&x.sum_all()?)?;
        let found: Vec<f32> = x.to_dtype(DType::F32)?.to_vec1()?;
        assert!(found.iter().all(|number| (number + 0.0001).abs() < 1e-6), "native: {native}, {found:?}");
    }
    Ok(())
}

#[test]
fn names_exclude_variables_from_weight_decay() -> Result<()> {
    let host = Host::new();
    let make = |variables| {
        let mut optimizer = host.optimizer("SGD(learning_rate=0.0, weight_decay=0.5)").unwrap();
        optimizer.set_learning_rate(0.5).unwrap();
        optimizer.exclude_from_weight_decay(["bias".to_owned()]).unwrap();
        (optimizer, variables)
    };
    for native in [false, true] {
        let variables = variables(DType::F32)?;
        let (optimizer, given) = make(variables.clone());
        let optimizer = if native { Optimizer::native(given, optimizer) } else { Optimizer::named(given, optimizer) };
        // A gradient of 0 leaves the decay alone.
        let sum = (variables[0].1.sum_all()? + variables[1].1.sum_all()?)?;
        optimizer?.backward_step(&(&sum - &sum)?)?;
        let kernel: Vec<f32> = variables[0].1.flatten_all()?.to_vec1()?;
        assert_eq!(kernel[0], -0.75, "native: {native}");
        assert_eq!(variables[1].1.to_vec1::<f32>()?, [0.5, -0.25, 0.0, 1.0]);
    }
    Ok(())
}

#[test]
fn averages_and_optimizers_without_a_formula_are_those_of_the_plug_in() -> Result<()> {
    let host = Host::new();
    for identifier in ["SGD(use_ema=true, ema_momentum=0.5)", "Adafactor", "Adam(gradient_accumulation_steps=2)"] {
        let make = |variables| Optimizer::named(variables, host.optimizer(identifier).unwrap());
        let (mut optimizer, values) = trained(make, DType::F32, 4)?;
        assert!(!optimizer.has_formula() && values.iter().all(|value| value.is_finite()), "{identifier}");
        optimizer.finalize()?;
    }
    Ok(())
}

#[test]
fn a_wrong_learning_rate_is_the_error_of_the_next_step() -> Result<()> {
    let variables = variables(DType::F32)?;
    let mut optimizer = Optimizer::named(variables.clone(), Host::new().optimizer("SGD").unwrap())?;
    optimizer.set_learning_rate(-1.0);
    let message = optimizer.backward_step(&loss(&variables, 0)?).unwrap_err().to_string();
    assert!(message.contains("-1 can't be a learning rate"), "{message}");
    optimizer.set_learning_rate(0.5);
    assert_eq!(optimizer.learning_rate(), 0.5);
    optimizer.backward_step(&loss(&variables, 0)?)
}

#[test]
fn a_schedule_sets_the_learning_rate_of_an_optimizer_of_candle() -> Result<()> {
    let host = Host::new();
    let identifier = "ExponentialDecay(initial_learning_rate=1.0, decay_steps=1, decay_rate=0.5)";
    let schedule = Schedule::new(&host, identifier).unwrap();
    let mut optimizer = candle_nn::SGD::new(Vec::new(), 1.0)?;
    schedule.apply(&mut optimizer, 3).unwrap();
    assert_eq!(optimizer.learning_rate(), 0.125);
    Ok(())
}
