"""The elementary functions without a branch or a library call, for LLVM to vectorize.

A call into the mathematical library stops the vectorization of the loop around it
and costs 5 to 20 ns an element; these cost well under one. Method: S. L. Moshier,
"Methods and Programs for Mathematical Functions" (Cephes), 1989: reduction of the
argument, for exponentials by a split logarithm of two, then a short polynomial. The
integer nearest to a number is read from the low bits of its sum with 1.5 * 2^p (p the
number of fraction bits), which needs neither a floor nor a conversion and so
vectorizes on every instruction set. A sum with the exponent's bias added to 1.5 * 2^p
has in its low bits the exponent of that power of two, ready to be shifted in place.

What a vectorized loop costs is the number of its multiplications, of which a division
is worth ten: no function has two. Coefficients without a source named are minimax
fits by weighted least squares (Lawson, 1961) on the range and with the relative
error that the docstrings state.

The order of the operations is the point of this code: it must be compiled without
leave to reassociate (see `skmlp.compiler.jit.exact`). The bounds in ulp hold with fused
multiplications and additions as well as without.

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


def _expm1_near_0_float32(r):
    """expm1(r) for abs(r) <= log(2) / 2; relative error 1.3e-8."""
    T = np.float32
    q = r * r
    # Even and odd terms apart: two chains of half the length at no further cost.
    odd = T(8.366529477912116e-3) * q + T(1.6666543547049362e-1)
    even = T(1.38834189879011189e-3) * q + T(4.1667192751464627e-2)
    even = even * q + T(4.9999998113472651e-1)
    return (odd * r + even) * q + r


def _expm1_near_0_float64(r):
    """expm1(r) for abs(r) <= log(2) / 2; relative error 1.8e-17."""
    T = np.float64
    q = r * r
    odd = T(2.505640279840207229e-8) * q + T(2.755739965773941499e-6)
    odd = odd * q + T(1.984126972728941306e-4)
    odd = odd * q + T(8.333333333386033589e-3)
    odd = odd * q + T(1.666666666666665942e-1)
    even = T(2.762608226307147901e-7) * q + T(2.480150516125935591e-5)
    even = even * q + T(1.388888893166440139e-3)
    even = even * q + T(4.166666666657639379e-2)
    even = even * q + T(5.000000000000005224e-1)
    return (odd * r + even) * q + r


def _split_float32(x):
    """2^(k-1) and r such that exp(x) is 2^k exp(r), abs(r) <= log(2) / 2.

    For -87.7 < x < 89; at the lower end the power of two is zero.
    """
    T = np.float32
    I = np.int32  # noqa: E741 - the integer of T's size, beside T
    shifted = x * T(1.44269504) + T(12582912.0 + 126.0)
    k = shifted - T(12582912.0 + 126.0)
    r = x - k * T(0.693359375)
    r = r - k * T(-2.12194440e-4)
    return from_bits(I(bits_of(shifted) << I(23))), r


def _split_float64(x):
    """2^(k-1) and r such that exp(x) is 2^k exp(r), for -708.7 < x < 710."""
    T = np.float64
    I = np.int64  # noqa: E741
    shifted = x * T(1.4426950408889634) + T(6755399441055744.0 + 1022.0)
    k = shifted - T(6755399441055744.0 + 1022.0)
    r = x - k * T(6.93145751953125e-1)
    r = r - k * T(1.42860682030941723212e-6)
    return from_bits(I(bits_of(shifted) << I(52))), r


def exp_float32(x):
    """Exp in single precision, within 2 ulp; zero below 2^-125, infinite above 88.7."""
    T = np.float32
    a = T(-87.5) if x < T(-87.5) else x
    half, r = _split_float32(T(88.75) if a > T(88.75) else a)
    y = _expm1_near_0_float32(r) + T(1)
    # Twice 2^(k-1): the factor 2^k alone would overflow for the largest results.
    return (y + y) * half


def exp_float64(x):
    """Exp in double precision, within 2 ulp; 0 below 2^-1021, infinite above 709.8."""
    T = np.float64
    a = T(-708.6) if x < T(-708.6) else x
    half, r = _split_float64(T(709.8) if a > T(709.8) else a)
    y = _expm1_near_0_float64(r) + T(1)
    return (y + y) * half


def expm1_float32(x):
    """expm1 in single precision, within 2 ulp: 2^k expm1(r) + (2^k - 1)."""
    T = np.float32
    a = T(-20) if x < T(-20) else x
    half, r = _split_float32(T(88.75) if a > T(88.75) else a)
    y = _expm1_near_0_float32(r) * half + (half - T(0.5))
    return y + y


def expm1_float64(x):
    """expm1 in double precision, within 2 ulp: 2^k expm1(r) + (2^k - 1)."""
    T = np.float64
    a = T(-40) if x < T(-40) else x
    half, r = _split_float64(T(709.8) if a > T(709.8) else a)
    y = _expm1_near_0_float64(r) * half + (half - T(0.5))
    return y + y


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


def _magnitude_float32(x):
    """abs(x), by its bits: a comparison and a choice would cost one operation more."""
    return from_bits(np.int32(bits_of(x) & np.int32(0x7FFFFFFF)))


def _magnitude_float64(x):
    """abs(x)."""
    return from_bits(np.int64(bits_of(x) & np.int64(0x7FFFFFFFFFFFFFFF)))


def _with_sign_float32(y, x):
    """The non-negative y with the sign of x."""
    sign = np.int32(bits_of(x) & np.int32(-0x80000000))
    return from_bits(np.int32(bits_of(y) | sign))


def _with_sign_float64(y, x):
    """The non-negative y with the sign of x."""
    sign = np.int64(bits_of(x) & np.int64(-0x8000000000000000))
    return from_bits(np.int64(bits_of(y) | sign))


def _exp_quotient_float32(x):
    """s, y and w such that exp(2 x) is s (1 + w + y) / (1 + w - y), for abs(x) < 44.

    s is a power of two, zero at the lower end and infinite just beyond the upper one,
    y what it leaves of x, and 1 + w is y coth(y) (Abramowitz and Stegun, 1964, section
    4.5). That function is even, so it takes half the terms of exp, and the division is
    one that tanh and expit need anyway. y is in [-0.124, 0.224], out of center, because
    tanh loses digits where s is 2 or 4 and y negative. Relative error of 1 + w: 9.8e-9.
    """
    T = np.float32
    I = np.int32  # noqa: E741
    shifted = (x - T(0.05)) * T(2.88539008) + T(12582912.0 + 127.0)
    k = shifted - T(12582912.0 + 127.0)
    y = x - k * T(0.3466796875)
    y = y - k * T(-1.0609722e-4)
    q = y * y
    w = (T(-2.2076290587312607e-2) * q + T(3.333310911003946e-1)) * q
    return from_bits(I(bits_of(shifted) << I(23))), y, w


def _exp_quotient_float64(x):
    """As in single precision, for abs(x) < 355; error of 1 + w 1.8e-17."""
    T = np.float64
    I = np.int64  # noqa: E741
    shifted = (x - T(0.05)) * T(2.8853900817779268) + T(6755399441055744.0 + 1023.0)
    k = shifted - T(6755399441055744.0 + 1023.0)
    y = x - k * T(3.465728759765625e-1)
    y = y - k * T(7.14303410154708616e-7)
    q = y * y
    w = T(2.1062770921567197e-05) * q + T(-0.00021162305072968749)
    w = w * q + T(0.0021164016914921036)
    w = w * q + T(-0.022222222217628942)
    w = w * q + T(0.33333333333331722)
    return from_bits(I(bits_of(shifted) << I(52))), y, w * q


def expit_float32(x):
    """Expit in single precision, within 3 ulp; zero below 2^-127.

    By exp(-x), so that the numerator is about 1: a factor that the compiler moves into
    it, such as silu's, must not overflow there. s is infinite at the end of the range.
    """
    T = np.float32
    a = T(-0.5) * x
    a = T(-43.9) if a < T(-43.9) else a
    s, y, w = _exp_quotient_float32(T(44.3) if a > T(44.3) else a)
    c = T(1) + w
    e = c - y
    return e / (e + s * (c + y))


def expit_float64(x):
    """Expit in double precision, within 3 ulp; zero below 2^-1023."""
    T = np.float64
    a = T(-0.5) * x
    a = T(-354.5) if a < T(-354.5) else a
    s, y, w = _exp_quotient_float64(T(354.9) if a > T(354.9) else a)
    c = T(1) + w
    e = c - y
    return e / (e + s * (c + y))


def tanh_float32(x):
    """Tanh in single precision, within 2.5 ulp; 1 from where s - 1 rounds to s.

    (exp(2 x) - 1) / (exp(2 x) + 1) by the parts above, without cancellation at zero.
    """
    T = np.float32
    a = _magnitude_float32(x)
    s, y, w = _exp_quotient_float32(T(10) if a > T(10) else a)
    n = ((s + T(1)) * y + (s - T(1)) * w) + (s - T(1))
    # The denominator from the numerator: near 1 the quotient forgets the error of n.
    return _with_sign_float32(n / ((T(2) * (w - y) + n) + T(2)), x)


def tanh_float64(x):
    """Tanh in double precision, within 2 ulp; 1 from where s - 1 rounds to s."""
    T = np.float64
    a = _magnitude_float64(x)
    s, y, w = _exp_quotient_float64(T(20) if a > T(20) else a)
    n = ((s + T(1)) * y + (s - T(1)) * w) + (s - T(1))
    return _with_sign_float64(n / ((T(2) * (w - y) + n) + T(2)), x)


def erf_float32(x):
    """Erf in single precision, within 3 ulp: 1 - exp(-a p(a)) for a = abs(x).

    p is fitted to -log(erfc(a)) / a up to 4, where erf rounds to 1; error in erf
    3.9e-9. The difference is expm1's, precise around zero; where erf is close to 1,
    the exponential is small and its error with it.
    """
    T = np.float32
    a = _magnitude_float32(x)
    a = T(4) if a > T(4) else a
    q = a * a
    odd = T(0.0001175054667) * q + T(0.001666332653)
    odd = odd * q + T(-0.01915334178)
    odd = odd * q + T(0.6366193746)
    even = T(-9.239297194e-06) * q + T(-0.0006324060137)
    even = even * q + T(-0.00015979151)
    even = even * q + T(0.1027778934)
    even = even * q + T(0.003379171871)
    # With most of p(0) apart, the exponent has one rounding close to zero, not three.
    half, r = _split_float32(-(a * T(1.125) + a * (odd * a + even)))
    y = (T(0.5) - half) - _expm1_near_0_float32(r) * half
    return _with_sign_float32(y + y, x)


def erf_float64(x):
    """Erf in double precision, within 3 ulp; p up to 6, error in erf 6.9e-17."""
    T = np.float64
    a = _magnitude_float64(x)
    a = T(6) if a > T(6) else a
    q = a * a
    odd = T(-4.7245739602334466e-13) * q + T(-9.490127230124442e-11)
    odd = odd * q + T(-3.1298182105562992e-09)
    odd = odd * q + T(8.667640340379718e-09)
    odd = odd * q + T(8.5509247086041107e-07)
    odd = odd * q + T(3.5671201253057935e-06)
    odd = odd * q + T(-2.932193557269899e-05)
    odd = odd * q + T(2.5955570806783423e-05)
    odd = odd * q + T(0.0016962105542056118)
    odd = odd * q + T(-0.019128446962723325)
    odd = odd * q + T(0.63661977236761202)
    even = T(1.1721155279820797e-14) * q + T(8.6674361361144041e-12)
    even = even * q + T(6.7677977233127985e-10)
    even = even * q + T(7.6876820038381283e-09)
    even = even * q + T(-1.7481533515472962e-07)
    even = even * q + T(-2.4318639992001191e-06)
    even = even * q + T(2.7936206549669029e-06)
    even = even * q + T(6.428913196890444e-05)
    even = even * q + T(-0.00059014692419628737)
    even = even * q + T(-0.00020919523391294041)
    even = even * q + T(0.10277260330004187)
    even = even * q + T(0.0033791670955125586)
    half, r = _split_float64(-(a * T(1.125) + a * (odd * a + even)))
    y = (T(0.5) - half) - _expm1_near_0_float64(r) * half
    return _with_sign_float64(y + y, x)


def arctan_float32(x):
    """Arctan in single precision, within 2 ulp.

    x, (x - 1) / (x + 1) or -1 / x, whichever is below tan(pi / 8); there the error
    of the polynomial is 6.7e-10. The angles 0, pi / 4 and pi / 2 come in two parts.
    """
    T = np.float32
    a = _magnitude_float32(x)
    small, large = a < T(0.41421356), a > T(2.4142135)
    n = a if small else (T(-1) if large else a - T(1))
    d = T(1) if small else (a if large else a + T(1))
    t = n / d
    q = t * t
    p = T(-0.06076784062) * q + T(0.105932687)
    p = p * q + T(-0.142434601)
    p = p * q + T(0.1999846735)
    p = p * q + T(-0.333333151)
    angle = T(0) if small else (T(1.5707964) if large else T(0.7853982))
    rest = T(0) if small else (T(-4.371139e-8) if large else T(-2.1855694e-8))
    return _with_sign_float32(angle + (t + (t * q * p + rest)), x)


def arctan_float64(x):
    """Arctan in double precision, within 2 ulp; error of the polynomial 1.3e-18."""
    T = np.float64
    a = _magnitude_float64(x)
    small, large = a < T(0.41421356), a > T(2.4142135)
    n = a if small else (T(-1) if large else a - T(1))
    d = T(1) if small else (a if large else a + T(1))
    t = n / d
    q = t * t
    p = T(-0.017893312198884348) * q + T(0.038051750443453831)
    p = p * q + T(-0.050387946235976741)
    p = p * q + T(0.058477744599837372)
    p = p * q + T(-0.066630879775019886)
    p = p * q + T(0.076920587682910588)
    p = p * q + T(-0.090908976740223219)
    p = p * q + T(0.11111110780440717)
    p = p * q + T(-0.14285714280133216)
    p = p * q + T(0.19999999999952914)
    p = p * q + T(-0.33333333333333193)
    angle = T(0) if small else (T(np.pi / 2) if large else T(np.pi / 4))
    rest = T(6.123233995736766e-17)
    rest = T(0) if small else (rest if large else T(0.5) * rest)
    return _with_sign_float64(angle + (t + (t * q * p + rest)), x)


# The helpers that compiled code must know, and what replaces each elementary
# function there, in single and in double precision.
HELPERS = (
    _magnitude_float32,
    _magnitude_float64,
    _with_sign_float32,
    _with_sign_float64,
    _split_float32,
    _split_float64,
    _expm1_near_0_float32,
    _expm1_near_0_float64,
    _exp_quotient_float32,
    _exp_quotient_float64,
    _atanh_float32,
    _atanh_float64,
)
REPLACEMENTS = {
    elementary.arctan: (arctan_float32, arctan_float64),
    elementary.erf: (erf_float32, erf_float64),
    elementary.exp: (exp_float32, exp_float64),
    elementary.expit: (expit_float32, expit_float64),
    elementary.expm1: (expm1_float32, expm1_float64),
    elementary.log: (log_float32, log_float64),
    elementary.log1p: (log1p_float32, log1p_float64),
    elementary.tanh: (tanh_float32, tanh_float64),
}
