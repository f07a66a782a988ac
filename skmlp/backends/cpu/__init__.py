"""The CPU backend: a team of threads over Numba kernels.

`kernels` holds the loops over minibatches, `prediction` those over rows to predict,
`loops` the rules' loops over blocks and `extras` those of regularisation,
`first_layer` what differs between dense and sparse X, `products` and `tiles` the
products of matrices, `team` the threads and `pace` their number, `plan` how work is
cut, and `session` what training sees.
"""

from skmlp.backends.cpu.session import assess, open_session, outputs

__all__ = ["assess", "open_session", "outputs"]
