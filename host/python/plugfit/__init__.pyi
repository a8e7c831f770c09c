import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from . import keras as keras
from . import losses as losses
from . import metrics as metrics
from . import optimizers as optimizers
from . import schedules as schedules
from . import torch as torch

__version__: str

class PluginError(RuntimeError): ...
class IdentifierError(TypeError, ValueError): ...

class History:
    epochs: list[dict[str, Any]]
    ended: str | None
    epoch: list[int]
    history: dict[str, list[Any]]

class Model:
    def __new__(cls, config: Sequence[Any] | Mapping[str, Any], seed: int = 0) -> Model: ...
    @classmethod
    def from_config(cls, config: Sequence[Any] | Mapping[str, Any], seed: int = 0) -> Model: ...
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ) -> None: ...
    def build(self, input_shape: Sequence[int]) -> None: ...
    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike | Mapping[str, ArrayLike],
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: object = False,
        callbacks: Sequence[Any] | None = None,
        validation_split: float = 0.0,
        validation_data: tuple[Any, ...] | None = None,
        shuffle: bool = True,
        class_weight: Mapping[Any, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_freq: int = 1,
        on_epoch_end: Callable[[int, dict[str, Any]], object] | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
    ) -> History: ...
    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike | Mapping[str, ArrayLike],
        batch_size: int | None = None,
        sample_weight: ArrayLike | None = None,
        verbose: object = 0,
        inputs: Mapping[str, ArrayLike] | None = None,
    ) -> dict[str, Any]: ...
    def predict(self, x: ArrayLike, batch_size: int | None = None, verbose: object = 0) -> Any: ...
    def get_weights(self) -> dict[str, np.ndarray[Any, Any]]: ...
    def set_weights(self, weights: Mapping[str, ArrayLike]) -> None: ...
    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None: ...
    @classmethod
    def load(
        cls, path: str | os.PathLike[str], plugins: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None
    ) -> Model: ...
    def summary(self) -> str: ...

def get_threads() -> int: ...
def set_threads(number: int) -> None: ...
def load_plugins(path: str | os.PathLike[str]) -> None: ...
@overload
def score(y_true: Any, y_pred: Any, metrics: Any, sample_weight: Any = None) -> dict[str, Any]: ...
@overload
def score(
    y_true: str | None,
    y_pred: str | None,
    metrics: Any,
    sample_weight: str | None = None,
    *,
    data: Any,
    by: str | Sequence[str] | None = None,
    where: str | None = None,
    classes: Sequence[str] | None = None,
    inputs: Mapping[str, str] | None = None,
    nulls: Literal["refuse", "skip"] | None = None,
    min_rows: int | None = None,
    ci: float | None = None,
    ci_by: str | None = None,
    compare: str | None = None,
    baseline: str | None = None,
    replicates: int | None = None,
    seed: int | None = None,
    require: str | Sequence[str] | None = None,
    memory_limit: str | None = None,
    threads: int | None = None,
) -> dict[str, Any]: ...
