//! Benchmarks of `--isolate`: the same calls in this process and in a worker.
//! `cargo bench -p plugfit-tests --bench isolation`.
//!
//! Each time is the median of many rounds. "After a pause" is a call one millisecond after the previous one, when
//! neither process spins any more.

use plugfit::{
    Host, component,
    network::Parameter,
    plugin::{Isolation, LoadOptions},
};
use plugfit_api::{Tensor, TensorMut};
use plugfit_tests::build::{library, program};
use std::time::{Duration, Instant};

const ROUNDS: usize = 30;

fn host(isolate: bool) -> Host {
    let isolate = isolate.then(|| Isolation { program: vec![program().into()], ..Isolation::default() });
    let host = Host::with_options(LoadOptions { isolate, ..LoadOptions::default() });
    host.add_builtin();
    ["calibration", "quantile", "stepsize"]
        .iter()
        .fold(host, |host, name| host.with_plugins(library(name)).expect(name))
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Returns the microseconds per call for consecutive calls.
fn in_a_row(calls: u32, call: &mut dyn FnMut()) -> f64 {
    let round = |call: &mut dyn FnMut()| {
        let begin = Instant::now();
        (0..calls).for_each(|_| call());
        begin.elapsed() / calls
    };
    round(call);
    median((0..ROUNDS).map(|_| round(call)).collect())
}

fn after_a_pause(call: &mut dyn FnMut()) -> f64 {
    let paused = |call: &mut dyn FnMut()| {
        std::thread::sleep(Duration::from_millis(1));
        let begin = Instant::now();
        call();
        begin.elapsed()
    };
    median((0..300).map(|_| paused(call)).collect())
}

/// Returns a metric update with this many rows.
fn metric(host: &Host, rows: usize) -> Box<dyn FnMut()> {
    let ids: Vec<f32> = (0..rows).map(|row| (row % 2) as f32).collect();
    let scores: Vec<f32> = (0..rows).map(|row| row as f32 / rows as f32).collect();
    let mut metric = host.metric("calibration>ECE").expect("it is there");
    Box::new(move || {
        let shape = [rows as i64, 1];
        metric.update_state(Tensor::new(&ids, &shape), Tensor::new(&scores, &shape), None, None).expect("it fits");
    })
}

/// Returns a call that computes the value and gradient of a loss.
fn loss(host: &Host) -> Box<dyn FnMut()> {
    let y_true: Vec<f32> = (0..1280).map(|i| (i % 7) as f32).collect();
    let y_pred: Vec<f32> = (0..1280).map(|i| (i % 11) as f32).collect();
    let mut gradient = vec![0.0_f32; 1280];
    let mut loss: component::Loss = host.loss("quantile>PinballLoss").expect("it is there");
    Box::new(move || {
        let shape = [128, 10];
        let (y_true, y_pred) = (Tensor::new(&y_true, &shape), Tensor::new(&y_pred, &shape));
        let mut gradient = TensorMut::new(&mut gradient, &shape);
        loss.value_and_gradient(y_true, y_pred, None, None, 1.0, &mut gradient).expect("it fits");
    })
}

/// Returns an optimizer step with a million parameters and three slots per parameter.
fn optimizer(host: &Host) -> Box<dyn FnMut()> {
    let mut values = vec![0.5_f32; 1_000_000];
    let gradients: Vec<f32> = (0..1_000_000).map(|i| (i % 13) as f32 * 1e-3).collect();
    let shape = vec![1000, 1000];
    let parameter = Parameter { name: "kernel".into(), path: "dense/kernel".into(), shape, trainable: true };
    let mut optimizer = host.optimizer("stepsize>Adan").expect("it is there");
    optimizer.build(&[parameter], &[&values]).expect("it fits");
    Box::new(move || optimizer.apply(&[Some(&gradients)], &mut [&mut values]).expect("it steps"))
}

fn main() {
    let hosts = [host(false), host(true)];
    println!("{:<44} {:>12} {:>12}", "microseconds", "within", "isolated");
    let line = |name: &str, [within, isolated]: [f64; 2]| println!("{name:<44} {within:>12.2} {isolated:>12.2}");
    for rows in [32, 10_000] {
        let calls = if rows == 32 { 5000 } else { 300 };
        line(&format!("metric, {rows} rows"), hosts.each_ref().map(|host| in_a_row(calls, &mut *metric(host, rows))));
        let paused = hosts.each_ref().map(|host| after_a_pause(&mut *metric(host, rows)));
        line(&format!("metric, {rows} rows, after a pause"), paused);
    }
    line("loss, value and gradient, 128 x 10", hosts.each_ref().map(|host| in_a_row(3000, &mut *loss(host))));
    line("loss, after a pause", hosts.each_ref().map(|host| after_a_pause(&mut *loss(host))));
    line("optimizer, a step of 1,000,000 parameters", hosts.each_ref().map(|host| in_a_row(10, &mut *optimizer(host))));
    let begin = Instant::now();
    let created = host(true).metric("calibration>ECE").map(drop);
    created.expect("it is there");
    println!("{:<44} {:>25.2}", "a worker started, with its first component", begin.elapsed().as_secs_f64() * 1e6);
}
