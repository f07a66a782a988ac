"""The constants of batch and layer normalization, for every backend.

They are those of PyTorch's BatchNorm1d and LayerNorm, so that networks can be compared.
"""

# Added to variances, so that a constant unit is not divided by zero.
EPSILON = 1e-5
# Weight of a new minibatch in the running statistics.
MOMENTUM = 0.1
