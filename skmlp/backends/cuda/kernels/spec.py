"""What a kernel is compiled for: the rules of a training, but none of its sizes."""

from typing import NamedTuple

import numpy as np

from skmlp.backends.cuda.kernels.tile import Tile
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
    sparse : bool
        Whether X is sparse.
    copies_x : bool
        Whether the batch's rows of a dense X are copied to the workspace, and not read
        in place.
    embeds : bool
        Whether columns of X are embedded; then `copies_x`, too.
    has_dropout, has_noise, clips_gradient, clips_weights : bool
        Which regularization there is.
    forward_only : bool
        Whether there is no backward pass, which would need more than the outputs.
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
    copies_x: bool = False
    embeds: bool = False
    has_dropout: bool = False
    has_noise: bool = False
    clips_gradient: bool = False
    clips_weights: bool = False
    forward_only: bool = False

    @property
    def needs_preactivation(self):
        """Whether the backward pass needs any layer's preactivation."""
        return not self.forward_only and any(
            row.needs_preactivation for row in self.activations
        )

    @property
    def stores_preactivation(self):
        """Whether the backward pass needs anything beside the outputs."""
        return self.has_dropout or self.needs_preactivation
