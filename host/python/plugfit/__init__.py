"""plugfit: Keras's ``compile(optimizer, loss, metrics)``, filled from plug-ins.

``losses.get``, ``metrics.get``, ``optimizers.get`` and ``schedules.get`` find components by name, by a dict as Keras serializes it, or
by a Python function. The standard set (Keras's) is there; plug-ins are looked for in ``$PLUGFIT_PLUGINS`` and
``~/.local/share/plugfit/plugins``, and :func:`load_plugins` loads more. ``plugfit.keras`` and ``plugfit.torch`` make of any of them what
those frameworks train with.

What is otherwise than in Keras 3.15.1, beside the formulas (the standard plug-in's front page lists those):

* ``losses.get("mse")`` is a loss, not a function; ``losses.mean_squared_error`` is the function, of no reduction.
* Results of metrics are float64. What isn't defined yet is Keras's 0, or NaN for R2Score.
* Configurations hold what Keras 3.15.1 leaves out, where it isn't the default: ``axis`` of CosineSimilarity and
  SparseCategoricalCrossentropy, ``delta`` of Huber, ``from_sorted_ids``.
* Names are found that Keras refuses though its objects bear them: ``kld`` of a metric, ``huber_loss``, ``lamb``, ``adam_w``. A learning
  rate may be a whole number.
* The default name of an optimizer has no number. Its learning rate is a number or a schedule, not a function, and a state goes from one to
  another as bytes, not as variables. A parameter's constraint is whoever owns the parameter's to apply.
* MultiOptimizer takes an OptimizerMap, not a function. OptimizerMap and LossScaleOptimizer take other optimizers for their settings; the
  state is the outer one's.
* A schedule's step is whole; before the first step the rate is that of the first.
* IoU counts weights as they are and doesn't warn of fractions.
* What has weight 0, or is masked, is left out of a loss's value and gradient, and of means and sums, even if it is NaN. A sample of
  weight 0 is a partner of the others in Circle all the same.
* A loss refuses labels of another shape than the predictions, where Keras broadcasts them, and class ids that are no whole number or no
  class, but for ``ignore_class`` and where the weight is 0. A Model refuses them before it trains.
  A row is squeezed against a column in the metrics made of losses too, where Keras broadcasts to a square.
* A ``mask`` counts in every metric, where Keras sees it in means alone; ``plugfit.keras`` passes it to those.
* ScheduleFreeAdamW's ``finalize`` moves the parameters to where they are evaluated. A learning rate, a decay, a clip of less than 0 is
  refused, and a threshold out of range.
* A metric of NaN is NaN. R2Score of targets that are all the same is 0.
* Metrics of two classes refuse labels other than 0 and 1, and those of class ids what is no class; a weight that is NaN is refused, a
  negative one counts as it is. Integers of 64 bits are compared as such, unsigned ones too.
* Weights of fewer axes than the values belong to the first axes, where they fit those, in every metric.
* A loss has a derivative with respect to ``y_pred`` alone, and no second one: ``plugfit.torch`` refuses targets and weights that require
  one, for JAX it is 0.
* A state's bytes are a metric's of the same settings, or it is refused. Beside them a metric has no variables.
* Values that are missing or masked are refused with their row, where Keras makes NaN of them or uses what is masked, and so are arrays of
  objects that are no numbers. A number that float32 doesn't hold is refused where float32 is computed with. An array of integers is
  refused as a Model's input if float32 rounds one of them: it may be an id.
* A loss gives float32 unless it is told a dtype, whatever Keras's ``floatx``. Told float64 it computes in it, values and gradients; a loss
  of a plug-in that computes in float32 alone refuses that. ``circle`` compares embeddings with those of the batch alone.
* An optimizer of ``plugfit.keras`` keeps its averages and sums beside Keras's variables: ``SwapEMAWeights`` finds none.
* A class of one's own is saved with a Keras model by nobody; a function is, by the name that Keras knows it by.
"""

from __future__ import annotations

import os as _os

from . import _native, losses, metrics, optimizers, schedules
from ._component import IdentifierError
from ._model import History, Model
from ._native import PluginError, __version__
from ._plugins import load_plugins
from ._score import score

__all__ = [
    "History",
    "IdentifierError",
    "Model",
    "PluginError",
    "load_plugins",
    "losses",
    "metrics",
    "optimizers",
    "schedules",
    "score",
]

# A child has none of its parent's threads.
if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_native.after_fork)


def __getattr__(name):
    # The adapters are imported when they are asked for: they need their framework.
    if name in ("keras", "torch"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
