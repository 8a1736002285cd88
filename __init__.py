"""counterplay: differentiable games played, recorded and measured.

Nothing is imported before it is used: ``counterplay --help`` needs no torch, and a log can be read without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.version import __version__ as __version__

# module of the package -> the public names it holds
_PUBLIC = {
    "core.game.adapters": ("game_from_losses",),
    "core.run.checkpoint": ("load_params",),
    "core.run.engine": ("Result", "run"),
    "core.errors": (
        "BadLog", "Busy", "Diverged", "Interrupted", "NotConverged", "PluginError", "StorageError", "UsageError",
        "UserError",
    ),
    "core.game": ("tree",),  # a module: add, sub, scale, dot, norm, ravel and their like on joint strategies
    "core.game.game": ("Game", "GanGame"),
    "core.log.history": ("History",),
    "core.registry.hookspecs": ("Entry", "hookimpl", "hookspec"),
    "core.derivatives.local": ("LocalGame",),
    "core.game.loss": ("Loss",),
    "core.game.module_games": ("game_from_modules",),
    "core.loop.observers": ("Every", "Seen"),
    "core.options": ("option",),
    "core.registry.registry": ("make",),
    "core.game.regularizer": ("Regularizer",),
    "core.run.resume": ("resume",),
    "core.seeding": ("member_seed",),
    "core.solver.solver": ("Composed", "Solver", "StepInfo"),
    "core.game.tree": ("Batch", "Params", "Setting", "Tree"),
    "core.spectra.update_map": ("update_jacobian",),
    "analysis.log.log": ("open_log",),
}  # fmt: skip
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

if TYPE_CHECKING:
    from .analysis.log.log import open_log as open_log
    from .core.derivatives.local import LocalGame as LocalGame
    from .core.errors import BadLog as BadLog
    from .core.errors import Busy as Busy
    from .core.errors import Diverged as Diverged
    from .core.errors import Interrupted as Interrupted
    from .core.errors import NotConverged as NotConverged
    from .core.errors import PluginError as PluginError
    from .core.errors import StorageError as StorageError
    from .core.errors import UsageError as UsageError
    from .core.errors import UserError as UserError
    from .core.game import tree as tree
    from .core.game.adapters import game_from_losses as game_from_losses
    from .core.game.game import Game as Game
    from .core.game.game import GanGame as GanGame
    from .core.game.loss import Loss as Loss
    from .core.game.module_games import game_from_modules as game_from_modules
    from .core.game.regularizer import Regularizer as Regularizer
    from .core.game.tree import Batch as Batch
    from .core.game.tree import Params as Params
    from .core.game.tree import Setting as Setting
    from .core.game.tree import Tree as Tree
    from .core.log.history import History as History
    from .core.loop.observers import Every as Every
    from .core.loop.observers import Seen as Seen
    from .core.options import option as option
    from .core.registry.hookspecs import Entry as Entry
    from .core.registry.hookspecs import hookimpl as hookimpl
    from .core.registry.hookspecs import hookspec as hookspec
    from .core.registry.registry import make as make
    from .core.run.checkpoint import load_params as load_params
    from .core.run.engine import Result as Result
    from .core.run.engine import run as run
    from .core.run.resume import resume as resume
    from .core.seeding import member_seed as member_seed
    from .core.solver.solver import Composed as Composed
    from .core.solver.solver import Solver as Solver
    from .core.solver.solver import StepInfo as StepInfo
    from .core.spectra.update_map import update_jacobian as update_jacobian


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'counterplay' has no attribute {name!r}")
    home = import_module(f".{_HOME[name]}", __name__)
    value = getattr(home, name) if hasattr(home, name) else import_module(f"{home.__name__}.{name}")
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
