"""The nodes of a formula, and their evaluation with the functions of an engine."""

from __future__ import annotations

from typing import NamedTuple, Optional, Union

from .operations import LEVELS, MASKS, REDUCTIONS


class Node(NamedTuple):
    """A number or a mask. ``arguments`` are the numbers of earlier nodes, ``constant`` is that of const, powf and powi.
    The operation of an input is ``input``."""

    operation: str
    arguments: tuple
    level: str
    constant: Optional[Union[float, bool]] = None

    @property
    def is_mask(self):
        return self.operation in MASKS or isinstance(self.constant, bool)


class Graph:
    """Nodes, of which equal ones are shared. The inputs are the first."""

    def __init__(self, input_levels):
        self.inputs = len(input_levels)
        self.nodes = [Node("input", (), level) for level in input_levels]
        self._known = {}

    def add(self, operation, arguments, constant=None):
        """Returns the number of a node with this operation, which is added if there is none."""
        if operation in ("row_len", "index"):
            # Any tensor with an entry for each element has the length.
            arguments = (next(index for index, node in enumerate(self.nodes) if node.level == "element"),)
        key = (operation, tuple(arguments), repr(constant))
        if key not in self._known:
            self.nodes.append(Node(operation, tuple(arguments), self._level(operation, arguments), constant))
            self._known[key] = len(self.nodes) - 1
        return self._known[key]

    def _level(self, operation, arguments):
        if operation in REDUCTIONS:
            return "row"
        if operation in ("const", "row_len", "batch_all", "batch_sum"):
            return "scalar"
        return max((self.nodes[index].level for index in arguments), key=LEVELS.index)

    def needed(self, outputs):
        """Returns the numbers of the nodes that the outputs depend on, in order."""
        seen, stack = set(outputs), list(outputs)
        while stack:
            for index in self.nodes[stack.pop()].arguments:
                if index not in seen:
                    seen.add(index)
                    stack.append(index)
        return sorted(seen)


def function(graph, outputs, engine):
    """Returns a function of the inputs that returns a list of the outputs. It calls ``engine.operations`` with tensors,
    and with Python numbers for constants; at least one argument is a tensor."""
    constants, steps = {}, []
    needed = graph.needed(outputs)
    last_uses = {argument: index for index in needed for argument in graph.nodes[index].arguments}
    for index in needed:
        node = graph.nodes[index]
        if node.operation == "const":
            constants[index] = node.constant
        elif node.operation != "input":
            of_constants = node.operation == "select" and all(argument in constants for argument in node.arguments[1:])
            # Tensors that no later step uses, whose memory is freed.
            unused = [one for one in dict.fromkeys(node.arguments) if last_uses[one] == index and one not in outputs and one not in constants]
            steps.append((index, node.operation, node.arguments, node.constant, of_constants, unused))
    operations, constant = engine.operations, engine.constant

    def run(*tensors):
        values = dict(enumerate(tensors))
        values.update(constants)
        for index, operation, arguments, number, of_constants, unused in steps:
            given = [values[argument] for argument in arguments]
            if of_constants:
                # Two numbers have no dtype.
                given[1] = constant(given[1], tensors[-1])
            values[index] = operations[operation](*given) if number is None else operations[operation](*given, number)
            del given
            for one in unused:
                del values[one]
        return [constant(values[index], tensors[-1]) if index in constants else values[index] for index in outputs]

    return run
