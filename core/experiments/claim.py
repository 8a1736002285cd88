"""A claim, what it expects of the numbers measured here, and the verdict, which is computed from both.

A claim names quantities, and for each the range in which the paper is right. The verdict on a quantity is

    agrees      the whole interval measured is in the range
    disagrees   no point of it is
    undecided   it reaches over an end of the range, or nothing could be measured
    not run     the scale or the options leave out what it is measured on

and on a claim that of its quantities that were run, if they have the same; "partly" if some agree and others do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

AGREES, PARTLY, DISAGREES, UNDECIDED, NOT_RUN = "agrees", "partly", "disagrees", "undecided", "not run here"
VERDICTS = (AGREES, PARTLY, DISAGREES, UNDECIDED, NOT_RUN)


@dataclass(frozen=True)
class Measured:
    """A number with its interval, which is a point for what is exact; ``nan`` for what could not be measured.

    ``note`` says what the interval is, or why there is no number. ``played`` is false where what it is measured on was
    left out.
    """

    value: float
    low: float
    high: float
    note: str = ""
    played: bool = True


def exactly(value: float, note: str = "") -> Measured:
    """A number that has no uncertainty but that of rounding."""
    return Measured(float(value), float(value), float(value), note)


def unknown(why: str) -> Measured:
    """No number, and why."""
    return Measured(math.nan, math.nan, math.nan, why)


def not_run_here(why: str) -> Measured:
    """No number, since the scale or the options leave out what it is measured on, and what to do to get it."""
    return Measured(math.nan, math.nan, math.nan, why, played=False)


@dataclass(frozen=True)
class Expected:
    """The range of a quantity in which the paper is right: its ends belong to it.

    ``paper`` is the figure that the paper prints, or what it says in words; ``why`` says where the range comes from.
    """

    quantity: str
    low: float
    high: float
    paper: str
    why: str = ""

    def verdict(self, found: Measured | None) -> str:
        """The verdict on what was measured."""
        if found is not None and not found.played:
            return NOT_RUN
        if found is None or math.isnan(found.low) or math.isnan(found.high):
            return UNDECIDED
        if self.low <= found.low and found.high <= self.high:
            return AGREES
        return DISAGREES if found.high < self.low or found.low > self.high else UNDECIDED


def near(quantity: str, value: float, tolerance: float, why: str, paper: str = "") -> Expected:
    """Expect a number that the paper prints, to within ``tolerance``."""
    return Expected(quantity, value - tolerance, value + tolerance, paper or f"{value:.6g}", why)


def below(quantity: str, bound: float, paper: str, why: str = "") -> Expected:
    """Expect a number of at most ``bound``."""
    return Expected(quantity, -math.inf, bound, paper, why)


def above(quantity: str, bound: float, paper: str, why: str = "") -> Expected:
    """Expect a number of at least ``bound``."""
    return Expected(quantity, bound, math.inf, paper, why)


@dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    words     the statement, in our words
    source    where it stands: paper, and number of the figure, equation or theorem
    expected  what it says of the quantities measured
    """

    name: str
    words: str
    source: str
    expected: tuple[Expected, ...]

    def verdict(self, found: Mapping[str, Measured]) -> str:
        """The verdict on the claim, from the quantities by name."""
        parts = {e.verdict(found.get(e.quantity)) for e in self.expected}
        if len(parts) > 1:
            parts -= {NOT_RUN}
        if len(parts) == 1:
            return parts.pop()
        return PARTLY if AGREES in parts else DISAGREES
