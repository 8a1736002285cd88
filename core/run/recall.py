"""A point of a recorded run: its game and its solver made again, its parameters and memory read back.

A log causes no import. What its names mean is what is built in, or in files that the user named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..derivatives.evaluator import Evaluator
from ..derivatives.fixed_batch import bring_to_rest
from ..errors import BadLog, UsageError
from ..game.tree import Buffers, Params, names, unravel
from ..log.sandbox import Sandbox
from ..log.segments import Pieces, column, pieces_of
from ..registry import registry
from ..registry.build import Unmade, rebuild
from ..solver.state import State
from ..spectra.at_point import Point
from ..storage.json_fields import Recorded
from ..storage.run_directory import RunDirectory
from .checkpoint import load_checkpoint, newest, require_members
from .engine import initial_state
from .settings import Settings


def is_run(path: str) -> bool:
    """Whether ``path`` is a run directory."""
    return (Path(path) / "run.json").is_file()


def recall(directory: str | Path, step: int | None = None, device: str = "cpu") -> Point:
    """The point of a run before step ``step``, by default of the newest checkpoint.

    A checkpoint has parameters and memory, a row of the log parameters alone, and those of small games only. Raises
    UsageError where nothing was recorded, or the game cannot be made again; BadLog where the files do not fit it.
    """
    files = RunDirectory(directory)
    facts = files.run(Recorded)
    if not facts:
        raise UsageError(f"{directory} is not the directory of a run: it has no run.json.")
    experiment, checks = facts["experiment"], facts.get("checks", {})
    game, solver, regularizers = _made(files.path, experiment)
    with files.reading():
        settings = dataclasses.replace(Settings.read(facts["settings"]), device=device, trace_from=None)
    with torch.no_grad():
        path = files.path / "checkpoints" / f"step-{step}" if step is not None else newest(files.path)
        saved = load_checkpoint(path) if path.is_dir() else None
        if saved is not None:
            require_members(path, saved[0], settings.members)
        with files.reading():
            evaluator = settings.checked().evaluator(game, regularizers)
            start = initial_state(evaluator, solver, settings)
        if saved is not None:
            tensors, numbers = saved
            tensors.pop("log", None)  # rows of the log that were not sealed yet
            with files.reading():
                state = start.restored(tensors, numbers)
            buffers = evaluator.refresh(state.params, state.buffers)
            found = (state.params, state.memory, state.step, "checkpoint")
            return Point(evaluator, solver, *found, experiment, buffers, checks)
        params = _row(files.path, int(step or 0), start, evaluator)
        buffers = evaluator.refresh(params, start.buffers)
        if not bool(bring_to_rest(evaluator, params, buffers)[1].all()):
            raise UsageError(
                f"{path} has no checkpoint of step {step}, and its log does not hold the buffers that this game had "
                "there: record some checkpoints, --checkpoint-every N."
            )
        return Point(evaluator, solver, params, None, step, "parameters in the log", experiment, buffers, checks)


def buffers_from(start: str | None, first: Buffers) -> Buffers:
    """The buffers of the newest point of the run ``start``, or ``first`` where it is no run or has other ones."""
    if start is None or not first or not is_run(start):
        return first
    saved = load_checkpoint(newest(Path(start)))[0].get("buffers", {})
    own = {k: x for k, x in first.items() if isinstance(x, torch.Tensor)}
    if any(k not in saved or saved[k].shape != x.shape for k, x in own.items()):
        return first  # another game, or under other regularizers
    return {**first, **{k: saved[k].to(x) for k, x in own.items()}}


def _made(path: Path, experiment: Mapping[str, Any]) -> tuple[Any, Any, list[Any]]:
    """The game, the solver and the regularizers, by the names in run.json."""
    origins = experiment.get("origins")
    try:
        if origins is None:  # written by a version that noted no names
            raise Unmade("the game of this run was put together in Python", "game", False)
        with registry.REGISTRY.without_third_parties():
            return rebuild(experiment)
    except Unmade as error:
        foreign = [o for o in origins or () if o["source"] != registry.BUILT_IN]
        came = "; ".join(f"its {o['kind']} {o['name']} came from {o['source']}" for o in foreign)
        hint = f" {came[0].upper()}{came[1:]}: name the file, --plugin FILE.py." if came else ""
        by_hand = f". Name one: counterplay spectrum GAME --solver NAME --start {path}."
        raise UsageError(f"{path}: {error}{hint if error.named else by_hand}") from error


def _row(path: Path, step: int, start: State, game: Evaluator) -> Params:
    """The parameters that the log has for ``step``."""
    files = Sandbox()  # the log may be a stranger's
    pieces = pieces_of(path, files)
    held = any("step/parameters" in found.variables for _, found in pieces)
    count = sum(found.length("step") for _, found in pieces)
    steps = column(pieces, "step/step", 0, count, files) if held else np.zeros(0, dtype=np.int64)
    at = np.flatnonzero(steps == step)
    row = _at(pieces, files, int(at[-1])) if len(at) else None
    if row is None or not np.isfinite(row).all():
        raise UsageError(f"{path} has no step {step}: {_nearest(path, step, steps)}")
    wanted = names(start.params, game.members is not None)
    labels = next((found.labels.get("parameter") for _, found in pieces if "parameter" in found.labels), None)
    if labels != tuple(wanted) or row.shape != ((game.members, len(wanted)) if game.members else (len(wanted),)):
        raise BadLog(f"The parameters in the log of {path} are not those of the game in its run.json.")
    dtype = next(iter(next(iter(start.params.values())).values())).dtype
    return unravel(torch.from_numpy(np.ascontiguousarray(row)).to(dtype), start.params)


def _at(pieces: Pieces, files: Sandbox, row: int) -> np.ndarray:
    return column(pieces, "step/parameters", row, row + 1, files)[0]


def _nearest(path: Path, step: int, steps: np.ndarray) -> str:
    saved = [int(p.name[5:]) for p in (path / "checkpoints").glob("step-*") if p.name[5:].isdecimal()]
    known = sorted({*saved, *steps.tolist()})
    near = sorted(sorted(known, key=lambda s: abs(s - step))[:2])
    if not known:
        return "it has no checkpoint, and its log no parameters."
    return f"the nearest are {' and '.join(map(str, near))}." if len(near) > 1 else f"it has {near[0]} only."
