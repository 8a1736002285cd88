"""All tolerances, by dtype."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tolerances:
    """The tolerances for one dtype."""

    inner: float
    """The relative residual that an inner solve must reach by default."""
    eigen: float
    """An eigenvalue has converged if its residual, relative to the largest eigenvalue, is below this."""
    radius: float
    """As ``eigen``, for the eigenvalue of F' that gives the spectral radius."""
    adjoint: float
    """The relative difference allowed between <A u, w> and <u, A^T w>."""
    finite_difference: float
    """The relative error allowed in a derivative, against central differences in float64."""
    member: float
    """The relative difference allowed in one step between an ensemble member and the same run alone."""
    blowup: float
    """A run has diverged if the joint norm of its parameters exceeds this times (1 + the initial norm)."""


TOLERANCES = {
    torch.float64: Tolerances(
        inner=1e-10, eigen=1e-8, radius=1e-8, adjoint=1e-9, finite_difference=1e-5, member=1e-9, blowup=1e30
    ),
    # In float32 a conjugate-gradient solve has an error of about 1e-5, however small a residual is asked for.
    torch.float32: Tolerances(
        inner=3e-5, eigen=1e-3, radius=1e-5, adjoint=1e-3, finite_difference=1e-2, member=1e-3, blowup=1e15
    ),
}


def tolerances(dtype: torch.dtype) -> Tolerances:
    """The tolerances for ``dtype``; those of float32 for other dtypes than float64."""
    return TOLERANCES.get(dtype, TOLERANCES[torch.float32])
