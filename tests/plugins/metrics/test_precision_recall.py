"""Precision and recall against their definition with loops, where answers are known, and far from zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.plugins.metrics import precision_recall
from counterplay.plugins.metrics.precision_recall import precision_and_recall

from ...support.small_images import noise, real_ones, two_classes


def reference(x: np.ndarray, y: np.ndarray, k: int) -> tuple[float, float]:
    """Both shares, by distances of differences."""

    def covered(x: np.ndarray, y: np.ndarray) -> float:
        between = np.linalg.norm(y[:, None] - y[None], axis=-1)
        radii = np.sort(between, axis=1)[:, k]  # the first is 0, to itself
        return float(np.mean([(np.linalg.norm(a - y, axis=1) <= radii).any() for a in x]))

    return covered(x, y), covered(y, x)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_against_the_definition(k: int, shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(k)
    x = (rng.standard_normal((40, 2)) + shift + 1.5).astype("f4")
    y = (rng.standard_normal((31, 2)) + shift).astype("f4")
    expected = reference(x.astype("f8"), y.astype("f8"), k)
    assert 0 < expected[0] < 1 and 0 < expected[1] < 1
    for at_once in (1 << 22, 100):
        monkeypatch.setattr(precision_recall, "DISTANCES", at_once)
        assert precision_and_recall(torch.from_numpy(x), torch.from_numpy(y), k) == expected


def test_known_answers() -> None:
    """One real image again and again looks real, and covers next to nothing; far away nothing does."""
    real = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert precision_and_recall(real, real, 3) == (1.0, 1.0)
    assert precision_and_recall(real[:1].expand(50, 3), real, 3) == (1.0, 0.02)
    assert precision_and_recall(real + 100, real, 3) == (0.0, 0.0)


def test_of_images() -> None:
    images = two_classes()
    metric = cp.make("metric", "precision-recall", samples=40)
    assert metric.measure(noise(images), images)["precision"] < 0.5
    found = metric.measure(real_ones(images), images)
    assert found["precision"] > 0.9 and found["recall"] > 0.6
    facts = metric.provenance(images)
    assert (facts["samples"], facts["real_samples"], facts["k"]) == (40, 40, 3)
    assert cp.make("metric", "precision-recall").provenance(images)["real_samples"] == 80


def test_too_few() -> None:
    with pytest.raises(UsageError, match="more than k = 3 images of each kind; there are 9 generated and 3 real ones"):
        precision_and_recall(torch.ones(9, 2), torch.ones(3, 2), 3)
