"""Losses that the plug-in computes are operators of PyTorch."""

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
        torch.compile(adapter.Loss("Hinge", engine="native"), backend="aot_eager", fullgraph=True)(LABELS.clone().requires_grad_(), SCORES)


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
    import pickle

    loss = adapter.Loss(name)
    assert pickle.loads(pickle.dumps(loss))(LABELS, SCORES) == loss(LABELS, SCORES)
