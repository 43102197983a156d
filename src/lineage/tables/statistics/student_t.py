"""Student's t without scipy, which takes longer to import than a table takes to render.

The incomplete beta function by its continued fraction (Lentz), the noncentral t by Lenth's series (AS 243, Applied
Statistics 38, 1989). Equal to scipy.stats to 1e-9, which the tests check. `freedom` may be infinite: the normal law.
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc, exp, isinf, lgamma, log, log1p, sqrt

ALPHA = 0.05  # what is stated with 95 % confidence is wrong in 5 % of cases at most
POWER = 0.8  # a study that is large enough finds a true effect in 80 % of cases
MOST = 1000  # seeds beyond which nobody asks for the exact number
TINY = 1e-300


def normal(x: float) -> float:
    """P(Z <= x)."""
    return 0.5 * erfc(-x / sqrt(2))


@lru_cache(maxsize=1 << 16)
def beyond(t: float, freedom: float) -> float:
    """P(T > t), one tail."""
    if isinf(freedom) or isinf(t):
        return normal(-t)
    tail = 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))
    return tail if t >= 0 else 1 - tail


@lru_cache(maxsize=1024)
def quantile(tail: float, freedom: float) -> float:
    """The t with P(T > t) = tail, for tails up to one half."""
    low, high = 0.0, 1.0
    while beyond(high, freedom) > tail:
        low, high = high, high * 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def beyond_shifted(t: float, freedom: float, shift: float) -> float:
    """P(T > t) of the noncentral t whose noncentrality is `shift`."""
    if isinf(freedom):
        return normal(shift - t)
    if t < 0:
        return 1 - beyond_shifted(-t, freedom, -shift)
    x, half = t * t / (t * t + freedom), shift * shift / 2
    if x == 0:
        return normal(shift)
    total, term, n = 0.0, 0.0, 0
    while n < 2000:
        p = exp(-half + n * log(half or TINY) - lgamma(n + 1))
        q = exp(-half + n * log(half or TINY) - lgamma(n + 1.5)) * shift / sqrt(2)
        term = p * incomplete_beta(n + 0.5, freedom / 2, x) + q * incomplete_beta(n + 1.0, freedom / 2, x)
        total += term
        n += 1
        if n > half and abs(term) < 1e-14:
            break
    return min(1.0, max(0.0, 1 - normal(-shift) - total / 2))


def power(effect: float, sd: float, n: int, level: float = ALPHA) -> float:
    """Of a two-sided one-sample t test (so of a paired one) of n values: how often a true `effect` is found."""
    freedom = n - 1.0
    critical, shift = quantile(level / 2, freedom), effect * sqrt(n) / sd
    return beyond_shifted(critical, freedom, shift) + beyond_shifted(critical, freedom, -shift)


@lru_cache(maxsize=4096)
def needed(effect: float, sd: float, level: float = ALPHA) -> int:
    """The fewest pairs of runs that find such an effect with a power of 80 %; MOST where it would take more."""
    low, high = 2, 3
    while power(effect, sd, high, level) < POWER:
        low, high = high, high * 2
        if low >= MOST:
            return MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(effect, sd, middle, level) < POWER else (low, middle)
    return min(high, MOST)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), regularised."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's method: the fraction converges fast where x < (a + 1) / (a + b + 2)."""
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d, c = 1 / _away(1 + step * d), _away(1 + step / c)
            value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return value


def _away(value: float) -> float:
    """From zero."""
    return value if abs(value) > TINY else TINY
