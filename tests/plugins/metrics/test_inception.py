"""Inception v3: the published structure, the resizing of TensorFlow 1, and that only the official file is read.

Figures with the official weights are not tested here: the file is not at hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.errors import BadData, UsageError
from counterplay.plugins.metrics import inception
from counterplay.plugins.metrics.inception import checked, network, resized, shapes

from ...support.small_images import real_ones, two_classes


def by_hand(row: list[float], side: int) -> list[float]:
    """TensorFlow 1's formula for one row: between the pixels floor(i n / side) and the next."""
    out = []
    for i in range(side):
        at = i * len(row) / side
        low = int(at)
        high = min(low + 1, len(row) - 1)
        out.append(row[low] + (row[high] - row[low]) * (at - low))
    return out


def test_resizing() -> None:
    row = [0.0, 10.0, 40.0]
    assert by_hand(row, 6) == [0.0, 5.0, 10.0, 25.0, 40.0, 40.0]  # neither corners nor centres of pixels are aligned
    x = torch.tensor(row)[None, None, None].expand(1, 1, 3, 3)
    assert resized(x, 6)[0, 0, 2].tolist() == pytest.approx(by_hand(row, 6), abs=1e-5)
    rng = torch.Generator().manual_seed(0)
    for h, w, side in ((3, 5, 11), (32, 32, 299), (7, 9, 4), (1, 1, 5)):
        x = 255 * torch.rand(2, 3, h, w, generator=rng)
        rows = [[by_hand(row, side) for row in image] for one in x.tolist() for image in one]
        both = [list(zip(*(by_hand(list(c), side) for c in zip(*image, strict=True)), strict=True)) for image in rows]
        assert resized(x, side).shape == (2, 3, side, side)
        assert torch.allclose(resized(x, side).flatten(0, 1), torch.tensor(both), atol=1e-2)


def test_published_structure() -> None:
    """21,785,568 parameters before the last layer, as Inception v3 has everywhere, and 1,008 classes."""
    wanted = shapes()
    trained = {k: n for k, n in wanted.items() if "running" not in k}
    count = lambda names: sum(int(torch.Size(trained[k]).numel()) for k in names)  # noqa: E731
    assert count(k for k in trained if not k.startswith("fc.")) == 21_785_568
    assert count(["fc.weight", "fc.bias"]) == 2048 * 1008 + 1008
    assert sum(k.endswith("conv.weight") for k in wanted) == 94 and len(wanted) == 94 * 5 + 2
    for name, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.conv.weight": (192, 80, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5d.branch_pool.conv.weight": (64, 288, 1, 1),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7dbl_5.conv.weight": (192, 128, 1, 7),
        "Mixed_6e.branch7x7_3.conv.weight": (192, 192, 7, 1),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch1x1.conv.weight": (320, 2048, 1, 1),
        "Mixed_7c.branch_pool.bn.running_var": (192,),
    }.items():
        assert wanted[name] == shape, name


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights that keep the size of what passes."""
    rng = torch.Generator().manual_seed(0)
    found = {}
    for name, shape in shapes().items():
        x = torch.randn(shape, generator=rng)
        if name.endswith("conv.weight"):
            x *= (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            x = 1 + 0.1 * x.abs()
        elif ".bn." in name:
            x *= 0.1
        found[name] = x
    return found


def test_outputs(weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    grey = two_classes(3, side=9).pixels
    features, logits = network(weights, grey)
    assert features.shape == (3, 2048) and logits.shape == (3, 1008)
    assert torch.allclose(logits, features @ weights["fc.weight"].T)
    assert (features >= 0).all() and features.std() > 0
    assert torch.equal(network(weights, grey.expand(-1, 3, -1, -1))[0], features)
    monkeypatch.setattr(inception, "AT_ONCE", 2)
    assert torch.allclose(network(weights, grey)[0], features, rtol=1e-4, atol=1e-5)


def test_blocks(weights: dict[str, Tensor]) -> None:
    """A block against its parts by torch's modules, for its two kinds of pooling; sides 299 to 8."""
    x = torch.randn(2, 2048, 4, 4, generator=torch.Generator().manual_seed(1))
    pool = torch.nn.MaxPool2d(3, 1, 1)
    for block, pooled in (("Mixed_7c", pool(x)), ("Mixed_6b", None)):
        if pooled is None:
            x = x[:, :768]
            pooled = torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)(x)
        found = inception._block(weights, block, inception.BLOCKS[block], x)
        conv = torch.nn.Conv2d(x.shape[1], 192, 1, bias=False)
        norm = torch.nn.BatchNorm2d(192, eps=1e-3).eval()
        named = {k.rpartition("branch_pool.")[2]: w for k, w in weights.items() if k.startswith(f"{block}.branch_pool")}
        conv.load_state_dict({"weight": named["conv.weight"]})
        norm.load_state_dict({k[3:]: w for k, w in named.items() if k.startswith("bn.")}, strict=False)
        with torch.no_grad():
            assert torch.allclose(found[:, -192:], norm(conv(pooled)).relu(), rtol=1e-4, atol=1e-5)
        assert found.shape == (2, 2048 if block == "Mixed_7c" else 768, 4, 4)


def test_names_and_shapes_are_checked(weights: dict[str, Tensor]) -> None:
    tracked = {**weights, "Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(0)}
    assert checked(tracked).keys() == weights.keys()
    with pytest.raises(BadData, match=r"not the weights of Inception v3: fc\.bias has the shape None"):
        checked({k: x for k, x in weights.items() if k != "fc.bias"})


def test_only_the_official_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = two_classes()
    metric = cp.make("metric", "fid", samples=80, extractor="inception")
    with pytest.raises(UsageError, match=r"needs its weights, .*6726825d\.pth: download them from https"):
        metric.measure(real_ones(images), images)
    other = tmp_path / "other.pth"
    torch.save({"fc.bias": torch.zeros(3)}, other)
    with pytest.raises(BadData, match=r"its sha256 is .* was expected\. It was not read"):
        cp.make("metric", "fid", samples=80, extractor=str(other)).measure(real_ones(images), images)
