"""What the tests of compiled CUDA kernels need: NVIDIA's compiler, but no GPU."""

import os

import pytest
from cuda_compiler import missing_libraries


@pytest.fixture
def nvvm():
    """Skips a test without NVIDIA's compiler; fails it where CI has installed that."""
    missing = missing_libraries()
    if missing and os.environ.get("SKMLP_REQUIRE_NVVM"):
        pytest.fail(f"not installed: {missing}")
    if missing:
        pytest.skip(f'no {", ".join(missing)}: pip install -e ".[cu13]"')
