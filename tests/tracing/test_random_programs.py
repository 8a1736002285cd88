"""Random programs are replayed as they were written, whatever they are made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, jvp
from torch.utils._pytree import tree_map

from counterplay.core.tracing.traced import traced

from ..support.traces import rand, same

pytestmark = pytest.mark.usefixtures("seeded")


def _expression(rng: random.Random, size: int) -> Callable:
    """A random straight-line function of two matrices and a vector, with views, broadcasts, zeros and shared parts."""
    unary: list[Callable[..., Tensor]] = [
        torch.tanh,
        torch.neg,
        torch.relu,
        lambda x: x * 0.5,
        lambda x: x.t(),
        lambda x: x.clone(),
        torch.zeros_like,
    ]
    unary += [lambda x: x.sum(0).expand(4, 4), lambda x: x.mean(1, keepdim=True).expand(4, 4), torch.ones_like]
    unary += [
        lambda x: x.reshape(16).reshape(4, 4),
        lambda x: x[1].expand(4, 4),
        lambda x: x / 3,
        lambda x: x[:, :1] + x,
    ]
    unary += [lambda x: x.clone().add_(1), lambda x: torch.sigmoid(x), lambda x: x.flatten().view(4, 4), torch.exp]
    binary: list[Callable[..., Tensor]] = [
        torch.add,
        torch.sub,
        torch.mul,
        torch.mm,
        lambda x, y: torch.addmm(x, x, y),
        lambda x, y: x - 2 * y,
    ]
    binary += [
        lambda x, y: torch.where(x > y, x, y),
        lambda x, y: torch.cat((x[:2], y[2:])),
        lambda x, y: x + x @ y.t(),
    ]
    steps = [(rng.choice(unary + binary + binary), rng.random(), rng.random()) for _ in range(size)]
    wanted = [rng.random() for _ in range(3)]

    def function(x: Tensor, y: Tensor, z: Tensor) -> Any:
        values = [x, y, z.expand(4, 4)]
        for op, i, j in steps:
            operands = [values[int(k * len(values))] for k in (i, j)]
            out = op(*operands) if op in binary else op(operands[0])
            values.append(out.clamp(-3, 3) if i > 0.7 else out * 0.3)
        return [values[int(k * len(values))] for k in wanted] + [values[-1], values[-1]]

    return function


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(k, marks=pytest.mark.slow) for k in range(3, 12))])
@pytest.mark.parametrize("size", [4, 16, 40])
def test_random_programs(seed: int, size: int) -> None:
    function = _expression(random.Random(1000 * size + seed), size)

    def slope(x: Tensor, y: Tensor, z: Tensor) -> Any:
        return grad(lambda *w: sum(out.square().sum() for out in function(*w)), (0, 1, 2))(x, y, z)

    for f in (function, slope, lambda x, y, z: jvp(lambda w: slope(w, y, z), (x,), (y,))):
        replayed = traced(f)
        for _ in range(2):
            arguments = rand(4, 4), rand(4, 4), rand(4)
            before = tree_map(torch.clone, arguments)
            out = replayed(*arguments)
            same(out, f(*arguments), 1e-10)
            for tensor in out if f is function else ():
                if not any(tensor is a for a in arguments):
                    tensor.add_(1)  # owns its memory
            same(arguments, before, 0)
        assert replayed.fallback is None
