"""What metrics of features have in common: counts, images that are not finite, what is kept, what is recorded."""

from __future__ import annotations

import math

import pytest
import torch

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.images.dataset import to_floats
from counterplay.core.images.metric import measured
from counterplay.plugins.metrics.extractor import Extractor
from counterplay.plugins.metrics.extractors import extractor_of
from counterplay.plugins.metrics.gaussian import fit, frechet_distance

from ...support.small_images import giving, noise, real_ones, two_classes


def test_fid_is_that_of_the_features() -> None:
    images, generated = two_classes(), noise(two_classes())
    metric = cp.make("metric", "fid", samples=80)
    found = metric.measure(generated, images)["fid"]
    network = extractor_of("classifier", images)
    shown = torch.cat([x for x, _ in generated.batches(80)])
    pixels = ((shown + 1) * 127.5).round().to(torch.uint8)
    expected = frechet_distance(fit([network(pixels)[0]]), fit([network(images.pixels)[0]]))
    assert found == pytest.approx(expected, rel=1e-5) and found > 1
    assert metric.measure(generated, images)["fid"] == found
    assert metric.measure(real_ones(images), images)["fid"] < 1e-6 * found


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["fid", "inception-score", "kid", "precision-recall"])
def test_images_that_are_not_finite(name: str, bad: float) -> None:
    images = two_classes()
    x = to_floats(images.pixels)
    x[70, 0, 0, 0] = bad
    metric = cp.make("metric", name, samples=80)
    figures = metric.measure(giving(x), images)
    assert figures.keys() == set(metric.figures) and all(math.isnan(v) for v in figures.values())


def test_a_game_that_gives_too_few() -> None:
    images = two_classes()
    few = cp.GeneratedImages(lambda count: real_ones(images).batches(7))
    with pytest.raises(UsageError, match="generated 7 images for a metric, where 80 were asked for"):
        cp.make("metric", "fid", samples=80).measure(few, images)


def test_metrics_of_one_extractor_and_count_share_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are generated and seen once, and each figure is what its metric gives alone, bit for bit."""
    images, asked, seen = two_classes(), list[int](), list[int]()
    options = {"fid": {}, "kid": {"subset_size": 20}, "inception-score": {"splits": 4}}
    metrics = [cp.make("metric", name, samples=80, **more) for name, more in options.items()]
    metrics.insert(1, cp.make("metric", "precision-recall", samples=60))
    alone = {name: x for m in metrics for name, x in m.measure(noise(images), images).items()}
    counted = cp.GeneratedImages(lambda count: asked.append(count) or noise(images).batches(count))
    plain = Extractor.__call__
    monkeypatch.setattr(Extractor, "__call__", lambda self, x: seen.append(len(x)) or plain(self, x))
    found = measured(metrics, counted, images)
    assert found == alone and [*found] == [*alone] and len(found) == 7
    assert asked == [80, 60] and sum(seen) == 140
    bad = giving(torch.full((4, 1, 6, 6), math.nan))
    assert all(map(math.isnan, measured(metrics, bad, images).values()))


def test_nothing_is_disturbed() -> None:
    images, before = two_classes(), torch.get_rng_state()
    cp.make("metric", "fid", samples=80).measure(noise(images), images)
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_recorded() -> None:
    images = two_classes()
    facts = cp.make("metric", "inception-score", samples=80, splits=4).provenance(images)
    assert facts["extractor"] == "classifier" and len(str(facts["extractor_sha256"])) == 64
    assert (facts["samples"], facts["real_samples"], facts["splits"]) == (80, 0, 4)
    assert facts["data_sha256"] == images.digest
    assert cp.make("metric", "fid", samples=7).provenance(images)["real_samples"] == 80


def test_two_metrics_of_one_name() -> None:
    with pytest.raises(UsageError, match="two of the metrics give fid"):
        cp.make("game", "images", metrics=["fid", {"name": "fid", "samples": 5}])
