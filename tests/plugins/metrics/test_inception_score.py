"""The inception score, against torch-fidelity's definition written out, and where probabilities underflow."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.plugins.metrics.extractors import extractor_of
from counterplay.plugins.metrics.inception_score import inception_scores

from ...support.small_images import noise, real_ones, two_classes


def reference(logits: Tensor, splits: int) -> np.ndarray:
    """The definition in 40 digits: images in the order of the permutation, cut; exp of the mean KL of each part."""
    rows = logits.double()[torch.from_numpy(np.random.RandomState(2020).permutation(len(logits)))].tolist()
    scores = []
    with mpmath.workdps(40):
        p = [[mpmath.exp(mpmath.mpf(v)) for v in row] for row in rows]
        p = [[v / sum(row) for v in row] for row in p]
        for i in range(splits):
            part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
            q = [sum(column) / len(part) for column in zip(*part, strict=True)]
            kl = [sum(v * mpmath.log(v / w) for v, w in zip(row, q, strict=True)) for row in part]
            scores.append(float(mpmath.exp(sum(kl) / len(kl))))
    return np.array(scores)


@pytest.mark.parametrize(("count", "splits"), [(40, 10), (43, 10), (17, 1), (10, 10)])
@pytest.mark.parametrize("scale", [1.0, 30.0, 3000.0])
def test_against_the_definition(count: int, splits: int, scale: float) -> None:
    logits = scale * torch.from_numpy(np.random.default_rng(count).standard_normal((count, 7)))
    expected = reference(logits, splits)
    for sizes in ([count], [1] * count, [3, count - 3]):
        found = inception_scores(iter(logits.split(sizes)), count, splits)
        assert found == pytest.approx(expected, rel=1e-12)


def test_probabilities_of_zero() -> None:
    """Classes that never appear, and certain ones: 4 classes in equal shares score 4, one class 1."""
    certain = torch.full((40, 6), -math.inf)
    certain[torch.arange(40), torch.arange(40) % 4] = 0
    assert inception_scores([certain], 40, 1) == pytest.approx(4.0, rel=1e-12)
    assert inception_scores([certain[:1].expand(40, 6)], 40, 10) == pytest.approx(1.0, rel=1e-12)
    large = 1e4 * torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    assert np.isfinite(inception_scores([large], 40, 10)).all()


def test_deviation_is_the_population_s() -> None:
    images = two_classes()
    metric = cp.make("metric", "inception-score", samples=80, splits=4)
    network = extractor_of("classifier", images)
    shown = torch.cat([x for x, _ in noise(images).batches(80)])
    logits = network(((shown + 1) * 127.5).round().to(torch.uint8))[1]
    assert logits is not None
    scores, found = reference(logits, 4), metric.measure(noise(images), images)
    assert found["inception_score"] == pytest.approx(scores.mean(), rel=1e-5)  # blocks round logits differently
    assert found["inception_score_std"] == pytest.approx((((scores - scores.mean()) ** 2).sum() / 4) ** 0.5, rel=1e-3)


def test_real_images_score_well() -> None:
    images = two_classes()
    metric = cp.make("metric", "inception-score", samples=80, splits=4)
    real, noisy = metric.measure(real_ones(images), images), metric.measure(noise(images), images)
    assert real["inception_score"] > 1.9 and real["inception_score"] > noisy["inception_score"]


def test_too_many_splits() -> None:
    with pytest.raises(UsageError, match="5 samples cannot be cut into 10 splits"):
        cp.make("metric", "inception-score", samples=5)


def test_without_classes() -> None:
    with pytest.raises(UsageError, match="needs the logits of classes"):
        inception_scores([None], 5, 1)
