//! A convolutional network of burn, trained with a loss, an optimizer and metrics from a folder of plug-ins:
//!
//! ```text
//! cargo build --release -p plugfit-standard -p stepsize -p calibration   # in the root of the repository
//! cargo run --release -p plugfit-burn --example burn_digits -- ../../target/release   # in host/engines
//! ```

use std::error::Error;
use std::path::Path;

use burn::backend::ndarray::NdArrayDevice;
use burn::backend::{Autodiff, NdArray};
use burn::module::{AutodiffModule, Module};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{GradientsParams, Optimizer as _};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use plugfit::Host;
use plugfit_burn::{Loss, Metric, Optimizer};

type Training = Autodiff<NdArray>;

const EPOCHS: usize = 15;
const BATCH: usize = 32;

#[derive(Debug, Module)]
struct Network<B: Backend> {
    first: Conv2d<B>,
    second: Conv2d<B>,
    pool: MaxPool2d,
    dropout: Dropout,
    classes: Linear<B>,
}

impl<B: Backend> Network<B> {
    fn new(device: &B::Device) -> Self {
        let same = |channels| Conv2dConfig::new(channels, [3, 3]).with_padding(PaddingConfig2d::Same);
        Network {
            first: same([1, 16]).init(device),
            second: same([16, 32]).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            dropout: DropoutConfig::new(0.4).init(),
            classes: LinearConfig::new(32 * 4 * 4, 10).init(device),
        }
    }

    fn forward(&self, images: Tensor<B, 4>) -> Tensor<B, 2> {
        let x = relu(self.second.forward(relu(self.first.forward(images))));
        self.classes.forward(self.dropout.forward(self.pool.forward(x).flatten(1, 3)))
    }
}

/// The pixels of the images, 64 each, and their labels.
struct Digits {
    pixels: Vec<f32>,
    labels: Vec<i64>,
}

impl Digits {
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for line in std::fs::read_to_string(path)?.lines().skip(1) {
            let row = line.split(',').map(str::parse::<f32>).collect::<Result<Vec<_>, _>>()?;
            let (label, row) = row.split_last().ok_or("an empty line")?;
            pixels.extend(row.iter().map(|pixel| pixel / 16.0));
            labels.push(*label as i64);
        }
        Ok(Digits { pixels, labels })
    }

    /// Returns images of shape `[n, 1, 8, 8]` and labels of shape `[n]`.
    fn batch<B: Backend>(&self, rows: &[usize], device: &B::Device) -> (Tensor<B, 4>, Tensor<B, 1, Int>) {
        let pixels: Vec<f32> = rows.iter().flat_map(|row| &self.pixels[row * 64..][..64]).copied().collect();
        let labels: Vec<i64> = rows.iter().map(|&row| self.labels[row]).collect();
        let images = Tensor::from_data(TensorData::new(pixels, [rows.len(), 1, 8, 8]), device);
        (images, Tensor::from_data(TensorData::new(labels, [rows.len()]), device))
    }
}

/// Returns the numbers below `count` in an order that differs for each epoch.
fn shuffled(count: usize, epoch: usize) -> Vec<usize> {
    let mut state = epoch as u64 + 1;
    let mut keyed: Vec<(u64, usize)> = (0..count)
        .map(|number| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 16, number)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, number)| number).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("give the folder of the plug-ins, such as ../../target/release")?;
    let host = Host::empty().with_plugins(folder)?;
    let digits = Digits::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits/digits.csv"))?;
    let (count, train) = (digits.labels.len(), digits.labels.len() * 4 / 5);

    let device = NdArrayDevice::default();
    Training::seed(&device, 7);
    let mut network = Network::<Training>::new(&device);
    let loss = Loss::new(&host, "SparseCategoricalCrossentropy(from_logits=true)")?;
    let decay_steps = EPOCHS * train.div_ceil(BATCH);
    let schedule = format!("CosineDecay(initial_learning_rate=0.006, decay_steps={decay_steps})");
    let mut optimizer =
        Optimizer::<Training>::new(&host, format!("stepsize>Adan(learning_rate={schedule}, weight_decay=0.02)"))?;
    let mut accuracy = Metric::new(&host, "SparseCategoricalAccuracy")?;
    let mut calibration = Metric::new(&host, "calibration>ExpectedCalibrationError")?;
    println!("by formula: loss {}, optimizer {}", loss.has_formula(), optimizer.has_formula());

    for epoch in 0..EPOCHS {
        let mut sum = 0.0;
        for rows in shuffled(train, epoch).chunks(BATCH) {
            let (images, labels) = digits.batch(rows, &device);
            let value = loss.forward(labels, network.forward(images))?;
            let gradients = GradientsParams::from_grads(value.backward(), &network);
            network = optimizer.step(optimizer.learning_rate()?, network, gradients);
            sum += f64::from(value.into_scalar()) * rows.len() as f64;
        }
        let (images, labels) = digits.batch::<NdArray>(&(train..count).collect::<Vec<_>>(), &device);
        let probabilities = softmax(network.valid().forward(images), 1);
        for metric in [&mut accuracy, &mut calibration] {
            metric.reset()?;
            metric.update(labels.clone(), probabilities.clone())?;
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
