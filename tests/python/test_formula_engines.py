"""Formulas work in what JAX and PyTorch do with functions: compilation, vectorisation, forward mode and low precision."""

import numpy as np
import pytest

import formulas
from plugfit._formula import Formula

RNG = np.random.default_rng(0)
PREDICTIONS = RNG.normal(size=(5, 4)).astype("f")
LABELS = RNG.integers(0, 2, size=(5, 4)).astype("f")
IDS = np.array([0, 3, 2, 1, 0])
NAMES = ["squared", "huber", "focal", "soft_cross_entropy", "root", "row_root", "cross_entropy"]


def given(name):
    return Formula.from_json(getattr(formulas, name)()), IDS if name == "cross_entropy" else LABELS


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="JAX isn't installed")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch isn't installed")


@pytest.mark.parametrize("name", NAMES)
def test_jax_compiles_vectorises_and_differentiates_forwards(jax, name):
    formula, y_true = given(name)
    f = formula.jax()
    value = lambda y_true, y_pred: f(y_true, y_pred).sum()
    gradient = jax.grad(value, 1)(y_true, PREDICTIONS)
    np.testing.assert_allclose(jax.jit(jax.grad(value, 1))(y_true, PREDICTIONS), gradient, rtol=1e-5, atol=1e-7)
    by_row = jax.jit(jax.vmap(jax.grad(lambda y_true, y_pred: value(y_true[None], y_pred[None]), 1)))(y_true, PREDICTIONS)
    np.testing.assert_allclose(by_row, gradient, rtol=1e-5, atol=1e-7)
    _, change = jax.jvp(lambda y_pred: value(y_true, y_pred), (PREDICTIONS,), (np.ones_like(PREDICTIONS),))
    np.testing.assert_allclose(change, gradient.sum(), rtol=1e-4, atol=1e-6)
    hessian = jax.hessian(value, 1)(y_true, PREDICTIONS)
    np.testing.assert_allclose(jax.jit(jax.jacrev(jax.grad(value, 1), 1))(y_true, PREDICTIONS), hessian, rtol=1e-4, atol=1e-6)
    scanned = jax.lax.scan(lambda total, p: (total + value(y_true, p), None), 0.0, PREDICTIONS[None].repeat(3, 0))[0]
    np.testing.assert_allclose(scanned, 3 * value(y_true, PREDICTIONS), rtol=1e-5)


def test_a_missing_derivative_with_respect_to_labels_is_refused(jax, torch):
    formula, y_true = given("focal")
    with pytest.raises(NotImplementedError, match="y_true"):
        jax.grad(lambda y_true: formula.jax()(y_true, PREDICTIONS).sum())(y_true)
    with pytest.raises(NotImplementedError, match="y_true"):
        formula.torch()(torch.tensor(y_true, requires_grad=True), torch.tensor(PREDICTIONS)).sum().backward()


@pytest.mark.parametrize("name", NAMES)
def test_pytorch_compiles_first_derivatives_without_a_graph_break(torch, name):
    formula, y_true = given(name)
    f, y_true = formula.torch(), torch.tensor(y_true)
    gradients = []
    for function in (lambda y_pred: f(y_true, y_pred).sum(), torch.compile(lambda y_pred: f(y_true, y_pred).sum(), fullgraph=True, backend="aot_eager")):
        y_pred = torch.tensor(PREDICTIONS, requires_grad=True)
        function(y_pred).backward()
        gradients.append(y_pred.grad)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_torch_func_works(torch, name):
    formula, y_true = given(name)
    f, y_true, y_pred = formula.torch(), torch.tensor(y_true), torch.tensor(PREDICTIONS, requires_grad=True)
    f(y_true, y_pred).sum().backward()
    gradient, y_pred = y_pred.grad, y_pred.detach()
    value = lambda y_pred, y_true: f(y_true[None], y_pred[None]).sum()
    np.testing.assert_allclose(torch.func.vmap(torch.func.grad(value))(y_pred, y_true), gradient, rtol=1e-5, atol=1e-7)
    _, change = torch.func.jvp(lambda y_pred: f(y_true, y_pred).sum(), (y_pred,), (torch.ones_like(y_pred),))
    np.testing.assert_allclose(change, gradient.sum(), rtol=1e-4, atol=1e-6)
    expected = torch.autograd.functional.hessian(lambda y_pred: f(y_true, y_pred).sum(), y_pred)
    np.testing.assert_allclose(torch.func.hessian(lambda y_pred: f(y_true, y_pred).sum())(y_pred), expected, rtol=1e-4, atol=1e-6)
    if formula.inputs["y_true"] == "element":
        exported = torch.export.export(Module(f), (y_true, y_pred))
        np.testing.assert_allclose(exported.module()(y_true, y_pred), f(y_true, y_pred), rtol=1e-6)


def Module(f):
    import torch

    class Of(torch.nn.Module):
        def forward(self, y_true, y_pred):
            return f(y_true, y_pred)

    return Of()


@pytest.mark.parametrize("name", ["huber", "soft_cross_entropy", "cross_entropy"])
def test_low_precision_is_computed_in_float32(jax, torch, name):
    formula, y_true = given(name)
    for dtype in ("bfloat16", "float16"):
        rounded = jax.numpy.asarray(PREDICTIONS, dtype)
        expected = formula.jax()(y_true, rounded.astype("float32")).astype(dtype)
        found = jax.jit(formula.jax())(y_true, rounded)
        assert found.dtype == dtype and (found == expected).all()
        assert jax.grad(lambda y_pred: formula.jax()(y_true, y_pred).sum())(rounded).dtype == dtype
        y_pred = torch.tensor(PREDICTIONS).to(getattr(torch, dtype)).requires_grad_()
        found = formula.torch()(torch.tensor(y_true), y_pred)
        found.sum().backward()
        assert found.dtype == y_pred.grad.dtype == getattr(torch, dtype)
        assert (found == formula.torch()(torch.tensor(y_true), y_pred.float()).to(found.dtype)).all()


@pytest.mark.parametrize("name", NAMES)
def test_float64_stays_float64(jax, torch, name):
    formula, y_true = given(name)
    y_pred = PREDICTIONS.astype(float)
    expected = formula.numpy()(y_true, y_pred)
    assert expected.dtype == np.float64
    np.testing.assert_allclose(formula.torch()(torch.tensor(y_true), torch.tensor(y_pred)), expected, rtol=1e-14, atol=1e-15)
    with jax.enable_x64(True):
        found = jax.jit(formula.jax())(y_true, jax.numpy.asarray(y_pred))
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_constants_are_exact_in_float64(jax, torch):
    d = formulas.Document(formulas.ELEMENTS)
    formula = Formula.from_json(d.json(value=d.select(d.gt(1, 0.0), 0.1, 0.2)))
    y_pred = np.array([[1.0], [-1.0]])
    for found in (formula.numpy()(y_pred, y_pred), formula.torch()(torch.tensor(y_pred), torch.tensor(y_pred))):
        assert np.asarray(found).tolist() == [0.1, 0.2]
    with jax.enable_x64(True):
        assert formula.jax()(y_pred, y_pred).tolist() == [0.1, 0.2]


def test_a_whole_step_of_an_optimizer_is_compiled(jax, torch):
    formula = Formula.from_json(formulas.adam())
    slots = {name: np.zeros(3, "f") for name in formula.slots}
    step = (np.ones(3, "f"), np.arange(3, dtype="f"), slots, np.float32(0.1), np.int32(1))
    expected, expected_slots = formula.numpy()(*step)
    parameter, found = jax.jit(formula.jax())(*step)
    np.testing.assert_allclose(parameter, expected, rtol=1e-6)
    np.testing.assert_allclose(found["velocity"], expected_slots["velocity"], rtol=1e-6)
    step = (torch.tensor(step[0]), torch.tensor(step[1]), {name: torch.zeros(3) for name in slots}, torch.tensor(0.1), torch.tensor(1))
    parameter, _ = torch.compile(formula.torch(), fullgraph=True, backend="aot_eager")(*step)
    np.testing.assert_allclose(parameter, expected, rtol=1e-6)
