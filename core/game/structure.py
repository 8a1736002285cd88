"""What nested dictionaries and lists of tensors look like, compared and told in words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def form(x: Any) -> Any:
    """Names, shapes, types and places of nested dictionaries, lists and tuples of tensors."""
    if isinstance(x, dict):
        return {k: form(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [type(x), *map(form, x)]
    return (x.shape, x.dtype, x.device, x.layout) if isinstance(x, Tensor) else type(x)


def changed(before: Any, after: Any) -> str:
    """How ``after`` looks otherwise than ``before``, in words; "" where it does not."""
    had, has = form(before), form(after)
    return "" if had == has else difference(had, has)


def difference(had: Any, has: Any, path: str = "") -> str:
    """The first difference of two forms, in words."""
    if isinstance(had, dict) and isinstance(has, dict):
        k = next(k for k in {**had, **has} if had.get(k) != has.get(k))
        return difference(had.get(k), has.get(k), f"{path}/{k}".lstrip("/"))
    if isinstance(had, list) and isinstance(has, list) and (len(had), had[0]) == (len(has), has[0]):
        n = next(n for n, pair in enumerate(zip(had, has, strict=True)) if pair[0] != pair[1])
        return difference(had[n], has[n], f"{path}/{n - 1}".lstrip("/"))
    return f"{path or 'all of it'} is {words(has)}; expected: {words(had)}"


def words(x: Any) -> str:
    """What a form is, in words."""
    if isinstance(x, tuple):
        shape, dtype, device, layout = x
        kind = "" if layout is torch.strided else f", {str(layout).removeprefix('torch.')}"
        place = "" if device.type == "cpu" else f" on {device}"
        return f"a tensor of shape {tuple(shape)} and type {str(dtype).removeprefix('torch.')}{kind}{place}"
    if isinstance(x, dict):
        return f"a dictionary of {', '.join(map(str, x)) or 'nothing'}"
    if isinstance(x, list):
        return f"a {x[0].__name__} of {len(x) - 1}"
    return "missing" if x is None else f"a {x.__name__}"
