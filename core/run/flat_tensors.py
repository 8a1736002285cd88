"""Nested dictionaries of tensors as one dictionary, {"a/b": tensor}, and as the bytes of a safetensors file."""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor

from ..game.buffers import TYPES

Data = bytes | memoryview


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """Nested dictionaries of tensors as one dictionary, on the CPU: {"a/b": tensor}. A "/" in a name is escaped."""
    out: dict[str, Tensor] = {}
    for name, x in tree.items():
        path = f"{prefix}/{_escaped(str(name))}" if prefix else _escaped(str(name))
        if isinstance(x, Tensor):
            x = x.detach().resolve_conj().resolve_neg()
            out[path] = x.contiguous() if x.is_cpu else x.cpu().contiguous()
        else:
            out |= flatten(x, path)
    return out


@cache
def _escaped(name: str) -> str:
    return quote(name, safe=".")


def empty_paths(tree: dict[str, Any], prefix: str = "") -> list[str]:
    """The paths of the empty dictionaries in ``tree``, which :func:`flatten` leaves out."""
    inside = {f"{prefix}{_escaped(str(k))}": x for k, x in tree.items() if isinstance(x, dict)}
    return [p for path, x in inside.items() for p in (empty_paths(x, f"{path}/") if x else [path])]


def encoded(flat: dict[str, Tensor]) -> list[Data]:
    """A safetensors file: the length of the header, the header as JSON, then the numbers of each tensor.

    The library's own writer takes several times as long, since it copies everything twice, and it refuses tensors that
    share memory, which the tensors of a state may do.
    """
    header: dict[str, Any] = {}
    numbers: list[Data] = []
    end = 0
    for name in sorted(flat, key=lambda name: -flat[name].element_size()):  # so that all are aligned
        x, start = flat[name], end
        numbers.append((x.view(torch.int16) if x.dtype is torch.bfloat16 else x).numpy().data)  # numpy has no bfloat16
        end += x.nbytes
        header[name] = {"dtype": TYPES[x.dtype], "shape": list(x.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *numbers]
