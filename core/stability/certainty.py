"""What is known of a spectrum: which eigenvalues are certain, how far each may be off, and whether any are missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..log.schema import SPECTRUM_STATUS
from .conditioning import ROUNDING, neutral, radius, slowest, without_ones

_OF_DOUBLE = 1e-10  # relative: errors of eigenvalues that were taken in single precision are larger
CERTAIN = 1e-3  # a Ritz value with a smaller relative error counts before it has converged (test_ritz_errors.py)
ERROR_PER_RESIDUAL = 10.0  # for logs without errors: an eigenvalue may be off by this multiple of its residual


@dataclass(frozen=True)
class Known:
    """Eigenvalues (n,) of a matrix, and the error (n,) that each may have.

    The error is infinite where an eigenvalue is not certain, because it has not converged. ``complete`` is True if
    these are all eigenvalues of the matrix and every one is certain, False if not, None if unknown. ``differentiable``
    is False if the matrix is a derivative that does not exist; its eigenvalues prove nothing.
    """

    values: NDArray[np.complex128]
    error: NDArray[np.float64]
    complete: bool | None
    differentiable: bool = True

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        residuals: ArrayLike | None = None,
        status: ArrayLike | Sequence[str] | None = None,
        size: int | None = None,
        least: int = 0,
        about: float = 0.0,
        errors: ArrayLike | None = None,
        symmetric: bool = False,
    ) -> Known:
        """Make a Known of recorded eigenvalues (n,). Those that are not finite are dropped: they are padding.

        ``errors`` (n,) say by how much each may be off; without them the errors are estimated from ``residuals`` (n,).
        Both are relative to the largest distance of an eigenvalue from ``about``. ``status`` (n,) holds names of
        ``SPECTRUM_STATUS`` or their indices. ``size`` is the number of rows of the matrix; where it is None, the matrix
        has at least ``least`` rows.

        A Ritz value that has not converged is certain, too, to within its recorded error, where this is at most
        CERTAIN. Of a ``symmetric`` matrix every one is: there is an eigenvalue within its residual (Parlett 1998,
        theorem 4.5.1).
        """
        z = np.atleast_1d(np.asarray(values, dtype=np.complex128)).ravel()
        finite = np.isfinite(z)
        codes = np.zeros(z.shape, dtype=int) if status is None else _codes(status)
        accepted = 0.0 if errors is None else math.inf if symmetric else CERTAIN
        if errors is None:
            no_residuals = residuals is None
            errors = np.zeros(z.shape) if no_residuals else ERROR_PER_RESIDUAL * np.asarray(residuals, dtype=np.float64)
        z, codes, off = z[finite], codes[finite], np.asarray(errors, dtype=np.float64).ravel()[finite]
        largest = (np.abs(z - about).max() if len(z) else 0.0) or 1.0
        differentiable = not (codes == SPECTRUM_STATUS.index("not_differentiable")).any()
        counts = (codes == 0) | ((codes == SPECTRUM_STATUS.index("not_converged")) & (off <= accepted))
        error = np.where(counts & np.isfinite(off), off * largest, np.inf)
        complete = _complete(len(z), bool(np.isfinite(error).all()), size, least)
        return cls(z, error, complete, differentiable)

    @cached_property
    def certain(self) -> NDArray[np.complex128]:
        """The eigenvalues that are certain, (m,)."""
        return self.values[np.isfinite(self.error)]

    @cached_property
    def largest_is_certain(self) -> bool:
        """Whether the eigenvalue of largest modulus that was found is certain."""
        return len(self.values) > 0 and self.radius >= (1 - 1e-9) * float(radius(self.values))

    @cached_property
    def radius(self) -> float:
        """The largest modulus of a certain eigenvalue; NaN where none is certain."""
        return float(radius(self.certain))

    @cached_property
    def radius_error(self) -> float:
        """The error that ``radius`` may have, of a bound downwards; NaN where no eigenvalue is certain."""
        size, off = np.abs(self.certain), self.error[np.isfinite(self.error)]
        if self.complete is True or not len(size):
            return float(radius(size + off) - self.radius)
        return float(self.radius - max((size - off).max(), 0.0))

    @cached_property
    def real_error(self) -> float:
        """The error that the least real part of the certain eigenvalues may have; NaN where none is certain."""
        re, off = self.certain.real, self.error[np.isfinite(self.error)]
        return float(slowest(re) - slowest(re - off))

    def rounding(self, rounding: float) -> float:
        """Convert ``rounding``, a share of the largest modulus found, into a share of the largest certain modulus."""
        known, all_ = self.radius, float(radius(self.values))
        return rounding * all_ / known if known > 0 and np.isfinite(all_) else rounding

    def with_others(self, other: Known) -> Known:
        """These eigenvalues together with ``other`` ones of the same matrix; these alone if they are complete."""
        if self.complete is True:
            return self
        both = np.concatenate([self.values, other.values]), np.concatenate([self.error, other.error])
        return Known(*both, self.complete, self.differentiable and other.differentiable)


def _codes(status: Any) -> NDArray[np.int64]:
    flat = np.asarray(status).ravel().tolist()
    return np.array([SPECTRUM_STATUS.index(s) if isinstance(s, str) else int(s) for s in flat], dtype=np.int64)


def _complete(count: int, certain: bool, size: int | None, least: int) -> bool | None:
    if count < least or not certain or (size is not None and count < size):
        return False
    return None if size is None else True


# Eigenvalues alone, or a mapping of "eigenvalues", "residuals", "errors", "status" and "dimension".
Found = NDArray[Any] | Sequence[complex] | Mapping[str, Any] | Known


def known(found: Found, size: int | None = None, least: int = 0, about: float = 0.0, symmetric: bool = False) -> Known:
    """Make a Known of what was found; see `Known.of`. A "dimension" in a mapping takes the place of ``size``."""
    if isinstance(found, Known):
        return found
    if not isinstance(found, Mapping):
        return Known.of(found, size=size, least=least, about=about, symmetric=symmetric)
    return Known.of(
        found["eigenvalues"],
        found.get("residuals"),
        found.get("status"),
        found.get("dimension", size),
        least,
        about,
        found.get("errors"),
        symmetric,
    )


def rounding_of(dtype: str, J: Known) -> float:
    """The share of the largest modulus up to which an eigenvalue counts as 0 in a run of ``dtype``.

    Spectra are taken in double precision whatever the run's is. A game that has none is measured in its own, and then
    no eigenvalue has a small error.
    """
    errors = J.error[np.isfinite(J.error) & (J.error > 0)]
    is_double = len(errors) > 0 and float(errors.min()) < _OF_DOUBLE * J.radius
    return ROUNDING["float64"] if is_double else ROUNDING.get(dtype, 1e-5)


def without_neutral(F: Known, J: Known, rounding: float) -> NDArray[np.complex128]:
    """The certain eigenvalues (n,) of F', with NaN in place of those of neutral directions.

    Where not all of J is known, every 1 counts as neutral. Empty where F' is not differentiable.
    """
    values = F.certain if F.differentiable else F.values[:0]
    count = neutral(J.certain, J.rounding(rounding)).sum() if J.complete is True else len(values)
    return without_ones(values, count, F.rounding(rounding))


def whole(spectra: Sequence[Known]) -> bool | None:
    """Whether all of several spectra are complete; None where that is unknown."""
    answers = {one.complete for one in spectra}
    return False if False in answers else None if None in answers or not answers else True


def largest(spectra: Sequence[Known]) -> tuple[float, float] | None:
    """The largest certain modulus in several spectra, and the error that it may have.

    None where no eigenvalue is certain, or one of the matrices is a derivative that does not exist.
    """
    found = [(one.radius, one.radius_error) for one in spectra if len(one.certain)]
    return max(found) if found and all(one.differentiable for one in spectra) else None


def bound_sign(complete: Any, sign: str) -> str:
    """``sign`` ("≥", "≤") unless ``complete``, or every item of it if it is a list, is True; else ""."""
    each = complete if isinstance(complete, list) else [complete]
    return "" if all(c is True for c in each) else sign
