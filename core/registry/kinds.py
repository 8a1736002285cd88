"""The kinds of things that can be made by name. A kind is a row of this table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module

from ..errors import UsageError, did_you_mean

ROOT = __name__.partition(".")[0]


@dataclass(frozen=True)
class Kind:
    """One kind of thing, such as "solver"."""

    name: str
    plural: str
    base: str  # module:Class in counterplay; all things of the kind are of this class
    home: str  # the package with the built-in ones, whose hook lists them

    @property
    def hook(self) -> str:
        """The function by which plugins register things of this kind."""
        return f"register_{self.plural}"


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("solver", "solvers", "core.solver.solver:Solver", "plugins.solvers"),
        Kind("loss", "losses", "core.game.loss:GanLoss", "plugins.losses"),
        Kind("regularizer", "regularizers", "core.game.regularizer:Regularizer", "plugins.regularizers"),
        Kind("game", "games", "core.game.game:Game", "games"),
        Kind("dataset", "datasets", "core.images.dataset:Dataset", "games.data"),
        Kind("network", "networks", "core.images.network:Network", "games.networks"),
        Kind("metric", "metrics", "core.images.metric:Metric", "plugins.metrics"),
        Kind("experiment", "experiments", "core.experiments.experiment:Experiment", "plugins.experiments"),
    )
}


def kinds_in_words() -> str:
    """All kinds, as a help text lists them: "games, losses, regularizers and solvers"."""
    *some, last = sorted(kind.plural for kind in KINDS.values())
    return f"{', '.join(some)} and {last}"


def kind_name(kind: str) -> str:
    """The name of a kind from its name or plural. Raises UsageError."""
    for k in KINDS.values():
        if kind in (k.name, k.plural):
            return k.name
    raise UsageError(f"unknown kind {kind!r}{did_you_mean(kind, KINDS)} The kinds are {', '.join(KINDS)}.")


def base_of(kind: str) -> type:
    """The class of all things of a kind."""
    module, _, name = KINDS[kind].base.partition(":")
    base: type = getattr(import_module(f"{ROOT}.{module}"), name)
    return base


def kind_of(cls: type) -> str | None:
    """The kind of which ``cls`` is the class or a subclass, if there is one."""
    return next((k for k in KINDS if issubclass(cls, base_of(k))), None)


STEP_RULES = ("sgd", "momentum", "rmsprop", "tf-rmsprop", "adam", "adamw")


def meant(kind: str, name: str, known: list[str]) -> str:
    """What a name that no thing of this kind has may mean, to follow "unknown solver 'adam'"."""
    if kind == "solver" and (rule := name.lower().replace("_", "-")) in STEP_RULES:
        return f": {rule} is a step rule, which a solver takes as an option, as --solver simgd -s rule={rule}."
    if kind == "dataset" and os.path.exists(name):
        how = f"data=folder data.root={name}" if os.path.isdir(name) else f"data=arrays data.file={name}"
        return f", which is a path; of one's own: {how}."
    return did_you_mean(name, known)
