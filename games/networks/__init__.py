"""The list of the built-in networks for images. For other packages: `layers`, from which networks are made."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .mlp import Mlp


@hookimpl
def register_networks() -> list[Entry]:
    """The built-in networks."""
    return [
        Entry("mlp", Mlp, "fully connected, hidden layers of one width", "Goodfellow et al. 2014, arXiv 1406.2661"),
    ]
