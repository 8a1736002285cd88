"""What is handed to a run that goes on is compared with what it was begun with."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.registry.registry import make

from ..run.test_resume_marks import altered
from ..support.stopped import QUADRATIC, SOLVER, STEPS, same, stopped

GAMMA = 1.0
SETTINGS = SimpleNamespace(delta=1.0)


def scaled(x: Tensor) -> Tensor:
    return x * GAMMA


def losses(alpha: float, weights: Tensor, beta: float = 1.0) -> Callable[..., Any]:
    def of(p: Any, b: Any) -> dict[str, Tensor]:
        return {"x": (scaled(p["x"]["w"]) ** 2 * weights * b["v"]).sum() * alpha * beta * SETTINGS.delta}

    return of


def other(alpha: float, weights: Tensor) -> Callable[..., Any]:
    def of(p: Any, b: Any) -> dict[str, Tensor]:
        return {"x": (scaled(p["x"]["w"]) ** 4 * weights * b["v"]).sum() * alpha}

    of.__qualname__ = losses.__qualname__ + ".<locals>.of"
    return of


def drawn(rng: torch.Generator, *, scale: float = 1.0) -> dict[str, Tensor]:
    return {"v": torch.rand(2, generator=rng) * scale}


def mine(alpha: float = 1.0, weights: Any = (1.0, 2.0), of: Any = losses, draw: Any = drawn, **more: Any) -> cp.Game:
    """Its starting point is another at each call, as that of modules is."""
    start = {"x": {"w": torch.randn(2)}}
    return cp.game_from_losses(of(alpha, torch.tensor(weights), **more), start, draw)


OTHERS: dict[str, tuple[Callable[[], cp.Game], str]] = {
    "a closed-over number": (lambda: mine(2.0), r"game's of\.reads\.alpha was 1\.0 and is 2\.0"),
    "a closed-over tensor": (lambda: mine(weights=(1.0, 3.0)), r"game's of\.reads\.weights was float32 \[2\]"),
    "a default": (lambda: mine(beta=2.0), r"game's of\.reads\.beta was 1\.0 and is 2\.0"),
    "other code": (lambda: mine(of=other), r"the code of the game's of is not what it was"),
    "another sample": (lambda: mine(draw=functools.partial(drawn, scale=2.0)), r"the game's draw was"),
    "made by name": (lambda: QUADRATIC, r"the game was GameFromLosses and is Quadratic"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_game_is_named(what: str, seeded: None, tmp_path: Path) -> None:
    run = stopped(tmp_path / "run", mine())
    make_it, words = OTHERS[what]
    with pytest.raises(UsageError, match=words):
        cp.resume(run, game=make_it())
    with pytest.raises(
        UsageError, match=r"put together in Python: hand it back, counterplay\.resume\(directory, game="
    ):
        cp.resume(run)
    assert cp.resume(run, game=mine()).status == "max_steps"  # partly: the solver was made by name


def test_what_a_function_reads_of_its_module_is_compared(
    seeded: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, game = stopped(tmp_path / "run", mine()), mine()
    with monkeypatch.context() as patch:
        patch.setitem(scaled.__globals__, "GAMMA", 2.0)
        with pytest.raises(UsageError, match=r"GAMMA was 1\.0 and is 2\.0"):
            cp.resume(run, game=game)
    with monkeypatch.context() as patch:
        patch.setattr(SETTINGS, "delta", 2.0)
        with pytest.raises(UsageError, match=r"delta was 1\.0 and is 2\.0"):
            cp.resume(run, game=game)
    assert cp.resume(run, game=game).status == "max_steps"


@dataclass(frozen=True)
class Bowl(cp.Game):
    players = ("x",)
    depth: float = 1.0

    def init(self, rng: torch.Generator) -> Any:
        return {"x": {"w": torch.ones(2)}}

    def losses(self, params: Any, batch: Any) -> Any:
        return {"x": self.depth * (params["x"]["w"] ** 2).sum()}


def test_a_class_whose_code_changed_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stopped(tmp_path / "run", Bowl())
    with pytest.raises(UsageError, match=r"the game's depth was 1\.0 and is 2\.0"):
        cp.resume(run, game=Bowl(2.0))
    with monkeypatch.context() as patch:
        patch.setattr(Bowl, "losses", lambda self, p, b: {"x": (p["x"]["w"] ** 4).sum()})
        with pytest.raises(UsageError, match=r"the code of the game is not what it was"):
            cp.resume(run, game=Bowl())
    whole = cp.run(Bowl(), SOLVER, steps=STEPS)
    assert same(whole, cp.resume(run, game=Bowl()))


def modules(width: int = 4, slope: float = 0.1, frozen: float = 1.0) -> cp.Game:
    made = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(slope), nn.Linear(width, 1))
    made.register_buffer("scale", torch.tensor(frozen))
    return cp.game_from_modules({"a": made}, lambda nets, b: {"a": nets["a"](b["x"]).square().mean()}, points)


def points(rng: torch.Generator) -> dict[str, Tensor]:
    return {"x": torch.randn(8, 2, generator=rng)}


def test_modules_are_compared_by_what_they_compute(seeded: None, tmp_path: Path) -> None:
    run = stopped(tmp_path / "run", modules())
    with pytest.raises(UsageError, match=r"negative_slope was 0\.1 and is 0\.2"):
        cp.resume(run, game=modules(slope=0.2))
    with pytest.raises(UsageError, match=r"was float32 \[4, 2\] and is float32 \[5, 2\]"):
        cp.resume(run, game=modules(width=5))
    with pytest.raises(UsageError, match=r"fixed\.scale was float32"):
        cp.resume(run, game=modules(frozen=2.0))
    assert cp.resume(run, game=modules()).status == "max_steps"  # with other first weights, as in another process


def test_it_goes_on_with_something_else_where_that_is_said(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run", QUADRATIC)
    fast = make("solver", "simgd", lr=0.02)
    before = cp.load_params(run)
    cp.resume(run, solver=fast, allow_inexact=True)
    marks = json.loads(cp.open_log(run).attrs["inexact"])
    assert [m["step"] for m in marks] == [3] and marks[0]["changed"] == ["the solver's lr was 0.01 and is 0.02"]
    assert same(cp.run(QUADRATIC, fast, steps=STEPS - 3, start=before), SimpleNamespace(params=cp.load_params(run)))
    with pytest.raises(UsageError, match=r"lr was 0\.01 and is 0\.02"):
        cp.resume(run, solver=fast)  # it has ended, and not with this


def from_file(path: str) -> cp.Game:
    """A game whose data are not in its code."""

    def sample(rng: torch.Generator) -> dict[str, Tensor]:
        data = torch.tensor([float(x) for x in Path(path).read_text().split()])
        return {"v": data[torch.randperm(len(data), generator=rng)[:2]]}

    return cp.game_from_losses(lambda p, b: {"x": (p["x"]["w"] * b["v"]).sum()}, {"x": {"w": torch.ones(2)}}, sample)


def test_other_data_are_refused_by_their_next_batch(tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("1 2 3 4")
    run = stopped(tmp_path / "run", from_file(str(data)))
    data.write_text("1 2 3 5 4")
    with pytest.raises(UsageError, match="its next batch is another than it was to be"):
        cp.resume(run, game=from_file(str(data)))
    data.write_text("1 2 3 4")
    assert same(cp.run(from_file(str(data)), SOLVER, steps=STEPS), cp.resume(run, game=from_file(str(data))))


def test_an_older_run_that_noted_no_batch_is_not_fed_by_an_iterator(tmp_path: Path) -> None:
    def fed() -> cp.Game:
        data = iter(torch.arange(1.0, 100.0))
        first = {"x": {"w": torch.zeros(1)}}
        return cp.game_from_losses(
            lambda p, b: {"x": (b["v"] * p["x"]["w"]).sum()}, first, lambda rng: {"v": next(data)}
        )

    with pytest.raises(cp.UserError, match=r"the second time, from the same state of the generator"):
        cp.run(fed(), SOLVER, steps=STEPS)
    run = stopped(tmp_path / "run", fed(), inexact_data=True)
    settings = json.loads((run / "run.json").read_text())["settings"]
    altered(run, settings={**settings, "inexact_data": False})  # as before it was asked
    with pytest.raises(UsageError, match="its data do not come from the generator alone"):
        cp.resume(run, game=fed())


@pytest.mark.parametrize("solver", [SOLVER, make("solver", "simgd", lr=0.02)])
def test_older_runs_are_compared_by_what_they_noted(solver: cp.Solver, tmp_path: Path) -> None:
    run = stopped(tmp_path / "run", QUADRATIC)
    noted = {"game": {"name": "Quadratic", "a": 1.0, "b": 10.0}}  # c came later
    altered(run, experiment={**noted, "solver": {"name": "Simgd", "lr": 0.01, "rule": {"name": "sgd"}}})
    with pytest.raises(UsageError, match=r"the game's b was 10\.0 and is 9\.0"):
        cp.resume(run, game=make("game", "quadratic", b=9.0), solver=SOLVER)
    with pytest.raises(UsageError, match="hand it back"):
        cp.resume(run)
    if solver is SOLVER:
        assert cp.resume(run, game=QUADRATIC, solver=solver).status == "max_steps"
    else:
        with pytest.raises(UsageError, match=r"the solver's lr was 0\.01 and is 0\.02"):
            cp.resume(run, game=QUADRATIC, solver=solver)


def test_another_python_s_bytecode_cannot_be_compared(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run", Bowl())
    facts = json.loads((run / "run.json").read_text())
    facts["experiment"]["game"]["its code"] = "3.8 0123456789abcdef"
    altered(run, **facts)
    with pytest.raises(UsageError, match=r"cannot be compared: it was compiled by Python 3\.8"):
        cp.resume(run, game=Bowl())


class Plain(cp.Game):
    """A game that is no dataclass."""

    players = ("x",)

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def init(self, rng):
        return {"x": {"w": torch.ones(1)}}

    def losses(self, params, batch):
        return {"x": self.weight * params["x"]["w"].square().sum()}


def test_a_game_that_is_no_dataclass_goes_on(tmp_path):
    solver, left = cp.make("solver", "simgd", lr=0.1), iter([False] * 3 + [True])
    cp.run(Plain(1.0), solver, steps=6, out=tmp_path / "r", stop=lambda: next(left))
    with pytest.raises(cp.UsageError, match=r"the game.s weight was 1\.0 and is 2\.0"):
        cp.resume(tmp_path / "r", game=Plain(2.0))
    found = cp.resume(tmp_path / "r", game=Plain(1.0))
    assert torch.equal(found.params["x"]["w"], cp.run(Plain(1.0), solver, steps=6).params["x"]["w"])
