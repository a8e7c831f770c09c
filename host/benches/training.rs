//! Measures milliseconds per training step over epochs of 200 steps: `cargo bench -p plugfit --bench training`.
//!
//! The two models, AdamW, the losses and the metrics are those of the peers' group D. A linear teacher provides the
//! labels, so that units don't die.

use std::time::Instant;

use plugfit::Host;
use plugfit::compile::Compile;
use plugfit::data::{Array, Dataset, Rows, Target};
use plugfit::network::{NetworkConfig, Sequential};
use plugfit::train::{FitConfig, History, Trainer, fit};
use serde_json::json;

const STEPS: usize = 200;

struct Model {
    name: &'static str,
    sizes: &'static [usize],
    batch: usize,
    last: &'static str,
    loss: &'static str,
    metric: &'static str,
}

const MODELS: [Model; 2] = [
    Model {
        name: "784-512-512-10, batch 128",
        sizes: &[784, 512, 512, 10],
        batch: 128,
        last: "linear",
        loss: "SparseCategoricalCrossentropy(from_logits=true)",
        metric: "SparseCategoricalAccuracy",
    },
    Model {
        name: "20-64-32-1, batch 32",
        sizes: &[20, 64, 32, 1],
        batch: 32,
        last: "linear",
        loss: "BinaryCrossentropy(from_logits=true)",
        metric: "BinaryAccuracy",
    },
];

/// Returns approximately normally distributed numbers from a fixed seed.
fn normal(count: usize) -> Vec<f32> {
    let mut state = 7_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn dataset(model: &Model) -> Dataset {
    let (rows, inputs, outputs) = (STEPS * model.batch, model.sizes[0], model.sizes[model.sizes.len() - 1]);
    let all = normal(rows * inputs + inputs * outputs);
    let (x, teacher) = all.split_at(rows * inputs);
    let score = |row: &[f32], output: usize| -> f32 {
        row.iter().zip(teacher[output..].iter().step_by(outputs)).map(|(x, t)| x * t).sum()
    };
    let values = if outputs > 1 {
        let best =
            |row: &[f32]| (1..outputs).fold(0, |best, i| if score(row, i) > score(row, best) { i } else { best });
        Array::I32(Rows::new(x.chunks_exact(inputs).map(|row| best(row) as i32).collect(), &[rows]).expect("rows"))
    } else {
        let flag = |row: &[f32]| f32::from(u8::from(score(row, 0) > 0.0));
        Array::F32(Rows::new(x.chunks_exact(inputs).map(flag).collect(), &[rows, 1]).expect("rows"))
    };
    let target = Target { name: "y".into(), values, class_names: None };
    Dataset::new(Rows::new(x.to_vec(), &[rows, inputs]).expect("rows"), vec![target], None).expect("a dataset")
}

fn run(model: &Model) {
    let data = dataset(model);
    let hidden = &model.sizes[1..model.sizes.len() - 1];
    let mut layers: Vec<String> = hidden.iter().map(|units| format!("Dense({units}, activation=relu)")).collect();
    layers.push(format!("Dense({}, activation={})", model.sizes[model.sizes.len() - 1], model.last));
    let config = NetworkConfig::from_json(&json!({"layers": layers})).expect("a network");
    let mut network = Sequential::new(&config, &[model.sizes[0]], 1).expect("a network");
    let mut compiled = Host::new()
        .compile(Compile {
            optimizer: "AdamW(learning_rate=0.001)".into(),
            loss: model.loss.into(),
            metrics: [model.metric].into(),
            ..Compile::default()
        })
        .expect("it compiles");
    let mut trainer = Trainer::new(&mut network, &mut compiled, &data).expect("it fits");
    // Enough epochs of the small model for most samples to be learnt well, so that gradients would become subnormal.
    let epochs = if model.sizes[0] > 100 { 8 } else { 60 };
    let config = FitConfig { epochs, batch_size: model.batch, ..FitConfig::default() };
    let mut history = History::default();
    let begin = Instant::now();
    rayon::scope(|_| fit(&mut trainer, (&data, None), &config, &mut history, &mut ()).expect("it trains"));
    let all = begin.elapsed();
    let mut steps: Vec<f64> = history.epochs.iter().map(|epoch| epoch.seconds * 1e3 / STEPS as f64).collect();
    steps.sort_by(f64::total_cmp);
    let logs = &history.epochs.last().expect("an epoch").logs;
    println!(
        "{:<28} median {:.4} ms a step, best {:.4}, over {epochs} epochs in {all:.1?}; at the end {logs}",
        model.name,
        steps[steps.len() / 2],
        steps[0],
    );
}

fn main() {
    MODELS.iter().for_each(run);
}
