"""Group sequential tests: the level that a test may use after n seeds if it may also be read before and after.

A test that is read after every new seed rejects a true hypothesis in 5 % of cases at each reading; read up to ten
times, in 19 %. Alpha spending (Lan and DeMets, Biometrika 70, 1983) distributes the 5 % over the readings: 0.8 (n/N)^2
of it up to the planned number N of seeds, 1 - 0.2 N/n afterwards, without an end. The boundaries follow from the joint
distribution of the test statistics, which is that of a Brownian motion at n (Armitage, McPherson and Rowe, JRSS A 132,
1969). They are computed for a known variance and applied to t tests by their significance level (Jennison and Turnbull,
Group Sequential Methods, section 4.4).
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc, exp, pi, sqrt

PLANNED = 3  # seeds of each row
SHARE = 0.8  # of the level, spent when the planned seeds are there
EVERY = 20  # readings after each seed up to here, later after each half as many more
HORIZONS = (3, 6, 12, 20)  # readings that are computed together
LOWEST, STEP = -6.0, 0.15  # of the grid of z

Mass = list[tuple[float, float]]  # z, its probability without a rejection so far


def list_looks(n: int) -> list[int]:
    """Return the numbers of seeds at which a test of `n` seeds has been read."""
    looks = list(range(1, min(n, EVERY) + 1))
    while looks and looks[-1] >= EVERY and (later := looks[-1] * 3 // 2) <= n:
        looks.append(later)
    return looks


def spend(n: int, planned: int = PLANNED) -> float:
    """Return the part of the level that is spent when `n` seeds are there."""
    return SHARE * (n / planned) ** 2 if n <= planned else 1 - (1 - SHARE) * planned / n


def compute_share(n: int, level: float, planned: int = PLANNED) -> float:
    """Return the level of a one-sided test at `n` seeds, divided by the level of all its readings together.

    n: one of `list_looks`.
    """
    looks = list_looks(n)
    horizon = next((size for size in HORIZONS if size >= len(looks)), len(looks))
    return _nominal_levels(horizon, level, planned)[len(looks) - 1] / level


@lru_cache(maxsize=256)
def _nominal_levels(readings: int, level: float, planned: int) -> list[float]:
    """Return the level of each of the first readings."""
    looks = list_looks(EVERY)
    while len(looks) < readings:
        looks.append(looks[-1] * 3 // 2)
    # 1. Before the first reading z is 0 at n = 0.
    levels: list[float] = []
    mass: Mass = [(0.0, 1.0)]
    before, spent = 0, 0.0
    for n in looks[:readings]:
        # 2. The boundary: the probability to cross it now, and not before, is what may be spent now.
        total = level * spend(n, planned)
        bound = _find_bound(mass, before, n, total - spent)
        levels.append(_tail(bound))
        # 3. The distribution of z below the boundary.
        mass = _move(mass, before, n, bound)
        before, spent = n, total
    return levels


def _find_bound(mass: Mass, before: int, n: int, increment: float) -> float:
    """Return the z at `n` that is exceeded with the probability `increment`, by bisection."""
    low, high = 0.0, 9.0
    for _ in range(44):
        middle = (low + high) / 2
        crossing = sum(p * _tail(_standardize(middle, z, before, n)) for z, p in mass)
        low, high = (middle, high) if crossing > increment else (low, middle)
    return (low + high) / 2


def _move(mass: Mass, before: int, n: int, bound: float) -> Mass:
    """Return the distribution at `n` below the boundary, on a grid with the weights of Simpson's rule."""
    cells = 2 * round((bound - LOWEST) / STEP / 2)
    width = (bound - LOWEST) / cells
    scale = sqrt(n / (n - before)) / sqrt(2 * pi) * width / 3
    moved = []
    for i in range(cells + 1):
        z = LOWEST + i * width
        weight = 1 if i in (0, cells) else 4 if i % 2 else 2
        density = sum(p * exp(-0.5 * _standardize(z, start, before, n) ** 2) for start, p in mass)
        moved.append((z, weight * scale * density))
    return moved


def _standardize(z: float, start: float, before: int, n: int) -> float:
    """Return the z at `n` as an increment of the Brownian motion that was at `start` (as a z) before."""
    return (z * sqrt(n) - start * sqrt(before)) / sqrt(n - before)


def _tail(z: float) -> float:
    return 0.5 * erfc(z / sqrt(2))
