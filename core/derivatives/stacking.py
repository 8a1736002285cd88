"""What ensemble members have, stacked: tensors and numbers along a leading axis, all else if it is equal for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


class CannotStack(ValueError):
    """The members' values of one name cannot be stacked; the message says why."""


def stacked(parts: list[Any], path: str = "") -> Any:
    """Stack the members' nested structures ``parts`` into one.

    Tensors and arrays become tensors (M, ...). Numbers become a tensor (M,), of dtype bool, int64 or float64. A number
    that is equal for all members stays a number, so that it can be used as a shape or a switch. Text and other values
    must be equal for all. Raises CannotStack, with the path, if the members do not fit together.
    """
    first, kind = parts[0], type(parts[0])
    if isinstance(first, Mapping):
        if any(not isinstance(x, Mapping) or {*x} != {*first} for x in parts):
            raise CannotStack(f"{path or 'they'} have not the same names for all members")
        return {k: stacked([x[k] for x in parts], f"{path}/{k}" if path else str(k)) for k in first}
    if isinstance(first, list | tuple):
        if any(type(x) is not kind or len(x) != len(first) for x in parts):
            raise CannotStack(f"{path} is not of one length for all members")
        items = [stacked(list(x), f"{path}/{n}") for n, x in enumerate(zip(*parts, strict=True))]
        return kind(*items) if hasattr(first, "_fields") else kind(items)
    parts = [tensor(x) for x in parts]
    if all(isinstance(x, Tensor) for x in parts):
        forms = list(dict.fromkeys((tuple(x.shape), str(x.dtype).removeprefix("torch.")) for x in parts))
        if len(forms) > 1:
            (a, b), (c, d) = forms[:2]
            raise CannotStack(
                f"{path} is of shape {a} and type {b} for one member, of shape {c} and type {d} for another; "
                "a last batch that is shorter must be left out"
            )
        return torch.stack(parts)
    if all(x is parts[0] or _same(x, parts[0]) for x in parts):
        return parts[0]
    for kinds, dtype in ((bool,), torch.bool), ((bool, int), torch.int64), ((bool, int, float), torch.float64):
        if all(type(x) in kinds for x in parts):
            try:
                return torch.tensor(parts, dtype=dtype)
            except (ValueError, OverflowError, RuntimeError):  # a number is too large for the dtype
                break
    raise CannotStack(
        f"{path} differs between members and is no tensor, but {parts[0]!r:.40} and {_other(parts)!r:.40}; "
        "make it a tensor, or the same for all"
    )


def tensor(x: Any) -> Any:
    """numpy arrays as tensors, numpy numbers as Python numbers, anything else as it is."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "biufc":
        return torch.from_numpy(np.array(x, dtype=x.dtype.newbyteorder("=")))
    return x.item() if isinstance(x, np.generic) and x.dtype.kind in "biufc" else x


def _same(x: Any, y: Any) -> bool:
    """Whether two values are equal and act equally in computations: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if type(x) is not type(y) or isinstance(x, Tensor):
        return False
    try:
        return repr(x) == repr(y) if isinstance(x, float | complex) else bool(x == y)
    except Exception:  # raised by the __eq__ of a foreign class
        return False


def _other(parts: list[Any]) -> Any:
    """The first value that differs from the first one."""
    return next((x for x in parts if not _same(x, parts[0])), parts[-1])
