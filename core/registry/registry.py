"""The registry: makes things by name, of each kind in `kinds`, built in or from plugins.

The packages of built-ins are imported when a thing of their kind is asked for. Installed plugins of third parties are
imported only to list them, or when a name is not built in. If two things have the same name, the first one stays, and
the other is reported and dropped.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
import pluggy

from ..coerce import Mismatch, coerce, describe, shown
from ..errors import PluginError, UsageError, UserError, did_you_mean
from ..options import MISSING, Option, options_of
from ..requirements import imported
from . import third_party
from .hookspecs import HOOKS, PROJECT, Entry
from .kinds import KINDS, ROOT, base_of, kind_name, kind_of, meant
from .third_party import Plugin, Problem

BUILT_IN = "built in"
COMMANDS = f"{ROOT}.analysis.commands.commands"


@dataclasses.dataclass(frozen=True)
class Registered:
    """An entry and where it comes from: ``source`` in words, and the plugin if it is one's."""

    entry: Entry
    source: str
    plugin: Plugin | None = None


class Registry:
    """The plugins and entries of one process. The functions of this module use ``REGISTRY``; tests make their own."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(type("Hooks", (), HOOKS))
        self.plugins: list[Plugin] = []
        self.problems: list[Problem] = []
        self._known: dict[str, dict[str, Registered]] = {}
        self._third_parties_loaded = False

    def built_in(self, kind: str) -> dict[str, Registered]:
        """The entries of a kind that are known already, by name: built-ins, and those of plugins that are loaded."""
        if kind not in self._known:
            module = imported(f"{ROOT}.{KINDS[kind].home}")
            if not self.manager.is_registered(module):
                self.manager.register(module)
            items = getattr(module, KINDS[kind].hook)()
            known = self._known[kind] = {e.name: Registered(e, BUILT_IN) for e in items}
            for plugin in self.plugins:
                self._add_entries(kind, plugin, known)
        return self._known[kind]

    def add(self, plugin: Plugin) -> None:
        """Register one plugin. What is wrong with it is added to ``problems``."""
        if any(plugin.object is p.object for p in self.plugins):
            return
        third_party.register(self.manager, plugin, self.problems)
        if self.manager.is_registered(plugin.object):
            self.plugins.append(plugin)
            for kind, known in self._known.items():
                self._add_entries(kind, plugin, known)

    def _add_entries(self, kind: str, plugin: Plugin, known: dict[str, Registered]) -> None:
        """Add the plugin's entries of a kind to ``known``, except those whose name is taken."""
        for entry in third_party.entries(self.manager, KINDS[kind].hook, plugin, self.problems):
            if (first := known.get(entry.name)) is not None:
                self._report_taken(f"{kind} name {entry.name!r}", first.source, plugin)
            else:
                known[entry.name] = Registered(entry, plugin.source, plugin)

    def _report_taken(self, what: str, by: str, plugin: Plugin) -> None:
        self.problems.append(Problem(plugin.source, f"the {what} is taken ({by}); this one was dropped"))

    def load_third_parties(self) -> None:
        """Import every installed plugin, once."""
        if self._third_parties_loaded:
            return
        self._third_parties_loaded = True  # before loading: a plugin may itself ask for things by name
        for plugin in third_party.installed(self.problems):
            self.add(plugin)

    def commands(self, ours: Iterable[str]) -> dict[str, click.Command]:
        """The commands of third parties, by name. Those whose name is one of ``ours``, or taken, are left out."""
        self.load_third_parties()
        sources, commands = dict.fromkeys(ours, BUILT_IN), dict[str, click.Command]()
        for plugin in self.plugins:
            with third_party.guard(plugin.source, self.problems):
                for name, command in third_party.commands_of(self.manager, plugin.object).items():
                    if name in sources:
                        self._report_taken(f"command name {name!r}", sources[name], plugin)
                    else:
                        sources[name], commands[name] = plugin.source, command
        return commands

    def all(self, kind: str) -> dict[str, Registered]:
        """Every entry of a kind by name, third parties included."""
        kind = kind_name(kind)
        known = self.built_in(kind)
        self.load_third_parties()
        return known

    @contextlib.contextmanager
    def without_third_parties(self) -> Iterator[None]:
        """A context in which no installed plugin is imported: names mean built-ins, or things of loaded plugins."""
        before, self._third_parties_loaded = self._third_parties_loaded, True
        try:
            yield
        finally:
            self._third_parties_loaded = before

    def find(self, kind: str, name: str) -> Registered:
        """The entry of that name. Raises UsageError that suggests the nearest name."""
        kind = kind_name(kind)
        found = self.built_in(kind).get(name)
        if found is None:
            found = self.all(kind).get(name)
        if found is None:
            known = sorted(self._known[kind])
            raise UsageError(
                f"unknown {kind} {name!r}{meant(kind, name, known)} "
                f"The {KINDS[kind].plural} are {', '.join(known) or 'none'}.{self._why_missing(name)}"
            )
        return found

    def _why_missing(self, name: str) -> str:
        """What is known about an entry that was dropped, or that there are plugins with problems; "" if neither."""
        if (dropped := next((p for p in self.problems if f" {name}: " in f" {p.message}"), None)) is not None:
            return f" The entry of that name was dropped: {dropped}."
        failed = len({p.plugin for p in self.problems})
        return f" ({failed} plugin(s) have problems: see counterplay list.)" if failed else ""

    def make(self, kind: str, what: Any, **options: Any) -> Any:
        """Make a thing of this kind from a name, or a table {"name": ..., options}; an object is returned as it is.

        Raises UsageError for a wrong name or option, PluginError if a plugin's factory fails.
        """
        kind = kind_name(kind)
        if isinstance(what, Mapping):
            if not isinstance(what.get("name"), str):
                raise UsageError(f'a {kind} was given as a table without a name: {{"name": ..., options}} expected.')
            options = {**{k: v for k, v in what.items() if k != "name"}, **options}
            what = what["name"]
        if isinstance(what, str):
            return self._build(kind, self.find(kind, what), options)
        if not isinstance(what, base_of(kind)):
            raise UsageError(f"a {kind} is given by name or as a {kind} object, got {type(what).__name__}.")
        if options:
            raise UsageError(
                f"options ({', '.join(options)}) cannot be set on a {kind} that is made already: "
                f"give its name, or set them where it is made."
            )
        return what

    def _build(self, kind: str, registered: Registered, options: dict[str, Any]) -> Any:
        entry = registered.entry
        who = f"{kind} {entry.name}"
        known = {o.name: o for o in options_of(entry.factory)}
        for name in options:
            if name not in known:
                has = f"Its options are {', '.join(known)}." if known else "It has no options."
                raise UsageError(f"{who} has no option {name!r}{did_you_mean(name, known)} {has}")
        for o in known.values():
            if o.default is MISSING and o.name not in options:
                raise UsageError(f"{who} needs the option {o.name!r}: {describe(o.annotation)}. {o.help}".rstrip())
        values = {known[name].field: self._value(who, known[name], value) for name, value in options.items()}
        try:
            made = entry.factory(**values)
        except UserError:
            raise
        except (TypeError, ValueError) as e:
            raise UsageError(f"{who} does not accept these options: {e}") from e
        except Exception as e:
            if registered.plugin is None:
                raise
            raise PluginError(f"{who} ({registered.source}) failed to start: {type(e).__name__}: {e}") from e
        if registered.plugin is not None and not isinstance(made, base_of(kind)):
            raise PluginError(f"{who} ({registered.source}) is not a counterplay.{base_of(kind).__name__}.")
        return made

    def _value(self, who: str, option: Option, value: Any) -> Any:
        if isinstance(value, Mapping) and "name" not in value and isinstance(option.annotation, type):
            if kind_of(option.annotation):  # options of the thing that is there by default
                by_default = option.default if isinstance(option.default, Mapping) else {"name": option.default}
                value = {**by_default, **value} if isinstance(by_default["name"], str) else value
        try:
            return coerce(value, option.annotation, self._nested)
        except Mismatch as e:
            expected = describe(option.annotation)
            hint = f" {e}" if str(e) else ""
            raise UsageError(
                f"option {option.name!r} of {who}: expected {expected}, got {shown(value)}.{hint}"
            ) from None
        except UsageError as e:
            raise UsageError(f"option {option.name!r} of {who}: {e}") from e

    def _nested(self, cls: type, value: Any) -> Any:
        kind = kind_of(cls)
        if kind is None:
            raise Mismatch
        return self.make(kind, value)

    def owner(self, module: str) -> Plugin | None:
        """The plugin to which a module belongs, if it is one's: to name the right one when something fails in a run."""
        return next((plugin for plugin in self.plugins if plugin.owns(module)), None)

    def origin(self, kind: str, name: str) -> dict[str, str]:
        """Where a thing comes from, as run.json records it: its source, and for a plugin the digest of its code."""
        found = self.find(kind, name)
        code = found.plugin.sha256(found.entry.factory) if found.plugin else None
        return {"kind": kind, "name": name, "source": found.source} | ({"sha256": code} if code else {})


REGISTRY = Registry()


def entries(kind: str) -> list[Entry]:
    """Every entry of a kind, third parties included."""
    return [r.entry for r in REGISTRY.all(kind).values()]


def find(kind: str, name: str) -> Entry:
    """The entry of that name. Raises UsageError that suggests the nearest name."""
    return REGISTRY.find(kind, name).entry


def make(kind: str, what: Any, /, **options: Any) -> Any:
    """Make a solver, loss, regularizer or game by name, with its options. An object of the kind is returned itself."""
    return REGISTRY.make(kind, what, **options)


def problems() -> list[Problem]:
    """All problems of the plugins loaded so far, without repetition."""
    return list(dict.fromkeys(REGISTRY.problems))


def load_file(path: str) -> None:
    """Load the plugin file that a user named. Raises UsageError or PluginError."""
    REGISTRY.add(third_party.from_file(path, REGISTRY.problems))


def settings(thing: Any) -> dict[str, Any]:
    """The table from which ``make`` makes the same thing again: its name and its options, as plain values.

    An option that is null by default and was not set is left out.
    """
    cls = type(thing)
    table: dict[str, Any] = {}
    if (kind := kind_of(cls)) is not None:
        names = [n for n, r in REGISTRY.built_in(kind).items() if r.entry.factory is cls]
        table["name"] = names[0] if names else cls.__name__
    elif isinstance(name := getattr(cls, "name", None), str):
        table["name"] = name
    if dataclasses.is_dataclass(cls):
        values = ((o, getattr(thing, o.field)) for o in options_of(cls))
        table |= {o.name: plain(value) for o, value in values if not (value is None is o.default)}
    return table


def plain(value: Any) -> Any:
    """A value in the types of TOML and JSON; objects with options become tables, others text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return settings(value)
    return str(value)
