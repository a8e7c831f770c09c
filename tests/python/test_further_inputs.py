"""Losses and metrics with inputs beside targets and predictions take them by name, everywhere.

The tests load plug-ins, one of which has an optimizer with the name of a standard one, so they run in a process of their
own.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, 40).astype("f")
P = RNG.random(40).astype("f")
GROUP = RNG.integers(0, 6, 40)


def library(name):
    root = pathlib.Path(__file__).resolve().parents[2]
    path = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "debug" / f"lib{name}.so"
    if not path.exists():
        pytest.skip(f"the plug-in isn't built: {name}")
    return path


def run(function, *modules):
    """Calls a function of this module in another process, with plugfit and the modules, after loading the plug-ins."""
    code = f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); import test_further_inputs as t, plugfit\n"
    code += "".join(f"plugfit.load_plugins({str(library(name))!r})\n" for name in ("ranking", "demanding"))
    code += f"t.{function.__name__}(plugfit{''.join(f', __import__({name!r})' for name in modules)})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def group_auc(y, p, group):
    """The mean over groups of the probability that a positive scores above a negative."""
    areas = []
    for one in np.unique(group):
        positive, negative = p[(group == one) & (y == 1)], p[(group == one) & (y == 0)]
        if len(positive) and len(negative):
            difference = positive[:, None] - negative
            areas.append(((difference > 0) + 0.5 * (difference == 0)).mean())
    return np.mean(areas)


def nll(y, p, variance):
    return np.mean(0.5 * (np.log(variance) + (p - y) ** 2 / variance))


def raises(kind, text, call):
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value), str(caught.value)


def metrics_in_numpy(plugfit):
    metric = plugfit.metrics.get("GroupRocAuc")
    for part in (slice(0, 25), slice(25, 40)):
        metric.update_state(Y[part], P[part], group=GROUP[part])
    assert np.isclose(metric.result(), group_auc(Y, P, GROUP))
    before = metric.result()
    raises(ValueError, 'needs the input "group"', lambda: metric.update_state(Y, P))
    raises(ValueError, "group=…", lambda: metric.update_state(Y, P))
    raises(ValueError, 'has no input "grup"', lambda: metric.update_state(Y, P, grup=GROUP))
    raises(ValueError, "group has 3 numbers", lambda: metric.update_state(Y, P, group=[1, 2, 3]))
    raises(ValueError, "isn't an integer", lambda: metric.update_state(Y, P, group=GROUP + 0.5))
    raises(ValueError, "isn't an integer", lambda: metric.update_state(Y, P, group=(GROUP + 0.5).astype("f")))
    raises(ValueError, 'has no input "group"', lambda: plugfit.metrics.get("AUC").update_state(Y, P, group=GROUP))
    assert metric.result() == before
    # 64-bit ids are exact, in any form of array.
    metric.reset_state()
    metric.update_state(Y.tolist(), P, group=[int(one) + 2**60 for one in GROUP])
    assert metric.result() == before
    for dtype in ("i4", "u1", "u8", "f8", "f4"):
        metric.reset_state()
        assert metric(Y, P, group=GROUP.astype(dtype)) == before
    import pickle

    again = pickle.loads(pickle.dumps(metric))
    assert again.result() == before


def losses_in_numpy(plugfit):
    loss, variance = plugfit.losses.get("GaussianNll"), (P + 0.5).astype("f")
    assert np.isclose(loss(Y, P, variance=variance), nll(Y, P, variance))
    value, gradient = loss.value_and_gradient(Y, P, variance=variance)
    assert value == loss(Y, P, variance=variance)
    np.testing.assert_allclose(gradient, (P - Y) / variance / 40, rtol=1e-5)
    np.testing.assert_array_equal(gradient, loss.gradient(Y, P, variance=variance))
    weight = (GROUP > 2).astype("f")
    weighted = loss.gradient(Y, P, weight, variance=variance)
    np.testing.assert_allclose(weighted, gradient * weight, rtol=1e-5)
    raises(ValueError, 'needs the input "variance"', lambda: loss(Y, P))
    raises(ValueError, 'has no input "var"', lambda: loss(Y, P, var=variance, variance=variance))
    raises(ValueError, 'has no input "group"', lambda: plugfit.losses.get("mse")(Y, P, group=GROUP))
    # As a metric, it is the mean of its values.
    metric = plugfit.metrics.get("GaussianNll")
    metric.update_state(Y[:30], P[:30], variance=variance[:30])
    metric.update_state(Y[30:], P[30:], variance=variance[30:])
    assert np.isclose(metric.result(), nll(Y, P, variance))
    raises(ValueError, 'needs the input "variance"', lambda: metric.update_state(Y, P))


def both_in_torch(plugfit, torch):
    y, p, group = map(torch.from_numpy, (Y, P, GROUP))
    metric = plugfit.torch.metric("GroupRocAuc")
    metric.update(p[:25], y[:25], group=group[:25])
    metric(p[25:], y[25:], group=group[25:])
    assert np.isclose(metric.compute().item(), group_auc(Y, P, GROUP))
    raises(ValueError, "needs the input 'group'", lambda: metric.update(p, y))
    raises(ValueError, "no input 'grup'", lambda: metric.update(p, y, grup=group))
    raises(ValueError, "no input 'group'", lambda: plugfit.torch.metric("AUC").update(p, y, group=group))
    raises(ValueError, "a formula doesn't take", lambda: plugfit.torch.metric("GaussianNll", engine="formula"))
    # Rows with ids count once.
    other = plugfit.torch.metric("GroupRocAuc")
    ids = torch.arange(40)
    other.update(p, y, ids=ids, group=group)
    other.update(p[:10], y[:10], ids=ids[:10], group=group[:10])
    assert other.compute() == metric.compute()
    assert metric._filter_kwargs(preds=1, group=2, other=3) == {"preds": 1, "group": 2}
    # Losses.
    variance = p + 0.5
    criterion = plugfit.torch.loss("GaussianNll")
    p = p.clone().requires_grad_()
    criterion(p, y, variance=variance).backward()
    np.testing.assert_allclose(p.grad, (P - Y) / (P + 0.5) / 40, rtol=1e-5)
    raises(ValueError, "needs the input 'variance'", lambda: criterion(p, y))
    raises(NotImplementedError, "detach", lambda: criterion(p, y, variance=variance.clone().requires_grad_()))
    unreduced = plugfit.torch.loss("GaussianNll", reduction="none")
    p.grad = None
    (unreduced(p, y, variance=variance) * torch.arange(40)).sum().backward()
    np.testing.assert_allclose(p.grad, np.arange(40) * (P - Y) / (P + 0.5), rtol=1e-5)


def both_in_models(plugfit):
    x = np.stack([P, GROUP.astype("f")], 1)
    model = plugfit.Model(["Dense(1)"], seed=3)
    model.compile("sgd", "GaussianNll", metrics=["GroupRocAuc", "mse"])
    variance = (P[:, None] + 0.5).astype("f")
    inputs = {"group": GROUP, "variance": variance}
    history = model.fit(x, Y[:, None], batch_size=7, epochs=3, inputs=inputs, validation_split=0.25)
    assert len(history.history["val_GroupRocAuc"]) == 3
    logs = model.evaluate(x, Y[:, None], batch_size=9, inputs=inputs)
    predicted = model.predict(x)
    assert np.isclose(logs["loss"], nll(Y[:, None], predicted, variance), rtol=1e-5)
    assert np.isclose(logs["GroupRocAuc"], group_auc(Y, predicted[:, 0], GROUP))
    # One step by hand: batches have the rows of their inputs, in shuffled order.
    fit = lambda **kwargs: model.fit(x, Y[:, None], **kwargs)
    raises(ValueError, 'needs the input "variance"', lambda: fit(inputs={"group": GROUP}))
    raises(ValueError, 'inputs={"group": …}', lambda: fit(inputs={"variance": variance}))
    raises(ValueError, 'has an input "grup"', lambda: fit(inputs={**inputs, "grup": GROUP}))
    raises(ValueError, '40 rows and the input "group" 39', lambda: fit(inputs={**inputs, "group": GROUP[1:]}))
    raises(ValueError, 'needs the input', lambda: fit(inputs=inputs, validation_data=(x, Y[:, None])))
    fit(inputs=inputs, validation_data=(x, Y[:, None], None, inputs))
    raises(TypeError, "dict of arrays by name", lambda: fit(inputs=GROUP))
    plain = plugfit.Model(["Dense(1)"])
    plain.compile("sgd", "mse")
    raises(ValueError, "leave it out", lambda: plain.fit(x, Y[:, None], inputs=inputs))
    # Shuffled batches see the rows that belong together: the variance of each row decides its gradient.
    one, other = (plugfit.Model(["Dense(1, kernel_initializer=zeros)"], seed=1) for _ in range(2))
    for made in (one, other):
        made.compile("sgd", "GaussianNll")
    order = np.random.default_rng(5).permutation(40)
    one.fit(x, Y[:, None], inputs={"variance": variance}, batch_size=40)
    other.fit(x[order], Y[order, None], inputs={"variance": variance[order]}, batch_size=40)
    for a, b in zip(one.get_weights().values(), other.get_weights().values()):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_metrics_take_inputs_by_name_in_numpy():
    run(metrics_in_numpy)


def test_losses_take_inputs_by_name_in_numpy():
    run(losses_in_numpy)


def test_both_take_inputs_by_name_in_torch():
    pytest.importorskip("torch", reason="torch isn't installed")
    run(both_in_torch, "torch")


def neither_in_keras(plugfit, keras):
    raises(ValueError, "Keras passes only", lambda: plugfit.keras.metric("GroupRocAuc"))
    raises(ValueError, "Keras passes only", lambda: plugfit.keras.loss("GaussianNll"))
    raises(ValueError, "Keras passes only", lambda: plugfit.keras.metric("GaussianNll"))


def test_keras_refuses_both():
    pytest.importorskip("keras", reason="Keras isn't installed")
    run(neither_in_keras, "keras")


def test_both_take_inputs_by_name_in_models():
    run(both_in_models)


RUN = """
[data]
file = "rows.csv"
target = "clicked"
validation_split = 0.25
{inputs}

[network]
layers = ["Dense(1, activation=sigmoid)"]

[compile]
optimizer = "adam"
loss = "binary_crossentropy"
metrics = ["GroupRocAuc"]

[fit]
epochs = 2
"""


def program(*arguments, cwd):
    command = [sys.executable, "-m", "plugfit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd)


def test_a_run_file_names_their_columns(tmp_path):
    lines = [f"{p},{one},{int(y)}" for p, one, y in zip(P, GROUP, Y)]
    (tmp_path / "rows.csv").write_text("\n".join(["score,query,clicked", *lines]))
    plugins = ("--plugins", tmp_path / "plugins")
    os.makedirs(tmp_path / "plugins")
    (tmp_path / "plugins" / "libranking.so").write_bytes(library("ranking").read_bytes())

    def fit(inputs, folder):
        (tmp_path / "run.toml").write_text(RUN.format(inputs=inputs))
        return program("fit", "run.toml", "--out", folder, *plugins, cwd=tmp_path)

    done = fit('[data.inputs]\ngroup = "query"', "a")
    assert done.returncode == 0, done.stderr
    schema = json.loads((tmp_path / "a" / "run.json").read_text())["schema"]
    # The group is no input of the network, unless that is said.
    assert schema["inputs"] == ["score"] and schema["further"] == [["group", ["query"]]]
    done = fit('inputs = {x = ["query", "score"], group = "query"}', "b")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "b" / "run.json").read_text())["schema"]["inputs"] == ["query", "score"]
    done = program("evaluate", "a", *plugins, cwd=tmp_path)
    assert done.returncode == 0 and "GroupRocAuc" in done.stdout, done.stdout + done.stderr
    done = program("predict", "a", "rows.csv", *plugins, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for inputs, text in (
        ("", 'needs the input "group"'),
        ("", "[data.inputs]"),
        ('[data.inputs]\ngrup = "query"', 'needs the input "group"'),
        ('[data.inputs]\ngroup = "query"\nother = "score"\nx = "score"', 'has an input "other"'),
        ('[data.inputs]\ngroup = "querry"', "querry"),
        ("[data.inputs]\ngroup = 3", "inputs"),
    ):
        done = fit(inputs, "c")
        assert done.returncode != 0 and text in done.stderr, done.stderr


def test_a_run_reads_them_from_arrays(tmp_path):
    arrays = {"x": P[:, None], "y": Y, "query": GROUP}
    np.savez(tmp_path / "rows.npz", **arrays)
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    os.makedirs(tmp_path / "plugins")
    (tmp_path / "plugins" / "libranking.so").write_bytes(library("ranking").read_bytes())
    logs = []
    for file, target, group in (("rows.npz", "y", "query"), ("x.npy", "y.npy", "query.npy")):
        text = RUN.format(inputs=f'inputs = {{group = "{group}"}}').replace("rows.csv", file).replace("clicked", target)
        (tmp_path / "run.toml").write_text(text)
        done = program("fit", "run.toml", "--out", file.replace(".", "-"), "--plugins", "plugins", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        history = json.loads((tmp_path / file.replace(".", "-") / "history.json").read_text())
        logs.append(json.dumps(history["epochs"] if isinstance(history, dict) else history))
        done = program("fit", "--resume", file.replace(".", "-"), "--set", "fit.epochs=3", "--plugins", "plugins", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "val_GroupRocAuc" in logs[0]


def test_the_schema_of_run_files_has_them():
    done = program("schema", cwd=None)
    inputs = json.loads(done.stdout)["properties"]["data"]["properties"]["inputs"]
    assert any(one.get("type") == "object" for one in inputs["anyOf"])
