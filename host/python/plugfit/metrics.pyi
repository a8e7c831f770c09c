from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

class Metric:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def update_state(
        self,
        y_true: ArrayLike | None = None,
        y_pred: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        *,
        values: ArrayLike | None = None,
        **inputs: ArrayLike,
    ) -> None: ...
    def result(self) -> Any: ...
    def reset_state(self) -> None: ...
    def reset_states(self) -> None: ...
    def merge_state(self, metrics: Iterable[Metric]) -> None: ...
    def get_state(self) -> bytes: ...
    def set_state(self, state: bytes) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def direction(self) -> str | None: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric: ...
    # Settings are attributes.
    def __getattr__(self, name: str) -> Any: ...

class MeanMetricWrapper(Metric):
    def __init__(self, fn: Callable[[Any, Any], Any], name: str | None = None, dtype: Any = None) -> None: ...

@overload
def get(identifier: None) -> None: ...
@overload
def get(identifier: str | dict[str, Any] | Metric | type[Metric] | Callable[[Any, Any], Any]) -> Metric: ...
def serialize(metric: Metric) -> dict[str, Any]: ...
def deserialize(config: dict[str, Any]) -> Metric: ...

# A class for each metric and each loss of plug-ins.
def __getattr__(name: str) -> Any: ...

# The classes of the standard set. The rest of this file is written by host/python/tools/stubs.py.

class AUC(Metric):
    def __init__(
        self,
        num_thresholds: int | np.integer[Any] = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[Any] | np.ndarray[Any, Any] | None = None,
        multi_label: bool | np.bool_ = False,
        num_labels: int | np.integer[Any] | None = None,
        label_weights: Sequence[Any] | np.ndarray[Any, Any] | None = None,
        from_logits: bool | np.bool_ = False,
    ) -> None: ...

class Accuracy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class BinaryAccuracy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        threshold: float | np.number[Any] = 0.5,
    ) -> None: ...

class BinaryCrossentropy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool | np.bool_ = False,
        label_smoothing: float | np.number[Any] = 0.0,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class BinaryFocalCrossentropy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        apply_class_balancing: bool | np.bool_ = False,
        alpha: float | np.number[Any] = 0.25,
        gamma: float | np.number[Any] = 2.0,
        from_logits: bool | np.bool_ = False,
        label_smoothing: float | np.number[Any] = 0.0,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class BinaryIoU(Metric):
    def __init__(
        self,
        target_class_ids: Sequence[Any] | np.ndarray[Any, Any] = ...,
        threshold: float | np.number[Any] = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class CTC(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class CategoricalAccuracy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class CategoricalCrossentropy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool | np.bool_ = False,
        label_smoothing: float | np.number[Any] = 0.0,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class CategoricalFocalCrossentropy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        alpha: Any = 0.25,
        gamma: float | np.number[Any] = 2.0,
        from_logits: bool | np.bool_ = False,
        label_smoothing: float | np.number[Any] = 0.0,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class CategoricalGeneralizedCrossEntropy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        q: float | np.number[Any] = 0.5,
    ) -> None: ...

class CategoricalHinge(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Circle(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        gamma: float | np.number[Any] = 80.0,
        margin: float | np.number[Any] = 0.4,
        remove_diagonal: bool | np.bool_ = True,
    ) -> None: ...

class ConcordanceCorrelation(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class CosineSimilarity(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class Dice(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        axis: Any = None,
    ) -> None: ...

class F1Score(Metric):
    def __init__(
        self,
        average: str | None = None,
        threshold: float | np.number[Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class FBetaScore(Metric):
    def __init__(
        self,
        average: str | None = None,
        beta: float | np.number[Any] = 1.0,
        threshold: float | np.number[Any] | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None: ...

class FalseNegatives(Metric):
    def __init__(
        self,
        thresholds: Any = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class FalsePositives(Metric):
    def __init__(
        self,
        thresholds: Any = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Hinge(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Huber(Metric):
    def __init__(
        self,
        name: str | None = "huber_loss",
        dtype: Any = None,
        delta: float | np.number[Any] = 1.0,
    ) -> None: ...

class IoU(Metric):
    def __init__(
        self,
        num_classes: int | np.integer[Any],
        target_class_ids: Sequence[Any] | np.ndarray[Any, Any],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | np.integer[Any] | None = None,
        sparse_y_true: bool | np.bool_ = True,
        sparse_y_pred: bool | np.bool_ = True,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class KLDivergence(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class LogCosh(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class LogCoshError(Metric):
    def __init__(
        self,
        name: str | None = "logcosh",
        dtype: Any = None,
    ) -> None: ...

class Mean(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class MeanAbsoluteError(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class MeanAbsolutePercentageError(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class MeanIoU(Metric):
    def __init__(
        self,
        num_classes: int | np.integer[Any],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | np.integer[Any] | None = None,
        sparse_y_true: bool | np.bool_ = True,
        sparse_y_pred: bool | np.bool_ = True,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class MeanSquaredError(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class MeanSquaredLogarithmicError(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class OneHotIoU(Metric):
    def __init__(
        self,
        num_classes: int | np.integer[Any],
        target_class_ids: Sequence[Any] | np.ndarray[Any, Any],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | np.integer[Any] | None = None,
        sparse_y_pred: bool | np.bool_ = False,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class OneHotMeanIoU(Metric):
    def __init__(
        self,
        num_classes: int | np.integer[Any],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | np.integer[Any] | None = None,
        sparse_y_pred: bool | np.bool_ = False,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class PearsonCorrelation(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class Poisson(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Precision(Metric):
    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | np.integer[Any] | None = None,
        class_id: int | np.integer[Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class PrecisionAtRecall(Metric):
    def __init__(
        self,
        recall: float | np.number[Any],
        num_thresholds: int | np.integer[Any] = 200,
        class_id: int | np.integer[Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class R2Score(Metric):
    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int | np.integer[Any] = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None: ...

class Recall(Metric):
    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | np.integer[Any] | None = None,
        class_id: int | np.integer[Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class RecallAtPrecision(Metric):
    def __init__(
        self,
        precision: float | np.number[Any],
        num_thresholds: int | np.integer[Any] = 200,
        class_id: int | np.integer[Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class RootMeanSquaredError(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class SensitivityAtSpecificity(Metric):
    def __init__(
        self,
        specificity: float | np.number[Any],
        num_thresholds: int | np.integer[Any] = 200,
        class_id: int | np.integer[Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class SparseCategoricalAccuracy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class SparseCategoricalCrossentropy(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool | np.bool_ = False,
        ignore_class: int | np.integer[Any] | None = None,
        axis: int | np.integer[Any] = -1,
    ) -> None: ...

class SparseTopKCategoricalAccuracy(Metric):
    def __init__(
        self,
        k: int | np.integer[Any] = 5,
        name: str | None = None,
        dtype: Any = None,
        from_sorted_ids: bool | np.bool_ = False,
    ) -> None: ...

class SpecificityAtSensitivity(Metric):
    def __init__(
        self,
        sensitivity: float | np.number[Any],
        num_thresholds: int | np.integer[Any] = 200,
        class_id: int | np.integer[Any] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class SquaredHinge(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Sum(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class TopKCategoricalAccuracy(Metric):
    def __init__(
        self,
        k: int | np.integer[Any] = 5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class TrueNegatives(Metric):
    def __init__(
        self,
        thresholds: Any = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class TruePositives(Metric):
    def __init__(
        self,
        thresholds: Any = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Tversky(Metric):
    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        alpha: float | np.number[Any] = 0.5,
        beta: float | np.number[Any] = 0.5,
        axis: Any = None,
    ) -> None: ...
