"""The two training programs of the CUDA backend.

- `persistent`: one cooperative launch of a persistent kernel for many minibatches
- `per_op`: one kernel per operation, captured in a CUDA graph, for large steps
- `matmul`: matrix products of the second, by cuBLAS or by our own kernel
"""
