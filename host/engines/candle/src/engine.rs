//! The operations of formulas on candle's tensors.

use candle_core::{D, DType, Device, Result, Tensor};
use plugfit_emit::{Engine, Operand};

use plugfit::formula::{Binary, Comparison, Logic, Reduction, Unary};

/// Computes in a floating-point dtype on a device. The tensors of an element-wise formula may have any equal shapes.
pub(crate) struct Candle {
    pub columns: usize,
    pub dtype: DType,
    pub device: Device,
}

impl Candle {
    /// Returns the engine that computes with tensors like this one.
    pub fn like(tensor: &Tensor, columns: usize) -> Self {
        Candle { columns, dtype: tensor.dtype(), device: tensor.device().clone() }
    }

    /// Returns a tensor without axes.
    pub fn constant(&self, number: f64) -> Result<Tensor> {
        Tensor::new(number, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(&self.device)
    }

    fn tensor(&self, operand: Operand<'_, Tensor>) -> Result<Tensor> {
        match operand {
            Operand::Number(number) => self.constant(number),
            Operand::Tensor(tensor) => Ok(tensor.clone()),
        }
    }

    /// Returns `ln(1 + x)`: the logarithm of the rounded sum, corrected by the rounding error.
    fn ln_1p(&self, x: &Tensor) -> Result<Tensor> {
        let sum = x.affine(1.0, 1.0)?;
        let is_one = sum.eq(1.0)?;
        let rounded = self.select(&is_one, Operand::Number(1.0), Operand::Tensor(&sum.affine(1.0, -1.0)?))?;
        let corrected = (sum.log()? * (x / rounded)?)?;
        let corrected = self.select(&is_one, Operand::Tensor(x), Operand::Tensor(&corrected))?;
        self.select(&sum.eq(f64::INFINITY)?, Operand::Tensor(&sum), Operand::Tensor(&corrected))
    }

    /// Returns the greater or the smaller number; NaN if one is NaN.
    fn extreme(&self, loses: Comparison, x: Operand<'_, Tensor>, y: Operand<'_, Tensor>) -> Result<Tensor> {
        use Operand::{Number, Tensor};
        match (x, y) {
            (Number(c), Tensor(x)) | (Tensor(x), Number(c)) if !c.is_nan() => {
                self.select(&self.compare(loses, Tensor(x), Number(c))?, Number(c), Tensor(x))
            }
            (x, y) => {
                let y_is_number = self.compare(Comparison::Equal, y, y)?;
                let kept = self.select(&y_is_number, x, y)?;
                self.select(&self.compare(loses, x, y)?, y, Tensor(&kept))
            }
        }
    }
}

/// Returns the shape to which tensors of equal ranks, or without axes, broadcast.
fn common_shape(tensors: &[&Tensor]) -> Vec<usize> {
    let rank = tensors.iter().map(|tensor| tensor.rank()).max().unwrap_or(0);
    let same_rank = tensors.iter().filter(|tensor| tensor.rank() == rank);
    let length = |lengths: &[usize]| lengths.iter().copied().find(|&length| length != 1).unwrap_or(1);
    let same_rank: Vec<&[usize]> = same_rank.map(|tensor| tensor.dims()).collect();
    (0..rank).map(|axis| length(&same_rank.iter().map(|dims| dims[axis]).collect::<Vec<_>>())).collect()
}

impl Engine for Candle {
    type Tensor = Tensor;
    /// 1 where it holds, else 0, in uint8.
    type Mask = Tensor;
    type Error = candle_core::Error;

    fn columns(&self) -> usize {
        self.columns
    }

    fn filled(&self, number: f64, columns: usize) -> Result<Tensor> {
        self.constant(number)?.broadcast_as((1, columns))
    }

    fn index(&self) -> Result<Tensor> {
        let index = Tensor::arange(0, self.columns as i64, &Device::Cpu)?.to_dtype(self.dtype)?;
        index.to_device(&self.device)?.reshape((1, self.columns))
    }

    fn unary(&self, function: Unary, x: &Tensor) -> Result<Tensor> {
        match function {
            Unary::Neg => x.neg(),
            Unary::Abs => x.abs(),
            Unary::Sqrt => x.sqrt(),
            Unary::Exp => x.exp(),
            // `tanh(x / 2) * (e^x + 1)`, which is exact near 0.
            Unary::ExpM1 => x.affine(0.5, 0.0)?.tanh()? * x.exp()?.affine(1.0, 1.0)?,
            Unary::Ln => x.log(),
            Unary::Ln1p => self.ln_1p(x),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => candle_nn::ops::sigmoid(x),
            Unary::Softplus => x.relu()? + self.ln_1p(&x.abs()?.neg()?.exp()?)?,
            Unary::Flush if self.device.is_cpu() => {
                let is_subnormal = x.abs()?.lt(f64::from(f32::MIN_POSITIVE))?;
                self.select(&is_subnormal, Operand::Number(0.0), Operand::Tensor(x))
            }
            Unary::Flush => Ok(x.clone()),
            Unary::Detach => Ok(x.detach()),
            Unary::Floor => x.floor(),
            Unary::Cos => x.cos(),
        }
    }

    fn binary(&self, function: Binary, x: Operand<'_, Tensor>, y: Operand<'_, Tensor>) -> Result<Tensor> {
        use Operand::{Number, Tensor};
        match (function, x, y) {
            (Binary::Max, ..) => self.extreme(Comparison::Less, x, y),
            (Binary::Min, ..) => self.extreme(Comparison::Greater, x, y),
            (Binary::Add, Tensor(x), Number(c)) | (Binary::Add, Number(c), Tensor(x)) => x.affine(1.0, c),
            (Binary::Mul, Tensor(x), Number(c)) | (Binary::Mul, Number(c), Tensor(x)) => x.affine(c, 0.0),
            (Binary::Sub, Tensor(x), Number(c)) => x.affine(1.0, -c),
            (Binary::Sub, Number(c), Tensor(x)) => x.affine(-1.0, c),
            (Binary::Add, ..) => self.tensor(x)?.broadcast_add(&self.tensor(y)?),
            (Binary::Sub, ..) => self.tensor(x)?.broadcast_sub(&self.tensor(y)?),
            (Binary::Mul, ..) => self.tensor(x)?.broadcast_mul(&self.tensor(y)?),
            (Binary::Div, ..) => self.tensor(x)?.broadcast_div(&self.tensor(y)?),
        }
    }

    fn power(&self, x: &Tensor, exponent: f64) -> Result<Tensor> {
        if exponent == 2.0 { x.sqr() } else { x.powf(exponent) }
    }

    fn power_of(&self, base: f64, x: &Tensor) -> Result<Tensor> {
        self.constant(base)?.broadcast_as(x.shape())?.pow(x)
    }

    fn all(&self, mask: &Tensor) -> Result<bool> {
        let failed = mask.eq(0_u8)?.to_dtype(DType::F32)?.sum_all()?;
        Ok(failed.to_scalar::<f32>()? == 0.0)
    }

    fn compare(&self, comparison: Comparison, x: Operand<'_, Tensor>, y: Operand<'_, Tensor>) -> Result<Tensor> {
        let (x, y) = (self.tensor(x)?, self.tensor(y)?);
        match comparison {
            Comparison::Less => x.broadcast_lt(&y),
            Comparison::LessOrEqual => x.broadcast_le(&y),
            Comparison::Greater => x.broadcast_gt(&y),
            Comparison::GreaterOrEqual => x.broadcast_ge(&y),
            Comparison::Equal => x.broadcast_eq(&y),
        }
    }

    fn not(&self, mask: &Tensor) -> Result<Tensor> {
        mask.eq(0_u8)
    }

    fn logic(&self, logic: Logic, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        match logic {
            Logic::And => a.broadcast_mul(b),
            Logic::Or => a.broadcast_maximum(b),
        }
    }

    fn select(&self, mask: &Tensor, x: Operand<'_, Tensor>, y: Operand<'_, Tensor>) -> Result<Tensor> {
        let (x, y) = (self.tensor(x)?, self.tensor(y)?);
        let shape = common_shape(&[mask, &x, &y]);
        let [mask, x, y] = [mask, &x, &y].map(|tensor| tensor.broadcast_as(&shape[..]));
        mask?.where_cond(&x?, &y?)
    }

    fn reduce(&self, reduction: Reduction, x: &Tensor) -> Result<Tensor> {
        match reduction {
            Reduction::Sum => x.sum_keepdim(D::Minus1),
            Reduction::Max => {
                let has_nan = x.ne(x)?.max_keepdim(D::Minus1)?;
                let greatest = x.max_keepdim(D::Minus1)?;
                self.select(&has_nan, Operand::Number(f64::NAN), Operand::Tensor(&greatest))
            }
        }
    }

    fn at(&self, x: &Tensor, index: &Tensor) -> Result<Tensor> {
        use Operand::{Number, Tensor};
        let (rows, columns) = (x.dim(0)?.max(index.dim(0)?), x.dim(1)?);
        let index = index.broadcast_as((rows, 1))?;
        let is_in_range = (index.ge(0.0)? * index.lt(columns as f64)?)?;
        let is_element = (is_in_range * index.eq(&index.floor()?)?)?;
        let position = self.select(&is_element, Tensor(&index), Number(0.0))?.to_dtype(DType::U32)?;
        let found = x.broadcast_as((rows, columns))?.contiguous()?.gather(&position.contiguous()?, 1)?;
        self.select(&is_element, Tensor(&found), Number(f64::NAN))
    }
}
