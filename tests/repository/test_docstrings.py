"""Every public method says what it does, or is that of a base class which does."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

from ..support import wheel


def _public_classes() -> Iterator[type]:
    for path in wheel.files():
        if path.suffix == ".py":
            name = ".".join(["counterplay", *path.with_suffix("").parts]).removesuffix(".__init__")
            for kind in vars(importlib.import_module(name)).values():
                if inspect.isclass(kind) and kind.__module__ == name and not kind.__name__.startswith("_"):
                    yield kind


def _public_methods(kind: type) -> Iterator[str]:
    fields = getattr(kind, "__dataclass_fields__", {})  # a default may be a function
    for name, found in vars(kind).items():
        if inspect.isfunction(found) or isinstance(found, property | classmethod | staticmethod):
            if not name.startswith("_") and name not in fields:
                yield name


def test_public_methods_are_documented() -> None:
    classes = list(_public_classes())
    assert len(classes) > 100
    undocumented = [
        f"{kind.__module__}.{kind.__qualname__}.{name}"
        for kind in classes
        for name in _public_methods(kind)
        if not inspect.getdoc(getattr(kind, name))
    ]
    assert undocumented == []
