"""Games written out plainly, their fields and products: what is traced; and how numbers are compared with replays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp
from torch.nn import functional as F
from torch.utils._pytree import tree_flatten, tree_map

Losses = Callable[[Any, Any], dict[str, Tensor]]


def rand(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def same(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    (x, shape), (y, expected) = tree_flatten(a), tree_flatten(b)
    assert shape == expected
    for p, q in zip(x, y, strict=True):
        if isinstance(q, Tensor):
            assert (p.shape, p.dtype) == (q.shape, q.dtype)
            torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance, equal_nan=True)
        else:
            assert p == q


def renewed(x: Any) -> Any:
    """Other numbers, same shapes."""
    return tree_map(lambda t: torch.randn_like(t) if isinstance(t, Tensor) and t.is_floating_point() else t, x)


def linear(p: dict[str, Tensor], k: int, x: Tensor) -> Tensor:
    return F.linear(x, p[f"w{k}"], p[f"b{k}"])


def mlp(p: dict[str, Tensor], x: Tensor) -> Tensor:
    return linear(p, 2, torch.tanh(linear(p, 1, F.softplus(linear(p, 0, x)))))


def mlp_params(sizes: list[int]) -> dict[str, Tensor]:
    pairs = list(enumerate(zip(sizes[1:], sizes[:-1], strict=True)))
    return {f"w{k}": rand(o, i) / math.sqrt(i) for k, (o, i) in pairs} | {f"b{k}": rand(o) for k, (o, _) in pairs}


def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    d = x - x.mean((0, 2, 3), keepdim=True)
    return d * torch.rsqrt((d * d).mean((0, 2, 3), keepdim=True) + 1e-5) * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)


def conv_generator(p: dict[str, Tensor], z: Tensor) -> Tensor:
    x = F.linear(z, p["fc"]).view(-1, 4, 2, 2)
    x = torch.relu(normalised(F.conv_transpose2d(x, p["c1"], None, 2, 1), p["g"], p["s"]))
    return torch.tanh(F.conv_transpose2d(x, p["c2"], p["b2"], 2, 1))


def conv_discriminator(p: dict[str, Tensor], x: Tensor) -> Tensor:
    x = F.leaky_relu(F.conv2d(x, p["c1"], p["b1"], 2, 1), 0.2)
    x = F.leaky_relu(F.conv2d(x, p["c2"], p["b2"], 2, 1), 0.2)
    return F.linear(x.flatten(1), p["fc"])


def gan(generate: Callable, discriminate: Callable) -> Losses:
    def losses(p: Any, batch: Any) -> dict[str, Tensor]:
        fake = generate(p["generator"], batch["noise"])
        on_fake, on_real = discriminate(p["discriminator"], fake), discriminate(p["discriminator"], batch["real"])
        return {
            "generator": F.softplus(-on_fake).mean(),
            "discriminator": F.softplus(-on_real).mean() + F.softplus(on_fake).mean(),
        }

    return losses


def quadratic(p: Any, batch: Any) -> dict[str, Tensor]:
    x, y = p["x"]["value"], p["y"]["value"]
    return {"x": 0.5 * x * x + 10.0 * x * y, "y": -10.0 * x * y + 0.5 * y * y}


def penalised(p: Any, batch: Any) -> dict[str, Tensor]:
    losses = gan(mlp, mlp)(p, batch)
    slope = grad(lambda x: mlp(p["discriminator"], x).sum())(batch["real"])
    return {**losses, "discriminator": losses["discriminator"] + (slope * slope).sum(1).mean()}


GAMES: dict[str, Callable[[], tuple[Losses, Any, Any]]] = {
    "mlp": lambda: (
        gan(mlp, mlp),
        {"generator": mlp_params([3, 5, 4, 2]), "discriminator": mlp_params([2, 6, 4, 1])},
        {"noise": rand(7, 3), "real": rand(7, 2), "labels": None, "kind": "ring"},
    ),
    "penalised": lambda: (
        penalised,
        {"generator": mlp_params([3, 5, 4, 2]), "discriminator": mlp_params([2, 6, 4, 1])},
        {"noise": rand(7, 3), "real": rand(7, 2)},
    ),
    "conv": lambda: (
        gan(conv_generator, conv_discriminator),
        {
            "generator": {
                "fc": rand(16, 3), "c1": rand(4, 3, 4, 4), "g": rand(3), "s": rand(3),
                "c2": rand(3, 1, 4, 4), "b2": rand(1),
            },
            "discriminator": {
                "c1": rand(3, 1, 4, 4), "b1": rand(3), "c2": rand(4, 3, 4, 4) / 7, "b2": rand(4), "fc": rand(1, 16),
            },
        },
        {"noise": rand(6, 3), "real": rand(6, 1, 8, 8)},
    ),
    "scalars": lambda: (quadratic, {"x": {"value": rand()}, "y": {"value": rand()}}, {}),
}  # fmt: skip


def field_of(losses: Losses) -> Callable:
    def field(p: Any, batch: Any) -> Any:
        values, pull = vjp(lambda q: losses(q, batch), p)

        def one(i: str) -> Any:
            return pull({j: torch.ones_like(x) if j == i else torch.zeros_like(x) for j, x in values.items()})[0][i]

        return {i: one(i) for i in values}, values

    return field


def products_of(field: Callable) -> tuple[Callable, Callable]:
    def push(p: Any, batch: Any, u: Any) -> Any:
        return jvp(lambda q: field(q, batch)[0], (p,), (u,))[1]

    def pull(p: Any, batch: Any, w: Any) -> Any:
        return vjp(lambda q: field(q, batch)[0], p)[1](w)[0]

    return push, pull
