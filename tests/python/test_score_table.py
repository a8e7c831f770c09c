"""``plugfit.score`` of the columns of files and tables."""

import math
import shutil

import numpy as np
import pytest

import plugfit

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow isn't installed")
needs_program = pytest.mark.skipif(shutil.which("plugfit-score") is None, reason="plugfit-score isn't installed")

RANDOM = np.random.default_rng(3)
LABEL = RANDOM.integers(0, 2, 400)
SCORE = np.clip(0.3 * LABEL + RANDOM.random(400) * 0.7, 0, 1)
WEIGHT = RANDOM.random(400)
MODEL = np.where(np.arange(400) % 3 == 0, "a", "b")
COLUMNS = {"label": LABEL, "score": SCORE, "weight": WEIGHT, "model": MODEL.tolist()}


def _polars():
    return pytest.importorskip("polars").DataFrame(COLUMNS)


def _pandas():
    # An index that is no column.
    return pytest.importorskip("pandas").DataFrame(COLUMNS, index=np.arange(400) + 7)


TABLES = {"arrow": lambda: pyarrow.table(COLUMNS), "polars": _polars, "pandas": _pandas}


@needs_program
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_scored_as_arrays_are(kind):
    result = plugfit.score("label", "score", ["auc", "BinaryAccuracy"], "weight", data=TABLES[kind](), by="model")
    assert not result["partial"] and [group["by"]["model"] for group in result["groups"]] == ["a", "b"]
    for group in result["groups"]:
        rows = MODEL == group["by"]["model"]
        arrays = plugfit.score(LABEL[rows], SCORE[rows], ["AUC", "BinaryAccuracy"], WEIGHT[rows])
        assert group["rows"] == rows.sum()
        # Arrays of float64 weights are used as float32.
        np.testing.assert_allclose(group["metrics"]["auc"], arrays["auc"], rtol=1e-7)
        np.testing.assert_allclose(group["metrics"]["BinaryAccuracy"], arrays["binary_accuracy"], rtol=1e-7)


@needs_program
def test_files_and_patterns_are_scored(tmp_path):
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.table(COLUMNS)
    pyarrow.parquet.write_table(table.slice(0, 150), tmp_path / "one.parquet")
    pyarrow.csv.write_csv(table.slice(150), tmp_path / "-two.csv")
    expected = plugfit.score("label", "score", "auc", data=table)["groups"]
    files = [tmp_path / "one.parquet", str(tmp_path / "-two.csv")]
    found = plugfit.score("label", "score", "auc", data=files)["groups"]
    assert found[0]["rows"] == 400
    np.testing.assert_allclose(found[0]["metrics"]["auc"], expected[0]["metrics"]["auc"], rtol=1e-12)
    assert plugfit.score("label", "score", "auc", data=tmp_path / "*.parquet")["groups"][0]["rows"] == 150


@needs_program
def test_the_options_are_those_of_the_program():
    table = pyarrow.table({**COLUMNS, "user": np.arange(400) // 3})
    options = {"ci": 90, "ci_by": "user", "compare": "model", "replicates": 20, "where": "score > 0.1"}
    result = plugfit.score("label", "score", {"class_name": "AUC", "config": {"curve": "PR"}}, data=table, **options)
    (group, _), (difference,) = result["groups"], result["differences"]["groups"]
    (name,) = group["metrics"]
    low, high = group["intervals"][name]
    assert low < group["metrics"][name] < high
    assert difference["by"] == {"model": "b"} and result["differences"]["baseline"] == "a"


@needs_program
def test_results_that_json_has_no_number_for_are_floats():
    table = pyarrow.table({"y": [1.0, 1.0], "p": [1.0, 1.0]})
    metrics = plugfit.score("y", "p", ["R2Score", plugfit.metrics.get("mse")], data=table)["groups"][0]["metrics"]
    assert all(value is None or isinstance(value, float) for value in metrics.values())
    assert 0.0 in metrics.values() or any(math.isnan(value) for value in metrics.values() if value is not None)


@needs_program
def test_errors_say_what_is_wrong():
    table = pyarrow.table({**COLUMNS, "gap": [None, *SCORE[1:]]})
    with pytest.raises(ValueError, match="no column scor"):
        plugfit.score("label", "scor", "auc", data=table)
    with pytest.raises(ValueError, match="null"):
        plugfit.score("label", "gap", "auc", data=table)
    assert plugfit.score("label", "gap", "auc", data=table, nulls="skip")["groups"][0]["skipped"] == 1
    with pytest.raises(RuntimeError, match="auc"):
        plugfit.score("label", "score", "auc", data=table, require="auc>=0.999")
    with pytest.raises(ValueError, match="there is no file"):
        plugfit.score("label", "score", "auc", data="missing.parquet")


def test_wrong_arguments_are_refused(monkeypatch):
    with pytest.raises(TypeError, match="only with data"):
        plugfit.score(LABEL, SCORE, "auc", by="model")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="plugfit-score"):
        plugfit.score("label", "score", "auc", data=pyarrow.table(COLUMNS))
    with pytest.raises(TypeError, match="no option 'bye'"):
        plugfit.score("label", "score", "auc", data=pyarrow.table(COLUMNS), bye="model")
    with pytest.raises(TypeError, match="name of a column"):
        plugfit.score(LABEL, "score", "auc", data=pyarrow.table(COLUMNS))
