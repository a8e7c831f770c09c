"""Threads, forks, process pools, Ctrl-C and interpreter exit cause no crash and no hang."""

import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import plugfit

BIG = 1 << 21


def run(code, **kwargs):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **kwargs)


def test_threads_can_share_a_metric_or_use_their_own():
    rng = np.random.default_rng(0)
    t, p = rng.random(BIG // 8), rng.random(BIG // 8)
    shared, own = plugfit.metrics.get("mse"), [plugfit.metrics.get("mse") for _ in range(8)]

    def work(metric):
        for _ in range(4):
            metric.update_state(t, p)
            shared.update_state(t, p)
            metric.result()

    threads = [threading.Thread(target=work, args=(metric,)) for metric in own]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert np.isclose(shared.result(), own[0].result())
    own[0].merge_state(own[1:])
    assert np.isclose(own[0].result(), shared.result())


def test_an_exception_of_a_function_is_raised_only_in_its_own_thread():
    t = np.ones((4096, 4), np.float32)
    good, bad = plugfit.metrics.get("mse"), plugfit.metrics.get(lambda y_true, y_pred: 1 // 0)
    failures = []

    def fine():
        try:
            for _ in range(300):
                good.update_state(t, t)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fine) for _ in range(3)]
    [thread.start() for thread in threads]
    for _ in range(300):
        with pytest.raises(ZeroDivisionError):
            bad.update_state(t, t)
    [thread.join() for thread in threads]
    assert not failures


def test_a_function_that_uses_the_model_that_calls_it_raises_and_does_not_hang():
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 3), np.float32), rng.random((64, 1), np.float32)
    model = plugfit.Model(["Dense(1)"])
    model.compile("sgd", "mse")
    for use in (lambda: model.evaluate(x, y), model.get_weights, model.summary, lambda: model.predict(x)):
        with pytest.raises(RuntimeError, match="at work"):
            model.fit(x, y, verbose=0, on_epoch_end=lambda epoch, logs: use())
    done = []
    thread = threading.Thread(target=lambda: done.append(model.fit(x, y, epochs=200, verbose=0)))
    thread.start()
    while thread.is_alive():
        model.get_weights()
    assert done


def test_a_subclassed_loss_can_read_its_settings_during_a_call():
    class Own(plugfit.losses.Loss):
        def call(self, y_true, y_pred):
            return (y_true - y_pred) ** 2 if self.reduction != "none" and self.get_config() else y_true

    assert np.isclose(Own()([1.0, 2.0], [2.0, 4.0]), 2.5)
    model = plugfit.Model(["Dense(1)"])
    model.compile("sgd", Own())
    model.build((3,))
    assert np.isfinite(model.evaluate(np.ones((4, 3), "f"), np.ones((4, 1), "f"), verbose=0)["loss"])


def part(arrays):
    metric = plugfit.metrics.AUC()
    metric.update_state(*arrays)
    return metric


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_parts_from_a_process_pool_are_merged(method):
    rng = np.random.default_rng(0)
    t = rng.integers(0, 2, BIG).astype("f")
    p = rng.random(BIG).astype("f")
    whole = part((t, p))  # start the threads before the fork
    with multiprocessing.get_context(method).Pool(2) as pool:
        parts = pool.map(part, [(t[i::4], p[i::4]) for i in range(4)])
    parts[0].merge_state(parts[1:])
    assert np.isclose(parts[0].result(), whole.result(), rtol=1e-9)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_of_a_fork_computes():
    t = np.random.default_rng(0).random(BIG).astype("f")
    expected = plugfit.losses.get("mse")(t, t * 2)
    child = os.fork()
    if child == 0:
        good = plugfit.losses.get("mse")(t, t * 2) == expected
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if plugfit.losses.get("mse")(t, t * 2) == expected else 1)
        os._exit(0 if good and os.waitpid(grandchild, 0)[1] == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_number_of_threads_changes_no_digit():
    t = np.random.default_rng(0).random(BIG).astype("f")
    before, results = plugfit.get_threads(), []
    try:
        for threads in (1, 2, 5):
            plugfit.set_threads(threads)
            assert plugfit.get_threads() == threads
            loss, metric = plugfit.losses.get("mse"), plugfit.metrics.AUC()
            metric.update_state(t > 0.5, t)
            results.append((loss(t, t * 2), metric.result()))
        assert results[0] == results[1] == results[2]
        for wrong in (0, -1, 1025):
            with pytest.raises(ValueError, match="threads can't be used"):
                plugfit.set_threads(wrong)
        assert plugfit.get_threads() == 5
    finally:
        plugfit.set_threads(before)


def test_the_environment_sets_the_number_of_threads():
    code = "import plugfit; print(plugfit.get_threads())"
    assert run(code, env={**os.environ, "PLUGFIT_THREADS": "3"}).stdout == "3\n"
    wrong = run(code, env={**os.environ, "PLUGFIT_THREADS": "many"})
    assert "PLUGFIT_THREADS" in wrong.stderr and wrong.returncode == 0, wrong
    assert run(code).stdout == wrong.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_has_the_number_of_threads_of_its_parent():
    before = plugfit.get_threads()
    plugfit.set_threads(3)
    t = np.random.default_rng(0).random(BIG).astype("f")
    expected = plugfit.losses.get("mse")(t, t * 2)
    try:
        child = os.fork()
        if child == 0:
            same = plugfit.losses.get("mse")(t, t * 2) == expected and plugfit.get_threads() == 3
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        plugfit.set_threads(before)


def test_the_interpreter_can_exit_while_a_thread_computes():
    done = run(
        "import plugfit, numpy, threading\n"
        "t = numpy.random.rand(1 << 20)\n"
        "m = plugfit.metrics.get('mse')\n"
        "def work():\n"
        "    while True: m.update_state(t, t)\n"
        "threading.Thread(target=work, daemon=True).start()\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
def test_ctrl_c_ends_a_fit():
    code = (
        "import plugfit, numpy\n"
        "x = numpy.random.rand(2000, 8).astype('f')\n"
        "model = plugfit.Model(['Dense(64, activation=relu)', 'Dense(1)'])\n"
        "model.compile('adam', 'mse')\n"
        "print('begun', flush=True)\n"
        "try: model.fit(x, x.sum(1), epochs=10**6)\n"
        "except KeyboardInterrupt: print('stopped', model.predict(x).shape)\n"
    )
    # A shell starts background jobs with SIGINT ignored, and child processes inherit that.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", listening + code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().strip() == "begun"
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert out.strip() == "stopped (2000, 1)", errors


def test_an_update_of_ten_million_rows_copies_nothing():
    code = (
        "import resource, numpy, plugfit\n"
        "m = plugfit.metrics.get('mse')\n"
        "small = numpy.random.rand(1000).astype('f')\n"
        "t, p = numpy.zeros(10**7, 'f'), numpy.ones(10**7, 'f')\n"
        "m.update_state(small, small)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "m.update_state(t, p)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    grown = int(run("import numpy as np\n" + code.replace("numpy.zeros(10**7, 'f')", "numpy.full(10**7, 2, 'f')")).stdout)
    assert grown < 8 * 1024  # KiB; a copy of one array would be 39,063


def test_the_package_contains_the_program():
    done = subprocess.run([sys.executable, "-m", "plugfit", "show", "Huber"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "delta" in done.stdout
    wrong = subprocess.run([sys.executable, "-m", "plugfit", "show", "Hubber"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2 and "Huber" in wrong.stderr


def test_the_packaged_program_checks_plugins_in_separate_processes(tmp_path):
    text = tmp_path / "libtext.so"
    text.write_text("no library")
    command = [sys.executable, "-m", "plugfit", "check", str(text)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert ran.returncode == 1 and "isn't a shared library" in ran.stdout, ran


def calibration():
    target = pathlib.Path(__file__).parents[2] / "target"
    built = sorted(target.glob("**/debug/libcalibration.so")) + sorted(target.glob("release/libcalibration.so"))
    return built[0] if built else pytest.skip("the calibration plug-in isn't built: cargo test --workspace")


@pytest.mark.skipif(sys.platform != "linux", reason="plug-ins are isolated only on Linux")
def test_the_packaged_program_can_run_isolated_plugins(tmp_path):
    library = calibration()
    (tmp_path / "plugins").mkdir()
    shutil.copy(library, tmp_path / "plugins")
    (tmp_path / "plugfit.py").write_text("raise SystemExit('a module of the folder it runs in')")
    rows = "".join(f"{i / 32},{int(i > 14)}\n" for i in range(32))
    (tmp_path / "rows.csv").write_text("a,label\n" + rows)
    (tmp_path / "fit.toml").write_text(
        'plugins = ["plugins"]\n[data]\nfile = "rows.csv"\ntarget = "label"\n'
        '[network]\nlayers = ["Dense(1, activation=sigmoid)"]\n'
        '[compile]\noptimizer = "SGD"\nloss = "binary_crossentropy"\nmetrics = ["BrierScore"]\n[fit]\nepochs = 2\nseed = 7\n'
    )
    code = "import sys; sys.path.pop(0); from plugfit.__main__ import main; main()"

    def scores(*arguments):
        command = [sys.executable, "-c", code, "fit", "fit.toml", "--json", "--out", f"run{len(arguments)}", *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert ran.returncode == 0, ran
        events = map(json.loads, ran.stdout.splitlines())
        return [event["logs"]["BrierScore"] for event in events if event["event"] == "epoch"]

    within = scores()
    assert len(within) == 2 and within == scores("--isolate")


def brier(metric):
    metric.update_state([1.0, 0.0], [0.5, 0.5])
    return float(metric.result())


def test_a_pickled_component_loads_its_plugin_in_another_process():
    built = [path for path in pathlib.Path(__file__).parents[2].glob("target/*/libcalibration.so")]
    if not built:
        pytest.skip("the plug-ins aren't built")
    plugfit.load_plugins(built[0])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map_async(brier, [plugfit.metrics.get("calibration>BrierScore")]).get(timeout=120) == [0.25]


def fresh(code, *arguments, **environment):
    """Runs code in a new process without loaded plug-ins. Returns the lines that it prints."""
    environment = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert ran.returncode == 0, ran
    return ran.stdout.splitlines()


def test_python_reports_a_conflict_of_two_files_with_the_same_version(tmp_path):
    one, other = tmp_path / "libone.so", tmp_path / "libother.so"
    bytes_of = pathlib.Path(calibration()).read_bytes()
    one.write_bytes(bytes_of)
    other.write_bytes(bytes_of + b"\0")
    code = """
import sys, plugfit
one, other = sys.argv[1:]
plugfit.load_plugins(one)
plugfit.metrics.get("BrierScore")
try:
    plugfit.load_plugins(other)
except plugfit.PluginError as error:
    print(str(error).splitlines()[0])
try:
    plugfit.metrics.BrierScore
except AttributeError as error:
    print(str(error).splitlines()[0])
assert not hasattr(plugfit.metrics, "Nothing")
try:
    plugfit.metrics.get("BrierScore")
except ValueError as error:
    print(error)
"""
    first, attribute, *lines = fresh(code, one, other)
    plugin = f"calibration {plugfit.__version__}"
    expected = f"module 'plugfit.metrics' has no attribute 'BrierScore': there are different files of {plugin}"
    assert attribute == expected
    assert any(line.split() == ["file", str(other)] for line in lines), lines
    assert first == f"{other} conflicts with {one}: both are {plugin}, and they differ"
    assert lines[0] == f"there are different files of {plugin}" and "remove all but one" in lines[-1]
    # In a folder it is a warning. For a default folder, the first lookup of a component issues it.
    code = """
import sys, warnings, plugfit
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    plugfit.load_plugins(sys.argv[1]) if len(sys.argv) > 1 else plugfit.metrics.get("accuracy")
print("; ".join(str(warning.message) for warning in warned))
"""
    for lines in (fresh(code, tmp_path), fresh(code, PLUGFIT_PLUGINS=tmp_path)):
        assert "libother.so: conflicts with " in lines[0] and "libone.so" in lines[0], lines


def test_a_file_with_the_name_of_the_built_in_set_is_refused_unless_it_is_identical(tmp_path):
    built = pathlib.Path(calibration()).with_name("libplugfit_standard.so")
    if not built.exists():
        pytest.skip("the standard set isn't built as a plug-in")
    version = f'"version":"{plugfit.__version__}"'.encode()
    renamed = built.read_bytes().replace(version, b'"version":"9.1.0"', 1)
    assert renamed != built.read_bytes()
    (tmp_path / "libfalse.so").write_bytes(renamed)
    code = """
import sys, plugfit
try:
    plugfit.load_plugins(sys.argv[1])
except plugfit.PluginError as error:
    print(error)
assert plugfit.losses.get("mse") is not None
"""
    lines = fresh(code, tmp_path / "libfalse.so")
    assert "is standard 9.1.0, and a plug-in of that name is built in" in lines[0], lines
