"""Components for Keras: ``model.compile(optimizer=plugfit.keras.optimizer("Prodigy", weight_decay=0.01), ...)``.

The classes derive from ``keras.losses.Loss``, ``keras.metrics.Metric`` and ``keras.optimizers.Optimizer``, and support
Keras's JAX, PyTorch and TensorFlow backends.

* The backend computes a component that has a formula, in compiled functions and on every device. Slots and sums are
  Keras variables. On PyTorch's backend, the plug-in computes those on the CPU.
* A plug-in computes the others, on the CPU, and has their state. A compiled JAX function on the CPU calls it without
  Python; on another device each step waits for the CPU, and a warning says so. A function of TensorFlow calls it unless
  XLA compiles the function: give ``compile`` ``jit_compile=False``.

``engine="formula"`` and ``engine="native"`` choose one. Components are serialized by their identifier; a Python function
is serialized by the name under which it is registered (``keras.saving.register_keras_serializable``).

:func:`to_keras` and :func:`from_keras` convert the embedded network, :class:`plugfit.Model`, with its weights.
"""

from __future__ import annotations

from typing import Any

import keras

from .. import losses as _losses
from .. import metrics as _metrics
from .. import optimizers as _optimizers
from .. import schedules as _schedules
from .._component import formula_of
from .._config import with_settings
from ._formula_metric import FormulaMetric
from ._formula_optimizer import FormulaOptimizer
from ._loss import Loss
from ._metric import Metric
from ._network import from_keras, to_keras
from ._optimizer import Optimizer
from ._schedule import Schedule

__all__ = [
    "FormulaMetric",
    "FormulaOptimizer",
    "Loss",
    "Metric",
    "Optimizer",
    "Schedule",
    "from_keras",
    "loss",
    "metric",
    "optimizer",
    "schedule",
    "to_keras",
]

for _made in (FormulaMetric, FormulaOptimizer, Loss, Metric, Optimizer, Schedule):
    _made.__module__ = __name__

_schedules.derive_from_keras()

# Register the standard classes now, so that Keras can deserialize them.
for _registry in (_losses._registry, _metrics._registry, _optimizers._registry, _schedules._registry):
    for _class in _registry.classes.values():
        _class._register_with_keras()


def loss(identifier: Any, *, name=None, reduction=None, dtype=None, engine=None, **settings: Any) -> Loss:
    """Returns the loss for an identifier, for ``compile`` in Keras. A name may have settings: ``loss("Huber",
    delta=2.0)``.

    Raises ValueError if ``engine`` is ``"formula"`` and the loss has no formula.
    """
    return Loss(with_settings(identifier, settings), name=name, reduction=reduction, dtype=dtype, engine=engine)


def metric(identifier: Any, *, name=None, dtype=None, engine=None, **settings: Any) -> keras.metrics.Metric:
    """Returns the metric for an identifier, for ``compile`` in Keras. A name may have settings:
    ``metric("Precision", top_k=3)``.

    It is a :class:`FormulaMetric` if the metric has a formula, unless ``engine`` is ``"native"``. Raises ValueError if
    ``engine`` is ``"formula"`` and the metric has none.
    """
    made = _metrics.get(with_settings(identifier, settings))
    return (Metric if formula_of(made, engine) is None else FormulaMetric)(made, name=name, dtype=dtype)


def optimizer(identifier: Any, *, name=None, engine=None, **settings: Any) -> keras.optimizers.Optimizer:
    """Returns the optimizer for an identifier, for ``compile`` in Keras. A name may have settings:
    ``optimizer("SGD", momentum=0.9)``.

    It is a :class:`FormulaOptimizer` if the optimizer has a formula, unless ``engine`` is ``"native"``. Raises ValueError
    if ``engine`` is ``"formula"`` and the optimizer has none.
    """
    made = _optimizers.get(with_settings(identifier, settings))
    if isinstance(made, _optimizers.Optimizer) and formula_of(made, engine) is not None:
        return FormulaOptimizer(made, name=name, engine=engine)
    return Optimizer(made, name=name)


def schedule(identifier: Any, *, name=None, engine=None, **settings: Any) -> Schedule:
    """Returns the learning-rate schedule for an identifier, for an optimizer of Keras. A name may have settings:
    ``schedule("CosineDecay", initial_learning_rate=0.1, decay_steps=1000)``.

    Raises ValueError if ``engine`` is ``"formula"`` and the schedule has no formula.
    """
    return Schedule(with_settings(identifier, settings), name=name, engine=engine)
