"""Resumes a run from its newest good checkpoint. The result is the same as that of a run that was not interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..derivatives.evaluator import Evaluator
from ..errors import BadLog, PluginError, UsageError, UserError
from ..game.game import Game, innermost
from ..game.regularizer import Regularizer
from ..game.tree import Buffers
from ..log.blocks import first_lost_block
from ..log.schema import ENDED
from ..loop.loop import Progress
from ..loop.observers import Observer
from ..loop.result import Result
from ..parallel.agreement import agreed_stopping
from ..parallel.launch import processes, together
from ..parallel.playing import Playing
from ..provenance.differences import differences
from ..provenance.environment import run_facts, versions
from ..provenance.reproducibility import INEXACT_DATA, changed_since, require_seeded
from ..registry.build import Unmade, other_code, rebuild
from ..solver.solver import Solver
from ..solver.state import State
from ..storage.checkpoint_files import load_checkpoint, newest, saved_params
from ..storage.json_fields import FullStatus, Resumable
from ..storage.lock import acquire
from ..storage.run_directory import RunDirectory
from .checkpoint import has_checkpoint, require_members
from .engine import compiled_chunk_runner, initial_state, play, stopping_of
from .run_writer import RunWriter
from .settings import Settings


def resume(
    directory: str | Path,
    *,
    game: Game | None = None,
    solver: Solver | None = None,
    regularizers: Sequence[Regularizer] | None = None,
    observers: Sequence[Observer] = (),
    progress: Progress | bool | None = None,
    stop: Callable[[], bool] | None = None,
    allow_inexact: bool = False,
) -> Result:
    """Resume the run in ``directory``. It becomes the uninterrupted run, on the CPU bit for bit.

    Objects that were made by name are made again from run.json. Objects that were made in Python must be given again,
    as ``game``, ``solver`` and ``regularizers``; their class, options and code are compared with run.json. If the run
    has ended already, its result is returned. ``observers``, ``progress`` and ``stop`` are as in ``run``.

    Raises UsageError if something else is given, or if torch, the device, the number of threads or a plugin's code
    have changed. With ``allow_inexact`` the run then goes on, and its log says so. Raises Busy if another process
    writes in the directory, BadLog if its files are damaged.
    """
    files = RunDirectory(directory)
    facts = files.run(Resumable)
    if not facts:
        raise UsageError(f"{directory} is not the directory of a run; give the --out of a run that was started.")
    status, experiment = files.status(), facts["experiment"]
    with files.reading():
        differing = differences(experiment, game, solver, regularizers, has_checkpoint(files.path))
    if differing and not allow_inexact:
        raise UsageError(
            f"{directory} was begun with something else: {'; '.join(differing)}. Hand back what it was begun with, "
            "or nothing for what was made by name; allow_inexact=True goes on with this, and marks the log."
        )
    if status.get("state") in ENDED:  # no process writes in it any more, so no lock is needed
        ended = replace(_ended(files), checks=facts.get("checks", {}))
        return ended if game is None else replace(ended, played=_played(files, facts, game, solver, regularizers))
    with files.reading():
        settings = Settings.read(facts["settings"])
    ranks = processes(settings.device)
    first = ranks is None or ranks.first
    with together(ranks, directory), acquire(files.path) if first else nullcontext() as lock:
        _require_device(directory, settings.device)
        saved = None if _killed_at_once(files, facts) else load_checkpoint(newest(files.path))
        if saved is not None:
            require_members(newest(files.path), saved[0], settings.members)
        by_name = all(x is None for x in (game, solver, regularizers))  # then an error below is the files' fault
        game, solver, regularizers = _objects(experiment, game, solver, regularizers)
        innermost(game).data_provenance()  # which are read now: if one has gone, the run's own files are not at fault
        with settings.switched():
            with files.reading() if by_name else nullcontext():
                evaluator = settings.checked().evaluator(game, regularizers)
                start = initial_state(evaluator, solver, settings)
            with files.reading():
                changed = differing + _changed(facts, evaluator, start.params)
                ends_early = agreed_stopping(ranks, stopping_of(settings, evaluator))
            changed += _changed_count(settings.ranks, 1 if ranks is None else ranks.count)
            runner, why = None, ""
            if settings.compile_from is not None:
                runner, why = compiled_chunk_runner(evaluator, solver, start, settings)
            changed += [f"steps were compiled ({why})"] if why else []
            tensors, numbers = (start.tensors(), start.numbers()) if saved is None else saved
            pending = tensors.pop("log", {})
            with files.reading():
                state = start.restored(tensors, numbers)
                if state.step > settings.steps:
                    raise ValueError(f"a checkpoint of step {state.step} of {settings.steps}")
                inexact = list(numbers.get("inexact", []))
                lost = first_lost_block(files.path, numbers.get("blocks", 0))
                changed += [f"block {lost:06d} of its log has gone"] if lost else []
                changed += _changed_batches(evaluator, state, settings, numbers)
                if (stale := status.get("stale_since")) is not None and state.step > stale:
                    changed += [f"what it computed from step {stale} on cannot be trusted"]
            if changed and not allow_inexact:
                raise UsageError(
                    f"{directory} cannot go on exactly: {'; '.join(changed)}. "
                    "--allow-inexact goes on and marks the log."
                )
            inexact += [{"step": state.step, "changed": changed}] if changed else []
            playing = Playing(evaluator, evaluator, solver, observers, progress, stop)
            playing = playing.over(ranks, state, settings.share_members)
            writer = RunWriter()
            if lock is not None:
                with files.reading():
                    writer = RunWriter.reopen(
                        files, lock, evaluator, solver, state, settings, numbers, pending, inexact
                    )
            result = play(playing, state, settings.steps, ends_early, writer, runner)
            return replace(result, checks=facts.get("checks", {}))


def _changed_count(before: int, now: int) -> list[str]:
    """What to say if another number of processes share the batches now: sums are rounded in another order."""
    counts = ["one process" if n == 1 else f"{n} processes" for n in (before, now)]
    return [] if before == now else [f"it was played by {counts[0]} and is by {counts[1]}"]


def _killed_at_once(files: RunDirectory, facts: Mapping[str, Any]) -> bool:
    """Whether the run was killed before it saved its first state, and this state can be made again."""
    return not has_checkpoint(files.path) and not facts.get("start_given", True)


def _changed_batches(evaluator: Evaluator, state: State, settings: Settings, numbers: Mapping[str, Any]) -> list[str]:
    """How the next batches or losses differ from those noted in the checkpoint's ``numbers``, in words.

    Checkpoints of old versions note no batch. Then the game must draw from its generator only.
    """
    if settings.inexact_data:
        return []
    if "batch_sha256" not in numbers:
        try:
            require_seeded(evaluator, state)
        except PluginError:
            return [INEXACT_DATA]
    return changed_since(evaluator, state, numbers)


def _require_device(directory: str | Path, device: str | None) -> None:
    """Raise BadLog if ``device`` is no name of a device, UsageError if this machine does not have it."""
    try:
        known = torch.device(device or "cpu")
    except RuntimeError:
        expected = "expected a device, as cpu or cuda:0"
        raise BadLog(f"{directory}/run.json: settings.device is {device!r}, {expected}.") from None
    try:
        torch.zeros(1, device=known).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        found = f"torch {torch.__version__} finds none here"
        raise UsageError(f"{directory} was played on {known}, and {found}: go on where there is one.") from error


def _ended(files: RunDirectory) -> Result:
    """The result of a run that has ended, from its newest checkpoint. Raises BadLog if this is not the last state."""
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


def _played(files: RunDirectory, facts: Mapping[str, Any], *given: Any) -> tuple[Evaluator, Buffers] | None:
    """What the modules of a run that has ended are made of; None where something was made in Python and is missing.

    So it is where what was handed back does not fit the run's last state.
    """
    tensors, numbers = load_checkpoint(newest(files.path))
    tensors.pop("log", None)
    try:
        game, solver, regularizers = _objects(facts["experiment"], *given)
        with files.reading():
            settings = replace(Settings.read(facts["settings"]), device="cpu", trace_from=None)
            with settings.switched():
                evaluator = settings.checked().evaluator(game, regularizers)
                return evaluator, initial_state(evaluator, solver, settings).restored(tensors, numbers).buffers
    except UserError:  # the result itself needs none of this
        return None


def _objects(
    experiment: Mapping[str, Any], game: Game | None, solver: Solver | None, regularizers: Sequence[Regularizer] | None
) -> tuple[Game, Solver, Sequence[Regularizer]]:
    """The game, the solver and the regularisers: those given, else those that run.json names. Raises UsageError."""
    try:
        return rebuild(experiment, game, solver, regularizers)
    except Unmade as error:
        if not error.named:
            argument = "regularizers=[...]" if error.kind == "regularizer" else f"{error.kind}=..."
            raise UsageError(
                f"{error}: hand it back, counterplay.resume(directory, {argument}). What was made by name need not be."
            ) from error
        files = " ".join(f"--plugin {path}" for path in experiment.get("plugins", []))
        raise UsageError(
            f"{error} "
            + (f"It was played with {files}: give that again, if you trust it. " if files else "")
            + f"If it was put together in Python, hand it back: resume(directory, {error.kind}=...)."
        ) from error


def _changed(facts: Mapping[str, Any], evaluator: Evaluator, params: Any) -> list[str]:
    """What has changed since run.json was written, in words: torch, device, GPU, threads, data, the code of plugins."""
    now = run_facts(evaluator, params)
    out = [
        f"torch was {facts['versions'][name]} and is {found}"
        for name, found in versions().items()
        if name == "torch" and facts["versions"].get(name) != found
    ]
    out += [
        f"{name} was {facts[name]} and is {now[name]}" for name in ("device", "threads") if facts[name] != now[name]
    ]
    before, has = (" with CUDA ".join(x.get("gpu", {}).values()) for x in (facts, now))
    out += [f"the GPU was {before} and is {has}"] if before and has and before != has else []
    sources = now["data_sources"]
    out += [
        f"{name} is not what it was (its sha256 was {was['sha256'][:12]}… and is {is_now[:12]}…)"
        for name, was in facts.get("data_sources", {}).items()
        if (is_now := sources.get(name, {}).get("sha256", "none")) != was["sha256"]
    ]
    out += _changed_metrics(facts.get("metrics", {}), evaluator.game.metric_provenance())
    return out + other_code(facts["experiment"])


def _changed_metrics(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The metrics of a run that are no longer measured as before, in words: by another extractor, or of other data."""
    changed = [name for name, about in before.items() if dict(now.get(name, {})) != dict(about)]
    return [f"{' and '.join(changed)} would be measured by another extractor"] if changed else []
