"""The hooks a plugin may implement, and the entries they return. A minute's reading is the whole contract.

A plugin is a module (named by the entry-point group ``counterplay``, or a file given with ``--plugin``)::

    import counterplay

    @counterplay.hookimpl
    def register_solvers():
        return [counterplay.Entry("mine", Mine, "what it does in one line", "Author 2024, arXiv:2401.00001")]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

PROJECT = "counterplay"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Entry:
    """One thing that can be made by name."""

    name: str  # what users type: lower case, words joined by "-"
    factory: Callable[..., Any]  # a frozen dataclass; its fields are the options
    summary: str  # one line
    reference: str = ""  # authors, year, arXiv id


@hookspec
def register_solvers() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Return entries whose factories make `counterplay.Solver` objects."""


@hookspec
def register_losses() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Return entries whose factories make `counterplay.Loss` objects."""


@hookspec
def register_regularizers() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Return entries whose factories make `counterplay.Regularizer` objects."""


@hookspec
def register_games() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Return entries whose factories make `counterplay.Game` objects."""


@hookspec
def register_commands(group: click.Group) -> None:
    """Add commands to the ``counterplay`` command line; import what is heavy inside them."""
