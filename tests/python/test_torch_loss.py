"""Losses that the plug-in computes are operators of PyTorch."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import plugfit

torch = pytest.importorskip("torch", reason="PyTorch isn't installed")

from plugfit import torch as adapter  # noqa: E402

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(0, 2, (6, 4), generator=GENERATOR).float()
SCORES = torch.rand(6, 4, generator=GENERATOR)
WEIGHTS = torch.tensor([0.0, 1.0, 2.0, 1.0, 0.5, 3.0])


def computed(function, y_pred, *arguments):
    y_pred = y_pred.clone().requires_grad_()
    value = function(LABELS, y_pred, *arguments)
    (3 * value).backward()
    return value.detach(), y_pred.grad


@pytest.mark.parametrize("name", ["Hinge", "SquaredHinge", "Dice", "Tversky"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_native_loss_is_compiled_without_a_graph_break(name, weighted):
    torch._dynamo.reset()
    loss = adapter.Loss(name, engine="native")
    weights = [WEIGHTS] if weighted and name.endswith("Hinge") else []
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for found, expected in zip(computed(compiled, SCORES, *weights), computed(loss, SCORES, *weights)):
        assert found.dtype == expected.dtype and (found == expected).all()
    with torch.no_grad():
        assert compiled(LABELS, SCORES, *weights) == loss(LABELS, SCORES, *weights)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtypes_are_those_of_eager_mode(dtype):
    torch._dynamo.reset()
    loss = adapter.Loss("Hinge", engine="native")
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for found, expected in zip(computed(compiled, SCORES.to(dtype)), computed(loss, SCORES.to(dtype))):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.double(), expected.double(), rtol=1e-6)


def test_python_functions_are_compiled_too():
    torch._dynamo.reset()
    loss = adapter.Loss(lambda y_true, y_pred: np.abs(y_true - y_pred).mean(-1))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert compiled(LABELS, SCORES) == loss(LABELS, SCORES)


def test_values_without_a_reduction_break_the_graph():
    torch._dynamo.reset()
    loss = adapter.Loss({"class_name": "Hinge", "config": {"reduction": "none"}}, engine="native")
    assert (torch.compile(loss, backend="aot_eager")(LABELS, SCORES) == loss(LABELS, SCORES)).all()


def test_a_gradient_for_labels_is_refused_in_compiled_functions():
    torch._dynamo.reset()
    with pytest.raises(Exception, match="detach"):
        torch.compile(adapter.Loss("Hinge", engine="native"), backend="aot_eager", fullgraph=True)(
            LABELS.clone().requires_grad_(), SCORES.clone().requires_grad_()
        )


def test_the_operators_are_correct_for_pytorch():
    from plugfit.torch import _operator

    name = next(iter(adapter.Loss("Hinge", engine="native")._operators.values()))
    arguments = (SCORES.clone().requires_grad_(), LABELS, WEIGHTS, None, name)
    torch.library.opcheck(_operator.value_and_gradient, arguments)
    torch.library.opcheck(_operator.value, (SCORES, LABELS, WEIGHTS, None, name))


def test_an_exported_program_has_the_loss():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.loss = adapter.Loss("Hinge", engine="native")

        def forward(self, y_true, y_pred):
            return self.loss(y_true, y_pred)

    exported = torch.export.export(Model(), (LABELS, SCORES))
    assert exported.module()(LABELS, SCORES) == Model()(LABELS, SCORES)
    assert "plugfit.loss" in exported.graph_module.code


def test_a_loss_has_the_same_name_in_another_process():
    from plugfit.torch import _operator

    loss = adapter.Loss({"class_name": "Tversky", "config": {"alpha": 0.25}}, engine="native")
    name = loss._operators[torch.float32]
    del _operator._known[name]
    assert _operator.value(SCORES, LABELS, None, None, name) == loss(LABELS, SCORES)


@pytest.mark.parametrize("name", ["Hinge", "Huber"])
def test_a_loss_is_pickled_with_a_model(name):
    loss = adapter.Loss(name)
    assert pickle.loads(pickle.dumps(loss))(LABELS, SCORES) == loss(LABELS, SCORES)


def copies_of(module):
    return copy.deepcopy(module), pickle.loads(pickle.dumps(module))


@pytest.mark.parametrize("engine", ["native", "formula"])
@pytest.mark.parametrize("reduction", ["none", "sum_over_batch_size"])
@pytest.mark.parametrize("changed", ["y_true", "y_pred", "sample_weight", "mask"])
def test_tensors_that_change_before_the_backward_pass_are_refused_or_not_used(engine, reduction, changed):
    criterion = adapter.loss("mse", engine=engine, reduction=reduction)
    given = {"y_true": torch.zeros(3, 1), "y_pred": torch.ones(3, 1), "sample_weight": torch.ones(3), "mask": torch.ones(3)}
    leaf = given["y_pred"].requires_grad_()
    given["y_pred"] = leaf * 1.0
    value = criterion(**given).sum()
    given[changed].detach().fill_(0.0 if changed == "mask" else 100.0)
    if engine == "native":
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            value.backward()
    else:
        value.backward()
        np.testing.assert_allclose(leaf.grad, 2.0 if reduction == "none" else 2 / 3, rtol=1e-6)


@pytest.mark.parametrize("engine", ["native", "formula"])
def test_arrays_that_change_before_the_backward_pass_are_copies(engine):
    criterion, y_true = adapter.loss("mse", engine=engine, reduction="sum"), np.zeros((3, 1), np.float32)
    y_pred = torch.ones(3, 1, requires_grad=True)
    value = criterion(y_pred, y_true)
    y_true[...] = 100
    value.backward()
    assert (y_pred.grad == 2).all()


def distance(y_true, y_pred):
    return np.abs(y_true - y_pred).mean(-1)


def square(y_true, y_pred):
    return np.square(y_true - y_pred).mean(-1)


def compiled(module, *arguments):
    torch._dynamo.reset()
    return torch.compile(module, fullgraph=True, backend="aot_eager")(*arguments)


def test_a_python_function_keeps_its_identity_in_another_process():
    # The name that the function has in this process may be that of another function in the process of the pickle.
    code = (
        "import pickle, sys; from plugfit import torch as adapter; import test_torch_loss as tests;"
        "sys.stdout.buffer.write(pickle.dumps(adapter.Loss(tests.distance)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])}
    found = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True, timeout=300).stdout
    before = [adapter.Loss(square) for _ in range(2)]
    unpickled = pickle.loads(found)
    after = adapter.Loss(square)
    with torch.no_grad():
        expected = float((LABELS - SCORES).abs().mean())
        assert compiled(unpickled, LABELS, SCORES) == pytest.approx(expected, rel=1e-5)
        for other in (*before, after):
            assert compiled(other, LABELS, SCORES) == pytest.approx(float(((LABELS - SCORES) ** 2).mean()), rel=1e-5)
    names = [name for loss in (*before, after, unpickled) for name in loss._operators.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("backend", ["eager", None])
def test_a_gradient_of_the_operator_is_not_differentiated(backend):
    torch._dynamo.reset()
    loss = adapter.Loss("Hinge", engine="native")
    function = loss._by_operator if backend is None else torch.compile(lambda y_pred, *others: loss(others[0], y_pred), fullgraph=True, backend=backend)
    y_pred = SCORES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(y_pred, LABELS, None, None), y_pred, create_graph=True)
    with pytest.raises(NotImplementedError, match="hinge has no second derivative: it has no formula"):
        gradient.sum().backward()
    value = function(y_pred, LABELS, None, None)
    (first,) = torch.autograd.grad(value, y_pred)
    assert (first == gradient).all()


@pytest.mark.parametrize("reduction", ["none", "sum", "sum_over_batch_size", "mean_with_sample_weight"])
def test_the_weight_of_a_masked_value_is_not_used(reduction):
    weights, mask = torch.tensor([1.0, torch.nan, 2.0]), torch.tensor([True, False, True])
    for shape in (3,), (3, 1):
        native, formula = (adapter.loss("mse", engine=engine, reduction=reduction) for engine in ("native", "formula"))
        values = [criterion(torch.full((3, 1), 2.0), torch.zeros(3, 1), weights.reshape(shape), mask) for criterion in (native, formula)]
        assert torch.isfinite(values[1]).all()
        np.testing.assert_allclose(values[1], values[0], rtol=1e-6)


@pytest.mark.parametrize("make", [adapter.Loss, adapter.loss])
def test_copies_are_compiled_to_one_graph(make):
    for identifier, arguments in (("Huber", (LABELS, SCORES)), (square, (LABELS, SCORES))):
        loss = make(identifier)
        for each in copies_of(loss):
            with torch.no_grad():
                np.testing.assert_allclose(compiled(each, *arguments), loss(*arguments), rtol=1e-6)


def test_a_criterion_is_a_module_with_pytorchs_order_of_arguments():
    criterion = adapter.loss("Huber", delta=0.25)
    assert isinstance(criterion, torch.nn.Module) and "huber" in repr(criterion) and criterion.loss.delta == 0.25
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    model.criterion = criterion
    for each in copies_of(model):
        assert each.criterion(SCORES, LABELS) == adapter.Loss(criterion.loss)(LABELS, SCORES)


def test_arguments_in_the_wrong_order_are_refused():
    y_pred = SCORES.clone().requires_grad_()
    with pytest.raises(ValueError, match=r"Loss takes \(y_true, y_pred\).*plugfit.torch.loss"):
        adapter.Loss("mse")(y_pred, LABELS)
    with torch.no_grad():
        for engine in ("native", "formula"):
            adapter.Loss("mse", engine=engine)(y_pred, LABELS)
    # Labels may have a gradient in both orders.
    labels = LABELS.clone().requires_grad_()
    adapter.Loss("mse")(labels, y_pred).backward()
    adapter.loss("mse")(SCORES, labels).backward()
    assert labels.grad.abs().sum() > 0


@pytest.mark.parametrize("given", [None, "float32", "float64", "float16"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_of_the_result_is_that_of_every_engine(given, dtype):
    expected = {"float64": torch.float64, None: dtype}.get(given, torch.float32)
    y_pred = (SCORES * 0.1).to(dtype)
    for name in ("mse", "Huber"):
        losses = [adapter.Loss({"class_name": name, "config": {"dtype": given}}, engine=engine) for engine in (None, "native", "formula")]
        found = [loss(LABELS.to(dtype), y_pred) for loss in losses] + [compiled(loss, LABELS.to(dtype), y_pred) for loss in losses]
        found += [loss(LABELS.to(dtype), y_pred.clone().requires_grad_()).detach() for loss in losses]
        assert {each.dtype for each in found} == {expected}
        # A loss of a lower precision isn't rounded.
        np.testing.assert_allclose(found, [float(found[0])] * len(found), rtol=1e-14 if expected == torch.float64 else 1e-6)


@pytest.mark.parametrize("engine", ["native", "formula"])
def test_what_is_not_a_tensor_of_real_numbers_is_refused(engine):
    criterion = adapter.loss("mse", engine=engine)
    with pytest.raises(TypeError, match="y_pred is a tensor, not list"):
        criterion([1.0], torch.ones(1))
    for place, name in enumerate(("y_pred", "y_true", "sample_weight", "mask")):
        given = [torch.ones(2, 1), torch.ones(2, 1), torch.ones(2), torch.ones(2)]
        given[place] = given[place].to(torch.complex64)
        with pytest.raises(TypeError, match=f"{name} contains complex64, not numbers"):
            criterion(*given)


@pytest.mark.parametrize("engine", ["native", "formula"])
def test_every_real_tensor_is_accepted(engine):
    criterion = adapter.loss("mse", engine=engine)
    negative = torch.complex(torch.zeros(2, 1), torch.ones(2, 1)).conj().imag
    assert negative.is_neg() and criterion(negative, torch.ones(2, 1)) == criterion(torch.ones(2, 1), negative) == 4
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bfloat16):
        y_pred = torch.full((2, 1), 2.0).to(dtype)
        assert criterion(y_pred, torch.zeros(2, 1).to(dtype)) == 4
        assert plugfit.losses.get("mse")(torch.zeros(2, 1), y_pred) == 4
    assert plugfit.losses.get("mse")(negative, -negative) == 4


def test_torch_func_and_forward_mode_need_a_formula():
    loss, forward_ad = adapter.Loss("Hinge", engine="native"), torch.autograd.forward_ad
    with pytest.raises(NotImplementedError, match="hinge has no formula, which torch.func"):
        torch.func.grad(lambda y_pred: loss(LABELS, y_pred))(SCORES)
    with forward_ad.dual_level():
        with pytest.raises(NotImplementedError, match="hinge has no formula, which torch.func"):
            loss(LABELS, forward_ad.make_dual(SCORES, SCORES))
        assert loss(LABELS, SCORES) > 0
