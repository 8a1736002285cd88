"""What a run is made of and where it runs, as plain data for run.json, which resume compares."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

import torch

from ..derivatives.evaluator import Evaluator
from ..game.game import Game, innermost
from ..game.regularizer import Regularized, Regularizer
from ..game.tree import Params, Player, leaves
from ..registry import registry
from .description import describe
from .remaking import registered_in, table_of


def versions() -> dict[str, str]:
    """The versions of all that a run depends on."""
    import h5py
    import numpy

    from ..version import __version__

    return {
        "counterplay": __version__, "python": platform.python_version(), "torch": torch.__version__,
        "numpy": numpy.__version__, "h5py": h5py.__version__,
    }  # fmt: skip


def run_facts(game: Evaluator, params: Params) -> dict[str, Any]:
    """Facts for run.json: the players' numbers of parameters, dtype, device, threads, machine, command line, data."""
    first = leaves(params)[0]
    counts: dict[Player, int] = {
        i: sum(x.numel() for x in t.values()) // (game.members or 1) for i, t in params.items()
    }
    return {
        "players": counts, "dtype": str(first.dtype).removeprefix("torch."), "device": str(first.device),
        "gpu": gpu_of(first.device), "threads": torch.get_num_threads(), "platform": platform.platform(),
        "processors": os.cpu_count(), "argv": sys.argv[1:],
        "data_sources": {k: dict(x) for k, x in innermost(game).data_provenance().items()},
    }  # fmt: skip


def gpu_of(device: torch.device) -> dict[str, str]:
    """The name of the GPU that ``device`` is, and the version of CUDA; empty for other devices."""
    if device.type != "cuda":
        return {}
    return {"name": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}


def described(game: Evaluator, solver: Any, experiment: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The experiment as run.json holds it: a thing that can be made by name as its table, others described.

    ``experiment`` has further facts. If it has ``origins``, everything in it was made by name, and it is complete.
    """
    if experiment is not None and "origins" in experiment:
        return dict(experiment)
    own, regularizers = without_regularizers(game.game)
    return {
        **(experiment or {}),
        "game": as_recorded(own), "solver": as_recorded(solver), "regularizers": [as_recorded(r) for r in regularizers],
        **sources([own, solver, regularizers]),
    }  # fmt: skip


def sources(things: Any) -> dict[str, Any]:
    """The plugins that registered what is in ``things``, with the digest of a third party's file; and what to cite."""
    names = dict.fromkeys(registered_in(things))
    return {
        "origins": [registry.REGISTRY.origin(*pair) for pair in names],
        "references": {f"{kind} {name}": registry.find(kind, name).reference for kind, name in names},
    }


def as_recorded(thing: Any) -> Any:
    """The table that makes ``thing`` again by name, or its description."""
    table = table_of(thing)
    return describe(thing) if table is None else table


def without_regularizers(game: Game) -> tuple[Game, list[Regularizer]]:
    """A game without its regularizers, and the regularizers in the order in which they were given."""
    regularizers: list[Regularizer] = []
    while isinstance(game, Regularized):
        regularizers.insert(0, game.regularizer)
        game = game.game
    return game, regularizers
