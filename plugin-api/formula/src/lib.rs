//! Formulas of plugfit's components, as data.
//!
//! A plug-in describes a component as a list of operations: the document of
//! `plugfit.formula/1`, which `plugfit-abi` describes. [`Formula::read`] reads and checks a document;
//! [`simplify`](Formula::simplify) and [`differentiate`](Formula::differentiate) change a formula,
//! [`interpret`](Formula::interpret) computes it in float64, and [`explain`](Formula::explain) prints it as mathematics.

#![warn(missing_docs)]

mod differentiate;
mod error;
mod explain;
mod graph;
mod interpret;
mod node;
mod numeric;
mod operation;
mod read;
mod rewrite;
mod role;
mod simplify;
mod sums;
#[cfg(test)]
mod tests;
mod write;

pub use error::{Error, Result};
pub use interpret::Shape;
pub use node::{Kind, Level, Node};
pub use operation::{Binary, Comparison, Constant, Logic, Operation, PartialSum, Power, Reduction, Unary};
pub use read::ReadError;
pub use role::Role;
pub use sums::{Sums, Term};

/// Maximum size of a document, in bytes.
pub const MAX_LENGTH: usize = 1 << 20;

/// Maximum number of nodes, inputs included.
pub const MAX_NODES: usize = 4096;

/// Maximum number of inputs, of outputs, and of slots.
pub const MAX_NAMES: usize = 64;

/// Maximum number of bins of a sum.
pub const MAX_BINS: usize = 1 << 24;

/// Maximum number of bins of all sums together, for one column.
pub const MAX_SUMS: usize = 1 << 25;

/// Maximum length of a name, in bytes.
pub const MAX_NAME_LENGTH: usize = 128;

/// A formula: inputs, operations on them, and outputs.
///
/// Node number `i` is input number `i`, or, after the inputs, an operation on earlier nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    inputs: Vec<Input>,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    axis: Option<i64>,
    each: Option<Each>,
    slots: Vec<Slot>,
    sums: Option<Box<Sums>>,
}

/// The unit for which the formula of a metric computes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// A row along the last axis. Each number of a batch of rank 1 is a row.
    Row,
    /// An element.
    Element,
    /// A class id and a row.
    ClassId,
    /// A line along the formula's axis.
    Line,
}

impl Each {
    const ALL: [(Each, &'static str); 4] =
        [(Each::Row, "row"), (Each::Element, "element"), (Each::ClassId, "class_id"), (Each::Line, "line")];

    /// Returns the name in a document.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(each, _)| *each == self).map_or("", |(_, name)| name)
    }

    /// Returns the unit of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, other)| *other == name).map(|(each, _)| *each)
    }
}

/// An input of a formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The name, such as "y_pred".
    pub name: String,
    /// How often it has a value.
    pub level: Level,
}

/// An output of a formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The name, such as "value".
    pub name: String,
    /// The node that computes it, a number.
    pub node: usize,
}

/// A slot of an optimizer's formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The name, without the "slot." of the input and the output.
    pub name: String,
    /// The initial value of each element.
    pub initial: Constant,
}

impl Formula {
    /// Returns the inputs; each is the node of the same number.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Returns the nodes, inputs included.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the outputs.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Returns the node of an output.
    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().find(|output| output.name == name).map(|output| output.node)
    }

    /// Returns the number of an input, which is also that of its node.
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.name == name)
    }

    /// Returns the axis along which rows lie; `None` if the whole batch is one row.
    pub fn axis(&self) -> Option<i64> {
        self.axis
    }

    /// Returns the unit of a metric's values. The value of a loss, which may be listed among the metrics, has none.
    pub fn each(&self) -> Option<Each> {
        self.each
    }

    /// Returns the slots of an optimizer.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Returns how the terms of a metric are summed, if it is a metric of sums.
    pub fn sums(&self) -> Option<&Sums> {
        self.sums.as_deref()
    }

    /// Returns, for each node, whether an output depends on it.
    fn reachable(&self) -> Vec<bool> {
        let mut reachable = vec![false; self.nodes.len()];
        for output in &self.outputs {
            reachable[output.node] = true;
        }
        for at in (0..self.nodes.len()).rev() {
            if reachable[at] {
                self.nodes[at].operation.arguments().for_each(|argument| reachable[argument] = true);
            }
        }
        reachable
    }
}
