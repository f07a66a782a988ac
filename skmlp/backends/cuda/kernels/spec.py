"""What a kernel is compiled for: the rules of a training, but none of its sizes."""

from typing import NamedTuple

import numpy as np

from skmlp.backends.cuda.kernels.gemm import Tile
from skmlp.rules.activations import Activation
from skmlp.rules.loss_row import LossRow


class Spec(NamedTuple):
    """Everything that changes the code of a kernel.

    Attributes
    ----------
    dtype : numpy dtype
    tile : Tile
    activations : tuple of Activation
        Those of the hidden layers, each once, softmax excepted.
    softmax : bool
        Whether any hidden layer is a softmax.
    loss : LossRow or None
    optimizer : str or None
        A row of `skmlp.rules.optimizers.OPTIMIZERS`; None without updates.
    normalization : {'batch', 'layer'} or None
    intercepts : bool
    sparse, loaded : bool
        Whether X is sparse; whether the batch's rows of X were copied to the room.
    drops, noisy, limits_gradient, limits_weights : bool
        What regularization there is.
    forward_only : bool
        Whether there is no way back, for which anything would be kept.
    """

    dtype: np.dtype
    tile: Tile
    activations: tuple[Activation, ...]
    softmax: bool
    loss: LossRow | None = None
    optimizer: str | None = None
    normalization: str | None = None
    intercepts: bool = True
    sparse: bool = False
    loaded: bool = False
    drops: bool = False
    noisy: bool = False
    limits_gradient: bool = False
    limits_weights: bool = False
    forward_only: bool = False

    @property
    def by_input(self):
        """Whether any slope that is needed is a function of its layer's inputs."""
        return not self.forward_only and any(
            row.needs_preactivation for row in self.activations
        )

    @property
    def keeps(self):
        """Whether anything but the outputs is kept for the slopes."""
        return self.drops or self.by_input
