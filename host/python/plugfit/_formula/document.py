"""Formulas as plug-ins give them: JSON documents of ``plugfit.formula/1``."""

from __future__ import annotations

import importlib
import json
import re
import struct
from typing import NamedTuple, Optional

from . import _precision
from ._numpy import fold
from .graph import Graph
from .operations import ARGUMENTS, LEVELS, OF_SUMS

_LIMIT = 100_000
_MOST_BINS = 2**24
#: Of all sums together, for one column.
_MOST_SUMS = 2**25


class Sums(NamedTuple):
    """How the terms of a metric are summed. ``terms`` are their names; ``result`` is the formula of the result."""

    terms: tuple
    bins: int
    by_column: bool
    result_length: Optional[int]
    result: Formula


class Formula:
    """The formula of a component, as operations on numbers.

    ``numpy()``, ``jax()``, ``torch()`` and ``keras()`` return it as a pure function of tensors:

    * of a loss or a metric that is a mean: ``f(y_true, y_pred)`` returns the values without reduction. A loss is
      differentiable with respect to ``y_pred``, and to ``y_true`` if the plug-in gives this derivative. The result of a
      metric is the weighted mean of the values, or ``f.result(mean)`` if ``f`` has this attribute.
    * of a metric of sums: ``f(y_true, y_pred, sample_weight=None)`` returns the sums of a batch, which are added to
      those of other batches. Their shape is that of ``f.shape(columns)``: the number of terms, then the number of
      columns if each has sums of its own, then the number of bins if there are several. ``f.result(sums)`` returns the
      result, NaN where it is undefined, and ``f.undefined(sums)`` whether it is undefined; this attribute is None if the
      result is always defined. Weights are those of rows or, if a term has a value for each element, of elements.
    * of an optimizer: ``f(parameter, gradient, slots, learning_rate, number)`` returns the parameter and the slots
      after the update with this number, from 1. ``slots`` is a dict of tensors. Weight decay, clipping, averages and
      accumulation aren't part of it: the host or the framework applies them around it.
    * of a schedule: ``f(step)`` returns the learning rate.

    A metric of ``values`` has this argument instead of ``y_true`` and ``y_pred``.

    Labels aren't checked: an id that is no class gives NaN, and other labels give what the formula gives. A formula that
    depends on all labels of a batch (``batch_all``) sees the batch of each call, and under vmap each example by itself.

    Results have the dtype of ``y_pred`` or of the parameter. float16 and bfloat16 are computed in float32. Sums are
    float64 where the engine has it, and otherwise float32.

    Integers are computed in float32, which rounds them beyond 2^24, unless all inputs have 32 or 64 bits, labels are
    compared with numbers of this size (``Accuracy``), or there are more than 2^24 classes: then in float64. Without
    float64, an integer beyond 2^24 that is compared becomes NaN, and more classes raise ValueError.
    """

    #: The numbers of the nodes that are results, by name.
    outputs: dict
    #: The levels of the inputs by name: ``scalar``, ``row`` or ``element``.
    inputs: dict
    #: The axis along which a row lies, or None if the whole batch is one row.
    axis: int | None
    #: The unit of which a metric averages the values: ``row``, ``element``, ``class_id`` or ``line``; None for a loss.
    each: str | None
    #: The initial values of an optimizer's slots by name.
    slots: dict
    #: How the terms of a metric of sums are summed, or None.
    sums: Sums | None
    #: Whether labels are compared with numbers that may be as large as they.
    compares_labels: bool
    #: Whether the value of integers depends on all their digits.
    computes_integers: bool

    def __init__(self, document, text=None, latex=None, is_result=False):
        self._document, self._text, self._latex, self._functions = document, text, latex, {}
        self.inputs = dict(_checked_inputs(document))
        self.axis, self.each = document.get("axis", -1), document.get("each")
        self.slots = {str(name): _constant(value) for name, value in document.get("slots") or []}
        _require(self.axis is None or type(self.axis) is int, f"axis {self.axis!r}")
        self.graph = Graph(list(self.inputs.values()))
        numbers = _read_nodes(self.graph, document, is_result)
        self.outputs = {str(name): _number(numbers, index, "n", self.graph) for name, index in document["outputs"]}
        for what, names in (("inputs", self.inputs), ("outputs", self.outputs)):
            _require(len(names) == len(document[what]), f"two of its {what} have the same name")
        self.sums = None
        if document.get("sums") is not None:
            _require(not is_result, "the result of sums has sums")
            self.sums = _read_sums(self, document["sums"])
        if not is_result:
            self._check_names()
        labels, values = "y_true" in self.inputs, "values" in self.inputs
        # There are fewer labels than bins, and sums of labels are counts.
        self.compares_labels = labels and (self.sums is None or self.sums.bins == 1) and _precision.compares(self.graph, 0)
        is_value = values or labels and self.sums is None
        self.computes_integers = is_value and _precision.computes(self.graph, self.outputs.values(), {0, 1} if labels else {0})

    @classmethod
    def from_json(cls, document, text=None, latex=None):
        """Reads a document. ``text`` is what ``print`` shows, and ``latex`` what a notebook shows.

        Raises ValueError if the document is invalid or has an operation that this version doesn't know.
        """
        try:
            read = json.loads(document)
            _require(isinstance(read, dict) and read.get("version") == 1, "its version isn't 1")
            return cls(read, text, latex)
        except (KeyError, TypeError, IndexError, AttributeError, RecursionError, struct.error) as error:
            raise ValueError(f"the formula is invalid: {type(error).__name__} {error}") from None

    @property
    def kind(self):
        """``loss`` (or a metric that is a mean), ``sums``, ``optimizer`` or ``schedule``."""
        if self.sums is not None:
            return "sums"
        if "value" in self.outputs:
            return "loss"
        return "optimizer" if "parameter" in self.outputs else "schedule"

    def _check_names(self):
        inputs, outputs = list(self.inputs.items()), set(self.outputs)
        slots = {f"slot.{name}" for name in self.slots}
        if self.kind in ("loss", "sums"):
            if self.kind == "loss" and inputs[-1:] == [("mean", "scalar")]:
                inputs.pop()
            known = inputs == [("values", "element")]
            known = known or inputs in ([("y_true", level), ("y_pred", "element")] for level in ("row", "element"))
            _require(known, f"its inputs are {list(self.inputs.items())}")
        elif self.kind == "optimizer":
            known = {"parameter", "gradient", "learning_rate", "number"} | slots
            _require("parameter" in self.inputs and known >= set(self.inputs), f"its inputs are {inputs}")
            _require(outputs == {"parameter"} | slots, f"its outputs are {sorted(outputs)}")
        else:
            _require(list(self.inputs) == ["step"] and outputs == {"learning_rate"}, f"its outputs are {sorted(outputs)}")

    @property
    def has_rows(self):
        """Whether an output depends on a sum or a maximum over a row. In an optimizer, the row is the whole parameter."""
        nodes = self.graph.nodes
        return any(nodes[index].level == "row" for index in self.graph.needed(self.outputs.values()))

    @property
    def has_own_derivative(self):
        """Whether the first derivative of the value is the plug-in's or, if there is none, refused. Otherwise an engine
        differentiates the value."""
        return "values" not in self.inputs and ("derivative" in self.outputs or self.level("value") == "element")

    def level(self, output):
        """Returns the level of an output."""
        return self.graph.nodes[self.outputs[output]].level

    def numpy(self):
        """Returns the formula as a function of NumPy arrays. That of a loss has an attribute ``gradient``: the
        derivative of the sum of the values with respect to ``y_pred``, for the same arguments."""
        return self._engine("numpy")

    def jax(self):
        """Returns the formula as a function of JAX arrays, for ``jax.jit``, ``vmap``, ``grad`` and ``hessian``."""
        return self._engine("jax")

    def torch(self):
        """Returns the formula as a function of PyTorch tensors, for autograd, ``torch.compile`` and ``torch.func``. A
        compiled function has no second derivative."""
        return self._engine("torch")

    def keras(self):
        """Returns the formula as a function of tensors of Keras's backend."""
        return self._engine("keras")

    def metric(self, engine):
        """Returns a metric as a function for the engine of this name that returns the sums of a batch, as that of a
        metric of sums. The sums of a mean are those of weight times value and of weight."""
        return self._engine(engine, "sums")

    def _engine(self, name, kind=None):
        # One function for each engine, so that JAX and PyTorch don't compile it again.
        key = name, kind or self.kind
        if key not in self._functions:
            module = importlib.import_module(f"{__package__}._{name}")
            self._functions[key] = getattr(module, key[1])(self)
        return self._functions[key]

    def __str__(self):
        if self._text is not None:
            return self._text
        names = list(self.inputs)
        nodes = [*names, *(" ".join(map(str, node)) for node in self._document["nodes"])]
        lines = [f"{index}: {node}" for index, node in enumerate(nodes)]
        lines += [f"{name} = {index}" for name, index in self._document["outputs"]]
        return "\n".join(lines if self.sums is None else [*lines, "", str(self.sums.result)])

    def __reduce__(self):
        return Formula, (self._document, self._text, self._latex)

    def _repr_latex_(self):
        return None if self._latex is None else f"$${self._latex}$$"


def _require(holds, what):
    if not holds:
        raise ValueError(f"the formula is invalid: {what}")


def _checked_inputs(document):
    for name, level in document["inputs"]:
        _require(level in LEVELS, f"the level {level!r} of {name!r}")
        yield str(name), level


def _read_sums(formula, document):
    """Returns how the terms of a formula are summed."""
    bins, by_column, length = document.get("bins", 1), document.get("by_column", False), document.get("result_length")
    _require(type(bins) is int and 1 <= bins <= _MOST_BINS, f"the sums have {bins!r} bins")
    _require(type(by_column) is bool, f"by_column is {by_column!r}")
    _require(length is None or type(length) is int and length >= 0, f"result_length is {length!r}")
    terms = tuple(name[5:] for name in formula.outputs if name.startswith("term."))
    _require(terms and all(terms), "the sums have no term, or one without a name")
    _require(len(terms) * bins <= _MOST_SUMS, f"there are {len(terms)} sums of {bins} bins")
    with_bins = {f"bin.{name}" for name in terms} if bins > 1 else set()
    _require(set(formula.outputs) == {f"term.{name}" for name in terms} | with_bins, f"the outputs of sums are {sorted(formula.outputs)}")
    for name in terms:
        # A row has one number of the bin only.
        by_element = by_column or formula.each == "element" or formula.level(f"term.{name}") == "element"
        fits = not with_bins or by_element or formula.level(f"bin.{name}") != "element"
        _require(fits, f"the term {name!r} of each row has a bin for each element")
    result = document["result"]
    _require(isinstance(result, dict) and result.get("version") == 1, "the version of its result isn't 1")
    result = Formula(result, is_result=True)
    level = "scalar" if bins == 1 and not by_column else "element"
    _require(list(result.inputs.items()) == [(name, level) for name in terms], f"the inputs of the result are {list(result.inputs.items())}")
    outputs = set(result.outputs)
    _require({"result"} <= outputs <= {"result", "undefined"}, f"the outputs of the result are {sorted(outputs)}")
    _require("undefined" not in outputs or result.level("undefined") != "element", "undefined is a number for each element")
    return Sums(terms, bins, by_column, length, result)


def _read_nodes(graph, document, is_result):
    """Adds the nodes of the document to the graph. Returns the number in the graph of each node in the document."""
    nodes = document["nodes"]
    _require(len(nodes) <= _LIMIT, f"it has {len(nodes)} nodes")
    numbers = list(range(graph.inputs))
    for operation, *given in nodes:
        _require(operation in ARGUMENTS, f"the operation {operation!r} is unknown")
        _require(is_result or operation not in OF_SUMS, f"{operation} is only for the result of sums")
        kinds = ARGUMENTS[operation]
        _require(len(given) == len(kinds), f"{operation} takes {len(kinds)} arguments, not {len(given)}")
        _require(kinds or "element" in [node.level for node in graph.nodes], f"{operation} without an element")
        arguments = [_number(numbers, index, kind, graph) for index, kind in zip(given, kinds) if kind != "c"]
        constant = _constant(given[-1]) if kinds.endswith("c") else None
        if operation == "powi":
            _require(abs(constant) < 2**31 and constant == int(constant), f"the power {constant}")
        numbers.append(fold(graph, operation, arguments, constant))
    return numbers


def _number(numbers, index, kind, graph):
    _require(type(index) is int and 0 <= index < len(numbers), f"there is no node {index!r} before")
    node = graph.nodes[numbers[index]]
    _require(node.is_mask == (kind == "m"), f"node {index} is a mask" if node.is_mask else f"node {index} isn't a mask")
    _require(kind != "e" or node.level == "element", f"node {index} isn't a number for each element")
    _require(kind != "o" or node.level == "row", f"node {index} isn't a number for each row")
    _require(kind != "r" or node.level != "element", f"node {index} is a number for each element")
    return numbers[index]


def _constant(digits):
    """Returns the float64 with these bits."""
    _require(isinstance(digits, str) and re.fullmatch("[0-9a-fA-F]{16}", digits), f"the constant {digits!r}")
    return struct.unpack(">d", bytes.fromhex(digits))[0]
