"""Numbers computed from eigenvalues λ of a field's Jacobian: phase, conditioning, the largest stable step.

A step subtracts the field, so its flow is stable where every Re λ > 0. Every function takes eigenvalues (..., n), with
NaN as padding, and returns (...), which is NaN where there are no eigenvalues. An eigenvalue whose modulus is smaller
than ``rounding`` times the largest one counts as 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
ROUNDING = {"float32": 1e-5, "float64": 1e-12}  # of eigenvalues, relative to the largest
EPSILON = 1e-6  # `steps_to` counts the steps until the error is this share of the first one


def phase(eigenvalues: ArrayLike, rounding: float = 1e-12) -> Array:
    """ζ = max |Im λ / Re λ|, how much the flow rotates; infinite for λ on the imaginary axis, 0 for λ = 0.

    Nie and Patel (2020, arXiv 1806.09235), section 4; Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), Lemma 4.
    """
    z, small = _split(eigenvalues, rounding)
    imaginary, rotates = np.abs(z.real) <= small, np.abs(z.imag) > small
    ratio = np.abs(z.imag) / np.where(imaginary, 1.0, np.abs(z.real))
    return _over(np.fmax, np.where(np.isnan(z), np.nan, np.where(imaginary, np.where(rotates, np.inf, 0.0), ratio)))


def conditioning(eigenvalues: ArrayLike, rounding: float = 1e-12) -> Array:
    """τ = max |λ| / min |λ|; infinite where some λ is 0 (Nie and Patel 2020, section 4)."""
    z, small = _split(eigenvalues, rounding)
    least = _over(np.fmin, np.abs(z))
    zero = least <= small[..., 0]
    return np.where(zero, np.inf, _over(np.fmax, np.abs(z)) / np.where(zero, 1.0, least))


def largest_step(eigenvalues: ArrayLike, rounding: float = 1e-12) -> Array:
    """η_max = min 2 Re λ / |λ|²; 0 where some Re λ <= 0. Every |1 − ηλ| < 1 if and only if 0 < η < η_max.

    Mescheder, Nowozin and Geiger (2017), Lemma 4, whose −λ is our λ: 1/Re λ · 2/(1 + (Im λ/Re λ)²).
    """
    z, small = _split(eigenvalues, rounding)
    inside = z.real > small
    bound = 2 * z.real / np.where(inside, np.abs(z) ** 2, 1.0)
    return _over(np.fmin, np.where(np.isnan(z), np.nan, np.where(inside, bound, 0.0)))


def radius(eigenvalues: ArrayLike) -> Array:
    """max |λ|. That of F' is the factor by which the error shrinks in a step in the long run (Lemma 4's Prop. 3)."""
    return _over(np.fmax, np.abs(np.asarray(eigenvalues)))


def slowest(eigenvalues: ArrayLike) -> Array:
    """min Re λ."""
    return _over(np.fmin, np.asarray(eigenvalues).real)


def steps_to(rho: ArrayLike, epsilon: float = EPSILON) -> Array:
    """Steps until an error that shrinks by the factor ``rho`` (...) a step is ``epsilon`` of itself; infinite at 1."""
    rho = np.asarray(rho, dtype=np.float64)
    inside = rho < 1
    with np.errstate(divide="ignore"):
        needed = np.log(epsilon) / np.log(np.where(inside, rho, 0.5))
    return np.where(np.isnan(rho), np.nan, np.where(inside, np.maximum(np.ceil(needed), 1.0), np.inf))


def neutral(eigenvalues: ArrayLike, rounding: float = 1e-12) -> NDArray[np.bool_]:
    """Which eigenvalues (..., n) are 0 while others are not: along these directions v is 0 to first order."""
    z, small = _split(eigenvalues, rounding)
    with np.errstate(invalid="ignore"):
        return (np.abs(z) <= small) & (np.abs(z) > small).any(axis=-1, keepdims=True)


def without_ones(update: ArrayLike, count: ArrayLike, rounding: float = 1e-12) -> NDArray[np.complex128]:
    """Eigenvalues (..., m) of F', with NaN in place of at most ``count`` (...) that are 1.

    F' has the eigenvalue 1 in a neutral direction. ``count`` is the number of neutral directions of J: any further 1
    belongs to a player who does not move, or to a step that does not converge, and must be kept.
    """
    z = np.asarray(update, dtype=np.complex128)
    off = np.abs(z - 1)
    least = rounding * np.fmax(1.0, _over(np.fmax, off))[..., None]
    order = np.where(np.isnan(off), np.inf, off).argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable")
    return np.where((off <= least) & (order < np.asarray(count)[..., None]), complex(np.nan, np.nan), z)


def steps_per_turn(update: ArrayLike) -> Array:
    """Applications of F' in which the slowest of its leading eigenvalues (..., n) turns once round 0; 0 if none turns.

    An eigenvalue whose angle is below a thousandth of |log ρ| counts as real: rounding splits repeated real eigenvalues
    into such pairs.
    """
    z = np.asarray(update, dtype=np.complex128)
    rho = radius(z)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.abs(np.angle(z))
        turns = (np.abs(z) >= (1 - 1e-9) * rho) & (angle > 1e-3 * np.abs(np.log(rho)))
        return np.nan_to_num(_over(np.fmax, np.where(turns, 2 * np.pi / angle, np.nan)), posinf=0.0)


def _split(eigenvalues: ArrayLike, rounding: float) -> tuple[NDArray[np.complex128], Array]:
    """Eigenvalues (..., n) as complex numbers, and the modulus (..., 1) up to which one counts as 0."""
    z = np.asarray(eigenvalues, dtype=np.complex128)
    z = np.where(np.isfinite(z), z, complex(np.nan, np.nan))
    return z, rounding * _over(np.fmax, np.abs(z))[..., None]


def _over(pick: np.ufunc, x: Array) -> Array:
    """Reduce the last axis with ``pick``, fmin or fmax, which skip NaN; NaN where there is nothing else."""
    with np.errstate(invalid="ignore"):
        return np.asarray(pick.reduce(x, axis=-1, initial=np.nan))
