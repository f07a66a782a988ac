"""The kernels of the CPU backend.

- `structs`: the structs that kernels take by pointer
- `train`: the loops over minibatches, and the full-batch gradient for L-BFGS
- `forward_backward`: phase 1 of a minibatch, over row blocks
- `update`: phase 2 of a minibatch, gradient and optimizer step by parameter range
- `input_layer`: the first layer, with dense or sparse X
- `batch_norm`, `layer_norm`: normalization of hidden layers
- `clipping`: training with gradient clipping and max-norm constraints
- `regularization`: the loops of dropout, input noise, clipping and max-norm
- `elementwise`, `losses`: activations, optimizer updates and losses, compiled from the
  rules
- `predict`: forward pass and evaluation without training
"""
