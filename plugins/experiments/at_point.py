"""Update maps and Jacobians of small games, made by name, as numpy arrays: what several experiments compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ...core.game.adapters import game_from_losses
from ...core.game.game import Game
from ...core.game.tree import Batch, Params
from ...core.registry.registry import make
from ...core.spectra.update_map import update_jacobian

Matrix = NDArray[np.float64]
Table = Mapping[str, Any]


def update_map(game: Any, solver: Any, params: Params | None = None, regularizers: Sequence[Any] = ()) -> Matrix:
    """F' (S, S) of a solver on a game, each by name, table or object, at ``params``; by default at 0."""
    made = make("game", game)
    point = zeros(made) if params is None else params
    applied = [make("regularizer", r) for r in regularizers]
    F: Matrix = update_jacobian(made, make("solver", solver), point, regularizers=applied).numpy()
    return F


def field(game: Any, solver: Any, params: Params | None = None) -> Matrix:
    """The Jacobian of the direction in which a solver moves, (I - F') / lr, with lr .5, at which this is exact."""
    F = update_map(game, {**named(solver), "lr": 0.5}, params)
    return (np.eye(len(F)) - F) / 0.5


def named(solver: Any) -> dict[str, Any]:
    """A name, or a table with one, as a table."""
    return {"name": solver} if isinstance(solver, str) else dict(solver)


def zeros(game: Game) -> Params:
    """The point 0 of a game."""
    start = game.init(torch.Generator().manual_seed(0))
    return {i: {k: torch.zeros_like(x) for k, x in tree.items()} for i, tree in start.items()}


def radius(M: ArrayLike) -> float:
    """The spectral radius of a matrix."""
    return float(np.abs(np.linalg.eigvals(np.asarray(M))).max())


def matrix_game(A: ArrayLike) -> Game:
    """The game whose field is v = A theta, for players p0, p1, ... of one number each.

    Player n's loss is A_nn theta_n^2 / 2 + theta_n sum_m A_nm theta_m over the others; its derivative is row n of v.
    """
    M = torch.as_tensor(np.asarray(A, dtype=float))

    def losses(params: Params, batch: Batch) -> dict[str, torch.Tensor]:
        theta = torch.cat([params[f"p{n}"]["value"] for n in range(len(M))])
        own = torch.diagonal(M) * theta * theta / 2
        others = theta * ((M - torch.diag(torch.diagonal(M))) @ theta)
        return {f"p{n}": own[n] + others[n] for n in range(len(M))}

    start = {f"p{n}": {"value": torch.ones(1, dtype=torch.float64)} for n in range(len(M))}
    return game_from_losses(losses, start)


def as_pairs(eigenvalues: ArrayLike) -> list[list[float]]:
    """Eigenvalues as [real, imaginary], which JSON can hold, by real part and then by imaginary part."""
    z = np.asarray(eigenvalues, dtype=complex)
    return [[float(w.real), float(w.imag)] for w in sorted(z, key=lambda w: (round(w.real, 9), w.imag))]


def as_complex(pairs: Sequence[Sequence[float]]) -> NDArray[np.complex128]:
    """The inverse of `as_pairs`."""
    return np.array([complex(a, b) for a, b in pairs])


def direction(game: Any, solver: Any, params: Params, batch: Batch) -> NDArray[np.float64]:
    """The direction (S,) in which a solver moves at a point: of one step with lr 1 and a fixed batch."""
    made = make("solver", {**named(solver), "lr": 1.0})
    moved, _, _ = made.step(game, params, made.init(game, params), lambda: batch)
    return np.concatenate([
        (x - moved[i][name]).detach().numpy().ravel() for i, tree in params.items() for name, x in tree.items()
    ])  # fmt: skip
