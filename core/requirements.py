"""Packages that are not installed: what needs them says so in a sentence, with what to type.

Logs are read without torch, so that it may be missing where counterplay is installed.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module, metadata, util
from types import ModuleType

from .errors import UsageError

_REQUIRED = ("torch", "numpy", "h5py", "safetensors", "msgspec", "tomli-w", "rich")


class NotInstalled(UsageError, ModuleNotFoundError):
    """A package that counterplay requires is not installed."""


def imported(module: str) -> ModuleType:
    """The module of that name. Raises NotInstalled where it needs a package that counterplay requires."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise not_installed(error) or error from error


def not_installed(error: ModuleNotFoundError) -> NotInstalled | None:
    """``error`` as a sentence; None if counterplay does not require what is missing."""
    wanted = _requirement(error.name or "")
    if wanted is None:
        return None
    return NotInstalled(
        f"this needs {error.name}, which is not installed for {sys.executable}: python -m pip install '{wanted}'. "
        "Logs are read without torch: summary, plot, report, log.",
        name=error.name,
    )


def is_installed(package: str) -> bool:
    """Whether ``package`` can be imported; it is not."""
    try:
        return util.find_spec(package) is not None
    except ValueError:  # its import is forbidden
        return False


def _requirement(module: str) -> str | None:
    """What pip must install if ``module`` is missing; None if counterplay does not require it."""
    name = module.partition(".")[0].replace("_", "-")
    if name not in _REQUIRED:
        return None
    try:
        required = metadata.requires(__name__.partition(".")[0]) or []
    except metadata.PackageNotFoundError:  # counterplay is used from its source and is not installed
        required = []
    return next((one for one in required if re.match(rf"{name}\b", one) and ";" not in one), name)
