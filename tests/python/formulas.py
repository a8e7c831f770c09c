"""Formulas written by hand, as plug-ins give them, for the tests of the engines."""

import json
import math
import struct


def bits(number):
    """Returns a constant of a document."""
    return struct.pack(">d", number).hex()


class Document:
    """Builds a document: attributes are operations, whose arguments are nodes, and numbers for constants."""

    def __init__(self, inputs, **keys):
        self.inputs, self.keys, self.nodes = inputs, keys, []

    def __getattr__(self, operation):
        def add(*arguments):
            if operation in ("powf", "powi"):
                given = [arguments[0], bits(arguments[1])]
            elif operation == "const":
                given = [bits(arguments[0])]
            else:
                given = [argument if isinstance(argument, int) else self.const(argument) for argument in arguments]
            self.nodes.append([operation.rstrip("_"), *given])
            return len(self.inputs) + len(self.nodes) - 1

        return add

    def json(self, **outputs):
        """Returns the text."""
        named = [[name.replace("slot_", "slot."), node] for name, node in outputs.items()]
        return json.dumps({"version": 1, "inputs": self.inputs, "nodes": self.nodes, "outputs": named, **self.keys})


ELEMENTS = [["y_true", "element"], ["y_pred", "element"]]
IDS = [["y_true", "row"], ["y_pred", "element"]]
VALUES = [["values", "element"]]


def squared(axis=-1):
    """The squared error."""
    d = Document(ELEMENTS, axis=axis)
    error = d.sub(1, 0)
    return d.json(value=d.mul(error, error), derivative=d.mul(error, 2.0), derivative_y_true=d.mul(error, -2.0))


def huber(delta=1.0):
    """The Huber loss, whose derivative is bounded by delta."""
    d = Document(ELEMENTS)
    error = d.sub(1, 0)
    size = d.abs(error)
    small = d.le(size, delta)
    value = d.select(small, d.mul(d.mul(error, error), 0.5), d.sub(d.mul(size, delta), 0.5 * delta * delta))
    slope = d.max(d.min(error, delta), -delta)
    return d.json(value=value, derivative=slope, derivative_y_true=d.neg(slope))


def focal(gamma=2.0):
    """The binary focal cross-entropy from logits."""
    d = Document(ELEMENTS)
    # The logit of the true class; z is y_true's sign times y_pred.
    sign = d.sub(d.mul(0, 2.0), 1.0)
    z = d.mul(sign, 1)
    cross_entropy, wrong = d.softplus(d.neg(z)), d.sigmoid(d.neg(z))
    factor = d.powf(wrong, gamma)
    value = d.mul(factor, cross_entropy)
    # d/dz: -factor * (gamma * (1 - wrong) * cross_entropy + wrong)
    inner = d.add(d.mul(d.mul(d.sub(1.0, wrong), gamma), cross_entropy), wrong)
    slope = d.mul(d.neg(factor), inner)
    return d.json(value=value, derivative=d.mul(slope, sign))


def cross_entropy(axis=-1):
    """The cross-entropy of class ids from logits. An engine differentiates it."""
    d = Document(IDS, axis=axis)
    shifted = d.sub(1, d.row_max(1))
    return d.json(value=d.sub(d.ln(d.row_sum(d.exp(shifted))), d.at(shifted, 0)))


def soft_cross_entropy(axis=-1):
    """The cross-entropy of probabilities from logits, with both derivatives."""
    d = Document(ELEMENTS, axis=axis)
    shifted = d.sub(1, d.row_max(1))
    powers = d.exp(shifted)
    total = d.row_sum(powers)
    logs = d.sub(shifted, d.ln(total))
    mass = d.row_sum(0)
    derivative = d.sub(d.mul(d.div(powers, total), mass), 0)
    return d.json(value=d.neg(d.row_sum(d.mul(0, logs))), derivative=derivative, derivative_y_true=d.neg(logs))


def root():
    """The root of y_pred where it is positive, else 0. An engine would give NaN as its derivative at 0."""
    d = Document(ELEMENTS)
    positive = d.gt(1, 0.0)
    value = d.select(positive, d.sqrt(1), d.mul(0, 0.0))
    return d.json(value=value, derivative=d.select(positive, d.div(0.5, d.sqrt(1)), 0.0))


def row_root():
    """The sum of a row's roots of positive numbers, which an engine differentiates."""
    d = Document(ELEMENTS)
    return d.json(value=d.row_sum(d.select(d.gt(1, 0.0), d.mul(0, d.sqrt(1)), 0.0)))


def adam(beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Adam, as Keras has it."""
    inputs = [[name, "scalar"] for name in ("learning_rate", "number")]
    inputs += [[name, "element"] for name in ("parameter", "gradient", "slot.momentum", "slot.velocity")]
    d = Document(inputs, slots=[["momentum", bits(0.0)], ["velocity", bits(0.0)]])
    rate, number, parameter, gradient, momentum, velocity = range(6)
    left = [d.neg(d.exp_m1(d.mul(number, math.log(beta)))) for beta in (beta_1, beta_2)]
    alpha = d.div(d.mul(rate, d.sqrt(left[1])), left[0])
    momentum = d.add(momentum, d.mul(d.sub(gradient, momentum), 1 - beta_1))
    velocity = d.add(velocity, d.mul(d.sub(d.mul(gradient, gradient), velocity), 1 - beta_2))
    parameter = d.sub(parameter, d.div(d.mul(momentum, alpha), d.add(d.sqrt(velocity), epsilon)))
    return d.json(parameter=parameter, slot_momentum=momentum, slot_velocity=velocity)


def decay(rate=0.1, steps=10.0):
    """An exponential decay."""
    d = Document([["step", "scalar"]])
    return d.json(learning_rate=d.mul(d.exp(d.div(0, -steps)), rate))


def sums(d, result, terms, **keys):
    """Returns a metric of sums. ``terms`` are pairs of a term and its bin by name, or terms; ``result`` is the document
    of the result."""
    outputs = {}
    for name, term in terms.items():
        term, *bin = term if isinstance(term, tuple) else (term,)
        outputs[f"term.{name}"] = term
        outputs.update({f"bin.{name}": one for one in bin})
    d.keys["sums"] = {**keys, "result": json.loads(result)}
    return d.json(**outputs)


def of_sums(names, level):
    """Returns the builder of a result of sums with these names."""
    return Document([[name, level] for name in names])


def ratio(d, a, b):
    """Returns the node of ``a / b``, 0 if b is 0."""
    none = d.eq(b, 0.0)
    return d.select(none, 0.0, d.div(a, d.select(none, 1.0, b)))


def is_zero(d, x):
    """Returns the node of 1 if x is 0, else 0."""
    return d.select(d.eq(x, 0.0), 1.0, 0.0)


def precision(threshold=0.5):
    """Precision at a threshold. It is undefined without a positive prediction."""
    d, r = Document(ELEMENTS, each="element"), of_sums(("tp", "fp"), "scalar")
    positive = d.select(d.gt(1, threshold), 1.0, 0.0)
    all = r.add(0, 1)
    result = r.json(result=ratio(r, 0, all), undefined=is_zero(r, all))
    return sums(d, result, {"tp": d.mul(0, positive), "fp": d.mul(d.sub(1.0, 0), positive)})


def thresholds(count=5):
    """Recall at evenly spaced thresholds from 0 to 1, of which there is one bin more."""
    d, r = Document(ELEMENTS, each="element"), of_sums(("positives", "negatives"), "element")
    bin = d.neg(d.floor(d.neg(d.mul(1, count - 1.0))))
    above = r.row_after(0)
    all = r.row_sum(0)
    result = r.json(result=ratio(r, above, r.add(above, r.add(0, r.row_before(0)))), undefined=is_zero(r, all))
    return sums(d, result, {"positives": (0, bin), "negatives": (d.sub(1.0, 0), bin)}, bins=count + 1, result_length=count)


def f_score(threshold=0.5):
    """The F1 score of each column."""
    d, r = Document(ELEMENTS, each="row"), of_sums(("tp", "predicted", "there"), "element")
    positive = d.select(d.gt(1, threshold), 1.0, 0.0)
    result = r.json(result=ratio(r, r.mul(0, 2.0), r.add(1, 2)), undefined=is_zero(r, r.row_sum(r.add(1, 2))))
    return sums(d, result, {"tp": d.mul(0, positive), "predicted": positive, "there": 0}, by_column=True)


def areas(bins=5):
    """The area under the ROC curve of each column by bins of the scores, averaged. It is undefined if a column has one
    class only."""
    d, r = Document(ELEMENTS, each="row"), of_sums(("positives", "negatives"), "element")
    bin = d.min(d.floor(d.mul(1, float(bins))), bins - 1.0)
    pairs = r.row_sum(r.mul(1, r.add(r.row_after(0), r.mul(0, 0.5))))
    all = r.mul(r.row_sum(0), r.row_sum(1))
    area = ratio(r, pairs, all)
    columns = r.batch_sum(r.select(r.eq(area, area), 1.0, 1.0))
    result = r.json(result=r.div(r.batch_sum(area), columns), undefined=is_zero(r, all))
    return sums(d, result, {"positives": (0, bin), "negatives": (d.sub(1.0, 0), bin)}, bins=bins, by_column=True)


def overlap(classes=4):
    """The intersection over union of each class, for ids in labels and predictions."""
    d, r = Document(ELEMENTS, each="element"), of_sums(("both", "there", "predicted"), "element")
    one, both = d.select(d.eq(0, 0), 1.0, 1.0), d.select(d.eq(0, 1), 1.0, 0.0)
    result = r.json(result=ratio(r, 0, r.sub(r.add(1, 2), 0)))
    return sums(d, result, {"both": (both, 0), "there": (one, 0), "predicted": (one, 1)}, bins=classes)


def recalls(classes=4):
    """The recall of each class, for ids as labels and a score for each class."""
    d, r = Document(IDS, each="class_id"), of_sums(("hits", "all"), "element")
    hit = d.select(d.ge(d.at(1, 0), d.row_max(1)), 1.0, 0.0)
    return sums(d, r.json(result=ratio(r, 0, 1)), {"hits": (hit, 0), "all": (d.const(1.0), 0)}, bins=classes)


def total():
    """The sum of values."""
    d, r = Document(VALUES, each="element"), of_sums(("total",), "scalar")
    return sums(d, r.json(result=0), {"total": 0})


def mean_of_values():
    """The mean of values."""
    d = Document(VALUES, each="element")
    return d.json(value=0)
