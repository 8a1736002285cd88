"""The form of nested tensors, which is all but their numbers: names, shapes, types, devices. Compared, and in words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def form(x: Any) -> Any:
    """The form of ``x``: its dictionaries, lists and tuples, with (shape, dtype, device, layout) for each tensor."""
    if isinstance(x, dict):
        return {k: form(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [type(x), *map(form, x)]
    return (x.shape, x.dtype, x.device, x.layout) if isinstance(x, Tensor) else type(x)


def describe_change(before: Any, after: Any) -> str:
    """How the form of ``after`` differs from that of ``before``, in words; "" if it does not."""
    had, has = form(before), form(after)
    return "" if had == has else describe_difference(had, has)


def describe_difference(had: Any, has: Any, path: str = "") -> str:
    """The first place where two different forms differ, in words."""
    if isinstance(had, dict) and isinstance(has, dict):
        k = next(k for k in {**had, **has} if had.get(k) != has.get(k))
        return describe_difference(had.get(k), has.get(k), f"{path}/{k}".lstrip("/"))
    if isinstance(had, list) and isinstance(has, list) and (len(had), had[0]) == (len(has), has[0]):
        n = next(n for n, pair in enumerate(zip(had, has, strict=True)) if pair[0] != pair[1])
        return describe_difference(had[n], has[n], f"{path}/{n - 1}".lstrip("/"))
    return f"{path or 'all of it'} is {describe_form(has)}; expected: {describe_form(had)}"


def describe_form(x: Any) -> str:
    """A form in words. None stands for an entry that is not there."""
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
