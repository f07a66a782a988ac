"""The CPU backend: a thread pool that runs Numba kernels.

- `session`: the session that training sees
- `prediction`: predictions, what they need prepared once
- `evaluation`: losses of outputs
- `workspace`: allocates a fit's buffers
- `binding`: a network and its data in the form that kernels read
- `plan`: row blocks, parameter ranges and the number of threads
- `kernels/`: training, prediction, and the loops of the rules
- `gemm/`: matrix products and vector operations
- `threads/`: the thread pool, its autotuned size and its affinity
- `intrinsics`: LLVM intrinsics that Numba lacks: pointers, atomics and prefetch
"""

from typing import TYPE_CHECKING

from skmlp.backends.cpu.evaluation import evaluate, row_losses
from skmlp.backends.cpu.prediction import outputs, predictor
from skmlp.backends.cpu.session import Session, open_session

if TYPE_CHECKING:
    from skmlp import backends

    # mypy checks functions and arity here, tests/training/test_contract.py the names.
    _BACKEND: backends.Backend = backends.cpu
    _SESSION: type[backends.SharedSession] = Session
    _REUSABLE: type[backends.ReusableSession] = Session

__all__ = ["evaluate", "open_session", "outputs", "predictor", "row_losses"]
