"""The gallery: pages of everything registered."""

from __future__ import annotations

from counterplay.core.registry import registry
from counterplay.core.registry.kinds import KINDS

from . import entries, games, kept, spectra, terms

HEADS = {
    "solver": """The table shows the least ρ(F') that each solver reaches at the equilibrium of three games, over steps
of size 0.001 to 3 and with all other options at their defaults. Below 1 it converges: the smaller, the faster. Other
options and step rules change that. The page of a solver says how this is computed.""",
}


LINES = {
    "solver": spectra.lines,
    "game": games.lines,
    "loss": terms.loss_lines,
    "regularizer": terms.regularizer_lines,
}


def write() -> None:
    """Write the page of each kind and of each of its entries."""
    for kind in KINDS.values():
        found = registry.entries(kind.name)
        for page in (kept.GENERATED / kind.name).glob("*.md"):
            if page.stem not in {e.name for e in found}:  # of an earlier build
                page.unlink()
        for entry in found:
            computed = LINES[kind.name](entry.name) if kind.name in LINES else ()
            entries.page(kind.name, entry, computed)
        head = HEADS.get(kind.name, "")
        table = spectra.table([e.name for e in found]) if kind.name == "solver" else []
        entries.index(kind.name, kind.plural, head, found, table)
