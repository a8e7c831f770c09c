//! Measures the time of a forward and backward pass of the embedded network: `cargo bench --bench network`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayD};
use plugfit::network::{Activation, LayerConfig, Network, NetworkConfig, Sequential, Training};

/// Returns the shortest mean time of 15 runs, so that other load on the machine matters less.
fn best_time(mut work: impl FnMut()) -> Duration {
    const MIN_TIME: Duration = Duration::from_millis(20);
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < MIN_TIME {
        work();
        count += 1;
    }
    let run = || {
        let begin = Instant::now();
        (0..count).for_each(|_| work());
        begin.elapsed() / count
    };
    std::iter::repeat_with(run).take(15).min().unwrap_or_default()
}

fn step(network: &mut Sequential, inputs: &ArrayD<f32>, step: u64) {
    network.forward(&inputs.view(), Some(Training { seed: 7, step })).expect("the shape is right");
    let (y_pred, mut gradient) = network.output_and_gradient(0);
    gradient.assign(&y_pred);
    network.backward(&[0]).expect("it was training");
}

fn main() {
    for (widths, activation, batch) in [
        (&[20, 64, 32, 1][..], Activation::Relu, 32),
        (&[20, 64, 32, 1], Activation::Tanh, 32),
        (&[20, 64, 32, 1], Activation::Gelu, 32),
        (&[64, 128, 10], Activation::Relu, 32),
        (&[784, 512, 512, 10], Activation::Relu, 128),
        (&[784, 512, 512, 10], Activation::Gelu, 128),
    ] {
        let (last, hidden) = widths[1..].split_last().expect("a layer");
        let last_activation = if *last == 1 { Activation::Sigmoid } else { Activation::Softmax };
        let mut layers: Vec<_> = hidden.iter().map(|&units| LayerConfig::dense(units, activation)).collect();
        layers.push(LayerConfig::dense(*last, last_activation));
        let config = NetworkConfig { layers, ..NetworkConfig::default() };
        let mut network = Sequential::new(&config, &widths[..1], 7).expect("a network");
        let inputs =
            Array2::from_shape_fn((batch, widths[0]), |(i, j)| ((i * 31 + j * 17) % 23) as f32 / 23.0).into_dyn();
        let products: usize = widths.windows(2).map(|pair| batch * pair[0] * pair[1]).sum();
        // Three products per layer, but the first layer needs no input gradient.
        let multiply_adds = 3 * products - batch * widths[0] * widths[1];
        for threads in [1, rayon::current_num_threads()] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let forward = pool.install(|| {
                best_time(|| network.forward(black_box(&inputs.view()), None).expect("the shape is right"))
            });
            let mut count = 0;
            let both = pool.install(|| {
                best_time(|| {
                    count += 1;
                    step(&mut network, black_box(&inputs), count);
                })
            });
            println!(
                "{}, batch {batch}, {threads} threads: forward {:.2} µs, forward and backward {:.2} µs ({:.0} GFLOP/s)",
                network.summary(),
                forward.as_secs_f64() * 1e6,
                both.as_secs_f64() * 1e6,
                2.0 * multiply_adds as f64 / both.as_secs_f64() * 1e-9
            );
        }
    }
}
