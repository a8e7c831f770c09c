"""The type stubs know the arguments of the standard classes."""

import importlib.util
import inspect
import pathlib
import subprocess
import sys

import pytest

from plugfit import losses, metrics, optimizers, schedules

TOOL = pathlib.Path(__file__).resolve().parents[2] / "host" / "python" / "tools" / "stubs.py"


def tool():
    spec = importlib.util.spec_from_file_location("stubs", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_stubs_are_those_of_the_manifest():
    assert tool().main(check=True) == [], "run: python host/python/tools/stubs.py"


def test_each_class_has_the_arguments_of_its_signature():
    stubs = tool()
    for kind, module in (("loss", losses), ("metric", metrics), ("optimizer", optimizers), ("schedule", schedules)):
        namespace = {module._registry.base.__name__: object, "Any": None, "Sequence": None}
        texts = list(stubs.classes(kind))
        # Annotations aren't evaluated.
        exec("from __future__ import annotations\n" + "\n".join(texts), namespace)
        found = {name: made for name, made in namespace.items() if inspect.isclass(made) and made is not object}
        for name, made in found.items():
            expected = [(one.name, one.default) for one in inspect.signature(getattr(module, name)).parameters.values()]
            parameters = list(inspect.signature(made.__init__).parameters.values())[1:]
            assert [one.name for one in parameters] == [name for name, _ in expected], name
            for parameter, (_, default) in zip(parameters, expected):
                assert parameter.default in (default, ...), (name, parameter)
        assert len(found) == len(texts) > 5


GOOD = """
import numpy as np
from plugfit import losses, metrics, optimizers, schedules
losses.Huber(delta=2, name=None)
losses.Huber(np.float32(2.0), "sum")
metrics.AUC(num_thresholds=np.int64(20), thresholds=[0.5], curve="PR")
metrics.Huber(delta=1.0)
optimizers.AdamW(schedules.CosineDecay(0.1, 100), weight_decay=0.1, clipnorm=None)
optimizers.LossScaleOptimizer(optimizers.SGD(0.1))
metrics.SomethingOfAPlugIn(any=3)
losses.huber([0.0], [1.0])
losses.Huber().delta
loss: losses.Loss = losses.Huber()
"""

#: Programs with one mistake, and a part of the error.
WRONG = {
    "losses.Huber(dleta=1)": "dleta",
    "losses.Huber(delta='a')": "delta",
    "metrics.AUC(num_treshold=3)": "num_treshold",
    "metrics.IoU(3)": "target_class_ids",
    "metrics.Huber(reduction='sum')": "reduction",
    "optimizers.Adam(beta1=0.9)": "beta1",
    "optimizers.SGD(nesterov='no')": "nesterov",
    "schedules.CosineDecay(0.1)": "decay_steps",
}


def test_a_type_checker_finds_misspelt_arguments(tmp_path):
    pytest.importorskip("mypy", reason="mypy isn't installed")
    (tmp_path / "good.py").write_text(GOOD)
    imports = "from plugfit import losses, metrics, optimizers, schedules\n"
    (tmp_path / "wrong.py").write_text(imports + "\n".join(WRONG) + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir", tmp_path / "cache"]
    done = subprocess.run([*command, "good.py", "wrong.py"], capture_output=True, text=True, timeout=600, cwd=tmp_path)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert not [line for line in errors if not line.startswith("wrong.py:")], done.stdout + done.stderr
    for number, (code, part) in enumerate(WRONG.items(), 2):
        assert [line for line in errors if line.startswith(f"wrong.py:{number}:") and part in line], (code, done.stdout)
    assert len(errors) == len(WRONG), done.stdout
