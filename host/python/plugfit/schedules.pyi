from collections.abc import Sequence
from typing import Any, overload

import numpy as np

class Schedule:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __call__(self, step: Any) -> float: ...
    @property
    def name(self) -> str: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule: ...
    # Settings are attributes.
    def __getattr__(self, name: str) -> Any: ...

@overload
def get(identifier: None) -> None: ...
@overload
def get(identifier: str | dict[str, Any] | Schedule | type[Schedule]) -> Schedule: ...
def serialize(schedule: Schedule) -> dict[str, Any]: ...
def deserialize(config: dict[str, Any]) -> Schedule: ...

# A class for each schedule of plug-ins.
def __getattr__(name: str) -> Any: ...

# The classes of the standard set. The rest of this file is written by host/python/tools/stubs.py.

class CosineDecay(Schedule):
    def __init__(
        self,
        initial_learning_rate: float | np.number[Any],
        decay_steps: float | np.number[Any],
        alpha: float | np.number[Any] = 0.0,
        name: str | None = None,
        warmup_target: float | np.number[Any] | None = None,
        warmup_steps: float | np.number[Any] = 0.0,
    ) -> None: ...

class CosineDecayRestarts(Schedule):
    def __init__(
        self,
        initial_learning_rate: float | np.number[Any],
        first_decay_steps: float | np.number[Any],
        t_mul: float | np.number[Any] = 2.0,
        m_mul: float | np.number[Any] = 1.0,
        alpha: float | np.number[Any] = 0.0,
        name: str | None = "SGDRDecay",
    ) -> None: ...

class ExponentialDecay(Schedule):
    def __init__(
        self,
        initial_learning_rate: float | np.number[Any],
        decay_steps: float | np.number[Any],
        decay_rate: float | np.number[Any],
        staircase: bool | np.bool_ = False,
        name: str | None = None,
    ) -> None: ...

class InverseTimeDecay(Schedule):
    def __init__(
        self,
        initial_learning_rate: float | np.number[Any],
        decay_steps: float | np.number[Any],
        decay_rate: float | np.number[Any],
        staircase: bool | np.bool_ = False,
        name: str | None = None,
    ) -> None: ...

class PiecewiseConstantDecay(Schedule):
    def __init__(
        self,
        boundaries: Sequence[Any] | np.ndarray[Any, Any],
        values: Sequence[Any] | np.ndarray[Any, Any],
        name: str | None = "PiecewiseConstant",
    ) -> None: ...

class PolynomialDecay(Schedule):
    def __init__(
        self,
        initial_learning_rate: float | np.number[Any],
        decay_steps: float | np.number[Any],
        end_learning_rate: float | np.number[Any] = 0.0001,
        power: float | np.number[Any] = 1.0,
        cycle: bool | np.bool_ = False,
        name: str | None = None,
    ) -> None: ...
