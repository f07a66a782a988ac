"""What the CUDA backend needs of the driver and the compiler.

- `device`: which GPUs there are and what they can do
- `memory`: allocation, copies between host and device, and their errors
- `graph`: CUDA graphs and streams
- `cublas`: bindings of cuBLAS
- `launch`: launch configurations
- `jit`: decorators of kernels and device functions, also for the simulator
- `cubin_cache`: compiled kernels on disk
- `numpy_functions`: NumPy's scalar functions in device code
- `device_cache`, `content_hash`: X on the device, kept by a hash of its content
"""
