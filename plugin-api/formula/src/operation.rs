//! The operations of a formula.

use std::fmt;

/// A constant: the bits of a float64, so that equal constants are those with equal bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Constant(u64);

impl Constant {
    /// Creates a constant. Every NaN becomes the same NaN.
    pub fn new(value: f64) -> Self {
        Constant(if value.is_nan() { f64::NAN } else { value }.to_bits())
    }

    /// Returns the constant as a float64.
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// Reads 16 hexadecimal digits.
    pub fn from_digits(digits: &str) -> Option<Self> {
        let is_plain = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let bits = u64::from_str_radix(digits, 16).ok().filter(|_| is_plain)?;
        Some(Constant::new(f64::from_bits(bits)))
    }

    /// Returns the 16 hexadecimal digits.
    pub fn to_digits(self) -> String {
        format!("{:016x}", self.0)
    }
}

impl fmt::Debug for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.value())
    }
}

/// Declares a group of operations with the names that they have in a document.
macro_rules! operations {
    ($(#[$doc:meta])* $group:ident: $($(#[$item_doc:meta])* $item:ident $name:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $group {
            $($(#[$item_doc])* $item,)*
        }

        impl $group {
            /// Every operation of the group.
            pub const ALL: &[$group] = &[$($group::$item),*];

            /// Returns the name of the operation in a document.
            pub fn name(self) -> &'static str {
                match self { $($group::$item => $name,)* }
            }

            /// Returns the operation of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.name() == name)
            }
        }
    };
}

operations! {
    /// A function of one number.
    Unary:
    /// `-x`
    Neg "neg",
    /// The absolute value.
    Abs "abs",
    /// The square root; NaN below 0.
    Sqrt "sqrt",
    /// `e^x`
    Exp "exp",
    /// `e^x - 1`, exact near 0.
    ExpM1 "exp_m1",
    /// The natural logarithm; NaN below 0.
    Ln "ln",
    /// `ln(1 + x)`, exact near 0.
    Ln1p "ln_1p",
    /// The hyperbolic tangent.
    Tanh "tanh",
    /// `1 / (1 + e^-x)`
    Sigmoid "sigmoid",
    /// `ln(1 + e^x)`, without overflow.
    Softplus "softplus",
    /// The greatest whole number that isn't above `x`; its derivative is 0.
    Floor "floor",
    /// The cosine of `x` in radians.
    Cos "cos",
    /// 0 if the absolute value is below the least normal float32, else `x`.
    Flush "flush",
    /// `x`, of which the derivative is 0.
    Detach "detach",
}

operations! {
    /// A function of two numbers.
    Binary:
    /// `x + y`
    Add "add",
    /// `x - y`
    Sub "sub",
    /// `x * y`
    Mul "mul",
    /// `x / y`
    Div "div",
    /// The greater number; NaN if one is NaN.
    Max "max",
    /// The smaller number; NaN if one is NaN.
    Min "min",
}

impl Binary {
    /// Returns whether the order of the arguments doesn't matter.
    pub fn is_commutative(self) -> bool {
        matches!(self, Binary::Add | Binary::Mul | Binary::Max | Binary::Min)
    }
}

operations! {
    /// A power with a constant exponent or base.
    Power:
    /// `c^x` for a constant `c >= 0`.
    Of "power_of",
    /// `x^c` for `x >= 0`; `0^0` is 1.
    Real "powf",
    /// `x^c` for any `x` and a whole number `c`; `0^0` is 1.
    Whole "powi",
}

operations! {
    /// A comparison of two numbers, which gives a mask. It is false if an argument is NaN.
    Comparison:
    /// `x < y`
    Less "lt",
    /// `x <= y`
    LessOrEqual "le",
    /// `x > y`
    Greater "gt",
    /// `x >= y`
    GreaterOrEqual "ge",
    /// `x == y`
    Equal "eq",
}

operations! {
    /// A function of two masks.
    Logic:
    /// Both hold.
    And "and",
    /// At least one holds.
    Or "or",
}

operations! {
    /// A function of the elements of a row, which gives a row.
    Reduction:
    /// The sum.
    Sum "row_sum",
    /// The maximum; NaN if an element is NaN.
    Max "row_max",
}

operations! {
    /// A sum of some elements of a row for each element, which gives an element.
    PartialSum:
    /// The sum of the elements before this one.
    Before "row_before",
    /// The sum of the elements after this one.
    After "row_after",
}

/// An operation with its arguments: the numbers of earlier nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The input of this number.
    Input(usize),
    /// A constant.
    Constant(Constant),
    /// A function of one number.
    Unary(Unary, usize),
    /// A function of two numbers.
    Binary(Binary, usize, usize),
    /// A power with a constant exponent.
    Power(Power, usize, Constant),
    /// A comparison of two numbers.
    Compare(Comparison, usize, usize),
    /// The mask that holds where the argument doesn't.
    Not(usize),
    /// The mask of the whole batch: whether the argument holds everywhere.
    BatchAll(usize),
    /// A function of two masks.
    Logic(Logic, usize, usize),
    /// The first number where the mask (the first argument) holds, else the second number.
    Select(usize, usize, usize),
    /// A function of the elements of a row.
    Reduce(Reduction, usize),
    /// A sum of some elements of a row for each element.
    PartialSum(PartialSum, usize),
    /// The sum of a number of rows over all rows.
    BatchSum(usize),
    /// The number of elements in a row.
    RowLength,
    /// The number of an element in its row, from 0.
    Index,
    /// The element of a row (the first argument) with a number (the second); NaN if there is none.
    At(usize, usize),
}

impl Operation {
    /// Returns its name in a document; that of an input is "input", which no document contains.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Input(_) => "input",
            Operation::Constant(_) => "const",
            Operation::Unary(unary, _) => unary.name(),
            Operation::Binary(binary, ..) => binary.name(),
            Operation::Power(power, ..) => power.name(),
            Operation::Compare(comparison, ..) => comparison.name(),
            Operation::Not(_) => "not",
            Operation::BatchAll(_) => "batch_all",
            Operation::Logic(logic, ..) => logic.name(),
            Operation::Select(..) => "select",
            Operation::Reduce(reduction, _) => reduction.name(),
            Operation::PartialSum(sum, _) => sum.name(),
            Operation::BatchSum(_) => "batch_sum",
            Operation::RowLength => "row_len",
            Operation::Index => "index",
            Operation::At(..) => "at",
        }
    }

    /// Whether it is only for the result of a metric's sums.
    pub fn is_of_sums(self) -> bool {
        matches!(self, Operation::PartialSum(..) | Operation::BatchSum(_))
    }

    /// Returns the nodes that are its arguments, in order.
    pub fn arguments(self) -> impl Iterator<Item = usize> {
        let arguments = match self {
            Operation::Input(_) | Operation::Constant(_) | Operation::RowLength | Operation::Index => [None; 3],
            Operation::Unary(_, x)
            | Operation::Power(_, x, _)
            | Operation::Not(x)
            | Operation::BatchAll(x)
            | Operation::BatchSum(x)
            | Operation::PartialSum(_, x)
            | Operation::Reduce(_, x) => [Some(x), None, None],
            Operation::Binary(_, x, y)
            | Operation::Compare(_, x, y)
            | Operation::Logic(_, x, y)
            | Operation::At(x, y) => [Some(x), Some(y), None],
            Operation::Select(mask, x, y) => [Some(mask), Some(x), Some(y)],
        };
        arguments.into_iter().flatten()
    }

    /// Returns the operation with every argument replaced.
    #[must_use]
    pub fn map(self, new: impl Fn(usize) -> usize) -> Self {
        match self {
            Operation::Input(_) | Operation::Constant(_) | Operation::RowLength | Operation::Index => self,
            Operation::Unary(unary, x) => Operation::Unary(unary, new(x)),
            Operation::Binary(binary, x, y) => Operation::Binary(binary, new(x), new(y)),
            Operation::Power(power, x, exponent) => Operation::Power(power, new(x), exponent),
            Operation::Compare(comparison, x, y) => Operation::Compare(comparison, new(x), new(y)),
            Operation::Not(mask) => Operation::Not(new(mask)),
            Operation::BatchAll(mask) => Operation::BatchAll(new(mask)),
            Operation::Logic(logic, a, b) => Operation::Logic(logic, new(a), new(b)),
            Operation::Select(mask, x, y) => Operation::Select(new(mask), new(x), new(y)),
            Operation::Reduce(reduction, x) => Operation::Reduce(reduction, new(x)),
            Operation::PartialSum(sum, x) => Operation::PartialSum(sum, new(x)),
            Operation::BatchSum(x) => Operation::BatchSum(new(x)),
            Operation::At(x, index) => Operation::At(new(x), new(index)),
        }
    }
}
