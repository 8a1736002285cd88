"""What a game's buffers may hold, and how a checkpoint stores it.

Buffers are tensors and primitives (numbers, text, None) in dictionaries, lists and tuples. A checkpoint stores the
tensors as tensors, and each primitive as JSON, [type, text], from which it comes back exactly. The entries of a list or
tuple are stored by their number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..nested import items

PRIMITIVES: dict[type, tuple[Any, Any]] = {  # type -> to text, and from text
    bool: (str, {"True": True, "False": False}.__getitem__),
    int: ("{:x}".format, lambda text: int(text, 16)),
    float: (float.hex, float.fromhex),
    str: (json.dumps, json.loads),
    type(None): (str, {"None": None}.__getitem__),
}
TYPES = {  # the dtypes that a checkpoint can store, and their names in safetensors
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.complex64: "C64",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_NAMES = {kind.__name__: kind for kind in PRIMITIVES}


def storable(x: Any) -> bool:
    """Whether ``x`` is a dense tensor, with data, of a dtype that a checkpoint can store."""
    return isinstance(x, Tensor) and x.dtype in TYPES and x.layout is torch.strided and x.device.type != "meta"


def copied(x: Any) -> Any:
    """``x`` in new dictionaries, lists and tuples. The leaves are not copied."""
    if type(x) is dict:
        return {k: copied(v) for k, v in x.items()}
    return type(x)(map(copied, x)) if type(x) in (list, tuple) else x


def first_unstorable(x: Any, path: str = "") -> tuple[str, Any] | None:
    """The first leaf, or name, that a checkpoint cannot store, with the path to it. None: all can be stored."""
    if type(x) is dict and (odd := next((k for k in x if not isinstance(k, str)), "")) != "":
        return path.rstrip("/") or "all of it", odd
    if type(x) in (dict, list, tuple):
        found = (first_unstorable(v, f"{path}{k}/") for k, v in items(x) or ())
        return next((first for first in found if first is not None), None)
    return None if storable(x) or type(x) in PRIMITIVES else (path.rstrip("/"), x)


def tensors_of(x: Any) -> dict[str, Any]:
    """The tensors of ``x`` only, in nested dictionaries."""
    inside = {k: v if isinstance(v, Tensor) else tensors_of(v) for k, v in items(x) or ()}
    return {k: v for k, v in inside.items() if isinstance(v, Tensor) or v}


def primitives_of(x: Any) -> Any:
    """All but the tensors of ``x``, in nested dictionaries of [type, text]."""
    if (inside := items(x)) is None:
        return [type(x).__name__, PRIMITIVES[type(x)][0](x)]
    found = {k: primitives_of(v) for k, v in inside if not isinstance(v, Tensor)}
    return {k: v for k, v in found.items() if v != {}}


def leaves_from_checkpoint(own: Any, tensors: Any, primitives: Any, path: str) -> Any:
    """``own`` with its leaves replaced by those stored, ``tensors`` and ``primitives``.

    Raises ValueError, with the path, if a leaf is missing, is of another type or shape, or is not in ``own``.
    """
    if (inside := items(own)) is not None:
        tensors, primitives = ({} if x is None else x for x in (tensors, primitives))
        if not (isinstance(tensors, Mapping) and isinstance(primitives, Mapping)):
            raise ValueError(f"{path.rstrip('/')} is of another type")
        known = dict(inside)
        for k in (*tensors, *primitives):
            if k not in known:
                raise ValueError(f"it holds {path}{k}, which is not expected")
        new = {k: leaves_from_checkpoint(v, tensors.get(k), primitives.get(k), f"{path}{k}/") for k, v in known.items()}
        return new if isinstance(own, Mapping) else type(own)(new.values())
    name = path.rstrip("/")
    if isinstance(own, Tensor):
        if not isinstance(tensors, Tensor) or tensors.shape != own.shape or tensors.dtype != own.dtype:
            raise ValueError(f"{name} is missing, or of another shape or type")
        found = tensors.to(own.device)
        return found if own.is_contiguous() else torch.empty_like(own).copy_(found)  # with the strides that it had
    if primitives is None:
        raise ValueError(f"{name} is missing: it was saved by a version that kept tensors alone")
    kind, text = primitives
    if _NAMES.get(kind) is not type(own):
        raise ValueError(f"{name} is of another type")
    return PRIMITIVES[type(own)][1](text)
