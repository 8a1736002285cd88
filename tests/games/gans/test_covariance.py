"""The covariance game: losses and spectrum in closed form."""

from __future__ import annotations

import math

import pytest
import torch

import counterplay as cp

from ...support.cases import F64, close, generator, jacobian, same_spectrum, started
from ...support.toys import make


def test_covariance_losses_are_the_closed_form():
    """sum W_ij (Sigma - V V^T)_ij, exactly; by samples on average."""
    game = make("covariance", dimension=3)
    table, params, batch = started(game)
    V, W, U = params["generator"]["V"], params["discriminator"]["W"], game.root
    f = (W * (U @ U.T - V @ V.T)).sum()
    own = table.losses(params, batch)
    close(own["generator"], f)
    close(own["discriminator"], -f)
    sampled = make("covariance", dimension=3, exact=False, batch=200_000)
    drawn = sampled.sample(generator(), {})
    assert float(sampled.losses(params, drawn)["generator"]) == pytest.approx(float(f), abs=0.05 * float(W.norm()) * 9)
    error = game.metrics(params, batch)["covariance_error"]
    close(error, torch.linalg.matrix_norm(V @ V.T - U @ U.T))


def test_spectrum_of_the_covariance_game():
    """At V = U, W = 0: +-i sqrt(2 (s_k + s_l)) for k <= l, and d^2 - d zeros.

    J is antisymmetric with the block of dV -> -(dV U^T + U dV^T); in the singular basis of U a pair (k, l) of dV is
    mapped on two equal entries u_l a + u_k b.
    """
    game = make("covariance", dimension=3)
    table, _, batch = started(game)
    point = {"generator": {"V": game.root}, "discriminator": {"W": torch.zeros(3, 3, dtype=F64)}}
    J = jacobian(table, point, batch)
    close(J, -J.T)
    s = torch.linalg.eigvalsh(game.root @ game.root.T).tolist()
    sizes = [math.sqrt(2 * (s[k] + s[m])) for k in range(3) for m in range(k, 3)]
    same_spectrum(J, [sign * 1j * x for x in sizes for sign in (1, -1)] + [0.0] * 6, 1e-6)


def test_cgd_learns_a_covariance_where_gradient_play_runs_off():
    game = make("covariance", dimension=3, radius=0.1)
    errors = {}
    for name in ("simgd", "cgd"):
        result = cp.run(game, cp.make("solver", name, lr=0.1), steps=50, trace=False, blowup=1e3)
        errors[name] = float(game.metrics(result.params, {})["covariance_error"])
    start = float(game.metrics(game.init(generator()), {})["covariance_error"])
    assert errors["cgd"] < start / 3 and errors["simgd"] > start


def test_exact_covariance_needs_wgan():
    with pytest.raises(cp.UsageError, match="exact=false"):
        make("covariance", loss="saturating")
    make("covariance", loss="saturating", exact=False)
