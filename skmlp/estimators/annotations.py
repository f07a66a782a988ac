"""Types of the public parameters, for checkers and editors.

No type says what arrays, tables and sparse matrices have in common: X and y are `Any`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from skmlp.rules.activations import Activation
from skmlp.rules.loss_row import Loss

ActivationLike: TypeAlias = str | Activation
Activations: TypeAlias = ActivationLike | Sequence[ActivationLike]
BatchSize: TypeAlias = int | Literal["auto"]
BestEpoch: TypeAlias = Literal["first", "last"]
ClassWeight: TypeAlias = Mapping[Any, float] | Sequence[Any] | Literal["balanced"]
Columns: TypeAlias = str | ArrayLike
Dtype: TypeAlias = (
    Literal["float32", "float64"] | type[np.floating] | np.dtype[np.floating]
)
Embedding: TypeAlias = Literal["piecewise_linear"]
Factors: TypeAlias = str | ArrayLike
Layers: TypeAlias = int | ArrayLike
LossLike: TypeAlias = str | Loss
MatmulPrecision: TypeAlias = Literal["highest", "tf32"]
Normalization: TypeAlias = Literal["batch", "layer"]
Prior: TypeAlias = Mapping[Any, float] | ArrayLike | Literal["uniform"]
RandomState: TypeAlias = int | np.random.RandomState
Rates: TypeAlias = float | ArrayLike
Sampling: TypeAlias = Literal["balanced", "weights"]
Scoring: TypeAlias = str | Callable[..., float]
WeightInit: TypeAlias = str | Sequence[Any]

# What a decorator gives back with the signature that it was given.
Class = TypeVar("Class", bound=type)
Function = TypeVar("Function", bound=Callable[..., Any])
