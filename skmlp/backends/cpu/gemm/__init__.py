"""Matrix products (GEMM) and vector operations of the CPU backend.

- `matmul`: the loops around the micro-kernels, with packing
- `microkernels`: register tiles in LLVM IR
- `vector_ops`: copies of rows and sums of columns
- `simd`: the emitter of vector instructions that the others build on
"""
