//! Benchmarks of the plug-in boundary: `cargo bench -p plugfit-tests`.
//!
//! - Loading 50 plug-ins, each from its own file, from discovery until they are usable: 100 ms at most.
//! - Updating a metric with a batch of 32 rows through the boundary, compared with a direct call: 50 ns more at most.
//! - Updating metrics of the standard set with 32 rows. `tests/benches/updates.py` measures the same from Python.

use calibration::ExpectedCalibrationError;
use plugfit::{Host, plugin::Kind};
use plugfit_api::{Config, Inputs, Tensor, metric::Metric};
use plugfit_tests::{build::library, run};
use std::{hint::black_box, path::Path, process::Command, time::Instant};

const PLUGINS: usize = 50;
const ROWS: usize = 32;
const CALLS: u32 = 20_000;
const ROUNDS: usize = 50;

/// Fills a folder with copies of a plug-in, each with a unique name in its manifest.
fn write_copies(folder: &Path) {
    let bytes = std::fs::read(library("calibration")).expect("a library");
    let name = br#""name":"calibration""#;
    let at = bytes.windows(name.len()).position(|window| window == name).expect("a manifest") + br#""name":""#.len();
    for index in 0..PLUGINS {
        let mut copy = bytes.clone();
        copy[at + 8..at + 11].copy_from_slice(format!("{index:03}").as_bytes());
        std::fs::write(folder.join(format!("lib{index:03}.so")), copy).expect("a file");
    }
}

/// Loads the plug-ins of a folder in this process, which has loaded none before, and prints the microseconds taken.
fn load(folder: &Path) {
    let begin = Instant::now();
    let host = Host::new().with_plugins(folder).expect("they load");
    let ece = host.metric("calibrat007>ECE").expect("it is there");
    let time = begin.elapsed();
    black_box(ece);
    assert_eq!(host.plugins().len(), PLUGINS + 1);
    assert!(host.components(Kind::Metric).len() >= 2 * PLUGINS);
    println!("{}", time.as_micros());
}

fn loading() {
    let folder = run::folder();
    write_copies(folder.path());
    let this = std::env::current_exe().expect("a program");
    let mut times: Vec<f64> = (0..11)
        .map(|_| {
            let output = Command::new(&this).arg("load").arg(folder.path()).output().expect("it runs");
            let text = String::from_utf8_lossy(&output.stdout);
            text.trim().parse::<f64>().expect("microseconds") / 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "loading {PLUGINS} plug-ins        {:.1} ms (median of {}), {:.1} ms at most",
        times[5],
        times.len(),
        times[10]
    );
}

/// Returns the nanoseconds per call of the fastest round.
fn time(mut call: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        best = best.min(begin.elapsed().as_secs_f64() / f64::from(CALLS));
    }
    best * 1e9
}

fn updating() {
    let ids: Vec<f32> = (0..ROWS).map(|row| (row % 2) as f32).collect();
    let scores: Vec<f32> = (0..ROWS).map(|row| row as f32 / ROWS as f32).collect();
    let shape = [ROWS as i64, 1];
    let (y_true, y_pred) = (Tensor::new(&ids, &shape), Tensor::new(&scores, &shape));

    let metric = ExpectedCalibrationError::from_json(&serde_json::Map::new()).expect("defaults");
    let mut state = metric.init();
    let tensors = [("y_true", y_true), ("y_pred", y_pred)];
    let directly = time(|| {
        let inputs = Inputs::new(black_box(&tensors), None, None);
        metric.update(black_box(&mut state), &inputs).expect("it fits");
    });

    let host = Host::new().with_plugins(library("calibration")).expect("it loads");
    let mut metric = host.metric("calibration>ECE").expect("it is there");
    let through = time(|| metric.update_state(black_box(y_true), black_box(y_pred), None, None).expect("it fits"));
    println!(
        "updating with {ROWS} rows       {through:.0} ns through the boundary, {directly:.0} ns directly: {:.0} ns more",
        through - directly
    );
}

/// Measures the same updates as `updates.py`.
fn standard() {
    let labels: Vec<f32> = (0..ROWS).map(|row| (row % 2) as f32).collect();
    let scores: Vec<f32> = (0..ROWS).map(|row| row as f32 / ROWS as f32).collect();
    let shape = [ROWS as i64];
    let (y_true, y_pred) = (Tensor::new(&labels, &shape), Tensor::new(&scores, &shape));
    let host = Host::new();
    for name in ["MeanSquaredError", "MeanAbsoluteError", "BinaryAccuracy", "Precision", "AUC"] {
        let mut metric = host.metric(name).expect("it is there");
        let took = time(|| metric.update_state(black_box(y_true), black_box(y_pred), None, None).expect("it fits"));
        println!("{name:20} with {ROWS} rows {took:>6.0} ns");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, folder] = &arguments[..]
        && command == "load"
    {
        return load(Path::new(folder));
    }
    loading();
    updating();
    standard();
}
