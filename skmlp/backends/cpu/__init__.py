"""The CPU backend: a team of threads over Numba kernels and single-threaded BLAS.

`kernels` holds the loops over minibatches, `loops` the rules' loops over blocks,
`first_layer` what differs between dense and sparse X, `products` the products of
matrices, `team` the threads, `plan` how work is cut, and `session` what training sees.
"""

from skmlp.backends.cpu.session import assess, open_session, outputs

__all__ = ["assess", "open_session", "outputs"]
