"""Tandem: its fixed points, and lola's own."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import F64, close, jacobian, one_step, started
from ..support.toys import at, losses, make


def test_tandem():
    """Fixed points x + y = 1, where the losses are 1 - 2x and 1 - 2y: together 0, and none of them is better."""
    game = make("tandem")
    close(jacobian(game, at(x=0.4, y=-3.0)), torch.full((2, 2), 2.0, dtype=F64))
    for x in (-2.0, 0.25, 3.0):
        own = losses(game, at(x=x, y=1 - x))
        assert own == {"x": pytest.approx(1 - 2 * x), "y": pytest.approx(1 - 2 * (1 - x))}
        assert sum(own.values()) == pytest.approx(0, abs=1e-12)
        assert float(ravel(started(game)[0].field(("x", "y"), at(x=x, y=1 - x), {})[0]).abs().max()) < 1e-12
    # Together they would do best at x + y = 1/2, where 2 s^2 - 2 s = -1/2: what neither can hold alone.
    together = {s: sum(losses(game, at(x=s / 3, y=2 * s / 3)).values()) for s in (0.4, 0.5, 0.6)}
    assert together[0.5] == pytest.approx(-0.5) and together[0.5] < min(together[0.4], together[0.6])


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_lola_is_arrogant_in_tandem(alpha):
    """lola rests where x + y = (1 - 2 alpha)/(1 - 4 alpha) > 1, and both together lose more; la and sos do not move
    from the game's own fixed points. Every method falls onto its line from both sides."""
    game, arrogant = make("tandem"), (1 - 2 * alpha) / (1 - 4 * alpha)
    for name, rest in (("simgd", 1.0), ("la", 1.0), ("sos", 1.0), ("lola", arrogant)):
        solver = cp.make("solver", name, lr=0.05, **({} if name == "simgd" else {"opponent_lr": alpha}))
        for off in (0.0, 0.1, -0.1):
            after = one_step(game, solver, at(x=0.3, y=rest + off - 0.3))
            moved = float(ravel(after).sum()) - (rest + off)
            assert abs(moved) < 1e-12 if off == 0 else -1 < moved / off < 0
    assert arrogant > 1 and 2 * arrogant**2 - 2 * arrogant > 0
