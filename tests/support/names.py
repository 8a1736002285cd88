"""``making.pyi``: an overload of ``make`` for each built-in thing, with its options and its class, for editors.

``python -m tests.support.names`` writes it anew, after something was added or renamed, or has got another option.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from counterplay.core.options import MISSING, options_of
from counterplay.core.registry.kinds import KINDS
from counterplay.core.registry.registry import BUILT_IN, REGISTRY

from .wheel import ROOT

STUB = ROOT / "making.pyi"
HEAD = '''\
"""``make`` for type checkers: written by ``python -m tests.support.names``, and held by a test."""

# ruff: noqa
# fmt: off
from collections.abc import Mapping
from typing import Any, Literal, overload

'''
OF_A_KIND = """\
@overload
def make(kind: Literal["{kind}", "{plural}"], what: str | Mapping[str, Any] | {base}, /, **options: Any) -> {base}: ...
"""
LAST = '''\
@overload
def make(kind: str, what: Any, /, **options: Any) -> Any:
    """Make a solver, loss, regularizer, game or other thing by its name or from a table {name, options}.

    Options are those that ``counterplay describe`` lists. A thing of the kind is returned itself. Raises UsageError for
    a wrong name or option.
    """
'''


def written() -> str:
    """The text of the stub."""
    imports, overloads = set(), list[str]()
    for kind in KINDS.values():
        module, _, base = kind.base.partition(":")
        imports.add((module, base, base))
        for name, found in REGISTRY.built_in(kind.name).items():
            if found.source == BUILT_IN:
                made = found.entry.factory
                known = f"_{kind.name}_{made.__name__}"
                imports.add((made.__module__.partition(".")[2], made.__name__, known))
                options = ", ".join(_options(made))
                options = f"/, *, {options}" if options else "/"
                named = f'kind: Literal["{kind.name}"], what: Literal["{name}"]'
                overloads += ["@overload", f"def make({named}, {options}) -> {known}: ..."]
        overloads += OF_A_KIND.format(kind=kind.name, plural=kind.plural, base=base).splitlines()
    lines = [f"from .{module} import {name} as {known}" for module, name, known in sorted(imports)]
    return HEAD + "\n".join([*lines, "", *overloads, LAST])


def _options(made: Any) -> Iterator[str]:
    for o in options_of(made):
        yield f"{o.name}: Any" if o.default is MISSING else f"{o.name}: Any = ..."


if __name__ == "__main__":
    STUB.write_text(written(), encoding="utf-8")
