"""Import a package that only the ``analysis`` extra installs, or say how to install it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..core.errors import UsageError
from ..core.requirements import is_installed


def need(module: str, what: str, extra: str = "analysis") -> Any:
    """Import ``module`` and return it. Raises UsageError, with the command to type, if it is not installed.

    ``extra`` is the name under which counterplay installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the package is installed but broken
        package = f"'counterplay[{extra}]'" if is_installed("torch") else error.name  # the extra would bring torch
        raise UsageError(f"{what} needs {error.name}, which is not installed: pip install {package}") from error
