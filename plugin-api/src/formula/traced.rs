//! The number that records the operations of a formula.

use super::trace::{constant_of, record, same, Reference};
use crate::{
    real::{with_constants, ClassId, Mask, Real},
    row::Row,
};
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub};

/// A number without a value. Each operation with it appends a node to the formula that this thread records.
#[derive(Clone, Copy, Debug)]
pub struct Traced(pub(super) Number);

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// The derivative of a constant: 0, and so is every product with it.
    Zero,
    Node(Reference),
}

/// The mask of a comparison of [`Traced`] numbers.
#[derive(Clone, Copy, Debug)]
pub struct TracedMask(Reference);

impl Traced {
    pub(super) fn reference(self) -> Reference {
        match self.0 {
            Number::Zero => record("const", &[], Some(0.0)),
            Number::Node(reference) => reference,
        }
    }

    fn unary(self, operation: &'static str) -> Self {
        node(operation, &[self], None)
    }

    fn is_zero(self) -> bool {
        matches!(self.0, Number::Zero)
    }

    /// Whether this is the constant `value`, of which 0 and -0 are the same.
    fn is(self, value: f64) -> bool {
        match self.0 {
            Number::Zero => value == 0.0,
            Number::Node(reference) => constant_of(reference) == Some(value),
        }
    }

    /// Returns the sum of a number for each row over all rows, in the result of a metric with bins for each column.
    pub fn batch_sum(self) -> Self {
        self.unary("batch_sum")
    }

    fn compare(self, operation: &'static str, other: Self) -> TracedMask {
        TracedMask(record(operation, &[self.reference(), other.reference()], None))
    }
}

impl<'a> Row<'a, Traced> {
    /// Creates the row of an element that stands for all, for a formula that is recorded element by element.
    pub fn of_element(element: &'a Traced) -> Self {
        Row::new(std::slice::from_ref(element))
    }
}

fn node(operation: &'static str, arguments: &[Traced], constant: Option<f64>) -> Traced {
    let mut references = [None; 3];
    for (place, argument) in references.iter_mut().zip(arguments) {
        *place = Some(argument.reference());
    }
    let references: Vec<Reference> = references.into_iter().flatten().collect();
    Traced(Number::Node(record(operation, &references, constant)))
}

impl TracedMask {
    /// Whether the mask holds everywhere in the batch.
    pub fn everywhere(self) -> Self {
        TracedMask(record("batch_all", &[self.0], None))
    }
}

impl BitAnd for TracedMask {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        TracedMask(record("and", &[self.0, other.0], None))
    }
}
impl BitOr for TracedMask {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        TracedMask(record("or", &[self.0, other.0], None))
    }
}
impl Not for TracedMask {
    type Output = Self;
    fn not(self) -> Self {
        TracedMask(record("not", &[self.0], None))
    }
}
impl Mask for TracedMask {}

// What changes no number isn't recorded: adding 0, multiplying by 1.
impl Neg for Traced {
    type Output = Self;
    fn neg(self) -> Self {
        if self.is_zero() {
            self
        } else {
            self.unary("neg")
        }
    }
}
impl Add for Traced {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        if self.is(0.0) {
            other
        } else if other.is(0.0) {
            self
        } else {
            node("add", &[self, other], None)
        }
    }
}
impl Sub for Traced {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        if other.is(0.0) {
            self
        } else if self.is_zero() {
            -other
        } else {
            node("sub", &[self, other], None)
        }
    }
}
impl Mul for Traced {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        if self.is_zero() || other.is_zero() {
            Traced(Number::Zero)
        } else if self.is(1.0) {
            other
        } else if other.is(1.0) {
            self
        } else {
            node("mul", &[self, other], None)
        }
    }
}
impl Div for Traced {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        if self.is_zero() || other.is(1.0) {
            self
        } else {
            node("div", &[self, other], None)
        }
    }
}
with_constants! { [] Traced }

impl Real for Traced {
    type Mask = TracedMask;

    fn from(constant: f64) -> Self {
        Traced(Number::Node(record("const", &[], Some(constant))))
    }
    fn zero() -> Self {
        Traced(Number::Zero)
    }
    fn lt(self, other: Self) -> TracedMask {
        self.compare("lt", other)
    }
    fn le(self, other: Self) -> TracedMask {
        self.compare("le", other)
    }
    fn gt(self, other: Self) -> TracedMask {
        self.compare("gt", other)
    }
    fn ge(self, other: Self) -> TracedMask {
        self.compare("ge", other)
    }
    fn eq(self, other: Self) -> TracedMask {
        self.compare("eq", other)
    }
    fn is_common(_: TracedMask) -> bool {
        true
    }
    fn row_sum(self) -> Self {
        self.unary("row_sum")
    }
    fn row_max(self) -> Self {
        self.unary("row_max")
    }
    fn row_argmax(elements: &[Self]) -> Self {
        let x = elements[0];
        let (most, index) = (x.row_max(), node("index", &[], None));
        let first = -Self::select(x.eq(most), -index, <Self as Real>::from(f64::NEG_INFINITY)).row_max();
        Self::select(most.eq(most), first, most)
    }
    fn row_partial_sums(elements: &[Self], after: bool) -> Vec<Self> {
        elements.iter().map(|x| x.unary(if after { "row_after" } else { "row_before" })).collect()
    }
    fn row_index(_: usize) -> Self {
        node("index", &[], None)
    }
    fn to_class_id(self) -> ClassId<Self> {
        ClassId::of(0, self)
    }
    fn row_len(_: usize) -> Self {
        node("row_len", &[], None)
    }
    fn row_at(elements: &[Self], class: ClassId<Self>) -> Self {
        node("at", &[elements[0], class.number()], None)
    }
    fn select(mask: TracedMask, then: Self, otherwise: Self) -> Self {
        if then.is_zero() && otherwise.is_zero() {
            return then;
        }
        Traced(Number::Node(record("select", &[mask.0, then.reference(), otherwise.reference()], None)))
    }
    fn exp(self) -> Self {
        self.unary("exp")
    }
    fn exp_m1(self) -> Self {
        self.unary("exp_m1")
    }
    fn ln(self) -> Self {
        self.unary("ln")
    }
    fn ln_1p(self) -> Self {
        self.unary("ln_1p")
    }
    fn sqrt(self) -> Self {
        self.unary("sqrt")
    }
    fn abs(self) -> Self {
        self.unary("abs")
    }
    fn tanh(self) -> Self {
        self.unary("tanh")
    }
    fn sigmoid(self) -> Self {
        self.unary("sigmoid")
    }
    fn softplus(self) -> Self {
        self.unary("softplus")
    }
    fn flush_subnormal(self) -> Self {
        self.unary("flush")
    }
    fn floor(self) -> Self {
        self.unary("floor")
    }
    fn cos(self) -> Self {
        self.unary("cos")
    }
    fn power_of(self, base: f64) -> Self {
        node("power_of", &[self], Some(base))
    }
    fn detach(self) -> Self {
        self.unary("detach")
    }
    fn powf(self, exponent: f64) -> Self {
        node("powf", &[self], Some(exponent))
    }
    fn powi(self, exponent: i32) -> Self {
        match exponent {
            0 => <Self as Real>::from(1.0),
            1 => self,
            2 => self * self,
            _ => node("powi", &[self], Some(exponent.into())),
        }
    }
    fn max(self, other: Self) -> Self {
        // The maximum over a row starts with minus infinity.
        if other.is(f64::NEG_INFINITY) || same(self.reference(), other.reference()) {
            self
        } else if self.is(f64::NEG_INFINITY) {
            other
        } else {
            node("max", &[self, other], None)
        }
    }
    fn min(self, other: Self) -> Self {
        node("min", &[self, other], None)
    }
}
