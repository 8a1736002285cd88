"""The Fréchet distance against references of 40 digits, and a fit that does not depend on how the vectors come."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from counterplay.core.errors import UsageError
from counterplay.plugins.metrics import gaussian
from counterplay.plugins.metrics.gaussian import fit, frechet_distance


def reference(x: Tensor, y: Tensor) -> float:
    """The distance from covariance matrices and roots by eigenvectors, in 60 digits."""
    with mpmath.workdps(60):  # the root of a zero eigenvalue keeps half of them
        (m, A), (n, B) = _moments(x), _moments(y)
        root = _root(A)
        cross = mpmath.eigsy(root * B * root, eigvals_only=True)
        trace = sum(A[i, i] + B[i, i] for i in range(A.rows)) - 2 * sum(mpmath.sqrt(abs(e)) for e in cross)
        return float(sum((p - q) ** 2 for p, q in zip(m, n, strict=True)) + trace)


def _moments(x: Tensor) -> tuple[list[mpmath.mpf], mpmath.matrix]:
    rows = [[mpmath.mpf(v) for v in row] for row in x.tolist()]
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    centred = mpmath.matrix([[v - m for v, m in zip(row, mean, strict=True)] for row in rows])
    return mean, centred.T * centred / (len(rows) - 1)


def _root(A: mpmath.matrix) -> mpmath.matrix:
    values, vectors = mpmath.eigsy(A)
    return vectors * mpmath.diag([mpmath.sqrt(abs(e)) for e in values]) * vectors.T


def vectors(count: int, *, scale: object = 1.0, shift: float = 0.0, d: int = 5, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((count, d)) @ rng.standard_normal((d, d)) * np.asarray(scale) + shift)


NEAR = vectors(12, seed=5)
CASES = {
    "full rank": (vectors(9), vectors(11, seed=1)),
    "rank deficient": (vectors(3), vectors(4, seed=1)),
    "one of them rank deficient": (vectors(3), vectors(12, seed=1)),
    "ill-conditioned": (vectors(9, scale=np.logspace(0, -7, 5)), vectors(9, scale=np.logspace(-7, 0, 5), seed=1)),
    "ill-conditioned alike": (vectors(9, scale=np.logspace(0, -9, 5)), vectors(9, scale=np.logspace(0, -9, 5), seed=1)),
    "far from zero": (vectors(9, shift=1e7), vectors(11, shift=1e7 + 0.25, seed=1)),
    "far from zero, rank deficient": (vectors(3, shift=-1e6), vectors(2, shift=-1e6, seed=1)),
    "nearly equal": (NEAR, NEAR + 1e-4 * vectors(12, seed=6)),
    "constant": (torch.ones(4, 5, dtype=torch.float64), vectors(6)),
    "a single number": (vectors(9, d=1), vectors(7, d=1, seed=1)),
}


@pytest.mark.parametrize("name", CASES)
def test_against_forty_digits(name: str) -> None:
    x, y = CASES[name]
    expected = reference(x, y)
    for a, b in ((x, y), (y, x)):
        assert frechet_distance(fit([a]), fit([b])) == pytest.approx(expected, rel=1e-10, abs=0)


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_blocks_are_one_whole(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the vectors come, mean and covariance are those of all: numpy's, in float64."""
    x = vectors(57, shift=shift)
    for rows in (1, 7, 1000):
        monkeypatch.setattr(gaussian, "ROWS", rows)
        for sizes in ([57], [1] * 57, [30, 2, 25], [5, 5, 47]):
            found = fit(x.split(sizes))
            assert torch.allclose(found.origin + found.offset, x.mean(0), rtol=1e-14, atol=1e-13)
            expected = torch.from_numpy(np.cov((x - shift).numpy().T))
            assert torch.allclose(found.root.T @ found.root, expected, rtol=1e-12, atol=1e-13)


def test_memory_does_not_grow_with_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """No matrix is larger than what is kept and one block."""
    largest = 0
    qr = torch.linalg.qr

    def noted(x: Tensor, mode: str) -> object:
        nonlocal largest
        largest = max(largest, len(x))
        return qr(x, mode=mode)

    monkeypatch.setattr(torch.linalg, "qr", noted)
    fit(vectors(250, seed=i) for i in range(40))
    assert largest == 5 + gaussian.ROWS + 1


def test_one_vector_has_no_covariance() -> None:
    with pytest.raises(UsageError, match=r"needs two images or more, got 1: raise samples\."):
        fit([vectors(1)])
