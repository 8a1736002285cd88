"""The kernel distance against its definition with loops, and what its subsets are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.plugins.metrics.kid import distances

from ...support.small_images import noise, real_ones, two_classes


def reference(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased squared discrepancy, term by term."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    n, m = len(x), len(y)
    own = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + other - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_against_the_definition(shift: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 4)).astype("f4"), (rng.standard_normal((7, 4)) + shift).astype("f4")
    found = distances(torch.from_numpy(x), torch.from_numpy(y), subsets=3, size=5)
    chosen, expected = np.random.RandomState(2020), []
    for _ in range(3):
        parts = [all[chosen.choice(len(all), 5, replace=False)].astype("f8") for all in (x, y)]
        expected.append(reference(*parts))
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-13)
    assert distances(torch.from_numpy(x), torch.from_numpy(x), 4, 9) == pytest.approx(
        [reference(x.astype("f8"), x.astype("f8"))] * 4, rel=1e-12
    )


def test_of_images() -> None:
    images = two_classes()
    metric = cp.make("metric", "kid", samples=80, subset_size=40, subsets=20)
    real, noisy = metric.measure(real_ones(images), images), metric.measure(noise(images), images)
    assert abs(real["kid"]) < 0.1 * noisy["kid"] and real["kid_std"] > 0
    facts = cp.make("metric", "kid", samples=80).provenance(images)
    assert (facts["subsets"], facts["subset_size"], facts["real_samples"]) == (100, 80, 80)


def test_one_image() -> None:
    with pytest.raises(UsageError, match="two images or more of each kind"):
        distances(torch.ones(1, 3), torch.ones(5, 3), 1, 10)
