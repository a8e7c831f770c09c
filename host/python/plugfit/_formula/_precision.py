"""Which formulas depend on digits of integers that float32 doesn't have."""

from __future__ import annotations

from .graph import Graph

#: float32 has all integers up to this one.
MOST = 2**24

_COMPARISONS = ("lt", "le", "gt", "ge", "eq")
#: Operations whose result is one of their numbers, but for its sign.
_CHOICES = ("neg", "abs", "flush", "detach", "row_max", "max", "min", "select", "at")


def compares(graph: Graph, labels: int):
    """Returns whether an input is compared with numbers that may be as large as labels, and aren't labels themselves."""
    small, of_labels = _small(graph), []
    for index, node in enumerate(graph.nodes):
        of_labels.append(index == labels or bool(node.arguments) and all(of_labels[one] for one in node.arguments))
    return any(
        node.operation in _COMPARISONS and labels in node.arguments and not all(small[one] or of_labels[one] for one in node.arguments)
        for node in graph.nodes
    )


def computes(graph: Graph, outputs, inputs):
    """Returns whether inputs are used for more than a comparison with small numbers or with themselves."""
    small = _small(graph)
    return any(one in inputs for one in outputs) or any(
        not (node.operation in _COMPARISONS and (any(small[one] for one in node.arguments) or len(set(node.arguments)) == 1))
        for node in graph.nodes
        if any(one in inputs for one in node.arguments)
    )


def _small(graph):
    """Returns for each node whether its numbers are at most :data:`MOST` or NaN, if rows aren't longer."""
    small = []
    for node in graph.nodes:
        if node.operation in _CHOICES:
            small.append(all(small[one] for one in _chosen(graph, node)))
        elif node.operation == "const":
            # Integers don't become infinite.
            small.append(not MOST < abs(node.constant) < float("inf"))
        else:
            small.append(node.is_mask or node.operation in ("index", "row_len", "sigmoid", "tanh", "cos"))
    return small


def _chosen(graph, node):
    """Returns the numbers of which an operation chooses one that isn't NaN."""
    if node.operation == "at":
        return node.arguments[:1]
    if node.operation != "select":
        return node.arguments
    mask, first, second = node.arguments
    is_number = graph.nodes[mask].operation == "eq" and graph.nodes[mask].arguments == (second, second)
    return (first,) if is_number else (first, second)
