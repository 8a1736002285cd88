"""Plugins that return something of the wrong kind, or write to what they are given: one sentence says who and what."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.errors import PluginError
from counterplay.core.log.writer import LogWriter
from counterplay.core.loop.observers import Seen
from counterplay.core.storage.checkpoint_files import newest

BAD = 4  # the step that goes wrong
F64 = torch.float64
Change = Callable[[Any], Any]


def one(value: float = 1.0) -> Tensor:
    return torch.full((1,), value, dtype=F64)


def raising(error: BaseException) -> Change:
    def change(_: Any) -> Any:
        raise error

    return change


@dataclass(frozen=True)
class Odd(cp.Game):
    """x y, with buffers; ``change`` is made to what ``function`` returns, from step ``since`` on."""

    function: str = ""
    change: Any = None
    since: int = 0
    players = ("x", "y")

    def odd(self, function: str, x: Any, step: float) -> Any:
        return self.change(x) if function == self.function and step >= self.since else x

    def init(self, rng):
        return self.odd("init", {i: {"value": one()} for i in self.players}, 0)

    def buffers(self, rng):
        return self.odd("buffers", {"count": torch.zeros(1, dtype=F64), **({"text": "abc"} if self.since else {})}, 0)

    def refresh(self, params, buffers):
        count = buffers["count"] + 1
        step = count.item() - 1 if self.since else 0
        return self.odd("refresh", {**buffers, "count": count}, step)

    def sample(self, rng, buffers):
        noise = torch.randn(1, generator=rng, dtype=F64)
        return self.odd("sample", {"noise": noise}, buffers["count"].item() - 1)

    def losses(self, params, batch):
        product = (params["x"]["value"] * params["y"]["value"] + 0 * batch["noise"]).sum()
        return self.odd("losses", {"x": product, "y": -product}, self.since)

    def metrics(self, params, batch):
        return self.odd("metrics", {"size": params["x"]["value"].sum()}, self.since)

    def show(self, params, batch):
        return self.odd("show", None, self.since)


@dataclass(frozen=True)
class Strange(cp.Composed):
    """v, and a count of its steps; ``before`` and ``after`` are made to what a step is given and returns."""

    before: Any = None
    after: Any = None
    first: Any = None

    def init(self, game, params):
        memory = {**super().init(game, params), "count": torch.zeros((), dtype=torch.int64)}
        return memory if self.first is None else self.first(memory)

    def step(self, game, params, memory, draw):
        bad = memory["count"] == BAD
        if bad and self.before is not None:
            self.before((params, memory))
        params, own, info = super().step(game, params, memory, draw)
        answer = params, {**own, "count": memory["count"] + 1}, info
        return self.after(answer) if bad and self.after is not None else answer


def told(game: cp.Game, solver: cp.Solver, tmp_path: Path, **settings: Any) -> PluginError:
    """What a run with them ends in; what it leaves can be gone on from."""
    options = {"steps": 8, "out": tmp_path / "d", "checkpoint_every": 3, **settings}
    with pytest.raises(PluginError) as failed:
        cp.run(game, solver, **options)
    assert failed.value.exit_code == 3 and failed.value.module == __name__, failed.value.module
    assert "\n" not in str(failed.value)
    return failed.value


def at(player: str, x: Any) -> Change:
    return lambda tree: {**tree, player: x(tree[player]) if callable(x) else x}


def in_place(change: Callable[[Any], Any]) -> Change:
    def made(x: Any) -> Any:
        change(x)
        return x

    return made


def some(cases: Iterable[str], every: int) -> list[Any]:
    """All of them; those that are not every n-th are slow tests."""
    return [pytest.param(c, marks=[pytest.mark.slow] if n % every else []) for n, c in enumerate(cases)]


GAMES: dict[str, tuple[str, Change, str]] = {
    "init none": ("init", lambda p: None, "its init returned None; expected: {player: {name: floating tensor}}"),
    "init list": ("init", lambda p: [1], "its init returned a list"),
    "init flat": ("init", at("x", one()), "its init returned a tensor of shape (1,) and type float64 for x"),
    "init int": ("init", at("x", {"value": torch.ones(1, dtype=torch.int64)}), "type int64 as x/value"),
    "init complex": ("init", at("x", {"value": torch.ones(1, dtype=torch.complex128)}), "complex128 as x/value"),
    "init sparse": ("init", at("x", {"value": one().to_sparse()}), "sparse_coo as x/value"),
    "init meta": ("init", at("x", {"value": one().to("meta")}), "on meta as x/value"),
    "init float": ("init", at("x", {"value": 1.0}), "a float as x/value"),
    "init key": ("init", at("x", {3: one()}), "as x/3"),
    "init empty": ("init", lambda p: {"x": {}, "y": {}}, "no tensor at all"),
    "init players": ("init", lambda p: {"a": p["x"]}, "returned parameters of a; expected"),
    "init exit": ("init", raising(SystemExit(0)), "starting raised SystemExit: 0"),
    "init pipe": ("init", raising(BrokenPipeError()), "starting raised BrokenPipeError"),
    "buffers none": ("buffers", lambda b: None, "its buffers returned None; expected: a dictionary"),
    "sample none": ("sample", lambda b: None, "its sample returned None; expected: a dictionary"),
    "sample exit": ("sample", raising(SystemExit(0)), "a step raised SystemExit: 0 (test_contract.py, line "),
    "refresh none": ("refresh", lambda b: None, "its refresh returned None"),
    "refresh shape": ("refresh", at("count", torch.zeros(5, dtype=F64)), "count is a tensor of shape (5,)"),
    "refresh dtype": ("refresh", at("count", lambda x: x.float()), "type float32; expected"),
    "refresh names": ("refresh", at("more", one()), "more is a tensor of shape (1,)"),
    "refresh object": ("refresh", at("text", object()), "text is a object; expected: a str"),
    "losses none": ("losses", lambda x: None, "its losses are None; expected: a dictionary"),
    "losses floats": ("losses", at("y", 3.0), "the loss of y is a float, not a scalar tensor of a real type"),
    "losses str": ("losses", at("x", "a"), "the loss of x is a str, not a scalar"),
    "losses none for one": ("losses", at("x", None), "the loss of x is None, not a scalar"),
    "losses complex": ("losses", at("x", lambda x: x * 1j), "type complex128, not a scalar"),
    "losses vector": ("losses", at("x", lambda x: x.expand(2)), "the loss of x is of shape (2,), not a scalar"),
    "metrics none": ("metrics", lambda m: None, "its metrics returned None; expected: a dictionary"),
    "metrics str": ("metrics", lambda m: "abc", "its metrics returned a str; expected: a dictionary"),
    "metrics text": ("metrics", at("size", "abc"), "its metrics returned a str as size; expected: a number"),
    "metrics exit": ("metrics", raising(SystemExit(0)), "what a run records raised SystemExit: 0"),
    "metrics pipe": ("metrics", raising(BrokenPipeError("a")), "what a run records raised BrokenPipeError: a"),
    "metrics bad log": ("metrics", raising(cp.BadLog("a")), "what a run records raised BadLog: a"),
    "show str": ("show", lambda s: "abc", "its show returned a str; expected: None, images"),
    "show line": ("show", lambda s: one(), "its show returned a tensor of shape (1,)"),
}


@pytest.mark.parametrize("case", some(GAMES, 3))
def test_a_game_that_returns_something_else(tmp_path: Path, case: str) -> None:
    function, change, words = GAMES[case]
    since = BAD if function in ("refresh", "sample") else 0
    error = told(Odd(function, change, since), cp.make("solver", "simgd"), tmp_path, trace=False)
    assert words in str(error) and ("the game Odd" in str(error) or " raised " in str(error)), str(error)


@pytest.mark.parametrize("case", some(["losses none", "losses str", "sample none", "refresh none", "metrics str"], 3))
@pytest.mark.parametrize("how", [{"trace": True}, {"members": 2}, {"regularizers": "weight-decay"}])
def test_the_same_traced_in_ensembles_and_regularized(tmp_path: Path, case: str, how: dict[str, Any]) -> None:
    function, change, words = GAMES[case]
    if "regularizers" in how:
        how = {"regularizers": [Idle()]}
    assert words in str(told(Odd(function, change), cp.make("solver", "simgd"), tmp_path, **how))


@dataclass(frozen=True)
class Idle(cp.Regularizer):
    """Nothing."""


def parameter(x: Any) -> Change:
    """An answer with another x/value."""
    return lambda a: ({**a[0], "x": {"value": x(a[0]["x"]["value"])}}, a[1], a[2])


def info(**changes: Any) -> Change:
    """An answer whose info has other fields, made from what they were."""
    return lambda a: (a[0], a[1], replace(a[2], **{k: f(getattr(a[2], k)) for k, f in changes.items()}))


def gradient(x: Any) -> Change:
    return info(gradient=lambda v: {**v, "x": {"value": x}})


def inner(**reported: Any) -> Change:
    return info(inner=lambda _: reported)


SOLVERS: dict[str, tuple[Change, str]] = {
    "float32": (parameter(lambda x: x.float()), "x/value is a tensor of shape (1,) and type float32; expected"),
    "complex": (parameter(lambda x: x + 0j), "x/value is a tensor of shape (1,) and type complex128"),
    "sparse": (parameter(lambda x: x.to_sparse()), "x/value is a tensor of shape (1,) and type float64, sparse_coo;"),
    "meta": (parameter(lambda x: x.to("meta")), "x/value is a tensor of shape (1,) and type float64 on meta"),
    "gradient none": (gradient(None), "gradient of another structure: x/value is a NoneType"),
    "gradient shape": (
        gradient(torch.ones(5, dtype=F64)),
        "gradient of another structure: x/value is a tensor of shape",
    ),
    "gradient complex": (gradient(one() + 0j), "gradient of another structure: x/value is a tensor of shape (1,) and"),
    "gradient more": (info(gradient=lambda v: {**v, "x": {**v["x"], "z": one()}}), "x/z is a tensor of shape (1,)"),
    "gradient is none": (info(gradient=lambda v: None), "gradient of another structure: all of it is a NoneType"),
    "inner none": (info(inner=lambda x: None), "returned None as info.inner; expected: a dictionary of tensors"),
    "inner name": (inner(zz=one()), "a tensor of shape (1,) and type float64 as info.inner['zz']; expected"),
    "inner str": (inner(iterations="abc"), "a str as info.inner['iterations']; expected"),
    "inner shape": (inner(residual=torch.ones(3)), "as info.inner['residual']; expected: a dictionary of tensors of"),
    "losses float": (info(losses=lambda x: {**x, "x": 3.0}), "losses that are not one number for each of x, y"),
    "losses int": (info(losses=lambda x: {**x, "x": torch.tensor(3)}), "losses that are not one number for each"),
    "memory dtype": (lambda a: (a[0], {**a[1], "count": a[1]["count"] * 1.0}, a[2]), "count is a tensor of shape ()"),
    "memory object": (lambda a: (a[0], {**a[1], "more": object()}, a[2]), "more is a object; expected: missing"),
    "broken pipe": (raising(BrokenPipeError()), "a step raised BrokenPipeError (test_contract.py, line "),
    "click exit": (raising(click.exceptions.Exit(0)), "a step raised Exit: 0"),
    "click abort": (raising(click.Abort()), "a step raised Abort"),
    "usage": (raising(cp.UsageError("no")), "a step raised UsageError: no"),
    "bad log": (raising(cp.BadLog("no")), "a step raised BadLog: no"),
    "storage": (raising(cp.StorageError("no.")), "a step raised StorageError: no ("),
    "base": (raising(BaseException("no")), "a step raised BaseException: no"),
    "generator exit": (raising(GeneratorExit()), "a step raised GeneratorExit"),
    "stop iteration": (raising(StopIteration()), "a step raised StopIteration"),
}


@pytest.mark.parametrize("case", some(SOLVERS, 4))
def test_a_solver_that_returns_something_else_or_raises(tmp_path: Path, case: str) -> None:
    """The state before is kept, and a mended solver goes on from there."""
    after, words = SOLVERS[case]
    game = cp.make("game", "quadratic")
    error = told(game, Strange(after=after), tmp_path)
    assert words in str(error) and "game" not in str(error), str(error)
    assert newest(tmp_path / "d").name == f"step-{BAD}"
    whole = cp.run(game, Strange(), steps=8)
    again = cp.resume(tmp_path / "d", game=game, solver=Strange(), allow_inexact=True)
    assert again.steps == 8 and torch.equal(again.params["x"]["value"], whole.params["x"]["value"])


SPOILING: dict[str, Change] = {
    "a value": lambda given: given[0]["x"]["value"].mul_(float("nan")),
    "a finite value": lambda given: given[0]["x"]["value"].mul_(2),
    "a name": lambda given: given[0].pop("x"),
    "a new name": lambda given: given[0].update(z={"value": one()}),
    "a tensor": lambda given: given[0]["x"].update(value=one(7)),
    "memory": lambda given: given[1]["count"].add_(100),
}


@pytest.mark.parametrize("case", some(SPOILING, 3))
@pytest.mark.parametrize("then", ["", "fails"])
def test_a_step_that_changes_what_it_is_given(tmp_path: Path, case: str, then: str) -> None:
    """Nothing of it is saved: the newest checkpoint is the one before, and a mended solver goes on from it."""
    game = cp.make("game", "quadratic")
    error = told(game, Strange(before=SPOILING[case], after=raising(ValueError("oh")) if then else None), tmp_path)
    if not then and case != "a name":
        said = "z is a dictionary of value" if case == "a new name" else "changed the parameters, memory or buffers"
        assert "the solver Strange breaks its contract" in str(error) and said in str(error), str(error)
    assert newest(tmp_path / "d").name == "step-3"
    whole = cp.run(game, Strange(), steps=8)
    again = cp.resume(tmp_path / "d", game=game, solver=Strange(), allow_inexact=True)
    assert again.steps == 8 and torch.equal(again.params["x"]["value"], whole.params["x"]["value"])


def test_a_game_that_changes_buffers_it_is_given(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Rude(Odd):
        def refresh(self, params, buffers):
            buffers["count"].add_(1)
            return buffers

    error = told(Rude(), cp.make("solver", "simgd"), tmp_path)
    assert "the game Rude breaks its contract: a step changed" in str(error)
    assert newest(tmp_path / "d").name == "step-0"


def test_figures_cannot_change_the_run(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Rude(Odd):
        def metrics(self, params, batch):
            params["x"]["value"].mul_(float("nan"))
            return {"size": params.pop("x")["value"].sum()}

    solver = cp.make("solver", "simgd")
    runs = [cp.run(game, solver, steps=5, out=tmp_path / type(game).__name__) for game in (Rude(), Odd())]
    assert torch.equal(*(r.params["x"]["value"] for r in runs))


MEMORIES = {"none": lambda m: None, "a list": lambda m: [m], "a number": lambda m: {**m, "count": 3}}


@pytest.mark.parametrize("case", MEMORIES)
def test_a_first_memory_of_something_else(tmp_path: Path, case: str) -> None:
    error = told(cp.make("game", "quadratic"), Strange(first=MEMORIES[case]), tmp_path)
    assert "the solver Strange breaks its contract: its init returned" in str(error)


def test_a_method_may_refuse_a_game_with_its_first_step(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Refusing(cp.Composed):
        def step(self, game, params, memory, draw):
            raise cp.UsageError("not this game")

    with pytest.raises(cp.UsageError, match="not this game"):
        cp.run(cp.make("game", "quadratic"), Refusing(), steps=3, out=tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_what_is_not_a_plugin_s_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, Ctrl-C, and whatever the caller's own observer raises."""
    game = cp.make("game", "quadratic")
    for error in (cp.StorageError("full"), ValueError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            cp.run(game, Strange(), steps=3, observers=[raising(error)])
    with pytest.raises(KeyboardInterrupt):
        cp.run(game, Strange(after=raising(KeyboardInterrupt())), steps=8)

    def spoil(seen: Seen) -> None:
        if seen.step == 2:
            shutil.rmtree(tmp_path / "d" / "log")
            (tmp_path / "d" / "log").touch()

    at_once = {**(LogWriter.__init__.__kwdefaults__ or {}), "seal_seconds": 0.0}
    monkeypatch.setattr(LogWriter.__init__, "__kwdefaults__", at_once)
    with pytest.raises(cp.StorageError, match="Could not make"):
        cp.run(game, Strange(), steps=8, out=tmp_path / "d", observers=[spoil])
