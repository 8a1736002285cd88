"""Extractors from files of networks: TorchScript and ONNX.

The network gets images (B, C, H, W), float32 in [-1, 1], of the channels and size of the data, and gives features
(B, ...), or features and logits of classes (B, K). Only such a second output is taken for logits.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.errors import BadData, UsageError
from ...core.images.dataset import to_floats
from .extractor import Extractor, Outputs, Weights
from .weight_files import read_bytes


def read_torchscript(path: Path) -> Extractor:
    """The network in a TorchScript file. Raises UsageError or BadData."""
    data = read_bytes(path, "the extractor's file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that TorchScript is deprecated
        try:
            module: Any = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
        except (RuntimeError, ValueError) as error:
            raise BadData(f"{path} is damaged, or not a TorchScript file: {_first_line(error)}.") from error

    def run(images: Tensor) -> Any:
        return module.to(images.device)(to_floats(images))

    return Extractor(path.name, hashlib.sha256(data).hexdigest(), _checked(path, run), {})


def read_onnx(path: Path) -> Extractor:
    """The network in an ONNX file, on the CPU by onnxruntime. Raises UsageError or BadData."""
    data = read_bytes(path, "the extractor's file")
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        raise UsageError(
            f"the extractor {path} needs onnxruntime, which is not installed: python -m pip install onnxruntime."
        ) from error
    try:
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
    except Exception as error:  # onnxruntime has errors of its own
        raise BadData(f"{path} is damaged, or not an ONNX file of one input: {_first_line(error)}.") from error

    def run(images: Tensor) -> Any:
        outputs = session.run(None, {given.name: to_floats(images).cpu().numpy()})
        return [torch.from_numpy(x).to(images.device) for x in outputs]

    return Extractor(path.name, hashlib.sha256(data).hexdigest(), _checked(path, run), {})


def _checked(path: Path, run: Callable[[Tensor], Any]) -> Callable[[Weights, Tensor], Outputs]:
    """``run`` as the function of an extractor. It raises UsageError for images or outputs of the wrong form."""

    def network(weights: Weights, images: Tensor) -> Outputs:
        shape = tuple(images.shape)
        try:
            found = run(images)
        except Exception as error:  # the user's network may raise anything
            raise UsageError(f"the extractor {path} fails on images {shape}: {_first_line(error)}.") from error
        outputs = [found] if isinstance(found, Tensor) else list(found) if isinstance(found, list | tuple) else []
        good = [isinstance(x, Tensor) and x.dim() > 0 and len(x) == len(images) for x in outputs]
        if len(outputs) not in (1, 2) or not all(good):
            wanted = "features (B, d), or features and logits (B, K)"
            raise UsageError(f"the extractor {path} must give {wanted}, of images {shape}.")
        features = outputs[0].detach().flatten(1).to(torch.float32)
        return features, outputs[1].detach().flatten(1).to(torch.float32) if len(outputs) == 2 else None

    return network


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")[:200] if "Traceback" not in lines[0] else lines[-1].rstrip(".")[:200]
