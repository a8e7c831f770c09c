"""Array arguments: every function refuses missing, masked, non-numeric and too large values."""

import datetime
import decimal
import fractions

import numpy as np
import pytest

import plugfit
from plugfit import losses, metrics, optimizers

T = np.array([0.0, 1.0, 1.0, 0.0], np.float32)
P = np.array([0.1, 0.8, 0.4, 0.6], np.float32)
X = np.arange(8, dtype=np.float32).reshape(4, 2)


def compiled():
    model = plugfit.Model(["Dense(1)"])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def step(grad):
    param = np.zeros(4, np.float32)
    optimizers.SGD().apply([grad], [param])


#: Each function that accepts an array of four rows, with the argument's name.
ENTRIES = {
    "loss y_true": lambda array: losses.get("mse")(array, P),
    "loss y_pred": lambda array: losses.get("mse")(T, array),
    "loss sample_weight": lambda array: losses.get("mse")(T[:, None], P[:, None], array),
    "loss mask": lambda array: losses.get("mse")(T[:, None], P[:, None], None, array),
    "loss value_and_gradient": lambda array: losses.get("mse").value_and_gradient(array, P),
    "metric y_true": lambda array: metrics.get("mse").update_state(array, P),
    "metric y_pred": lambda array: metrics.get("mse").update_state(T, array),
    "metric sample_weight": lambda array: metrics.get("mse").update_state(T[:, None], P[:, None], array),
    "metric values": lambda array: metrics.get("Mean").update_state(array),
    "score y_true": lambda array: plugfit.score(array, P, "mse"),
    "score y_pred": lambda array: plugfit.score(T, array, "mse"),
    "score sample_weight": lambda array: plugfit.score(T, P, "mse", sample_weight=array),
    "optimizer grads": step,
    "fit x": lambda array: compiled().fit(np.reshape(array, (4, 1)) if not isinstance(array, list) else [[row] for row in array], T),
    "fit y": lambda array: compiled().fit(X, array),
    "fit sample_weight": lambda array: compiled().fit(X, T, sample_weight=array),
    "fit validation_data": lambda array: compiled().fit(X, T, validation_data=(X, array)),
    "evaluate y": lambda array: compiled().evaluate(X, array),
    "predict x": lambda array: compiled().predict([[row] for row in array] if isinstance(array, list) else np.reshape(array, (4, 1))),
}

masked = np.ma.masked_array([0.0, 1.0, 1.0, 0.0], [False, False, True, False])

MISSING = {
    "None": [0.0, 1.0, None, 0.0],
    "None in an array": np.array([0.0, 1.0, None, 0.0], object),
    "masked": masked,
    "masked float32": masked.astype(np.float32),
    "masked integers": np.ma.masked_array([0, 1, 1, 0], [False, False, True, False]),
    "list of masked": list(masked),
}

NO_NUMBERS = {
    "words": np.array(["0", "1", "1", "0"]),
    "bytes": np.array([b"0", b"1", b"1", b"0"]),
    "list of words": ["0", "1", "1", "0"],
    "objects": np.array([0.0, 1.0, "1", 0.0], object),
    "complex": np.array([0, 1, 1j, 0]),
    "complex objects": np.array([0, 1, 1j, 0], object),
    "dates": np.array(["2024-01-01"] * 4, "datetime64[D]"),
    "date objects": np.array([datetime.date(2024, 1, 1)] * 4, object),
    "durations": np.array([1, 2, 3, 4], "timedelta64[s]"),
    "records": np.array([(0.0, 1), (1.0, 2), (1.0, 3), (0.0, 4)], [("a", "f4"), ("b", "i4")]),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", MISSING)
def test_missing_and_masked_values_are_refused_with_their_row(entry, kind):
    with pytest.raises(ValueError, match="lacks 1 of its 4 values, the first in row 2"):
        ENTRIES[entry](MISSING[kind])


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_arrays_without_numbers_are_refused(entry, kind):
    with pytest.raises(TypeError, match="contains"):
        ENTRIES[entry](NO_NUMBERS[kind])


#: Metrics accept float64, and of a mask only zero or nonzero matters.
TAKES_FLOAT64 = {"loss mask", "metric y_true", "metric y_pred", "metric values", "score y_true", "score y_pred"}


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry not in TAKES_FLOAT64])
@pytest.mark.parametrize("number", [1e39, -1e300])
def test_numbers_too_large_for_float32_are_refused_with_their_row(entry, number):
    with pytest.raises(ValueError, match="too large for float32\n  in .*row 2 .from 0."):
        ENTRIES[entry](np.array([0.0, 1.0, number, 0.0]))


def test_a_model_refuses_integers_that_float32_rounds():
    ids = np.array([[1], [2], [2**24 + 1], [3]])
    for array in (ids, ids.astype(np.int32), ids.astype(np.uint32), ids.astype(np.uint64), ids.tolist(), ids.astype(object)):
        for use in (lambda x: compiled().fit(x, T), lambda x: compiled().evaluate(x, T), lambda x: compiled().predict(x)):
            with pytest.raises(ValueError, match=r"float32 rounds it\n  in      x, row 2 \(from 0\)"):
                use(array)
    compiled().predict(ids.astype(np.float64))
    compiled().predict(ids - 1)
    compiled().fit(X, [1, 2, 2**24 + 1, 3])
    compiled().fit(X, T, sample_weight=ids[:, 0])


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if "mask" not in entry])
def test_integers_beyond_int64_are_refused(entry):
    for array in (np.array([0, 1, 2**64 - 1, 0], np.uint64), [0, 1, 2**70, 0]):
        with pytest.raises(ValueError, match="doesn't fit int64"):
            ENTRIES[entry](array)


def test_arrays_of_objects_and_masked_arrays_with_only_numbers_are_accepted():
    right = losses.get("mse")([1.0, 2.0, 0.5], [0.0, 0.0, 0.0])
    for values in (
        np.array([1, 2.0, np.float32(0.5)], object),
        np.array([fractions.Fraction(1), decimal.Decimal("2"), 0.5], object),
        np.array([True, 2, 0.5], object),
        np.ma.masked_array([1.0, 2.0, 0.5], [False] * 3),
        np.ma.masked_array([1.0, 2.0, 0.5]),
        np.longdouble([1.0, 2.0, 0.5]),
    ):
        assert losses.get("mse")(values, [0.0, 0.0, 0.0]) == right
    assert metrics.get("BinaryAccuracy")(np.array([True, False], object), np.array([np.True_, np.False_], object)) == 1
    assert metrics.get("Accuracy")(np.array([2**53 + 1], object), [2**53 + 1]) == 1
    assert np.isnan(losses.get("mse")(np.array([np.nan, 1.0], object), [0.0, 0.0])), "a NaN is a number"


def test_numbers_too_large_for_float64_are_refused():
    for values in (np.array([np.longdouble("1e4000"), 1]), np.array([10**400, 0.5], object), np.array([decimal.Decimal("1e400")], object)):
        if values.dtype == np.longdouble and np.isinf(values.astype(np.longdouble)[0]):
            continue
        with pytest.raises(ValueError, match="too large for float64"):
            losses.get("mse")(values, np.zeros(values.shape))


def test_a_masked_parameter_is_refused():
    param = np.ma.masked_array(np.zeros(4, np.float32), [False, True, False, False])
    with pytest.raises(TypeError, match="params.0. is a masked array"):
        optimizers.SGD().apply([T], [param])


def test_masked_settings_are_refused():
    with pytest.raises(ValueError, match="masked values"):
        losses.CategoricalFocalCrossentropy(alpha=np.ma.masked_array([0.5, 0.5], [True, False]))


def test_tables_of_pyarrow_with_missing_values_are_refused():
    pyarrow = pytest.importorskip("pyarrow")
    assert losses.get("mse")(pyarrow.array([1.0, 2.0]), pyarrow.chunked_array([[1.0], [2.0]])) == 0
    table = pyarrow.table({"a": [0.0, 1.0, None, 0.0], "b": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(ValueError, match="lacks 1 of its 8 values, the first in row 2"):
        compiled().fit(table, T)


def pandas_columns(pandas):
    made = [pandas.Series([0, 1, None, 0], dtype=dtype) for dtype in ("Int64", "Float64", "Int8", "boolean")]
    try:
        return [*made, pandas.Series([0.0, 1.0, None, 0.0], dtype="double[pyarrow]"), pandas.array([0, 1, None, 0], dtype="Int64")]
    except ImportError:  # no pyarrow
        return made


def polars_columns(polars):
    return [polars.Series([0, 1, None, 0]), polars.Series([0.0, 1.0, None, 0.0]), polars.Series([False, True, None, False])]


def pyarrow_columns(pyarrow):
    values = [0.0, 1.0, None, 0.0]
    null_value = pyarrow.DictionaryArray.from_arrays([0, 1, 2, 0], pyarrow.array([0.0, 1.0, None]))
    return [
        *map(pyarrow.array, ([0, 1, None, 0], values, [False, True, None, False])),
        pyarrow.chunked_array([values[:1], values[1:]]),
        pyarrow.array(values).dictionary_encode(),
        null_value,
        pyarrow.chunked_array([null_value]),
    ]


COLUMNS = {"pandas": pandas_columns, "polars": polars_columns, "pyarrow": pyarrow_columns}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_tables_with_missing_values_are_refused(name):
    for column in COLUMNS[name](pytest.importorskip(name)):
        for entry in ("loss y_true", "metric y_true", "score y_true", "fit y", "evaluate y"):
            with pytest.raises(ValueError, match="lacks 1 of its 4 values, the first in row 2"):
                ENTRIES[entry](column)
        whole = np.array([0.0, 1.0, 2.0, 3.0])
        for rows in ([whole, column], (column, whole), [[column], [whole]], [column, column]):
            with pytest.raises(ValueError, match="lacks [12] of its 8 values"):
                losses.get("mse")(rows, np.zeros(np.shape(np.asarray(rows, object))[:2] + (4,)))


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_without_missing_values_are_accepted(name):
    module = pytest.importorskip(name)
    right = losses.get("mse")([0.0, 1.0, 3.0, 0.0], P)
    make = {"pandas": lambda: module.Series([0, 1, 3, 0], dtype="Int64"), "polars": lambda: module.Series([0, 1, 3, 0])}
    column = make.get(name, lambda: module.array([0, 1, 3, 0]))()
    assert losses.get("mse")(column, P) == right
    assert losses.get("mse")([column, column], [P, P]).shape == (), "a list of columns"
    assert losses.get("mse")([column, column], np.stack([P, P])) == pytest.approx(right)


def test_a_nan_in_a_column_of_pandas_is_a_number():
    pandas = pytest.importorskip("pandas")
    column = pandas.Series([0.0, np.nan, 1.0, 0.0])
    assert np.isnan(losses.get("mse")(column, P))
    assert np.isnan(losses.get("mse")([column, column], [P, P]))
    assert np.isnan(losses.get("mse")(pandas.DataFrame({"a": column, "b": column}), np.zeros((4, 2))))


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "double[pyarrow]"])
def test_tables_of_pandas_with_missing_values_are_refused(dtype):
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    for whole in ([1.0, 2.0, np.nan, 4.0], [1, 2, 3, 4]):
        table = pandas.DataFrame({"a": whole, "b": pandas.array([0, 1, None, 0], dtype=dtype)})
        with pytest.raises(ValueError, match="x lacks 1 of its 8 values, the first in row 2"):
            compiled().fit(table, T)


def test_tables_and_arrays_of_polars_with_missing_values_are_refused():
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0, 1, None, 0]})
    with pytest.raises(ValueError, match="x lacks 1 of its 8 values, the first in row 2"):
        compiled().fit(table, T)
    rows = [[0.0, 1.0], [2.0, 3.0], [4.0, None], [5.0, 6.0]]
    with pytest.raises(ValueError, match="x lacks 1 of its 8 values, the first in row 2"):
        compiled().fit(polars.Series(rows, dtype=polars.Array(polars.Float64, 2)), T)
    with pytest.raises(ValueError, match="lacks 1 of its 4 values, the first in row 2"):
        compiled().fit(polars.Series([*rows[:2], None, rows[3]], dtype=polars.Array(polars.Float64, 2)), T)
    deep = polars.Series([[row, row] for row in rows], dtype=polars.Array(polars.Float64, (2, 2)))
    with pytest.raises(ValueError, match="lacks 2 of its 16 values, the first in row 2"):
        losses.get("mse")(deep, np.zeros((4, 2, 2)))
    whole = polars.Series([[row[:1] * 2] * 2 for row in rows], dtype=polars.Array(polars.Float64, (2, 2)))
    assert losses.get("mse")(whole, np.zeros((4, 2, 2))) == pytest.approx(11.25)


def test_integers_among_other_objects_are_exact_or_refused():
    for values in ([2**53 + 1, 0.5], [0.5, np.int64(2**53 + 1)], [decimal.Decimal("0.5"), 2**53 + 1]):
        with pytest.raises(ValueError, match=f"contains {2**53 + 1} in row [01] among numbers .* float64 rounds it"):
            losses.get("mse")(np.array(values, object), np.zeros(2))
    assert losses.get("mse")(np.array([2**24, 0.5], object), [2.0**24, 0.5]) == 0


def test_infinite_decimals_are_numbers():
    decimals = np.array([decimal.Decimal("Infinity"), decimal.Decimal("1")], object)
    assert losses.get("mse")(decimals, [0.0, 1.0]) == np.inf
    assert np.isnan(losses.get("mse")(np.array([decimal.Decimal("NaN"), np.True_], object), [0.0, 1.0]))


@pytest.mark.parametrize("adapter", ["keras", "torch"])
def test_adapters_refuse_missing_and_masked_values(adapter):
    pytest.importorskip(adapter)
    import importlib

    module = importlib.import_module(f"plugfit.{adapter}")
    if adapter == "torch":
        import torch

        as_tensor = torch.tensor
        uses = (
            lambda array: module.Loss("mse")(array, as_tensor(P)),
            lambda array: module.Loss("mse")(as_tensor(T), as_tensor(P), array),
            lambda array: module.metric("mse").update(as_tensor(P), array),
            lambda array: optimizers.ForeignOptimizer(torch.optim.SGD([torch.zeros(1)], 0.1)).apply([array], [np.zeros(4, np.float32)]),
        )
    else:
        import keras

        uses = (
            lambda array: module.loss("mse")(array, P),
            lambda array: module.loss("mse")(T, array),
            lambda array: module.loss("mse")(T[:, None], P[:, None], array),
            lambda array: module.metric("mse").update_state(array, P),
            lambda array: module.metric("mse").update_state(T, array),
            lambda array: module.metric("mse").update_state(T[:, None], P[:, None], sample_weight=array),
            lambda array: module.optimizer("SGD").apply([array], [keras.Variable(np.zeros(4, np.float32))]),
            lambda array: optimizers.ForeignOptimizer(keras.optimizers.SGD()).apply([array], [np.zeros(4, np.float32)]),
        )
    for use in uses:
        for array in MISSING.values():
            with pytest.raises(ValueError, match="lacks 1 of its 4 values, the first in row 2"):
                use(array)
        for array in NO_NUMBERS.values():
            with pytest.raises(TypeError):
                use(array)
