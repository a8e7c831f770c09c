//! Derivatives of formulas, as formulas.
//!
//! The derivative is computed backwards: the adjoint of a node is the derivative of the output with respect to it. An
//! adjoint has one value for each value of its node; a node of a lower level than its adjoint needs has the same value
//! for each of them.

use super::graph::Graph;
use super::node::{Kind, Level};
use super::operation::{Binary, Comparison, Constant, Logic, Operation, Power, Reduction, Unary};
use super::{Formula, MAX_NODES};
use crate::{Error, Result};

impl Formula {
    /// Returns the formula of a loss with the outputs `derivative` and `derivative_y_true` that it lacks and that exist,
    /// simplified.
    ///
    /// The derivative of a row's value with respect to each of its elements is added. If the value is an element and
    /// `derivative` is absent, the formula isn't differentiable, and stays as it is. Class ids have no derivative.
    ///
    /// # Errors
    /// Returns an error if the result has too many nodes.
    pub fn with_derivatives(&self) -> Result<Formula> {
        let level = self.output("value").map(|node| self.nodes[node].level);
        let mut formula = self.simplify();
        if level.is_none() || level == Some(Level::Element) && self.output("derivative").is_none() {
            return Ok(formula);
        }
        for (name, input) in [("derivative", "y_pred"), ("derivative_y_true", "y_true")] {
            let is_element = self.input(input).is_some_and(|input| self.inputs[input].level == Level::Element);
            if is_element && self.output(name).is_none() {
                formula = formula.differentiate("value", input, name)?;
            }
        }
        Ok(formula)
    }

    /// Returns the simplified formula with one more output, called `name`: the derivative of an output with respect to
    /// an input of elements.
    ///
    /// Of a row's output, it is the derivative with respect to each element of the row. Of an element's output, it is
    /// the derivative of the sum over the row; if no element depends on another, it is that of each element by itself.
    ///
    /// At a kink the derivative is the mean of both sides: that of `max` and `min` is one half if the arguments are
    /// equal, that of `abs` is 0 at 0, and equal greatest elements of a row share its derivative. The derivative of a
    /// value that isn't selected is 0, even if computing it gives NaN.
    ///
    /// # Errors
    /// Returns an error if there is no such output or input, the name is taken, or the result has too many nodes.
    pub fn differentiate(&self, output: &str, input: &str, name: &str) -> Result<Formula> {
        let missing = |what: &str, name: &str| Error(format!("the formula has no {what} \"{name}\""));
        let output = self.output(output).ok_or_else(|| missing("output", output))?;
        let input = self.input(input).ok_or_else(|| missing("input", input))?;
        if self.inputs[input].level != Level::Element {
            return Err(Error(format!("the input \"{}\" isn't an element", self.inputs[input].name)));
        }
        if self.output(name).is_some() {
            return Err(Error(format!("the formula has an output \"{name}\" already")));
        }
        if let Some(node) = self.nodes.iter().find(|node| node.operation.is_of_sums()) {
            return Err(Error(format!("{} has no derivative", node.operation.name())));
        }
        let mut backwards = Backwards::new(self, input);
        let derivative = backwards.derivative(output, input);
        let outputs = self.outputs.iter().map(|output| (output.name.clone(), backwards.new[output.node]));
        let outputs = outputs.chain([(name.to_owned(), derivative)]).collect();
        let formula = self.with_nodes(backwards.graph, outputs);
        match formula.nodes.len() > MAX_NODES {
            true => Err(Error(format!("the derivative has more than {MAX_NODES} nodes"))),
            false => Ok(formula),
        }
    }
}

/// Where a node is used.
#[derive(Clone, Copy, PartialEq)]
enum Used {
    Everywhere,
    /// Where this mask holds.
    Where(usize),
}

/// The derivative of the output with respect to a node: `value` where the node is used, and 0 elsewhere, where `value`
/// may be infinite or NaN.
#[derive(Clone, Copy)]
struct Adjoint {
    value: usize,
    used: Used,
}

struct Backwards<'f> {
    formula: &'f Formula,
    graph: Graph,
    /// The node of the graph for each node of the formula.
    new: Vec<usize>,
    /// Whether a node depends on the input.
    depends: Vec<bool>,
    adjoints: Vec<Option<Adjoint>>,
}

impl<'f> Backwards<'f> {
    fn new(formula: &'f Formula, input: usize) -> Self {
        let mut graph = Graph::new(formula.inputs.iter().map(|input| input.level).collect());
        let (mut new, mut depends) = (Vec::new(), Vec::new());
        for (at, node) in formula.nodes.iter().enumerate() {
            new.push(graph.add(node.operation.map(|argument| new[argument])));
            // A mask is constant almost everywhere.
            let is_constant =
                node.kind == Kind::Mask || matches!(node.operation, Operation::Unary(Unary::Detach | Unary::Floor, _));
            let depends_on_argument = node.operation.arguments().any(|argument| depends[argument]);
            depends.push(at == input || !is_constant && depends_on_argument);
        }
        Backwards { formula, graph, new, depends, adjoints: vec![None; formula.nodes.len()] }
    }

    fn derivative(&mut self, output: usize, input: usize) -> usize {
        let one = self.graph.constant(1.0);
        self.adjoints[output] = Some(Adjoint { value: one, used: Used::Everywhere });
        for at in (0..=output).rev().filter(|&at| at != input) {
            if let (Some(adjoint), true) = (self.adjoints[at], self.depends[at]) {
                self.pass_on(at, adjoint);
            }
        }
        match self.adjoints[input].filter(|_| self.depends[output]) {
            Some(adjoint) => self.graph.where_used(adjoint),
            None => self.graph.constant(0.0),
        }
    }

    /// Adds what a node contributes to the adjoints of its arguments.
    fn pass_on(&mut self, at: usize, adjoint: Adjoint) {
        let result = self.new[at];
        match self.formula.nodes[at].operation {
            Operation::Unary(unary, x) => {
                let value = self.graph.unary_adjoint(unary, self.new[x], result, adjoint.value);
                self.contribute(at, x, Adjoint { value, ..adjoint });
            }
            Operation::Binary(binary @ (Binary::Max | Binary::Min), left, right) => {
                for (own, other) in [(left, right), (right, left)] {
                    let loses = self.graph.loses(binary, self.new[own], self.new[other]);
                    let value = self.graph.shared_if_equal(self.new[own], self.new[other], adjoint.value);
                    let kept = self.graph.not(loses);
                    let adjoint = self.graph.restricted(Adjoint { value, ..adjoint }, kept);
                    self.contribute(at, own, adjoint);
                }
            }
            Operation::Binary(binary, left, right) => {
                for (argument, is_left) in [(left, true), (right, false)] {
                    let arguments = [self.new[left], self.new[right]];
                    let value = self.graph.binary_adjoint(binary, arguments, result, is_left, adjoint.value);
                    self.contribute(at, argument, Adjoint { value, ..adjoint });
                }
            }
            Operation::Power(Power::Of, x, base) => {
                // 0^x is 0 for every x above 0.
                let logarithm = if base.value() == 0.0 { 0.0 } else { base.value().ln() };
                let slope = self.graph.scale(result, logarithm);
                let value = self.graph.mul(adjoint.value, slope);
                self.contribute(at, x, Adjoint { value, ..adjoint });
            }
            Operation::Power(power, x, exponent) if exponent.value() != 0.0 => {
                let exponent = exponent.value();
                let below = self.graph.power(power, self.new[x], exponent - 1.0);
                let slope = self.graph.scale(below, exponent);
                let value = self.graph.mul(adjoint.value, slope);
                self.contribute(at, x, Adjoint { value, ..adjoint });
            }
            Operation::Select(mask, x, y) => {
                let mask = self.new[mask];
                let otherwise = self.graph.not(mask);
                for (argument, mask) in [(x, mask), (y, otherwise)] {
                    let adjoint = self.graph.restricted(adjoint, mask);
                    self.contribute(at, argument, adjoint);
                }
            }
            Operation::Reduce(Reduction::Sum, x) => self.contribute(at, x, adjoint),
            Operation::Reduce(Reduction::Max, x) => {
                let graph = &mut self.graph;
                let is_greatest = graph.compare(Comparison::Equal, self.new[x], result);
                let (zero, one) = (graph.constant(0.0), graph.constant(1.0));
                let counted = graph.select(is_greatest, one, zero);
                let count = graph.row_sum(counted);
                let value = graph.binary(Binary::Div, adjoint.value, count);
                let adjoint = graph.restricted(Adjoint { value, ..adjoint }, is_greatest);
                self.contribute(at, x, adjoint);
            }
            Operation::At(x, index) => {
                let position = self.graph.add(Operation::Index);
                let is_at = self.graph.compare(Comparison::Equal, position, self.new[index]);
                let adjoint = self.graph.restricted(adjoint, is_at);
                self.contribute(at, x, adjoint);
            }
            Operation::Power(..)
            | Operation::PartialSum(..)
            | Operation::BatchSum(_)
            | Operation::Input(_)
            | Operation::Constant(_)
            | Operation::Compare(..)
            | Operation::Not(_)
            | Operation::BatchAll(_)
            | Operation::Logic(..)
            | Operation::RowLength
            | Operation::Index => {}
        }
    }

    /// Adds a contribution of a node to the adjoint of one of its arguments.
    fn contribute(&mut self, at: usize, argument: usize, contribution: Adjoint) {
        if !self.depends[argument] {
            return;
        }
        let (graph, nodes) = (&mut self.graph, &self.formula.nodes);
        // Every element of the row has used the same value.
        let is_of_row = nodes[at].level == Level::Element && nodes[argument].level == Level::Row;
        let contribution = if is_of_row { graph.of_row(contribution) } else { contribution };
        self.adjoints[argument] = Some(match self.adjoints[argument] {
            None => contribution,
            Some(before) => graph.sum(before, contribution),
        });
    }
}

impl Graph {
    /// Returns the adjoint of one argument of a function of two numbers, from that of the result.
    fn binary_adjoint(&mut self, binary: Binary, [x, y]: [usize; 2], result: usize, is_left: bool, a: usize) -> usize {
        match binary {
            Binary::Add => a,
            Binary::Sub if is_left => a,
            Binary::Sub => self.unary(Unary::Neg, a),
            Binary::Mul => self.mul(a, if is_left { y } else { x }),
            Binary::Div if is_left => self.binary(Binary::Div, a, y),
            Binary::Div => {
                let product = self.mul(a, result);
                let quotient = self.binary(Binary::Div, product, y);
                self.unary(Unary::Neg, quotient)
            }
            Binary::Max | Binary::Min => unreachable!("`pass_on` restricts their adjoints"),
        }
    }

    /// Returns the mask of where `own` isn't the maximum or the minimum of two numbers.
    fn loses(&mut self, binary: Binary, own: usize, other: usize) -> usize {
        let comparison = if binary == Binary::Max { Comparison::Less } else { Comparison::Greater };
        self.compare(comparison, own, other)
    }

    /// Returns an adjoint, halved where the two numbers are equal.
    fn shared_if_equal(&mut self, own: usize, other: usize, a: usize) -> usize {
        let (equal, half) = (self.compare(Comparison::Equal, own, other), self.scale(a, 0.5));
        self.select(equal, half, a)
    }

    /// Returns the adjoint of the argument of a function of one number, from that of the result.
    fn unary_adjoint(&mut self, unary: Unary, x: usize, result: usize, a: usize) -> usize {
        let slope = match unary {
            Unary::Neg => return self.unary(Unary::Neg, a),
            // `depends` stops at a detached number and at `floor`.
            Unary::Flush | Unary::Detach | Unary::Floor => return a,
            Unary::Cos => {
                // The derivative, -sin(x), is cos(x + pi / 2).
                let quarter = self.constant(std::f64::consts::FRAC_PI_2);
                let turned = self.binary(Binary::Add, x, quarter);
                self.unary(Unary::Cos, turned)
            }
            Unary::Abs => {
                let (zero, opposite) = (self.constant(0.0), self.unary(Unary::Neg, a));
                let positive = self.compare(Comparison::Greater, x, zero);
                let negative = self.compare(Comparison::Less, x, zero);
                let otherwise = self.select(negative, opposite, zero);
                return self.select(positive, a, otherwise);
            }
            Unary::Ln => return self.binary(Binary::Div, a, x),
            Unary::Ln1p => {
                let one = self.constant(1.0);
                let sum = self.binary(Binary::Add, one, x);
                return self.binary(Binary::Div, a, sum);
            }
            Unary::Sqrt => {
                let half = self.scale(a, 0.5);
                return self.binary(Binary::Div, half, result);
            }
            Unary::Exp => result,
            // Not `exp_m1(x) + 1`, which loses the digits of a small result.
            Unary::ExpM1 => self.unary(Unary::Exp, x),
            Unary::Tanh => {
                let one = self.constant(1.0);
                let square = self.mul(result, result);
                self.binary(Binary::Sub, one, square)
            }
            // `sigmoid(-x)`, not `1 - sigmoid(x)`, which loses the digits of a small result.
            Unary::Sigmoid => {
                let opposite = self.unary(Unary::Neg, x);
                let other = self.unary(Unary::Sigmoid, opposite);
                self.mul(result, other)
            }
            Unary::Softplus => self.unary(Unary::Sigmoid, x),
        };
        self.mul(a, slope)
    }

    /// Returns the value of an adjoint everywhere.
    fn where_used(&mut self, adjoint: Adjoint) -> usize {
        match adjoint.used {
            Used::Everywhere => adjoint.value,
            Used::Where(mask) => {
                let zero = self.constant(0.0);
                self.select(mask, adjoint.value, zero)
            }
        }
    }

    /// Returns the adjoint of a node that is used only where the mask holds as well.
    fn restricted(&mut self, adjoint: Adjoint, mask: usize) -> Adjoint {
        let used = match adjoint.used {
            Used::Everywhere => mask,
            Used::Where(other) => self.logic(Logic::And, other, mask),
        };
        Adjoint { used: Used::Where(used), ..adjoint }
    }

    /// Returns the adjoint of a row's number, from that of each element for which it is used.
    fn of_row(&mut self, adjoint: Adjoint) -> Adjoint {
        let value = self.where_used(adjoint);
        let used = match adjoint.used {
            Used::Everywhere => Used::Everywhere,
            Used::Where(mask) => Used::Where(self.row_any(mask)),
        };
        Adjoint { value: self.row_sum(value), used }
    }

    fn sum(&mut self, x: Adjoint, y: Adjoint) -> Adjoint {
        if x.used == y.used {
            let value =
                if x.value == y.value { self.double(x.value) } else { self.binary(Binary::Add, x.value, y.value) };
            return Adjoint { value, ..x };
        }
        let (Used::Where(x_mask), Used::Where(y_mask)) = (x.used, y.used) else {
            let (x, y) = (self.where_used(x), self.where_used(y));
            return Adjoint { value: self.binary(Binary::Add, x, y), used: Used::Everywhere };
        };
        if let Some((used, mask)) = self.halves(x_mask, y_mask) {
            return Adjoint { value: self.select(mask, x.value, y.value), used };
        }
        if let Some((used, mask)) = self.halves(y_mask, x_mask) {
            return Adjoint { value: self.select(mask, y.value, x.value), used };
        }
        let used = Used::Where(self.logic(Logic::Or, x_mask, y_mask));
        let (x, y) = (self.where_used(x), self.where_used(y));
        Adjoint { value: self.binary(Binary::Add, x, y), used }
    }

    fn double(&mut self, x: usize) -> usize {
        let is_half = |node: usize| self.nodes()[node].operation == Operation::Constant(Constant::new(0.5));
        match self.nodes()[x].operation {
            Operation::Binary(Binary::Mul, factor, other) if is_half(factor) => other,
            _ => self.scale(x, 2.0),
        }
    }

    /// If the masks are `mask` and `not mask`, both within `used`, returns `used` and `mask`.
    fn halves(&self, x: usize, y: usize) -> Option<(Used, usize)> {
        let operation = |node: usize| self.nodes()[node].operation;
        match (operation(x), operation(y)) {
            (_, Operation::Not(mask)) if mask == x => Some((Used::Everywhere, x)),
            (Operation::Logic(Logic::And, used, mask), Operation::Logic(Logic::And, other_used, other)) => {
                let is_half = used == other_used && operation(other) == Operation::Not(mask);
                is_half.then_some((Used::Where(used), mask))
            }
            _ => None,
        }
    }
}
