"""The gallery: pages of everything registered."""

from __future__ import annotations

from counterplay.core.registry import registry
from counterplay.core.registry.kinds import KINDS

from . import entries


def write() -> None:
    """Write the page of each kind and of each of its entries."""
    for kind in KINDS.values():
        found = registry.entries(kind.name)
        for entry in found:
            entries.page(kind.name, entry)
        entries.index(kind.name, kind.plural, f"What `counterplay list {kind.name}` lists.", found)
