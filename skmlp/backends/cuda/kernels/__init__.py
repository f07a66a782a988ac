"""The CUDA kernels and the device functions that they are built from.

- `structs`: the structs that kernels take
- `spec`: what a kernel is compiled for
- `train`: the persistent kernel that trains on many minibatches in one launch
- `ops`: one kernel per operation, launched from a CUDA graph
- `predict`, `predict_fused`: prediction layer by layer, and a block's rows through all
  layers in shared memory
- `passes`: forward and backward pass of a batch
- `forward`, `backward`, `losses`, `normalization`, `clipping`: the phases of a step
- `elementwise`: activations, dropout and optimizer updates by element
- `gemm`: tiled matrix products in shared memory
- `reductions`: sums over warps, blocks and the grid, and their barriers
"""
