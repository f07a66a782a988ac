"""What the CUDA backend needs of the driver, the compiler and NVIDIA's libraries.

Map of the folder. A module uses the modules below it only:

- `cublas`: GEMM by cuBLAS
- `memory`: allocation, copies between host and device, when memory is freed
- `graph`: CUDA graphs and streams
- `device_cache`: X of earlier fits on the device
- `jit`: kernels, device functions and rules, compiled or simulated
- `cubin_cache`: compiled kernels on disk
- `internals`: private interfaces of numba-cuda, with checks and fallbacks

These use nothing of the above but `simulator`:

- `device`: whether a GPU can be used, and what is missing; imports nothing of CUDA
- `launch`: launch configurations
- `content_hash`: keys of the device cache
- `numpy_functions`: NumPy's scalar functions in device code
- `simulator`: the switch between GPU and simulator, and the simulator's substitutes
"""
