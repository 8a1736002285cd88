"""The bilinear game: alternating play at any step size, and more dimensions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import counterplay as cp
from counterplay.plugins.experiments.rotations import BilinearMethods

from ..support.cases import eigenvalues, property_test, radius
from ..support.rates import moved_by, zero


@property_test
@given(st.floats(0.1, 5.0), st.floats(0.01, 1.9))
def test_alternating_play_on_the_bilinear_game_has_radius_one(alpha, q):
    """F' = [[1, -q], [q, 1 - q^2]] has determinant 1, and complex eigenvalues while q = eta alpha < 2."""
    F = moved_by(cp.make("game", "bilinear", alpha=alpha), "altgd", lr=q / alpha)
    assert float(torch.linalg.det(F)) == pytest.approx(1, abs=1e-12)
    assert eigenvalues(F).abs().tolist() == pytest.approx([1, 1], abs=1e-9)


@pytest.mark.parametrize("dimension", [2, 3])
def test_more_dimensions_are_copies(dimension):
    game = cp.make("game", "bilinear", alpha=3.0, dimension=dimension)
    (of_alpha_3,) = (row.cases for row in BilinearMethods.said if row.name == "alpha-3")
    for case in of_alpha_3:
        rho = radius(cp.update_jacobian(game, cp.make("solver", case.solver), zero(game)))
        assert case.range[0] - 1e-8 < rho < case.range[1] + 1e-8, case.label
