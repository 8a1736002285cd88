"""What is known of a spectrum: which eigenvalues are certain, how well, and whether they are all there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..log.schema import SPECTRUM_STATUS
from .conditioning import neutral, radius, slowest, without

NOT_NORMAL = 10.0  # times its residual an eigenvalue may be off, in logs that do not say how far


@dataclass(frozen=True)
class Known:
    """Eigenvalues (n,) of a matrix, and how far each may be off (n,): infinitely where it is not certain.

    An eigenvalue that has not converged proves nothing, nor does one of a derivative that does not exist. ``complete``
    tells whether these are all there are, every one of them certain; None where that is unknown.
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
    ) -> Known:
        """What was found of a matrix of ``size`` rows, None where unknown but no less than ``least``.

        ``residuals`` and ``errors``, how far an eigenvalue may be off, are relative to the largest distance from
        ``about``, ``status`` holds names of ``SPECTRUM_STATUS`` or their indices. What is not finite is padding, or
        nothing that was found.
        """
        z = np.atleast_1d(np.asarray(values, dtype=np.complex128)).ravel()
        found = np.isfinite(z)
        said = np.zeros(z.shape, dtype=int) if status is None else _codes(status)
        if errors is None:
            errors = np.zeros(z.shape) if residuals is None else NOT_NORMAL * np.asarray(residuals, dtype=np.float64)
        z, said, off = z[found], said[found], np.asarray(errors, dtype=np.float64).ravel()[found]
        largest = (np.abs(z - about).max() if len(z) else 0.0) or 1.0
        bent = bool((said == SPECTRUM_STATUS.index("not_differentiable")).any())
        error = np.where((said == 0) & np.isfinite(off), off * largest, np.inf)
        complete = _complete(len(z), bool(np.isfinite(error).all()), size, least)
        return cls(z, error, complete, not bent)

    @cached_property
    def certain(self) -> NDArray[np.complex128]:
        """The eigenvalues that are known, (m,)."""
        return self.values[np.isfinite(self.error)]

    @cached_property
    def led(self) -> bool:
        """Whether the largest of the moduli found is certain, too."""
        return len(self.values) > 0 and self.radius >= (1 - 1e-9) * float(radius(self.values))

    @cached_property
    def radius(self) -> float:
        """The largest modulus that is known; NaN where none is."""
        return float(radius(self.certain))

    @cached_property
    def radius_error(self) -> float:
        """How far ``radius`` may be off; NaN where none is known."""
        size, off = np.abs(self.certain), self.error[np.isfinite(self.error)]
        return float(radius(size + off) - self.radius)

    @cached_property
    def real_error(self) -> float:
        """How far the least real part that is known may be off; NaN where none is known."""
        re, off = self.certain.real, self.error[np.isfinite(self.error)]
        return float(slowest(re) - slowest(re - off))

    def rounding(self, rounding: float) -> float:
        """``rounding`` of the largest modulus, as a share of the largest that is certain."""
        known, all_ = self.radius, float(radius(self.values))
        return rounding * all_ / known if known > 0 and np.isfinite(all_) else rounding

    def beside(self, other: Known) -> Known:
        """These and ``other`` eigenvalues of the same matrix; these alone where there are no others."""
        if self.complete is True:
            return self
        both = np.concatenate([self.values, other.values]), np.concatenate([self.error, other.error])
        return Known(*both, self.complete, self.differentiable and other.differentiable)


def _codes(status: Any) -> NDArray[np.int64]:
    each = np.asarray(status).ravel().tolist()
    return np.array([SPECTRUM_STATUS.index(s) if isinstance(s, str) else int(s) for s in each], dtype=np.int64)


def _complete(count: int, certain: bool, size: int | None, least: int) -> bool | None:
    if count < least or not certain or (size is not None and count < size):
        return False
    return None if size is None else True


Found = NDArray[Any] | Mapping[str, Any] | Known  # eigenvalues, or with "residuals", "status" and "dimension"


def known(found: Found, size: int | None = None, least: int = 0, about: float = 0.0) -> Known:
    """What is known of a spectrum; its "dimension" says better than ``size`` how many eigenvalues there are."""
    if isinstance(found, Known):
        return found
    if not isinstance(found, Mapping):
        return Known.of(found, size=size, least=least, about=about)
    return Known.of(
        found["eigenvalues"],
        found.get("residuals"),
        found.get("status"),
        found.get("dimension", size),
        least,
        about,
        found.get("errors"),
    )


def moving(F: Known, J: Known, rounding: float) -> NDArray[np.complex128]:
    """The certain eigenvalues (n,) of F', NaN for those of neutral directions; where J is known in part, for every 1.

    Nothing where a derivative does not exist.
    """
    values = F.certain if F.differentiable else F.values[:0]
    still = neutral(J.certain, J.rounding(rounding)).sum() if J.complete is True else len(values)
    return without(values, still, F.rounding(rounding))


def whole(each: Sequence[Known]) -> bool | None:
    """Whether all of several spectra are known whole; None where it cannot be told."""
    said = {one.complete for one in each}
    return False if False in said else None if None in said or not said else True


def largest(each: Sequence[Known]) -> tuple[float, float] | None:
    """The largest modulus in several spectra, and how far it may be off.

    None where nothing is certain, or a derivative does not exist.
    """
    found = [(one.radius, one.radius_error) for one in each if len(one.certain)]
    return max(found) if found and all(one.differentiable for one in each) else None


def bound(complete: Any, sign: str) -> str:
    """``sign`` ("≥", "≤") where not all eigenvalues are known; of several members, where one is not."""
    each = complete if isinstance(complete, list) else [complete]
    return "" if all(c is True for c in each) else sign
