"""Components with formulas train in Keras's data parallelism as on one device."""

import os
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")

import pytest

PROGRAM = """
import keras, numpy as np, plugfit

def curve():
    keras.utils.set_random_seed(1)
    made = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(3)])
    made.compile(
        plugfit.keras.optimizer("AdamW", learning_rate=0.01),
        plugfit.keras.loss("SparseCategoricalCrossentropy", from_logits=True),
        metrics=[plugfit.keras.metric("SparseCategoricalAccuracy")],
    )
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 8)).astype("f")
    history = made.fit(x, x[:, :3].argmax(1), epochs=2, batch_size=64, verbose=0, shuffle=False).history
    return history, made

expected, _ = curve()
assert len(keras.distribution.list_devices()) == 2
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
found, made = curve()
assert len(made.metrics[1].variables[0].value.sharding.device_set) == 2
for name in expected:
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)

def fit(metrics):
    made = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="sigmoid")])
    made.compile("sgd", plugfit.keras.loss("Hinge", engine="native"), metrics=metrics)
    return made.fit(x, y, batch_size=64, verbose=0, shuffle=False).history["loss"]

x = np.random.default_rng(0).normal(size=(256, 8)).astype("f")
y = np.eye(3, dtype="f")[x[:, :3].argmax(1)]
assert np.isfinite(fit([])).all()
try:
    fit([plugfit.keras.metric("AUC", engine="native")])
except NotImplementedError as error:
    assert "keras.distribution" in str(error)
else:
    raise AssertionError("each device changes the state")
"""


def test_two_devices_give_the_curve_of_one():
    pytest.importorskip("keras", reason="Keras isn't installed")
    pytest.importorskip("jax", reason="JAX isn't installed")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
