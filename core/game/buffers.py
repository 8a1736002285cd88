"""What buffers may hold, and how a checkpoint keeps it: tensors and plain numbers in dictionaries, lists and tuples.

Tensors go into the checkpoint's tensors, the entries of a list by their number; plain numbers and text into its JSON,
each with its type and, whatever its value, exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..nested import items

PLAIN: dict[type, tuple[Any, Any]] = {  # to text, and back
    bool: (str, {"True": True, "False": False}.__getitem__),
    int: ("{:x}".format, lambda text: int(text, 16)),
    float: (float.hex, float.fromhex),
    str: (json.dumps, json.loads),
    type(None): (str, {"None": None}.__getitem__),
}
TYPES = {  # of tensors, as safetensors calls them
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.complex64: "C64",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_NAMES = {kind.__name__: kind for kind in PLAIN}


def storable(x: Any) -> bool:
    """Whether it is a tensor of a type that a checkpoint has, with numbers of its own."""
    return isinstance(x, Tensor) and x.dtype in TYPES and x.layout is torch.strided and x.device.type != "meta"


def copied(x: Any) -> Any:
    """The same leaves in dictionaries, lists and tuples of their own."""
    if type(x) is dict:
        return {k: copied(v) for k, v in x.items()}
    return type(x)(map(copied, x)) if type(x) in (list, tuple) else x


def unkept(x: Any, path: str = "") -> tuple[str, Any] | None:
    """The first part that no checkpoint can keep, by its path."""
    if type(x) is dict and (odd := next((k for k in x if not isinstance(k, str)), "")) != "":
        return path.rstrip("/") or "all of it", odd
    if type(x) in (dict, list, tuple):
        return next((found for k, v in items(x) or () if (found := unkept(v, f"{path}{k}/")) is not None), None)
    return None if storable(x) or type(x) in PLAIN else (path.rstrip("/"), x)


def tensors_of(x: Any) -> dict[str, Any]:
    """The tensors alone, in nested dictionaries."""
    inside = {k: v if isinstance(v, Tensor) else tensors_of(v) for k, v in items(x) or ()}
    return {k: v for k, v in inside.items() if isinstance(v, Tensor) or v}


def plain_of(x: Any) -> Any:
    """The rest, in nested dictionaries of [type, text], as JSON keeps it."""
    if (inside := items(x)) is None:
        return [type(x).__name__, PLAIN[type(x)][0](x)]
    found = {k: plain_of(v) for k, v in inside if not isinstance(v, Tensor)}
    return {k: v for k, v in found.items() if v != {}}


def refilled(own: Any, tensors: Any, plain: Any, path: str) -> Any:
    """``own`` with what was kept of it, which must be all and no more. Raises ValueError."""
    if (inside := items(own)) is not None:
        tensors, plain = ({} if x is None else x for x in (tensors, plain))
        if not (isinstance(tensors, Mapping) and isinstance(plain, Mapping)):
            raise ValueError(f"{path.rstrip('/')} is of another type")
        known = dict(inside)
        for k in (*tensors, *plain):
            if k not in known:
                raise ValueError(f"it holds {path}{k}, which is not expected")
        new = {k: refilled(v, tensors.get(k), plain.get(k), f"{path}{k}/") for k, v in known.items()}
        return new if isinstance(own, Mapping) else type(own)(new.values())
    name = path.rstrip("/")
    if isinstance(own, Tensor):
        if not isinstance(tensors, Tensor) or tensors.shape != own.shape or tensors.dtype != own.dtype:
            raise ValueError(f"{name} is missing, or of another shape or type")
        return tensors.to(own.device)
    if plain is None:
        raise ValueError(f"{name} is missing: it was saved by a version that kept tensors alone")
    kind, text = plain
    if _NAMES.get(kind) is not type(own):
        raise ValueError(f"{name} is of another type")
    return PLAIN[type(own)][1](text)
