"""Runs that are stopped, killed and resumed: in the end they are the run that was never interrupted."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import counterplay as cp
from counterplay.core.errors import BadLog, Busy, UsageError
from counterplay.core.log.writer import LogWriter
from counterplay.core.registry.registry import REGISTRY
from counterplay.core.run import run_writer
from counterplay.core.run.checkpoint import save_checkpoint
from counterplay.core.run.flat_tensors import empty_paths, flatten
from counterplay.core.storage.checkpoint_files import load_checkpoint, newest
from counterplay.core.storage.lock import acquire, held
from counterplay.core.storage.run_directory import RunDirectory

from ..support.cases import identical

STEPS = 12


class Killed(BaseException):
    """What no run expects, at a step of our choosing: nothing is cleaned up by the run itself."""


def kill_at(step: int) -> Any:
    def observer(seen: Any) -> None:
        if seen.step == step:
            raise Killed

    return observer


def log_of(directory: Path) -> dict[str, np.ndarray]:
    """Everything in a log but what the clock decides."""
    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.endswith("_seconds"):
            found[name] = item[()]

    with h5py.File(directory / "log.h5") as file:
        file.visititems(visit)
    return found


def assert_same_log(a: Path, b: Path) -> None:
    one, two = log_of(a), log_of(b)
    assert one.keys() == two.keys()
    for name, x in one.items():
        assert x.dtype == two[name].dtype and x.shape == two[name].shape, name
        assert x.tobytes() == two[name].tobytes() if x.dtype != object else (x == two[name]).all(), name


def assert_same_state(a: Any, b: Any) -> None:
    x, y = tree_leaves((a.params, a.memory)), tree_leaves((b.params, b.memory))
    assert len(x) == len(y) and all(torch.equal(p, q) for p, q in zip(x, y, strict=True))
    assert (a.status, a.steps, a.message, a.diverged) == (b.status, b.steps, b.message, b.diverged)


def parts(game: str, solver: str, **options: Any) -> tuple[cp.Game, cp.Solver]:
    small = {"digits": {"hidden": 8, "batch": 8}, "mixture": {"hidden": 6, "layers": 1, "batch": 8}}
    return cp.make("game", game, **small.get(game, {})), cp.make("solver", solver, **options)


def interrupted(directory: Path, game: cp.Game, solver: cp.Solver, kills: tuple[int, ...], **run: Any) -> Any:
    """A run killed when it looks at each of ``kills`` in turn, resumed in between and to the end."""
    with pytest.raises(Killed):
        cp.run(game, solver, out=directory, observers=[kill_at(kills[0])], **run)
    for step in kills[1:]:
        with pytest.raises(Killed):
            cp.resume(
                directory, game=game, solver=solver, regularizers=run.get("regularizers", ()), observers=[kill_at(step)]
            )
    return cp.resume(directory, game=game, solver=solver, regularizers=run.get("regularizers", ()))


def check(tmp_path: Path, game: cp.Game, solver: cp.Solver, kills: tuple[int, ...], **run: Any) -> None:
    whole = cp.run(game, solver, out=tmp_path / "whole", **run)
    again = interrupted(tmp_path / "again", game, solver, kills, **run)
    assert_same_state(whole, again)
    assert_same_log(tmp_path / "whole", tmp_path / "again")


QUICK = (
    "simgd",
    "altgd",
    "ogda",
    "acgd",
    "lookahead-minmax",
    "best-response",
)  # the others differ in no part of a state


@pytest.mark.parametrize(
    "solver",
    [pytest.param(s, marks=() if s in QUICK else pytest.mark.slow) for s in sorted(REGISTRY.built_in("solver"))],
)
def test_every_solver_resumes_bit_for_bit(solver: str, tmp_path: Path) -> None:
    check(tmp_path, *parts("quadratic", solver), (7,), steps=STEPS, checkpoint_every=3, spectrum_every=5)


@pytest.mark.slow
@pytest.mark.parametrize("solver", sorted(REGISTRY.built_in("solver")))
@pytest.mark.parametrize("game", sorted(REGISTRY.built_in("game")))
def test_every_game_with_every_solver_resumes_bit_for_bit(game: str, solver: str, tmp_path: Path) -> None:
    """Or is refused in words, or has no finite step (its inner problem is singular there): both times alike."""
    made = parts(game, solver)
    try:
        steps = cp.run(*made, steps=8).steps
    except UsageError as refused:
        with pytest.raises(UsageError, match=re.escape(str(refused))):
            cp.run(*made, steps=8, out=tmp_path / "refused")
        return
    if steps == 0:
        result = cp.run(*made, steps=8, out=tmp_path / "singular")
        assert (result.status, result.steps) == ("diverged", 0)
        return
    spectra = 0 if game in ("digits", "mixture") else 4  # of a network F' takes an inner solve for each product
    check(tmp_path, *made, (min(5, steps - 1),), steps=8, checkpoint_every=3, spectrum_every=spectra)


@pytest.mark.parametrize("game", ["dirac-gan", "affine-gaussian", "mixture", "digits"])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_every_kind_of_game_resumes_bit_for_bit(game: str, rule: str, tmp_path: Path) -> None:
    check(tmp_path, *parts(game, "simgd", rule=rule), (7,), steps=STEPS, checkpoint_every=3)


@pytest.mark.parametrize("step", [0, 1, 2, 3, 11, 12])
def test_wherever_it_is_killed(step: int, tmp_path: Path) -> None:
    check(tmp_path, *parts("affine-gaussian", "simgd", rule="adam"), (step,), steps=STEPS, checkpoint_every=3)


def test_many_times_over(tmp_path: Path) -> None:
    check(tmp_path, *parts("affine-gaussian", "ogda"), (2, 3, 3, 5, 8, 8, 11, 12), steps=STEPS, checkpoint_every=1)


def test_buffers_and_regularizers(tmp_path: Path) -> None:
    game, solver = parts("mixture", "simgd")
    regularizers = [cp.make("regularizer", "spectral-norm"), cp.make("regularizer", "gradient-penalty")]
    check(tmp_path, game, solver, (5, 9), steps=STEPS, checkpoint_every=2, regularizers=regularizers)


def test_an_ensemble_with_members_that_diverge(tmp_path: Path) -> None:
    game, solver = parts("quadratic", "simgd", lr={"x": [0.09, 0.5, 0.01], "y": [0.01, 0.5, 0.09]})
    check(tmp_path, game, solver, (30, 70), steps=90, members=3, checkpoint_every=20, blowup=1e6)


@pytest.mark.parametrize("until", ["gradient_norm<1e-3", "gradient_norm<1e-300"])
def test_convergence_is_found_again(until: str, tmp_path: Path) -> None:
    game, solver = parts("quadratic", "simgd", lr={"x": 0.09, "y": 0.01})
    check(tmp_path, game, solver, (50,), steps=230, until=until, checkpoint_every=40)


def test_divergence_is_found_again(tmp_path: Path) -> None:
    game, solver = parts("quadratic", "simgd", lr={"x": 0.01, "y": 0.09})
    check(tmp_path, game, solver, (60,), steps=400, blowup=1e9, checkpoint_every=25)


def test_a_log_that_was_whole_before_the_ending_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    game, solver = parts("affine-gaussian", "simgd")
    whole = cp.run(game, solver, steps=STEPS, out=tmp_path / "whole")
    write = RunDirectory.write_status

    def dies(self: Any, state: str, *args: Any, **facts: Any) -> None:
        if state == "max_steps":
            raise Killed
        write(self, state, *args, **facts)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunDirectory, "write_status", dies)
        cp.run(game, solver, steps=STEPS, out=tmp_path / "again")
    assert_same_state(whole, cp.resume(tmp_path / "again", game=game, solver=solver))
    assert_same_log(tmp_path / "whole", tmp_path / "again")


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    game, solver = parts("affine-gaussian", "simgd")
    whole = cp.run(game, solver, steps=STEPS, out=tmp_path / "whole", checkpoint_every=3)
    with pytest.raises(Killed):
        cp.run(game, solver, steps=STEPS, out=tmp_path / "again", checkpoint_every=3, observers=[kill_at(8)])
    newest_file = newest(tmp_path / "again") / "tensors.safetensors"
    data = bytearray(newest_file.read_bytes())
    data[-1] ^= 1
    newest_file.write_bytes(data)
    assert_same_state(whole, cp.resume(tmp_path / "again", game=game, solver=solver))
    assert_same_log(tmp_path / "whole", tmp_path / "again")
    assert list((tmp_path / "again" / "aside").iterdir()), "rows after the checkpoint are set aside, not lost"


PARTS = ["params", "memory", "rngs", "alive", "bound", "cost", "buffers", "step", "log", "blocks"]


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_the_checkpoint_is_needed(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spoil one part of what is saved: the resumed run must be refused, or differ."""
    game, solver = parts("mixture", "simgd", rule="adam", lr=0.01)
    norm = [cp.make("regularizer", "spectral-norm")]
    run: dict[str, Any] = {"steps": STEPS, "checkpoint_every": 5, "regularizers": norm, "members": 2}
    whole = cp.run(game, solver, out=tmp_path / "whole", **run)
    saved = set()
    often = 1 if part == "blocks" else 1 << 30  # rows are in blocks, or in the checkpoint
    monkeypatch.setattr(run_writer, "LogWriter", functools.partial(LogWriter, seal_bytes=often))

    def spoil(directory: Path, step: int, tensors: dict[str, Any], numbers: dict[str, Any], **how: Any) -> Path:
        tensors, numbers = dict(tensors), dict(numbers)
        if part in tensors:
            x = tensors[part]
            tensors[part] = {} if isinstance(x, dict) else torch.zeros_like(x)
        elif part in numbers:
            numbers[part] = [0, 0, 0] if part == "cost" else 0
        saved.update([*tensors, *numbers])
        return save_checkpoint(directory, step, tensors, numbers, **how)

    monkeypatch.setattr(run_writer, "save_checkpoint", spoil)
    with pytest.raises(Killed):
        cp.run(game, solver, out=tmp_path / "again", observers=[kill_at(7)], **run)
    clocks = {"seconds", "solver_seconds", "measuring_seconds"}
    assert saved == {*PARTS, *clocks, "inexact", "batch_sha256", "losses"}, (
        "a part is saved that is not spoilt here, or below"
    )
    if part == "step":  # the name of the directory tells another: an older one is gone on with
        assert newest(tmp_path / "again").name == "step-0"
        return
    try:
        again = cp.resume(tmp_path / "again", game=game, solver=solver, regularizers=norm)
        assert_same_state(whole, again)
        assert_same_log(tmp_path / "whole", tmp_path / "again")
    except (BadLog, AssertionError, KeyError):
        return
    pytest.fail(f"a checkpoint without {part} made no difference")


def test_checkpoints_kept(tmp_path: Path) -> None:
    game, solver = parts("affine-gaussian", "simgd")
    cp.run(game, solver, steps=STEPS, out=tmp_path / "run", checkpoint_every=5)
    kept = sorted(int(p.name[5:]) for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == [0, 5, 10, 12]


def test_now_and_then_it_saves_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_writer, "AUTOSAVE_SECONDS", 0.0)
    game, solver = parts("affine-gaussian", "simgd")
    with pytest.raises(Killed):
        cp.run(game, solver, steps=STEPS, out=tmp_path / "run", observers=[kill_at(8)])
    kept = sorted(int(p.name[5:]) for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == [0, 7, 8]


def test_what_has_ended_is_left_alone(tmp_path: Path) -> None:
    game, solver = parts("affine-gaussian", "simgd")
    whole = cp.run(game, solver, steps=STEPS, out=tmp_path / "run")
    before = (tmp_path / "run" / "log.h5").read_bytes()
    again = cp.resume(tmp_path / "run", game=game, solver=solver)
    assert_same_state(whole, again)
    assert again.checks == whole.checks and again.checks["jacobian"]["status"] == "agrees"
    assert (tmp_path / "run" / "log.h5").read_bytes() == before


def test_changed_circumstances_are_refused_or_marked(tmp_path: Path) -> None:
    game, solver = parts("affine-gaussian", "simgd")
    with pytest.raises(Killed):
        cp.run(game, solver, steps=STEPS, out=tmp_path / "run", checkpoint_every=3, observers=[kill_at(8)])
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    facts["versions"]["torch"] = "1.0.0"
    facts["threads"] += 1
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match=r"torch was 1\.0\.0.*threads was"):
        cp.resume(tmp_path / "run", game=game, solver=solver)
    assert cp.resume(tmp_path / "run", game=game, solver=solver, allow_inexact=True).status == "max_steps"
    with h5py.File(tmp_path / "run" / "log.h5") as file:
        assert "torch was 1.0.0" in file.attrs["inexact"]


def test_another_game_or_solver_is_refused(tmp_path: Path) -> None:
    game, solver = parts("affine-gaussian", "simgd")
    with pytest.raises(Killed):
        cp.run(game, solver, steps=STEPS, out=tmp_path / "run", observers=[kill_at(8)])
    adam, quadratic = cp.make("solver", "simgd", rule="adam"), cp.make("game", "quadratic")
    with pytest.raises(UsageError, match="the solver's rule was sgd and is adam"):
        cp.resume(tmp_path / "run", game=game, solver=adam)
    with pytest.raises(UsageError, match="the game was affine-gaussian and is quadratic"):
        cp.resume(tmp_path / "run", game=quadratic, solver=solver)
    with pytest.raises(BadLog, match="does not fit"):
        cp.resume(tmp_path / "run", game=game, solver=adam, allow_inexact=True)
    with pytest.raises(BadLog, match="does not fit"):
        cp.resume(tmp_path / "run", game=quadratic, solver=solver, allow_inexact=True)
    with pytest.raises(UsageError, match="not the directory of a run"):
        cp.resume(tmp_path / "nowhere")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    game, solver = parts("affine-gaussian", "simgd")
    refused: list[str] = []

    def second(seen: Any) -> None:
        done = subprocess.run([*CLI, "resume", str(tmp_path / "run")], capture_output=True, text=True)
        assert done.returncode == 73
        refused.append(done.stderr)

    cp.run(game, solver, steps=1, out=tmp_path / "run", observers=[lambda seen: second(seen) if seen.last else None])
    assert f"process {os.getpid()}" in refused[0] and "Traceback" not in refused[0]
    assert not held(tmp_path / "run")
    with acquire(tmp_path / "run"):
        assert held(tmp_path / "run")
        with pytest.raises(Busy):
            acquire(tmp_path / "run")


CLI = [sys.executable, "-c", "import sys; from counterplay.core.cli.main import main; main(sys.argv[1:])"]


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_and_resume_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    """The command line, asked to stop in the middle: exit 75, then resumed, equal to the run left alone."""
    steps, directory = 2000, tmp_path / "run"
    run = [*CLI, "run", "affine-gaussian", "--solver", "simgd", "--every", "50", "--steps", str(steps)]
    with subprocess.Popen([*run, "--out", str(directory)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first tenth has been played
        process.send_signal(number)
        error = process.stderr.read()
    assert process.returncode == 75, error
    status = json.loads((directory / "status.json").read_text())
    assert status["state"] == "interrupted" and 0 < status["step"] < steps
    assert "counterplay resume" in error and "Traceback" not in error
    done = subprocess.run([*CLI, "resume", str(directory), "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    game, solver = parts("affine-gaussian", "simgd")
    whole = cp.run(game, solver, steps=steps, every=50, out=tmp_path / "whole")
    assert_same_log(tmp_path / "whole", directory)
    tensors, _ = load_checkpoint(newest(directory))
    pairs = zip(tree_leaves(whole.params), tree_leaves(tensors["params"]), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    again = subprocess.run([*CLI, "resume", str(directory)], capture_output=True, text=True)
    assert again.returncode == 0 and "has ended" in again.stdout


@pytest.mark.slow
def test_killed_outright_it_resumes(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    run = [*CLI, "run", "affine-gaussian", "--solver", "simgd", "--every", "50", "--steps", "3000", "--quiet"]
    with subprocess.Popen([*run, "--checkpoint-every", "300", "--out", str(directory)]) as process:
        deadline = time.monotonic() + 60
        while not (directory / "checkpoints" / "step-600").exists() and time.monotonic() < deadline:
            os.sched_yield()
        process.kill()
    assert cp.open_log(directory).status["state"] == "crashed"
    done = subprocess.run([*CLI, "resume", str(directory), "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cp.run(*parts("affine-gaussian", "simgd"), steps=3000, every=50, out=tmp_path / "whole")
    assert_same_log(tmp_path / "whole", directory)


def test_tensors_only() -> None:
    """A state has no place for anything a checkpoint could not hold."""
    game, solver = parts("mixture", "lookahead-minmax")
    memory = solver.init(game, game.init(torch.Generator()))
    assert all(isinstance(x, Tensor) for x in tree_leaves(memory))


def test_a_run_that_ended_has_the_memory_it_had(tmp_path):
    """Empty dictionaries too, for whoever goes on from there with ``memory``."""
    for name, options in (("simgd", {}), ("simgd", {"rule": "adam"}), ("lookahead-minmax", {})):
        solver, out = cp.make("solver", name, **options), tmp_path / f"{name}{len(options)}"
        ended = cp.run(cp.make("game", "quadratic"), solver, steps=3, out=out)
        again = cp.resume(out)
        assert identical(flatten(again.memory), flatten(ended.memory))
        assert sorted(empty_paths(again.memory)) == sorted(empty_paths(ended.memory))
        cp.run(cp.make("game", "quadratic"), solver, steps=1, start=again.params, memory=again.memory)
