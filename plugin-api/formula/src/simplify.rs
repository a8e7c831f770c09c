//! Removes what a formula doesn't need.

use super::graph::Graph;
use super::node::Node;
use super::{Formula, Output};

impl Formula {
    /// Returns an equal formula without nodes that no output needs, in which equal nodes are shared, constants are
    /// folded in float64, `x + 0`, `x * 1`, `x / 1` and `-(-x)` are `x`, and `-(x - y)` is `y - x`.
    ///
    /// A NaN stays a NaN: `x * 0` isn't simplified, for example. The sign of a zero may change. All inputs stay. A sum that
    /// the result of a metric doesn't depend on is removed.
    #[must_use]
    pub fn simplify(&self) -> Formula {
        let mut graph = Graph::new(self.inputs.iter().map(|input| input.level).collect());
        let mut new: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let node = graph.add(node.operation.map(|argument| new[argument]));
            new.push(node);
        }
        let outputs = self.outputs.iter().map(|output| (output.name.clone(), new[output.node])).collect();
        let mut simplified = self.with_nodes(graph, outputs);
        if let Some(sums) = &mut simplified.sums {
            sums.result = sums.result.simplify();
            return simplified.without_unused_sums();
        }
        simplified
    }

    /// Returns the formula with the nodes of a graph that its outputs need. The graph has the same inputs.
    pub(super) fn with_nodes(&self, graph: Graph, outputs: Vec<(String, usize)>) -> Formula {
        let outputs = outputs.into_iter().map(|(name, node)| Output { name, node }).collect();
        Formula { nodes: graph.into_nodes(), outputs, ..self.clone() }.without_unreachable_nodes()
    }

    /// Returns the formula with the nodes that its outputs need, and with all inputs.
    pub(super) fn without_unreachable_nodes(self) -> Formula {
        let reachable = self.reachable();
        let mut new = vec![0; self.nodes.len()];
        let mut nodes = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            if reachable[at] || at < self.inputs.len() {
                new[at] = nodes.len();
                nodes.push(Node { operation: node.operation.map(|argument| new[argument]), ..*node });
            }
        }
        let outputs = self.outputs.iter().map(|output| Output { node: new[output.node], ..output.clone() }).collect();
        Formula { nodes, outputs, ..self }
    }
}
