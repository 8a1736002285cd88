"""The quadratic game: its Jacobian by hand."""

from __future__ import annotations

import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame

from ..support.cases import F64, close, jacobian, same_spectrum
from ..support.rates import zero


def test_jacobian_of_the_quadratic_game():
    """x^2 + 10 xy + y^2: y climbs it, so its own curvature is -2 and the origin is the worst point for y alone."""
    game = cp.make("game", "quadratic")
    close(jacobian(game, zero(game)), torch.tensor([[2.0, 10.0], [-10.0, -2.0]], dtype=F64))
    same_spectrum(jacobian(game, zero(game)), [96**0.5 * 1j, -(96**0.5) * 1j], 1e-12)
    close(LocalGame.of(game, zero(game), {}).jacobian().block("y", "y").dense(), torch.tensor([[-2.0]], dtype=F64))
