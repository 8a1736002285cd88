"""Attribution: an error that a plugin's code raises during a run is reported as a PluginError that names the plugin.

Without this an error could be taken for something else: a plugin's BrokenPipeError for a closed output, its
``sys.exit(0)`` for a successful end, its StorageError for a full disk.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from .errors import Interrupted, PluginError, UsageError, out_of_memory

_PACKAGE = __package__.partition(".")[0]
_NO_PLUGINS = {_PACKAGE, "torch", "numpy", *sys.stdlib_module_names}  # top-level packages that are no plugin's


def ours(x: Any) -> bool:
    """Whether the class of ``x`` is defined in counterplay itself."""
    return type(x).__module__.partition(".")[0] == _PACKAGE


def foreign(*objects: Any) -> str:
    """The first plugin's module that defines one of ``objects``, or something in their fields; "" if there is none."""
    return next(_modules(objects), "")


def attributed(error: BaseException, what: str, *objects: Any, refusing: bool = False) -> BaseException:
    """The error to raise in place of ``error``: a PluginError if it passed through a plugin's code, else ``error``.

    ``what`` says in words what raised it, as in "a step". The plugins are those that define ``objects`` or something
    in their fields. With ``refusing`` a UsageError stays as it is: a method may refuse a game. What interrupts a run
    from outside always stays. Where memory has run out nobody's code is to blame: that is an OutOfMemory.
    """
    if (lack := out_of_memory(error, what)) is not None:
        return lack
    if isinstance(error, PluginError | Interrupted | KeyboardInterrupt) or (refusing and isinstance(error, UsageError)):
        return error
    place = _place(error, {m for x in objects for m in _modules(x)})
    if place is None and not isinstance(error, SystemExit | GeneratorExit):  # counterplay itself never raises these two
        return error
    module, where = place or (foreign(*objects), "")
    message = f"{type(error).__name__}: {error}".partition("\n")[0].strip(": ").rstrip(".")
    return PluginError(f"{what} raised {message}{where}.", module)


@contextlib.contextmanager
def guarded(what: str, *objects: Any, refusing: bool = False) -> Iterator[None]:
    """A context in which an error is replaced as :func:`attributed` says."""
    try:
        yield
    except BaseException as error:
        reported = attributed(error, what, *objects, refusing=refusing)
        if reported is error:
            raise
        raise reported from error


def raised_at(error: BaseException, *objects: Any) -> str:
    """Where in the code of ``objects``, or of the classes they are, an error was raised: " (file, line n)", or ""."""
    place = _place(error, {module for x in objects for module in _modules(x)})
    return place[1] if place else ""


def _place(error: BaseException, modules: set[str]) -> tuple[str, str] | None:
    """Of the ``modules`` that the error passed through, the innermost, and in words the file and line; None if none."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        for module in (frame.f_globals.get("__name__", ""), type(frame.f_locals.get("self")).__module__):
            if module in modules:
                defined_here = module == frame.f_globals.get("__name__", "")  # else: inherited from another module
                return module, f" ({Path(frame.f_code.co_filename).name}, line {line})" if defined_here else ""
    return None


def _modules(x: Any) -> Iterator[str]:
    """The plugins' modules that define ``x``, its class, the class's bases, or what is in its items and fields."""
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
