"""Programs that compute what differs by one number a sample once: the same numbers, with fewer layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import softplus

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.products import Block
from counterplay.core.game.tree import Params, Tree, ravel
from counterplay.core.tracing import capture
from counterplay.core.tracing.program import optimize as optimizing
from counterplay.core.tracing.program.graph import Graph
from counterplay.core.tracing.program.optimize import optimize
from counterplay.core.tracing.program.simplify import A
from counterplay.core.tracing.rewrites import factor_rewrite
from counterplay.games.networks.layers import (
    Apply,
    BatchNorm,
    Conv,
    ConvT,
    Linear,
    Residual,
    leaky_relu,
    max_pool,
    relu,
    reshape,
    tanh,
)
from counterplay.games.networks.sequential import Sequential

LAYERS = {A.mm.default, A.addmm.default, A.convolution.default, A.convolution_backward.default}
Loss = Callable[[Tensor, Tensor], dict[str, Tensor]]


def zero_sum(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    loss = softplus(-real).mean() + softplus(fake).mean()
    return {"g": -loss, "d": loss}


def non_saturating(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    return {"g": softplus(-fake).mean(), "d": softplus(-real).mean() + softplus(fake).mean()}


def squares(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    return {"g": (fake**2).mean(), "d": ((real - 1) ** 2 + (fake * fake.mean()) ** 3).mean()}  # samples meet


def critic(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    return {"g": -fake.mean(), "d": fake.mean() - real.mean()}


class Skips:
    """Layers with ways past them, and one that scales what it is given."""

    layer, last = Linear(6, 6), Linear(6, 1)

    def init(self, rng: torch.Generator) -> Tree:
        one, two, last = self.layer.init(rng), self.layer.init(rng), self.last.init(rng)
        named = {f"{name}.{k}": x for name, tree in zip("abc", (one, two, last), strict=True) for k, x in tree.items()}
        return {**named, "scale": torch.randn(6, generator=rng)}

    def __call__(self, tree: Tree, x: Tensor) -> Tensor:
        own = {name: {k[2:]: v for k, v in tree.items() if k.startswith(name)} for name in "abc"}
        for name in "ab":
            x = x + F.relu(self.layer.apply(own[name], x)) * tree["scale"]
        return self.last.apply(own["c"], -x / 2)


def mlp(activation: Any, width: int = 7) -> Sequential:
    return Sequential((
        Linear(6, width), activation, Linear(width, width, bias=False), activation, Linear(width, 1)
    ))  # fmt: skip


GENERATOR = Sequential((Linear(4, 8), BatchNorm(8), leaky_relu, Linear(8, 6)))
IMAGES = Sequential((
    Linear(4, 6 * 4), BatchNorm(6 * 4), relu, reshape(6, 2, 2), ConvT(6, 4, 4, 2, 1), BatchNorm(4), relu,
    ConvT(4, 3, 4, 2, 1), tanh,
))  # fmt: skip
PICTURES = Sequential((Conv(3, 4, 3, 2, 1), leaky_relu, Conv(4, 5, 2, 1), leaky_relu, reshape(45), Linear(45, 1)))
PLACES = Sequential((Conv(3, 4, 3, 1, 1), leaky_relu, Conv(4, 1, 3), Apply(lambda x: x.sum((1, 2, 3)).unsqueeze(1))))
UNEVEN = Sequential((
    Conv(3, 4, 3, 1, 1, extra=1), leaky_relu, max_pool, Residual(4, 3, leaky_relu, before=True), Conv(4, 4, 2),
    Apply(lambda x: x[:, 1:, ..., ::2]), reshape(18), Linear(18, 1),
))  # fmt: skip
NORMALISED = Sequential((Linear(6, 7), BatchNorm(7), leaky_relu, Linear(7, 1)))


def gan(generator: Sequential, discriminator: Any, loss: Loss, batch: int = 5) -> cp.Game:
    def losses(p: Params, batch: cp.Batch) -> dict[str, Tensor]:
        fake = generator(p["g"], batch["noise"])
        return loss(discriminator(p["d"], batch["real"]), discriminator(p["d"], fake))

    def sample(rng: torch.Generator) -> cp.Batch:
        shape = (3, 8, 8) if generator is IMAGES else (6,)
        return {"real": torch.randn(batch, *shape, generator=rng), "noise": torch.randn(batch, 4, generator=rng)}

    start = lambda rng: {"g": generator.init(rng), "d": discriminator.init(rng)}  # noqa: E731
    return cp.game_from_losses(losses, start, sample, zero_sum=loss is zero_sum)


GAMES = {
    "relu": gan(GENERATOR, mlp(relu), zero_sum),
    "general sum": gan(GENERATOR, mlp(relu), non_saturating),
    "gelu": gan(GENERATOR, mlp(Apply(F.gelu)), zero_sum),
    "silu": gan(GENERATOR, mlp(Apply(F.silu)), non_saturating),
    "elu": gan(GENERATOR, mlp(Apply(F.elu)), zero_sum),
    "sigmoid": gan(GENERATOR, mlp(Apply(torch.sigmoid)), squares),
    "squares": gan(GENERATOR, mlp(leaky_relu), squares),
    "critic": gan(GENERATOR, mlp(relu), critic),
    "skips": gan(GENERATOR, Skips(), zero_sum),
    "normalised": gan(GENERATOR, NORMALISED, zero_sum),
    "one sample": gan(GENERATOR, mlp(relu), zero_sum, batch=1),
    "one wide": gan(GENERATOR, mlp(tanh, width=1), zero_sum),
    "pictures": gan(IMAGES, PICTURES, zero_sum),
    "pictures, general sum": gan(IMAGES, PICTURES, non_saturating),
    "places": gan(IMAGES, PLACES, zero_sum),
    "uneven": gan(IMAGES, UNEVEN, non_saturating),
}
PLAYERS = ("g", "d")
BLOCKS = [Block(("g",), ("d",)), Block(("d",), ("g",)), Block(("d",), ("g",), adjoint=True), Block(("d",), ("d",))]


class Programs(list[tuple[Graph, set[int]]]):
    """What was captured, as it is replayed."""

    def late(self, at: int) -> Counter[Any]:
        """The layers that every product takes."""
        g, tangents = self[at]
        return Counter(node.op for node in g.late(tangents)) & Counter(dict.fromkeys(LAYERS, 1000))

    def early(self, at: int) -> Counter[Any]:
        """Those that the point takes."""
        found = Counter(node.op for node in self[at][0].live()) & Counter(dict.fromkeys(LAYERS, 1000))
        return found - self.late(at)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    found = Programs()

    def noted(g: Graph, tangents: set[int], rewrite: Any) -> Graph:
        found.append((optimize(g, tangents, rewrite), tangents))
        return found[-1][0]

    monkeypatch.setattr(capture, "optimize", noted)
    return found


def point(game: cp.Game, trace: bool) -> tuple[Evaluator, Params, cp.Batch]:
    table = Evaluator(game, None, torch.float64, trace=trace)
    rng = torch.Generator().manual_seed(1)
    params, _ = table.start([rng])
    return table, params, table.draw([rng], {})


@pytest.fixture
def whatever_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program with factors taken out is used where it is not cheaper, too: these networks are small."""
    costs = count(0, -1)
    monkeypatch.setattr(optimizing, "work", lambda g, tangents: next(costs))


SOME = [pytest.param(g, id=n, marks=[pytest.mark.slow] if k % 3 else []) for k, (n, g) in enumerate(GAMES.items())]


@pytest.mark.parametrize("game", SOME)
def test_the_numbers_are_the_same_whether_it_pays_or_not(game: cp.Game, whatever_it_costs: None) -> None:
    (fast, params, batch), (slow, _, _) = point(game, True), point(game, False)
    (v, _), products = fast._traced_v_and_products(PLAYERS, BLOCKS, params, batch)  # all in one program
    pairs = [(v, slow._replayed.field(PLAYERS, params, batch)[0])]
    for block, product in zip(BLOCKS, products, strict=True):
        along = block.rows if block.adjoint else block.cols
        u = {i: {k: torch.randn(x.shape, dtype=x.dtype) for k, x in params[i].items()} for i in along}
        pairs.append((product(u), slow.eager.products(block.rows, block.cols, params, batch)[block.adjoint](u)))
    for found, expected in pairs:
        a, b = ravel(found), ravel(expected)
        assert (a - b).norm() <= 1e-12 * b.norm() + 1e-15
    assert fast._replayed.v_and_products.fallback is None


def products(game: cp.Game, row: str, col: str) -> None:
    table, params, batch = point(game, True)
    table.field(PLAYERS, params, batch, [table.products((row,), (col,), params, batch)[0]])


def test_a_discriminator_is_not_passed_forward_along_its_own_parameters(
    programs: Programs, whatever_it_costs: None
) -> None:
    products(GAMES["pictures"], "g", "d")
    # The discriminator sends back with its tangents' weights (2 layers, and a column) and with its own (2 layers); of
    # the generator 2 layers send back, and 2 and a matrix have weights.
    back, weights = A.convolution.default, A.convolution_backward.default
    assert programs.late(0)[back] == 2 + 2 + 2 and programs.late(0)[weights] == 2
    assert programs.early(0)[back] == 2 + 2 + 2 + 2 + 1 + 2  # forward: 2 each; back: fake, real but for its first, own


def test_a_generators_tangents_send_nothing_back_through_the_discriminator(
    programs: Programs, whatever_it_costs: None
) -> None:
    products(GAMES["pictures"], "d", "g")
    # Forward two products for each of the generator's layers, of its input's tangent and of its weight's, and one for
    # each of the discriminator's; then one for each of the discriminator's weights, where two would be.
    assert programs.late(0)[A.convolution.default] == 4 + 2
    assert programs.late(0)[A.convolution_backward.default] == 2


@pytest.mark.parametrize(("name", "forth", "back"), [("pictures, general sum", 2, 2 + 1), ("uneven", 4, 4 + 1)])
def test_two_losses_send_back_through_the_discriminator_once(
    programs: Programs, whatever_it_costs: None, name: str, forth: int, back: int
) -> None:
    """Through poolings, and ways past a layer, too. Real images' ways back are those of fake ones up to a kink."""
    table, params, batch = point(GAMES[name], True)
    table._replayed.field(PLAYERS, params, batch)
    generator = 2 + 2
    assert programs.early(0)[A.convolution.default] == generator + 2 * forth + back


def test_it_is_done_where_it_pays_and_only_there(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Sequential((Linear(6, 200), leaky_relu, Linear(200, 200), leaky_relu, Linear(200, 1)))
    cases = (gan(GENERATOR, wide, zero_sum, batch=100), GAMES["normalised"])
    for game in cases:
        products(game, "d", "g")
    monkeypatch.setattr(factor_rewrite, "factored", lambda g, tangents: g)
    monkeypatch.setattr(factor_rewrite, "from_the_other_end", lambda g, late: g)
    for game in cases:
        products(game, "d", "g")
    taken = [sum(programs.late(at).values()) for at in range(4)]
    assert taken[0] <= taken[2] - 3 and taken[1] == taken[3]
