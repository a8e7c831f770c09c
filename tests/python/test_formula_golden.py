"""Formulas give the numbers of Keras in tests/golden in every engine."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import plugfit
from test_golden import TOLERANCE, array, cases, near, read


def with_formulas(kind, module):
    """Returns the cases of a kind whose component has a formula, each with its component."""
    for case in cases(kind):
        made = module.get(case["identifier"])
        try:
            made.formula()
        except ValueError:
            continue
        yield case, made


def check(case, value, gradient):
    near(value, array(case["loss"]))
    near(gradient, array(case["gradient"]), relative=1e-4)


def run(given, least, one):
    failures, given = [], list(given)
    for case, made in given:
        try:
            one(case, made)
        except Exception as error:
            failures.append(f"{case['id']}: {type(error).__name__} {str(error).strip()[:300]}")
    assert len(given) > least
    assert not failures, "\n".join(failures)


def test_losses_in_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch isn't installed")
    tensor = lambda given: None if given is None else torch.tensor(given)

    def one(case, made):
        y_true, y_pred, weight, mask = (tensor(array(case[key])) for key in ("y_true", "y_pred", "sample_weight", "mask"))
        y_pred.requires_grad_()
        value = plugfit.torch.Loss(made, "formula")(y_true, y_pred, weight, mask)
        value.sum().backward()
        check(case, value.detach(), y_pred.grad)

    run(with_formulas("losses", plugfit.losses), 400, one)


def test_losses_in_keras():
    keras = pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip(keras.backend.backend(), reason="Keras's backend isn't installed")
    if keras.backend.backend() != "jax":
        pytest.skip("JAX's: PyTorch and TensorFlow have the same losses")
    import jax

    def one(case, made):
        y_true, y_pred, weight, mask = (array(case[key]) for key in ("y_true", "y_pred", "sample_weight", "mask"))
        loss = plugfit.keras.Loss(made, engine="formula")

        def f(y_pred):
            value = loss._reduced(y_true, y_pred, weight, mask)
            return value.sum(), value

        (_, value), gradient = jax.value_and_grad(f, has_aux=True)(y_pred)
        check(case, value, gradient)

    run(with_formulas("losses", plugfit.losses), 400, one)


def test_optimizers_in_keras():
    keras = pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip(keras.backend.backend(), reason="Keras's backend isn't installed")

    def one(case, made):
        words = (case.get("exclude_from_weight_decay") or {}).get("var_names")
        if words:
            made.exclude_from_weight_decay(var_names=words)
        optimizer = plugfit.keras.optimizer(made, engine="formula")
        variables = [keras.Variable(array(param["value"]), name=param["path"].rpartition("/")[2]) for param in case["params"]]
        absolute, relative = TOLERANCE.get(case["identifier"]["class_name"], (1e-5, 1e-5))
        for step, gradients in enumerate(case["gradients"]):
            given = [None if gradient is None else keras.ops.convert_to_tensor(array(gradient)) for gradient in gradients]
            optimizer.apply(given, variables)
            for variable, expected in zip(variables, case["params_after"][step]):
                near(keras.ops.convert_to_numpy(variable), array(expected), absolute, relative)

    run(with_formulas("optimizers", plugfit.optimizers), 60, one)


def test_schedules_in_keras():
    keras = pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip(keras.backend.backend(), reason="Keras's backend isn't installed")
    for case in read("schedules")["cases"]:
        schedule = plugfit.keras.schedule(case["identifier"])
        rates = np.array([float(keras.ops.convert_to_numpy(schedule(step))) for step in case["steps"]])
        off = set(case.get("off_in_float32", []))
        keep = [index for index, step in enumerate(case["steps"]) if step not in off]
        scale = abs(float(case["values"][0])) or 1.0
        np.testing.assert_allclose(rates[keep], np.array(case["values"], float)[keep], atol=1e-5 * scale, err_msg=case["id"])
