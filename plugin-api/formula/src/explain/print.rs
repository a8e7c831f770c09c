//! Prints an operation, from the printed arguments.

use super::super::operation::{Binary, Comparison, Logic, Operation, PartialSum, Power, Reduction, Unary};
use super::fragment::{Binding, Fragment, Notation};

impl Notation {
    /// Prints an operation that isn't an input. `fragments` are those of the earlier nodes.
    pub fn operation(self, operation: Operation, fragments: &[Fragment]) -> Fragment {
        let of = |node: usize| &fragments[node];
        let mut fragment = match operation {
            Operation::Input(_) => Fragment::new("", Binding::Atom),
            Operation::Constant(constant) => self.number(constant.value()),
            // These are there for the speed of processors, and for derivatives.
            Operation::Unary(Unary::Flush | Unary::Detach, x) => return of(x).clone(),
            Operation::Unary(unary, x) => self.unary(unary, of(x)),
            Operation::Binary(Binary::Mul, x, y) if x == y => self.power(of(x), 2.0),
            Operation::Binary(Binary::Add, x, y) if x == y => self.product(&self.number(2.0), of(x)),
            Operation::Binary(binary, x, y) => {
                // A constant factor comes first.
                match binary == Binary::Mul && of(y).is_number {
                    true => self.binary(binary, of(y), of(x)),
                    false => self.binary(binary, of(x), of(y)),
                }
            }
            Operation::Power(Power::Of, x, base) => self.power_of(base.value(), of(x)),
            Operation::Power(_, x, exponent) => self.power(of(x), exponent.value()),
            Operation::Compare(comparison, x, y) => {
                let sign = match comparison {
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => self.pick("≤", r"\le"),
                    Comparison::Greater => ">",
                    Comparison::GreaterOrEqual => self.pick("≥", r"\ge"),
                    Comparison::Equal => "=",
                };
                let (x, y) = (self.operand(of(x), Binding::Sum), self.operand(of(y), Binding::Sum));
                Fragment::new(format!("{x} {sign} {y}"), Binding::Comparison)
            }
            Operation::Not(mask) => {
                let mask = self.operand(of(mask), Binding::Atom);
                Fragment::new(format!("{} {mask}", self.pick("not", r"\lnot")), Binding::Not)
            }
            Operation::BatchAll(mask) => {
                let mask = self.whole(of(mask));
                Fragment::new(format!("{}({mask})", self.pick("everywhere", r"\mathrm{everywhere}")), Binding::Atom)
            }
            Operation::Logic(logic, a, b) => {
                let (sign, binding) = match logic {
                    Logic::And => (self.pick("and", r"\land"), Binding::And),
                    Logic::Or => (self.pick("or", r"\lor"), Binding::Or),
                };
                let (a, b) = (self.operand(of(a), binding), self.operand(of(b), binding));
                Fragment::new(format!("{a} {sign} {b}"), binding)
            }
            Operation::Select(mask, x, y) => self.cases(of(mask), of(x), of(y)),
            Operation::Reduce(reduction, x) => {
                let name = match reduction {
                    Reduction::Sum => self.pick("Σⱼ", r"\sum_j "),
                    Reduction::Max => self.pick("maxⱼ", r"\max_j "),
                };
                Fragment::new(format!("{name}{}", self.parentheses(&self.whole(of(x)))), Binding::Power)
            }
            Operation::PartialSum(sum, x) => {
                let name = match sum {
                    PartialSum::Before => self.pick("Σ[before j]", r"\sum_{i<j} "),
                    PartialSum::After => self.pick("Σ[after j]", r"\sum_{i>j} "),
                };
                Fragment::new(format!("{name}{}", self.parentheses(&self.whole(of(x)))), Binding::Power)
            }
            Operation::BatchSum(x) => {
                let name = self.pick("Σ[rows]", r"\sum_{\mathrm{rows}} ");
                Fragment::new(format!("{name}{}", self.parentheses(&self.whole(of(x)))), Binding::Power)
            }
            Operation::RowLength => Fragment::new("n", Binding::Atom),
            Operation::Index => Fragment::new("j", Binding::Atom),
            Operation::At(x, index) => {
                let (x, index) = (self.operand(of(x), Binding::Atom), self.whole(of(index)));
                match self {
                    Notation::Text => Fragment::new(format!("{x}[{index}]"), Binding::Atom),
                    Notation::Latex => Fragment::new(format!("{x}_{{{index}}}"), Binding::Power),
                }
            }
        };
        fragment.size = 1 + operation.arguments().map(|argument| of(argument).size).sum::<usize>();
        fragment
    }

    fn unary(self, unary: Unary, x: &Fragment) -> Fragment {
        let function = |text: &str, latex: &str| {
            let inner = self.parentheses(&self.whole(x));
            Fragment::new(format!("{}{inner}", self.pick(text, latex)), Binding::Atom)
        };
        match (unary, self) {
            (Unary::Neg, _) => {
                Fragment::new(format!("-{}", self.right_operand(x, Binding::Product)), Binding::Negative)
            }
            (Unary::Abs, Notation::Text) => Fragment::new(format!("|{}|", self.whole(x)), Binding::Atom),
            (Unary::Abs, Notation::Latex) => Fragment::new(format!(r"\left|{}\right|", self.whole(x)), Binding::Atom),
            (Unary::Sqrt, Notation::Text) => {
                Fragment::new(format!("√{}", self.operand(x, Binding::Atom)), Binding::Power)
            }
            (Unary::Sqrt, Notation::Latex) => Fragment::new(format!(r"\sqrt{{{}}}", self.whole(x)), Binding::Power),
            (Unary::Exp, _) => function("exp", r"\exp"),
            (Unary::ExpM1, _) => {
                let power = function("exp", r"\exp");
                self.difference(&power, &self.number(1.0))
            }
            (Unary::Ln, _) => function("ln", r"\ln"),
            (Unary::Ln1p, _) => self.unary(Unary::Ln, &self.sum(&self.number(1.0), x)),
            (Unary::Tanh, _) => function("tanh", r"\tanh"),
            (Unary::Floor, _) => function("floor", r"\mathrm{floor}"),
            (Unary::Cos, _) => function("cos", r"\cos"),
            (Unary::Sigmoid, _) => function("σ", r"\sigma"),
            (Unary::Softplus, _) => function("softplus", r"\mathrm{softplus}"),
            (Unary::Flush | Unary::Detach, _) => x.clone(),
        }
    }

    fn binary(self, binary: Binary, x: &Fragment, y: &Fragment) -> Fragment {
        match (binary, self) {
            (Binary::Add, _) => self.sum(x, y),
            (Binary::Sub, _) => self.difference(x, y),
            (Binary::Mul, _) => self.product(x, y),
            (Binary::Div, Notation::Text) => {
                let (x, y) = (self.operand(x, Binding::Negative), self.right_operand(y, Binding::Power));
                Fragment::new(format!("{x} / {y}"), Binding::Product)
            }
            (Binary::Div, Notation::Latex) => {
                Fragment::new(format!(r"\frac{{{}}}{{{}}}", self.whole(x), self.whole(y)), Binding::Product)
            }
            (Binary::Max | Binary::Min, _) => {
                let name = if binary == Binary::Max { self.pick("max", r"\max") } else { self.pick("min", r"\min") };
                let arguments = self.parentheses(&format!("{}, {}", self.whole(x), self.whole(y)));
                Fragment::new(format!("{name}{arguments}"), Binding::Atom)
            }
        }
    }

    fn sum(self, x: &Fragment, y: &Fragment) -> Fragment {
        let left = self.operand(x, Binding::Sum);
        let text = match opposite(y) {
            Some(opposite) => format!("{left} - {opposite}"),
            None => format!("{left} + {}", self.right_operand(y, Binding::Sum)),
        };
        Fragment::new(text, Binding::Sum)
    }

    fn difference(self, x: &Fragment, y: &Fragment) -> Fragment {
        let left = self.operand(x, Binding::Sum);
        let text = match opposite(y) {
            Some(opposite) => format!("{left} + {opposite}"),
            None => format!("{left} - {}", self.right_operand(y, Binding::Product)),
        };
        Fragment::new(text, Binding::Sum)
    }

    fn product(self, x: &Fragment, y: &Fragment) -> Fragment {
        let is_factor = x.is_number && !y.is_number && !y.text.starts_with(is_digit);
        let (x, y) = (self.operand(x, Binding::Negative), self.right_operand(y, Binding::Product));
        let sign = match (is_factor, self) {
            (true, _) => " ",
            (false, Notation::Text) => " · ",
            (false, Notation::Latex) => r" \cdot ",
        };
        Fragment::new(format!("{x}{sign}{y}"), Binding::Product)
    }

    /// Prints a power with a constant base.
    fn power_of(self, base: f64, x: &Fragment) -> Fragment {
        let base = self.operand(&self.number(base), Binding::Atom);
        let text = match self {
            Notation::Latex => format!("{base}^{{{}}}", self.whole(x)),
            Notation::Text => format!("{base}^{}", self.operand(x, Binding::Atom)),
        };
        Fragment::new(text, Binding::Power)
    }

    fn power(self, x: &Fragment, exponent: f64) -> Fragment {
        let base = self.operand(x, Binding::Atom);
        let exponent = self.number(exponent);
        let text = match self {
            Notation::Latex => format!("{base}^{{{}}}", exponent.text),
            Notation::Text => match exponent.text.chars().map(raised).collect::<Option<String>>() {
                Some(raised) => format!("{base}{raised}"),
                None => format!("{base}^{}", self.operand(&exponent, Binding::Atom)),
            },
        };
        Fragment::new(text, Binding::Power)
    }

    /// Prints a selection. If the second number is one too, its cases follow.
    fn cases(self, mask: &Fragment, x: &Fragment, y: &Fragment) -> Fragment {
        let (mask, x) = (self.whole(mask), self.whole(x));
        let text = match (self, y.is_cases) {
            (Notation::Text, true) => format!("{x}  if {mask}; {}", y.text),
            (Notation::Text, false) => format!("{x}  if {mask}; {} otherwise", y.text),
            (Notation::Latex, true) => format!(r"{x} & \text{{if }} {mask} \\ {}", y.text),
            (Notation::Latex, false) => format!(r"{x} & \text{{if }} {mask} \\ {} & \text{{otherwise}}", y.text),
        };
        Fragment { is_cases: true, ..Fragment::new(text, Binding::Atom) }
    }
}

/// Returns the text of the opposite, if a product or number has a sign.
fn opposite(fragment: &Fragment) -> Option<&str> {
    let is_signed = matches!(fragment.binding, Binding::Negative | Binding::Product) && !fragment.is_cases;
    fragment.text.strip_prefix('-').filter(|_| is_signed)
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit() || "½¼¾".contains(character)
}

/// Returns a digit or a sign as a superscript.
fn raised(character: char) -> Option<char> {
    Some(match character {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' | '4'..='9' => char::from_u32('⁰' as u32 + character.to_digit(10)?)?,
        _ => return None,
    })
}
