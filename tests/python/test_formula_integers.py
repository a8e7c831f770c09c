"""Formulas compare integers that float32 rounds."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import plugfit

BIG = 2**24
#: Labels, predictions and whether they are equal.
PAIRS = [(BIG + 1, BIG, 0), (BIG + 1, BIG + 1, 1), (-BIG - 1, -BIG, 0), (BIG, BIG, 1), (3, 3, 1)]
TRUE, PRED, EQUAL = (np.array(one).reshape(-1, 1) for one in zip(*PAIRS))
USUAL = ["BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy", "TopKCategoricalAccuracy", "BinaryIoU", "Precision", "AUC"]


def formula(name):
    return plugfit.metrics.get(name).formula()


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch isn't installed")


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="JAX isn't installed")


@pytest.fixture
def keras():
    keras = pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip(keras.backend.backend(), reason="Keras's backend isn't installed")
    return keras


def test_ids_beyond_float32_are_compared_exactly(torch):
    f = formula("Accuracy")
    for dtype in ("int32", "int64"):
        true, pred = TRUE.astype(dtype), PRED.astype(dtype)
        np.testing.assert_array_equal(f.numpy()(true, pred), EQUAL)
        found = f.torch()(torch.tensor(true), torch.tensor(pred))
        assert found.dtype == torch.float32 and found.tolist() == EQUAL.tolist()
    # float32 has the predictions of the pairs that aren't equal.
    assert f.numpy()(TRUE[[0, 2]], PRED[[0, 2]].astype("f")).tolist() == [[0], [0]]
    metric = plugfit.torch.metric("Accuracy", engine="formula")
    update = torch.compile(metric.update, fullgraph=True, backend="aot_eager")
    update(torch.tensor(PRED), torch.tensor(TRUE))
    native = plugfit.metrics.get("Accuracy")(TRUE, PRED)
    assert metric.compute() == np.float32(native) == np.float32(EQUAL.mean())


def test_without_float64_a_rounded_id_is_nan(jax):
    found = np.asarray(formula("Accuracy").jax()(TRUE.astype("int32"), PRED.astype("int32")))
    np.testing.assert_array_equal(found[:, 0], [np.nan, np.nan, np.nan, 1, 1])


def test_more_classes_than_float32_has_integers(torch):
    ids, f = np.array([BIG + 1, BIG]), formula("SparseCategoricalAccuracy")
    pred = np.zeros((1, BIG + 2), "f")
    pred[0, BIG + 1] = 1.0
    for one, expected in zip(ids, (1.0, 0.0)):
        assert f.numpy()(np.array([one]), pred) == expected
        assert f.torch()(torch.tensor([one]), torch.from_numpy(pred)) == expected


def test_more_classes_need_float64(jax):
    f = formula("SparseCategoricalAccuracy")
    with pytest.raises(ValueError, match="more than 2\\*\\*24 classes"):
        jax.eval_shape(f.jax(), jax.ShapeDtypeStruct((1,), "int32"), jax.ShapeDtypeStruct((1, BIG + 1), "float32"))


@pytest.mark.parametrize("name", ["MeanAbsoluteError", "Mean"])
def test_values_of_integers_have_all_digits(torch, name):
    given = [np.array([[BIG + 1]]), np.array([[BIG]])]
    given = given[:1] if name == "Mean" else given
    expected = BIG + 1 if name == "Mean" else 1
    metric = plugfit.torch.metric(name, engine="formula")
    metric.update(*map(torch.tensor, reversed(given)))
    assert metric.sums[0] == expected
    assert formula(name).metric("numpy")(*given)[0] == expected


@pytest.mark.parametrize("name", USUAL)
def test_usual_labels_are_computed_in_float32(name):
    assert not formula(name).compares_labels
    assert name in ("CategoricalAccuracy", "SparseCategoricalAccuracy", "TopKCategoricalAccuracy") or not formula(name).computes_integers


def test_keras_compares_ids(keras):
    metric = plugfit.keras.metric("Accuracy", engine="formula")
    metric.update_state(TRUE[3:], PRED[3:])
    assert float(metric.result()) == 1
    metric.update_state(TRUE, PRED)
    # JAX has no float64 by default.
    found, expected = float(metric.result()), (2 + EQUAL.sum()) / 7
    assert np.isnan(found) if keras.backend.backend() == "jax" else found == np.float32(expected)


def test_predictions_of_low_precision_have_errors_in_float32(keras):
    metric = plugfit.keras.metric("MeanSquaredError", engine="formula")
    metric.update_state(keras.ops.zeros((2, 1), "float16"), keras.ops.full((2, 1), 300.0, "float16"))
    assert float(metric.result()) == 90000
