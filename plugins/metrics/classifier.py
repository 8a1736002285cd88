"""A small classifier of the data set at hand, the extractor that needs no file from elsewhere.

Three convolutions and two linear layers. It is trained on nine tenths of the real images with their labels, once: the
weights are kept in a folder of the user's, by the data's digest. Its accuracy on the other tenth is recorded with every
figure. Features are the outputs of the last hidden layer. Figures by different classifiers cannot be compared, nor can
they with those by Inception.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d, cross_entropy, pad

from ...core.errors import BadData, UsageError
from ...core.images.dataset import Images, to_floats
from .extractor import Extractor, Weights
from .weight_files import find_kept, keep, read_weights

NAME = "classifier"
FORMAT = "counterplay-classifier-1"
SIDE = 32  # larger images are averaged down to this side
WIDTHS, FEATURES, PLACES = (16, 32, 64), 128, 3
BATCH, EPOCHS, STEPS = 100, 18, (60, 2000)  # at least and at most so many steps, whatever the epochs
RATE = 3e-3
SHIFT = 14  # training images are shifted by up to a fourteenth of their side


def network(weights: Weights, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, 128) and logits (B, K) of uint8 images (B, C, H, W)."""
    return _outputs(weights, _prepared(images))


def _prepared(images: Tensor) -> Tensor:
    x = to_floats(images)
    return adaptive_avg_pool2d(x, (min(x.shape[2], SIDE), min(x.shape[3], SIDE)))


def _outputs(weights: Weights, x: Tensor) -> tuple[Tensor, Tensor]:
    for i in range(len(WIDTHS)):
        x = conv2d(x, weights[f"conv{i}.weight"], weights[f"conv{i}.bias"], padding=1).relu()
        if i + 1 < len(WIDTHS):
            x = avg_pool2d(x, [min(2, n) for n in x.shape[2:]])
    x = adaptive_avg_pool2d(x, PLACES).flatten(1)
    features = (x @ weights["hidden.weight"] + weights["hidden.bias"]).relu()
    return features, features @ weights["out.weight"] + weights["out.bias"]


def trained_on(real: Images) -> Extractor:
    """The classifier of ``real``, from the folder of kept ones, or else trained now.

    Raises UsageError if the images have no labels, or all the same.
    """
    if real.labels is None or len(real.classes) < 2 or len(real) < 2:
        raise without_classes()
    key = f"{NAME}-{real.digest[:16]}"
    facts = {"format": FORMAT, "data_sha256": real.digest}
    found = find_kept(key, facts)
    if found is None:
        weights, accuracy = train(real)
        found = keep(key, weights, {**facts, "accuracy": f"{accuracy:.4f}"})
    return _extractor(*found)


def without_classes() -> UsageError:
    """The error for images that no classifier can be trained on."""
    return UsageError(
        "the extractor classifier is trained on two classes of images or more, and these have no such labels: set "
        "extractor to inception or to a file, --extractor FILE.pt."
    )


def _extractor(weights: Weights, sha256: str, metadata: Mapping[str, str]) -> Extractor:
    facts: dict[str, str | float] = {
        "extractor_accuracy": float(metadata["accuracy"]),
        "extractor_data_sha256": metadata["data_sha256"],
    }
    return Extractor(NAME, sha256, network, weights, facts)


def read(path: Path, channels: int) -> Extractor:
    """The classifier in a file of safetensors. Raises UsageError or BadData."""
    weights, sha256, metadata = read_weights(path)
    if metadata.get("format") != FORMAT:
        raise BadData(f"{path} is not a classifier that counterplay trained and kept: it does not say {FORMAT}.")
    if (its := weights["conv0.weight"].shape[1]) != channels:
        raise UsageError(f"the classifier in {path} sees images of {its} channels, and these have {channels}.")
    return _extractor(weights, sha256, metadata)


def train(real: Images) -> tuple[Weights, float]:
    """Train a classifier of ``real``, which has labels: its weights, and its accuracy on a tenth that it never saw.

    All random numbers come from generators of its own, with fixed seeds. It is trained on the CPU.
    """
    if real.labels is None:
        raise UsageError("a classifier is trained on images with labels.")
    rng = torch.Generator().manual_seed(0)
    order = torch.randperm(len(real), generator=rng)
    held, own = order.split([max(1, len(real) // 10), len(real) - max(1, len(real) // 10)])
    weights = _initial(real.shape[0], len(real.classes), rng)
    count = min(max(EPOCHS * len(own) // BATCH, STEPS[0]), STEPS[1])
    reach = min(real.shape[2], SIDE) // SHIFT
    with torch.enable_grad():
        trained = {k: x.requires_grad_() for k, x in weights.items()}
        optimizer = torch.optim.Adam(trained.values(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-4)
        queue = own[:0]
        for step in range(count):
            if len(queue) < BATCH:
                queue = torch.cat([queue, own[torch.randperm(len(own), generator=rng)]])
            chosen, queue = queue[:BATCH], queue[BATCH:]
            optimizer.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / count))
            x = _shifted(_prepared(real.pixels[chosen]), reach, rng)
            optimizer.zero_grad()
            cross_entropy(_outputs(trained, x)[1], real.labels[chosen]).backward()
            optimizer.step()
    weights = {k: x.detach() for k, x in trained.items()}
    with torch.no_grad():
        right = [network(weights, real.pixels[part])[1].argmax(1) == real.labels[part] for part in held.split(BATCH)]
    return weights, float(torch.cat(right).double().mean())


def _initial(channels: int, classes: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Weights by He et al. (2015, arXiv 1502.01852), eq. 10, and biases 0."""
    weights: dict[str, Tensor] = {}

    def add(name: str, shape: tuple[int, ...], inputs: int, outputs: int) -> None:
        weights[f"{name}.weight"] = torch.randn(shape, generator=rng, dtype=torch.float32) * (2 / inputs) ** 0.5
        weights[f"{name}.bias"] = torch.zeros(outputs, dtype=torch.float32)

    for i, width in enumerate(WIDTHS):
        add(f"conv{i}", (width, channels, 3, 3), 9 * channels, width)
        channels = width
    inputs = channels * PLACES**2
    add("hidden", (inputs, FEATURES), inputs, FEATURES)
    add("out", (FEATURES, classes), FEATURES, classes)
    return weights


def _shifted(x: Tensor, reach: int, rng: torch.Generator) -> Tensor:
    """The images moved by up to ``reach`` pixels in each direction, all alike; what moves in repeats the border."""
    down, right = torch.randint(2 * reach + 1, (2,), generator=rng).tolist()
    h, w = x.shape[2:]
    return pad(x, [reach] * 4, mode="replicate")[..., down : down + h, right : right + w] if reach else x
