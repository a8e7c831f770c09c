"""Optimizers for Keras that the plug-in computes. A step is one call of it for all variables."""

from __future__ import annotations

import json
import warnings

import numpy as np

import keras

from .. import _native
from .. import optimizers as _optimizers
from . import _common


def _setting(key):
    """Returns a read-only property, under Keras's name, for a setting that the plug-in applies."""

    def read(self):
        return self._optimizer.get_config().get(key)

    def write(self, value):
        # Keras's constructor sets it before `_optimizer` exists.
        if "_optimizer" in self.__dict__:
            raise AttributeError(f"{key} can only be set when the optimizer is created")

    return property(read, write)


@keras.saving.register_keras_serializable("plugfit")
class Optimizer(keras.optimizers.Optimizer):
    """A plugfit optimizer as a Keras optimizer. Its slots are stored outside of Keras's variables, and saved with
    them."""

    def __init__(self, identifier, name=None):
        given = _optimizers.get(identifier)
        if not isinstance(given, _optimizers.Optimizer):
            raise ValueError("this optimizer belongs to another framework: plugfit.keras can't use it")
        if type(given).__name__ == "LossScaleOptimizer":
            raise ValueError("pass the inner optimizer, and wrap the result in Keras's own LossScaleOptimizer")
        made = given._unstepped()
        config = made.get_config()
        rate = config.get("learning_rate", 0.001)
        if isinstance(rate, dict):
            # Keras only displays the schedule; the plug-in applies it.
            rate = keras.optimizers.schedules.deserialize(rate) if rate.get("module") else made.learning_rate
        super().__init__(learning_rate=rate, name=name or made.name)
        self._optimizer = made
        self._steps_of_an_update = config.get("gradient_accumulation_steps")
        #: The number by which compiled JAX functions find the plug-in's optimizer.
        self._number = None
        self._loaded_names = None
        # The variables of exclude_from_weight_decay.
        self._undecayed = []

    @property
    def loss_scale_factor(self):
        """The divisor of gradients. It can be set before the first step, as wrapping optimizers do."""
        return self._optimizer.get_config().get("loss_scale_factor")

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor):
        # Keras's constructor sets it before `_optimizer` exists.
        if "_optimizer" not in self.__dict__ or factor == self.loss_scale_factor:
            return
        if self._optimizer._is_built:
            raise AttributeError("loss_scale_factor is set before the first step")
        self._optimizer = self._optimizer._unstepped(loss_scale_factor=factor)
        self._number = None

    weight_decay = _setting("weight_decay")
    clipnorm = _setting("clipnorm")
    clipvalue = _setting("clipvalue")
    global_clipnorm = _setting("global_clipnorm")

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Excludes variables from weight decay, as in Keras."""
        self._optimizer.exclude_from_weight_decay(var_names=var_names)
        self._undecayed = [*self._undecayed, *(var_list or ())]

    def update_step(self, gradient, variable, learning_rate):
        """Isn't supported: a step updates all variables at once."""
        raise NotImplementedError("a step sees to all variables at once: call apply")

    def _names(self):
        if self._loaded_names is not None:
            # Layers may have other names in a loaded model; the slots use the names from the time of saving.
            return self._loaded_names
        names = [variable.path for variable in self._trainable_variables]
        return names if len(set(names)) == len(names) else [f"{name}#{i}" for i, name in enumerate(names)]

    def apply(self, grads, trainable_variables=None):
        """Updates all variables by one step, in one call of the plug-in."""
        _common.native_backend(self._optimizer)
        grads = list(grads)
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        else:
            trainable_variables = list(trainable_variables)
            if not self.built:
                with keras.name_scope(self.name):
                    self.build(trainable_variables)
        _common.check_gradients(grads, trainable_variables)
        partial = list(map(id, trainable_variables)) != list(map(id, self._trainable_variables))
        if partial:
            # The slots belong to all variables; variables without a gradient stay unchanged.
            self._check_variables_are_known(trainable_variables)
            given = dict(zip(map(self._get_variable_index, trainable_variables), grads))
            trainable_variables = self._trainable_variables
            grads = [given.get(index) for index in range(len(trainable_variables))]
        replaced = self._replace(trainable_variables, grads)
        values = [keras.ops.convert_to_tensor(variable) for variable in trainable_variables]
        present = [grad is not None for grad in grads]
        grads = [keras.ops.convert_to_tensor(_common.numbers(grad, "a gradient"), sparse=False) for grad in grads if grad is not None]
        rate = None if self._optimizer_has_schedule() else keras.ops.convert_to_tensor(self.learning_rate)
        # Don't warn about missing gradients of variables that are replaced or weren't passed.
        quiet = bool(grads) and (replaced or partial)
        if replaced and not grads:
            updated = values
        else:
            updated = self._updated(values, grads, present, rate, quiet)
        for variable, value in zip(trainable_variables, updated):
            self.assign(variable, keras.ops.cast(keras.ops.convert_to_tensor(value), variable.dtype))
            if variable.constraint is not None:
                self.assign(variable, variable.constraint(variable))
        self.assign_add(self._iterations, 1)

    def _updated(self, values, grads, present, rate, quiet):
        """Returns the values of the variables after a step."""
        name = _common.backend()
        if name == "jax" and _common.is_traced(*values, *grads):
            from . import _jax_optimizer as compiled
        elif name == "tensorflow" and _common.is_in_graph():
            from . import _tensorflow_optimizer as compiled
        else:
            here = [list(map(_common.to_numpy, tensors)) for tensors in (values, grads)]
            return self._step(*here, present, _common.to_numpy(rate), quiet)
        return compiled.updated(self, values, grads, present, rate, quiet)

    def _replace(self, variables, grads):
        """Assigns the gradients of variables that are replaced by their gradient (scales of float8 layers), and removes
        these from ``grads``. Returns whether there are any."""
        replaced = [index for index, variable in enumerate(variables) if self._overwrite_variable_with_gradient(variable)]
        for index in replaced:
            if grads[index] is not None:
                if self._steps_of_an_update:
                    raise NotImplementedError(f"{variables[index].path} is replaced by its gradient, which can't be accumulated")
                self.assign(variables[index], grads[index])
                grads[index] = None
        return bool(replaced)

    @property
    def iterations(self):
        """The number of updates. An update takes several steps if gradients are accumulated."""
        steps = self._steps_of_an_update
        return keras.ops.floor_divide(self._iterations, steps) if steps else self._iterations

    def scale_loss(self, loss):
        """Multiplies the loss by the plug-in's loss_scale_factor, by which a step divides gradients."""
        return loss * self._optimizer.loss_scale

    def _optimizer_has_schedule(self):
        return isinstance(self._optimizer._rate(), dict)

    def _step(self, values, grads, present, rate, quiet):
        grads = iter(grads)
        params = [np.array(value, np.float32, order="C") for value in values]
        if rate is not None and float(rate) != self._optimizer.learning_rate:
            self._optimizer.learning_rate = float(rate)
        # Gradients may be of a lower precision; convert them to float32.
        names = list(self._names())
        if not self._optimizer._is_built:
            # As in Keras, expressions search a variable's name, not its path.
            self._optimizer.exclude_from_weight_decay(self._undecayed_names())
            self._optimizer._build_once(params, names, [variable.name for variable in self._trainable_variables])
        step = self._optimizer._step if quiet else self._optimizer.apply
        step([np.asarray(next(grads), np.float32) if has else None for has in present], params, names)
        return params

    def _undecayed_names(self):
        """Returns the names of the variables that were passed to exclude_from_weight_decay."""
        pairs = zip(self._names(), self._trainable_variables)
        return [name for name, variable in pairs if any(variable is other for other in self._undecayed)]

    def _describe(self):
        """Makes the plug-in's optimizer the one that compiled JAX functions use, under these variables' names."""
        names, plugin = list(self._names()), self._optimizer
        undecayed = set(self._undecayed_names())
        pairs = zip(names, self._trainable_variables)
        plugin._describe(names, [name for name, variable in pairs if name in undecayed or plugin._is_excluded(name, variable.name)])
        # A copy of the optimizer uses these names.
        plugin._names = names
        self._number = _native.xla_optimizer_number(plugin, self._number)

    def finalize_variable_values(self, var_list):
        """Moves the variables to the values at which they are evaluated, after training."""
        try:
            # JAX may still compute the last steps: this waits for them.
            params = [np.array(_common.to_numpy(variable), np.float32, order="C") for variable in var_list]
        except (TypeError, RuntimeError):
            # Training failed, and JAX has reused the variables' memory. The original error is raised elsewhere.
            return
        if not self._optimizer._is_built:
            return
        self._optimizer.finalize(params)
        for variable, value in zip(var_list, params):
            variable.assign(value)

    def save_own_variables(self, store):
        """Saves Keras's variables and the plug-in's state."""
        super().save_own_variables(store)
        store["plugfit"] = np.frombuffer(self._optimizer.get_state(), np.uint8)
        store["plugfit_names"] = np.frombuffer(json.dumps(self._names()).encode(), np.uint8)

    def load_own_variables(self, store):
        """Restores what save_own_variables wrote."""
        if "plugfit" not in store.keys():
            warnings.warn(f"{self.name} keeps its initial state: the saved state belongs to another optimizer", stacklevel=2)
            return
        own_variables = {name: store[name] for name in store.keys() if not name.startswith("plugfit")}
        super().load_own_variables(own_variables)
        # The current slots may belong to parameters with other names.
        self._optimizer = self._optimizer._unstepped()
        self._loaded_names = tuple(json.loads(np.asarray(store["plugfit_names"], np.uint8).tobytes()))
        self._optimizer.set_state(np.asarray(store["plugfit"], np.uint8).tobytes())
        if self._number is not None:
            # Functions that are compiled already use the new optimizer too.
            self._describe()

    def get_config(self):
        """Returns the identifier and Keras's own settings."""
        return {"identifier": json.loads(json.dumps(_common.identifier_of(self._optimizer))), "name": self.name}
