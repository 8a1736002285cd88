"""Intervals of 95 %, against published and computed values, and by how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from counterplay.core.experiments.claim import near
from counterplay.core.experiments.intervals import mean, median, paired_difference, share, student_t


@pytest.mark.parametrize(("hits", "of"), [(13, 20), (17, 20), (0, 10), (10, 10), (120, 200)])
def test_share_is_wilsons_interval(hits, of):
    found, right = share(hits, of), stats.binomtest(hits, of).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((hits / of, right.low, right.high), abs=1e-12)


def test_median_is_between_the_order_statistics_of_the_binomial():
    found = median(range(20))  # of 20 numbers the 6th and the 15th: P = 95.9 %
    assert (found.value, found.low, found.high) == (9.5, 5, 14)
    assert median([3, 1, 2]).note == "median of 3, in their whole range"
    assert math.isnan(median([1.0, math.nan]).value)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    samples = rng.exponential(size=(400, 40))
    held = [m.low <= math.log(2) <= m.high for m in map(median, samples)]
    assert 0.93 < np.mean(held) < 0.99
    held = [m.low <= 1 <= m.high for m in map(mean, samples)]
    assert 0.90 < np.mean(held) < 0.97


@pytest.mark.parametrize("n", [2, 3, 6, 10, 31, 61])
def test_a_mean_of_few_has_students_interval(n):
    x = np.random.default_rng(n).normal(size=n)
    right = stats.t.interval(0.95, n - 1, x.mean(), stats.sem(x))
    found = mean(x)
    assert (found.low, found.high) == pytest.approx(right, rel=1e-5)


def test_where_students_table_has_a_gap_the_interval_is_wider_and_never_narrower():
    ratio = [student_t(n) / stats.t.ppf(0.975, n - 1) for n in range(2, 1200)]
    assert min(ratio) > 1 - 1e-5 and max(ratio) < 1.025


def test_one_number_decides_nothing():
    assert near("q", 1.0, 10.0, "").verdict(mean([1.0])) == "undecided"


def test_what_belongs_to_a_pair_cancels():
    base = np.random.default_rng(1).normal(0, 100, 50)
    found = paired_difference(base, base + 1)
    assert (found.low, found.high) == pytest.approx((1, 1))
