"""Runs on a second device, which refuses to mix tensors with the CPU's and notes when the host waits for it.

A real GPU behaves in the same way, so these tests find on any machine what would fail or be slow there.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import leaves
from counterplay.core.registry import registry

from ..support.sham import Sham, on_sham

SOLVERS = sorted(entry.name for entry in registry.entries("solver"))
GRADIENT = {"rule": {"name": "adam"}, "clip_norm": 1.0, "clip_value": 1.0, "schedule": "cosine"}
MONITOR, KRYLOV, NEWTON = "core/loop/monitor.py", "core/solver/krylov.py", "core/tracing/loops.py"


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch):
    with on_sham(monkeypatch) as noted:
        yield noted


def played(game, solver, steps=3, **settings):
    settings = {"steps": steps, "trace": False, "compile": False, "dtype": "float64", **settings}
    return cp.run(game, solver, **settings)


def agree(found, expected):
    assert all(isinstance(x, Sham) for x in leaves(found.params))
    for x, y in zip(leaves(found.params), leaves(expected.params), strict=True):
        torch.testing.assert_close(x.cpu(), y, rtol=1e-9, atol=1e-12)


def require_few_waits(notes, game, solver, **settings):
    """Play, and check that in each step the host waits once, and once more for each iteration of an inner solve."""
    counts: list[tuple[int, Any]] = []
    result = played(
        game, solver, device="sham:0", observers=[lambda seen: counts.append((len(notes.waits), seen.info.inner))],
        **settings,
    )  # fmt: skip
    for (before, _), (after, inner) in pairwise(counts[:-1]):
        iterations = int(inner["iterations"].numbers.max()) if inner else 0
        files = [wait.rpartition(" at ")[2].rpartition(":")[0] for wait in notes.waits[before:after]]
        newton = sum(x.endswith(NEWTON) for x in files)
        assert files.count(MONITOR) == 1 and files.count(KRYLOV) <= iterations + 2 * max(1, newton), notes.waits[
            before:
        ]
        assert len(files) == 1 + files.count(KRYLOV) + newton, notes.waits[before:after]
    return result


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_plays_and_waits_once_a_step(notes: Any, name: str) -> None:
    game, solver = cp.make("game", "quadratic"), cp.make("solver", name)
    agree(require_few_waits(notes, game, solver), played(game, solver))


ITERATIVE = {"acgd": {"method": "cg"}, "cgd": {"method": "gmres"}, "implicit-euler": {"method": "gmres"}}
ITERATIVE |= {"stackelberg": {"method": "gmres"}, "follow-the-ridge": {"method": "gmres"}}


@pytest.mark.parametrize("name", ITERATIVE)
def test_inner_solves_wait_once_an_iteration(notes: Any, name: str) -> None:
    singular = name in ("stackelberg", "follow-the-ridge")  # in a bilinear game they have nothing to solve
    game = cp.make("game", "quadratic") if singular else cp.make("game", "bilinear", dimension=6)
    solver = cp.make("solver", name, **ITERATIVE[name])
    agree(require_few_waits(notes, game, solver), played(game, solver))


@pytest.mark.parametrize("rule", ["sgd", "momentum", "rmsprop", "tf-rmsprop", "adam", "adamw"])
def test_step_rules_schedules_and_clipping_are_launched_once_for_all_tensors(notes: Any, rule: str) -> None:
    game = cp.make("game", "digits", hidden=4, batch=4, latent=3)
    solver = cp.make("solver", "conopt", **GRADIENT | {"rule": {"name": rule}})
    agree(require_few_waits(notes, game, solver), played(game, solver))


def launches(notes, layers):
    """The operations of one step of conopt with Adam, without those that evaluate the game."""
    game = cp.make("game", "mixture", hidden=2, layers=layers, batch=2, latent=2)
    counts: list[int] = []
    solver: Any = cp.make("solver", "simgd", **GRADIENT)
    memory: Any = None

    def watch(seen):
        nonlocal memory
        memory = seen
        counts.append(notes.operations)

    played(game, solver, steps=1, device="sham:0", observers=[watch])
    with torch.no_grad():
        before = notes.operations
        d = solver._clipped(memory.info.gradient, False)
        for i, tree in memory.params.items():
            solver.rule.step(d[i], memory.memory["rule"][i], tree)
    return notes.operations - before


def test_launches_of_a_rule_do_not_grow_with_the_number_of_tensors(notes: Any) -> None:
    per_layer = launches(notes, 5) - launches(notes, 4)
    assert per_layer <= 2 * 4 * 9  # views of one result, which launch nothing; without this 20 operations a tensor


@pytest.mark.parametrize("members", [None, 2])
def test_a_gan_plays_records_and_resumes(notes: Any, tmp_path: Path, members: int | None) -> None:
    game = cp.make("game", "mixture", hidden=2, layers=1, batch=4, latent=1)
    solver = cp.make("solver", "simgd", lr=[0.01, 0.02] if members else 0.01)
    calls = iter(range(100))
    settings: dict[str, Any] = {
        "steps": 4,
        "spectrum_every": 4,
        "sample_every": 2,
        "members": members,
        "dtype": "float64",
    }
    settings |= {
        "members": members,
        "dtype": "float64",
        "regularizers": [cp.make("regularizer", "r1")],
        "trace": False,
        "compile": False,
    }
    part = cp.run(game, solver, device="sham:0", out=tmp_path / "sham", stop=lambda: next(calls) == 2, **settings)
    assert part.status == "interrupted"
    agree(again := cp.resume(tmp_path / "sham"), cp.run(game, solver, out=tmp_path / "cpu", **settings))
    assert again.status == "max_steps"
    found, expected = (cp.open_log(tmp_path / d) for d in ("sham", "cpu"))
    for name in ("step/losses", "spectrum/eigenvalues", "metrics/good_samples"):
        torch.testing.assert_close(*(torch.as_tensor(x[name][:]) for x in (found, expected)), rtol=1e-6, atol=1e-9)


# Their payoffs or coefficients are on the CPU and are copied where they are used: on toys no one needs a GPU.
COPIED = {"iterated-prisoners-dilemma", "matching-pennies", "random-polynomial"}


@pytest.mark.parametrize("game", sorted(entry.name for entry in registry.entries("game")))
def test_every_game_plays_there(notes: Any, game: str) -> None:
    small = {"mixture": {"hidden": 3, "layers": 1, "batch": 4}, "digits": {"hidden": 3, "batch": 4}}
    small |= {"images": {"batch": 4, "flip": True, "conditional": True}, "several-gans": {"batch": 4}}
    options = small.get(game) or getattr(registry.find("game", game).factory, "small_options", {})
    made, solver = cp.make("game", game, **options), cp.make("solver", "simgd", lr=1e-3)
    found = played(made, solver, device="sham:0") if game in COPIED else require_few_waits(notes, made, solver)
    agree(found, played(made, solver))


REGULARIZERS = sorted(entry.name for entry in registry.entries("regularizer"))


@pytest.mark.parametrize("name", REGULARIZERS)
def test_every_regularizer_plays_there(notes: Any, name: str) -> None:
    game = cp.make("game", "mixture", hidden=3, layers=1, batch=4, latent=2)
    one = {"regularizers": [cp.make("regularizer", name)]}
    solver = cp.make("solver", "simgd", lr=1e-3)
    agree(require_few_waits(notes, game, solver, **one), played(game, solver, **one))


def test_a_seed_gives_the_same_numbers_there(notes: Any) -> None:
    game, solver = cp.make("game", "images", batch=4, flip=True), cp.make("solver", "simgd")
    regularizers = [cp.make("regularizer", "gradient-penalty"), cp.make("regularizer", "instance-noise")]
    drawn: dict[str, list[Any]] = {"cpu": [], "sham:0": []}
    for device, seen in drawn.items():
        watch = lambda x, seen=seen: seen.append((x.batch, x.params))  # noqa: E731
        played(game, solver, device=device, steps=3, seed=7, regularizers=regularizers, observers=[watch], members=None)
    for (batch, _), (same, _) in zip(*drawn.values(), strict=True):
        assert batch.keys() == same.keys() and {"real", "noise"} <= batch.keys()
        for k, x in batch.items():
            if isinstance(x, torch.Tensor):
                assert isinstance(same[k], Sham) and torch.equal(x, same[k].numbers), k
    start, same = drawn["cpu"][0][1], drawn["sham:0"][0][1]
    assert all(torch.equal(x, y.cpu()) for x, y in zip(leaves(start), leaves(same), strict=True))
