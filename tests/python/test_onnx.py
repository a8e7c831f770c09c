"""A run that is exported as an ONNX model predicts in onnxruntime what `plugfit predict` does."""

import csv
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "plugfit"
RNG = np.random.default_rng(3)
ACTIVATIONS = "linear relu leaky_relu elu selu gelu sigmoid tanh softmax softplus silu exponential".split()

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="the program isn't built")


def plugfit(folder, *arguments, status=0):
    run = subprocess.run([PROGRAM, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
    assert run.returncode == status, run.stdout + run.stderr
    return run.stdout + run.stderr


def fit(folder, data, layers, loss="mse", outputs=None, epochs=2):
    """Trains a run and exports it; returns a session."""
    network = {"layers": layers} | ({"outputs": outputs} if outputs else {})
    config = {"data": data, "network": network, "compile": {"optimizer": "Adam(learning_rate=0.01)", "loss": loss},
              "fit": {"epochs": epochs, "batch_size": 16, "seed": 1}}
    (folder / "fit.toml").write_text(toml(config))
    plugfit(folder, "fit", "fit.toml", "--out", "run")
    plugfit(folder, "export", "run", "model.onnx")
    return onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def toml(config):
    """Writes tables of JSON values, whose inner tables are inline."""

    def value(item):
        if isinstance(item, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in item.items()) + "}"
        if isinstance(item, list):
            return "[" + ", ".join(map(value, item)) + "]"
        return json.dumps(item)

    lines = []
    for table, keys in config.items():
        lines.append(f"[{table}]")
        lines += [f"{json.dumps(key)} = {value(item)}" for key, item in keys.items()]
    return "\n".join(lines) + "\n"


def predicted(folder, file):
    """Returns the predictions of the program, by output."""
    plugfit(folder, "predict", "run", file, "--out", "p.npz", "--overwrite")
    with np.load(folder / "p.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def assert_agrees(folder, session, file, feed):
    want = predicted(folder, file)
    names = [output.name for output in session.get_outputs()]
    assert sorted(names) == sorted(want)
    for name, found in zip(names, session.run(names, feed)):
        assert found.shape == want[name].shape and found.dtype == np.float32
        np.testing.assert_allclose(found, want[name], rtol=1e-5, atol=1e-5)
        assert np.ptp(found) > 0


def arrays(folder, shape=(3,), targets=2):
    x = RNG.normal(size=(40, *shape)).astype("f")
    y = RNG.normal(size=(40, targets)).astype("f")
    np.savez(folder / "d.npz", x=x, y=y)
    return x, {"file": "d.npz", "inputs": "x", "target": "y"}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(tmp_path, activation):
    x, data = arrays(tmp_path)
    session = fit(tmp_path, data, [f"Dense(8, activation={activation})", f"Dense(2, activation={activation})"])
    assert_agrees(tmp_path, session, "d.npz", {"x": x})


LAYERS = {
    "activation layer and dropout": ["Dense(6)", "Activation(gelu)", "Dropout(0.4)", "Dense(2)"],
    "without bias": ["Dense(6, use_bias=false, activation=relu)", "Dense(2)"],
    "batch normalization": ["Dense(6)", "BatchNormalization(momentum=0.8)", "Dense(2)"],
    "batch normalization without scale and center": ["BatchNormalization(center=false, scale=false)", "Dense(2)"],
    "layer normalization": ["Dense(6)", "LayerNormalization", "Dense(2)"],
    "layer normalization without scale": ["Dense(6)", "LayerNormalization(scale=false)", "Dense(2)"],
    "layer normalization alone": ["Dense(6)", "LayerNormalization(scale=false, center=false)", "Dense(2)"],
    "residual": ["Dense(6, activation=tanh, name=a)", "Dense(6, activation=silu)", "Add(from=a)", "Dense(2)"],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_layers(tmp_path, layers):
    x, data = arrays(tmp_path)
    session = fit(tmp_path, data | {"scale": 0.3}, layers)
    assert_agrees(tmp_path, session, "d.npz", {"x": x})
    one = session.run(None, {"x": x[:1]})[0]
    assert one.shape == (1, 2)


def test_samples_of_several_axes_and_flatten(tmp_path):
    x, data = arrays(tmp_path, shape=(4, 3))
    layers = ["Dense(5, activation=relu)", "BatchNormalization", "LayerNormalization", "Flatten", "Dense(2)"]
    session = fit(tmp_path, data, layers)
    assert_agrees(tmp_path, session, "d.npz", {"x": x})


def test_embedding_layers_refuse_what_is_no_id(tmp_path):
    x = RNG.integers(0, 6, size=(40, 3)).astype("f")
    np.savez(tmp_path / "d.npz", x=x, y=RNG.normal(size=(40, 1)).astype("f"))
    data = {"file": "d.npz", "inputs": "x", "target": "y"}
    session = fit(tmp_path, data, ["Embedding(6, 4)", "Flatten", "Dense(1)"])
    assert_agrees(tmp_path, session, "d.npz", {"x": x})
    for wrong in [6, -1, 0.5, np.nan]:
        with pytest.raises(Exception, match="out of data bounds|out-of-bounds|indices"):
            session.run(None, {"x": np.full((1, 3), wrong, "f")})


CATEGORIES = ["Oslo", "Paris", "Zürich, CH"]


def table(folder, rows=120):
    """Writes a table of every kind of column; returns what an ONNX model gets for it."""
    columns = {
        "age": [f"{RNG.uniform(1, 90):.3f}" if i % 7 else "" for i in range(rows)],
        "big": [str(1_700_000_000 + int(RNG.integers(0, 500))) for _ in range(rows)],
        "city": [CATEGORIES[i % 3] if i % 11 else "" for i in range(rows)],
        "member": ["true" if i % 4 else "false" for i in range(rows)],
        "signup": [f"{2015 + i % 10}-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(rows)],
        "seen": [f"{1968 + i % 50}-{1 + i % 12:02}-{1 + i % 28:02}T{i % 24:02}:30:{i % 60:02}" for i in range(rows)],
        "zip": [f"Z{i % 45}" for i in range(rows)],
        "label": [["no", "yes", "maybe"][(i % 3 + i % 2) % 3] for i in range(rows)],
    }
    with open(folder / "t.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values()))
    return columns


def feed(columns):
    def number(text):
        return {"true": 1.0, "false": 0.0, "": np.nan}.get(text) if text in ("true", "false", "") else float(text)

    def seconds(text):
        return float(np.datetime64(text).astype("datetime64[s]").astype("int64"))

    read = {"age": number, "big": number, "member": number, "signup": seconds, "seen": seconds}
    result = {}
    for name, cells in columns.items():
        if name in read:
            result[name] = np.array([read[name](cell) for cell in cells])[:, None]
        elif name != "label":
            result[name] = np.array(cells, dtype=object)[:, None]
    return result


@pytest.fixture
def table_run(tmp_path):
    columns = table(tmp_path)
    data = {"file": "t.csv", "target": "label", "validation_split": 0.2, "dates": "cyclic"}
    layers = ["Dense(16, activation=relu)", "Dense(3, activation=softmax, name=label_out)"]
    return tmp_path, fit(tmp_path, data, layers, "sparse_categorical_crossentropy"), columns


def test_raw_rows_of_a_table_go_in(table_run):
    folder, session, columns = table_run
    types = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    assert types["age"] == ("tensor(double)", ["N", 1]) and types["city"] == ("tensor(string)", ["N", 1])
    assert sorted(types) == sorted(set(columns) - {"label"})
    assert_agrees(folder, session, "t.csv", feed(columns))
    names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
    schema = json.loads((folder / "run/run.json").read_text())["schema"]
    assert names == {"label_out": schema["targets"][0]["class_names"]}
    assert sorted(names["label_out"]) == ["maybe", "no", "yes"]


def test_unknown_and_missing_values_are_encoded_as_predict_does(table_run):
    folder, session, columns = table_run
    changed = {name: list(cells) for name, cells in columns.items()}
    changed["city"][:6] = ["Rome", "", "NA", "null", "?", "Oslo"]
    changed["zip"][:3] = ["Z44", "none of these", "Z0"]
    changed["age"][:2] = ["", "1e6"]
    with open(folder / "t2.csv", "w", newline="") as file:
        csv.writer(file).writerows([list(changed), *zip(*changed.values())])
    assert_agrees(folder, session, "t2.csv", feed(changed))


def test_a_missing_value_that_predict_refuses_is_not_a_number(tmp_path):
    rows = [f"{i},{CATEGORIES[i % 2]},C{i % 40},{i % 5}" for i in range(120)]
    (tmp_path / "t.csv").write_text("\n".join(["a,city,code,y", *rows]) + "\n")
    data = {"file": "t.csv", "target": "y", "missing": "error"}
    session = fit(tmp_path, data, ["Dense(4, activation=tanh)", "Dense(1)"])
    row = {"a": np.array([[3.0]]), "city": np.array([["Oslo"]], object), "code": np.array([["C3"]], object)}
    assert np.isfinite(session.run(None, row)[0]).all()
    assert np.isnan(session.run(None, row | {"a": np.array([[np.nan]])})[0]).all()
    assert np.isnan(session.run(None, row | {"city": np.array([[""]], object)})[0]).all()
    with pytest.raises(Exception, match="indices"):
        session.run(None, row | {"code": np.array([["NA"]], object)})
    (tmp_path / "t2.csv").write_text("a,city,code\n3,,C3\n")
    plugfit(tmp_path, "predict", "run", "t2.csv", status=1)


def test_named_outputs_and_scaled_columns(tmp_path):
    x = RNG.integers(0, 17, size=(60, 4))
    with open(tmp_path / "t.csv", "w") as file:
        file.write("a,b,c,d,first,second\n")
        for row in x:
            file.write(",".join(map(str, row)) + f",{row.sum() / 9},{'even' if row[0] % 2 == 0 else 'odd'}\n")
    second = ["Dense(4, activation=relu)", "BatchNormalization", "Dense(2, activation=softmax)"]
    heads = {"first": ["Dense(1)"], "second": second}
    data = {"file": "t.csv", "target": {"first": "first", "second": "second"}, "scale": 0.0625}
    loss = {"first": "mse", "second": "sparse_categorical_crossentropy"}
    session = fit(tmp_path, data, ["Dense(6, activation=tanh)"], loss, heads)
    assert [value.name for value in session.get_outputs()] == ["first", "second"]
    assert_agrees(tmp_path, session, "t.csv", {name: x[:, i : i + 1].astype("d") for i, name in enumerate("abcd")})
    assert set(json.loads(session.get_modelmeta().custom_metadata_map["class_names"])) == {"second"}


def test_files_are_not_overwritten_and_mistakes_are_reported(tmp_path):
    _, data = arrays(tmp_path)
    fit(tmp_path, data, ["Dense(2)"])
    before = (tmp_path / "model.onnx").read_bytes()
    assert "already exists" in plugfit(tmp_path, "export", "run", "model.onnx", status=2)
    plugfit(tmp_path, "export", "run", "model.onnx", "--overwrite")
    assert (tmp_path / "model.onnx").read_bytes() == before
    assert "is written as .onnx" in plugfit(tmp_path, "export", "run", "model.pb", status=2)
    assert not (tmp_path / "model.pb").exists()
    plugfit(tmp_path, "export", "nowhere", "other.onnx", status=2)
    assert "\"outputs\":[\"dense\"]" in plugfit(tmp_path, "export", "run", "json.onnx", "--json")


def test_an_input_and_an_output_of_one_name_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("dense,y\n" + "".join(f"{i},{i * 2}\n" for i in range(20)))
    config = {"data": {"file": "t.csv", "target": "y"}, "network": {"layers": ["Dense(1)"]},
              "compile": {"optimizer": "SGD", "loss": "mse"}, "fit": {"epochs": 1}}
    (tmp_path / "fit.toml").write_text(toml(config))
    plugfit(tmp_path, "fit", "fit.toml", "--out", "run")
    told = plugfit(tmp_path, "export", "run", "m.onnx", status=2)
    assert "two inputs or outputs of the ONNX model are called \"dense\"" in told
