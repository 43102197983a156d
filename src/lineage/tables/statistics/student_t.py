"""Student's t without scipy, which takes longer to import than a table takes to render.

Names as in scipy.stats: sf is the survival function P(T > t), isf its inverse, nct the noncentral t with noncentrality
`nc`, f the F distribution. The tests check that they equal scipy to 1e-9; two are approximations. The incomplete
beta function by its continued fraction (Lentz). `df` may be infinite: the normal distribution.
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc, exp, inf, isinf, lgamma, log, log1p, sqrt

ALPHA = 0.05  # what is stated with 95 % confidence is wrong in 5 % of cases at most
POWER = 0.8  # a study that is large enough finds a true effect in 80 % of cases
TINY = 1e-300


def norm_cdf(x: float) -> float:
    """P(Z <= x)."""
    return 0.5 * erfc(-x / sqrt(2))


@lru_cache(maxsize=1 << 16)
def t_sf(t: float, df: float) -> float:
    """P(T > t), one tail."""
    if isinf(df) or isinf(t):
        return norm_cdf(-t)
    tail = 0.5 * incomplete_beta(df / 2, 0.5, df / (df + t * t))
    return tail if t >= 0 else 1 - tail


@lru_cache(maxsize=1024)
def t_isf(p: float, df: float) -> float:
    """Return the t with P(T > t) = p, for p up to one half, by bisection."""
    low, high = 0.0, 1.0
    while t_sf(high, df) > p:
        low, high = high, high * 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if t_sf(middle, df) > p else (low, middle)
    return (low + high) / 2


def nct_sf(t: float, df: float, nc: float) -> float:
    """P(T > t) of the noncentral t, within 0.02 from 4 degrees of freedom on (Abramowitz and Stegun, 26.7.10)."""
    return norm_cdf((nc - t * (1 - 1 / (4 * df))) / sqrt(1 + t * t / (2 * df)))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), regularised."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Lentz's method; it converges fast if x < (a + 1) / (a + b + 2)."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d, c = 1 / _nonzero(1 + step * d), _nonzero(1 + step / c)
            value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return value


def _nonzero(value: float) -> float:
    """Replace a value too close to zero to divide by."""
    return value if abs(value) > TINY else TINY


def f_sf(f: float, df1: float, df2: float) -> float:
    """P(F > f) of the F distribution."""
    return incomplete_beta(df2 / 2, df1 / 2, df2 / (df2 + df1 * f))


def chi2_isf(p: float, df: float) -> float:
    """Return the x with P(chi-square > x) = p, by the approximation of Wilson and Hilferty (PNAS 17, 1931)."""
    z = t_isf(p, inf) if p <= 0.5 else -t_isf(1 - p, inf)
    spread = 2 / (9 * df)
    return df * max(0.0, 1 - spread + z * sqrt(spread)) ** 3
