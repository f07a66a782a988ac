"""The optimizer with which tests train on the level of sessions."""

import numpy as np

from skmlp import MLPRegressor
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config


def make_optimizer(name, size, dtype=np.float64, segments=(), **others):
    """An optimizer whose rate changes from step to step, with visible weight decay."""
    settings = MLPRegressor(
        solver=name,
        learning_rate="exponential",
        learning_rate_init=0.02,
        decay_epochs=3,
        weight_decay=0.5,
        beta_2=0.99,
        **others,
    )
    return OptimizerState(make_optimizer_config(settings, segments), size, dtype)
