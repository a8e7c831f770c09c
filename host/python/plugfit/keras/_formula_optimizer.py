"""Optimizers for Keras whose formula the backend computes."""

from __future__ import annotations

import json

import keras

from .. import optimizers as _optimizers
from .._positional import OPTIMIZER_BASE
from . import _common
from ._schedule import Schedule


@keras.saving.register_keras_serializable("plugfit")
class FormulaOptimizer(keras.optimizers.Optimizer):
    """A plugfit optimizer with a formula as a Keras optimizer. Its slots are Keras variables, and Keras applies
    clipping, weight decay, averages and the learning rate's schedule.

    On PyTorch's backend, the plug-in updates float32 variables on the CPU in place, unless ``engine`` is ``"formula"``.

    Raises ValueError if the optimizer has no formula.
    """

    def __init__(self, identifier, name=None, engine=None):
        given = _optimizers.get(identifier)
        if not isinstance(given, _optimizers.Optimizer):
            raise ValueError("this optimizer belongs to another framework: plugfit.keras can't use it")
        formula, config = given.formula(), given.get_config()
        settings = {key: config[key] for key in OPTIMIZER_BASE if config.get(key) is not None}
        super().__init__(learning_rate=_rate(given, config), name=name or given.name, **settings)
        self._given, self._formula, self._update = given, formula, formula.keras()
        self._engine = engine

    def build(self, variables):
        """Creates the slots."""
        if self.built:
            return
        super().build(variables)
        self._slots = {name: [self._slot(name, initial, variable) for variable in variables] for name, initial in self._formula.slots.items()}

    def _slot(self, name, initial, variable):
        if self._overwrite_variable_with_gradient(variable):
            return None
        constant = keras.initializers.Constant(initial)
        if self._formula.inputs.get(f"slot.{name}", "element") == "scalar":
            return self.add_variable((), initializer=constant, dtype=variable.dtype, name=name)
        return self.add_variable_from_reference(variable, name=name, initializer=constant)

    def apply(self, grads, trainable_variables=None):
        """Updates the variables by one step. Raises ValueError if a gradient has missing or masked values, or another
        shape than its variable."""
        grads = [None if grad is None else _common.numbers(grad, "a gradient") for grad in grads]
        trainable_variables = None if trainable_variables is None else list(trainable_variables)
        if trainable_variables is not None or self.built:
            _common.check_gradients(grads, self._trainable_variables if trainable_variables is None else trainable_variables)
        super().apply(grads, trainable_variables)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if _common.backend() == "torch" and self._engine is None:
            from . import _torch_update

            indices = [self._get_variable_index(variable) for variable in trainable_variables]
            slots = [{name: slots[index] for name, slots in self._slots.items()} for index in indices]
            if _torch_update.apply(self._given, self._formula, trainable_variables, grads, slots, learning_rate, self.iterations):
                return
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        """Updates a variable and its slots."""
        index = self._get_variable_index(variable)
        variables = {name: slots[index] for name, slots in self._slots.items()}
        tensor = keras.ops.convert_to_tensor
        slots = {name: tensor(slot) for name, slot in variables.items()}
        gradient = tensor(gradient, sparse=False)
        parameter, slots = self._update(tensor(variable), gradient, slots, tensor(learning_rate), tensor(self.iterations) + 1)
        self.assign(variable, parameter)
        for name, slot in slots.items():
            self.assign(variables[name], slot)

    def _use_weight_decay(self, variable):
        # TensorFlow's variables have no path.
        own = self._trainable_variables[self._get_variable_index(variable)]
        return super()._use_weight_decay(variable) and not self._given._is_excluded(getattr(own, "path", own.name), own.name)

    def get_config(self):
        """Returns the identifier with the current settings, and the name."""
        identifier = _common.identifier_of(self._given)
        config = dict(identifier["config"])
        config.update((key, getattr(self, key)) for key in OPTIMIZER_BASE if key in config)
        if isinstance(self._learning_rate, keras.Variable):
            config["learning_rate"] = float(keras.ops.convert_to_numpy(self._learning_rate))
        config = {"identifier": json.loads(json.dumps({**identifier, "config": config})), "name": self.name}
        return config if self._engine is None else {**config, "engine": self._engine}


def _rate(given, config):
    """Returns the learning rate, or a Keras schedule."""
    rate = config.get("learning_rate", 0.001)
    if not isinstance(rate, dict):
        return float(given.learning_rate)
    return keras.optimizers.schedules.deserialize(rate) if rate.get("module") == "keras.optimizers.schedules" else Schedule(rate)
