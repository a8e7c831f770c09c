//! A custom model and a custom training loop: `cargo run --release --example custom_loop`.
//!
//! plugfit resolves the optimizer, the loss and the metrics by name; this program implements everything else.

use ndarray::{Array2, Axis, array};
use plugfit::{Host, compile::Compile, component::Parameter};

/// Softmax of a matrix product.
struct Model {
    kernel: Array2<f32>,
}

impl Model {
    fn forward(&self, x: &Array2<f32>) -> Array2<f32> {
        let mut y = x.dot(&self.kernel).mapv(f32::exp);
        y.axis_iter_mut(Axis(0)).for_each(|mut row| row /= row.sum());
        y
    }

    fn backward(x: &Array2<f32>, y: &Array2<f32>, d_y: &Array2<f32>) -> Array2<f32> {
        let inner = (y * d_y).sum_axis(Axis(1)).insert_axis(Axis(1));
        x.t().dot(&(y * &(d_y - &inner)))
    }
}

fn main() -> plugfit::Result<()> {
    let host = Host::new(); // .with_plugins("plugins")? loads more plug-ins
    let mut run = host.compile(Compile {
        optimizer: "AdamW(learning_rate=0.1)".into(),
        loss: "sparse_categorical_crossentropy".into(),
        metrics: ["accuracy", "SparseTopKCategoricalAccuracy(k=2)"].into(),
        ..Compile::default()
    })?;

    let x = array![
        [1.0_f32, 0.0, 0.2],
        [0.9, 0.1, 0.0],
        [0.0, 1.0, 0.1],
        [0.1, 0.8, 0.0],
        [0.0, 0.1, 1.0],
        [0.2, 0.0, 0.9]
    ];
    let labels = array![0_i64, 0, 1, 1, 2, 2];
    let mut model = Model { kernel: Array2::zeros((3, 3)) };
    let parameters = [Parameter { name: "kernel".into(), path: "kernel".into(), shape: vec![3, 3], trainable: true }];

    for step in 1..=50 {
        let y = model.forward(&x);
        let (_, d_y) = run.value_and_gradient(&labels, &y)?; // borrowed, not copied
        let d_y = d_y.into_dimensionality().expect("as many axes as y").to_owned();
        let gradient = Model::backward(&x, &y, &d_y).as_standard_layout().into_owned();
        let values = model.kernel.as_slice_mut().expect("in C order");
        run.apply(&parameters, &[gradient.as_slice()], &mut [values])?;
        run.update_metrics(&labels, &y)?;
        if step % 10 == 0 {
            println!("{step:>3}  {}", run.logs()?);
            run.reset_metrics()?;
        }
    }
    Ok(())
}
