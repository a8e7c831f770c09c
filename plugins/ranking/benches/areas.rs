//! Updates and results of the exact areas. Scores are in 0..1, and a higher one is more often that of a positive.

use divan::{Bencher, black_box, counter::ItemsCount};
use plugfit_api::{Tensor, prelude::*};
use ranking::RocAuc;

const ROWS: usize = 10_000_000;

fn main() {
    divan::main();
}

struct Data {
    y_true: Vec<f32>,
    single: Vec<f32>,
    double: Vec<f64>,
    weight: Vec<f64>,
}

fn data() -> Data {
    let mut random = 1_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 11) as f64 / (1_u64 << 53) as f64
    };
    let double: Vec<f64> = (0..ROWS).map(|_| next()).collect();
    Data {
        y_true: double.iter().map(|score| f32::from(next() < 0.25 + score / 2.0)).collect(),
        single: double.iter().map(|score| *score as f32).collect(),
        weight: (0..ROWS).map(|_| 0.5 + next()).collect(),
        double,
    }
}

fn bench(bencher: Bencher<'_, '_>, double: bool, weighted: bool) {
    let data = data();
    let shape = [ROWS as i64];
    let y_pred = if double { Tensor::new(&data.double, &shape) } else { Tensor::new(&data.single, &shape) };
    let tensors = [("y_true", Tensor::new(&data.y_true, &shape)), ("y_pred", y_pred)];
    let inputs = Inputs::new(&tensors, weighted.then_some(Tensor::new(&data.weight, &shape)), None);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let mut state = RocAuc.init();
        RocAuc.update(&mut state, black_box(&inputs)).unwrap();
        RocAuc.result(&state).unwrap()
    });
}

#[divan::bench(sample_count = 5)]
fn float32(bencher: Bencher<'_, '_>) {
    bench(bencher, false, false);
}

#[divan::bench(sample_count = 5)]
fn float64(bencher: Bencher<'_, '_>) {
    bench(bencher, true, false);
}

#[divan::bench(sample_count = 5)]
fn float32_with_weights(bencher: Bencher<'_, '_>) {
    bench(bencher, false, true);
}

#[divan::bench(sample_count = 5)]
fn float64_with_weights(bencher: Bencher<'_, '_>) {
    bench(bencher, true, true);
}
