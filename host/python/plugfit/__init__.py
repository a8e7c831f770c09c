"""plugfit: Keras's ``compile(optimizer, loss, metrics)``, with components from plug-ins.

``losses.get``, ``metrics.get``, ``optimizers.get`` and ``schedules.get`` find components by name, by a dict as Keras
serializes it, or by a Python function. The standard set has all components of Keras. Plug-ins are loaded from
``$PLUGFIT_PLUGINS`` and ``~/.local/share/plugfit/plugins``; :func:`load_plugins` loads more. ``plugfit.keras`` and
``plugfit.torch`` adapt every component for use in these frameworks, and ``plugfit.sklearn`` metrics.

``component.formula()`` returns the component's formula, of which ``numpy()``, ``jax()``, ``torch()`` and ``keras()`` are
functions of the engine's tensors. It raises ValueError if there is none, with the reason. ``plugfit.keras`` and
``plugfit.torch`` use it in compiled functions and on other devices than the CPU. A formula is computed in float32, or in
float64 for tensors of float64.

Losses and metrics of plug-ins may have inputs beside targets and predictions. They are given by name:
``metric.update_state(y_true, y_pred, group=...)``, ``plugfit.torch.metric(...).update(preds, target, group=...)`` and
``model.fit(x, y, inputs={"group": ...})``. ``plugfit.keras`` doesn't pass them. :meth:`Model.save` and :meth:`Model.load`
keep a model in a file.

Differences from Keras 3.15.1, besides the formulas (the front page of the standard plug-in lists those):

Names and configurations

* ``losses.get("mse")`` returns a loss, not a function. ``losses.mean_squared_error`` is the function, without
  reduction.
* Configurations contain settings that Keras 3.15.1 omits, if they aren't the default: ``axis`` of CosineSimilarity and
  SparseCategoricalCrossentropy, ``delta`` of Huber, ``from_sorted_ids``.
* Names that Keras gives to its objects but doesn't find are accepted: ``kld`` of a metric, ``huber_loss``, ``lamb``,
  ``adam_w``. A learning rate may be an integer.
* The default name of an optimizer has no number.
* Keras doesn't save a user's own class with a model. It saves a function by the name under which Keras knows it.

Losses

* A loss ignores values of weight 0 and masked values, in its value and gradient, even if they are NaN. In Circle a
  sample of weight 0 is still compared with the others.
* A loss refuses labels of another shape than the predictions, which Keras broadcasts. It refuses class ids that aren't
  integers or aren't a class, except ``ignore_class`` and ids of weight 0. A Model refuses them before it trains.
  Metrics made of losses match a row with a column, which Keras broadcasts to a square.
* Where an engine computes a loss by its formula, labels aren't checked, because a compiled function can't refuse
  values: the loss of an id that is no class is NaN.
* A loss that the plug-in computes has a derivative with respect to ``y_pred`` only, and no second derivative.
  ``plugfit.torch`` refuses targets and weights that require a gradient; in JAX it is 0. A loss with a formula has all
  derivatives with respect to ``y_pred``, and an element-wise one those with respect to ``y_true``.
* A loss returns float32 unless it has a dtype, whatever Keras's ``floatx`` is. With float64 it computes values and
  gradients in float64; a plug-in's loss that computes only in float32 refuses it. ``circle`` compares embeddings only
  with those of the same batch.

Metrics

* Results are float64. An undefined result is the value that Keras returns, 0, or NaN for R2Score.
* IoU uses weights as they are and doesn't warn about fractions.
* Means and sums ignore values of weight 0 and masked values, even if they are NaN. Every metric uses a ``mask``; in
  Keras only means do, so ``plugfit.keras`` passes it only to those.
* The result for NaN is NaN. R2Score of constant targets is 0.
* Metrics of two classes refuse labels other than 0 and 1, and metrics of class ids refuse invalid ids. A weight of NaN
  is refused; a negative weight is used as it is. 64-bit integers, also unsigned ones, are compared exactly.
* In every metric, weights with fewer axes than the values are aligned with the first axes if they fit those.
* A metric loads the saved state only of a metric with the same settings. It has variables only in ``plugfit.keras``, if
  it has a formula.

Optimizers and schedules

* A learning rate is a number or a schedule, not a function. A state is copied to another optimizer as bytes, not as
  variables. The caller applies the constraints of parameters.
* MultiOptimizer takes an OptimizerMap, not a function. OptimizerMap and LossScaleOptimizer use other optimizers only for
  their settings; the outer optimizer has the state.
* A schedule's step is an integer; a negative step has the rate of step 0.
* ``finalize`` of ScheduleFreeAdamW moves the parameters to the values at which they are evaluated. A negative learning
  rate, decay or clip, and a threshold out of range, are refused.
* An optimizer of ``plugfit.keras`` without a formula stores its averages and sums outside of Keras's variables:
  ``SwapEMAWeights`` finds none.

Threads

* Large arrays are computed by the threads of ``$PLUGFIT_THREADS``, or else of the processor, until
  :func:`set_threads` is called. Their number changes no digit.

Data

* Missing and masked values are refused with an error that names the row; Keras converts them to NaN, or uses masked
  values. Arrays of objects that aren't numbers are refused. Where a component computes in float32, a number that is too
  large for it is refused. A Model refuses an input of integers if float32 would round one of them: it may be an id.
"""

from __future__ import annotations

import os as _os

from . import _native, losses, metrics, optimizers, schedules
from ._component import IdentifierError
from ._model import History, Model
from ._native import PluginError, __version__, get_threads, set_threads
from ._plugins import load_plugins
from ._score import score

__all__ = [
    "History",
    "IdentifierError",
    "Model",
    "PluginError",
    "get_threads",
    "load_plugins",
    "losses",
    "metrics",
    "optimizers",
    "schedules",
    "score",
    "set_threads",
]

# A forked child needs its own thread pool.
if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_native.after_fork)


def __getattr__(name):
    # Import an adapter on first use: it imports its framework.
    if name in ("keras", "torch"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
