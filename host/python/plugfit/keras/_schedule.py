"""Learning-rate schedules for Keras."""

from __future__ import annotations

import numpy as np

import keras

from .. import schedules as _schedules
from .._component import formula_of
from . import _common


@keras.saving.register_keras_serializable("plugfit")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A plugfit schedule as a Keras schedule. Its formula is computed in float32; without one, the plug-in computes it
    on the CPU."""

    def __init__(self, identifier, name=None, engine=None):
        self._schedule = _schedules.get(identifier)
        self.name = name or self._schedule.name
        self._engine = engine
        formula = formula_of(self._schedule, engine)
        self._formula = None if formula is None else formula.keras()

    def __call__(self, step):
        """Returns the learning rate of a step, counted from 0, as a tensor of float32."""
        step = keras.ops.convert_to_tensor(step)
        if self._formula is not None:
            return self._formula(keras.ops.maximum(step, 0))
        rate = lambda step: np.float32(self._schedule(np.asarray(step)))
        name = _common.native_backend(self._schedule)
        if name == "jax" and _common.is_traced(step):
            from . import _jax_schedule

            return _jax_schedule.learning_rate(self._schedule, rate, step)
        if name == "tensorflow" and _common.is_in_graph():
            from . import _tensorflow

            return _tensorflow.call(self._schedule, rate, [step], "float32", ())
        return keras.ops.convert_to_tensor(rate(_common.to_numpy(step)))

    def get_config(self):
        """Returns the identifier and the name."""
        config = {"identifier": _schedules.serialize(self._schedule), "name": self.name}
        return config if self._engine is None else {**config, "engine": self._engine}
