"""Games whose losses read what changes while they are played: what a replay must follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.tree import leaves

Act = Callable[[int], Any]
Make = Callable[[], tuple[cp.Game, Act]]
START = {i: {"w": torch.tensor(w, dtype=torch.float64)} for i, w in {"x": [0.5, -1.0], "y": [0.25, 2.0]}.items()}


def of(weight: Callable[[], Any], sample: Any = None) -> cp.Game:
    """A game whose losses read what ``weight`` gives."""

    def losses(p: Any, b: Any) -> dict[str, Tensor]:
        x, y = p["x"]["w"], p["y"]["w"]
        a = weight()
        return {"x": (a * x * y + x.square()).sum(), "y": (y.square() - a * x * y).sum()}

    return cp.game_from_losses(losses, START, sample)


def once(change: Callable[[], Any], at: int = 1) -> Act:
    return lambda step: change() if step == at else None


def closure() -> tuple[cp.Game, Act]:
    alpha = 1.0

    def change() -> None:
        nonlocal alpha
        alpha = 2.0

    return of(lambda: alpha), once(change)


def in_a_list() -> tuple[cp.Game, Act]:
    alpha = [1.0]
    return of(lambda: alpha[0]), once(lambda: alpha.__setitem__(0, 2.0))


def a_class_attribute() -> tuple[cp.Game, Act]:
    class Owner:
        level = 1.0

        def weight(self) -> float:
            return self.level

    return of(Owner().weight), once(lambda: setattr(Owner, "level", 2.0))


def a_counter() -> tuple[cp.Game, Act]:
    seen = [0]

    def sample(rng: torch.Generator) -> Any:
        seen[0] += 1
        return {"noise": torch.randn(2, generator=rng)}

    return of(lambda: 1.0 + 0.1 * seen[0], sample), lambda step: None


class Net(nn.Module):
    def __init__(self, extra: Any = None) -> None:
        super().__init__()
        self.dense = nn.Linear(2, 2).double()
        self.extra = extra
        with torch.no_grad():
            for n, p in enumerate(self.parameters()):
                p.copy_(torch.linspace(-1, 1 + n, p.numel()).view_as(p))

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x) * (2.0 if self.training else 1.0)


@dataclasses.dataclass(frozen=True)
class WithNet(cp.Game):
    """A user's game that holds a network."""

    net: Net
    players = ("x", "y")

    def init(self, rng: torch.Generator) -> Any:
        return {i: {k: v.clone() for k, v in t.items()} for i, t in START.items()}

    def losses(self, params: Any, batch: Any) -> dict[str, Tensor]:
        x, y = params["x"]["w"], params["y"]["w"]
        return {"x": (x * self.net(y)).sum() + x.square().sum(), "y": (y * self.net(x)).sum() + y.square().sum()}


def eval_mode() -> tuple[cp.Game, Act]:
    net = Net()
    return WithNet(net), once(net.eval)


def a_target_network() -> tuple[cp.Game, Act]:
    net, other = Net(iter("never read")), Net()

    def act(step: int) -> None:
        if step % 4 == 3:
            with torch.no_grad():
                for p, q in zip(net.parameters(), other.parameters(), strict=True):
                    p.mul_(0.5).add_(q, alpha=-0.1 * step)

    return WithNet(net), act


def followed(make: Make, solver: cp.Solver, steps: int = 14, **options: Any) -> list[Tensor]:
    """Every step's parameters."""
    game, act = make()
    seen: list[Tensor] = []

    def observer(s: Any) -> None:
        seen.append(torch.cat([x.flatten() for x in leaves(s.params)]))
        act(s.step)

    cp.run(game, solver, steps=steps, observers=[observer], **options)
    return seen


def assert_followed(make: Make, solver: cp.Solver, **options: Any) -> None:
    eager, replayed = (followed(make, solver, trace=t, **options) for t in (False, True))
    for a, b in zip(eager, replayed, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)
    assert all(type(x) is Tensor for x in replayed)


def assert_seen(make: Make, steps: int = 3) -> None:
    """The field, replayed, is the field as written, whatever happens after each look at it."""
    game, act = make()
    tables = Evaluator(game), Evaluator(game, trace=True)
    params, rng = game.init(torch.Generator()), torch.Generator().manual_seed(0)
    for step in range(steps):
        batch = tables[0].draw([rng], {})
        (v, losses), found = (table.field(table.players, params, batch) for table in tables)
        for a, b in zip([*leaves(v), *losses.values()], [*leaves(found[0]), *found[1].values()], strict=True):
            assert type(b) is Tensor
            torch.testing.assert_close(b, a.detach(), rtol=1e-12, atol=1e-12)
        act(step)


def asked_twice(game: cp.Game) -> Any:
    """A game whose field was asked for twice."""
    table, params = Evaluator(game, trace=True), game.init(torch.Generator().manual_seed(0))
    for _ in range(2):
        table.field(table.players, params, {})
    return table
