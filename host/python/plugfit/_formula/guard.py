"""Formulas that an engine can differentiate.

An engine multiplies the derivative of a branch that isn't selected by 0, and gets NaN if this derivative isn't finite:
that of ``select(x > 0, sqrt(x), 0)`` at 0. In a guarded graph, operations of such a branch get 1 instead of their
arguments wherever the branch isn't selected.
"""

from __future__ import annotations

from .graph import Graph
from .operations import LEVELS, NONLINEAR


def guarded(graph, outputs):
    """Returns a graph whose derivatives are finite where branches that aren't selected aren't, and its outputs."""
    needed = graph.needed(outputs)
    if not any(graph.nodes[index].operation == "select" for index in needed):
        return graph, outputs
    made = Graph([node.level for node in graph.nodes[: graph.inputs]])
    # Masks have no derivative: they are computed from a copy that isn't guarded.
    plain = _copy(made, graph, needed)
    conditions = _conditions(graph, needed, outputs, made, plain)
    one = None
    numbers = {index: index for index in range(graph.inputs)}
    for index in needed:
        node = graph.nodes[index]
        if node.is_mask:
            numbers[index] = plain[index]
        elif node.operation != "input":
            arguments = [numbers[argument] for argument in node.arguments]
            condition = conditions.get(index)
            if node.operation in NONLINEAR and condition is not None:
                one = made.add("const", (), 1.0) if one is None else one
                is_constant = [graph.nodes[argument].operation == "const" for argument in node.arguments]
                arguments = [
                    argument if constant else made.add("select", (condition, argument, one))
                    for argument, constant in zip(arguments, is_constant)
                ]
            numbers[index] = made.add(node.operation, arguments, node.constant)
    return made, [numbers[index] for index in outputs]


def _copy(made, graph, needed):
    numbers = {}
    for index in needed:
        node = graph.nodes[index]
        is_input = node.operation == "input"
        numbers[index] = index if is_input else made.add(node.operation, [numbers[one] for one in node.arguments], node.constant)
    return numbers


def _conditions(graph, needed, outputs, made, plain):
    """Returns for each node the mask of the places where it is used, which is added to ``made``. A node that is used
    everywhere, or whose mask has a higher level, has none."""
    #: The conditions of the uses of each node.
    uses = {index: [] for index in needed}
    for index in outputs:
        uses[index].append(None)
    found = {}
    for index in reversed(needed):
        node = graph.nodes[index]
        if node.is_mask or not uses[index]:
            continue
        condition = None if None in uses[index] else _joined(made, "or", uses[index])
        if condition is not None and LEVELS.index(made.nodes[condition].level) > LEVELS.index(node.level):
            condition = None
        found[index] = condition
        if node.operation == "select":
            mask = plain[node.arguments[0]]
            for argument, chosen in zip(node.arguments[1:], (mask, made.add("not", (mask,)))):
                uses[argument].append(_joined(made, "and", [one for one in (condition, chosen) if one is not None]))
        else:
            for argument in node.arguments:
                uses[argument].append(condition)
    return found


def _joined(made, operation, masks):
    joined, *others = dict.fromkeys(masks)
    for mask in others:
        joined = made.add(operation, (joined, mask))
    return joined
