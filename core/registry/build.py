"""The objects of an experiment: made by the names and options it gives, and written out again with all they have."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..errors import UsageError
from ..options import options_of
from . import experiment as config
from . import registry
from .experiment import Experiment, merged


def build(experiment: Experiment) -> tuple[Any, Any, list[Any]]:
    """The experiment's objects: game, solver, regularizers. Raises UsageError."""
    named = _game(experiment)
    config.whole_or_in_parts("game", named)
    game = registry.make("game", named)
    solver, *regularizers = (
        config.for_everyone(n, game.players) for n in (experiment.solver, *experiment.regularizers)
    )
    return game, registry.make("solver", solver), [registry.make("regularizer", r) for r in regularizers]


def _game(experiment: Experiment) -> config.Named:
    """The game's table, with the experiment's loss as its option ``loss``."""
    if experiment.loss is None:
        return experiment.game
    table = merged(experiment.game, {})
    table = {"name": table} if isinstance(table, str) else table
    if all(o.name != "loss" for o in options_of(registry.find("game", table["name"]).factory)):
        raise UsageError(f"game {table['name']} has losses of its own: --loss is for generative adversarial games.")
    return {**table, "loss": merged(table.get("loss", {}), experiment.loss)}


def completed(experiment: Experiment, game: Any, solver: Any, regularizers: list[Any]) -> Experiment:
    """The experiment with every option of its objects written out, defaults included."""
    table = config.to_table(experiment) | {
        "game": _full(experiment.game, game),
        "solver": _full(experiment.solver, solver),
        "regularizers": [_full(n, r) for n, r in zip(experiment.regularizers, regularizers, strict=True)],
    }
    table.pop("loss", None)  # it stands in the game's table, where it acts
    return config.resolve(table)


def _full(named: config.Named, thing: Any) -> config.Table:
    name = named if isinstance(named, str) else named["name"]
    return {**_set(thing), "name": name}


def _set(thing: Any) -> config.Table:
    """The options of an object, but those that are null unless set."""
    table = registry.settings(thing)
    for o in options_of(type(thing)):
        value = getattr(thing, o.name)
        if value is None and o.default is None:
            del table[o.name]
        elif dataclasses.is_dataclass(value):
            table[o.name] = _set(value)
    return table


def name_of(named: config.Named) -> str:
    return named if isinstance(named, str) else str(named["name"])


def origins(e: Experiment) -> list[dict[str, Any]]:
    """Who brought each thing that is used, with the digest of a third party's file."""
    return [registry.REGISTRY.origin(kind, name) for kind, name in _used(e)]


def references(e: Experiment) -> dict[str, str]:
    """What to cite."""
    return {f"{kind} {name}": registry.find(kind, name).reference for kind, name in _used(e)}


def _used(e: Experiment) -> list[tuple[str, str]]:
    """Everything that is made by name, by kind."""
    used = [("game", e.game), ("solver", e.solver), *(("regularizer", r) for r in e.regularizers)]
    if isinstance(e.game, dict) and isinstance(e.game.get("loss"), dict):
        used.append(("loss", e.game["loss"]))
    return [(kind, name_of(named)) for kind, named in used]
