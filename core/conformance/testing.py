"""The checks as objects, and as tests of pytest: for authors of plugins, as ``counterplay.testing``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..registry import registry
from ..registry.kinds import KINDS, kind_name
from ..registry.third_party import Plugin
from .check import cases

if TYPE_CHECKING:
    import pytest

Checked = ModuleType | tuple[str, str] | tuple[str, str, Mapping[str, Any]]
"""A (kind, name), with its options where it needs some, or the module of a plugin: all that it registers."""


@dataclass(frozen=True)
class Check:
    """One check of one thing that is registered.

    kind, of   what is checked: its kind and its name, as "solver" and "simgd"
    name       what the check is about, as "step is pure"
    run        the check: ``run()`` raises `Broken`, an AssertionError, whose message says what is wrong
    """

    kind: str
    of: str
    name: str
    run: Callable[[], object]

    def __call__(self) -> None:
        self.run()

    def __str__(self) -> str:
        return f"{self.kind}-{self.of}: {self.name}"


def checks(*things: Checked) -> list[Check]:
    """All checks of ``things``, in the order in which ``counterplay check`` makes them.

    A thing is a (kind, name) or a (kind, name, options), as in ``("dataset", "folder", {"root": "pictures"})``, or a
    module that registers things with ``@counterplay.hookimpl``, whether it is installed or not: then all of these are
    checked. Raises UsageError for a name that is not registered, and for a module that registers nothing, or something
    unsound.
    """
    return [check for thing in things for check in _checks_of(thing)]


def parametrize_with_checks(things: Iterable[Checked]) -> pytest.MarkDecorator:
    """A decorator that makes a test of each check of ``things``, which are as in :func:`checks`.

    ::

        import my_plugin
        from counterplay.testing import Check, parametrize_with_checks

        @parametrize_with_checks([my_plugin])
        def test_contract(check: Check) -> None:
            check()
    """
    import pytest

    return pytest.mark.parametrize("check", checks(*things), ids=str)


def _checks_of(thing: Checked) -> Iterable[Check]:
    if isinstance(thing, ModuleType):
        for kind, name in _registered_by(thing):
            yield from _checks_of((kind, name))
        return
    if not isinstance(thing, tuple) or len(thing) not in (2, 3):
        raise UsageError(f"checks are of a module, a (kind, name) or a (kind, name, options); got {thing!r:.80}.")
    kind, name, *options = thing
    kind = kind_name(kind)
    for label, run in cases(kind, name, *options):
        yield Check(kind, name, label, run)


def _registered_by(module: ModuleType) -> list[tuple[str, str]]:
    """The (kind, name) of everything that ``module`` registers."""
    found = registry.REGISTRY
    found.load_third_parties()
    found.add(Plugin(module, f"module {module.__name__}", getattr(module, "__file__", None)))
    (source,) = {p.source for p in found.plugins if p.object is module} or {f"module {module.__name__}"}
    names = [(kind, r.entry.name) for kind in KINDS for r in found.all(kind).values() if r.source == source]
    wrong = [str(p) for p in registry.problems() if p.plugin == source]
    if wrong or not names:
        why = "; ".join(wrong) or "it has no function marked with @counterplay.hookimpl that gives entries"
        raise UsageError(f"the module {module.__name__} cannot be checked: {why}.")
    return names
