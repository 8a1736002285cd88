"""Whether a result that was come by in another way is the same."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..nested import leaves


def compare(found: Any, expected: Any, slack: float = 10.0) -> None:
    """Raise unless each replayed tensor is the function's own up to rounding, which ill-conditioning may enlarge.

    Each is measured by its own size: a block 300 times smaller than another may not be wrong at all. Sums that cancel
    leave what the other tensors beside them were rounded by. Members of a tuple are compared by themselves.
    """
    if type(found) is type(expected) is tuple:
        for a, b in zip(found, expected, strict=True):
            compare(a, b, slack)
        return
    pairs = list(zip(leaves(found), leaves(expected), strict=True))
    tensors = [(a, b.detach()) for a, b in pairs if isinstance(b, Tensor)]
    sizes = [_size(b) if b.is_floating_point() else 0.0 for _, b in tensors]
    largest = max(sizes, default=0.0)
    for (a, b), size in zip(tensors, sizes, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
            raise ArithmeticError("its replayed result is of another kind than its own")
        if not b.is_floating_point():
            same = torch.equal(a, b)
        else:
            eps = torch.finfo(b.dtype).eps
            error = (a - b)[a.isfinite() & b.isfinite()].abs()
            same = not error.numel() or float(error.max()) <= slack * (math.sqrt(eps) * size + 10 * eps * largest)
        if not same:
            raise ArithmeticError("its replayed result differs from its own")


def identical(found: Any, expected: Any) -> bool:
    """Whether the tensors of two results of one structure are equal number by number; NaN equals NaN."""
    pairs = zip(leaves(found), leaves(expected), strict=True)
    return all(not isinstance(a, Tensor) or torch.allclose(a, b, 0, 0, equal_nan=True) for a, b in pairs)


def _size(x: Tensor) -> float:
    return float(x.abs().nan_to_num(0, 0, 0).max()) if x.numel() else 0.0
