"""Training on NVIDIA GPUs, by kernels that run a whole span of minibatches."""
