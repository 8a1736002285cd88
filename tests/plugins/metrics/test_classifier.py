"""The classifier of a data set: good enough, the same each time, kept in the user's cache and checked there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import counterplay as cp
from counterplay.core.errors import BadData, UsageError
from counterplay.core.images.dataset import Images
from counterplay.plugins.metrics import classifier
from counterplay.plugins.metrics.weight_files import folder, read_weights

from ...support.small_images import real_ones, two_classes


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(classifier, "STEPS", (30, 30))
    return tmp_path / "cache" / "counterplay"


def test_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the tenth that it never saw it recognises 97 %."""
    monkeypatch.setattr(classifier, "STEPS", (60, 2000))
    images = cp.make("dataset", "digits").load()
    weights, accuracy = classifier.train(images)
    assert accuracy >= 0.97
    rng = torch.Generator().manual_seed(0)
    held = torch.randperm(len(images), generator=rng)[: len(images) // 10]
    assert images.labels is not None
    guesses = classifier.network(weights, images.pixels[held])[1].argmax(1)
    assert (guesses == images.labels[held]).double().mean() == accuracy


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (1, 28, 28), (3, 40, 33)])
def test_images_of_any_side(shape: tuple[int, int, int]) -> None:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (20, *shape), generator=rng).to(torch.uint8)
    weights, _ = classifier.train(Images.of(pixels, torch.arange(20) % 3, ("a", "b", "c")))
    features, logits = classifier.network(weights, pixels)
    assert features.shape == (20, 128) and logits.shape == (20, 3) and features.isfinite().all()


def test_it_is_kept(cache: Path) -> None:
    images = two_classes()
    made = classifier.trained_on(images)
    (file,) = cache.iterdir()
    assert made.name == "classifier" and made.sha256 in file.name and images.digest[:16] in file.name
    weights, sha256, metadata = read_weights(file)
    assert sha256 == made.sha256 and metadata["data_sha256"] == images.digest
    assert all(torch.equal(weights[k], x) for k, x in made.weights.items())
    assert made.facts["extractor_accuracy"] == 1.0

    def never(real: Images) -> None:
        raise AssertionError("trained again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "train", never)
        assert classifier.trained_on(images).sha256 == made.sha256
        assert classifier.read(file, 1).sha256 == made.sha256
        with pytest.raises(AssertionError):
            classifier.trained_on(two_classes(seed=3))


def test_what_is_damaged_is_not_used(cache: Path) -> None:
    images = two_classes()
    made = classifier.trained_on(images)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    for harmed in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:100], b""):
        file.write_bytes(harmed)
        again = classifier.trained_on(images)
        assert again.sha256 == made.sha256 and file.read_bytes() == whole
        assert all(torch.equal(x, made.weights[k]) for k, x in again.weights.items())


def test_a_folder_that_cannot_be_written(cache: Path) -> None:
    cache.parent.write_text("a file")
    assert classifier.trained_on(two_classes()).facts["extractor_accuracy"] == 1.0


def test_the_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert folder() == tmp_path / ".cache" / "counterplay"


def test_the_run_is_not_disturbed() -> None:
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            made = classifier.trained_on(two_classes(seed=4))
            assert not torch.is_grad_enabled()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(before, torch.get_rng_state())
    assert all(x.dtype is torch.float32 and not x.requires_grad for x in made.weights.values())


def test_it_needs_labels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="trained on two classes of images or more"):
        classifier.trained_on(two_classes(labels=False))
    with pytest.raises(UsageError, match="two classes"):
        classifier.trained_on(Images.of(two_classes().pixels, torch.zeros(80, dtype=torch.int64), ("one",)))


def test_files(tmp_path: Path, cache: Path) -> None:
    images = two_classes()

    def fid(file: object) -> float:
        metric = cp.make("metric", "fid", samples=80, extractor=str(file))
        return float(metric.measure(real_ones(images), images)["fid"])

    classifier.trained_on(images)
    (file,) = cache.iterdir()
    assert fid(file) == pytest.approx(0, abs=1e-6)
    with pytest.raises(UsageError, match="sees images of 1 channels, and these have 3"):
        classifier.read(file, 3)
    with pytest.raises(UsageError, match="No such file"):
        fid(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:500])
    with pytest.raises(BadData, match="damaged"):
        fid(tmp_path / "cut.safetensors")
    with pytest.raises(UsageError, match="no extractor 'clasifier'"):
        fid("clasifier")
