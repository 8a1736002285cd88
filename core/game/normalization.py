"""Normalisation in elementary operations: mean, variance, division.

torch's own batch_norm, instance_norm and layer_norm are never used, because some of their higher derivatives are
silently wrong, by 2 to 16 % in float64: every third derivative of all three, and products with the Jacobian of a
vmapped field of the first two. In elementary operations all derivatives are right.
"""

from __future__ import annotations

from torch import Tensor

from ..collective import batch_mean

EPS = 1e-5


def normalize(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, per_sample: bool = False, eps: float = EPS
) -> Tensor:
    """(x - mean) / sqrt(variance + eps), then scaled and shifted channel by channel.

    ``x`` is (B, C) or (B, C, ...). Mean and variance are those of the batch and all positions (batch normalisation), or
    with ``per_sample`` those of each sample's positions (instance normalisation). ``weight`` and ``bias`` are (C,).
    """
    dims = [d for d in range(x.dim()) if d != 1 and not (per_sample and d == 0)]
    return scale_and_shift(standardize(x, dims, eps), weight, bias)


def scale_and_shift(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """x * weight + bias, for ``x`` (B, C, ...) with ``weight`` and ``bias`` (C,), or None."""
    x = x if weight is None else x * by_channel(weight, x)
    return x if bias is None else x + by_channel(bias, x)


def by_channel(c: Tensor, x: Tensor) -> Tensor:
    """``c`` (C,) in the shape (1, C, 1, ...), which broadcasts with ``x`` (B, C, ...)."""
    return c.reshape([1, -1, *[1] * (x.dim() - 2)])


def standardize(x: Tensor, dims: list[int], eps: float = EPS) -> Tensor:
    """(x - mean) / sqrt(variance + eps), with mean and variance over the axes ``dims``; 0 is that of the batch."""
    mean = batch_mean if 0 in dims else _mean
    centred = x - mean(x, dims)
    return centred * (mean(centred * centred, dims) + eps).rsqrt()


def _mean(x: Tensor, dims: list[int]) -> Tensor:
    return x.mean(dims, keepdim=True)
