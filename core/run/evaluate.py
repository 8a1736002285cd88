"""Metrics of the images of a run, computed after the fact from its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UsageError
from ..game.game import Game
from ..game.regularizer import Regularizer
from ..images.image_game_base import ImageGameBase
from ..images.metric import Metric, require_measurable
from ..options import options_of
from ..registry.build import other_code
from ..registry.registry import make, settings
from ..solver.solver import Solver
from ..storage.checkpoint_files import load_checkpoint, newest, saved_steps
from ..storage.json_fields import Recorded
from ..storage.run_directory import RunDirectory
from .checkpoint import require_members
from .device import require_device
from .engine import initial_state
from .load_point import plugins_of, recorded_objects
from .recorders import Gallery
from .settings import Settings

_INSTEAD = ": hand it back, counterplay.evaluate(directory, game=...), or solver=..., regularizers=[...]."


@dataclass(frozen=True)
class Evaluated:
    """The metrics of a run at one step.

    figures      the numbers by name, floats, or for an ensemble arrays (M,); NaN where one cannot be computed
    provenance   what measured each of them: extractor, sha256 of its weights, counts of images, and more
    """

    step: int
    figures: Mapping[str, Any]
    provenance: Mapping[str, Mapping[str, str | int | float]]


def evaluate(
    directory: str | Path,
    metrics: Sequence[Metric | str | Mapping[str, Any]] = (),
    *,
    step: int | str | None = None,
    samples: int | None = None,
    extractor: str | None = None,
    device: str | None = None,
    game: Game | None = None,
    solver: Solver | None = None,
    regularizers: Sequence[Regularizer] | None = None,
) -> list[Evaluated]:
    """Measure the images of the run in ``directory`` by ``metrics``, at the steps of its checkpoints.

    metrics              names, tables of a name and options, or metrics; by default those of the run. A name means the
                         run's own metric of this name, with its options, if there is one
    step                 the step of a checkpoint, or "all"; by default that of the newest one
    samples, extractor   options for all metrics, in place of their own
    device               where to compute; by default where the run was played
    game, solver, regularizers   those that were made in Python

    With the options of the run's own metrics, the figures are those that the run recorded at that step. Raises
    UsageError for a run of another kind of game, or if its data or its code have changed; BadLog for a damaged
    checkpoint.
    """
    if device is not None:
        require_device(device)  # before data are read
    files = RunDirectory(directory)
    facts = files.run(Recorded)
    if not facts:
        raise UsageError(f"{directory} is not the directory of a run: it has no run.json.")
    experiment = facts["experiment"]
    made, solver, regularizers = recorded_objects(files.path, experiment, game, solver, regularizers, _INSTEAD)
    if not isinstance(made, ImageGameBase):
        raise UsageError(
            f"the game of {directory}, {_name(experiment)}, has no images of a data set: metrics are measured on these."
        )
    chosen = _chosen(made.metrics_, metrics, {"samples": samples, "extractor": extractor})
    if not chosen:
        raise UsageError(f"the run in {directory} has no metrics of its own: name one, as fid (--metric fid).")
    require_measurable(chosen, made.data)  # before they are read
    with plugins_of(experiment):
        changed = [*other_code(experiment), *_changed_data(facts, made)]
    if changed:
        raise UsageError(f"{directory} cannot be evaluated as it was played: {'; '.join(changed)}.")
    with files.reading():
        asked = Settings.read(facts["settings"])
    asked = replace(asked, device=device or asked.device, trace_from=None, compile_from=None).checked()
    measured, found = made.with_metrics(chosen), list[Evaluated]()
    with torch.no_grad(), asked.switched():
        with files.reading():
            evaluator = asked.evaluator(measured, regularizers)
            start = initial_state(evaluator, solver, asked)
        gallery, provenance = Gallery(evaluator), measured.metric_provenance()
        for path in _checkpoints(files.path, step):
            tensors, numbers = load_checkpoint(path)
            require_members(path, tensors, asked.members)
            tensors.pop("log", None)  # rows that were not yet written to the log
            with files.reading():
                state = start.restored(tensors, numbers)
            figures = gallery.at(state.params, evaluator.refresh(state.params, state.buffers)).metrics
            plain = {n: x if np.ndim(x) else float(x) for n, x in figures.items() if n in provenance}
            found.append(Evaluated(state.step, plain, provenance))
    return found


def _name(experiment: Mapping[str, Any]) -> str:
    game = experiment["game"]
    return str(game if isinstance(game, str) else game.get("name", game.get("class", "")))


def _chosen(own: Sequence[Metric], asked: Sequence[Any], options: Mapping[str, Any]) -> list[Metric]:
    """The metrics that are asked for, or else the run's own, with the ``options`` that are not None."""
    given = {name: x for name, x in options.items() if x is not None}
    known = {settings(m)["name"]: m for m in own}
    found = []
    for what in asked or own:
        metric = known.get(what) if isinstance(what, str) else None
        metric = make("metric", what) if metric is None else metric
        table = settings(metric)
        has = {o.name for o in options_of(type(metric))}
        for name in given:
            if name not in has:
                raise UsageError(f"the metric {table['name']} has no option {name}.")
        found.append(make("metric", {**table, **given}) if given else metric)
    return found


def _changed_data(facts: Mapping[str, Any], game: ImageGameBase) -> list[str]:
    """The data sets that have changed since the run, in words."""
    now = game.data_provenance()
    was = facts.get("data_sources", {}).items()
    return [f"{name} is not what it was, by its sha256" for name, x in was if now[name]["sha256"] != x["sha256"]]


def _checkpoints(run: Path, step: int | str | None) -> list[Path]:
    """The checkpoints of the steps that are asked for. Raises UsageError, which names the steps that there are."""
    if step is None:
        return [newest(run)]
    steps = saved_steps(run)
    if step != "all" and step not in steps:
        have = ", ".join(map(str, steps[:20])) + (", ..." if len(steps) > 20 else "")
        raise UsageError(f"{run} has no checkpoint of step {step}; it has those of {have or 'no step'}.")
    return [run / "checkpoints" / f"step-{n}" for n in (steps if step == "all" else [step])]
