"""The functions that XLA calls, in frames like those of XLA: what they write, and what they refuse."""

import ctypes
import json

import numpy as np
import pytest

import plugfit
from plugfit import _native

c_int, c_size, c_void = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p


def structure(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": [("struct_size", c_size), ("extension", c_void), *fields]})


Buffer = structure("Buffer", ("dtype", c_int), ("data", c_void), ("rank", ctypes.c_int64), ("dims", c_void))
Buffers = structure("Buffers", ("size", ctypes.c_int64), ("types", c_void), ("buffers", c_void))
Attributes = structure("Attributes", ("size", ctypes.c_int64), ("types", c_void), ("names", c_void), ("values", c_void))
ErrorArguments = structure("ErrorArguments", ("message", ctypes.c_char_p), ("code", c_int))
Version = structure("Version", ("major", c_int), ("minor", c_int))
Create = ctypes.CFUNCTYPE(c_void, ctypes.POINTER(ErrorArguments))
Api = structure("Api", ("version", Version), ("internal", c_void), ("error_create", Create))
Call = structure(
    "Call", ("api", c_void), ("context", c_void), ("stage", c_int), ("arguments", Buffers), ("results", Buffers), ("attributes", Attributes)
)


class Metadata(ctypes.Structure):
    _fields_ = [("struct_size", c_size), ("version", Version), ("traits", ctypes.c_uint32)]


class Extension(ctypes.Structure):
    _fields_ = [("struct_size", c_size), ("kind", c_int), ("next", c_void), ("metadata", c_void)]


class Span(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("length", c_size)]


DTYPES = {"bool": 1, "int16": 3, "int32": 4, "int64": 5, "uint8": 6, "uint64": 9, "float32": 11, "float64": 12}


def handler(name):
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = c_void, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(c_void, c_void)(pointer(_native.xla_targets()[name], b"xla._CUSTOM_CALL_TARGET"))


def call(name, arguments, results, attributes, change=lambda frame: None):
    """Calls a function, which writes to ``results``. ``change`` changes the frame before. Raises ValueError for an error
    of XLA."""
    kept, errors = [], []

    def pointer(value):
        kept.append(value)
        return ctypes.addressof(value)

    def array_of(kind, values):
        return pointer((kind * max(len(values), 1))(*values))

    def buffers(arrays):
        made = []
        for array in arrays:
            dims = array_of(ctypes.c_int64, array.shape)
            made.append(pointer(Buffer(ctypes.sizeof(Buffer), None, DTYPES[array.dtype.name], array.ctypes.data, array.ndim, dims)))
        return Buffers(ctypes.sizeof(Buffers), None, len(made), array_of(c_int, [1] * len(made)), array_of(c_void, made))

    def spans(texts):
        return array_of(c_void, [pointer(Span(text.encode(), len(text.encode()))) for text in texts])

    count = len(attributes)
    types = array_of(c_int, [4] * count)
    given = Attributes(ctypes.sizeof(Attributes), None, count, types, spans(attributes), spans(attributes.values()))

    @Create
    def create(error):
        errors.append(error.contents.message.decode())
        return 1

    api = Api(ctypes.sizeof(Api), None, Version(), None, create)
    arrays = [np.asarray(array, order="C") for array in arguments]
    frame = Call(ctypes.sizeof(Call), None, pointer(api), None, 3, buffers(arrays), buffers(results), given)
    frame.pointer = pointer
    change(frame)
    if handler(name)(ctypes.addressof(frame)) is not None:
        raise ValueError(errors[0])
    assert not errors
    return results


def places(*shapes, dtype="f"):
    """Returns results whose places aren't written yet."""
    return [np.full(shape, 77.0, dtype) for shape in shapes]


def schedule(step, results=None, **others):
    attributes = {"identifier": json.dumps({"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 10}})}
    attributes = {**attributes, "digest": _native.xla_digest("schedule", "CosineDecay"), **others.pop("attributes", {})}
    return call("plugfit_schedule", [step], places(()) if results is None else results, attributes, **others)[0]


def loss(arguments, results, reduction="sum_over_batch_size", config=(), **others):
    identifier = {"class_name": "MeanSquaredError", "config": {"reduction": reduction, **dict(config)}}
    digest = _native.xla_digest("loss", "MeanSquaredError")
    attributes = {"identifier": json.dumps(identifier), "digest": digest, "inputs": "y_pred y_true", **others}
    return call("plugfit_loss", arguments, results, attributes)


def metric_result(metric, names, results, undefined=0.0):
    attributes = {"number": str(_native.xla_metric_number(metric)), "names": json.dumps(names), "undefined": json.dumps(undefined)}
    return call("plugfit_metric_result", [np.float32(1)], results, attributes)


def optimizer_step(arguments, results, present, name="SGD"):
    made = plugfit.optimizers.get(name)
    made._describe([str(index) for index in range(len(results))], [])
    attributes = {"number": str(_native.xla_optimizer_number(made, None)), "present": json.dumps(present)}
    return call("plugfit_optimizer", arguments, results, attributes)


EXPECTED = plugfit.schedules.CosineDecay(0.1, 10)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint64", "uint8", "float32", "float64"])
def test_a_step_of_each_dtype_has_its_learning_rate(dtype):
    np.testing.assert_allclose(schedule(np.array(3, dtype)), EXPECTED(3), rtol=1e-6)


def test_a_negative_step_counts_as_zero_and_a_truth_value_is_a_number():
    np.testing.assert_allclose(schedule(np.int32(-3)), 0.1, rtol=1e-6)
    np.testing.assert_allclose(schedule(np.bool_(True)), EXPECTED(1), rtol=1e-6)


@pytest.mark.parametrize("step", [1.5, np.nan, np.inf, -0.5])
def test_a_step_that_is_not_whole_is_refused(step):
    with pytest.raises(ValueError, match="whole number"):
        schedule(np.float32(step))


def test_a_step_is_a_single_number():
    for step in (np.zeros(2, np.int32), np.zeros(0, np.int32)):
        with pytest.raises(ValueError, match="for a number"):
            schedule(step)
    with pytest.raises(ValueError, match="dtype"):
        schedule(np.int16(1))
    with pytest.raises(ValueError, match="too large"):
        schedule(np.float64(1e30))


def test_results_have_the_shapes_and_the_count_of_the_compiled_function():
    for results in (places((2,)), places((1,))):
        with pytest.raises(ValueError, match="shape"):
            schedule(np.int32(1), results)
    for results in ([], places((), ())):
        with pytest.raises(ValueError, match="results"):
            schedule(np.int32(1), results)
    batch = [np.ones((4, 2), "f"), np.zeros((4, 2), "f")]
    value, gradient = loss(batch, places((), (4, 2)))
    assert value == 1 and (gradient == 0.25).all()
    assert (loss(batch, places((4,)), "none")[0] == 1).all()
    for results, reduction in (([(4,)], "sum"), ([(5,)], "none"), ([(4, 1)], "none"), ([()], "none"), ([(), (2, 4)], "sum"), ([(), (4, 2), ()], "sum")):
        with pytest.raises(ValueError, match="shape|results"):
            loss(batch, places(*results), reduction)


def test_a_function_that_was_compiled_for_another_plugin_is_refused_also_if_the_component_is_in_use():
    batch, config = [np.ones((4, 2), "f"), np.zeros((4, 2), "f")], {"name": "in_use"}
    loss(batch, places(()), config=config)
    with pytest.raises(ValueError, match="another plug-in"):
        loss(batch, places(()), config=config, digest="0" * 64)
    assert schedule(np.int32(0)) == np.float32(0.1)
    with pytest.raises(ValueError, match="another plug-in"):
        schedule(np.int32(0), attributes={"digest": "0" * 64})


def test_a_metric_writes_all_results_or_none():
    mean, labels = plugfit.metrics.Mean(), np.eye(3, dtype="f")
    np.testing.assert_array_equal(metric_result(mean, [], places((), ))[0], 0)
    np.testing.assert_array_equal(metric_result(mean, [], places((3,)))[0], 0)
    mean.update_state([5.0])
    assert metric_result(mean, [], places(()))[0] == 5
    f1 = plugfit.metrics.F1Score()
    f1.update_state(labels, labels)
    assert (metric_result(f1, [], places((3,)))[0] == 1).all()
    assert metric_result(f1, [], places((3,), dtype="float64"))[0].dtype == np.float64
    for metric, names, shapes in (
        (mean, [], [(3,)]),
        (mean, [], [(1,)]),
        (mean, ["a", "b"], [(), ()]),
        (f1, ["a", "b", "c"], [(), (), ()]),
        (f1, [], [()]),
        (f1, [], [(2,)]),
        (f1, [], [(3, 1)]),
    ):
        results = places(*shapes)
        with pytest.raises(ValueError, match="run_eagerly=True"):
            metric_result(metric, names, results)
        assert all((result == 77).all() for result in results)
    with pytest.raises(ValueError, match="results"):
        metric_result(mean, [], places((), ()))


def test_the_learning_rate_may_have_any_dtype_of_numbers():
    for rate in (np.float32(2), np.float64(2), np.int32(2), np.int64(2), np.uint64(2), np.uint8(2)):
        assert optimizer_step([np.ones(3, "f"), np.ones(3, "f"), rate], places((3,)), [True])[0].tolist() == [-1] * 3
    for rate in (np.ones(2, "f"), np.ones(0, "f")):
        with pytest.raises(ValueError, match="for a number"):
            optimizer_step([np.ones(3, "f"), np.ones(3, "f"), rate], places((3,)), [True])
    with pytest.raises(ValueError, match="float64 rounds"):
        optimizer_step([np.ones(3, "f"), np.ones(3, "f"), np.int64(2**53 + 1)], places((3,)), [True])


def test_a_step_needs_a_result_for_each_parameter_and_gradients_of_their_shapes():
    one, two, rate = np.ones(3, "f"), np.ones((2, 2), "f"), np.float32(1)
    found = optimizer_step([one, two, two, rate], places((3,), (2, 2)), [False, True])
    assert found[0].tolist() == [1, 1, 1] and (found[1] == 0).all()
    for arguments, shapes, present, text in (
        ([one, two, two, rate], [(3,), (2, 2)], [True], "arrays"),
        ([one, two, two, rate], [(3,)], [True], "arrays"),
        ([one, two, two], [(3,), (2, 2)], [True, True], "arrays"),
        ([one, two, one, two, rate, rate], [(3,), (2, 2)], [True, True], "arrays"),
        ([one, two, two, one, rate], [(3,), (2, 2)], [True, True], "shape"),
        ([one, two, np.ones(4, "f"), rate], [(3,), (2, 2)], [False, True], "shape"),
        ([one, one, rate], [(4,)], [True], "shape"),
        ([one.astype("d"), one, rate], [(3,)], [True], "dtype"),
    ):
        results = places(*shapes)
        with pytest.raises(ValueError, match=text):
            optimizer_step(arguments, results, present)


def test_a_frame_of_another_version_is_refused():
    def buffer(frame):
        return Buffer.from_address(c_void.from_address(frame.arguments.buffers).value)

    def shorter(part):
        def change(frame):
            part(frame).struct_size -= 1

        return change

    for part in (lambda frame: frame, lambda frame: frame.arguments, lambda frame: frame.results, lambda frame: frame.attributes, buffer):
        with pytest.raises(ValueError, match="bytes"):
            schedule(np.int32(1), change=shorter(part))
    for part in (lambda frame: frame.arguments, lambda frame: frame.results, lambda frame: frame.attributes):
        with pytest.raises(ValueError, match="-1"):
            schedule(np.int32(1), change=lambda frame: setattr(part(frame), "size", -1))
    with pytest.raises(ValueError, match="-1 axes"):
        schedule(np.int32(1), change=lambda frame: setattr(buffer(frame), "rank", -1))
    with pytest.raises(ValueError, match="type 2"):
        schedule(np.int32(1), change=lambda frame: setattr(c_int.from_address(frame.arguments.types), "value", 2))

    def negative(frame):
        buffer(frame).rank, buffer(frame).dims = 1, frame.pointer(ctypes.c_int64(-4))

    with pytest.raises(ValueError, match="shape"):
        schedule(np.int32(1), change=negative)


def test_the_version_is_declared_in_the_fields_that_there_are():
    for traits in (True, False):
        metadata = Metadata(36 if traits else 32, Version(), 5)
        extension = Extension(ctypes.sizeof(Extension), 1, None, ctypes.addressof(metadata))
        frame = Call(ctypes.sizeof(Call), ctypes.addressof(extension))
        assert handler("plugfit_loss")(ctypes.addressof(frame)) is None
        assert (metadata.version.major, metadata.version.minor, metadata.traits) == (0, 1, 0 if traits else 5)
    metadata = Metadata(31, Version(0, None, 9, 9), 5)
    extension.metadata = ctypes.addressof(metadata)
    assert handler("plugfit_loss")(ctypes.addressof(frame)) is None
    assert (metadata.version.major, metadata.traits) == (9, 5)


def test_a_text_says_what_is_wrong_with_an_attribute():
    def of_another_type(frame):
        c_int.from_address(frame.attributes.types).value = 3

    with pytest.raises(ValueError, match="the attribute identifier isn't a text"):
        schedule(np.int32(1), change=of_another_type)
    made, mean = plugfit.optimizers.SGD(), plugfit.metrics.Mean()
    with pytest.raises(ValueError, match="the attribute present can't be read: "):
        call("plugfit_optimizer", [], [], {"number": str(_native.xla_optimizer_number(made, None)), "present": "[1"})
    with pytest.raises(ValueError, match="XLA passed no attribute inputs"):
        call("plugfit_metric_update", [np.float32(1)], places(()), {"number": str(_native.xla_metric_number(mean))})
