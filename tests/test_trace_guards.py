"""What a loss reads besides its arguments and that changes: a replayed run is the eager run, step by step."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
import random
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import counterplay as cp
from counterplay.core import engine, native, trace
from counterplay.core.errors import PluginError
from counterplay.core.prepared import Prepared
from counterplay.core.tree import leaves

from .cases import simgd

Act = Callable[[int], Any]
Make = Callable[[], tuple[cp.Game, Act]]
START = {i: {"w": torch.tensor(w, dtype=torch.float64)} for i, w in {"x": [0.5, -1.0], "y": [0.25, 2.0]}.items()}
LEVEL = 1.0
SELF = sys.modules[__name__]


def of(weight: Callable[[], Any], sample: Any = None) -> cp.Game:
    """A game whose losses read what ``weight`` gives."""

    def losses(p: Any, b: Any) -> dict[str, Tensor]:
        x, y = p["x"]["w"], p["y"]["w"]
        a = weight()
        return {"x": (a * x * y + x.square()).sum(), "y": (y.square() - a * x * y).sum()}

    return cp.game_from_losses(losses, START, sample)


def once(change: Callable[[], Any], at: int = 6) -> Act:
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


def in_a_dictionary() -> tuple[cp.Game, Act]:
    alpha = {"deep": {"er": (1.0, [1.0])}}
    return of(lambda: alpha["deep"]["er"][1][0]), once(lambda: alpha["deep"]["er"][1].__setitem__(0, 2.0))


def appended() -> tuple[cp.Game, Act]:
    seen: list[float] = []
    return of(lambda: 1.0 + len(seen)), once(lambda: seen.append(1.0))


def a_global() -> tuple[cp.Game, Act]:
    SELF.LEVEL = 1.0
    return of(lambda: LEVEL), once(lambda: setattr(SELF, "LEVEL", 2.0))


def a_global_of_a_module() -> tuple[cp.Game, Act]:
    module = types.ModuleType("settings_of_someone")
    module.level = 1.0
    return of(lambda: module.level), once(lambda: setattr(module, "level", 2.0))


def through_functions() -> tuple[cp.Game, Act]:
    box = types.SimpleNamespace(inner=types.SimpleNamespace(value=1.0))

    def deeper() -> Any:
        return box.inner

    def weight() -> float:
        return sum(v for v in [deeper().value])

    return of(weight), once(lambda: setattr(box, "inner", types.SimpleNamespace(value=2.0)))


class Owner:
    level = 1.0
    __slots__ = ("other", "scale")

    def __init__(self) -> None:
        self.scale, self.other = 1.0, np.zeros(10**6)

    def weight(self) -> float:
        return self.level * self.scale


def a_slot() -> tuple[cp.Game, Act]:
    owner = Owner()
    return of(owner.weight), once(lambda: setattr(owner, "scale", 2.0))


def a_class_attribute() -> tuple[cp.Game, Act]:
    class Own(Owner):
        level = 1.0

    owner = Own()
    return of(owner.weight), once(lambda: setattr(Own, "level", 2.0))


def an_attribute_over_that_of_its_class() -> tuple[cp.Game, Act]:
    class Own(Owner):
        __slots__ = ("__dict__",)

    owner = Own()
    return of(owner.weight), once(lambda: setattr(owner, "level", 2.0))


@dataclasses.dataclass
class Config:
    alpha: float = 1.0
    unread: Any = None

    @property
    def twice(self) -> float:
        return 2 * self.alpha


def a_property_of_a_dataclass() -> tuple[cp.Game, Act]:
    config = Config(unread=iter([]))
    return of(lambda: config.twice), once(lambda: setattr(config, "alpha", 2.0))


def by_getattr() -> tuple[cp.Game, Act]:
    config = Config()
    names = ["al", "pha"]
    return of(lambda: getattr(config, "".join(names))), once(lambda: setattr(config, "alpha", 2.0))


def a_default() -> tuple[cp.Game, Act]:
    def weight(alpha: float = 1.0) -> float:
        return alpha

    return of(weight), once(lambda: setattr(weight, "__defaults__", (2.0,)))


def a_default_list() -> tuple[cp.Game, Act]:
    def weight(*, alpha: Any = [1.0]) -> float:  # noqa: B006
        return alpha[0]

    weight.__kwdefaults__["alpha"][0] = 1.0
    return of(weight), once(lambda: weight.__kwdefaults__["alpha"].__setitem__(0, 2.0))


def a_keyword_of_a_partial() -> tuple[cp.Game, Act]:
    weight = functools.partial(lambda alpha: alpha, alpha=1.0)
    return of(weight), once(lambda: weight.keywords.__setitem__("alpha", 2.0))


def an_array() -> tuple[cp.Game, Act]:
    alpha = np.ones(2)
    return of(lambda: torch.tensor(alpha)), once(lambda: alpha.__setitem__(slice(None), 2.0))


def a_tensor_assigned() -> tuple[cp.Game, Act]:
    target = torch.ones(2, dtype=torch.float64)

    def change() -> None:
        nonlocal target
        target = 2 * target

    return of(lambda: target), once(change)


def a_tensor_written_to() -> tuple[cp.Game, Act]:
    target = torch.ones(2, dtype=torch.float64)
    return of(lambda: target), once(lambda: target.mul_(2))


def a_tensor_read_as_a_list() -> tuple[cp.Game, Act]:
    target = torch.ones(2, dtype=torch.float64)
    return of(lambda: target.tolist()[0]), once(lambda: target.mul_(2))


def other_data() -> tuple[cp.Game, Act]:
    target = nn.Parameter(torch.ones(2, dtype=torch.float64))
    return of(lambda: target.detach()), once(lambda: setattr(target, "data", 2 * target.data))


def a_counter() -> tuple[cp.Game, Act]:
    count = itertools.count()
    seen = [0]

    def sample(rng: torch.Generator) -> Any:
        seen[0] = next(count)
        return {"noise": torch.randn(2, generator=rng)}

    return of(lambda: 1.0 + 0.1 * seen[0], sample), lambda step: None


def a_schedule() -> tuple[cp.Game, Act]:
    alpha = [1.0]
    return of(lambda: alpha[0]), lambda step: alpha.__setitem__(0, 1.0 if step < 8 else 2.0)


def a_named_tuple() -> tuple[cp.Game, Act]:
    Pair = collections.namedtuple("Pair", "a b")
    pairs = collections.deque([Pair(1.0, 0.0)])
    return of(lambda: pairs[-1].a), once(lambda: pairs.append(Pair(2.0, 0.0)))


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


def eval_mode_in_a_closure() -> tuple[cp.Game, Act]:
    net = Net()
    return of(lambda: net(torch.ones(2, dtype=torch.float64))), once(net.eval)


def a_target_network() -> tuple[cp.Game, Act]:
    net, other = Net(iter("never read")), Net()

    def act(step: int) -> None:
        if step % 4 == 3:
            with torch.no_grad():
                for p, q in zip(net.parameters(), other.parameters(), strict=True):
                    p.mul_(0.5).add_(q, alpha=-0.1 * step)

    return WithNet(net), act


def loaded_weights() -> tuple[cp.Game, Act]:
    net, other = Net(), Net()
    other.dense.weight.data.mul_(3)
    return WithNet(net), once(lambda: net.load_state_dict(other.state_dict()))


def a_weight_assigned() -> tuple[cp.Game, Act]:
    net = Net()
    return WithNet(net), once(lambda: setattr(net.dense, "bias", nn.Parameter(torch.ones(2, dtype=torch.float64))))


def a_hook() -> tuple[cp.Game, Act]:
    net = Net()
    return WithNet(net), once(lambda: net.dense.register_forward_hook(lambda m, x, y: 2 * y))


def a_method_assigned() -> tuple[cp.Game, Act]:
    net = Net()
    return WithNet(net), once(lambda: setattr(net, "forward", lambda x: 3 * x))


def on_a_tensor() -> tuple[cp.Game, Act]:
    target: Any = torch.ones(2, dtype=torch.float64)
    target.scale = 1.0
    return of(lambda: target * target.scale), once(lambda: setattr(target, "scale", 2.0))


def a_number_in_a_tensor() -> tuple[cp.Game, Act]:
    alpha = torch.ones((), dtype=torch.float64)
    return of(lambda: alpha.item() if alpha > 0 else 0.0), once(lambda: alpha.mul_(2))


def a_shape() -> tuple[cp.Game, Act]:
    target = torch.ones(4, dtype=torch.float64)
    return of(lambda: len(target) / 4 + target.mean()), once(lambda: setattr(target, "data", target.data[:2]))


def an_object_in_the_batch() -> tuple[cp.Game, Act]:
    config = Config()
    game = cp.game_from_losses(lambda p, b: {i: b["c"].alpha * t["w"].square().sum() for i, t in p.items()}, START)
    held = dataclasses.replace(game, draw=lambda rng: {"c": config})
    return held, once(lambda: setattr(config, "alpha", 2.0))


def a_callable_object() -> tuple[cp.Game, Act]:
    class Losses:
        def __init__(self) -> None:
            self.alpha, self.data = 1.0, np.zeros(10**6)

        def __call__(self, p: Any, b: Any) -> Any:
            return {i: self.alpha * t["w"].square().sum() for i, t in p.items()}

    losses = Losses()
    return cp.game_from_losses(losses, START), once(lambda: setattr(losses, "alpha", 2.0))


def a_learning_rate() -> tuple[cp.Game, Act]:
    """Of an optimiser of the user's own, with a schedule."""
    optimiser = torch.optim.Adam([nn.Parameter(torch.ones(2))], lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 3)

    def act(step: int) -> None:
        optimiser.step()
        schedule.step()

    return of(lambda: optimiser.param_groups[0]["lr"]), act


def a_base_class() -> tuple[cp.Game, Act]:
    class Base:
        level = 1.0

    class Derived(Base):
        @classmethod
        def weight(cls) -> float:
            return super().__getattribute__(cls, "level") if False else cls.level

    return of(Derived.weight), once(lambda: setattr(Base, "level", 2.0))


def a_decorated_function() -> tuple[cp.Game, Act]:
    alpha = [1.0]

    @torch.no_grad()
    def weight() -> float:
        return alpha[0]

    return of(weight), once(lambda: alpha.__setitem__(0, 2.0))


def a_local_class() -> tuple[cp.Game, Act]:
    box = {"alpha": 1.0}

    class Weight:
        def __init__(self) -> None:
            self.value = box["alpha"]

        def __mul__(self, other: Tensor) -> Tensor:
            return other * self.value

    return of(Weight), once(lambda: box.update(alpha=2.0))


CHANGES = [
    closure, in_a_list, in_a_dictionary, appended, a_global, a_global_of_a_module, through_functions, a_slot,
    a_class_attribute, an_attribute_over_that_of_its_class, a_property_of_a_dataclass, by_getattr, a_default,
    a_default_list, a_keyword_of_a_partial, an_array, a_tensor_assigned, a_tensor_written_to, a_tensor_read_as_a_list,
    other_data, a_counter, a_schedule, a_named_tuple, eval_mode, eval_mode_in_a_closure, a_target_network,
    loaded_weights, a_weight_assigned, a_hook, a_method_assigned, on_a_tensor, a_number_in_a_tensor, a_shape,
    an_object_in_the_batch, a_callable_object, a_learning_rate, a_base_class, a_decorated_function, a_local_class,
]  # fmt: skip


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


@pytest.mark.parametrize("make", CHANGES, ids=lambda f: f.__name__)
def test_what_changes_is_seen(make: Make) -> None:
    assert_followed(make, simgd(0.01))


@pytest.mark.parametrize("name", ["cgd", "conopt", "lola", "unrolled"])
@pytest.mark.parametrize("make", [closure, eval_mode, a_counter], ids=lambda f: f.__name__)
def test_in_products_and_in_shaped_games(make: Make, name: str) -> None:
    assert_followed(make, cp.make("solver", name, lr=0.01), steps=9)


@dataclasses.dataclass(frozen=True)
class Growing(cp.Regularizer):
    """A user's penalty whose weight is no option."""

    state: dict[str, float]

    def penalties(self, game: cp.Game, params: Any, batch: Any) -> dict[str, Tensor]:
        return {"x": self.state["weight"] * params["x"]["w"].square().sum()}


@pytest.mark.parametrize("members", [None, 2])
def test_in_regularizers(members: int | None) -> None:
    runs = []
    for t in (False, True):
        state = {"weight": 0.1}
        runs.append(
            followed(
                lambda: (of(lambda: 1.0), once(lambda: state.update(weight=1.0))),  # noqa: B023
                simgd(0.01), trace=t, regularizers=[Growing(state)], members=members,
            )
        )  # fmt: skip
    for a, b in zip(*runs, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [in_a_list, a_counter, a_target_network], ids=lambda f: f.__name__)
def test_where_graphs_take_over(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is never replayed and one that is from step 5 on."""
    monkeypatch.setattr(engine, "TRACE_FROM", 5)
    for a, b in zip(followed(make, simgd(0.01), trace=False), followed(make, simgd(0.01)), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


def asked_twice(game: cp.Game) -> Any:
    """A game whose field was asked for twice."""
    table, params = Prepared(game, trace=True), game.init(torch.Generator().manual_seed(0))
    for _ in range(2):
        table.field(table.players, params, {})
    return table


def test_what_stays_is_replayed() -> None:
    net, images = Net(np.zeros(10**6)).eval(), np.zeros(10**6)

    class Data:
        def __init__(self) -> None:
            self.images, self.level, self.clock = images, 1.0, time

        def sample(self, rng: torch.Generator) -> Any:
            return {"x": torch.from_numpy(self.images[:3]), "now": self.clock.time(), "luck": random.random()}

        def weight(self) -> Any:
            return self.level * net(torch.ones(2, dtype=torch.float64)) * math.exp(0.0) * np.sqrt(4.0)

    data = Data()
    games = [WithNet(net), of(data.weight, data.sample), by_getattr()[0], cp.make("game", "quadratic")]
    for game in games:
        table = asked_twice(game)
        assert table.origin.eager == "" and [*table._field._programs.values()] != [None], table._field.fallback


class Effects:
    """Losses that leave something behind."""

    def __init__(self) -> None:
        self.count, self.history, self.kept, self.known = 0, [], None, {}

    def counts(self) -> float:
        self.count += 1
        return 1.0

    def keeps(self) -> Tensor:
        self.kept = torch.ones(2, dtype=torch.float64)
        return self.kept

    def collects(self) -> Tensor:
        self.history.append(torch.ones(2, dtype=torch.float64))
        return self.history[-1]

    def remembers(self) -> Tensor:
        if "made" not in self.known:
            self.known["made"] = torch.full((2,), 1.5, dtype=torch.float64)
        return self.known["made"]

    @functools.cached_property
    def made(self) -> Tensor:
        return torch.full((2,), 1.5, dtype=torch.float64)


def tensors_of(x: Any) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else [t for v in x for t in tensors_of(v)] if isinstance(x, list) else []


@pytest.mark.parametrize("name", ["counts", "keeps", "collects", "remembers", "made"])
@pytest.mark.parametrize("solver", ["simgd", "cgd"])
def test_what_is_left_behind_is_the_eager_runs(name: str, solver: str) -> None:
    """No tensor without numbers ever lands in a user's object, and nothing happens once too often."""
    runs, left = [], []
    for t in (False, True):
        effects = Effects()
        weight = (lambda e: lambda: e.made)(effects) if name == "made" else getattr(effects, name)
        runs.append(followed(lambda: (of(weight), lambda _: None), cp.make("solver", solver, lr=0.01), trace=t))  # noqa: B023
        left.append([effects.count, len(effects.history)])
        for x in tensors_of([effects.kept, effects.history, *effects.known.values()]):
            assert type(x) is Tensor and x.sum().item() > 0
    assert left[0] == left[1]
    for a, b in zip(*runs, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


def test_what_is_made_once_is_replayed() -> None:
    effects = Effects()
    table = asked_twice(of(lambda: effects.made * effects.remembers()))
    assert len(table._field._programs) == 1 and table._field.fallback is None
    assert type(effects.made) is type(effects.known["made"]) is Tensor


UNTOLD: dict[str, tuple[Callable[[], Any], str]] = {
    "random": (lambda: 1 + 1e-3 * random.random(), "random"),
    "numpy": (lambda: 1 + 1e-3 * np.random.rand(), "numpy"),
    "clock": (lambda: 1 + 1e-3 * (time.time() % 1), "time"),
    "iterator": ((lambda it: lambda: 1 + 1e-3 * next(it))(itertools.count()), "moves on"),
    "generator": ((lambda it: lambda: 1 + 1e-3 * next(it))(float(n) for n in range(99)), "moves on"),
    "rng": ((lambda r: lambda: 1 + 1e-3 * r.random())(np.random.default_rng(0)), "cannot be looked into"),
    "large array": ((lambda a: lambda: float(a[0]))(np.ones(10**5)), "array of 800000 bytes"),
    "output": (lambda: print(end="") or 1.0, "print"),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_what_cannot_be_told_is_not_replayed(name: str) -> None:
    weight, reason = UNTOLD[name]
    table = asked_twice(of(weight))
    assert reason in table.origin.eager and not table._field._programs


def test_why_nothing_is_replayed_is_told() -> None:
    told = cp.run(of(UNTOLD["large array"][0]), simgd(0.01), steps=3, trace=True).eager
    assert told == "Losses are not replayed: it reads a, an array of 800000 bytes: a tensor would do."
    told = cp.run(a_counter()[0], simgd(0.01), steps=9, trace=True).eager
    assert told == "Losses are not replayed: what it reads changes again and again: seen."
    assert cp.run(of(lambda: 1.0), simgd(0.01), steps=3, trace=True).eager == ""


def hidden() -> tuple[cp.Game, Act]:
    """A number where nobody looks: behind an attribute whose name is made up while it runs."""
    config = Config()
    look = vars(config).get
    return of((lambda name: lambda: look(name))("alpha")), once(lambda: setattr(config, "alpha", 2.0))


def test_the_reads_of_bound_methods_of_dictionaries_are_seen() -> None:
    assert_followed(hidden, simgd(0.01))


def test_a_change_that_nothing_sees_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(trace.Guard, "same", lambda self: True)
    sentence = (
        r"the losses of the game GameFromLosses read something that has changed since step \d+,.*: what was computed "
        r"from there to step (15|31) cannot be trusted\. .*trace=False and compile=False"
    )
    for solver in ("simgd", "cgd"):
        game, act = in_a_list()
        with pytest.raises(PluginError, match=sentence):
            cp.run(
                game, cp.make("solver", solver, lr=0.001), steps=40, trace=True, out=tmp_path / solver,
                observers=[lambda s: act(s.step)],  # noqa: B023
            )  # fmt: skip


def test_what_changes_again_and_again_runs_as_written() -> None:
    alpha = [1.0]
    game = of(lambda: alpha[0])
    table, params = Prepared(game, trace=True), game.init(torch.Generator())
    for n in range(8):
        alpha[0] = 1.0 + n
        assert table.field(("x",), params, {})[0]["x"]["w"][0] == alpha[0] * 0.25 + 1.0
    assert "again and again" in table._field.fallback and table._field._changes == 4


@pytest.mark.skipif(native.compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("make", [closure, in_a_list, a_class_attribute, a_tensor_written_to, an_array, a_schedule])
def test_compiled_steps_follow(make: Make, tmp_path: Any) -> None:
    """An observer every so many steps changes what was written out as numbers."""
    ends = []
    for t in (False, True):
        game, act = make()

        class Now:
            every = 6

            def __call__(self, s: Any) -> None:
                act(s.step)  # noqa: B023

        solver = cp.make("solver", "simgd", lr=0.01, rule="momentum")
        ends.append(cp.run(game, solver, steps=40, trace=False, compile=t, observers=[Now()], out=tmp_path / str(t)))
    assert not ends[1].eager
    for a, b in zip(*(leaves(e.params) for e in ends), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(native.compiler() is None, reason="no C compiler")
def test_a_change_that_nothing_sees_ends_a_compiled_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace.Guard, "same", lambda self: True)
    game, act = in_a_list()
    with pytest.raises(PluginError, match=r"changed since step 0,.* to step 16 cannot be trusted"):
        cp.run(game, simgd(0.01), steps=40, compile=True, observers=[lambda s: act(s.step)])


def test_an_alternating_number_is_not_compiled_for_ever() -> None:
    alpha = [1.0]
    runs = []
    for t in (False, True):
        seen: list[Tensor] = []

        def observer(s: Any) -> None:
            alpha[0] = 1.0 + s.step % 2
            seen.append(torch.cat(leaves(s.params)))  # noqa: B023

        cp.run(of(lambda: alpha[0]), simgd(0.01), steps=12, trace=False, compile=t, observers=[observer])
        runs.append(torch.stack(seen))
    torch.testing.assert_close(runs[1], runs[0], rtol=1e-12, atol=1e-12)
