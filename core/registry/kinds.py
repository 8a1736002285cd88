"""The kinds of things that can be made by name. More may follow: a kind is a row of this table."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from ..errors import UsageError, did_you_mean

ROOT = __name__.partition(".")[0]


@dataclass(frozen=True)
class Kind:
    """One kind of thing: its hook, the class all of its objects have, and the module of the built-in ones."""

    name: str
    plural: str
    hook: str
    base: str
    home: str


KINDS: dict[str, Kind] = {
    "solver": Kind("solver", "solvers", "register_solvers", "core.solver.solver:Solver", "plugins.solvers"),
    "loss": Kind("loss", "losses", "register_losses", "core.game.loss:Loss", "plugins.losses"),
    "regularizer": Kind(
        "regularizer",
        "regularizers",
        "register_regularizers",
        "core.game.regularizer:Regularizer",
        "plugins.regularizers",
    ),
    "game": Kind("game", "games", "register_games", "core.game.game:Game", "games"),
}


def kind_name(kind: str) -> str:
    """The kind meant by "solver" or "solvers". Raises UsageError."""
    for k in KINDS.values():
        if kind in (k.name, k.plural):
            return k.name
    raise UsageError(f"unknown kind {kind!r}{did_you_mean(kind, KINDS)} The kinds are {', '.join(KINDS)}.")


def base_of(kind: str) -> type:
    """The class that all objects of a kind have."""
    module, _, name = KINDS[kind].base.partition(":")
    base: type = getattr(import_module(f"{ROOT}.{module}"), name)
    return base


def kind_of(cls: type) -> str | None:
    """The kind whose class ``cls`` is or extends, if any."""
    return next((k for k in KINDS if issubclass(cls, base_of(k))), None)
