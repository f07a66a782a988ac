"""The mathematics, each rule stated once as plain Python on scalars.

Nothing here imports Numba. The reference backend runs these functions as they
stand; the compiled backends hand the very same functions to Numba. Scalars keep
their dtype: a rule writes ``T = type(z)`` and ``T(1)``, because a bare ``1.0``
would turn single-precision code into double.
"""
