"""The optimizers of other frameworks, for arrays: steps, learning rates and states."""

from __future__ import annotations

import inspect

import numpy as np

from . import _config


def framework_of(optimizer):
    """Returns the framework's side of an optimizer, or None if it is of no known framework."""
    if isinstance(optimizer, type):
        return None
    if hasattr(optimizer, "param_groups") and hasattr(optimizer, "defaults"):
        return Torch(optimizer)
    if not hasattr(optimizer, "apply_gradients"):
        return None
    if _config.is_keras(optimizer):
        return Keras(optimizer)
    modules = {cls.__module__ for cls in type(optimizer).__mro__}
    return Tensorflow(optimizer) if "tensorflow.python.training.optimizer" in modules else None


def _shapes(arrays):
    return [tuple(np.shape(array)) for array in arrays]


def _check_step(grads, arrays, variables):
    """Raises ValueError if a gradient hasn't the shape of its array, or if the arrays haven't those of the variables
    that the optimizer has for them, if any."""
    if len(grads) != len(arrays):
        raise ValueError(f"there are {len(grads)} gradients for {len(arrays)} parameters")
    for index, (grad, array) in enumerate(zip(grads, arrays)):
        if grad is not None and np.shape(grad) != array.shape:
            raise ValueError(f"grads[{index}] has the shape {np.shape(grad)}, its parameter has {array.shape}")
    if variables is not None:
        _check_arrays(arrays, variables)


def _check_arrays(arrays, variables):
    """Raises ValueError if the arrays haven't the shapes of the variables."""
    found, known = _shapes(arrays), _shapes(variables)
    if found != known:
        raise ValueError(f"the optimizer belongs to parameters of the shapes {known}, and not {found}")


def _check_state(state, current):
    """Raises ValueError if the arrays of a state haven't the shapes of the current ones."""
    found, known = _shapes(state), _shapes(current)
    if found != known:
        raise ValueError(f"the state doesn't fit the optimizer: its arrays have the shapes {found}, and not {known}")


class Torch:
    """An optimizer of torch.optim. Another one of its class and settings is used, for tensors that share the arrays'
    memory."""

    def __init__(self, given):
        self._given, self._made = given, None
        self.variables = None

    def settings(self):
        # Some defaults aren't arguments of the class. Changes by a scheduler or the user are in the group.
        taken = inspect.signature(type(self._given)).parameters
        settings = {**self._given.defaults, **self._given.param_groups[0]}
        return {key: value for key, value in settings.items() if key in taken and key not in ("params", "differentiable")}

    def step(self, grads, arrays, names):
        import torch

        _check_step(grads, arrays, self.variables)
        if self._made is None:
            self.variables = [torch.nn.Parameter(torch.from_numpy(array)) for array in arrays]
            self._made = type(self._given)(self.variables, **self.settings())
        for variable, array, grad in zip(self.variables, arrays, grads):
            variable.data = torch.from_numpy(array)
            variable.grad = None if grad is None else torch.from_numpy(np.array(grad))
        self._made.step()

    @property
    def learning_rate(self):
        return (self._made or self._given).param_groups[0]["lr"]

    @learning_rate.setter
    def learning_rate(self, rate):
        for optimizer in filter(None, (self._given, self._made)):
            optimizer.defaults["lr"] = rate
            for group in optimizer.param_groups:
                group["lr"] = rate

    def finalize(self, arrays):
        pass

    def state(self):
        return None if self._made is None else self._made.state_dict()

    def restore(self, state):
        if state is None:
            self._made = self.variables = None
            return
        if self._made is None:
            raise _unstepped()
        # PyTorch compares only the number of parameters.
        current = self._made.state_dict()["state"]
        for index, slots in state["state"].items():
            known = current.get(index, {})
            names = [name for name in slots if name in known]
            _check_state([slots[name] for name in names], [known[name] for name in names])
        self._made.load_state_dict(state)


class Keras:
    """An optimizer of Keras. Another one of its class and configuration is used, for variables of its own."""

    def __init__(self, given):
        self._given, self._made = given, None
        self.variables = None

    def settings(self):
        return self._given.get_config()

    def step(self, grads, arrays, names):
        import keras

        _check_step(grads, arrays, self.variables)
        if self._made is None:
            self.variables = [keras.Variable(array, name=str(name).replace("/", "_")) for array, name in zip(arrays, names)]
            self._made = type(self._given).from_config(self._given.get_config())
            self._made.build(self.variables)
        pairs = []
        for variable, array, grad in zip(self.variables, arrays, grads):
            variable.assign(array)
            pairs.append((None if grad is None else keras.ops.convert_to_tensor(grad), variable))
        self._made.apply_gradients(pairs)
        for variable, array in zip(self.variables, arrays):
            array[...] = keras.ops.convert_to_numpy(variable)

    @property
    def learning_rate(self):
        return np.asarray((self._made or self._given).learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate):
        for optimizer in filter(None, (self._given, self._made)):
            optimizer.learning_rate = rate

    def finalize(self, arrays):
        if self._made is None:
            return
        _check_arrays(arrays, self.variables)
        self._made.finalize_variable_values(self.variables)
        for variable, array in zip(self.variables, arrays):
            array[...] = np.asarray(variable)

    def state(self):
        return None if self._made is None else [np.asarray(variable) for variable in self._made.variables]

    def restore(self, state):
        if state is None:
            self._made = self.variables = None
            return
        if self._made is None:
            raise _unstepped()
        _check_state(state, self._made.variables)
        for variable, value in zip(self._made.variables, state):
            variable.assign(value)


class Tensorflow:
    """An optimizer of tf.compat.v1.train. It is used itself, since it doesn't tell its settings, for variables of its
    own."""

    def __init__(self, given):
        self._given = given
        self.variables = None

    def settings(self):
        return {"learning_rate": self.learning_rate}

    def step(self, grads, arrays, names):
        import tensorflow as tf

        _check_step(grads, arrays, self.variables)
        if self.variables is None:
            self.variables = [tf.Variable(array) for array in arrays]
        for variable, array in zip(self.variables, arrays):
            variable.assign(array)
        self._given.apply_gradients([(tf.constant(grad), one) for grad, one in zip(grads, self.variables) if grad is not None])
        for variable, array in zip(self.variables, arrays):
            array[...] = variable.numpy()

    def _rate(self):
        """Returns the name of the attribute that is the learning rate."""
        return next(name for name in ("_learning_rate", "_lr") if hasattr(self._given, name))

    @property
    def learning_rate(self):
        rate = getattr(self._given, self._rate())
        return float(rate() if callable(rate) else rate)

    @learning_rate.setter
    def learning_rate(self, rate):
        setattr(self._given, self._rate(), rate)

    def finalize(self, arrays):
        pass

    def state(self):
        return None if self.variables is None else [variable.numpy() for variable in self._given.variables()]

    def restore(self, state):
        if (state is None) != (self.variables is None):
            raise _unstepped() if self.variables is None else ValueError("an optimizer of TensorFlow can't forget its steps")
        if state is None:
            return
        _check_state(state, self._given.variables())
        for variable, value in zip(self._given.variables(), state):
            variable.assign(value)


def _unstepped():
    return ValueError("an optimizer of another framework can load a state only after its first step")
