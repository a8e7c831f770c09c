"""The embedded network becomes a model of Keras with the same predictions, and back."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import plugfit
import plugfit.keras as pk

K = keras.layers
RNG = np.random.default_rng(5)


def assert_equal(model, other, x):
    found, want = other.predict(x, verbose=0), model.predict(x, verbose=0)
    found = found if isinstance(found, (list, tuple)) else list(found.values()) if isinstance(found, dict) else [found]
    want = want if isinstance(want, (list, tuple)) else list(want.values()) if isinstance(want, dict) else [want]
    assert len(found) == len(want)
    for one, two in zip(found, want):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


NETWORKS = {
    "dense": (["Dense(5, activation=gelu)", "Dropout(0.3)", "Dense(2, activation=softmax)"], (3,)),
    "normalized": (
        ["Dense(5)", "BatchNormalization(momentum=0.8)", "Activation(relu)", "LayerNormalization(scale=false)", "Dense(1)"],
        (3,),
    ),
    "residual": (["Dense(4, activation=tanh, name=a)", "Dense(4, activation=silu)", "Add(from=a)", "Dense(1)"], (3,)),
    "axes": (["Dense(4, kernel_initializer=he_normal)", "Flatten", "Dense(2, use_bias=false)"], (2, 3)),
    "heads": (
        {
            "layers": ["Dense(6, activation=relu)", "Dense(6, name=b)"],
            "outputs": {
                "one": ["Dense(3, activation=softmax)"],
                "two": ["Dense(4, name=c)", "Dense(4)", "Add(from=c)", "Dense(1)"],
            },
        },
        (3,),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_becomes_a_model_of_keras_and_back(name, tmp_path):
    config, shape = NETWORKS[name]
    model = plugfit.Model(config, seed=3)
    x = RNG.normal(size=(40, *shape)).astype("f")
    model.compile(optimizer="adam", loss="mse")
    outputs = {"one": RNG.random((40, 3), "f"), "two": RNG.random((40, 1), "f")} if name == "heads" else None
    model.build(shape)
    model.fit(x, outputs or np.zeros_like(model.predict(x)), epochs=2)
    converted = pk.to_keras(model)
    assert_equal(model, converted, x)
    converted.save(tmp_path / "model.keras")
    back = pk.from_keras(keras.saving.load_model(tmp_path / "model.keras"))
    assert back.summary() == model.summary()
    assert {path: values.tobytes() for path, values in back.get_weights().items()} == {
        path: values.tobytes() for path, values in model.get_weights().items()
    }
    assert_equal(model, back, x)


def test_models_of_keras_become_networks():
    sequential = keras.Sequential([keras.Input((3,)), K.Dense(4, "elu"), K.BatchNormalization(), K.Dense(1)])
    sequential.layers[1].moving_mean.assign([0.1, 0.2, 0.3, 0.4])
    x = RNG.normal(size=(10, 3)).astype("f")
    assert_equal(sequential, pk.from_keras(sequential), x)

    ids = keras.Sequential([keras.Input((3,)), K.Embedding(5, 2), K.Flatten(), K.Dense(1)])
    assert_equal(ids, pk.from_keras(ids), RNG.integers(0, 5, (10, 3)).astype("f"))

    inputs = keras.Input((3,))
    first = K.Dense(4, "tanh")(inputs)
    value = K.Add()([first, K.LayerNormalization()(K.Dense(4)(first))])
    model = keras.Model(inputs, [K.Dense(2, "softmax", name="kind")(value), K.Dense(1, name="size")(value)])
    made = pk.from_keras(model)
    assert list(made.predict(x)) == ["kind", "size"]
    assert_equal(model, made, x)


def refused():
    inputs = keras.Input((4,))
    dense = K.Dense(4)
    yield keras.Model(inputs, K.Conv1D(2, 1)(K.Reshape((4, 1))(inputs))), 'no layer is called "Reshape"|Conv1D'
    yield keras.Model([inputs, other := keras.Input((4,))], K.Add()([inputs, other])), "one input"
    yield keras.Model(inputs, K.Concatenate()([K.Dense(2)(inputs), K.Dense(2)(inputs)])), "has 2 inputs"
    yield keras.Model(inputs, dense(dense(inputs))), "is used in 2 places"
    yield keras.Model(inputs, K.Add()([K.Dense(2)(inputs), K.Dense(2)(inputs)])), "neither a sequence nor heads"
    yield keras.Sequential([K.Dense(2)]), "has no shape yet"
    yield keras.Sequential([keras.Input((4,)), K.Dense(2, kernel_regularizer="l2")]), "kernel_regularizer"


@pytest.mark.parametrize("place", range(7))
def test_other_models_are_refused(place):
    model, says = list(refused())[place]
    with pytest.raises(ValueError, match=says):
        pk.from_keras(model)


def test_a_network_without_a_counterpart_is_refused():
    with pytest.raises(ValueError, match="isn't built"):
        pk.to_keras(plugfit.Model(["Dense(2)"]))
    config = {"embeddings": [{"name": "city", "column": 0, "categories": 3, "dim": 2}], "layers": ["Dense(2)"]}
    model = plugfit.Model(config)
    model.build((2,))
    with pytest.raises(ValueError, match="columns city"):
        pk.to_keras(model)
