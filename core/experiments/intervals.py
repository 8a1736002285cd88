"""Numbers with 95 % intervals, from samples: shares, medians, and how often one of a pair is larger."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .claim import Measured, unknown

Z = 1.959963984540054  # of 95 % in a normal distribution
STUDENT_T = {  # degrees of freedom -> t of 95 %
    1: 12.7062, 2: 4.30266, 3: 3.18245, 4: 2.77645, 5: 2.57059, 6: 2.44692, 7: 2.36463, 8: 2.30601, 9: 2.26216,
    10: 2.22814, 12: 2.17882, 15: 2.13145, 20: 2.08597, 30: 2.04228, 60: 2.0003, 120: 1.97993, 1000: 1.96234,
}  # fmt: skip


def share(hits: int, of: int) -> Measured:
    """The share of ``hits`` among ``of`` independent trials, with Wilson's interval (Wilson 1927)."""
    if of < 1:
        return unknown("no trials")
    p, z2 = hits / of, Z * Z
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    reach = Z / (1 + z2 / of) * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    return Measured(p, max(0.0, middle - reach), min(1.0, middle + reach), f"{hits} of {of}")


def median(sample: ArrayLike) -> Measured:
    """The median of independent numbers (n,), with the interval between order statistics that holds it at 95 %.

    Below 6 numbers no such interval exists: it is then their whole range, and the note says so.
    """
    x = np.sort(np.asarray(sample, dtype=float).ravel())
    if not len(x) or np.isnan(x).any():
        return unknown("nothing to take the median of" if not len(x) else "some numbers are not known")
    n, below, k = len(x), 0.0, 0  # P(fewer than k of n are below the median) <= 2.5 %
    while below + math.comb(n, k) * 0.5**n <= 0.025:
        below += math.comb(n, k) * 0.5**n
        k += 1
    low, high = (x[k - 1], x[n - k]) if k else (x[0], x[-1])
    note = f"median of {n}" if k else f"median of {n}, in their whole range"
    return Measured(float(np.median(x)), float(low), float(high), note)


def mean(sample: ArrayLike) -> Measured:
    """The mean of independent numbers (n,), with Student's interval of 95 %; one number alone has no interval."""
    x = np.asarray(sample, dtype=float).ravel()
    if not len(x) or np.isnan(x).any():
        return unknown("nothing to take the mean of" if not len(x) else "some numbers are not known")
    middle = float(x.mean())
    if len(x) == 1:
        return Measured(middle, math.nan, math.nan, "one number, which has no interval")
    reach = student_t(len(x)) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Measured(middle, middle - reach, middle + reach, f"mean of {len(x)}")


def student_t(n: int) -> float:
    """Student's t for an interval of 95 % from ``n`` >= 2 numbers, where the table has a gap that of the next fewer."""
    return STUDENT_T[max(degrees for degrees in STUDENT_T if degrees < n)]


def paired_difference(first: ArrayLike, second: ArrayLike) -> Measured:
    """The mean of ``second - first`` over pairs (n,): what belongs to a pair cancels."""
    return mean(np.asarray(second, dtype=float) - np.asarray(first, dtype=float))
