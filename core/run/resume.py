"""Going on with a run from its newest good checkpoint, so that in the end it is the run that was never interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from ..derivatives.evaluator import Evaluator
from ..errors import BadLog, PluginError, UsageError
from ..game.game import Game
from ..game.regularizer import Regularizer
from ..log.schema import ENDED
from ..log.segments import missing
from ..loop.loop import Progress
from ..loop.observers import Observer
from ..provenance.differences import differences
from ..provenance.environment import run_facts, versions
from ..registry.build import Unmade, other_code, rebuild
from ..solver.solver import Solver
from ..solver.state import State
from ..storage.json_fields import FullStatus, Resumable
from ..storage.lock import acquire
from ..storage.run_directory import RunDirectory
from .checkpoint import has_checkpoint, load_checkpoint, newest, require_members, saved_params
from .engine import Result, chunked, condition, initial_state, play
from .journal import Journal
from .next_step import INEXACT_DATA, changed_since, require_seeded
from .settings import Settings


def resume(
    directory: str | Path,
    *,
    game: Game | None = None,
    solver: Solver | None = None,
    regularizers: Sequence[Regularizer] | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    allow_inexact: bool = False,
) -> Result:
    """Go on with the run in ``directory``; in the end it is the uninterrupted run, on the CPU bit for bit.

    What was made by name is made again from run.json; what was put together in Python is handed back as ``game``,
    ``solver``, ``regularizers``, and compared with run.json: its class, options and code. A run that has ended is
    returned as it ended. Raises UsageError where something else is handed back, or torch, the device, the threads or
    a plugin's code have changed: with ``allow_inexact`` the run goes on and its log says so.
    Raises Busy where another process has the directory.
    """
    files = RunDirectory(directory)
    facts = files.run(Resumable)
    if not facts:
        raise UsageError(f"{directory} is not the directory of a run; give the --out of a run that was started.")
    status, named = files.status(), facts["experiment"]
    with files.reading():
        differs = differences(named, game, solver, regularizers, has_checkpoint(files.path))
    if differs and not allow_inexact:
        raise UsageError(
            f"{directory} was begun with something else: {'; '.join(differs)}. Hand back what it was begun with, "
            "or nothing for what was made by name; allow_inexact=True goes on with this, and marks the log."
        )
    if status.get("state") in ENDED:  # for good: nobody else can be at it
        return _ended(files)
    lock = acquire(files.path)
    try:
        with files.reading():
            settings = Settings.read(facts["settings"])
        _present(directory, settings.device)
        saved = None if _killed_at_once(files, facts) else load_checkpoint(newest(files.path))
        if saved is not None:
            require_members(newest(files.path), saved[0], settings.members)
        by_name = all(x is None for x in (game, solver, regularizers))  # then what fails is not the caller's
        game, solver, regularizers = _made(named, game, solver, regularizers)
        with torch.no_grad():
            with files.reading() if by_name else nullcontext():
                evaluator = settings.checked().evaluator(game, regularizers)
                start = initial_state(evaluator, solver, settings)
            with files.reading():
                changed = differs + _changed(facts, evaluator, start.params)
                met = condition(settings.until, evaluator)
            chunks, why = (
                chunked(evaluator, solver, start, settings) if settings.compile_from is not None else (None, "")
            )
            changed += [f"steps were compiled ({why})"] if why else []
            tensors, numbers = (start.tensors(), start.numbers()) if saved is None else saved
            pending = tensors.pop("log", {})
            with files.reading():
                state = start.restored(tensors, numbers)
                if state.step > settings.steps:
                    raise ValueError(f"a checkpoint of step {state.step} of {settings.steps}")
                inexact = list(numbers.get("inexact", []))
                lost = missing(files.path, numbers.get("blocks", 0))
                changed += [f"block {lost:06d} of its log has gone"] if lost else []
                changed += _otherwise(evaluator, state, settings, numbers)
                if (stale := status.get("stale_since")) is not None and state.step > stale:
                    changed += [f"what it computed from step {stale} on cannot be trusted"]
            if changed and not allow_inexact:
                raise UsageError(
                    f"{directory} cannot go on exactly: {'; '.join(changed)}. "
                    "--allow-inexact goes on and marks the log."
                )
            inexact += [{"step": state.step, "changed": changed}] if changed else []
            with files.reading():
                journal = Journal.reopen(files, lock, evaluator, solver, state, settings, numbers, pending, inexact)
            return play(evaluator, solver, state, settings.steps, met, journal, observers, progress, stop, chunks)
    finally:
        lock.close()


def _killed_at_once(files: RunDirectory, facts: Mapping[str, Any]) -> bool:
    """Whether the run had not even saved its first state, which can be made again."""
    return not has_checkpoint(files.path) and not facts.get("start_given", True)


def _otherwise(evaluator: Evaluator, state: State, settings: Settings, noted: Mapping[str, Any]) -> list[str]:
    """How it would go on otherwise than it was to, in words. A run may not have noted its next batch."""
    if settings.inexact_data:
        return []
    if "batch_sha256" not in noted:
        try:
            require_seeded(evaluator, state)
        except PluginError:
            return [INEXACT_DATA]
    return changed_since(evaluator, state, noted)


def _present(directory: str | Path, device: str | None) -> None:
    """Raise BadLog for what is no device, UsageError for one that is not here."""
    try:
        wanted = torch.device(device or "cpu")
    except RuntimeError:
        expected = "expected a device, as cpu or cuda:0"
        raise BadLog(f"{directory}/run.json: settings.device is {device!r}, {expected}.") from None
    try:
        torch.zeros(1, device=wanted).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        found = f"torch {torch.__version__} finds none here"
        raise UsageError(f"{directory} was played on {wanted}, and {found}: go on where there is one.") from error


def _ended(files: RunDirectory) -> Result:
    status, path = files.status(FullStatus), newest(files.path)
    tensors, numbers = load_checkpoint(path)
    if numbers.get("step", status["step"]) != status["step"]:
        raise BadLog(
            f"{files.path} ended at step {status['step']}, and its newest whole checkpoint is {path.name}; "
            "counterplay.load_params gives the parameters of that one."
        )
    return Result(
        saved_params(path), tensors.get("memory", {}), status["state"], status["step"], files.path,
        status.get("reason", ""), tuple(status.get("diverged_members", ())),
    )  # fmt: skip


def _made(
    experiment: Mapping[str, Any], game: Game | None, solver: Solver | None, regularizers: Sequence[Regularizer] | None
) -> tuple[Game, Solver, Sequence[Regularizer]]:
    """The game, the solver and the regularisers: those handed in, else made by the names in run.json."""

    try:
        return rebuild(experiment, game, solver, regularizers)
    except Unmade as error:
        if not error.named:
            back = "regularizers=[...]" if error.kind == "regularizer" else f"{error.kind}=..."
            raise UsageError(
                f"{error}: hand it back, counterplay.resume(directory, {back}). What was made by name need not be."
            ) from error
        files = " ".join(f"--plugin {path}" for path in experiment.get("plugins", []))
        raise UsageError(
            f"{error} "
            + (f"It was played with {files}: give that again, if you trust it. " if files else "")
            + f"If it was put together in Python, hand it back: resume(directory, {error.kind}=...)."
        ) from error


def _changed(facts: Mapping[str, Any], evaluator: Evaluator, params: Any) -> list[str]:
    """What is not as it was, in words."""
    now = run_facts(evaluator, params)
    out = [
        f"torch was {facts['versions'][name]} and is {found}"
        for name, found in versions().items()
        if name == "torch" and facts["versions"].get(name) != found
    ]
    out += [
        f"{name} was {facts[name]} and is {now[name]}" for name in ("device", "threads") if facts[name] != now[name]
    ]
    return out + other_code(facts["experiment"])
