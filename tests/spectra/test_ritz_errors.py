"""The errors of Ritz values hold, converged or not, and far from normal, too: verdicts rest on this."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from counterplay.core.derivatives.operator import Operator
from counterplay.core.spectra import spectrum as spectra
from counterplay.core.stability.certainty import known

N = 160
EYE = torch.eye(N, dtype=torch.float64)


def random(seed: int) -> Tensor:
    return torch.randn(N, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def triangular(strength: float) -> Callable[[int], Tensor]:
    return lambda s: torch.diag(torch.linspace(0.1, 0.9, N).double()) + strength * torch.triu(random(s), 1) / N**0.5


def of_a_game(seed: int) -> Tensor:
    """J with three outliers, as of GANs, amid symmetric and antisymmetric noise."""
    B = random(seed) / N**0.5
    return (B + B.T) / 2 + 3 * (B - B.T) / 2 + torch.diag(torch.tensor([40.0, -8, 6] + [0] * (N - 3)).double())


def with_momentum(seed: int) -> Tensor:
    J, b = of_a_game(seed), 0.5
    return torch.cat([torch.cat([EYE - 0.05 * (1 - b) * J, -0.05 * b * EYE], 1), torch.cat([(1 - b) * J, b * EYE], 1)])


def in_other_units(seed: int) -> Tensor:
    D = 10 ** torch.linspace(-3, 3, N).double()
    return (random(seed) / N**0.5 + torch.diag(torch.linspace(0, 2, N).double())) * D / D[:, None]


def with_a_jordan_block(seed: int) -> Tensor:
    A = torch.diag(torch.linspace(0, 0.5, N).double())
    A[:3, :3] = torch.tensor([[0.9, 1, 0], [0, 0.9, 1], [0, 0, 0.9]])
    Q = torch.linalg.qr(random(seed))[0]
    return Q @ A @ Q.T


def grcar(seed: int) -> Tensor:
    diagonals = [-torch.diag(torch.ones(N - 1), -1), *(torch.diag(torch.ones(N - k), k) for k in range(4))]
    return torch.stack(diagonals).sum(0).double()


MATRICES = {
    "of a game": of_a_game,
    "of momentum": with_momentum,
    "a small step": lambda seed: EYE - 0.1 * of_a_game(seed) / 40,
    "random": lambda seed: random(seed) / N**0.5,
    "in other units": in_other_units,
    "a Jordan block": with_a_jordan_block,
    "Grcar's": grcar,
    **{f"triangular, {x:g}": triangular(x) for x in (0.1, 1.0, 3.0, 10.0, 30.0)},
}


@pytest.mark.parametrize("name", MATRICES)
def test_what_counts_is_within_its_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra, "DENSE", 0)
    counted = before_converged = 0
    for seed in range(3):
        A = MATRICES[name](seed)
        like = {"x": {"value": torch.zeros(len(A), dtype=torch.float64)}}
        maps = [lambda u, A=M: {"x": {"value": A @ u["x"]["value"]}} for M in (A, A.T)]
        true = np.linalg.eigvals(A.numpy())
        for products in (16, 30, 60, 120):
            found = spectra.spectrum(Operator(maps[0], maps[1], like, like), k=8, max_products=products)
            facts = {"eigenvalues": found.eigenvalues, "status": found.status, "errors": found.errors}
            one = known(facts, size=len(A))
            certain = np.isfinite(one.error)
            off = np.array([np.abs(true - z).min() for z in one.values])
            rounding = 1e-9 * float(np.abs(one.values).max())  # of `true`, which is computed, too
            assert (off <= one.error + rounding)[certain].all(), (seed, products)
            counted += int(certain.sum())
            before_converged += int((certain & (found.status.numpy() == 1)).sum())
    if name in ("of a game", "of momentum"):
        assert counted > before_converged > 10, "more counts than what has converged"


@pytest.mark.parametrize(
    ("weight", "decay", "step", "products"), [(1.448, -0.2453, 4.644e-4, 100), (6.6455, -2.128, 1.361e-4, 50)]
)
def test_a_long_chain_of_players_is_within_its_error(
    weight: float, decay: float, step: float, products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small step of a game in which each number follows the next: its powers grow for long before they shrink.

    All eigenvalues are 1 - step / 2. What a Krylov space knows of their condition is off by an order of magnitude.
    """
    monkeypatch.setattr(spectra, "DENSE", 0)
    n = 2200
    weights = weight * torch.logspace(0, decay, n - 1, dtype=torch.float64).flip(0)
    like = {"x": {"value": torch.zeros(n, dtype=torch.float64)}}

    def mv(u: Tensor) -> Tensor:
        return u - step * (u / 2 + torch.cat([torch.zeros(1).double(), weights * u[:-1]]))

    def rmv(w: Tensor) -> Tensor:
        return w - step * (w / 2 + torch.cat([weights * w[1:], torch.zeros(1).double()]))

    maps = [lambda u, f=f: {"x": {"value": f(u["x"]["value"])}} for f in (mv, rmv)]
    found = spectra.spectrum(Operator(maps[0], maps[1], like, like), k=20, max_products=products)
    one = known({"eigenvalues": found.eigenvalues, "status": found.status, "errors": found.errors}, size=n)
    off = np.abs(one.values - (1 - step / 2))
    assert (off <= one.error).all() and off.max() > 1e-4, "an error that is not known is infinite"
    assert not one.radius - one.radius_error > 1, "else the step is said to depart"
