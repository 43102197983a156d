"""Student's t without scipy, which takes longer to import than a table takes to render.

Names as in scipy.stats: sf is the survival function P(T > t), isf its inverse, nct the noncentral t with noncentrality
`nc`. Equal to scipy to 1e-9, which the tests check. The incomplete beta function by its continued fraction (Lentz), the
noncentral t by Lenth's series (AS 243, Applied Statistics 38, 1989). `df` may be infinite: the normal distribution.
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc, exp, isinf, lgamma, log, log1p, sqrt

ALPHA = 0.05  # what is stated with 95 % confidence is wrong in 5 % of cases at most
POWER = 0.8  # a study that is large enough finds a true effect in 80 % of cases
MAX_PAIRS = 1000  # the search for a sample size ends here
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
    """P(T > t) of the noncentral t."""
    if isinf(df):
        return norm_cdf(nc - t)
    if t < 0:
        return 1 - nct_sf(-t, df, -nc)
    x, half = t * t / (t * t + df), nc * nc / 2
    if x == 0:
        return norm_cdf(nc)
    total, term, n = 0.0, 0.0, 0
    while n < 2000:
        p = exp(-half + n * log(half or TINY) - lgamma(n + 1))
        q = exp(-half + n * log(half or TINY) - lgamma(n + 1.5)) * nc / sqrt(2)
        term = p * incomplete_beta(n + 0.5, df / 2, x) + q * incomplete_beta(n + 1.0, df / 2, x)
        total += term
        n += 1
        if n > half and abs(term) < 1e-14:
            break
    return min(1.0, max(0.0, 1 - norm_cdf(-nc) - total / 2))


def power(effect: float, sd: float, n: int, level: float = ALPHA) -> float:
    """Return the power of a two-sided t test of `n` values, or of n pairs: how often it finds a true `effect`."""
    df = n - 1.0
    critical, nc = t_isf(level / 2, df), effect * sqrt(n) / sd
    return nct_sf(critical, df, nc) + nct_sf(critical, df, -nc)


@lru_cache(maxsize=4096)
def compute_required_pairs(effect: float, sd: float, level: float = ALPHA) -> int:
    """Return the smallest number of pairs of runs that finds `effect` with a power of 80 %, at most MAX_PAIRS."""
    low, high = 2, 3
    while power(effect, sd, high, level) < POWER:
        low, high = high, high * 2
        if low >= MAX_PAIRS:
            return MAX_PAIRS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(effect, sd, middle, level) < POWER else (low, middle)
    return min(high, MAX_PAIRS)


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
