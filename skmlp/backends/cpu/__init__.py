"""The CPU backend: a thread pool that runs Numba kernels.

`session` is what training sees, `workspace` allocates a fit's buffers, and `plan` cuts
the work into items. Below them lie three folders: `kernels/` (training, prediction and
the elementwise loops), `gemm/` (matrix products and vector operations) and `threads/`
(the pool, its size and its affinity). `intrinsics` has the LLVM instructions that Numba
lacks: pointers, atomics and prefetch.
"""

from typing import TYPE_CHECKING

from skmlp.backends.cpu.session import Session, evaluate, open_session, outputs

if TYPE_CHECKING:
    from skmlp import backends

    # mypy checks functions and arity here, tests/training/test_contract.py the names.
    _BACKEND: backends.Backend = backends.cpu
    _SESSION: type[backends.Session] = Session

__all__ = ["evaluate", "open_session", "outputs"]
