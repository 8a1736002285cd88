"""A number that is not finite stops the run in the step that made it, wherever it stands; a large one never does."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten_with_path, tree_map

import counterplay as cp
from counterplay.core.log.schema import SPECTRUM_STATUS
from counterplay.core.solver.state import tensors as tensors_of
from counterplay.core.spectra.eigenvalues import dense_spectrum
from counterplay.core.storage.checkpoint_files import load_checkpoint, newest

from ..support.cases import identical

STEPS = 8
NEVER = 10**9


def at(tree: Any, path: tuple[Any, ...], put: Any) -> Any:
    """``tree`` with put(tensor) in one place."""
    if not path:
        return put(tree)
    return {**tree, path[0]: at(tree[path[0]], path[1:], put)}


@dataclass(frozen=True)
class Poisoned(cp.Solver):
    """``inner``, which at one step gives ``value`` in one place of what it returns."""

    inner: cp.Solver
    place: tuple[Any, ...]  # ("loss" | "gradient" | "parameter" | "memory", keys...)
    when: int
    value: float
    member: int | None = None

    def init(self, game: Any, params: Any) -> Any:
        return {"inner": self.inner.init(game, params), "count": torch.zeros((), dtype=torch.int64)}

    def step(self, game: Any, params: Any, memory: Any, draw: Any) -> Any:
        params, inner, info = self.inner.step(game, params, memory["inner"], draw)
        found = {"parameter": params, "memory": inner, "loss": info.losses, "gradient": info.gradient}
        if int(memory["count"]) == self.when and self.place[0] in found:
            found = at(found, self.place, self.put)
        info = replace(info, losses=found["loss"], gradient=found["gradient"])
        return found["parameter"], {"inner": found["memory"], "count": memory["count"] + 1}, info

    def put(self, x: Tensor) -> Tensor:
        x = x.clone()
        x.reshape(1 if self.member is None else x.shape[0], -1)[self.member or 0, -1] = self.value
        return x


@dataclass(frozen=True)
class Extra(cp.Regularizer):
    """A buffer that no loss sees, and that is ``value`` from one step on."""

    when: int
    value: float

    def buffers(self, game: Any, rng: Any, params: Any) -> Any:
        return {"extra": torch.ones(2, dtype=torch.float64), "count": torch.zeros(2, dtype=torch.int64)}

    def refresh(self, game: Any, params: Any, buffers: Any) -> Any:
        bad = torch.where(buffers["count"] == self.when, self.value, buffers["extra"])
        return {**buffers, "extra": bad, "count": buffers["count"] + 1}


GAME = cp.make("game", "affine-gaussian", batch=4)
SOLVERS = {
    "adam": cp.make("solver", "simgd", lr=0.01, rule="adam"),
    "rmsprop": cp.make("solver", "altgd", lr=0.01, rule="rmsprop"),
    "ogda": cp.make("solver", "ogda", lr=0.01),
    "acgd": cp.make("solver", "acgd", lr=0.01),
}
SOME = ["rmsprop", *(pytest.param(name, marks=pytest.mark.slow) for name in SOLVERS if name != "rmsprop")]
LABELS = {
    "memory": "the memory inner/",
    "parameter": "the parameter ",
    **{k: f"the {k} of " for k in ("loss", "gradient")},
}


def places(solver: cp.Solver) -> list[tuple[Any, ...]]:
    """Every tensor of floating numbers that a step gives back, and a buffer."""
    params = GAME.init(torch.Generator())
    trees = {
        "loss": {i: torch.zeros(()) for i in params}, "gradient": params, "parameter": params,
        "memory": solver.init(GAME, params),
    }  # fmt: skip
    found, _ = tree_flatten_with_path(trees)
    return [tuple(getattr(k, "key", None) for k in path) for path, x in found if x.is_floating_point()] + [
        ("buffer", "extra")
    ]


def cases() -> list[tuple[str, tuple[Any, ...], int, float]]:
    return [
        (name, place, step, value)
        for name, solver in SOLVERS.items()
        for place, step, value in itertools.product(places(solver), range(STEPS), (math.nan, math.inf, -math.inf))
    ]


def play(name: str, place: tuple[Any, ...], when: int, value: float, member: int | None = None, **run: Any) -> Any:
    solver = Poisoned(SOLVERS[name], place, when, value, member)
    extra = Extra(when if place[0] == "buffer" else NEVER, value)
    return cp.run(GAME, solver, **{"steps": STEPS, "seed": 1, **run}, regularizers=[extra])


@pytest.fixture(scope="module")
def clean() -> dict[str, list[Any]]:
    """What each solver's unspoilt run has before every step."""
    found: dict[str, list[Any]] = {}
    for name, solver in SOLVERS.items():
        seen: list[Any] = []
        observers = [lambda s, seen=seen: seen.append((s.params, s.memory))]
        result = cp.run(GAME, Poisoned(solver, ("",), NEVER, 0.0), steps=STEPS, seed=1, observers=observers)
        assert (result.status, len(seen)) == ("max_steps", STEPS + 1), "no false alarm"
        found[name] = seen
    return found


@pytest.mark.parametrize("count", [60, pytest.param(None, marks=pytest.mark.slow)])
def test_the_step_that_makes_it_is_the_last(clean: dict[str, list[Any]], count: int | None) -> None:
    """At every step, in every tensor: found without delay, named, and the state before it is kept."""
    found = cases()
    for name, place, step, value in found if count is None else random.Random(0).sample(found, count):
        result = play(name, place, step, value)
        where = f"{name} {place} {step} {value}"
        assert (result.status, result.steps) == ("diverged", step), where
        label = "the buffer extra" if place[0] == "buffer" else LABELS[place[0]] + "/".join(place[1:])
        assert result.message.lower() == f"{label} is not finite at step {step}.".lower(), where
        assert identical((result.params, result.memory), clean[name][step]), where


@pytest.mark.parametrize("name", SOME)
def test_in_one_member_it_stops_that_member(name: str) -> None:
    free = play(name, ("",), NEVER, 0.0, member=1, members=3)
    for place in places(SOLVERS[name]):
        result = play(name, place, 3, math.inf, member=1, members=3)
        gone = (0, 1, 2) if place[0] == "buffer" else (1,)
        assert result.diverged == gone, (name, place)
        if place[0] != "buffer":
            others = [tree_map(lambda x: x[[0, 2]] if x.dim() else x, r.params) for r in (free, result)]
            assert identical(*others), (name, place)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOME)
def test_a_large_number_is_no_alarm(name: str, dtype: str) -> None:
    """Far beyond where a sum of squares overflows, and up to the largest there is."""
    tried = [place for place in places(SOLVERS[name]) if place[0] != "buffer"]
    assert tried
    for place, part in itertools.product(tried, (-0.5, 1.0)):
        value = part * torch.finfo(getattr(torch, dtype)).max
        result = play(name, place, STEPS - 1, value, steps=STEPS, blowup=math.inf, dtype=dtype)
        # the loss at such a point may be too large for a number: that is found when it is looked at
        truly = place[0] == "parameter" and result.steps == STEPS and "parameter" not in result.message
        assert result.status == "max_steps" or truly, (place, result.message)


def test_the_checkpoints_of_a_run_that_diverged_are_finite(tmp_path: Any) -> None:
    """A second moment that overflows in single precision: the step is 0 from there on, and no parameter tells."""
    game = cp.game_from_losses(lambda p, b: {"x": -(p["x"]["w"] ** 3).sum()}, {"x": {"w": torch.tensor([1e10])}})
    solver = cp.make("solver", "simgd", lr=1e9, rule="rmsprop")
    result = cp.run(game, solver, steps=20, out=tmp_path / "d", checkpoint_every=2, blowup=math.inf)
    assert result.status == "diverged" and "memory rule/x/s/w is not finite" in result.message
    found = sorted((tmp_path / "d" / "checkpoints").iterdir())
    for path in found:
        tensors, _ = load_checkpoint(path)
        assert tensors.pop("bound").isinf() and all(torch.isfinite(t).all() for t in tensors_of(tensors))
    tensors, numbers = load_checkpoint(newest(tmp_path / "d"))
    assert numbers["step"] == result.steps and identical(tensors["params"], result.params), "the last finite one"
    assert tensors["memory"].keys() == result.memory.keys()
    assert identical(tensors["memory"]["rule"], result.memory["rule"])
    assert cp.open_log(tmp_path / "d")["step/step"].tolist() == list(range(result.steps + 1))


# ------------------------------------------------------------------------------------------------------------- spectra


def statuses(directory: Any, name: str) -> list[str]:
    return [SPECTRUM_STATUS[k] for k in cp.open_log(directory)[f"spectrum/{name}"].flatten()]


def test_a_jacobian_that_is_not_finite_is_a_status_and_the_run_goes_on(tmp_path: Any) -> None:
    """|w|^(3/2) has a gradient at 0, and no second derivative."""
    game = cp.game_from_losses(
        lambda p, b: {"x": torch.where(p["x"]["w"] > 0, p["x"]["w"].clamp(min=0) ** 1.5, 0 * p["x"]["w"]).sum()},
        {"x": {"w": torch.zeros(2, dtype=torch.float64)}},
    )
    result = cp.run(game, cp.make("solver", "simgd"), steps=3, spectrum_every=1, out=tmp_path / "d", trace=False)
    assert result.status == "max_steps"
    log = cp.open_log(tmp_path / "d")
    assert log["spectrum/step"].tolist() == [0, 1, 2, 3] and set(statuses(tmp_path / "d", "status")) == {"not_finite"}
    assert set(statuses(tmp_path / "d", "update_status")) == {"not_finite"}
    assert all(math.isnan(x.real) for x in log["spectrum/eigenvalues"].flatten())


def test_an_eigen_solve_that_fails_is_a_status_and_the_run_goes_on(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(A: Tensor) -> Any:
        raise torch.linalg.LinAlgError("linalg.eig: The algorithm failed to converge")

    for solve in ("eig", "eigh"):
        monkeypatch.setattr(torch.linalg, solve, fails)
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd")
    for members in (None, 2):
        out = tmp_path / str(members)
        assert cp.run(game, solver, steps=2, spectrum_every=1, out=out, members=members).status == "max_steps"
        log = cp.open_log(out)
        for name in ("status", "update_status", "symmetric_status"):
            assert {SPECTRUM_STATUS[k] for k in log[f"spectrum/{name}"].flatten()} == {"not_converged"}
        assert all(math.isnan(x.real) for x in log["spectrum/eigenvalues"].flatten())
        assert log["step/step"].tolist() == [0, 1, 2]


def test_of_several_eigen_solves_only_the_failed_one_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = torch.linalg.eig

    def fails(A: Tensor) -> Any:
        if (A == 3).any():
            raise torch.linalg.LinAlgError("linalg.eig: The algorithm failed to converge")
        return solve(A)

    monkeypatch.setattr(torch.linalg, "eig", fails)
    above = torch.tensor([[0.0, 0.5], [0.0, 0.0]])
    found = dense_spectrum(above + torch.diag_embed(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, math.nan]])))
    said = [["converged"] * 2, ["not_converged"] * 2, ["not_finite"] * 2]
    assert [[SPECTRUM_STATUS[k] for k in row] for row in found.status] == said
    assert found.eigenvalues[0].real.tolist() == [2, 1] and found.eigenvalues[1].real.isnan().all()
