"""Plugins of third parties, found by entry point or named as a file. Each is loaded by itself under a guard.

An error in a plugin, while it is imported, registered or asked for its entries, is reported with its name; other
plugins and the built-ins still work. Settings of torch that it changes are put back. A plugin that takes long is named
on the standard error. There is no protection from a plugin that never ends, or that ends the process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import inspect
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click
import pluggy

from ..errors import PluginError, UsageError, printable
from ..process.global_state import restoring_torch_settings
from ..process.signals import ctrl_c
from ..process.streams import stdout_to_stderr
from .hookspecs import HOOKS, PROJECT, Entry
from .sibling_modules import make_importable, neighbours
from .source_digest import source_sha256

SLOW_SECONDS = 2.0  # a plugin that takes longer to load is named

_NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one plugin."""

    plugin: str
    message: str

    def __str__(self) -> str:
        return printable(" ".join(f"{self.plugin}: {self.message}".split()))


@dataclasses.dataclass(frozen=True)
class Plugin:
    """A loaded plugin: the object whose hooks are called, and where it comes from."""

    object: Any
    source: str  # "mypackage 1.2" or "file mine.py"
    file: str | None
    neighbours: Mapping[str, Path] = dataclasses.field(default_factory=dict)  # what a file imports from its folder

    def owns(self, module: str) -> bool:
        """Whether a module is the plugin's: in the same package, or a neighbour of its file."""
        home = str(getattr(self.object, "__name__", None) or getattr(self.object, "__module__", ""))
        first = module.split(".")[0]
        return module == home or first == home.split(".")[0] or first in self.neighbours

    def sha256(self, factory: Any) -> str | None:
        """The digest of the code that defines ``factory``, which is recorded with the runs that use it."""
        return source_sha256(str(getattr(factory, "__module__", "")), self.file, *self.neighbours.values())


@contextlib.contextmanager
def guard(plugin: str, problems: list[Problem]) -> Iterator[None]:
    """A context in which an error of a plugin becomes one of ``problems``, and its output goes to the standard error.

    Also SystemExit is caught, as plugins call sys.exit. A KeyboardInterrupt is raised if the user pressed Ctrl-C.
    """

    def report(message: str) -> None:
        problems.append(Problem(plugin, message))

    with ctrl_c() as pressed, restoring_torch_settings(report), _named_if_slow(plugin):
        try:
            with stdout_to_stderr():  # what a plugin prints must not get into the output of --json
                yield
        except BaseException as e:
            if isinstance(e, KeyboardInterrupt) and pressed():
                raise
            report(" ".join(f"{type(e).__name__}: {e}".split()).strip(": "))  # pluggy's messages have several lines


@contextlib.contextmanager
def _named_if_slow(plugin: str) -> Iterator[None]:
    """Name the plugin on the standard error as soon as the code inside has taken more than ``SLOW_SECONDS``."""
    errors = sys.stderr  # kept here, because it is replaced while the plugin is loaded

    def tell() -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the stream is closed, or there is none
            words = f"The plugin {plugin} has not been loaded after {SLOW_SECONDS:g} seconds; still waiting for it."
            errors.write(printable(words) + "\n")
            errors.flush()

    timer = threading.Timer(SLOW_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def installed(problems: list[Problem]) -> list[Plugin]:
    """Load every installed plugin, in a fixed order. With COUNTERPLAY_NO_PLUGINS=1 none is loaded."""
    if os.environ.get("COUNTERPLAY_NO_PLUGINS", "0") not in ("", "0"):
        return []
    plugins: list[Plugin] = []
    for point in sorted(entry_points(group=PROJECT), key=_order):
        source = _source(point)
        with guard(source, problems):
            loaded = point.load()
            if all(loaded is not p.object for p in plugins):  # two entry points may name one module
                plugins.append(Plugin(loaded, source, _file_of(loaded)))
    return plugins


def _order(point: EntryPoint) -> tuple[str, str]:
    return _source(point).lower(), point.name


def _source(point: EntryPoint) -> str:
    try:
        about = point.dist.metadata  # type: ignore[union-attr]
        return f"{about['Name'] or point.name} {about['Version'] or '(no version)'}"
    except Exception:  # the metadata of a plugin may be broken as well
        return f"entry point {point.name}"


def _file_of(loaded: Any) -> str | None:
    """The file of a plugin that is a module, or of the module that defines it."""
    module = loaded if inspect.ismodule(loaded) else sys.modules.get(getattr(loaded, "__module__", ""))
    return getattr(module, "__file__", None)


def from_file(path: str, problems: list[Problem]) -> Plugin:
    """Load the file that a user named. Raises UsageError if there is none, PluginError if it cannot be imported."""
    file = Path(os.path.expanduser(path)).resolve()
    if not file.is_file():
        raise UsageError(f"--plugin {path}: there is no such file. Give the path of a Python file.")
    name = f"counterplay_plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    beside = neighbours(file)
    if name not in sys.modules:
        make_importable(beside, path)
        _import_file(name, file, path, problems)
    return Plugin(sys.modules[name], f"file {path}", str(file), beside)


def _import_file(name: str, file: Path, given: str, problems: list[Problem]) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"--plugin {given}: not a Python file (its name should end in .py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their annotations there
    found: list[Problem] = []
    imported = False
    with guard(f"file {given}", found):
        spec.loader.exec_module(module)
        imported = True
    if not imported:
        sys.modules.pop(name, None)
        why, hint = found[0].message, ". A plugin file is in no package: import what is beside it without the dot."
        raise PluginError(f"--plugin {given} cannot be imported: {why}{hint * ('attempted relative import' in why)}")
    problems += found


def register(manager: pluggy.PluginManager, plugin: Plugin, problems: list[Problem]) -> None:
    """Register a plugin with pluggy, and report hooks that it implements but that do not exist."""
    callers: list[pluggy.HookCaller] = []
    with guard(plugin.source, problems):
        manager.register(plugin.object)
        callers = manager.get_hookcallers(plugin.object) or []
        for caller in callers:
            if not caller.has_spec():
                unknown = f"unknown hook {caller.name}: the hooks are {', '.join(HOOKS)}"
                problems.append(Problem(plugin.source, unknown))
        if not callers:
            problems.append(
                Problem(plugin.source, "implements no hook: mark a register_ function with @counterplay.hookimpl")
            )
    if not callers and manager.is_registered(plugin.object):  # pluggy before 1.6 keeps a plugin that it has refused
        manager.unregister(plugin.object)


def entries(manager: pluggy.PluginManager, hook: str, plugin: Plugin, problems: list[Problem]) -> list[Entry]:
    """Call one plugin's hook, and return the sound entries of its answer. The others become problems."""
    found: list[Entry] = []
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        if implementation.plugin is plugin.object:
            with guard(plugin.source, problems):
                answer = implementation.function()
                if isinstance(answer, (str, Entry)) or not isinstance(answer, Iterable):
                    shown = type(answer).__name__
                    raise TypeError(f"{hook} returned {shown}; expected a list of counterplay.Entry items")
                for entry in answer:
                    if wrong := _unsound(entry):
                        problems.append(Problem(plugin.source, f"{hook}: {wrong}"))
                    else:
                        found.append(entry)
    return found


def commands_of(manager: pluggy.PluginManager, plugin: Any) -> dict[str, click.Command]:
    """The commands that one plugin's ``register_commands`` adds, by name."""
    group = click.Group()  # a new one, so that a plugin cannot replace commands of counterplay
    others = [p for p in manager.get_plugins() if p is not plugin]
    manager.subset_hook_caller("register_commands", others)(group=group)
    return {name: command for name, command in group.commands.items() if isinstance(command, click.Command)}


def _unsound(entry: Any) -> str | None:
    """What is wrong with an entry, in words; None: nothing."""
    if not isinstance(entry, Entry):
        return f"returned a {type(entry).__name__} among its items; expected counterplay.Entry"
    if not isinstance(entry.name, str) or not _NAME.fullmatch(entry.name):
        return f"the name {entry.name!r} is not lower-case words joined by '-'"
    if not isinstance(entry.summary, str) or not isinstance(entry.reference, str):
        return f"{entry.name}: summary and reference must be text"
    factory = entry.factory
    if not (isinstance(factory, type) and dataclasses.is_dataclass(factory)):
        return f"{entry.name}: its factory is not a dataclass, so it has no options to set or record"
    if not factory.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return f"{entry.name}: its dataclass is not frozen (@dataclass(frozen=True)), so a run could change its options"
    return None
