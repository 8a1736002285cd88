"""Inception v3 as the FID is defined by it: the network of TensorFlow's file of 2015-12-05, with its own resizing.

Szegedy et al. (2016, arXiv 1512.00567); Heusel et al. (2017, arXiv 1706.08500). The weights are torch-fidelity's, which
has converted TensorFlow's file. It differs from the published network: average pooling leaves out the padding, the last
block pools by maximum, and there are 1,008 classes. Features are the 2,048 outputs of the last pooling, and logits
those without the bias, as the inception score of torch-fidelity takes them.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d

from ...core.errors import BadData, UsageError
from .extractor import Extractor, Weights
from .weight_files import folder, read_bytes

NAME = "inception"
FILE = "weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SOURCE = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/" + FILE
SIDE, CLASSES = 299, 1008
AT_ONCE = 50  # images: the first layers need 6 MB for each

# A unit is a convolution: its name in the branch, its outputs, its kernel. A step is one unit, or several side by side.
Unit = tuple[str, int, int, int]
Branch = tuple[str, tuple[tuple[Unit, ...], ...]]


def _branch(name: str, *sizes: tuple[int, int, int]) -> Branch:
    """Units one after another, named _1, _2 and so on if there are several."""
    return name, tuple(((f"_{i + 1}" if len(sizes) > 1 else "", *size),) for i, size in enumerate(sizes))


def _forked(name: str, *sizes: tuple[int, int, int]) -> Branch:
    """Units one after another, and a last step of two side by side, 1x3 and 3x1."""
    _, steps = _branch(name, *sizes, (0, 0, 0))
    n = len(sizes) + 1
    return name, (*steps[:-1], ((f"_{n}a", 384, 1, 3), (f"_{n}b", 384, 3, 1)))


def _a(pooled: int) -> tuple[Branch, ...]:
    return (_branch("branch1x1", (64, 1, 1)), _branch("branch5x5", (48, 1, 1), (64, 5, 5)),
            _branch("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3)),
            _branch("branch_pool", (pooled, 1, 1)))  # fmt: skip


def _c(c: int) -> tuple[Branch, ...]:
    return (_branch("branch1x1", (192, 1, 1)), _branch("branch7x7", (c, 1, 1), (c, 1, 7), (192, 7, 1)),
            _branch("branch7x7dbl", (c, 1, 1), (c, 7, 1), (c, 1, 7), (c, 7, 1), (192, 1, 7)),
            _branch("branch_pool", (192, 1, 1)))  # fmt: skip


_B = (_branch("branch3x3", (384, 3, 3)), _branch("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3)))
_D = (_branch("branch3x3", (192, 1, 1), (320, 3, 3)),
      _branch("branch7x7x3", (192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)))  # fmt: skip
_E = (_branch("branch1x1", (320, 1, 1)), _forked("branch3x3", (384, 1, 1)),
      _forked("branch3x3dbl", (448, 1, 1), (384, 3, 3)), _branch("branch_pool", (192, 1, 1)))  # fmt: skip
# name, outputs, side of the kernel, stride, padding; None: pooling by maximum
STEM = (("Conv2d_1a_3x3", 32, 3, 2, 0), ("Conv2d_2a_3x3", 32, 3, 1, 0), ("Conv2d_2b_3x3", 64, 3, 1, 1), None,
        ("Conv2d_3b_1x1", 80, 1, 1, 0), ("Conv2d_4a_3x3", 192, 3, 1, 0), None)  # fmt: skip
BLOCKS = {
    "Mixed_5b": _a(32), "Mixed_5c": _a(64), "Mixed_5d": _a(64), "Mixed_6a": _B, "Mixed_6b": _c(128),
    "Mixed_6c": _c(160), "Mixed_6d": _c(160), "Mixed_6e": _c(192), "Mixed_7a": _D, "Mixed_7b": _E, "Mixed_7c": _E,
}  # fmt: skip
HALVING = ("Mixed_6a", "Mixed_7a")  # blocks whose last convolutions have stride 2, beside a pooling by maximum
BY_MAXIMUM = "Mixed_7c"  # the block that pools by maximum where the others average


def shapes() -> dict[str, tuple[int, ...]]:
    """The names and shapes of all weights."""
    found: dict[str, tuple[int, ...]] = {}

    def add(name: str, inputs: int, outputs: int, h: int, w: int) -> None:
        found[f"{name}.conv.weight"] = (outputs, inputs, h, w)
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.bn.{part}"] = (outputs,)

    width = 3
    for layer in filter(None, STEM):
        add(layer[0], width, layer[1], layer[2], layer[2])
        width = layer[1]
    for block, branches in BLOCKS.items():
        total = width if block in HALVING else 0
        for name, steps in branches:
            inputs = width
            for step in steps:
                for suffix, outputs, h, w in step:
                    add(f"{block}.{name}{suffix}", inputs, outputs, h, w)
                inputs = sum(unit[1] for unit in step)
            total += inputs
        width = total
    return {**found, "fc.weight": (CLASSES, width), "fc.bias": (CLASSES,)}


def network(weights: Weights, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, 2048) and logits without bias (B, 1008) of uint8 images (B, C, H, W), C being 1 or 3."""
    features = torch.cat([_features(weights, part) for part in images.split(AT_ONCE)])
    return features, features @ weights["fc.weight"].T


def _features(weights: Weights, images: Tensor) -> Tensor:
    x = (resized(images.to(torch.float32).expand(-1, 3, -1, -1), SIDE) - 128) / 128
    for layer in STEM:
        x = max_pool2d(x, 3, 2) if layer is None else _unit(weights, layer[0], x, layer[3], (layer[4], layer[4]))
    for block, branches in BLOCKS.items():
        x = _block(weights, block, branches, x)
    return x.mean((2, 3))


def _block(weights: Weights, block: str, branches: tuple[Branch, ...], x: Tensor) -> Tensor:
    outputs = []
    for name, steps in branches:
        y = x
        if name == "branch_pool":
            by_maximum = block == BY_MAXIMUM
            y = max_pool2d(x, 3, 1, 1) if by_maximum else avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        for n, step in enumerate(steps):
            halves = block in HALVING and n + 1 == len(steps)
            parts = [
                _unit(weights, f"{block}.{name}{suffix}", y, 2 if halves else 1, (0, 0) if halves else (h // 2, w // 2))
                for suffix, _, h, w in step
            ]
            y = torch.cat(parts, 1)
        outputs.append(y)
    return torch.cat([*outputs, max_pool2d(x, 3, 2)] if block in HALVING else outputs, 1)


def _unit(weights: Weights, name: str, x: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
    """A convolution, a normalisation by the recorded mean and variance, and a ReLU."""
    x = conv2d(x, weights[f"{name}.conv.weight"], None, stride, padding)
    scale = weights[f"{name}.bn.weight"] / (weights[f"{name}.bn.running_var"] + 1e-3).sqrt()
    shift = weights[f"{name}.bn.bias"] - scale * weights[f"{name}.bn.running_mean"]
    return (x * scale[:, None, None] + shift[:, None, None]).relu()


def resized(x: Tensor, side: int) -> Tensor:
    """Images (B, C, H, W) resized to a square as TensorFlow 1 does by default: bilinearly, pixel i from i H / side.

    Neither the corners nor the centres of the pixels are aligned.
    """
    for axis in (2, 3):
        size = x.shape[axis]
        at = torch.arange(side, dtype=torch.float32, device=x.device) * torch.tensor(size / side, dtype=torch.float32)
        low = at.long().clamp_max(size - 1)
        high = (low + 1).clamp_max(size - 1)
        weight = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
        a, b = x.index_select(axis, low), x.index_select(axis, high)
        x = a + (b - a) * weight
    return x


def read(path: Path | None) -> Extractor:
    """The extractor with the official weights, from ``path`` or from the folder of the user's cache.

    Raises UsageError if there is no file, BadData if its sha256 is another one: then it is not read.
    """
    if path is None and not (folder() / FILE).is_file():
        raise UsageError(
            f"the extractor inception needs its weights, {folder() / FILE}: download them from {SOURCE}, or give the "
            "path of that file as the extractor."
        )
    data = read_bytes(path or folder() / FILE, "the weights of inception")
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise BadData(
            f"{path or folder() / FILE} is not torch-fidelity's {FILE}: its sha256 is {found[:16]}..., and "
            f"{SHA256[:16]}... was expected. It was not read."
        )
    return Extractor(NAME, SHA256, network, checked(_loaded(data)))


def _loaded(data: bytes) -> Weights:
    try:
        found: Weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of other modules, too
        raise BadData(f"{FILE} cannot be read as a table of tensors: {error}.") from error
    return found


def checked(weights: Weights) -> Weights:
    """The weights of the network, in float32. Raises BadData if names or shapes are others."""
    own = {k: x for k, x in weights.items() if not k.endswith("num_batches_tracked")}  # which only training needs
    wanted, got = shapes(), {k: tuple(x.shape) for k, x in own.items()}
    if got != wanted:
        odd = sorted(k for k in wanted.keys() | got.keys() if wanted.get(k) != got.get(k))
        raise BadData(f"these are not the weights of Inception v3: {odd[0]} has the shape {got.get(odd[0])}.")
    return {k: x.to(torch.float32) for k, x in own.items()}
