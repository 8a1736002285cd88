"""The list of the built-in data sets, and other data that games draw from."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .digits import DigitImages


@hookimpl
def register_datasets() -> list[Entry]:
    """The built-in data sets."""
    return [
        Entry(
            "digits", DigitImages, "1,797 grey handwritten digits of scikit-learn, 8x8", "Alpaydin, Kaynak 1998, UCI"
        ),
    ]
