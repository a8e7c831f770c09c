//! A convolutional network of candle, trained with a loss, an optimizer and metrics from a folder of plug-ins:
//!
//! ```text
//! cargo build -p plugfit-standard -p stepsize -p calibration   # in the root of the repository
//! cargo run -p plugfit-candle --example candle_digits -- ../../target/debug   # in host/engines
//! ```

use std::error::Error;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Dropout, Linear, ModuleT, Optimizer as _, VarBuilder, VarMap};
use plugfit::Host;
use plugfit_candle::{Loss, Metric, Optimizer};

const EPOCHS: usize = 25;
const BATCH: usize = 32;

struct Network {
    first: Conv2d,
    second: Conv2d,
    dropout: Dropout,
    classes: Linear,
}

impl Network {
    fn new(variables: VarBuilder<'_>) -> candle_core::Result<Self> {
        let same = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        Ok(Network {
            first: candle_nn::conv2d(1, 16, 3, same, variables.pp("first"))?,
            second: candle_nn::conv2d(16, 32, 3, same, variables.pp("second"))?,
            dropout: Dropout::new(0.4),
            classes: candle_nn::linear(32 * 4 * 4, 10, variables.pp("classes"))?,
        })
    }
}

impl ModuleT for Network {
    fn forward_t(&self, images: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let x = self.second.forward_t(&self.first.forward_t(images, train)?.relu()?, train)?.relu()?;
        let x = self.dropout.forward_t(&x.max_pool2d(2)?.flatten_from(1)?, train)?;
        self.classes.forward_t(&x, train)
    }
}

/// Returns images of shape `[n, 1, 8, 8]` and labels of shape `[n]`.
fn read(path: &Path) -> Result<(Tensor, Tensor), Box<dyn Error>> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for line in std::fs::read_to_string(path)?.lines().skip(1) {
        let row = line.split(',').map(str::parse::<f32>).collect::<Result<Vec<_>, _>>()?;
        let (label, row) = row.split_last().ok_or("an empty line")?;
        pixels.extend(row.iter().map(|pixel| pixel / 16.0));
        labels.push(*label as u32);
    }
    let images = Tensor::from_vec(pixels, (labels.len(), 1, 8, 8), &Device::Cpu)?;
    Ok((images, Tensor::new(labels, &Device::Cpu)?))
}

/// Returns the numbers below `count` in an order that differs for each epoch.
fn shuffled(count: usize, epoch: usize) -> Vec<u32> {
    let mut state = epoch as u64 + 1;
    let mut keyed: Vec<(u64, u32)> = (0..count as u32)
        .map(|number| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 16, number)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, number)| number).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::args().nth(1).ok_or("give the folder of the plug-ins, such as ../../target/debug")?;
    let host = Host::empty().with_plugins(folder)?;

    let (images, labels) = read(&here.join("../../examples/digits/digits.csv"))?;
    let count = images.dim(0)?;
    let train = count * 4 / 5;
    let validation = (images.narrow(0, train, count - train)?, labels.narrow(0, train, count - train)?);

    let map = VarMap::new();
    let network = Network::new(VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
    let loss = Loss::new(&host, "SparseCategoricalCrossentropy(from_logits=true)")?;
    let decay_steps = EPOCHS * train.div_ceil(BATCH);
    let schedule = format!("CosineDecay(initial_learning_rate=0.006, decay_steps={decay_steps})");
    let optimizer = host.optimizer(format!("stepsize>Adan(learning_rate={schedule}, weight_decay=0.02)"))?;
    let mut optimizer = Optimizer::of_map(&map, optimizer)?;
    let mut accuracy = Metric::new(&host, "SparseCategoricalAccuracy")?;
    let mut calibration = Metric::new(&host, "calibration>ExpectedCalibrationError")?;
    println!("by formula: loss {}, optimizer {}", loss.has_formula(), optimizer.has_formula());

    for epoch in 0..EPOCHS {
        let mut sum = 0.0;
        for batch in shuffled(train, epoch).chunks(BATCH) {
            let batch = Tensor::new(batch, &Device::Cpu)?;
            let (x, y) = (images.index_select(&batch, 0)?, labels.index_select(&batch, 0)?);
            let value = loss.forward(&y, &network.forward_t(&x, true)?)?;
            optimizer.backward_step(&value)?;
            sum += f64::from(value.to_scalar::<f32>()?) * y.elem_count() as f64;
        }
        let probabilities = candle_nn::ops::softmax(&network.forward_t(&validation.0, false)?, 1)?;
        for metric in [&mut accuracy, &mut calibration] {
            metric.reset()?;
            metric.update(&validation.1, &probabilities)?;
        }
        println!(
            "epoch {:>2}  loss {:.4}  validation accuracy {:.4}  calibration error {:.4}",
            epoch + 1,
            sum / train as f64,
            accuracy.compute()?,
            calibration.compute()?
        );
    }
    if accuracy.compute()? < 0.97 {
        return Err("the validation accuracy is below 0.97".into());
    }
    Ok(())
}
