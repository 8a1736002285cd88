"""Numbers with 95 % intervals, from samples: shares, medians, and how often one of a pair is larger."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .claim import Measured, unknown

Z = 1.959963984540054  # of 95 % in a normal distribution


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
    """The mean of independent numbers (n,), with its normal interval of 95 %; of one number, that number."""
    x = np.asarray(sample, dtype=float).ravel()
    if not len(x) or np.isnan(x).any():
        return unknown("nothing to take the mean of" if not len(x) else "some numbers are not known")
    middle = float(x.mean())
    reach = Z * float(x.std(ddof=1)) / math.sqrt(len(x)) if len(x) > 1 else 0.0
    return Measured(middle, middle - reach, middle + reach, f"mean of {len(x)}")


def paired_difference(first: ArrayLike, second: ArrayLike) -> Measured:
    """The mean of ``second - first`` over pairs (n,): what belongs to a pair cancels."""
    return mean(np.asarray(second, dtype=float) - np.asarray(first, dtype=float))
