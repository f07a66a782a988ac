"""exp, log, log1p and tanh without a branch or a library call, for LLVM to vectorise.

A call into the mathematical library stops the vectorisation of the loop around it
and costs 5 to 20 ns an element; these cost well under one. Method: S. L. Moshier,
"Methods and Programs for Mathematical Functions" (Cephes), 1989: reduction of the
argument by a split logarithm of two, then a short polynomial. The integer nearest
to a number is read from the low bits of its sum with 1.5 * 2^p (p the number of
fraction bits), which needs neither a floor nor a conversion and so vectorises on
every instruction set.

The order of the operations is the point of this code: it must be compiled without
leave to reassociate (see `skmlp.jit.exact`).

The two primitives `bits_of` and `from_bits` are replaced by plain reinterpretations
when compiled. Integers are cast after every operation, since Numba widens their sums.
"""

import numpy as np

from skmlp.rules import elementary

_INTEGER_OF = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}
_FLOAT_OF = {np.dtype(np.int32): np.float32, np.dtype(np.int64): np.float64}


def bits_of(x):
    """Reinterpret a float scalar as the signed integer of the same size."""
    return x.view(_INTEGER_OF[x.dtype])


def from_bits(i):
    """Reinterpret a signed integer scalar as the float of the same size."""
    return i.view(_FLOAT_OF[i.dtype])


def exp_float32(x):
    """Exp in single precision, within 2 ulp; zero below 2^-125, infinite above 88.7."""
    T = np.float32
    I = np.int32  # noqa: E741 - the integer of T's size, beside T
    a = T(-87.5) if x < T(-87.5) else (T(88.75) if x > T(88.75) else x)
    shifted = a * T(1.44269504) + T(12582912.0)
    k = shifted - T(12582912.0)
    r = a - k * T(0.693359375)
    r = r - k * T(-2.12194440e-4)
    p = T(1.9875691500e-4)
    p = p * r + T(1.3981999507e-3)
    p = p * r + T(8.3334519073e-3)
    p = p * r + T(4.1665795894e-2)
    p = p * r + T(1.6666665459e-1)
    p = p * r + T(5.0000001201e-1)
    p = p * r * r + r + T(1)
    # 2 p 2^(k-1): the factor 2^k alone would overflow for the largest results.
    y = (p + p) * from_bits(I((bits_of(shifted) + I(126)) << I(23)))
    return T(np.inf) if x > T(88.72284) else y


def exp_float64(x):
    """Exp in double precision, within 2 ulp; 0 below 2^-1021, infinite above 709.8."""
    T = np.float64
    I = np.int64  # noqa: E741
    a = T(-708.6) if x < T(-708.6) else (T(709.8) if x > T(709.8) else x)
    shifted = a * T(1.4426950408889634) + T(6755399441055744.0)
    k = shifted - T(6755399441055744.0)
    r = a - k * T(6.93145751953125e-1)
    r = r - k * T(1.42860682030941723212e-6)
    p = T(1.6059043836821613e-10)
    p = p * r + T(2.08767569878681e-09)
    p = p * r + T(2.505210838544172e-08)
    p = p * r + T(2.755731922398589e-07)
    p = p * r + T(2.7557319223985893e-06)
    p = p * r + T(2.48015873015873e-05)
    p = p * r + T(1.984126984126984e-04)
    p = p * r + T(1.388888888888889e-03)
    p = p * r + T(8.333333333333333e-03)
    p = p * r + T(4.1666666666666664e-02)
    p = p * r + T(1.6666666666666666e-01)
    p = p * r + T(0.5)
    p = p * r * r + r + T(1)
    y = (p + p) * from_bits(I((bits_of(shifted) + I(1022)) << I(52)))
    return T(np.inf) if x > T(709.782712893384) else y


def _atanh_float32(s):
    """atanh(s) for abs(s) <= 0.172, by its series (5 terms)."""
    T = np.float32
    q = s * s
    p = T(1.0 / 9.0)
    p = p * q + T(1.0 / 7.0)
    p = p * q + T(0.2)
    p = p * q + T(1.0 / 3.0)
    return s + s * (q * p)


def _atanh_float64(s):
    """atanh(s) for abs(s) <= 0.172, by its series (11 terms)."""
    T = np.float64
    q = s * s
    p = T(1.0 / 21.0)
    p = p * q + T(1.0 / 19.0)
    p = p * q + T(1.0 / 17.0)
    p = p * q + T(1.0 / 15.0)
    p = p * q + T(1.0 / 13.0)
    p = p * q + T(1.0 / 11.0)
    p = p * q + T(1.0 / 9.0)
    p = p * q + T(1.0 / 7.0)
    p = p * q + T(0.2)
    p = p * q + T(1.0 / 3.0)
    return s + s * (q * p)


def log_float32(x):
    """Log in single precision, within 2 ulp for normal numbers; log(0) is -inf."""
    T = np.float32
    I = np.int32  # noqa: E741
    i = bits_of(x)
    # 1060439283 are the bits of sqrt(1/2): the mantissa lands in [sqrt(1/2), sqrt(2)).
    e = I((i - I(1060439283)) >> I(23))
    m = from_bits(I(i - (e << I(23))))
    k = T(e)
    s = (m - T(1)) / (m + T(1))
    y = k * T(0.693359375) + (k * T(-2.12194440e-4) + T(2) * _atanh_float32(s))
    y = y if x > T(0) else (T(-np.inf) if x == T(0) else T(np.nan))
    return y if x < T(np.inf) else x


def log_float64(x):
    """Log in double precision, within 2 ulp for normal numbers; log(0) is -inf."""
    T = np.float64
    I = np.int64  # noqa: E741
    i = bits_of(x)
    e = (i - I(4604544271217802189)) >> I(52)
    m = from_bits(I(i - (e << I(52))))
    k = T(e)
    s = (m - T(1)) / (m + T(1))
    y = k * T(6.93145751953125e-1) + (
        k * T(1.42860682030941723212e-6) + T(2) * _atanh_float64(s)
    )
    y = y if x > T(0) else (T(-np.inf) if x == T(0) else T(np.nan))
    return y if x < T(np.inf) else x


def log1p_float32(x):
    """log1p in single precision for 0 <= x <= 1, within 2 ulp."""
    T = np.float32
    near = x < T(0.41421356)
    s = (x if near else x - T(1)) / (x + T(2) if near else x + T(3))
    return T(2) * _atanh_float32(s) + (T(0) if near else T(0.6931471805599453))


def log1p_float64(x):
    """log1p in double precision for 0 <= x <= 1, within 2 ulp."""
    T = np.float64
    near = x < T(0.41421356)
    s = (x if near else x - T(1)) / (x + T(2) if near else x + T(3))
    return T(2) * _atanh_float64(s) + (T(0) if near else T(0.6931471805599453))


def tanh_float32(x):
    """Tanh in single precision, within 2 ulp."""
    T = np.float32
    a = -x if x < T(0) else x
    q = x * x
    p = T(-5.70498872745e-3)
    p = p * q + T(2.06390887954e-2)
    p = p * q + T(-5.37397155531e-2)
    p = p * q + T(1.33314422036e-1)
    p = p * q + T(-3.33332819422e-1)
    small = x + x * (q * p)
    large = T(1) - T(2) / (exp_float32(a + a) + T(1))
    large = -large if x < T(0) else large
    return large if a > T(0.625) else small


def tanh_float64(x):
    """Tanh in double precision, within 2 ulp."""
    T = np.float64
    a = -x if x < T(0) else x
    q = x * x
    # Chebyshev fit of (tanh(x) / x - 1) / x² on x² < 0.3907, error 1.5e-19; a quotient
    # of polynomials would be shorter, but LLVM does not vectorise its division.
    p = T(-2.4384003993887690615e-6)
    p = p * q + T(1.2208951562629078685e-5)
    p = p * q + T(-3.7080115855938579733e-5)
    p = p * q + T(9.6040554453156161761e-5)
    p = p * q + T(-2.3888925486753106677e-4)
    p = p * q + T(5.8998177084671414139e-4)
    p = p * q + T(-1.4558283927967682826e-3)
    p = p * q + T(3.5921275068775015508e-3)
    p = p * q + T(-8.8632354997551907275e-3)
    p = p * q + T(2.1869488535131437749e-2)
    p = p * q + T(-5.3968253968235866341e-2)
    p = p * q + T(1.3333333333333320734e-1)
    p = p * q + T(-3.3333333333333333319e-1)
    small = x + x * (q * p)
    large = T(1) - T(2) / (exp_float64(a + a) + T(1))
    large = -large if x < T(0) else large
    return large if a > T(0.625) else small


# The helpers that compiled code must know, and what replaces each elementary
# function there, in single and in double precision.
HELPERS = (_atanh_float32, _atanh_float64, exp_float32, exp_float64)
REPLACEMENTS = {
    elementary.exp: (exp_float32, exp_float64),
    elementary.log: (log_float32, log_float64),
    elementary.log1p: (log1p_float32, log1p_float64),
    elementary.tanh: (tanh_float32, tanh_float64),
}
