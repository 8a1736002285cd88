"""Extractors from files of networks, and files that are none."""

from __future__ import annotations

import hashlib
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.errors import BadData, UsageError
from counterplay.core.images.dataset import to_floats
from counterplay.plugins.metrics.gaussian import fit, frechet_distance

from ...support.small_images import noise, real_ones, two_classes


class Halves(torch.nn.Module):
    """Features: the mean of each half; logits, if wanted, twice those."""

    def __init__(self, logits: bool) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Any:
        features = torch.stack([x[..., :3].mean((1, 2, 3)), x[..., 3:].mean((1, 2, 3))], 1)
        return (features, 2 * features) if self.logits else features


def script(path: Path, module: torch.nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, torch.zeros(2, 1, 6, 6)), str(path))
    return path


@pytest.mark.parametrize("logits", [False, True])
def test_torchscript(tmp_path: Path, logits: bool) -> None:
    images, generated = two_classes(), noise(two_classes())
    path = script(tmp_path / "halves.pt", Halves(logits))
    metric = cp.make("metric", "fid", samples=80, extractor=str(path))
    shown = torch.cat([x for x, _ in generated.batches(80)])
    rounded = ((shown + 1) * 127.5).round() / 127.5 - 1
    expected = frechet_distance(fit([Halves(False)(rounded)]), fit([Halves(False)(to_floats(images.pixels))]))
    assert metric.measure(generated, images)["fid"] == pytest.approx(expected, rel=1e-4)
    about = metric.provenance(images)
    assert about["extractor"] == "halves.pt"
    assert about["extractor_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    score = cp.make("metric", "inception-score", samples=80, extractor=str(path))
    if logits:
        assert score.measure(generated, images)["inception_score"] >= 1
    else:
        with pytest.raises(UsageError, match="needs the logits of classes"):
            score.measure(generated, images)


def test_files_that_are_none(tmp_path: Path) -> None:
    images = two_classes()

    def fid(path: Path) -> Any:
        return cp.make("metric", "fid", samples=80, extractor=str(path)).measure(real_ones(images), images)

    (tmp_path / "bad.pt").write_bytes(b"nothing")
    with pytest.raises(BadData, match="not a TorchScript file"):
        fid(tmp_path / "bad.pt")
    with pytest.raises(UsageError, match="No such file"):
        fid(tmp_path / "none.pt")
    wide = script(tmp_path / "wide.pt", torch.nn.Sequential(torch.nn.Flatten(0)))
    with pytest.raises(UsageError, match="must give features"):
        fid(wide)


def test_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime is asked as its interface says; without it a sentence tells what to install."""
    images = two_classes()
    path = tmp_path / "halves.onnx"
    path.write_bytes(b"a graph")
    metric = cp.make("metric", "fid", samples=80, extractor=str(path))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="pip install onnxruntime"):
        metric.measure(real_ones(images), images)

    class Session:
        def __init__(self, data: bytes, providers: list[str]) -> None:
            if data != b"a graph":
                raise RuntimeError("no graph")

        def get_inputs(self) -> list[Any]:
            return [types.SimpleNamespace(name="x")]

        def run(self, names: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [Halves(False)(torch.from_numpy(given["x"])).numpy()]

    monkeypatch.setitem(sys.modules, "onnxruntime", types.SimpleNamespace(InferenceSession=Session))
    assert metric.measure(real_ones(images), images)["fid"] == pytest.approx(0, abs=1e-9)
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(BadData, match="not an ONNX file of one input: no graph"):
        cp.make("metric", "fid", extractor=str(tmp_path / "bad.onnx")).measure(real_ones(images), images)
