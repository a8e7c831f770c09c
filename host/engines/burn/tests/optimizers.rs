//! Optimizers by formula, compared with the plug-in's compiled functions.

use burn::backend::{Autodiff, NdArray};
use burn::lr_scheduler::LrScheduler as _;
use burn::module::{Module, Param};
use burn::optim::{GradientsParams, Optimizer as _};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::Flex;
use plugfit::{Host, Result};
use plugfit_burn::{Optimizer, Schedule};

type Training = Autodiff<NdArray<f32>>;

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

#[derive(Debug, Module)]
struct Layer<B: Backend> {
    kernel: Param<Tensor<B, 2>>,
    bias: Param<Tensor<B, 1>>,
    unused: Param<Tensor<B, 1>>,
}

fn layer_of<B: AutodiffBackend>(dtype: DType) -> Layer<B> {
    fn param<B: Backend, const D: usize>(data: TensorData, dtype: DType) -> Param<Tensor<B, D>> {
        Param::from_tensor(Tensor::from_data(data, (&Default::default(), dtype)))
    }
    let kernel: Vec<f64> = (0..12).map(|i| f64::from(i * 7 % 12) / 6.0 - 1.0).collect();
    Layer {
        kernel: param(TensorData::new(kernel, [3, 4]), dtype),
        bias: param([0.5, -0.25, 0.0, 1.0].into(), dtype),
        unused: param([1.0, 1.0].into(), dtype),
    }
}

fn layer() -> Layer<Training> {
    layer_of(DType::F32)
}

/// Makes steps with a loss that isn't quadratic, and whose gradient differs between steps.
fn trained<B: AutodiffBackend>(
    optimizer: &mut Optimizer<B>,
    mut layer: Layer<B>,
    steps: std::ops::Range<usize>,
) -> Layer<B> {
    for step in steps {
        let x: Vec<f64> = (0..6).map(|i| ((i + step) % 5) as f64 / 2.0 - 1.0).collect();
        let dtype = layer.kernel.val().dtype();
        let x = Tensor::from_data(TensorData::new(x, [2, 3]), (&Default::default(), dtype));
        let y = x.matmul(layer.kernel.val()) + layer.bias.val().unsqueeze();
        let loss = (y.tanh() - 0.3).powi_scalar(2).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &layer);
        layer = optimizer.step(optimizer.learning_rate().unwrap(), layer, gradients);
    }
    layer
}

fn values<B: AutodiffBackend>(layer: &Layer<B>) -> Vec<f64> {
    let data = [layer.kernel.val().into_data(), layer.bias.val().into_data(), layer.unused.val().into_data()];
    data.iter().flat_map(|data| data.iter::<f64>()).collect()
}

fn greatest_difference(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
}

#[test]
fn steps_are_those_of_the_plug_in() -> Result<()> {
    let host = Host::new();
    for identifier in IDENTIFIERS {
        let mut by_formula = Optimizer::new(&host, identifier)?;
        let mut native = Optimizer::native(&host, identifier)?;
        assert!(by_formula.has_formula() && !native.has_formula(), "{identifier}");
        let found = values(&trained(&mut by_formula, layer(), 0..20));
        let expected = values(&trained(&mut native, layer(), 0..20));
        let difference = greatest_difference(&found, &expected);
        assert!(difference <= BOUND, "{identifier}: {difference:e}");
        assert!(greatest_difference(&found, &values(&layer())) > 0.01, "{identifier}");
        assert_eq!(by_formula.learning_rate()?, native.learning_rate()?, "{identifier}");
        assert_eq!(found[16..], [1.0, 1.0], "{identifier}: a parameter without a gradient has changed");
    }
    Ok(())
}

#[test]
fn float64_is_computed_in_float64_and_bfloat16_in_float32() -> Result<()> {
    fn steps<B: AutodiffBackend>(dtype: DType) -> Result<Vec<f64>> {
        let mut optimizer = Optimizer::<B>::new(&Host::new(), "Adam(learning_rate=0.02)")?;
        let layer = trained(&mut optimizer, layer_of(dtype), 0..20);
        assert_eq!(layer.kernel.val().dtype(), dtype);
        Ok(values(&layer))
    }
    let in_float32 = steps::<Training>(DType::F32)?;
    let difference = greatest_difference(&steps::<Training>(DType::F64)?, &in_float32);
    assert!(difference > 0.0 && difference <= BOUND, "{difference:e}");
    assert!(greatest_difference(&steps::<Autodiff<Flex>>(DType::F32)?, &in_float32) <= BOUND);
    assert!(greatest_difference(&steps::<Autodiff<Flex>>(DType::BF16)?, &in_float32) < 0.1);
    Ok(())
}

#[test]
fn a_learning_rate_holds_for_one_step() -> Result<()> {
    let host = Host::new();
    for optimizer in [Optimizer::<Training>::new(&host, "SGD")?, Optimizer::native(&host, "SGD")?] {
        let mut optimizer = optimizer;
        let configured = optimizer.learning_rate()?;
        for rate in [0.5, configured, 0.25] {
            let layer = layer();
            let old = values(&layer);
            let gradients = GradientsParams::from_grads(layer.kernel.val().sum().backward(), &layer);
            let new = values(&optimizer.step(rate, layer, gradients));
            assert!((old[0] - new[0] - rate).abs() <= BOUND, "{rate}: {} to {}", old[0], new[0]);
        }
    }
    Ok(())
}

#[test]
fn a_wrong_learning_rate_is_refused() -> Result<()> {
    let host = Host::new();
    for optimizer in [Optimizer::<Training>::new(&host, "SGD")?, Optimizer::native(&host, "SGD")?] {
        let mut optimizer = optimizer;
        let step = || optimizer.step(-1.0, layer(), GradientsParams::new());
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("-1 can't be a learning rate"), "{message}");
    }
    Ok(())
}

#[test]
fn parameters_that_need_no_gradient_stay() -> Result<()> {
    let host = Host::new();
    for optimizer in [Optimizer::<Training>::new(&host, "AdamW")?, Optimizer::native(&host, "AdamW")?] {
        let mut optimizer = optimizer;
        let mut layer = layer_of::<Training>(DType::F64);
        layer.kernel = layer.kernel.map(|kernel| kernel.add_scalar(1e-12).detach());
        let old = values(&layer);
        let gradients = GradientsParams::from_grads(layer.bias.val().sum().backward(), &layer);
        let new = values(&optimizer.step(0.1, layer, gradients));
        assert_eq!(new[..12], old[..12]);
        assert!(greatest_difference(&new[12..16], &old[12..16]) > 0.05);
        assert_eq!(new[16..], old[16..]);
    }
    Ok(())
}

#[test]
fn finalize_gives_the_averages() -> Result<()> {
    let host = Host::new();
    let mut optimizer = Optimizer::new(&host, "SGD(learning_rate=0.05, use_ema=true, ema_momentum=0.5)")?;
    let layer = trained(&mut optimizer, layer(), 0..4);
    let last = values(&layer);
    assert!(greatest_difference(&values(&optimizer.finalize(layer)?), &last) > 0.001);
    let mut plain = Optimizer::new(&host, "SGD(learning_rate=0.05)")?;
    let layer = trained(&mut plain, self::layer(), 0..4);
    assert_eq!(values(&layer), last);
    assert_eq!(values(&plain.finalize(layer)?), last);
    Ok(())
}

#[test]
fn a_saved_or_cloned_optimizer_continues() -> Result<()> {
    let host = Host::new();
    for native in [false, true] {
        for identifier in ["Nadam(learning_rate=0.02)", "SGD(learning_rate=0.05, momentum=0.9)"] {
            let make = || if native { Optimizer::native(&host, identifier) } else { Optimizer::new(&host, identifier) };
            let mut optimizer = make()?;
            let middle = trained(&mut optimizer, layer(), 0..5);
            let mut clone = optimizer.clone();
            type Trait = dyn Fn(&Optimizer<Training>) -> plugfit_burn::OptimizerRecord<Training>;
            let record: &Trait = &|optimizer| burn::optim::Optimizer::<Layer<Training>, Training>::to_record(optimizer);
            let record = record(&optimizer);
            let mut loaded = burn::optim::Optimizer::<Layer<Training>, Training>::load_record(make()?, record);
            let expected = values(&trained(&mut optimizer, middle.clone(), 5..10));
            for other in [&mut clone, &mut loaded] {
                assert_eq!(values(&trained(other, middle.clone(), 5..10)), expected, "{identifier}, native: {native}");
            }
        }
    }
    Ok(())
}

#[test]
fn names_exclude_parameters_from_weight_decay() -> Result<()> {
    let host = Host::new();
    let identifier = "SGD(learning_rate=0.5, weight_decay=0.5)";
    for optimizer in [Optimizer::<Training>::new(&host, identifier)?, Optimizer::native(&host, identifier)?] {
        let mut optimizer = optimizer.exclude_from_weight_decay(["bias".to_owned()])?;
        let layer = layer();
        let zero = (layer.kernel.val().sum() + layer.bias.val().sum()).mul_scalar(0.0);
        let gradients = GradientsParams::from_grads(zero.backward(), &layer);
        let values = values(&optimizer.step(0.5, layer, gradients));
        assert_eq!((values[0], &values[12..16]), (-0.75, &[0.5, -0.25, 0.0, 1.0][..]));
    }
    Ok(())
}

#[test]
fn averages_and_optimizers_without_a_formula_are_those_of_the_plug_in() -> Result<()> {
    for identifier in ["SGD(use_ema=true, ema_momentum=0.5)", "Adafactor", "Adam(gradient_accumulation_steps=2)"] {
        let mut optimizer = Optimizer::new(&Host::new(), identifier)?;
        let values = values(&trained(&mut optimizer, layer(), 0..4));
        assert!(!optimizer.has_formula() && values.iter().all(|value| value.is_finite()), "{identifier}");
    }
    Ok(())
}

#[test]
fn a_schedule_is_one_of_burn() -> Result<()> {
    let identifier = "ExponentialDecay(initial_learning_rate=1.0, decay_steps=1, decay_rate=0.5)";
    let mut schedule = Schedule::new(&Host::new(), identifier)?;
    assert_eq!([(); 3].map(|()| schedule.step()), [1.0, 0.5, 0.25]);
    let steps = schedule.to_record::<NdArray>();
    assert_eq!(Schedule::new(&Host::new(), identifier)?.load_record::<NdArray>(steps).step(), 0.125);
    Ok(())
}
