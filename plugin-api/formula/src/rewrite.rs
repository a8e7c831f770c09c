//! The rules that replace an operation by a simpler one.

use super::node::{Level, Node};
use super::operation::{Binary, Operation, Power, Unary};

/// A simpler form of an operation.
pub enum Simplified {
    /// An earlier node.
    Node(usize),
    Constant(f64),
    Operation(Operation),
}

/// Simplifies an operation on nodes that are simplified already. Kind and level stay.
pub fn simplified(operation: Operation, nodes: &[Node]) -> Simplified {
    let constant = |node: usize| match nodes[node].operation {
        Operation::Constant(constant) => Some(constant.value()),
        _ => None,
    };
    let negated = |node: usize| match nodes[node].operation {
        Operation::Unary(Unary::Neg, x) => Some(x),
        _ => None,
    };
    match operation {
        Operation::Unary(unary, x) => match (constant(x), negated(x)) {
            (Some(x), _) => Simplified::Constant(unary.compute(x)),
            (_, Some(x)) if unary == Unary::Neg => Simplified::Node(x),
            _ if unary == Unary::Neg => match nodes[x].operation {
                Operation::Binary(Binary::Sub, x, y) => simplified(Operation::Binary(Binary::Sub, y, x), nodes),
                _ => Simplified::Operation(operation),
            },
            _ => Simplified::Operation(operation),
        },
        Operation::Power(Power::Whole, x, exponent) if exponent.value() == 1.0 => Simplified::Node(x),
        Operation::Power(power, x, parameter) => match constant(x) {
            Some(x) => Simplified::Constant(power.compute(x, parameter.value())),
            None => Simplified::Operation(operation),
        },
        Operation::Binary(binary, x, y) => {
            let changed = |binary, x, y| simplified(Operation::Binary(binary, x, y), nodes);
            match (binary, constant(x), constant(y)) {
                (_, Some(x), Some(y)) => Simplified::Constant(binary.compute(x, y)),
                (Binary::Add | Binary::Sub, _, Some(0.0)) => Simplified::Node(x),
                (Binary::Add, Some(0.0), _) => Simplified::Node(y),
                (Binary::Mul | Binary::Div, _, Some(1.0)) => Simplified::Node(x),
                (Binary::Mul, Some(1.0), _) => Simplified::Node(y),
                (Binary::Mul | Binary::Div, _, Some(-1.0)) => opposite(x, nodes),
                (Binary::Mul, Some(-1.0), _) => opposite(y, nodes),
                (Binary::Add, ..) => match (negated(x), negated(y)) {
                    (_, Some(y)) => changed(Binary::Sub, x, y),
                    (Some(x), _) => changed(Binary::Sub, y, x),
                    _ => Simplified::Operation(operation),
                },
                (Binary::Sub, ..) => match (negated(x), negated(y)) {
                    (Some(x), Some(y)) => changed(Binary::Sub, y, x),
                    (None, Some(y)) => changed(Binary::Add, x, y),
                    _ => Simplified::Operation(operation),
                },
                _ => Simplified::Operation(operation),
            }
        }
        Operation::Not(mask) => match nodes[mask].operation {
            Operation::Not(mask) => Simplified::Node(mask),
            _ => Simplified::Operation(operation),
        },
        Operation::Logic(_, a, b) if a == b => Simplified::Node(a),
        Operation::Select(mask, x, y) => {
            let level = nodes[mask].level.max(nodes[x].level).max(nodes[y].level);
            let same_level = |node: usize| nodes[node].level == level;
            match truth(mask, nodes) {
                Some(true) if same_level(x) => Simplified::Node(x),
                Some(false) if same_level(y) => Simplified::Node(y),
                _ if x == y && same_level(x) => Simplified::Node(x),
                _ => Simplified::Operation(operation),
            }
        }
        _ => Simplified::Operation(operation),
    }
}

fn opposite(x: usize, nodes: &[Node]) -> Simplified {
    simplified(Operation::Unary(Unary::Neg, x), nodes)
}

/// Returns the value of a mask that compares constants.
fn truth(mask: usize, nodes: &[Node]) -> Option<bool> {
    if nodes[mask].level != Level::Scalar {
        return None;
    }
    match nodes[mask].operation {
        Operation::Compare(comparison, x, y) => match (nodes[x].operation, nodes[y].operation) {
            (Operation::Constant(x), Operation::Constant(y)) => Some(comparison.holds(x.value(), y.value())),
            _ => None,
        },
        _ => None,
    }
}
