"""A page for each thing that is registered: what its file says, its options, and what was computed about it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from pathlib import Path

from counterplay.core.coerce import describe
from counterplay.core.options import MISSING, options_of
from counterplay.core.registry import registry
from counterplay.core.registry.hookspecs import Entry

from . import kept


def page(kind: str, entry: Entry, computed: Iterable[str] = ()) -> None:
    """Write the page of one entry; ``computed`` are the lines between its formula and its options."""
    lines = [f"# {entry.name}", "", f"{entry.summary[:1].upper()}{entry.summary[1:]}.", ""]
    if entry.reference:
        lines += [f"Source: {entry.reference}.", ""]
    # The formula of a built-in method is in the docstring of its file, the rest in that of its class.
    module, factory = inspect.getmodule(entry.factory), entry.factory
    for doc in (inspect.getdoc(module), inspect.getdoc(factory)):
        if doc:
            lines += ["```text", doc, "```", ""]
    lines += [*computed, *options(entry)]
    file = Path(inspect.getsourcefile(factory) or "").resolve()
    lines += [f"Its file is `{file.relative_to(kept.DOCS.parent)}`.", ""]
    kept.write(kept.GENERATED / kind / f"{entry.name}.md", "\n".join(lines))


def options(entry: Entry) -> list[str]:
    """The table of an entry's options."""
    found = options_of(entry.factory)
    if not found:
        return ["It has no options.", ""]
    lines = ["## Options", "", "| option | is | default | |", "|---|---|---|---|"]
    for o in found:
        default = "required" if o.default is MISSING else f"`{_typed(o.default)}`"
        lines.append(f"| `{o.name}` | {_cell(describe(o.annotation))} | {_cell(default)} | {_cell(o.help)} |")
    return [*lines, ""]


def _typed(value: object) -> str:
    return json.dumps(registry.plain(value), ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<").replace("*", r"\*").replace("\n", " ")


def index(kind: str, plural: str, head: str, entries: Iterable[Entry], table: Iterable[str] = ()) -> None:
    """Write the page of a kind, which leads to those of its entries."""
    entries = list(entries)
    lines = [f"# {plural.capitalize()}", "", "| name | |", "|---|---|"]
    lines += [f"| [{e.name}]({kind}/{e.name}.md) | {_cell(e.summary)} |" for e in entries]
    lines += [
        "",
        head,
        "",
        *table,
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *(f"{kind}/{e.name}" for e in entries),
        "```",
        "",
    ]
    kept.write(kept.GENERATED / f"{plural}.md", "\n".join(lines))
