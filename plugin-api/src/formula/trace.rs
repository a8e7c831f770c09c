//! Records the operations of a formula.

use crate::{Error, Result};
use std::{
    cell::RefCell,
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

/// The maximum number of nodes of a formula.
const MAX_NODES: usize = 4096;

/// The number of a node in the current trace.
pub(super) type Index = u32;

/// A node: the operation, the nodes that it refers to, and a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) operation: &'static str,
    pub(super) arguments: [Option<Index>; 3],
    /// The bits of a float64.
    pub(super) constant: Option<u64>,
}

/// A formula that is being recorded. Equal nodes are recorded once.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) nodes: Vec<Node>,
    known: HashMap<Node, Index>,
    inputs: usize,
    error: Option<&'static str>,
}

/// The number of traces of this process.
static TRACES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The number of the last trace of this thread, and the current trace.
    static CURRENT: RefCell<(u64, Option<Trace>)> = const { RefCell::new((0, None)) };
}

/// A node of a trace, and the number of the trace. A number that outlives its trace is detected by that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    node: Index,
    trace: u64,
}

impl Trace {
    fn fail(&mut self, error: &'static str) -> Index {
        self.error.get_or_insert(error);
        0
    }

    fn push(&mut self, node: Node) -> Index {
        if let Some(index) = self.known.get(&node) {
            return *index;
        }
        if self.inputs + self.nodes.len() >= MAX_NODES {
            return self.fail("it has more than 4096 operations");
        }
        let index = (self.inputs + self.nodes.len()) as Index;
        self.nodes.push(node);
        self.known.insert(node, index);
        index
    }

    /// Returns the value of a constant node.
    fn constant(&self, index: Index) -> Option<f64> {
        let node = self.nodes.get((index as usize).checked_sub(self.inputs)?)?;
        node.constant.filter(|_| node.operation == "const").map(f64::from_bits)
    }
}

/// Records a node and returns a reference to it.
pub(super) fn record(operation: &'static str, arguments: &[Reference], constant: Option<f64>) -> Reference {
    CURRENT.with_borrow_mut(|(number, trace)| {
        // Outside of a trace nothing is recorded, and no result is used.
        let Some(trace) = trace else { return Reference { node: 0, trace: 0 } };
        let mut node = Node { operation, arguments: [None; 3], constant: constant.map(f64::to_bits) };
        for (place, argument) in node.arguments.iter_mut().zip(arguments) {
            *place = Some(match argument.trace == *number {
                true => argument.node,
                false => trace.fail("it uses a number of another trace"),
            });
        }
        Reference { node: trace.push(node), trace: *number }
    })
}

/// Makes the current trace fail, if there is one.
pub(super) fn refuse(why: &'static str) {
    CURRENT.with_borrow_mut(|(_, trace)| {
        if let Some(trace) = trace {
            trace.fail(why);
        }
    });
}

/// Returns the value of a constant.
pub(super) fn constant_of(reference: Reference) -> Option<f64> {
    CURRENT.with_borrow(|(number, trace)| match trace {
        Some(trace) if reference.trace == *number => trace.constant(reference.node),
        _ => None,
    })
}

/// Whether both refer to the same node.
pub(super) fn same(one: Reference, other: Reference) -> bool {
    one.trace == other.trace && one.node == other.node
}

/// Records what `formula` does with this many inputs. Returns the nodes and the numbers of the outputs.
///
/// # Errors
/// Returns an error if the formula is too long or uses a number of another trace.
pub(super) fn trace(
    inputs: usize,
    formula: impl FnOnce(&[Reference]) -> Vec<Reference>,
) -> Result<(Vec<Node>, Vec<Index>)> {
    /// Ends the trace if the formula panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            CURRENT.with_borrow_mut(|(_, trace)| *trace = None);
        }
    }
    let references: Vec<Reference> = CURRENT.with_borrow_mut(|(number, trace)| {
        if trace.is_some() {
            return Err(Error::other("a formula can't be recorded while another one is"));
        }
        *number = TRACES.fetch_add(1, Ordering::Relaxed) + 1;
        *trace = Some(Trace { inputs, ..Trace::default() });
        Ok((0..inputs as Index).map(|node| Reference { node, trace: *number }).collect())
    })?;
    let _end = End;
    let outputs = formula(&references);
    CURRENT.with_borrow_mut(|(number, trace)| {
        let mut trace = trace.take().unwrap_or_default();
        let indices = outputs
            .iter()
            .map(|output| match output.trace == *number {
                true => output.node,
                false => trace.fail("it returns a number of another trace"),
            })
            .collect();
        match trace.error {
            None => Ok((trace.nodes, indices)),
            Some(error) => Err(Error::unsupported(error.to_owned())),
        }
    })
}
