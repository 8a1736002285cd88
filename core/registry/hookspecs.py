"""The hooks that a plugin may implement, and the entries that they return. This is the whole contract of a plugin.

A plugin is a module (named by the entry-point group ``counterplay``, or a file given with ``--plugin``)::

    import counterplay

    @counterplay.hookimpl
    def register_solvers():
        return [counterplay.Entry("mine", Mine, "what it does in one line", "Author 2024, arXiv:2401.00001")]

Each kind of `kinds.KINDS` has such a hook: ``register_losses``, ``register_games`` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from ..options import NAMES
from .kinds import KINDS, Kind

if TYPE_CHECKING:
    import click

PROJECT = "counterplay"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Entry:
    """One thing that can be made by name, as ``make(kind, name, **options)`` does."""

    name: str  # what users type: lower case, words joined by "-"
    factory: Callable[..., Any]  # a frozen dataclass; its fields are the options
    summary: str  # one line
    reference: str = ""  # authors, year, arXiv id

    def __post_init__(self) -> None:
        if isinstance(self.factory, type):
            NAMES.setdefault(self.factory, self.name)


def _hook_of(kind: Kind) -> Callable[[], Iterable[Entry]]:
    """The hook by which plugins register things of ``kind``."""

    def register() -> Iterable[Entry]:  # type: ignore[empty-body]
        pass

    register.__doc__ = f"Return entries whose factories make `counterplay.{kind.base.partition(':')[2]}` objects."
    return hookspec(register)


@hookspec
def register_commands(group: click.Group) -> None:
    """Add commands to the ``counterplay`` command line. Import torch and other slow modules only inside commands."""


HOOKS = {kind.hook: _hook_of(kind) for kind in KINDS.values()} | {"register_commands": register_commands}
