from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np

class Optimizer:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    learning_rate: float
    lr: float
    def apply(self, grads: Iterable[Any], params: Iterable[Any], names: Sequence[str] | None = None) -> None: ...
    def build(self, params: Iterable[Any], names: Sequence[str] | None = None) -> None: ...
    def finalize(self, params: Iterable[Any]) -> None: ...
    def exclude_from_weight_decay(self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | str | None = None) -> None: ...
    def set_seed(self, seed: int) -> None: ...
    def get_state(self) -> bytes: ...
    def set_state(self, state: bytes) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def iterations(self) -> int: ...
    @property
    def loss_scale(self) -> float: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Optimizer: ...
    # Settings are attributes.
    def __getattr__(self, name: str) -> Any: ...

class OptimizerMap(dict[str, Any]):
    default_optimizer: Any
    def __init__(self, default_optimizer: Any, optimizer_map: Mapping[str, Any] | None = None) -> None: ...
    def __call__(self, variable: Any) -> Any: ...
    def get_config(self) -> dict[str, Any]: ...

class ForeignOptimizer:
    learning_rate: float
    def __init__(self, optimizer: Any) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def iterations(self) -> int: ...
    def apply(self, grads: Iterable[Any], params: Iterable[Any], names: Sequence[str] | None = None) -> None: ...
    def finalize(self, params: Iterable[Any]) -> None: ...
    def get_config(self) -> dict[str, Any]: ...
    def get_state(self) -> bytes: ...
    def set_state(self, state: bytes) -> None: ...

@overload
def get(identifier: None) -> None: ...
@overload
def get(identifier: str | dict[str, Any] | type[Optimizer]) -> Optimizer: ...
@overload
def get(identifier: Optimizer) -> Optimizer: ...
@overload
def get(identifier: object) -> Optimizer | ForeignOptimizer: ...
def serialize(optimizer: Optimizer) -> dict[str, Any]: ...
def deserialize(config: dict[str, Any]) -> Optimizer: ...

# A class for each optimizer of plug-ins.
def __getattr__(name: str) -> Any: ...

# The classes of the standard set. The rest of this file is written by host/python/tools/stubs.py.

class Adadelta(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float | np.number[Any] = 0.95,
        epsilon: float | np.number[Any] = 1e-07,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class Adafactor(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float | np.number[Any] = -0.8,
        epsilon_1: float | np.number[Any] = 1e-30,
        epsilon_2: float | np.number[Any] = 0.001,
        clip_threshold: float | np.number[Any] = 1.0,
        relative_step: bool | np.bool_ = True,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class Adagrad(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float | np.number[Any] = 0.1,
        epsilon: float | np.number[Any] = 1e-07,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class Adam(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float | np.number[Any] = 0.9,
        beta_2: float | np.number[Any] = 0.999,
        epsilon: float | np.number[Any] = 1e-07,
        amsgrad: bool | np.bool_ = False,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class AdamW(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | np.number[Any] | None = 0.004,
        beta_1: float | np.number[Any] = 0.9,
        beta_2: float | np.number[Any] = 0.999,
        epsilon: float | np.number[Any] = 1e-07,
        amsgrad: bool | np.bool_ = False,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class Adamax(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float | np.number[Any] = 0.9,
        beta_2: float | np.number[Any] = 0.999,
        epsilon: float | np.number[Any] = 1e-07,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class Ftrl(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float | np.number[Any] = -0.5,
        initial_accumulator_value: float | np.number[Any] = 0.1,
        l1_regularization_strength: float | np.number[Any] = 0.0,
        l2_regularization_strength: float | np.number[Any] = 0.0,
        l2_shrinkage_regularization_strength: float | np.number[Any] = 0.0,
        beta: float | np.number[Any] = 0.0,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class Lamb(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float | np.number[Any] = 0.9,
        beta_2: float | np.number[Any] = 0.999,
        epsilon: float | np.number[Any] = 1e-07,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class Lion(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float | np.number[Any] = 0.9,
        beta_2: float | np.number[Any] = 0.99,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class LossScaleOptimizer(Optimizer):
    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float | np.number[Any] = 32768.0,
        dynamic_growth_steps: int | np.integer[Any] = 2000,
        name: str | None = None,
    ) -> None: ...

class MultiOptimizer(Optimizer):
    def __init__(
        self,
        optimizer_map: Any,
        loss_scale_factor: float | np.number[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class Muon(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float | np.number[Any] = 0.9,
        adam_beta_2: float | np.number[Any] = 0.999,
        adam_weight_decay: float | np.number[Any] | None = 0.004,
        epsilon: float | np.number[Any] = 1e-07,
        weight_decay: float | np.number[Any] | None = 0.004,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
        exclude_layers: Sequence[Any] | np.ndarray[Any, Any] | None = ...,
        exclude_embeddings: bool | np.bool_ = True,
        muon_a: float | np.number[Any] = 3.4445,
        muon_b: float | np.number[Any] = -4.775,
        muon_c: float | np.number[Any] = 2.0315,
        adam_lr_ratio: float | np.number[Any] = 1.0,
        momentum: float | np.number[Any] = 0.95,
        ns_steps: int | np.integer[Any] = 5,
        nesterov: bool | np.bool_ = True,
        rms_rate: float | np.number[Any] | None = 0.2,
    ) -> None: ...

class Nadam(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float | np.number[Any] = 0.9,
        beta_2: float | np.number[Any] = 0.999,
        epsilon: float | np.number[Any] = 1e-07,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class RMSprop(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float | np.number[Any] = 0.9,
        momentum: float | np.number[Any] = 0.0,
        epsilon: float | np.number[Any] = 1e-07,
        centered: bool | np.bool_ = False,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class SGD(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float | np.number[Any] = 0.0,
        nesterov: bool | np.bool_ = False,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...

class ScheduleFreeAdamW(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float | np.number[Any] = 0.9,
        beta_2: float | np.number[Any] = 0.999,
        epsilon: float | np.number[Any] = 1e-08,
        warmup_steps: int | np.integer[Any] = 0,
        weight_decay: float | np.number[Any] | None = None,
        clipnorm: float | np.number[Any] | None = None,
        clipvalue: float | np.number[Any] | None = None,
        global_clipnorm: float | np.number[Any] | None = None,
        use_ema: bool | np.bool_ = False,
        ema_momentum: float | np.number[Any] = 0.99,
        ema_overwrite_frequency: int | np.integer[Any] | None = None,
        loss_scale_factor: float | np.number[Any] | None = None,
        gradient_accumulation_steps: int | np.integer[Any] | None = None,
        name: str | None = None,
    ) -> None: ...
