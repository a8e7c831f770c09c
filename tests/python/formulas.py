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
