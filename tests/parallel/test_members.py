"""Ensembles whose members several processes share: they are what one process makes of them, and resume bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

import counterplay as cp
from counterplay.core.collective import ProcessLost, Ranks
from counterplay.core.conformance.over_processes import TOLERANCE, OneNumberEach
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.errors import UsageError
from counterplay.core.parallel.member_solver import MemberSolver
from counterplay.core.parallel.spawned import on_processes
from counterplay.core.registry.registry import REGISTRY
from counterplay.core.run.engine import initial_state
from counterplay.core.run.settings import Settings
from counterplay.core.storage.strict_json import loads

from .test_runs import as_torchrun, killed_at

SOLVERS = sorted(REGISTRY.all("solver"))
CLOCK = ("solver_seconds", "measuring_seconds", "wall_seconds")


def toys(lr: list[float]) -> dict[str, Any]:
    """Five members, of which one diverges; a memory with step counts that all members share."""
    options = {"rule": "momentum", "schedule": {"name": "linear", "steps": 90}}
    solver = cp.make("solver", "ogda", lr={"x": lr, "y": 0.001}, **options)
    return {"game": cp.make("game", "quadratic", c=-1), "solver": solver, "members": 5, "blowup": 60.0, "steps": 20}


def gans() -> dict[str, Any]:
    """Three members of networks."""
    game = cp.make("game", "mixture", hidden=4, layers=1, batch=6, latent=2)
    settings = {"members": 3, "steps": 6, "seed": 3, "dtype": "float64", "sample_every": 3}
    return {"game": game, "solver": cp.make("solver", "conopt", rule="momentum"), **settings}


LR = [0.001, 0.002, 5.0, 0.003, 0.004]


def killed(ranks: Ranks, out: str) -> str:
    """A run whose second process is killed after seven steps."""
    as_torchrun(ranks)
    try:
        return cp.run(**toys(LR), out=out, stop=killed_at(7) if ranks.rank else None).status
    except ProcessLost as lost:
        Path(out, "said").write_text(str(lost))
        return "lost"


def play(ranks: Ranks, folder: str) -> list[Any]:
    """The runs in two processes, one of them stopped by the second process and resumed, and one that is refused."""
    as_torchrun(ranks)
    found: list[Any] = [cp.run(**toys(LR), out=f"{folder}/toys").diverged, cp.resume(f"{folder}/killed").diverged]
    found.append(cp.run(**gans(), out=f"{folder}/whole").status)
    asked = iter(range(100))
    result = cp.run(**gans(), out=f"{folder}/stopped", stop=lambda: ranks.rank == 1 and next(asked) >= 3)
    ranks.sum(torch.zeros(1))  # waits until the first process has written how it ended
    found += [(result.status, result.steps), cp.resume(f"{folder}/stopped").status]
    try:
        cp.run(**toys(LR[: 2 + ranks.rank]))
    except UsageError as error:
        found.append(str(error).partition(";")[0].replace("3 numbers", "2 numbers"))
    return found


@pytest.mark.slow
def test_two_processes_share_the_members(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="process 1: it ended without a word"):
        on_processes(2, killed, str(tmp_path / "killed"))
    said = (tmp_path / "killed" / "said").read_text()
    assert said.startswith("another process of this run has ended without a word, as when it is killed")
    first, second = on_processes(2, play, str(tmp_path))
    assert first == second == [
        (2,), (2,), "max_steps", ("interrupted", 4), "max_steps",
        "an option lists 2 numbers, one per member, but this run has 5 members",
    ]  # fmt: skip
    alone = cp.run(**toys(LR), out=tmp_path / "toys-alone")
    assert _largest_difference(alone.params, cp.load_params(tmp_path / "toys")) == 0
    for name in ("toys", "killed"):
        _require_same_log(tmp_path / name, tmp_path / "toys-alone", 0.0)
    cp.run(**gans(), out=tmp_path / "alone")
    _require_same_log(tmp_path / "whole", tmp_path / "alone", 1e-12)
    _require_same_log(tmp_path / "stopped", tmp_path / "whole", 0.0)
    assert _largest_difference(*(cp.load_params(tmp_path / name) for name in ("stopped", "whole"))) == 0
    settings = loads(tmp_path / "whole" / "run.json")["settings"]
    assert (settings["ranks"], settings["share_members"]) == (2, True)
    with pytest.raises(UsageError, match="it was played by 2 processes and is by one process"):
        (tmp_path / "whole" / "status.json").unlink()
        cp.resume(tmp_path / "whole")


def _require_same_log(a: Path, b: Path, tolerance: float) -> None:
    x, y = cp.open_log(a), cp.open_log(b)
    assert list(x) == list(y)
    for key in x:
        if key.partition("/")[2] not in CLOCK:
            torch.testing.assert_close(
                *map(torch.from_numpy, (x[key], y[key])), rtol=tolerance, atol=tolerance, equal_nan=True
            )


def _largest_difference(a: cp.Params, b: cp.Params) -> float:
    return max(float((a[i][k] - b[i][k]).abs().max()) for i in a for k in a[i])


def shared(ranks: Ranks, names: list[str]) -> dict[str, float]:
    """For each solver, how much three steps of five members over the processes differ from those in one."""
    found = {}
    for name in names:
        solver, game = cp.make("solver", name), Evaluator(OneNumberEach(), 5, torch.float64, trace=name == "simgd")
        with torch.no_grad():
            state = initial_state(game, solver, Settings(steps=3))
            ends = []
            for taker in (solver, MemberSolver.over(ranks, solver, game, state)):
                rngs, params, memory = state.generators(), state.params, state.memory
                for _ in range(3):
                    params, memory, info = taker.step(game, params, memory, lambda: game.draw(rngs, {}))  # noqa: B023
                ends.append(tree_leaves((params, memory, info.losses, info.gradient)))
        found[name] = max(float((x - y).abs().max()) for x, y in zip(*ends, strict=True))
    return found


@pytest.mark.slow
def test_every_solver_takes_the_steps_of_one_process() -> None:
    for found in on_processes(2, shared, SOLVERS):
        assert {name: x for name, x in found.items() if not x <= TOLERANCE} == {}
        assert len(found) == len(SOLVERS) > 20
