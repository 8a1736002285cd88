"""The objects of an experiment: made by the names and options it gives, and written out again with all they have."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from ..options import options_of
from . import experiment as config
from . import registry
from .experiment import Experiment, merged


class Unmade(UsageError):
    """Something of a recorded run cannot be made again. Whoever asked for it adds what the user can do."""

    def __init__(self, message: str, kind: str, named: bool) -> None:
        super().__init__(message)
        self.kind, self.named = kind, named


def build(experiment: Experiment) -> tuple[Any, Any, list[Any]]:
    """The experiment's objects: game, solver, regularizers. Raises UsageError."""
    named = _game(experiment)
    config.whole_or_in_parts("game", named)
    return _objects(registry.make, named, experiment.solver, experiment.regularizers)


def rebuild(
    recorded: Mapping[str, Any], game: Any = None, solver: Any = None, regularizers: Any = None
) -> tuple[Any, Any, list[Any]]:
    """The objects of the experiment in a run.json; those that are handed in stay as they are. Raises Unmade."""

    def made(kind: str, what: Any) -> Any:
        if isinstance(what, Mapping) and "class" in what:
            raise Unmade(f"the {kind} of this run, {what['class']}, was put together in Python", kind, False)
        try:
            return registry.make(kind, what)
        except UsageError as error:
            raise Unmade(f"the {kind} of this run cannot be made again from run.json: {error}", kind, True) from error

    return _objects(
        made,
        recorded["game"] if game is None else game,
        recorded["solver"] if solver is None else solver,
        recorded.get("regularizers", []) if regularizers is None else regularizers,
    )


def _objects(made: Any, game: Any, solver: Any, regularizers: Any) -> tuple[Any, Any, list[Any]]:
    """From names and tables, or from objects, which are handed back."""
    game = made("game", game)
    filled = [config.for_everyone(what, game.players) for what in (solver, *regularizers)]
    return game, made("solver", filled[0]), [made("regularizer", what) for what in filled[1:]]


def other_code(recorded: Mapping[str, Any]) -> list[str]:
    """What is made by other code now than it was for the experiment in a run.json, in words."""
    changed = []
    for origin in recorded.get("origins", []):
        found: dict[str, str] = {}
        with contextlib.suppress(UsageError):  # it is not there any more
            found = registry.REGISTRY.origin(origin["kind"], origin["name"])
        what = "sha256" if "sha256" in origin else "source"  # a digest says more than where a file was
        if found.get(what) != origin[what]:
            changed.append(f"the {origin['kind']} {origin['name']} comes from other code than before")
    return changed


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
