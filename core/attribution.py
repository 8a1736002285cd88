"""Whose code failed: what a plugin raises in a run is told as its failure, whatever else it might be taken for.

A BrokenPipeError of a plugin's must not pass for a reader who went away, its sys.exit(0) for a good end, its
StorageError for a full disk.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from .errors import PluginError, UsageError

_OWN = __package__.partition(".")[0]
_NO_PLUGINS = {_OWN, "torch", "numpy", *sys.stdlib_module_names}


def ours(x: Any) -> bool:
    """Whether the class of ``x`` is one of counterplay's own."""
    return type(x).__module__.partition(".")[0] == _OWN


def foreign(*objects: Any) -> str:
    """The module of the first of ``objects`` and of what they are made of that is a plugin's; "" if none is."""
    return next(_modules(objects), "")


def blamed(error: BaseException, what: str, *objects: Any, refusing: bool = False) -> BaseException:
    """``error``, or the PluginError that it is told as: raised while ``what``, on the way through code of ``objects``.

    ``refusing``: a UsageError stays, as that of a method which does not take a game. A KeyboardInterrupt is the user's.
    """
    if isinstance(error, PluginError | KeyboardInterrupt) or (refusing and isinstance(error, UsageError)):
        return error
    place = _place(error, {m for x in objects for m in _modules(x)})
    if place is None and not isinstance(error, SystemExit | GeneratorExit):  # those are never the run's to decide
        return error
    module, where = place or (foreign(*objects), "")
    said = f"{type(error).__name__}: {error}".partition("\n")[0].strip(": ").rstrip(".")
    return PluginError(f"{what} raised {said}{where}.", module)


@contextlib.contextmanager
def guarded(what: str, *objects: Any, refusing: bool = False) -> Iterator[None]:
    """What is raised inside is told as :func:`blamed` tells it."""
    try:
        yield
    except BaseException as error:
        told = blamed(error, what, *objects, refusing=refusing)
        if told is error:
            raise
        raise told from error


def _place(error: BaseException, modules: set[str]) -> tuple[str, str] | None:
    """The innermost of ``modules`` that the error came through, and the line in words."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        for module in (frame.f_globals.get("__name__", ""), type(frame.f_locals.get("self")).__module__):
            if module in modules:
                own = module == frame.f_globals.get("__name__", "")
                return module, f" ({Path(frame.f_code.co_filename).name}, line {line})" if own else ""
    return None


def _modules(x: Any) -> Iterator[str]:
    """Where the classes and functions that ``x`` is made of come from, as far as they are plugins'."""
    if isinstance(x, Mapping | list | tuple):
        for part in x.values() if isinstance(x, Mapping) else x:
            yield from _modules(part)
        return
    named = [*type(x).__mro__, x] if callable(x) else type(x).__mro__
    for module in (getattr(c, "__module__", None) for c in named):
        if isinstance(module, str) and module.partition(".")[0] not in _NO_PLUGINS:
            yield module
    if is_dataclass(x) and not isinstance(x, type):
        for f in fields(x):
            yield from _modules(getattr(x, f.name, None))
