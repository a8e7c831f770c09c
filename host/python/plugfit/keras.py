"""Components as Keras's own classes: ``model.compile(optimizer=plugfit.keras.optimizer("Prodigy", weight_decay=0.01), ...)``.

Losses, metrics and optimizers here are real ``keras.losses.Loss``, ``keras.metrics.Metric`` and ``keras.optimizers.Optimizer``, on Keras's
JAX and PyTorch backends; within a compiled JAX function they are called back on the CPU. They serialize by their identifier; a Python
function by the name that Keras knows it by (``keras.saving.register_keras_serializable``).
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np

import keras

from . import losses as _losses
from . import metrics as _metrics
from . import optimizers as _optimizers
from . import schedules as _schedules

# What Keras serialized is found, from the first on.
for _registry in (_losses._registry, _metrics._registry, _optimizers._registry, _schedules._registry):
    for _class in _registry.classes.values():
        _class._let_keras_know()

__all__ = ["Loss", "Metric", "Optimizer", "loss", "metric", "optimizer"]


def _backend():
    name = keras.backend.backend()
    if name not in ("jax", "torch"):
        raise NotImplementedError(f"plugfit.keras is for Keras's jax and torch backends, not {name}")
    return name


def _to_numpy(tensor, dtype=None):
    # With a dtype of its own, not Keras's float32.
    array = keras.ops.convert_to_numpy(tensor) if not isinstance(tensor, np.ndarray) else tensor
    return array if dtype is None else np.asarray(array, dtype)


def _identifier(component):
    config = component.get_config()
    if component._function is None:
        return {"class_name": component._spec["class_name"], "config": config}
    if getattr(component._function, "_is_of_a_class", False):
        raise ValueError(f"{component.name} is of a class of one's own, which can't be serialized")
    if component._given_dtype is not None:
        config["dtype"] = component._given_dtype
    # By the name that Keras knows the function by.
    return {**config, "fn": keras.saving.serialize_keras_object(config["fn"])}


def _identified(module, wrapper, identifier):
    if isinstance(identifier, dict) and "fn" in identifier:
        function = identifier["fn"]
        return wrapper(**{**identifier, "fn": function if callable(function) else keras.saving.deserialize_keras_object(function)})
    return module.get(identifier)


@keras.saving.register_keras_serializable("plugfit")
class Loss(keras.losses.Loss):
    """A loss of plugfit's as Keras's."""

    def __init__(self, identifier, name=None, reduction=None, dtype=None):
        self._loss = _identified(_losses, _losses.LossFunctionWrapper, identifier)
        super().__init__(name=name or self._loss.name, reduction=reduction or self._loss.reduction, dtype=dtype)
        if reduction is not None and reduction != self._loss.reduction:
            self._loss = type(self._loss)._of(_losses._with_reduction(self._loss, reduction), self._loss._function)

    def __call__(self, y_true, y_pred, sample_weight=None):
        mask = keras.src.backend.get_keras_mask(y_pred)
        if isinstance(y_pred, (np.ndarray, list, tuple)):
            y_pred = keras.ops.convert_to_tensor(y_pred)
        reduced = _jax_loss if _backend() == "jax" else _torch_loss
        return reduced(self._loss, y_true, y_pred, sample_weight, mask)

    def call(self, y_true, y_pred):
        """The values, not reduced."""
        return keras.ops.convert_to_tensor(self._loss.call(_to_numpy(y_true), _to_numpy(y_pred)))

    def get_config(self):
        """The identifier, and what is Keras's own."""
        return {"identifier": _identifier(self._loss), "name": self.name, "reduction": self._loss.reduction}


def _value_and_slopes(loss, y_true, y_pred, sample_weight, mask, cotangent=None):
    """The loss in float32, and what the cotangent pulls back to ``y_pred``; none is 1."""
    value, slopes = loss.value_and_gradient(y_true, y_pred, sample_weight, mask)
    if cotangent is None:
        return value, slopes
    if np.ndim(value) == 0:
        return value, slopes * np.float32(cotangent)
    # Not reduced: the cotangent weighs the values.
    weight = np.asarray(cotangent, np.float32)
    if sample_weight is not None:
        given = np.asarray(sample_weight, np.float32)
        weight = weight * given.reshape(given.shape + (1,) * (weight.ndim - given.ndim))
    return value, loss.gradient(y_true, y_pred, weight, mask)


def _jax_loss(loss, y_true, y_pred, sample_weight, mask):
    import jax
    import jax.numpy as jnp

    y_true, y_pred = jnp.asarray(y_true), jnp.asarray(y_pred)
    others = {"y_true": y_true}
    if sample_weight is not None:
        others["sample_weight"] = jnp.asarray(sample_weight)
    if mask is not None:
        others["mask"] = jnp.asarray(mask)

    def arguments(others, y_pred):
        others = {name: np.asarray(array) for name, array in others.items()}
        return others["y_true"], np.asarray(y_pred), others.get("sample_weight"), others.get("mask")

    shape = ()
    if loss.reduction == "none":
        # The shape of the values follows from the shapes alone.
        shape = np.shape(loss(*(None if a is None else np.zeros(a.shape, a.dtype) for a in (
            y_true, y_pred, others.get("sample_weight"), others.get("mask")))))
    of_value = jax.ShapeDtypeStruct(shape, jnp.float32)
    of_slopes = jax.ShapeDtypeStruct(y_pred.shape, jnp.float32)

    def call(others, y_pred):
        return np.asarray(loss(*arguments(others, y_pred)), np.float32)

    def call_both(others, y_pred):
        value, slopes = _value_and_slopes(loss, *arguments(others, y_pred))
        return np.asarray(value, np.float32), slopes

    def call_pulled(others, y_pred, cotangent):
        return _value_and_slopes(loss, *arguments(others, y_pred), np.asarray(cotangent))[1]

    @jax.custom_vjp
    def value_of(y_pred, others):
        return jax.pure_callback(call, of_value, others, y_pred)

    def forward(y_pred, others):
        if shape == ():
            value, slopes = jax.pure_callback(call_both, (of_value, of_slopes), others, y_pred)
            return value, (slopes, y_pred, others)
        return value_of(y_pred, others), (None, y_pred, others)

    def backward(kept, cotangent):
        slopes, y_pred, others = kept
        if slopes is None:
            slopes = jax.pure_callback(call_pulled, of_slopes, others, y_pred, cotangent)
        else:
            slopes = slopes * cotangent
        return slopes.astype(y_pred.dtype), None

    value_of.defvjp(forward, backward)
    return value_of(y_pred, others)


def _torch_loss(loss, y_true, y_pred, sample_weight, mask):
    from . import torch as _torch

    return _torch.Loss(loss)(y_true, y_pred, sample_weight, mask)


@keras.saving.register_keras_serializable("plugfit")
class Metric(keras.metrics.Metric):
    """A metric of plugfit's as Keras's. What it has seen is kept beside Keras's variables: in a compiled JAX function it is updated by a
    callback, in order."""

    def __init__(self, identifier, name=None, dtype=None):
        # A copy, so that two models don't share what they have seen.
        self._metric = _copy(_identified(_metrics, _metrics.MeanMetricWrapper, identifier))
        self._like = None
        super().__init__(name=name or self._metric.name, dtype=dtype)
        # Keras takes a metric without variables for one that wasn't made.
        self._updates = self.add_weight(shape=(), initializer="zeros", name="updates")

    def update_state(self, *args, **kwargs):
        """As the plug-in's metric takes it: ``y_true, y_pred, sample_weight=None``, or ``values, sample_weight=None``."""
        args = [None if argument is None else keras.ops.convert_to_tensor(argument) for argument in args]
        kwargs = {name: None if argument is None else keras.ops.convert_to_tensor(argument) for name, argument in kwargs.items()}
        if _backend() == "jax" and _is_traced(args, kwargs):
            from jax.experimental import io_callback

            self._probe(args, kwargs)
            io_callback(self._update, None, args, kwargs, ordered=True)
        else:
            self._update([_or_none(argument) for argument in args], {name: _or_none(arg) for name, arg in kwargs.items()})
        self._updates.assign_add(1)

    def _update(self, args, kwargs):
        self._metric.update_state(
            *(None if argument is None else np.asarray(argument) for argument in args),
            **{name: None if argument is None else np.asarray(argument) for name, argument in kwargs.items()},
        )

    def _probe(self, args, kwargs):
        """Finds out what results look like, from a batch of ones: a compiled function must know before there is one."""
        ones = lambda argument: None if argument is None else np.ones(argument.shape, argument.dtype)
        metric = _copy(self._metric)
        try:
            metric.update_state(*map(ones, args), **{name: ones(argument) for name, argument in kwargs.items()})
        except ValueError:  # values that can't be, as a class id of 1 where there is one class
            return
        self._like = metric.result()

    def result(self):
        """What it has come to, in float32: a tensor, or a dict of them."""
        if _backend() == "jax" and _is_traced([self._updates.value], {}):
            import jax
            from jax.experimental import io_callback

            like = self._metric.result() if self._like is None else self._like
            shapes = jax.tree.map(lambda value: jax.ShapeDtypeStruct(np.shape(value), np.float32), like)
            return io_callback(lambda: self._result(shapes), shapes, ordered=True)
        return keras.tree.map_structure(lambda value: keras.ops.convert_to_tensor(np.asarray(value, np.float32)), self._metric.result())

    def _result(self, shapes):
        result = self._metric.result()
        if isinstance(shapes, dict):
            return {name: np.float32(result[name]) for name in shapes}
        # Where nothing is defined yet, one number stands for all.
        return np.broadcast_to(np.asarray(result, np.float32), shapes.shape)

    def reset_state(self):
        """Forgets what it has seen."""
        self._metric.reset_state()
        super().reset_state()

    def get_config(self):
        """The identifier, and what is Keras's own."""
        return {"identifier": _identifier(self._metric), "name": self.name}


def _copy(component):
    return type(component)._of(component._identifier, component._function, component._given_dtype)


def _or_none(tensor):
    return None if tensor is None else _to_numpy(tensor)


def _is_traced(args, kwargs):
    import jax

    return any(isinstance(argument, jax.core.Tracer) for argument in [*args, *kwargs.values()])


def _setting(key):
    """A setting of the plug-in's, which sees to it, under Keras's name."""

    def read(self):
        return self._optimizer.get_config().get(key)

    def write(self, value):
        # Keras's own beginning comes before there is an optimizer.
        if "_optimizer" in self.__dict__:
            raise AttributeError(f"{key} is set where the optimizer is made")

    return property(read, write)


@keras.saving.register_keras_serializable("plugfit")
class Optimizer(keras.optimizers.Optimizer):
    """An optimizer of plugfit's as Keras's. The slots are kept beside Keras's variables, and saved with them."""

    def __init__(self, identifier, name=None):
        given = _optimizers.get(identifier)
        if not isinstance(given, _optimizers.Optimizer):
            raise ValueError("this is an optimizer of another framework, which Keras can't have from here")
        if type(given).__name__ == "LossScaleOptimizer":
            raise ValueError("give the inner optimizer, and put Keras's own LossScaleOptimizer around what comes of it")
        made = given._unstepped()
        config = made.get_config()
        rate = config.get("learning_rate", 0.001)
        if isinstance(rate, dict):
            # Keras shows it; the steps are the plug-in's.
            rate = keras.optimizers.schedules.deserialize(rate) if rate.get("module") else made.learning_rate
        super().__init__(learning_rate=rate, name=name or made.name)
        self._optimizer = made
        self._steps_of_an_update = config.get("gradient_accumulation_steps")
        self._given_rate = made.learning_rate
        self._loaded_names = None

    @property
    def loss_scale_factor(self):
        """What gradients are divided by; can be set before the first step, as optimizers around this one do."""
        return self._optimizer.get_config().get("loss_scale_factor")

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor):
        # Keras's own beginning comes before there is an optimizer.
        if "_optimizer" not in self.__dict__ or factor == self.loss_scale_factor:
            return
        if self._optimizer._is_built:
            raise AttributeError("loss_scale_factor is set before the first step")
        self._optimizer = self._optimizer._unstepped(loss_scale_factor=factor)

    weight_decay = _setting("weight_decay")
    clipnorm = _setting("clipnorm")
    clipvalue = _setting("clipvalue")
    global_clipnorm = _setting("global_clipnorm")

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """As Keras's."""
        self._optimizer.exclude_from_weight_decay(var_list, var_names)

    def update_step(self, gradient, variable, learning_rate):
        """Not there: a step sees to all variables at once."""
        raise NotImplementedError("a step sees to all variables at once: call apply")

    def _names(self):
        if self._loaded_names is not None:
            # A layer may be called otherwise in a loaded model; the slots are those of the names then.
            return self._loaded_names
        names = [variable.path for variable in self._trainable_variables]
        return names if len(set(names)) == len(names) else [f"{name}#{i}" for i, name in enumerate(names)]

    def apply(self, grads, trainable_variables=None):
        """A step over all variables, in one call of the plug-in."""
        grads = list(grads)
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        else:
            trainable_variables = list(trainable_variables)
            if not self.built:
                with keras.name_scope(self.name):
                    self.build(trainable_variables)
        replaced = self._replace(trainable_variables, grads)
        values = [keras.ops.convert_to_tensor(variable) for variable in trainable_variables]
        present = [grad is not None for grad in grads]
        grads = [keras.ops.convert_to_tensor(grad, sparse=False) for grad in grads if grad is not None]
        rate = None if self._optimizer_has_schedule() else keras.ops.convert_to_tensor(self.learning_rate)
        if replaced and not grads:
            updated = values
        elif _backend() == "jax" and _is_traced([*values, *grads], {}):
            import jax
            from jax.experimental import io_callback

            shapes = [jax.ShapeDtypeStruct(value.shape, np.float32) for value in values]
            step = lambda values, grads, rate: self._step(values, grads, present, rate, replaced)
            updated = io_callback(step, shapes, values, grads, rate, ordered=True)
        else:
            updated = self._step([_to_numpy(v) for v in values], [_to_numpy(g) for g in grads], present, _or_none(rate), replaced)
        for variable, value in zip(trainable_variables, updated):
            self.assign(variable, keras.ops.cast(keras.ops.convert_to_tensor(value), variable.dtype))
            if variable.constraint is not None:
                self.assign(variable, variable.constraint(variable))
        self.assign_add(self._iterations, 1)

    def _replace(self, variables, grads):
        """Writes to variables that are replaced by their gradients (scales of float8 layers), which are left out of ``grads`` then; whether
        there are any."""
        replaced = [index for index, variable in enumerate(variables) if self._overwrite_variable_with_gradient(variable)]
        for index in replaced:
            if grads[index] is not None:
                if self._steps_of_an_update:
                    raise NotImplementedError(f"{variables[index].path} is replaced by its gradient, of which there are no sums")
                self.assign(variables[index], grads[index])
                grads[index] = None
        return bool(replaced)

    @property
    def iterations(self):
        """Updates made: of several steps where gradients are accumulated."""
        steps = self._steps_of_an_update
        return keras.ops.floor_divide(self._iterations, steps) if steps else self._iterations

    def scale_loss(self, loss):
        """Multiplied by the plug-in's loss_scale_factor, which a step divides gradients by."""
        return loss * self._optimizer.loss_scale

    def _optimizer_has_schedule(self):
        return isinstance(self._optimizer._rate(), dict)

    def _step(self, values, grads, present, rate, replaced):
        grads = iter(grads)
        params = [np.array(value, np.float32, order="C") for value in values]
        if rate is not None and float(rate) != self._given_rate:
            self._optimizer.learning_rate = self._given_rate = float(rate)
        # float32 where the model computes in less. Of variables that are replaced no gradient is missed.
        step = self._optimizer._step if replaced else self._optimizer.apply
        step([np.asarray(next(grads), np.float32) if has else None for has in present], params, self._names())
        return params

    def finalize_variable_values(self, var_list):
        """Moves the variables to where they shall be evaluated, when training is over."""
        params = [np.array(_to_numpy(variable), np.float32, order="C") for variable in var_list]
        self._optimizer.finalize(params)
        for variable, value in zip(var_list, params):
            variable.assign(value)

    def save_own_variables(self, store):
        """Saves Keras's variables and the plug-in's state."""
        super().save_own_variables(store)
        store["plugfit"] = np.frombuffer(self._optimizer.get_state(), np.uint8)
        store["plugfit_names"] = np.frombuffer(json.dumps(self._names()).encode(), np.uint8)

    def load_own_variables(self, store):
        """Goes on from what save_own_variables wrote."""
        if "plugfit" not in store.keys():
            warnings.warn(f"{self.name} begins anew: what was saved is another optimizer's state", stacklevel=2)
            return
        kept = {name: store[name] for name in store.keys() if not name.startswith("plugfit")}
        super().load_own_variables(kept)
        # Its slots may be of parameters of other names.
        self._optimizer = self._optimizer._unstepped()
        self._loaded_names = tuple(json.loads(np.asarray(store["plugfit_names"], np.uint8).tobytes()))
        self._optimizer.set_state(np.asarray(store["plugfit"], np.uint8).tobytes())
        self._given_rate = self._optimizer.learning_rate

    def get_config(self):
        """The identifier, and what is Keras's own."""
        return {"identifier": json.loads(json.dumps(_identifier(self._optimizer))), "name": self.name}


def loss(identifier: Any, *, name=None, reduction=None, dtype=None, **settings: Any) -> Loss:
    """A loss by its identifier, to compile a Keras model with; by its name it takes settings: ``loss("Huber", delta=2.0)``."""
    return Loss(_with(identifier, settings), name=name, reduction=reduction, dtype=dtype)


def metric(identifier: Any, *, name=None, dtype=None, **settings: Any) -> Metric:
    """A metric by its identifier, to compile a Keras model with; by its name it takes settings: ``metric("Precision", top_k=3)``."""
    return Metric(_with(identifier, settings), name=name, dtype=dtype)


def optimizer(identifier: Any, *, name=None, **settings: Any) -> Optimizer:
    """An optimizer by its identifier, to compile a Keras model with; by its name it takes settings: ``optimizer("SGD", momentum=0.9)``."""
    return Optimizer(_with(identifier, settings), name=name)


def _with(identifier, settings):
    if not settings:
        return identifier
    if isinstance(identifier, str):
        return {"class_name": identifier, "config": settings}
    if isinstance(identifier, dict) and "class_name" in identifier:
        return {**identifier, "config": {**(identifier.get("config") or {}), **settings}}
    raise TypeError(f"{', '.join(settings)} can be set for what is given by its name, not for {identifier!r}")
