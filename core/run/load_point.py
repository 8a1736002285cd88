"""Recalls a point of a recorded run: makes its game and solver again, and reads its parameters and memory.

A run directory may come from a stranger, so its names can only mean built-ins, installed plugins if it was played with
one, and plugins from files that the user has named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..derivatives.evaluator import Evaluator
from ..derivatives.fixed_batch import refresh_until_converged
from ..errors import BadLog, UsageError
from ..game.game import Game
from ..game.regularizer import Regularizer
from ..game.tree import Buffers, Params, names, unravel
from ..log.blocks import Pieces, column, pieces_of
from ..log.sandbox import Sandbox
from ..registry import registry
from ..registry.build import Unmade, rebuild
from ..solver.solver import Solver
from ..solver.state import State
from ..spectra.at_point import Point, eigenvalues_shown, point_report
from ..storage.checkpoint_files import load_checkpoint, newest
from ..storage.json_fields import Recorded
from ..storage.run_directory import RunDirectory
from .checkpoint import require_members
from .engine import initial_state
from .settings import Settings
from .torch_switches import precision

_INSTEAD = ": hand it back, counterplay.spectrum(directory, game=...), or solver=..., regularizers=[...]."


def is_run(path: str) -> bool:
    """Whether ``path`` is a run directory."""
    return (Path(path) / "run.json").is_file()


def spectrum(
    directory: str | Path,
    *,
    step: int | None = None,
    k: int | None = None,
    products: int | None = None,
    member: int | None = None,
    device: str = "cpu",
    game: Game | None = None,
    solver: Solver | None = None,
    regularizers: Sequence[Regularizer] | None = None,
) -> dict[str, Any]:
    """Spectra and verdict at a point of the run in ``directory``: the facts of ``counterplay spectrum RUN --json``.

    Eigenvalues are complex arrays, of which JSON has the parts {"re": …, "im": …}.

    step                         its step; by default that of the newest checkpoint
    k                            how many eigenvalues of each spectrum, by default 20, or half as many as products; up
                                 to 20 cost the same
    products                     the most products for each spectrum of a large game, by default 100, or 5 k. With fewer
                                 it takes less time, and less converges
    member                       of an ensemble, which member; by default the first
    device                       where it is computed
    game, solver, regularizers   those that were made in Python

    Raises UsageError for a step that is neither in a checkpoint nor in the log, or for a game that cannot be made again
    and is not handed back, or too few products; BadLog for damaged files. Large games take hundreds of products with J.
    """
    shown = eigenvalues_shown(k, products, default=20)
    given = game, solver, None if regularizers is None else list(regularizers)
    point = load_point(directory, step, device, _INSTEAD, given)
    member = (member or 0) if point.game.members is not None else member
    if member is not None and not 0 <= member < (point.game.members or 0):
        raise UsageError(f"member {member}: {directory} has {point.game.members or 'no'} members.")
    with precision(tf32=False):
        return point_report(point, shown, member, products)


def load_point(
    directory: str | Path, step: int | None = None, device: str = "cpu", instead: str = "",
    given: tuple[Any, Any, Any] = (None, None, None),
) -> Point:  # fmt: skip
    """The point of a run before step ``step``, by default that of the newest checkpoint.

    ``instead`` says what to do where its game was made in Python; ``given`` are its game, solver and regularizers, or
    None for those that run.json names.

    A checkpoint has parameters and memory. Without one, the parameters are read from the log, which has them for small
    games only. Raises UsageError if neither has this step, or if the game cannot be made again; BadLog if the files do
    not fit the game.
    """
    files = RunDirectory(directory)
    facts = files.run(Recorded)
    if not facts:
        raise UsageError(f"{directory} is not the directory of a run: it has no run.json.")
    experiment, checks = facts["experiment"], facts.get("checks", {})
    game, solver, regularizers = recorded_objects(files.path, experiment, *given, instead)
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
            tensors.pop("log", None)  # rows that were not yet written to the log
            with files.reading():
                state = start.restored(tensors, numbers)
            buffers = evaluator.refresh(state.params, state.buffers)
            point = (state.params, state.memory, state.step, "checkpoint")
            return Point(evaluator, solver, *point, experiment, buffers, checks)
        params = _logged_params(files.path, int(step or 0), start, evaluator)
        buffers = evaluator.refresh(params, start.buffers)
        if not bool(refresh_until_converged(evaluator, params, buffers)[1].all()):
            raise UsageError(
                f"{path} has no checkpoint of step {step}, and its log does not hold the buffers that this game had "
                "there: record some checkpoints, --checkpoint-every N."
            )
        return Point(evaluator, solver, params, None, step, "parameters in the log", experiment, buffers, checks)


def buffers_from(start: str | None, first: Buffers) -> Buffers:
    """The buffers of the newest checkpoint of the run ``start``; ``first`` if it is no run, or one of another game."""
    if start is None or not first or not is_run(start):
        return first
    saved = load_checkpoint(newest(Path(start)))[0].get("buffers", {})
    tensors = {k: x for k, x in first.items() if isinstance(x, torch.Tensor)}
    if any(k not in saved or saved[k].shape != x.shape for k, x in tensors.items()):
        return first  # another game, or other regularizers
    return {**first, **{k: saved[k].to(x) for k, x in tensors.items()}}


def plugins_of(experiment: Mapping[str, Any]) -> AbstractContextManager[None]:
    """A context in which names mean what a run was played with.

    Installed plugins are imported only if something in it came from one: neither from counterplay nor from a file.
    """
    sources = [str(origin.get("source")) for origin in experiment.get("origins") or ()]
    installed = any(source != registry.BUILT_IN and not source.startswith("file ") for source in sources)
    return nullcontext() if installed else registry.REGISTRY.without_third_parties()


def recorded_objects(
    path: Path, experiment: Mapping[str, Any], game: Any = None, solver: Any = None, regularizers: Any = None,
    instead: str = "",
) -> tuple[Any, Any, list[Any]]:  # fmt: skip
    """The game, the solver and the regularizers that run.json names, except those that are given. Raises UsageError.

    ``instead`` says what to do where one was made in Python.
    """
    origins = experiment.get("origins")
    try:
        if origins is None and game is None:  # written by an old version, which did not record names
            raise Unmade("the game of this run was put together in Python", "game", False)
        with plugins_of(experiment):
            return rebuild(experiment, game, solver, regularizers)
    except Unmade as error:
        from_plugins = [o for o in origins or () if o["source"] != registry.BUILT_IN]
        sources = "; ".join(f"its {o['kind']} {o['name']} came from {o['source']}" for o in from_plugins)
        missing = "install it, or name its file, --plugin FILE.py."
        hint = f" {sources[0].upper()}{sources[1:]}: {missing}" if sources else ""
        by_hand = instead or (
            f". Hand it back in Python, counterplay.spectrum({str(path)!r}, game=...), or name one: "
            f"counterplay spectrum GAME --solver NAME --start {path}."
        )
        raise UsageError(f"{path}: {error}{hint if error.named else by_hand}") from error


def _logged_params(path: Path, step: int, start: State, game: Evaluator) -> Params:
    """The parameters before ``step`` from the log, with the structure of ``start``. Raises UsageError, BadLog."""
    files = Sandbox()  # the log may come from a stranger
    pieces = pieces_of(path, files)
    has_parameters = any("step/parameters" in piece.variables for _, piece in pieces)
    count = sum(piece.length("step") for _, piece in pieces)
    steps = column(pieces, "step/step", 0, count, files) if has_parameters else np.zeros(0, dtype=np.int64)
    rows = np.flatnonzero(steps == step)
    row = _parameters(pieces, files, int(rows[-1])) if len(rows) else None
    if row is None or not np.isfinite(row).all():
        raise UsageError(f"{path} has no step {step}: {_nearest(path, step, steps)}")
    known = names(start.params, game.members is not None)
    labels = next((piece.labels.get("parameter") for _, piece in pieces if "parameter" in piece.labels), None)
    if labels != tuple(known) or row.shape != ((game.members, len(known)) if game.members else (len(known),)):
        raise BadLog(f"The parameters in the log of {path} are not those of the game in its run.json.")
    dtype = next(iter(next(iter(start.params.values())).values())).dtype
    return unravel(torch.from_numpy(np.ascontiguousarray(row)).to(dtype), start.params)


def _parameters(pieces: Pieces, files: Sandbox, row: int) -> np.ndarray:
    """The parameters in one row of the log: (N,), or (M, N) for an ensemble."""
    return column(pieces, "step/parameters", row, row + 1, files)[0]


def _nearest(path: Path, step: int, steps: np.ndarray) -> str:
    """Which steps near ``step`` a run has, in words: from its checkpoints and from ``steps``, those in its log."""
    saved = [int(p.name[5:]) for p in (path / "checkpoints").glob("step-*") if p.name[5:].isdecimal()]
    known = sorted({*saved, *steps.tolist()})
    near = sorted(sorted(known, key=lambda s: abs(s - step))[:2])
    if not known:
        return "it has no checkpoint, and its log no parameters."
    return f"the nearest are {' and '.join(map(str, near))}." if len(near) > 1 else f"it has {near[0]} only."
