from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

class Loss:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
        **inputs: ArrayLike,
    ) -> Any: ...
    def gradient(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
        **inputs: ArrayLike,
    ) -> NDArray[np.floating[Any]]: ...
    def value_and_gradient(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
        **inputs: ArrayLike,
    ) -> tuple[Any, NDArray[np.floating[Any]]]: ...
    def call(self, y_true: Any, y_pred: Any) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def reduction(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss: ...
    # Settings are attributes.
    def __getattr__(self, name: str) -> Any: ...

class LossFunctionWrapper(Loss):
    def __init__(
        self, fn: Callable[[Any, Any], Any], reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None
    ) -> None: ...
    @property
    def fn(self) -> Callable[[Any, Any], Any]: ...

@overload
def get(identifier: None, dtype: Any = None) -> None: ...
@overload
def get(
    identifier: str | dict[str, Any] | Loss | type[Loss] | Callable[[Any, Any], Any], dtype: Any = None
) -> Loss: ...
def serialize(loss: Loss) -> dict[str, Any]: ...
def deserialize(config: dict[str, Any]) -> Loss: ...

# A class for each loss of plug-ins, and functions like those of Keras, without reduction.
def __getattr__(name: str) -> Any: ...

# The classes of the standard set. The rest of this file is written by host/python/tools/stubs.py.

class BinaryCrossentropy(Loss):
    def __init__(
        self,
        from_logits: bool | np.bool_ = False,
        label_smoothing: float | np.number[Any] = 0.0,
        axis: int | np.integer[Any] = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class BinaryFocalCrossentropy(Loss):
    def __init__(
        self,
        apply_class_balancing: bool | np.bool_ = False,
        alpha: float | np.number[Any] = 0.25,
        gamma: float | np.number[Any] = 2.0,
        from_logits: bool | np.bool_ = False,
        label_smoothing: float | np.number[Any] = 0.0,
        axis: int | np.integer[Any] = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class CTC(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class CategoricalCrossentropy(Loss):
    def __init__(
        self,
        from_logits: bool | np.bool_ = False,
        label_smoothing: float | np.number[Any] = 0.0,
        axis: int | np.integer[Any] = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class CategoricalFocalCrossentropy(Loss):
    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float | np.number[Any] = 2.0,
        from_logits: bool | np.bool_ = False,
        label_smoothing: float | np.number[Any] = 0.0,
        axis: int | np.integer[Any] = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class CategoricalGeneralizedCrossEntropy(Loss):
    def __init__(
        self,
        q: float | np.number[Any] = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class CategoricalHinge(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Circle(Loss):
    def __init__(
        self,
        gamma: float | np.number[Any] = 80.0,
        margin: float | np.number[Any] = 0.4,
        remove_diagonal: bool | np.bool_ = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class CosineSimilarity(Loss):
    def __init__(
        self,
        axis: int | np.integer[Any] = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Dice(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        axis: Any = None,
        dtype: Any = None,
    ) -> None: ...

class Hinge(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Huber(Loss):
    def __init__(
        self,
        delta: float | np.number[Any] = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None: ...

class KLDivergence(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class LogCosh(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class MeanAbsoluteError(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class MeanAbsolutePercentageError(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class MeanSquaredError(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class MeanSquaredLogarithmicError(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Poisson(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class SparseCategoricalCrossentropy(Loss):
    def __init__(
        self,
        from_logits: bool | np.bool_ = False,
        ignore_class: int | np.integer[Any] | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int | np.integer[Any] = -1,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class SquaredHinge(Loss):
    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Tversky(Loss):
    def __init__(
        self,
        alpha: float | np.number[Any] = 0.5,
        beta: float | np.number[Any] = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        axis: Any = None,
        dtype: Any = None,
    ) -> None: ...
