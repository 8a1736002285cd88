"""Games with a memory of one round: a discount of 1 is refused, and products are right with autograd off."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import close, generator, started
from ..support.toys import make


@pytest.mark.parametrize("name", ["iterated-prisoners-dilemma", "matching-pennies"])
def test_a_discount_of_one_is_refused(name):
    with pytest.raises(cp.UsageError, match="gamma"):
        make(name, gamma=1.0)


def test_memory_one_products_are_right_with_autograd_off():
    """As in a traced run: forward mode over a pullback, where torch.linalg.solve is silently wrong."""
    game = make("matching-pennies", iterated=True)
    table, params, _ = started(game, trace=True)
    u, h = game.init(generator(9)), 1e-5
    with torch.no_grad():
        local = cp.LocalGame.of(table, params, {})
        up, down = (
            ravel(local.at({i: {"logits": params[i]["logits"] + s * h * u[i]["logits"]} for i in "xy"}).gradient())
            for s in (1, -1)
        )
        close(ravel(local.jacobian().mv(u)), (up - down) / (2 * h), 1e-7)
