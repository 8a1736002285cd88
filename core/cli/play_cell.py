"""Plays the run of one cell of a sweep, in a process that plays nothing else at the same time.

A fork server imports this module before it starts such processes, so everything that a run needs is imported here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
import torch._dynamo  # torch imports it when a program is first traced, which takes longer than a small run

from ..errors import BadLog, Busy, UsageError
from ..process.signals import stop_requested
from ..provenance.environment import sources
from ..registry import experiment as config
from ..registry import registry
from ..registry.build import build
from ..run.checkpoint import has_checkpoint
from ..run.engine import run
from ..run.resume import resume
from ..storage.lock import held
from ..storage.run_directory import RunDirectory
from .run import settings_of

_loaded: set[str] = set()  # files of plugins


def play_cell(directory: Path, experiment: config.Table) -> None:
    """Begin the run of ``experiment`` in ``directory``, or go on with it there, on one thread.

    A run that has failed is begun anew if it cannot go on exactly. A signal saves the state and ends the run as
    interrupted. Raises an error of `core.errors` if the run is refused or fails.
    """
    torch.set_num_threads(1)  # sweeps play several runs at once, and a run computes the same on any executor
    for path in experiment["plugins"]:
        if path not in _loaded:
            registry.load_file(path)
            _loaded.add(path)
    if has_checkpoint(directory):
        try:
            _go_on(directory)
            return
        except (UsageError, BadLog):
            if RunDirectory(directory).status().get("state") != "failed":
                raise
    _begin(directory, experiment)


def _go_on(directory: Path) -> None:
    with stop_requested() as stop:
        resume(directory, stop=stop)


def _begin(directory: Path, experiment: config.Table) -> None:
    """Begin the run. What is in the directory is of a start that came to nothing, and is removed."""
    if held(directory):
        raise Busy(f"{directory} is in use.")
    if directory.exists():
        shutil.rmtree(directory)
    asked = config.resolve(experiment)
    game, solver, regularizers = build(asked)
    known = experiment | sources([game, solver, regularizers])
    with stop_requested() as stop:
        run(game, solver, out=directory, **settings_of(asked, regularizers), experiment=known, stop=stop)
