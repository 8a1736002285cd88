"""J of several generators against several discriminators, against plain autograd on losses written out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import leaves, ravel
from counterplay.core.images.random_images import RandomImages
from counterplay.games.networks.layers import Linear, flatten, reshape, tanh
from counterplay.games.networks.sequential import Sequential

from ...support.cases import F64, direction_like, started


@dataclass(frozen=True)
class Tiny(cp.Network):
    """One layer that generates four pixels, and two that discriminate."""

    latent: int = 2

    def generator(self, shape, inputs):
        return Sequential((Linear(inputs, 4), tanh, reshape(*shape)))

    def discriminator(self, shape):
        return Sequential((flatten, Linear(4, 3), tanh, Linear(3, 1)), input_shape=shape)


def fake(p: Mapping[str, Tensor], z: Tensor, y: Tensor | None) -> Tensor:
    seen = z if y is None else torch.cat([z, p["embedding"][y]], 1)
    return (seen @ p["0.weight"].T + p["0.bias"]).tanh()


def logit(p: Mapping[str, Tensor], x: Tensor, y: Tensor | None) -> Tensor:
    phi = (x @ p["1.weight"].T + p["1.bias"]).tanh()
    by_class = 0.0 if y is None else (phi * p["embedding"][y]).sum(1)
    return (phi @ p["3.weight"].T + p["3.bias"])[:, 0] + by_class


def by_hand(n: int, m: int, loss: str, params: cp.Params, batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """The losses, written out: 1/m sum_j of a generator, 1/n sum_i of a discriminator."""
    y, x = batch.get("labels"), batch["real"].flatten(1)
    found = {i: torch.zeros((), dtype=F64) for i in params}
    for i in range(n):
        for j in range(m):
            G, D = params[f"generator_{i + 1}"], params[f"discriminator_{j + 1}"]
            real, made = logit(D, x, y), logit(D, fake(G, batch["noise"][i], y), y)
            of_d = (softplus(-real) + softplus(made)).mean()
            of_g = softplus(-made).mean() if loss == "non-saturating" else -of_d
            found[f"generator_{i + 1}"] = found[f"generator_{i + 1}"] + of_g / m
            found[f"discriminator_{j + 1}"] = found[f"discriminator_{j + 1}"] + of_d / n
    return found


@pytest.mark.parametrize("trace", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("n", "m", "loss", "conditional"),
    [(2, 1, "non-saturating", False), (2, 2, "saturating", True), (1, 2, "saturating", False)],
)
def test_products_with_j_are_those_of_autograd(n, m, loss, conditional, trace):
    game = cp.make(
        "game", "several-gans", data=RandomImages((1, 2, 2), 6), generators=n, discriminators=m, batch=3,
        loss=loss, network=Tiny(), conditional=conditional,
    )  # fmt: skip
    table, params, batch = started(game, trace=trace)
    own = {i: {k: x.detach().requires_grad_() for k, x in tree.items()} for i, tree in params.items()}
    losses = by_hand(n, m, loss, own, batch)
    v = torch.cat(
        [g.flatten() for i in own for g in torch.autograd.grad(losses[i], [*own[i].values()], create_graph=True)]
    )
    everything = leaves(own)
    rows = [torch.autograd.grad(g, everything, retain_graph=True, materialize_grads=True) for g in v]
    J = torch.stack([torch.cat([x.flatten() for x in row]) for row in rows])
    assert game.zero_sum is (loss == "saturating" and n == m)

    local = LocalGame.of(table, params, batch)
    u = direction_like(params, 1)
    for i, x in local.losses().items():
        assert x.item() == pytest.approx(losses[i].item(), rel=1e-13)
    assert torch.allclose(ravel(local.gradient()), v, rtol=1e-12, atol=1e-15)
    found = local.jacobian()
    assert torch.allclose(found.dense(), J, rtol=1e-11, atol=1e-15)
    assert torch.allclose(ravel(found.mv(u)), J @ ravel(u), rtol=1e-11, atol=1e-15)
    assert torch.allclose(ravel(found.rmv(u)), J.T @ ravel(u), rtol=1e-11, atol=1e-15)
