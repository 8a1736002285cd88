"""A traced program does no work that nobody asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor
from torch.func import grad

from counterplay.core.tracing.capture import capture
from counterplay.core.tracing.program.simplify import A
from counterplay.core.tracing.pytrees import flatten

from ...support.traces import GAMES, field_of, rand

pytestmark = pytest.mark.usefixtures("seeded")


def count(f: Callable, *args: Any) -> dict[Any, int]:
    leaves: list[Tensor] = []
    flatten(args, leaves, [])
    g, _ = capture(f, args, leaves)
    ops = [node.op for node in g.live()]
    return {op: ops.count(op) for op in set(ops)}


def test_cross_gradients_vanish() -> None:
    """The field's program asks for as many products as the two backward passes a careful hand would write."""
    losses, p, batch = GAMES["mlp"]()
    ops = count(field_of(losses), p, batch)
    products = ops[A.mm.default] + ops[A.addmm.default]
    forward, through_fake, own, real, fake = 9, 3, 3 + 2, 3 + 2, 3 + 2
    assert products == forward + through_fake + own + real + fake


def test_convolutions_give_only_the_gradients_wanted() -> None:
    losses, p, batch = GAMES["conv"]()
    leaves: list[Tensor] = []
    flatten((p, batch), leaves, [])
    g, _ = capture(field_of(losses), (p, batch), leaves)
    masks = [node.args[-1] for node in g.live() if node.op is A.convolution_backward.default]
    others = [node for node in g.live() if node.op is A.convolution.default]
    # Two through the discriminator, two in the generator, two each for real and fake in the discriminator. What goes
    # on to a layer's input is a convolution the other way, but for the first layers, which want none.
    assert len(masks) == 6 and not any(mask[0] for mask in masks) and all(mask[1] for mask in masks)
    assert len(others) == (2 + 2 + 2) + 6


def test_broadcasts_stay_small() -> None:
    """The gradient of a mean is divided before it is spread out; ones and zeros are not multiplied with."""
    ops = count(grad(lambda x: (x * 3).mean(1).sum()), rand(100, 7))
    assert set(ops) <= {"input", A.full.default, A.expand.default}
