"""The constants of normalization, in one place for every backend.

They are those of PyTorch's BatchNorm1d and LayerNorm, so that networks can be compared.
"""

# Added to variances, so that a unit that never changes is not divided by zero.
EPSILON = 1e-5
# Share of a new minibatch in the running statistics.
MOMENTUM = 0.1
