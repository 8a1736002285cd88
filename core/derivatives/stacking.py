"""Members' draws put together: tensors and numbers along a leading axis, all else only where it is one for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Unlike(ValueError):
    """What the members have of one name cannot be put together."""


def stacked(parts: list[Any], path: str = "") -> Any:
    """One nested structure of what each member has.

    Tensors and arrays become tensors (M, ...). A number that is the same for all stays one, so that it may be a shape
    or a switch; else it becomes a tensor (M,), a fraction in float64. Raises Unlike, naming the path.
    """
    first, kind = parts[0], type(parts[0])
    if isinstance(first, Mapping):
        if any(not isinstance(x, Mapping) or {*x} != {*first} for x in parts):
            raise Unlike(f"{path or 'they'} have not the same names for all members")
        return {k: stacked([x[k] for x in parts], f"{path}/{k}" if path else str(k)) for k in first}
    if isinstance(first, list | tuple):
        if any(type(x) is not kind or len(x) != len(first) for x in parts):
            raise Unlike(f"{path} is not of one length for all members")
        made = [stacked(list(x), f"{path}/{n}") for n, x in enumerate(zip(*parts, strict=True))]
        return kind(*made) if hasattr(first, "_fields") else kind(made)
    parts = [tensor(x) for x in parts]
    if all(isinstance(x, Tensor) for x in parts):
        forms = list(dict.fromkeys((tuple(x.shape), str(x.dtype).removeprefix("torch.")) for x in parts))
        if len(forms) > 1:
            (a, b), (c, d) = forms[:2]
            raise Unlike(
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
            except (ValueError, OverflowError, RuntimeError):  # too large
                break
    raise Unlike(
        f"{path} differs between members and is no tensor, but {parts[0]!r:.40} and {_other(parts)!r:.40}; "
        "make it a tensor, or the same for all"
    )


def tensor(x: Any) -> Any:
    """Arrays as tensors, numpy's numbers as Python's, anything else as it is."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "biufc":
        return torch.from_numpy(np.array(x, dtype=x.dtype.newbyteorder("=")))
    return x.item() if isinstance(x, np.generic) and x.dtype.kind in "biufc" else x


def _same(x: Any, y: Any) -> bool:
    """Whether two are equal, and compute equally: 1, 1.0 and True do not, nor do 0.0 and -0.0."""
    if type(x) is not type(y) or isinstance(x, Tensor):
        return False
    try:
        return repr(x) == repr(y) if isinstance(x, float | complex) else bool(x == y)
    except Exception:  # anyone's __eq__
        return False


def _other(parts: list[Any]) -> Any:
    return next((x for x in parts if not _same(x, parts[0])), parts[-1])
