"""Import what only the ``analysis`` extra installs, or say how to get it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..core.errors import UsageError


def need(module: str, what: str) -> Any:
    """Return the imported ``module``; UsageError with the command to type where it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # it is installed and itself broken
        raise UsageError(
            f"{what} needs {error.name}, which is not installed: pip install 'counterplay[analysis]'"
        ) from error
