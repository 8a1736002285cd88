"""The list of the built-in metrics of images."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl


@hookimpl
def register_metrics() -> list[Entry]:
    """The built-in metrics."""
    return []
