//! A custom model with plugfit's training loop, callbacks and metrics: `cargo run --release --example custom_network`.

use ndarray::{ArrayD, ArrayView2, ArrayViewD, ArrayViewMutD, Axis, Ix2, IxDyn, linalg::general_mat_mul};
use plugfit::{
    Host, Result,
    compile::Compile,
    data::{Array, Dataset, Rows, Target},
    network::{Network, Parameter, ParameterVisitor, Training},
    train::{Ended, FitConfig, History, Trainer, fit},
};

/// A linear model with any number of inputs: `x * kernel + bias`.
struct Line {
    parameters: Vec<Parameter>,
    values: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    input_shape: Vec<usize>,
    names: Vec<String>,
    inputs: ArrayD<f32>,
    output: ArrayD<f32>,
    output_gradient: ArrayD<f32>,
}

impl Line {
    fn new(inputs: usize) -> Self {
        let parameter = |name: &str, shape: &[usize]| Parameter {
            name: name.into(),
            path: format!("line/{name}"),
            shape: shape.to_vec(),
            trainable: true,
        };
        Line {
            parameters: vec![parameter("kernel", &[inputs, 1]), parameter("bias", &[1])],
            values: vec![vec![0.0; inputs], vec![0.0]],
            gradients: vec![vec![0.0; inputs], vec![0.0]],
            input_shape: vec![inputs],
            names: vec!["y".into()],
            inputs: ArrayD::zeros(IxDyn(&[0, inputs])),
            output: ArrayD::zeros(IxDyn(&[0, 1])),
            output_gradient: ArrayD::zeros(IxDyn(&[0, 1])),
        }
    }
}

impl Network for Line {
    fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }
    fn output_names(&self) -> &[String] {
        &self.names
    }
    fn output_shape(&self, _: usize) -> &[usize] {
        &[1]
    }

    fn forward(&mut self, inputs: &ArrayViewD<'_, f32>, training: Option<Training>) -> Result<()> {
        let x = inputs.view().into_dimensionality::<Ix2>().expect("rows of inputs");
        let kernel = ArrayView2::from_shape((x.ncols(), 1), &self.values[0]).expect("a column");
        self.output = (x.dot(&kernel) + self.values[1][0]).into_dyn();
        if training.is_some() {
            self.inputs = inputs.to_owned();
            self.output_gradient = ArrayD::zeros(self.output.raw_dim());
        }
        Ok(())
    }
    fn output(&self, _: usize) -> ArrayViewD<'_, f32> {
        self.output.view()
    }
    fn output_and_gradient(&mut self, _: usize) -> (ArrayViewD<'_, f32>, ArrayViewMutD<'_, f32>) {
        (self.output.view(), self.output_gradient.view_mut())
    }
    fn backward(&mut self, _: &[usize]) -> Result<()> {
        let x = self.inputs.view().into_dimensionality::<Ix2>().expect("rows of inputs");
        let d_y = self.output_gradient.view().into_dimensionality::<Ix2>().expect("a column");
        let shape = (x.ncols(), 1);
        let mut kernel = ndarray::ArrayViewMut2::from_shape(shape, &mut self.gradients[0]).expect("a column");
        general_mat_mul(1.0, &x.t(), &d_y, 0.0, &mut kernel);
        self.gradients[1][0] = d_y.sum_axis(Axis(0))[0];
        Ok(())
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
    fn parameter(&self, index: usize) -> &[f32] {
        &self.values[index]
    }
    fn parameter_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.values[index]
    }
    fn visit_parameters<'network>(&'network mut self, visit: &mut ParameterVisitor<'_, 'network>) {
        for (index, (values, gradient)) in self.values.iter_mut().zip(&self.gradients).enumerate() {
            visit(index, values, Some(gradient));
        }
    }
}

fn main() -> Result<()> {
    // y = 2 a - 3 b + 1
    let x: Vec<f32> = (0..400).map(|i| ((i * 37 + i / 2 * 11) % 100) as f32 / 100.0).collect();
    let y: Vec<f32> = x.chunks_exact(2).map(|row| 2.0 * row[0] - 3.0 * row[1] + 1.0).collect();
    let target = Target { name: "y".into(), values: Array::F32(Rows::new(y, &[200, 1])?), class_names: None };
    let (train, validation) = Dataset::new(Rows::new(x, &[200, 2])?, vec![target], None)?.split(0.2)?;

    let mut compiled = Host::new().compile(Compile {
        optimizer: "Adam(learning_rate=0.05)".into(),
        loss: "Huber(delta=0.5)".into(),
        metrics: ["mae", "R2Score"].into(),
        ..Compile::default()
    })?;
    let mut network = Line::new(2);
    let mut trainer = Trainer::new(&mut network, &mut compiled, &train)?;
    let (config, mut history) = (FitConfig { epochs: 60, ..FitConfig::default() }, History::default());
    let ended = fit(&mut trainer, (&train, Some(&validation)), &config, &mut history, &mut ())?;
    assert_eq!(ended, Ended::Done);
    println!("{}", history.epochs.last().expect("an epoch").logs);
    println!("kernel {:.3?}, bias {:.3?}", trainer.network().parameter(0), trainer.network().parameter(1));
    Ok(())
}
