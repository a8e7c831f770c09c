"""Every engine computes formulas, and their derivatives, as NumPy does in float64."""

import json
import pickle

import numpy as np
import pytest

import formulas
from plugfit._formula import Formula

RNG = np.random.default_rng(0)
NAN, INF = float("nan"), float("inf")
PREDICTIONS = RNG.normal(size=(5, 4))
PREDICTIONS[0] = [0.0, 1.0, -1.0, 2.0]
LABELS = RNG.integers(0, 2, size=(5, 4)).astype(float)
IDS = np.array([0, 3, 2, 1, 0])
SPECIAL = np.array([0.0, -0.0, 0.3, -0.3, 1.0, -1.0, 2.0, -2.0, 40.0, -40.0, 100.0, -100.0, 1e-30, INF, -INF, NAN])

LOSSES = {name: getattr(formulas, name)() for name in ("squared", "huber", "focal", "soft_cross_entropy", "root", "row_root", "cross_entropy")}


def of(name):
    return Formula.from_json(LOSSES[name])


def labels(name):
    return IDS if name == "cross_entropy" else LABELS


class Jax:
    def __init__(self):
        self.jax = pytest.importorskip("jax", reason="JAX isn't installed")

    def function(self, formula):
        return formula.jax()

    def tensor(self, array):
        return self.jax.numpy.asarray(array)

    def gradient(self, f, array):
        return self.jax.grad(f)(self.tensor(array))

    def hessian(self, f, array):
        return self.jax.hessian(f)(self.tensor(array))


class Torch:
    def __init__(self):
        self.torch = pytest.importorskip("torch", reason="PyTorch isn't installed")

    def function(self, formula):
        return formula.torch()

    def tensor(self, array):
        return self.torch.tensor(np.asarray(array))

    def gradient(self, f, array):
        tensor = self.tensor(array).requires_grad_()
        f(tensor).backward()
        return tensor.grad

    def hessian(self, f, array):
        return self.torch.autograd.functional.hessian(f, self.tensor(array))


class Keras:
    def __init__(self):
        self.keras = pytest.importorskip("keras", reason="Keras isn't installed")
        self.name = self.keras.backend.backend()
        module = pytest.importorskip(self.name, reason="Keras's backend isn't installed")
        self.of_backend = {"jax": Jax, "torch": Torch}[self.name]() if self.name != "tensorflow" else Tensorflow(module)

    def function(self, formula):
        return formula.keras()

    def __getattr__(self, name):
        return getattr(self.of_backend, name)


class Tensorflow:
    def __init__(self, tf):
        self.tf = tf

    def tensor(self, array):
        return self.tf.constant(array)

    def gradient(self, f, array):
        return self.derivative(f, self.tensor(array))

    def derivative(self, f, tensor):
        with self.tf.GradientTape() as tape:
            tape.watch(tensor)
            value = f(tensor)
        return tape.gradient(value, tensor)

    def hessian(self, f, array):
        tensor = self.tensor(array)
        with self.tf.GradientTape() as tape:
            tape.watch(tensor)
            gradient = self.derivative(f, tensor)
        return tape.jacobian(gradient, tensor, unconnected_gradients="zero")


class Numpy:
    def function(self, formula):
        return formula.numpy()

    def tensor(self, array):
        return np.asarray(array)


ENGINES = [Jax, Torch, Keras]


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.__name__)
def engine(request):
    return request.param()


def total(found):
    if hasattr(found, "sum"):
        return found.sum()
    import tensorflow as tf

    return tf.reduce_sum(found)


def call(engine, formula, y_true, y_pred):
    """Returns the values in float32, computed by an engine."""
    y_true, y_pred = (np.asarray(a, np.float32 if np.asarray(a).dtype == float else None) for a in (y_true, y_pred))
    return np.asarray(engine.function(formula)(engine.tensor(y_true), engine.tensor(y_pred)))


UNARY = ("neg", "abs", "sqrt", "exp", "exp_m1", "ln", "ln_1p", "tanh", "sigmoid", "softplus", "flush")
BINARY = ("add", "sub", "mul", "div", "max", "min", "lt", "le", "gt", "ge", "eq")


def operation_document(operation):
    d = formulas.Document(formulas.ELEMENTS)
    if operation in UNARY:
        return d.json(value=getattr(d, operation)(1))
    if operation in ("lt", "le", "gt", "ge", "eq"):
        return d.json(value=d.select(getattr(d, operation)(0, 1), 1.0, 0.1))
    if operation in BINARY:
        return d.json(value=getattr(d, operation)(0, 1))
    if operation in ("powf", "powi"):
        return d.json(value=getattr(d, operation)(1, 3.0 if operation == "powi" else 2.5))
    if operation in ("and", "or"):
        return d.json(value=d.select(getattr(d, operation + "_")(d.gt(0, 0.0), d.lt(1, 1.0)), 1, 7.0))
    if operation == "not":
        return d.json(value=d.select(d.not_(d.gt(0, 0.0)), 1, 0))
    if operation in ("row_len", "index"):
        return d.json(value=d.mul(1, getattr(d, operation)()))
    return d.json(value=d.add(d.mul(1, 0.0), getattr(d, operation)(1)))


@pytest.mark.parametrize("operation", [*UNARY, *BINARY, "powf", "powi", "and", "or", "not", "row_len", "index", "row_sum", "row_max"])
def test_every_operation_gives_the_number_of_numpy_in_float64(engine, operation):
    formula = Formula.from_json(operation_document(operation))
    pairs = np.array([[a, b] for a in SPECIAL for b in SPECIAL])
    if operation == "powf":
        pairs = np.abs(pairs)
    # Engines may return subnormal numbers as they are, or as 0.
    y_true, y_pred = (pairs[:, :1], pairs[:, 1:]) if operation != "index" else (pairs, pairs)
    expected = formula.numpy()(y_true, y_pred.astype(float))
    np.testing.assert_allclose(call(engine, formula, y_true, y_pred), expected.astype("f"), rtol=2e-6, atol=1e-37)


def test_comparisons_with_nan_are_false_and_a_value_that_isnt_selected_is_ignored(engine):
    d = formulas.Document(formulas.ELEMENTS)
    formula = Formula.from_json(d.json(value=d.select(d.le(1, 1.0), 1, d.select(d.ge(1, 1.0), 0, 5.0))))
    found = call(engine, formula, [[NAN], [2.0], [NAN]], [[0.5], [3.0], [NAN]])
    np.testing.assert_array_equal(found, [0.5, 2.0, 5.0])


def test_a_row_has_elements_at_constant_positions(engine):
    d = formulas.Document(formulas.ELEMENTS)
    formula = Formula.from_json(d.json(value=d.sub(d.at(1, d.const(2.0)), d.at(1, d.const(0.0)))))
    rows = np.arange(12.0).reshape(3, 4) ** 2
    expected = rows[:, 2] - rows[:, 0]
    np.testing.assert_array_equal(call(engine, formula, rows, rows), expected)
    np.testing.assert_array_equal(formula.numpy()(rows, rows), expected)
    gradient = engine.gradient(lambda y_pred: total(engine.function(formula)(engine.tensor(rows), y_pred)), rows)
    np.testing.assert_array_equal(gradient, [[-1, 0, 1, 0]] * 3)
    d = formulas.Document(formulas.ELEMENTS)
    assert np.isnan(call(engine, Formula.from_json(d.json(value=d.at(1, d.const(4.0)))), rows, rows)).all()


def test_a_class_id_that_is_no_class_gives_nan(engine):
    d = formulas.Document(formulas.IDS)
    formula = Formula.from_json(d.json(value=d.at(1, 0)))
    ids = np.array([0.0, 3.0, 4.0, -1.0, 1.5, NAN, INF, -0.0])
    expected = [0.0, 3.0, NAN, NAN, NAN, NAN, NAN, 0.0]
    rows = np.broadcast_to(np.arange(4.0), (8, 4))
    for shape in ((8,), (8, 1)):
        np.testing.assert_array_equal(call(engine, formula, ids.reshape(shape), rows), expected)
    np.testing.assert_array_equal(call(engine, formula, np.array([0, 3, 4, -1, 2]), rows[:5]), [0, 3, NAN, NAN, 2])
    np.testing.assert_array_equal(formula.numpy()(ids, rows), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_first_derivatives_equal_those_of_numpy(engine, name):
    formula, y_true = of(name), labels(name)
    f = formula.numpy()
    np.testing.assert_allclose(call(engine, formula, y_true, PREDICTIONS), f(y_true, PREDICTIONS), rtol=2e-6, atol=1e-6)
    given = engine.tensor(y_true if name == "cross_entropy" else y_true.astype("f"))
    found = engine.gradient(lambda y_pred: total(engine.function(formula)(given, y_pred)), PREDICTIONS.astype("f"))
    assert np.isfinite(np.asarray(found)).all()
    if hasattr(f, "gradient"):
        np.testing.assert_allclose(np.asarray(found), f.gradient(y_true, PREDICTIONS), rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_allclose(np.asarray(found), slopes(f, y_true, PREDICTIONS), rtol=1e-4, atol=1e-4)


def slopes(f, y_true, y_pred, step=1e-6):
    """Returns the derivatives of the sum of the values, from differences. At 0 they are from above and 0 if infinite."""
    found = np.zeros_like(y_pred)
    for index in np.ndindex(y_pred.shape):
        moved = [y_pred.copy(), y_pred.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        found[index] = (f(y_true, moved[0]).sum() - f(y_true, moved[1]).sum()) / (2 * step)
    return np.where(np.abs(found) > 100, 0, found)


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivatives_are_those_of_the_first(engine, name):
    formula, y_true = of(name), labels(name)
    given = engine.tensor((y_true if name == "cross_entropy" else y_true.astype("f"))[1:3])
    y_pred = PREDICTIONS[1:3]
    found = np.asarray(engine.hessian(lambda y_pred: total(engine.function(formula)(given, y_pred)), y_pred.astype("f"))).reshape(8, 8)
    f = formula.numpy()
    if not hasattr(f, "gradient"):
        assert np.isfinite(found).all() and np.abs(found - found.T).max() < 1e-6
        return
    expected = np.zeros((8, 8))
    for index in range(8):
        step = np.zeros(8)
        step[index] = 1e-6
        step = step.reshape(2, 4)
        moved = f.gradient(y_true[1:3], y_pred + step) - f.gradient(y_true[1:3], y_pred - step)
        expected[index] = moved.ravel() / 2e-6
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_the_derivative_of_a_branch_that_isnt_selected_is_never_nan(engine):
    formula = Formula.from_json(formulas.root())
    zeros = np.zeros((2, 1), "f")
    f = lambda y_pred: total(engine.function(formula)(engine.tensor(zeros), y_pred))
    np.testing.assert_array_equal(np.asarray(engine.gradient(f, zeros)), zeros)
    np.testing.assert_array_equal(np.asarray(engine.hessian(f, zeros)).ravel(), np.zeros(4))
    # Also if the mask depends on the number that isn't finite, or if a branch overflows.
    d = formulas.Document(formulas.ELEMENTS)
    root = d.sqrt(1)
    chosen = d.select(d.gt(1, 50.0), 1, d.exp(1))
    formula = Formula.from_json(d.json(value=d.row_sum(d.select(d.lt(root, 5.0), root, d.select(d.gt(1, 0.0), chosen, 3.0)))))
    given = np.array([[4.0, -1.0, 100.0]], "f")
    found = np.asarray(engine.gradient(lambda y_pred: total(engine.function(formula)(engine.tensor(given), y_pred)), given))
    np.testing.assert_allclose(found, [[0.25, 0.0, 1.0]])


def test_the_shipped_derivative_is_the_first_derivative(engine):
    d = formulas.Document(formulas.ELEMENTS)
    formula = Formula.from_json(d.json(value=d.mul(1, 1), derivative=d.mul(1, 7.0), derivative_y_true=d.mul(0, 5.0)))
    one = np.full((1, 1), 2.0, "f")
    of_pred = lambda y_pred: total(engine.function(formula)(engine.tensor(one), y_pred))
    of_true = lambda y_true: total(engine.function(formula)(y_true, engine.tensor(one)))
    assert np.asarray(engine.gradient(of_pred, one)).item() == 14 and np.asarray(engine.gradient(of_true, one)).item() == 10
    assert np.asarray(engine.hessian(of_pred, one)).item() == 7


def test_a_formula_without_a_derivative_isnt_differentiable(engine):
    d = formulas.Document(formulas.ELEMENTS)
    formula = Formula.from_json(d.json(value=d.mul(1, 1)))
    f = lambda y_pred: total(engine.function(formula)(engine.tensor(np.ones((2, 2), "f")), y_pred))
    with pytest.raises(NotImplementedError, match="no derivative with respect to y_pred"):
        engine.gradient(f, np.ones((2, 2), "f"))


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, None])
def test_rows_lie_along_the_axis(engine, axis):
    y_true, y_pred = RNG.random((2, 3, 4)), RNG.normal(size=(2, 3, 4))
    shape = () if axis is None else np.delete((2, 3, 4), axis)
    for made in (formulas.squared, formulas.soft_cross_entropy):
        formula = Formula.from_json(made(axis))
        expected = formula.numpy()(y_true, y_pred)
        assert expected.shape == tuple(shape)
        np.testing.assert_allclose(call(engine, formula, y_true, y_pred), expected, rtol=1e-5, atol=1e-6)
        found = engine.gradient(lambda y_pred: total(engine.function(formula)(engine.tensor(y_true.astype("f")), y_pred)), y_pred.astype("f"))
        np.testing.assert_allclose(np.asarray(found), formula.numpy().gradient(y_true, y_pred), rtol=1e-5, atol=1e-6)
    assert np.allclose(Formula.from_json(formulas.squared(axis)).numpy()(y_true, y_pred), ((y_true - y_pred) ** 2).mean(axis))
    if axis is not None:
        formula = Formula.from_json(formulas.cross_entropy(axis))
        ids = RNG.integers(0, 2, shape)
        for given in (ids, np.expand_dims(ids, axis)):
            np.testing.assert_allclose(call(engine, formula, given, y_pred), formula.numpy()(ids, y_pred), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", [*ENGINES, Numpy], indirect=True, ids=lambda engine: engine.__name__)
def test_shapes_fit_if_they_differ_by_a_last_axis_of_length_1(engine):
    formula = of("squared")
    column = np.arange(3.0)[:, None]
    for y_true, y_pred in ((column[:, 0], column + 1), (column, column[:, 0] + 1), (column, column + 1)):
        np.testing.assert_array_equal(call(engine, formula, y_true, y_pred), [1, 1, 1])
    assert call(engine, formula, np.ones((2, 3, 1)), np.zeros((2, 3))).shape == (2,)
    for y_true, y_pred in (((3,), (3, 2)), ((3, 1), (3, 2)), ((2,), (3,))):
        with pytest.raises(ValueError, match="y_true of shape"):
            call(engine, formula, np.ones(y_true), np.ones(y_pred))
    with pytest.raises(ValueError, match="one class id for each row"):
        call(engine, of("cross_entropy"), np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="no axis"):
        call(engine, formula, np.ones(()), np.ones(()))


def test_values_that_arent_used_have_no_nan_and_no_derivative(engine):
    formula = of("squared")
    y_true, y_pred = np.zeros((3, 2), "f"), np.array([[1, 2], [NAN, 1], [3, 4]], "f")
    unused = engine.tensor(np.array([False, True, False]))
    f = lambda y_pred: total(engine.function(formula)(engine.tensor(y_true), y_pred, unused)[::2])
    assert float(f(engine.tensor(y_pred))) == 15.0
    np.testing.assert_array_equal(np.asarray(engine.gradient(f, y_pred)), [[1, 2], [0, 0], [3, 4]])


def test_schedules_and_constants_are_computed_in_float32(engine):
    f = engine.function(Formula.from_json(formulas.decay(0.1, 10.0)))
    for step in (0, 5, 100):
        np.testing.assert_allclose(np.asarray(f(engine.tensor(np.int32(step)))), 0.1 * np.exp(-step / 10), rtol=1e-6)


@pytest.mark.parametrize("engine", [*ENGINES, Numpy], indirect=True, ids=lambda engine: engine.__name__)
def test_an_optimizers_formula_updates_parameter_and_slots(engine):
    formula = Formula.from_json(formulas.adam())
    update = engine.function(formula)
    parameter, expected = np.array([1.0, -2.0], "f"), np.array([1.0, -2.0])
    slots, m, v = {name: engine.tensor(np.zeros(2, "f")) for name in formula.slots}, 0.0, 0.0
    parameter = engine.tensor(parameter)
    for number in range(1, 4):
        gradient = np.array([0.5 * number, -1.0], "f")
        parameter, slots = update(parameter, engine.tensor(gradient), slots, 0.1, number)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected = expected - 0.1 * (m / (1 - 0.9**number)) / (np.sqrt(v / (1 - 0.999**number)) + 1e-7)
    np.testing.assert_allclose(np.asarray(parameter), expected, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(slots["velocity"]), v, rtol=1e-5)


@pytest.mark.parametrize("engine", [*ENGINES, Numpy], indirect=True, ids=lambda engine: engine.__name__)
def test_a_metrics_formula_has_a_function_of_the_mean(engine):
    d = formulas.Document([*formulas.ELEMENTS, ["mean", "scalar"]], each="row")
    error = d.sub(1, 0)
    formula = Formula.from_json(d.json(value=d.mul(error, error), result=d.sqrt(2)))
    np.testing.assert_array_equal(call(engine, formula, [0.0, 0.0], [1.0, 2.0]), [1, 4])
    np.testing.assert_allclose(np.asarray(engine.function(formula).result(engine.tensor(np.float32(2.5)))), 2.5**0.5, rtol=1e-6)


def invalid(**changes):
    document = json.loads(formulas.huber())
    document.update(changes)
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        invalid(version=2),
        invalid(inputs=[["y_true", "column"], ["y_pred", "element"]]),
        invalid(inputs=[["y_true", "element"]]),
        invalid(inputs=[["y_pred", "element"], ["y_true", "element"]]),
        invalid(nodes=[["add", 0, 2]], outputs=[["value", 2]]),
        invalid(nodes=[["add", 0, True]], outputs=[["value", 2]]),
        invalid(nodes=[["add", 0, -1]], outputs=[["value", 2]]),
        invalid(nodes=[["add", 0]], outputs=[["value", 2]]),
        invalid(nodes=[["fft", 0]], outputs=[["value", 2]]),
        invalid(nodes=[["const", "3ff"]], outputs=[["value", 2]]),
        invalid(nodes=[["lt", 0, 1]], outputs=[["value", 2]]),
        invalid(nodes=[["select", 0, 0, 1]], outputs=[["value", 2]]),
        invalid(nodes=[["lt", 0, 1], ["add", 2, 0]], outputs=[["value", 3]]),
        invalid(nodes=[["row_sum", 0], ["row_sum", 2]], outputs=[["value", 3]]),
        invalid(nodes=[["at", 0, 1]], outputs=[["value", 2]]),
        invalid(nodes=[["powi", 0, formulas.bits(0.5)]], outputs=[["value", 2]]),
        invalid(nodes=[["powi", 0, formulas.bits(NAN)]], outputs=[["value", 2]]),
        invalid(nodes=[["neg", 0]] * 100_001, outputs=[["value", 2]]),
        invalid(axis="1"),
        invalid(outputs=[["value", 99]]),
        invalid(outputs=[]),
    ],
    ids=range(23),
)
def test_an_invalid_document_is_refused(text):
    with pytest.raises(ValueError):
        Formula.from_json(text)


def test_constants_are_folded_and_equal_nodes_are_shared():
    d = formulas.Document(formulas.ELEMENTS)
    half = d.div(1.0, 2.0)
    chosen = d.select(d.lt(half, 1.0), d.mul(1, half), d.sqrt(1))
    formula = Formula.from_json(d.json(value=d.add(chosen, d.mul(1, 0.5))))
    graph = formula.graph
    needed = [graph.nodes[index].operation for index in graph.needed([formula.outputs["value"]])]
    assert sorted(needed) == ["add", "const", "input", "mul"]


def test_a_formula_is_printed_and_pickled():
    formula = Formula.from_json(formulas.squared())
    assert "value = " in str(formula) and str(Formula.from_json(formulas.squared(), "y²")) == "y²"
    again = pickle.loads(pickle.dumps(formula))
    np.testing.assert_array_equal(again.numpy()(LABELS, PREDICTIONS), formula.numpy()(LABELS, PREDICTIONS))
    assert formula.numpy() is formula.numpy()
