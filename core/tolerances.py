"""Every tolerance in one place, by dtype."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tolerances:
    inner: float
    """Relative residual asked of an inner solve by default."""
    eigen: float
    """Residual of an eigenvalue, relative to the largest one, below which it counts as converged."""
    radius: float
    """The same of an eigenvalue of F', which bounds the spectral radius."""
    adjoint: float
    """Relative error allowed between <A u, w> and <u, A^T w>."""
    finite_difference: float
    """Relative error allowed of a derivative against central differences in float64."""
    member: float
    """Relative difference allowed in one step between an ensemble member and the same run alone."""
    blowup: float
    """A run whose joint parameter norm exceeds this times (1 + its initial norm) has diverged."""


TOLERANCES = {
    torch.float64: Tolerances(
        inner=1e-10, eigen=1e-8, radius=1e-8, adjoint=1e-9, finite_difference=1e-5, member=1e-9, blowup=1e30
    ),
    # In float32 a conjugate-gradient solve is 1e-5 from the exact one whatever is asked.
    torch.float32: Tolerances(
        inner=3e-5, eigen=1e-3, radius=1e-5, adjoint=1e-3, finite_difference=1e-2, member=1e-3, blowup=1e15
    ),
}


def tolerances(dtype: torch.dtype) -> Tolerances:
    return TOLERANCES.get(dtype, TOLERANCES[torch.float32])
