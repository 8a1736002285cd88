"""Plays the run of one cell of a sweep, in a process that plays nothing else at the same time.

A fork server imports this module before it starts such processes, so everything that a run needs is imported here.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from ..errors import BadLog, Busy, UsageError, UserError
from ..loop.result import Result
from ..process.signals import stop_requested
from ..provenance.environment import sources
from ..registry import experiment as config
from ..registry import registry
from ..registry.build import build
from ..registry.kinds import KINDS
from ..run.checkpoint import has_checkpoint
from ..run.engine import run
from ..run.recorders import Gallery
from ..run.resume import resume
from ..storage.lock import held
from ..storage.run_directory import RunDirectory
from ..sweep.cost import Cost
from ..tracing import codegen as _codegen  # noqa: F401
from ..tracing.program import memory as _memory  # noqa: F401
from .run import settings_of

_FIRST_USED = (  # what torch, numpy and h5py import in a first run, which takes longer than a small run does
    "torch._dynamo", "torch.fx.experimental.validator", "torch._inductor.compiler_bisector",
    "torch._inductor.fx_passes.dedupe_symint_uses", "numpy.ma", "h5py._hl.dims",
)  # fmt: skip
for _name in _FIRST_USED:
    with contextlib.suppress(ImportError):  # of another version, which does without it
        import_module(_name)
for _kind in KINDS:
    registry.REGISTRY.built_in(_kind)


def play_cell(directory: Path, experiment: config.Table, stop_at: int | None = None) -> None:
    """Begin the run of ``experiment`` in ``directory``, or go on with it there, on one thread.

    With ``stop_at`` the run is interrupted at this step, or somewhat later where many steps are taken at once.

    A run that has failed is begun anew if it cannot go on exactly. A signal saves the state and ends the run as
    interrupted. Raises an error of `core.errors` if the run is refused or fails.
    """
    torch.set_num_threads(1)  # sweeps play several runs at once, and a run computes the same on any executor
    for path in experiment["plugins"]:
        registry.load_file(path)
    if has_checkpoint(directory):
        try:
            step = int(RunDirectory(directory).status().get("step", 0))
            if stop_at is None or step < stop_at:
                with _stopping(stop_at, step) as how:
                    resume(directory, **how)
            return
        except (UsageError, BadLog):
            if not _has_failed(directory):
                raise
    _begin(directory, experiment, stop_at)


def try_steps(experiment: config.Table) -> Cost:
    """The seconds that a run needs to start, and for a step, neither traced nor compiled; or why it is refused.

    Metrics are counted at every step where they are measured, and once for the real images; spectra are not.
    """
    clocks: list[float] = []
    few = {"steps": 3, "compile": False, "until": None, "patience": None}
    try:
        asked = config.resolve(experiment)
        game, solver, regularizers = build(asked)
        began = time.monotonic()
        settings = settings_of(asked, regularizers) | few
        result = run(game, solver, **settings, progress=lambda *_: clocks.append(time.monotonic()))
        look = _seconds_of_metrics(result)
    except UserError as error:
        return f"refused: {error}"
    step = (clocks[-1] - clocks[0]) / (len(clocks) - 1) if len(clocks) > 1 else 0.0
    start = max(clocks[-1] - began - len(clocks) * step, 0.0) if clocks else 0.0
    every = experiment.get("sample_every")  # by default they are measured at the start and ten times
    return start + (2 if every else 12) * look, step + (look / every if every else 0.0)


def _seconds_of_metrics(result: Result) -> float:
    """The time of measuring the game's metrics once, after a first time, when a network may be read or trained."""
    if result.played is None:
        return 0.0
    gallery = Gallery(result.played[0])
    for _ in range(2):
        began = time.monotonic()
        _ = gallery.at(result.params, result.played[1]).metrics
    return time.monotonic() - began


def _has_failed(directory: Path) -> bool:
    """Whether the run has failed before, or its status.json is damaged."""
    try:
        return RunDirectory(directory).status().get("state") == "failed"
    except BadLog:
        return True


@contextlib.contextmanager
def _stopping(stop_at: int | None, step: int = 0) -> Iterator[dict[str, Any]]:
    """The arguments of a run from ``step`` on that ends at a signal, and at ``stop_at``."""
    at = [step]

    def note(step: int, steps: int, losses: object) -> None:
        at[0] = step

    with stop_requested() as stop:
        if stop_at is None:
            yield {"stop": stop, "progress": False}
        else:
            yield {"stop": lambda: stop() or at[0] >= stop_at, "progress": note}


def _begin(directory: Path, experiment: config.Table, stop_at: int | None) -> None:
    """Begin the run. What is in the directory is of a start that came to nothing, and is removed."""
    if held(directory):
        raise Busy(f"{directory} is in use.")
    if directory.exists():
        shutil.rmtree(directory)
    asked = config.resolve(experiment)
    game, solver, regularizers = build(asked)
    known = experiment | sources([game, solver, regularizers])
    with _stopping(stop_at) as how:
        run(
            game,
            solver,
            out=directory,
            **settings_of(asked, regularizers),
            experiment=known,
            **{"progress": False, **how},
        )
