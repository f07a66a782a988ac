"""The CUDA kernels and the device functions that they are built from.

- `structs`: the structs that kernels take
- `spec`: what a kernel is compiled for
- `train`: the persistent kernels, which work on many minibatches in one launch
- `ops`: one kernel per operation, to be captured in a CUDA graph
- `predict`: predictions, layer by layer or fused in shared memory; losses of outputs
- `passes`: forward and backward pass of a batch
- `forward`, `backward`, `losses`, `normalization`, `clipping`: the phases of a step
- `embedding`: those of the embedding of X's columns
- `elementwise`: activations, dropout and optimizer updates by element
- `gemm`, `tile`: tiled matrix products in shared memory, and how they are cut
- `reductions`: sums over warps, blocks and the grid; block groups and their barriers
"""
