//! The operations that a tensor library provides.

use plugfit::formula::{Binary, Comparison, Logic, Reduction, Unary};

/// The operations of a tensor library on tensors of two axes.
///
/// A tensor has the shape `[rows, columns]`, or has the length 1 along an axis: `[rows, 1]` is a number for each row.
/// Arguments of an operation broadcast. [`plugfit::formula`] says what each operation means.
pub trait Engine {
    /// A tensor of floating-point numbers.
    type Tensor: Clone;
    /// A tensor of truth values.
    type Mask: Clone;
    /// The error of an operation.
    type Error;

    /// Returns the number of elements in a row.
    fn columns(&self) -> usize;

    /// Returns a tensor of shape `[1, columns]` of one number.
    ///
    /// # Errors
    /// Returns the library's error.
    fn filled(&self, number: f64, columns: usize) -> Result<Self::Tensor, Self::Error>;

    /// Returns the tensor of shape `[1, columns]` with the numbers of the elements in a row, from 0.
    ///
    /// # Errors
    /// Returns the library's error.
    fn index(&self) -> Result<Self::Tensor, Self::Error>;

    /// Computes a function of one number.
    ///
    /// # Errors
    /// Returns the library's error.
    fn unary(&self, function: Unary, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// Computes a function of two numbers, of which at least one is a tensor.
    ///
    /// # Errors
    /// Returns the library's error.
    fn binary(
        &self,
        function: Binary,
        x: Operand<'_, Self::Tensor>,
        y: Operand<'_, Self::Tensor>,
    ) -> Result<Self::Tensor, Self::Error>;

    /// Raises to a constant power. A base may be negative if the exponent is whole.
    ///
    /// # Errors
    /// Returns the library's error.
    fn power(&self, x: &Self::Tensor, exponent: f64) -> Result<Self::Tensor, Self::Error>;

    /// Raises a constant, which is 0 or greater, to a power.
    ///
    /// # Errors
    /// Returns the library's error.
    fn power_of(&self, base: f64, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// Returns whether a mask holds everywhere.
    ///
    /// # Errors
    /// Returns the library's error.
    fn all(&self, mask: &Self::Mask) -> Result<bool, Self::Error>;

    /// Compares two numbers, of which at least one is a tensor.
    ///
    /// # Errors
    /// Returns the library's error.
    fn compare(
        &self,
        comparison: Comparison,
        x: Operand<'_, Self::Tensor>,
        y: Operand<'_, Self::Tensor>,
    ) -> Result<Self::Mask, Self::Error>;

    /// Returns the mask that holds where another doesn't.
    ///
    /// # Errors
    /// Returns the library's error.
    fn not(&self, mask: &Self::Mask) -> Result<Self::Mask, Self::Error>;

    /// Combines two masks.
    ///
    /// # Errors
    /// Returns the library's error.
    fn logic(&self, logic: Logic, a: &Self::Mask, b: &Self::Mask) -> Result<Self::Mask, Self::Error>;

    /// Returns `x` where the mask holds, else `y`.
    ///
    /// # Errors
    /// Returns the library's error.
    fn select(
        &self,
        mask: &Self::Mask,
        x: Operand<'_, Self::Tensor>,
        y: Operand<'_, Self::Tensor>,
    ) -> Result<Self::Tensor, Self::Error>;

    /// Reduces the elements of each row to one number; the result has one column.
    ///
    /// # Errors
    /// Returns the library's error.
    fn reduce(&self, reduction: Reduction, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// Returns the element of each row with the number that `index` has for the row; NaN if there is none. The result
    /// has one column.
    ///
    /// # Errors
    /// Returns the library's error.
    fn at(&self, x: &Self::Tensor, index: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
}

/// An argument of an operation.
#[derive(Debug)]
pub enum Operand<'a, T> {
    /// The same number everywhere.
    Number(f64),
    /// A tensor.
    Tensor(&'a T),
}

impl<T> Clone for Operand<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Operand<'_, T> {}

/// The value of a node. Numbers and truth values are the same everywhere, and are computed in float64.
#[derive(Clone, Debug)]
pub enum Value<T, M> {
    /// A number.
    Number(f64),
    /// A tensor of numbers.
    Tensor(T),
    /// A truth value.
    Truth(bool),
    /// A tensor of truth values.
    Mask(M),
}
