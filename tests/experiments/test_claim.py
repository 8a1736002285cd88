"""Verdicts, from ranges and intervals."""

from __future__ import annotations

import math

import pytest

import counterplay as cp
from counterplay.core.experiments.claim import Measured, above, below, exactly, near, not_run_here, unknown


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.95, 1.05, "agrees"), (0.9, 1.1, "agrees"), (0.85, 1.0, "undecided"), (0.5, 0.89, "disagrees"),
     (1.2, 1.3, "disagrees"), (0.5, 1.5, "undecided"), (math.nan, math.nan, "undecided")],
)  # fmt: skip
def test_the_verdict_on_a_number_is_that_of_its_whole_interval(low, high, verdict):
    assert near("x", 1.0, 0.1, "why").verdict(Measured((low + high) / 2, low, high)) == verdict


def test_the_verdict_on_a_claim():
    two = cp.Claim("c", "words", "source", (below("a", 1.0, "< 1"), above("b", 2.0, "> 2")))

    def verdict(a, b):
        return two.verdict({"a": a, "b": b})

    assert verdict(exactly(0.5), exactly(3.0)) == "agrees"
    assert verdict(exactly(0.5), exactly(1.0)) == "partly"
    assert verdict(exactly(0.5), unknown("it was not seen")) == "partly"
    assert verdict(exactly(1.5), exactly(1.0)) == "disagrees"
    assert verdict(exactly(1.5), unknown("it was not seen")) == "disagrees"
    assert verdict(exactly(0.5), not_run_here("at this scale")) == "agrees"
    assert verdict(exactly(1.5), not_run_here("at this scale")) == "disagrees"
    assert verdict(not_run_here("at this scale"), unknown("it was not seen")) == "undecided"
    assert verdict(not_run_here("at this scale"), not_run_here("at this scale")) == "not run here"
    assert two.verdict({}) == "undecided"
