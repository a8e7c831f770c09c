"""The dtypes of losses and their inputs in Keras."""

import json
import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import plugfit


@pytest.fixture
def keras():
    keras = pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip(keras.backend.backend(), reason="Keras's backend isn't installed")
    return keras


def test_a_saved_model_keeps_float64(keras):
    for loss in (plugfit.keras.loss("mse", dtype="float64"), plugfit.keras.loss(plugfit.losses.MeanSquaredError(dtype="float64"))):
        again = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(loss))))
        for kept in (loss, again):
            assert (kept.dtype, kept._loss.dtype) == ("float64", "float64")
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = kept(np.array([[1.0]]), np.array([[1.0 + 1e-9]]))
            # JAX supports float64 only if it is enabled.
            if keras.backend.backend() == "torch":
                assert np.isclose(float(found), 1e-18, rtol=1e-6)


def test_numbers_that_jax_would_round_are_refused(keras):
    if keras.backend.backend() != "jax":
        pytest.skip("of JAX's arrays alone")
    y_pred = np.full((2, 3), 1 / 3, "f")
    loss, metric = plugfit.keras.loss("sparse_categorical_crossentropy"), plugfit.keras.metric("SparseCategoricalAccuracy")
    for ids in (np.array([0, 2**32 + 1]), [0, 2**32 + 1], np.array([0, 2**32 + 1], np.uint64)):
        for refused in (loss, metric.update_state):
            with pytest.raises(ValueError, match="contains 4294967297 in row 1, which doesn't fit JAX's u?int32"):
                refused(ids, y_pred)
    loss(np.array([0, 2]), y_pred)
    with pytest.raises(ValueError, match="contains 1e.300 in row 0"):
        plugfit.keras.loss("mse")(np.array([[1e300]]), np.ones((1, 1), "f"))
