"""Makes the objects of an experiment from names and options, and writes out an experiment with all their options."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UsageError
from ..options import options_of
from ..typed_values import plain
from . import experiment as config
from . import registry
from .experiment import Experiment, merged


class Unmade(UsageError):
    """A thing of a recorded run cannot be made again. The caller adds what the user can do.

    ``kind`` is its kind; ``named`` says whether run.json names it, or it was made in Python.
    """

    def __init__(self, message: str, kind: str, named: bool) -> None:
        super().__init__(message)
        self.kind, self.named = kind, named


def build(experiment: Experiment) -> tuple[Any, Any, list[Any]]:
    """Make the objects of an experiment: game, solver, regularizers. Raises UsageError."""
    named = _game(experiment)
    config.require_whole_or_in_parts("game", named)
    return _objects(registry.make, named, experiment.solver, experiment.regularizers)


def rebuild(
    recorded: Mapping[str, Any], game: Any = None, solver: Any = None, regularizers: Any = None
) -> tuple[Any, Any, list[Any]]:
    """Make the objects of the experiment in a run.json again, except those that are given. Raises Unmade."""

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
    """Make each thing with ``made(kind, what)``. Options of one value for all other players get each player's value."""
    game = made("game", game)
    by_player = [config.expand_everyone(what, game.players) for what in (solver, *regularizers)]
    return game, made("solver", by_player[0]), [made("regularizer", what) for what in by_player[1:]]


def other_code(recorded: Mapping[str, Any]) -> list[str]:
    """Which things of the experiment in a run.json now come from other code than then, in words."""
    changed = []
    for origin in recorded.get("origins", []):
        now: dict[str, str] = {}
        with contextlib.suppress(UsageError):  # it does not exist any more
            now = registry.REGISTRY.origin(origin["kind"], origin["name"])
        what = "sha256" if "sha256" in origin else "source"  # a file may have been moved, so the digest decides
        if now.get(what) != origin[what]:
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
        kind: {**registry.settings(thing), "name": name_of(named)}
        for kind, named, thing in (("game", experiment.game, game), ("solver", experiment.solver, solver))
    }
    table["regularizers"] = [
        {**registry.settings(r), "name": name_of(n)} for n, r in zip(experiment.regularizers, regularizers, strict=True)
    ]
    table.pop("loss", None)  # it is written in the game's table, as the game's option ``loss``
    return config.resolve(table)


class Completion:
    """Writes out the options of many experiments, as `completed` does of one. Equal things are made once.

    The result is the table of the experiment, without ``out``. Raises UsageError for what no run could have.
    """

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __call__(self, experiment: Experiment) -> config.Table:
        table = plain(config.to_table(experiment))
        named = plain(_game(experiment))
        table["game"], players = self._once("game", named)
        items = zip(("solver", *["regularizer"] * len(experiment.regularizers)),
                    (table["solver"], *table["regularizers"]), strict=True)  # fmt: skip
        table["solver"], *table["regularizers"] = [self._once(kind, what, players)[0] for kind, what in items]
        return {k: x for k, x in table.items() if k not in ("loss", "out")}

    def _once(self, kind: str, what: config.Named, players: Sequence[str] = ()) -> tuple[config.Table, Sequence[str]]:
        """The whole table of a thing, and a game's players."""
        key = f"{kind} {what!r} {players!r}"
        if key not in self._known:
            if kind == "game":
                config.require_whole_or_in_parts("game", what)
            thing = registry.make(kind, config.expand_everyone(what, players) if players else what)
            whole = plain({**registry.settings(thing), "name": name_of(what)})
            self._known[key] = whole, tuple(getattr(thing, "players", ()))
        found: tuple[config.Table, Sequence[str]] = self._known[key]
        return found


def name_of(named: config.Named) -> str:
    """The name in "simgd" or {"name": "simgd", options}."""
    return named if isinstance(named, str) else str(named["name"])
