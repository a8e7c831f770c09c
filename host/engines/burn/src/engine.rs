//! The operations of formulas on burn's tensors.

use std::convert::Infallible;

use burn::tensor::{Bool, DType, FloatDType, Tensor, backend::Backend};
use plugfit::formula::{Binary, Comparison, Logic, Reduction, Unary};
use plugfit_emit::{Engine, Operand, Value};

/// Computes in a floating-point dtype on a device. Every tensor is created with the dtype: that of the backend isn't
/// always the default of the device.
pub(crate) struct Burn<B: Backend> {
    columns: usize,
    device: B::Device,
    dtype: DType,
}

/// The value of a node.
pub(crate) type Found<B> = Value<Tensor<B, 2>, Tensor<B, 2, Bool>>;

impl<B: Backend> Burn<B> {
    /// Returns the engine that computes with tensors like this one, which has the elements of rows.
    pub fn like(tensor: &Tensor<B, 2>) -> Self {
        Burn { columns: tensor.dims()[1], device: tensor.device(), dtype: tensor.dtype() }
    }

    fn full(&self, shape: [usize; 2], number: f64) -> Tensor<B, 2> {
        Tensor::full(shape, number, (&self.device, self.dtype))
    }

    /// Returns a value as a tensor. A number gets the shape `[1, 1]`.
    ///
    /// # Panics
    /// Panics if the value is a mask, which no output of a formula is.
    pub fn tensor_of(&self, value: Found<B>) -> Tensor<B, 2> {
        match value {
            Value::Tensor(tensor) => tensor,
            Value::Number(number) => self.full([1, 1], number),
            Value::Truth(_) | Value::Mask(_) => unreachable!("outputs are numbers"),
        }
    }

    fn tensor(&self, operand: Operand<'_, Tensor<B, 2>>) -> Tensor<B, 2> {
        match operand {
            Operand::Number(number) => self.full([1, 1], number),
            Operand::Tensor(tensor) => tensor.clone(),
        }
    }

    /// Returns both as tensors of one shape.
    fn pair(&self, x: Operand<'_, Tensor<B, 2>>, y: Operand<'_, Tensor<B, 2>>) -> [Tensor<B, 2>; 2] {
        let (x, y) = (self.tensor(x), self.tensor(y));
        let shape = common_shape(x.dims(), y.dims());
        [x.expand(shape), y.expand(shape)]
    }

    /// Returns the greater or the smaller number; NaN if one is NaN.
    fn extreme(&self, loses: Comparison, x: Operand<'_, Tensor<B, 2>>, y: Operand<'_, Tensor<B, 2>>) -> Tensor<B, 2> {
        let [x, y] = self.pair(x, y);
        let loses = match loses {
            Comparison::Less => x.clone().lower(y.clone()),
            _ => x.clone().greater(y.clone()),
        };
        x.mask_where(loses.bool_or(y.clone().is_nan()), y)
    }
}

/// Returns the shape to which two shapes broadcast.
fn common_shape(one: [usize; 2], other: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|axis| if one[axis] == 1 { other[axis] } else { one[axis] })
}

fn both<B: Backend>(a: &Tensor<B, 2, Bool>, b: &Tensor<B, 2, Bool>) -> [Tensor<B, 2, Bool>; 2] {
    let shape = common_shape(a.dims(), b.dims());
    [a.clone().expand(shape), b.clone().expand(shape)]
}

impl<B: Backend> Engine for Burn<B> {
    type Tensor = Tensor<B, 2>;
    type Mask = Tensor<B, 2, Bool>;
    type Error = Infallible;

    fn columns(&self) -> usize {
        self.columns
    }

    fn filled(&self, number: f64, columns: usize) -> Result<Self::Tensor, Infallible> {
        Ok(self.full([1, columns], number))
    }

    fn index(&self) -> Result<Self::Tensor, Infallible> {
        let index = Tensor::arange(0..self.columns as i64, &self.device).cast(FloatDType::from(self.dtype));
        Ok(index.reshape([1, self.columns]))
    }

    fn unary(&self, function: Unary, x: &Self::Tensor) -> Result<Self::Tensor, Infallible> {
        let x = x.clone();
        Ok(match function {
            Unary::Neg => x.neg(),
            Unary::Abs => x.abs(),
            Unary::Sqrt => x.sqrt(),
            Unary::Exp => x.exp(),
            // `tanh(x / 2) * (e^x + 1)`, which is exact near 0.
            Unary::ExpM1 => x.clone().mul_scalar(0.5).tanh().mul(x.exp().add_scalar(1.0)),
            Unary::Ln => x.log(),
            Unary::Ln1p => x.log1p(),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => x.neg().exp().add_scalar(1.0).recip(),
            Unary::Softplus => x.clone().clamp_min(0.0).add(x.abs().neg().exp().log1p()),
            Unary::Flush => {
                let is_subnormal = x.clone().abs().lower_elem(f32::MIN_POSITIVE);
                x.mask_fill(is_subnormal, 0.0)
            }
            Unary::Detach => x.detach(),
            Unary::Floor => x.floor(),
            Unary::Cos => x.cos(),
        })
    }

    fn binary(
        &self,
        function: Binary,
        x: Operand<'_, Self::Tensor>,
        y: Operand<'_, Self::Tensor>,
    ) -> Result<Self::Tensor, Infallible> {
        use Operand::{Number, Tensor};
        Ok(match (function, x, y) {
            (Binary::Max, ..) => self.extreme(Comparison::Less, x, y),
            (Binary::Min, ..) => self.extreme(Comparison::Greater, x, y),
            (Binary::Add, Tensor(x), Number(c)) | (Binary::Add, Number(c), Tensor(x)) => x.clone().add_scalar(c),
            (Binary::Mul, Tensor(x), Number(c)) | (Binary::Mul, Number(c), Tensor(x)) => x.clone().mul_scalar(c),
            (Binary::Sub, Tensor(x), Number(c)) => x.clone().sub_scalar(c),
            (Binary::Sub, Number(c), Tensor(x)) => x.clone().neg().add_scalar(c),
            (Binary::Div, Tensor(x), Number(c)) => x.clone().div_scalar(c),
            _ => {
                let [x, y] = self.pair(x, y);
                match function {
                    Binary::Add => x.add(y),
                    Binary::Sub => x.sub(y),
                    Binary::Mul => x.mul(y),
                    _ => x.div(y),
                }
            }
        })
    }

    fn power(&self, x: &Self::Tensor, exponent: f64) -> Result<Self::Tensor, Infallible> {
        let x = x.clone();
        let is_whole = exponent.trunc() == exponent && exponent.abs() < f64::from(i32::MAX);
        Ok(if is_whole { x.powi_scalar(exponent as i32) } else { x.powf_scalar(exponent) })
    }

    fn power_of(&self, base: f64, x: &Self::Tensor) -> Result<Self::Tensor, Infallible> {
        Ok(self.full(x.dims(), base).powf(x.clone()))
    }

    fn all(&self, mask: &Self::Mask) -> Result<bool, Infallible> {
        Ok(mask.clone().all().into_data().iter::<bool>().all(|holds| holds))
    }

    fn compare(
        &self,
        comparison: Comparison,
        x: Operand<'_, Self::Tensor>,
        y: Operand<'_, Self::Tensor>,
    ) -> Result<Self::Mask, Infallible> {
        let [x, y] = self.pair(x, y);
        Ok(match comparison {
            Comparison::Less => x.lower(y),
            Comparison::LessOrEqual => x.lower_equal(y),
            Comparison::Greater => x.greater(y),
            Comparison::GreaterOrEqual => x.greater_equal(y),
            Comparison::Equal => x.equal(y),
        })
    }

    fn not(&self, mask: &Self::Mask) -> Result<Self::Mask, Infallible> {
        Ok(mask.clone().bool_not())
    }

    fn logic(&self, logic: Logic, a: &Self::Mask, b: &Self::Mask) -> Result<Self::Mask, Infallible> {
        let [a, b] = both(a, b);
        Ok(match logic {
            Logic::And => a.bool_and(b),
            Logic::Or => a.bool_or(b),
        })
    }

    fn select(
        &self,
        mask: &Self::Mask,
        x: Operand<'_, Self::Tensor>,
        y: Operand<'_, Self::Tensor>,
    ) -> Result<Self::Tensor, Infallible> {
        let [x, y] = self.pair(x, y);
        let shape = common_shape(mask.dims(), x.dims());
        Ok(y.expand(shape).mask_where(mask.clone().expand(shape), x.expand(shape)))
    }

    fn reduce(&self, reduction: Reduction, x: &Self::Tensor) -> Result<Self::Tensor, Infallible> {
        let x = x.clone();
        Ok(match reduction {
            Reduction::Sum => x.sum_dim(1),
            Reduction::Max => {
                let has_nan = x.clone().is_nan().any_dim(1);
                x.max_dim(1).mask_fill(has_nan, f64::NAN)
            }
        })
    }

    fn at(&self, x: &Self::Tensor, index: &Self::Tensor) -> Result<Self::Tensor, Infallible> {
        let [rows, columns] = [x.dims()[0].max(index.dims()[0]), x.dims()[1]];
        let index = index.clone().expand([rows, 1]);
        let is_in_range = index.clone().greater_equal_elem(0.0).bool_and(index.clone().lower_elem(columns as f64));
        let is_element = is_in_range.bool_and(index.clone().equal(index.clone().floor()));
        let is_missing = is_element.bool_not();
        let position = index.mask_fill(is_missing.clone(), 0.0).int();
        Ok(x.clone().expand([rows, columns]).gather(1, position).mask_fill(is_missing, f64::NAN))
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::NdArray;
    use burn::tensor::TensorData;
    use plugfit::formula::{Formula, Shape};

    use super::*;

    const SHAPE: Shape = Shape { rows: 2, columns: 5 };

    const SPECIAL: [f64; 10] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -2.0, 1.5, -0.3, 1e-39, 1.0, 30.0];

    const OTHERS: [f64; 10] = [1.0, 2.5, f64::NAN, 0.0, -2.0, 3.0, 0.3, -1.0, f64::INFINITY, 30.0];

    fn constant(number: f64) -> String {
        plugfit::formula::Constant::new(number).to_digits()
    }

    /// Checks a formula of elements x (node 0) and y (node 1), of which the last node is the value.
    fn check(nodes: &str) {
        let last = nodes.matches('[').count() + 1;
        let text = format!(
            r#"{{"version": 1, "inputs": [["y_true", "element"], ["y_pred", "element"]], "nodes": [{nodes}],
            "outputs": [["value", {last}]], "axis": -1}}"#
        );
        let formula = Formula::read(&text).unwrap();
        let expected = formula.interpret("value", &[&SPECIAL, &OTHERS], SHAPE).unwrap();
        let [x, y] = [SPECIAL, OTHERS].map(|numbers| {
            let data = TensorData::new(numbers.to_vec(), [2, 5]);
            Tensor::<NdArray, 2>::from_data(data, (&Default::default(), DType::F64))
        });
        let engine = Burn::like(&x);
        let inputs = vec![Value::Tensor(x), Value::Tensor(y)];
        let Ok(found) = plugfit_emit::evaluate(&engine, &formula, &[last], inputs);
        let found = engine.tensor_of(found.into_iter().next().unwrap());
        let found = if expected.len() == 10 { found.expand([2, 5]) } else { found };
        let found: Vec<f64> = found.into_data().iter().collect();
        assert_eq!(found.len(), expected.len(), "{nodes}");
        for (found, expected) in found.iter().zip(&expected) {
            let is_close = (found - expected).abs() <= 1e-14 * expected.abs().max(f64::MIN_POSITIVE);
            let is_equal = found == expected || found.is_nan() && expected.is_nan();
            assert!(is_equal || is_close, "{nodes}: {found} is not {expected}");
        }
    }

    #[test]
    fn functions_are_those_of_the_interpreter() {
        for function in Unary::ALL {
            check(&format!(r#"["{}", 0]"#, function.name()));
        }
        for function in Binary::ALL {
            check(&format!(r#"["{}", 0, 1]"#, function.name()));
            for number in [-1.5, 0.0, f64::INFINITY, f64::NAN] {
                let number = constant(number);
                check(&format!(r#"["const", "{number}"], ["{}", 0, 2]"#, function.name()));
                check(&format!(r#"["const", "{number}"], ["{}", 2, 0]"#, function.name()));
            }
        }
        for (name, parameters) in [
            ("powi", &[-2.0, 0.0, 1.0, 2.0, 3.0, 20.0][..]),
            ("powf", &[0.5, 1.5, 0.0, -0.5]),
            ("power_of", &[0.0, 0.5, 1.0, 2.5]),
        ] {
            let argument = if name == "powf" { r#"["abs", 0], "# } else { "" };
            for &parameter in parameters {
                let node = if name == "powf" { 2 } else { 0 };
                check(&format!(r#"{argument}["{name}", {node}, "{}"]"#, constant(parameter)));
            }
        }
    }

    #[test]
    fn masks_are_those_of_the_interpreter() {
        for comparison in Comparison::ALL {
            let name = comparison.name();
            check(&format!(r#"["{name}", 0, 1], ["select", 2, 0, 1]"#));
            check(&format!(r#"["{name}", 0, 1], ["not", 2], ["select", 3, 0, 1]"#));
            check(&format!(r#"["{name}", 0, 1], ["batch_all", 2], ["select", 3, 0, 1]"#));
        }
        check(r#"["eq", 0, 0], ["eq", 1, 1], ["or", 2, 3], ["batch_all", 4], ["select", 5, 0, 1]"#);
        for logic in Logic::ALL {
            check(&format!(r#"["lt", 0, 1], ["le", 1, 0], ["{}", 2, 3], ["select", 4, 0, 1]"#, logic.name()));
        }
    }

    #[test]
    fn rows_are_those_of_the_interpreter() {
        for reduction in Reduction::ALL {
            check(&format!(r#"["{}", 0]"#, reduction.name()));
            check(&format!(r#"["floor", 1], ["{}", 2], ["mul", 1, 3]"#, reduction.name()));
        }
        check(r#"["index"], ["row_len"], ["div", 2, 3]"#);
        for index in [0.0, 4.0, 5.0, -1.0, 1.5, f64::NAN] {
            check(&format!(r#"["const", "{}"], ["at", 1, 2]"#, constant(index)));
        }
    }
}
