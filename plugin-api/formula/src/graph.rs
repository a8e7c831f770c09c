//! A formula under construction, whose equal nodes are shared and whose constants are folded.

use std::collections::HashMap;

use super::node::{Kind, Level, Node};
use super::operation::{Binary, Comparison, Constant, Logic, Operation, Power, Reduction, Unary};
use super::rewrite::{Simplified, simplified};

/// Nodes, of which no two are equal.
pub struct Graph {
    inputs: Vec<Level>,
    nodes: Vec<Node>,
    known: HashMap<Operation, usize>,
}

impl Graph {
    /// Creates a graph whose first nodes are the inputs.
    pub fn new(inputs: Vec<Level>) -> Self {
        let mut graph = Graph { nodes: Vec::new(), known: HashMap::new(), inputs };
        for input in 0..graph.inputs.len() {
            graph.push(Operation::Input(input));
        }
        graph
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    pub fn level(&self, node: usize) -> Level {
        self.nodes[node].level
    }

    /// Returns the node of an operation, which is new if no equal one exists. The kinds and levels of the arguments must
    /// fit.
    pub fn add(&mut self, operation: Operation) -> usize {
        match simplified(operation, &self.nodes) {
            Simplified::Node(node) => node,
            Simplified::Constant(value) => self.push(Operation::Constant(Constant::new(value))),
            Simplified::Operation(operation) => self.push(operation),
        }
    }

    fn push(&mut self, operation: Operation) -> usize {
        let swapped = match operation {
            Operation::Binary(binary, x, y) if binary.is_commutative() => Operation::Binary(binary, y, x),
            Operation::Compare(Comparison::Equal, x, y) => Operation::Compare(Comparison::Equal, y, x),
            Operation::Logic(logic, a, b) => Operation::Logic(logic, b, a),
            operation => operation,
        };
        let known = self.known.get(&operation).or_else(|| self.known.get(&swapped));
        if let Some(&node) = known {
            return node;
        }
        let node = Node::new(operation, &self.nodes, &self.inputs).expect("the arguments fit");
        self.nodes.push(node);
        self.known.insert(operation, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    pub fn constant(&mut self, value: f64) -> usize {
        self.add(Operation::Constant(Constant::new(value)))
    }

    pub fn unary(&mut self, unary: Unary, x: usize) -> usize {
        self.add(Operation::Unary(unary, x))
    }

    pub fn binary(&mut self, binary: Binary, x: usize, y: usize) -> usize {
        self.add(Operation::Binary(binary, x, y))
    }

    pub fn mul(&mut self, x: usize, y: usize) -> usize {
        self.binary(Binary::Mul, x, y)
    }

    pub fn scale(&mut self, x: usize, factor: f64) -> usize {
        let factor = self.constant(factor);
        self.mul(factor, x)
    }

    pub fn power(&mut self, power: Power, x: usize, exponent: f64) -> usize {
        self.add(Operation::Power(power, x, Constant::new(exponent)))
    }

    pub fn compare(&mut self, comparison: Comparison, x: usize, y: usize) -> usize {
        self.add(Operation::Compare(comparison, x, y))
    }

    pub fn logic(&mut self, logic: Logic, a: usize, b: usize) -> usize {
        self.add(Operation::Logic(logic, a, b))
    }

    pub fn not(&mut self, mask: usize) -> usize {
        self.add(Operation::Not(mask))
    }

    pub fn select(&mut self, mask: usize, x: usize, y: usize) -> usize {
        self.add(Operation::Select(mask, x, y))
    }

    /// Returns the sum of a number over each row. A number of a lower level has the same value for every element.
    pub fn row_sum(&mut self, x: usize) -> usize {
        if self.level(x) == Level::Element {
            return self.add(Operation::Reduce(Reduction::Sum, x));
        }
        let length = self.add(Operation::RowLength);
        self.mul(x, length)
    }

    /// Returns the mask, for each row, that holds if the mask holds for one of its elements.
    pub fn row_any(&mut self, mask: usize) -> usize {
        debug_assert_eq!(self.nodes[mask].kind, Kind::Mask);
        if self.level(mask) < Level::Element {
            return mask;
        }
        let (zero, one) = (self.constant(0.0), self.constant(1.0));
        let number = self.select(mask, one, zero);
        let greatest = self.add(Operation::Reduce(Reduction::Max, number));
        self.compare(Comparison::Greater, greatest, zero)
    }
}
