"""A model is saved, loaded and pickled with everything that training depends on; other files are refused."""

import copy
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

import plugfit
from plugfit import losses, optimizers, schedules

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 5)).astype("f")
Y = (X[:, :1] > 0).astype("f")
LAYERS = ["Dense(8, activation=relu)", "Dropout(0.2)", "Dense(1, activation=sigmoid)"]


def compiled(optimizer="adam", **kwargs):
    model = plugfit.Model(LAYERS, seed=11)
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy", "AUC"], **kwargs)
    return model


def weights(model):
    return {path: values.tobytes() for path, values in model.get_weights().items()}


def library(name):
    """Returns the path of a plug-in of the repository."""
    root = pathlib.Path(__file__).resolve().parents[2]
    path = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "debug" / f"lib{name}.so"
    if not path.exists():
        pytest.skip(f"the plug-in isn't built: {name}")
    return path


OPTIMIZERS = {
    "adam": lambda: "adam",
    "ema": lambda: optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_overwrite_frequency=3),
    "accumulation": lambda: optimizers.AdamW(0.01, gradient_accumulation_steps=2, clipnorm=0.5),
    "schedule": lambda: optimizers.Nadam(schedules.ExponentialDecay(0.02, 3, 0.7)),
    "schedule-free": lambda: optimizers.get("ScheduleFreeAdamW"),
    "loss scale": lambda: optimizers.get("LossScaleOptimizer(inner_optimizer=SGD(learning_rate=0.1))"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("way", ["file", "pickle"])
def test_a_loaded_model_continues_as_if_it_had_not_been_saved(name, way, tmp_path):
    model = compiled(OPTIMIZERS[name]())
    model.fit(X, Y, epochs=2, batch_size=17, callbacks=["ReduceLROnPlateau(monitor=loss, patience=0, min_delta=10.0)"] if name == "adam" else [])
    if way == "file":
        model.save(tmp_path / "a.safetensors")
        loaded = plugfit.Model.load(tmp_path / "a.safetensors")
        assert os.listdir(tmp_path) == ["a.safetensors"]
    else:
        loaded = pickle.loads(pickle.dumps(model))
    assert weights(loaded) == weights(model)
    assert loaded.evaluate(X, Y) == model.evaluate(X, Y)
    again = {"epochs": 5, "initial_epoch": 2, "batch_size": 17, "validation_split": 0.25}
    assert loaded.fit(X, Y, **again).history == model.fit(X, Y, **again).history
    assert weights(loaded) == weights(model)
    assert loaded.summary() == model.summary()


def test_a_copy_is_independent_and_keeps_attributes():
    class Named(plugfit.Model):
        pass

    model = Named(LAYERS, seed=3)
    model.label = "a"
    model.compile("sgd", "mse")
    model.build((5,))
    other = copy.deepcopy(model)
    before = weights(model)
    other.fit(X, Y)
    assert type(other) is Named and other.label == "a" and weights(model) == before != weights(other)


def test_models_that_are_not_compiled_or_not_built_are_saved(tmp_path):
    bare = plugfit.Model(LAYERS, seed=5)
    bare.save(tmp_path / "bare")
    loaded = plugfit.Model.load(str(tmp_path / "bare"))
    assert loaded.summary().startswith("not built")
    with pytest.raises(ValueError, match="isn't compiled"):
        loaded.fit(X, Y)
    bare.build((5,))
    assert weights(loaded) == weights(bare)  # fit built it, from the same seed
    unbuilt = compiled()
    unbuilt.save(tmp_path / "unbuilt")
    loaded = plugfit.Model.load(tmp_path / "unbuilt")
    assert loaded.fit(X, Y, epochs=2).history == unbuilt.fit(X, Y, epochs=2).history


def test_several_outputs_and_their_losses_are_saved(tmp_path):
    model = plugfit.Model({"layers": ["Dense(4)"], "outputs": {"a": ["Dense(1)"], "b": ["Dense(2)"]}}, seed=1)
    model.compile("rmsprop", {"a": "mse", "b": losses.Huber(delta=0.5)}, {"a": 1.0, "b": 0.25}, {"b": ["mae"]})
    y = {"a": Y, "b": X[:, :2]}
    model.fit(X, y)
    model.save(tmp_path / "m")
    loaded = plugfit.Model.load(tmp_path / "m")
    assert loaded.fit(X, y).history == model.fit(X, y).history


def test_a_file_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "m.safetensors"
    model = compiled()
    model.save(path)
    before = path.read_bytes()
    model.build((5,))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(path)
    assert path.read_bytes() == before
    model.save(path, overwrite=True)
    assert path.read_bytes() != before and os.listdir(tmp_path) == [path.name]
    with pytest.raises(OSError, match="cannot write"):
        model.save(tmp_path / "absent" / "m")
    with pytest.raises(FileNotFoundError):
        plugfit.Model.load(tmp_path / "other")


def test_a_model_with_a_python_function_is_refused(tmp_path):
    def own(y_true, y_pred):
        return (y_true - y_pred).sum(-1)

    for arguments in ({"loss": own}, {"loss": "mse", "metrics": [own]}):
        model = plugfit.Model(["Dense(1)"])
        model.compile("sgd", **arguments)
        for save in (lambda: model.save(tmp_path / "m"), lambda: pickle.dumps(model)):
            with pytest.raises(ValueError, match='"own" is a loss of the program itself'):
                save()
    assert not os.listdir(tmp_path)


SAVE = """
import sys, numpy as np, plugfit
plugfit.load_plugins(sys.argv[2])
model = plugfit.Model(["Dense(1)"])
model.compile("sgd", "mse", metrics=["RocAuc"] if "ranking" in sys.argv[2] else [])
model.fit(np.ones((4, 2), "f"), np.ones((4, 1), "f"))
model.save(sys.argv[1])
"""

LOAD = """
import sys, plugfit
model = plugfit.Model.load(sys.argv[1], plugins=sys.argv[2:])
print(list(model.evaluate([[1.0, 2.0]], [[1.0]])))
"""


def test_a_missing_plugin_is_named_and_a_given_one_is_loaded(tmp_path):
    run = lambda *program: subprocess.run([sys.executable, "-c", *map(str, program)], capture_output=True, text=True, timeout=300)
    path, plugin = tmp_path / "m", library("ranking")
    done = run(SAVE, path, plugin)
    assert done.returncode == 0, done.stderr[-3000:]
    done = run(LOAD, path)
    assert done.returncode == 1
    assert "ValueError" in done.stderr and 'no plug-in is called "ranking"' in done.stderr, done.stderr[-3000:]
    assert "plugfit.load_plugins" in done.stderr
    done = run(LOAD, path, plugin)
    assert done.returncode == 0, done.stderr[-3000:]


def crc32c(data):
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x82F63B78 * (byte & 1)
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def parts(data):
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["model"]), data[8 + length :]


def assembled(header, about, tensors):
    """Returns a file with a valid checksum."""
    header = {**header, "__metadata__": {"model": json.dumps(about), "checksum": "crc32c:00000000"}}
    text = json.dumps(header, separators=(",", ":")).encode()
    data = struct.pack("<Q", len(text)) + text + tensors
    return data.replace(b"crc32c:00000000", b"crc32c:%08x" % crc32c(data), 1)


def hostile():
    """Yields changes of a file's header and configuration."""

    def change(where, value):
        def apply(header, about):
            *path, last = where
            for key in path:
                about = about[key]
            about[last] = value

        return apply

    layers = lambda *layers: change(["network"], {"layers": list(layers)})
    yield layers("Dense(1000000000000)"), "weights don't fit"
    yield layers(*["Dense(4000000000)"] * 3), "weights don't fit"
    yield layers("Nope"), "Nope"
    yield layers(*["Flatten"] * 50_000), "weights don't fit"
    yield change(["network"], 3), ""
    yield change(["input_shape"], [2**62, 2**62]), "weights don't fit"
    yield change(["input_shape"], [0]), ""
    yield change(["input_shape"], []), ""
    yield change(["input_shape"], -1), "input_shape|invalid"
    yield change(["input_shape"], None), ""
    yield change(["seed"], "x"), "invalid"
    yield change(["version"], 99), "version 99"
    yield change(["version"], None), "version null"
    yield change(["extra"], 1), "extra"
    yield change(["compile", "loss"], "./evil.so#loss"), "C function"
    yield change(["compile", "loss"], {"class_name": "evil.so#loss", "config": {}}), "C function"
    yield change(["compile", "metrics"], [{"class_name": "Mean", "config": {"x": "evil.so#f(a=1)"}}]), "C function"
    yield change(["compile", "keras"], "a.keras"), "keras"
    yield change(["compile", "optimizer"], "nope"), "no optimizer is called"
    yield change(["compile", "optimizer"], None), ""
    yield change(["compile", "optimizer"], "sgd"), "doesn't fit"
    yield change(["compile", "metrics"], {"class_name": "MeanIoU", "config": {"num_classes": 10**9}}), ""
    yield change(["compile"], []), ""
    yield change(["compile"], None), "belongs to no part"
    yield change(["plugins"], [["absent", "1"]]), "absent"
    yield change(["optimizer", "steps"], -1), "invalid"
    yield change(["optimizer", "learning_rate"], -1.0), "learning rate"
    yield change(["optimizer", "is_built"], False), ""
    yield change(["optimizer"], None), "without its state"
    rename = lambda old, new: lambda header, about: header.update({new: header.pop(old)})
    yield rename("weight:dense/kernel", "weight:dense/other"), "dense/kernel"
    yield rename("slot:dense/kernel:momentum", "other"), ""
    yield (lambda header, about: header["weight:dense/kernel"].update(shape=[8, 5])), "shape"
    yield (lambda header, about: header["weight:dense/kernel"].update(dtype="I32")), "I32"
    yield (lambda header, about: header["weight:dense/kernel"].update(data_offsets=[0, 2**60])), ""


def test_hostile_files_are_refused(tmp_path):
    model = compiled("adam")
    model.fit(X, Y)
    model.save(tmp_path / "m")
    data = (tmp_path / "m").read_bytes()
    assert weights(plugfit.Model._from_bytes(assembled(*parts(data)))) == weights(model)
    for number, (change, expected) in enumerate(hostile()):
        header, about, tensors = parts(data)
        change(header, about)
        (tmp_path / "n").write_bytes(assembled(header, about, tensors))
        with pytest.raises(ValueError, match=expected or None):
            plugfit.Model.load(tmp_path / "n")
            pytest.fail(f"change {number} ({expected}) was accepted")


def test_damaged_files_are_refused(tmp_path):
    model = plugfit.Model(["Dense(1)"])
    model.compile("sgd", "mse")
    model.build((2,))
    model.save(tmp_path / "m")
    data = (tmp_path / "m").read_bytes()
    for length in range(len(data)):
        with pytest.raises(ValueError):
            plugfit.Model._from_bytes(data[:length])
    for index in range(len(data)):
        damaged = bytearray(data)
        damaged[index] ^= 1 << RNG.integers(8)
        with pytest.raises(ValueError):
            plugfit.Model._from_bytes(bytes(damaged))
    for other in (b"", b"\0" * 64, b"\xff" * 64, os.urandom(256), b'{"a": 1}'):
        (tmp_path / "n").write_bytes(other)
        with pytest.raises(ValueError, match="n: cannot read the model"):
            plugfit.Model.load(tmp_path / "n")
