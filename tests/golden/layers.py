"""Writes layers.json: the embedded network's layers as Keras computes them.

    KERAS_BACKEND=jax python layers.py --out FOLDER

It needs keras==3.15.1, jax and numpy. Each case is a network whose loss is the sum of its outputs times fixed
coefficients. A step is a forward pass in training, the gradients, and w -= 0.1 * gradient; at the end there is an
output in inference.
"""
import argparse, json, os
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
import numpy as np, jax, jax.numpy as jnp, keras
from keras import layers as K

def num(x):
    return float(np.format_float_scientific(np.float32(x), unique=True, trim="0"))

def arr(a):
    a = np.asarray(a)
    assert np.isfinite(a).all()
    return {"dtype": "float32", "shape": list(a.shape), "data": [num(v) for v in a.astype("float32").ravel()]}

def config(layer):
    return {"class_name": type(layer).__name__, "config": keras.saving.serialize_keras_object(layer)["config"]}

def case(id, build, input_shape, sample, batch=5, frozen=()):
    keras.utils.clear_session(); keras.utils.set_random_seed(7)
    rng = np.random.default_rng(sum(map(ord, id)))
    x_in = keras.Input(input_shape)
    y, used, outputs = x_in, [], {}
    for spec in build():
        if isinstance(spec, str):
            y = K.Add(name="add")([y, outputs[spec]])
            used.append({"class_name": "Add", "config": {"name": "add", "from": spec}})
            outputs["add"] = y
            continue
        y = spec(y)
        outputs[spec.name] = y
        used.append(config(spec))
    model = keras.Model(x_in, y)
    for v in model.variables:
        low = 0.5 if "variance" in v.path else -1.0
        v.assign(rng.uniform(low, 1.5, v.shape).astype("float32"))
    trained = [v.value for v in model.trainable_variables]
    other = [v.value for v in model.non_trainable_variables]
    paths = [v.path for v in model.trainable_variables]
    others = [v.path for v in model.non_trainable_variables]
    result = {"id": id, "layers": used, "input_shape": list(input_shape),
              "weights": {p: arr(v) for p, v in zip(paths + others, trained + other)}, "steps": []}
    def loss(trained, other, x, c):
        y, other = model.stateless_call(trained, other, x, training=True)
        return (y * c).sum(), (y, other)
    for step in range(3):
        x = sample(rng, (batch - step, *input_shape)).astype("float32")
        c = rng.uniform(-1, 1, (batch - step, *model.output_shape[1:])).astype("float32")
        (_, (y, other)), grads = jax.value_and_grad(loss, has_aux=True)(trained, other, jnp.asarray(x), jnp.asarray(c))
        trained = [w - 0.1 * g for w, g in zip(trained, grads)]
        result["steps"].append({"x": arr(x), "coefficients": arr(c), "y": arr(y),
                                "gradients": {p: arr(g) for p, g in zip(paths, grads)},
                                "without_gradient": {p: arr(v) for p, v in zip(others, other)}})
    x = sample(rng, (3, *input_shape)).astype("float32")
    y, _ = model.stateless_call(trained, other, jnp.asarray(x), training=False)
    result["inference"] = {"x": arr(x), "y": arr(y)}
    return result

normal = lambda rng, shape: rng.normal(size=shape) * 2 + 1
ids = lambda n: (lambda rng, shape: rng.integers(0, n, shape))
BN, LN = K.BatchNormalization, K.LayerNormalization
CASES = [
    ("embedding", lambda: [K.Embedding(4, 3, name="e")], (2,), ids(4)),
    ("embedding/flatten-dense", lambda: [K.Embedding(6, 2, name="e"), K.Flatten(name="f"), K.Dense(3, "tanh", name="d")], (3,), ids(6)),
    ("batch_normalization", lambda: [BN(name="b")], (3,), normal),
    ("batch_normalization/settings", lambda: [BN(momentum=0.8, epsilon=0.05, name="b")], (3,), normal),
    ("batch_normalization/center-only", lambda: [BN(scale=False, name="b")], (3,), normal),
    ("batch_normalization/scale-only", lambda: [BN(center=False, name="b")], (3,), normal),
    ("batch_normalization/neither", lambda: [K.Dense(3, name="d"), BN(center=False, scale=False, name="b")], (2,), normal),
    ("batch_normalization/frozen", lambda: [K.Dense(3, name="d"), BN(trainable=False, name="b")], (2,), normal),
    ("batch_normalization/axes", lambda: [BN(name="b")], (2, 3), normal),
    ("batch_normalization/dense", lambda: [K.Dense(4, name="d"), BN(name="b"), K.Activation("relu", name="a"), K.Dense(2, name="e")], (3,), normal),
    ("layer_normalization", lambda: [LN(name="l")], (4,), normal),
    ("layer_normalization/settings", lambda: [LN(epsilon=0.2, center=False, name="l")], (4,), normal),
    ("layer_normalization/neither", lambda: [K.Dense(3, name="d"), LN(center=False, scale=False, name="l")], (2,), normal),
    ("layer_normalization/dense", lambda: [K.Dense(4, "tanh", name="d"), LN(name="l"), K.Dense(2, name="e")], (2, 3), normal),
    ("rescaling", lambda: [K.Dense(3, "tanh", name="d"), K.Rescaling(2.5, -4.0, name="r")], (2,), normal),
    ("rescaling/columns", lambda: [K.Dense(2, name="d"), K.Rescaling([0.5, 30.0], [1.0, -2.0], name="r"), K.Dense(2, name="e")], (2,), normal),
    ("add", lambda: [K.Dense(3, "tanh", name="d"), K.Dense(3, "silu", name="e"), "d"], (2,), normal),
    ("add/block", lambda: [K.Dense(3, name="d"), LN(name="l"), K.Dense(5, "gelu", name="e"), K.Dense(3, name="g"), "d", BN(name="b"), K.Dense(1, name="o")], (2,), normal),
    ("add/same", lambda: [K.Dense(3, "tanh", name="d"), "d"], (2,), normal),
]
parser = argparse.ArgumentParser(); parser.add_argument("--out", default="."); a = parser.parse_args()
cases = [case(*c) for c in CASES]
with open(os.path.join(a.out, "layers.json"), "w") as f:
    f.write("{" + f'"keras_version": "{keras.__version__}", "backend": "{keras.backend.backend()}", "floatx": "float32", "seed": 7,\n"cases": [\n')
    f.write(",\n".join(json.dumps(c) for c in cases) + "\n]}\n")
