"""An experiment: everything that ``counterplay run`` needs to know, and the four places that it comes from.

These are defaults, a TOML file, the environment (COUNTERPLAY_STEPS=100) and the command line; the later ones win.
Within one of them the order does not matter: ``lr=0.1`` holds for every player and ``lr.x=0.2`` is an exception;
``rule=adam`` names the rule to which the option ``rule.betas`` belongs.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import msgspec
import tomli_w

from ..coerce import shown
from ..errors import UsageError, did_you_mean
from ..options import bounds_of, option, options_of
from ..settings import UserSettings
from ..typed_values import LARGEST, as_integer, from_toml_file, plain, typed, without_nulls
from .nested_options import EVERYONE, as_table, leaves, nested
from .registry import REGISTRY

Table = dict[str, Any]
Named = str | Table  # "simgd", or {"name": "simgd", options}

_PREFIX = "COUNTERPLAY_"
_SWITCHES = ("COUNTERPLAY_NO_PLUGINS", "COUNTERPLAY_DEBUG")


@dataclass(frozen=True, kw_only=True)
class Experiment(UserSettings):
    """What is run. The fields are the tables and keys of the TOML file; those with a help text are options too."""

    game: Named
    solver: Named
    loss: Named | None = None
    regularizers: list[Named] = option([], expected="a list of names or tables")
    device: str = option("cpu", "Where it runs.", metavar="cpu|cuda|cuda:N", usual="cpu")
    start: str | None = option(None, "Start from these parameters.", metavar="FILE.safetensors", path=True)
    trace: bool | None = option(None, "Replay traced graphs.", usual="from step 200 on")
    compile: bool | None = option(None, "Compile the step of a small game.", usual="from step 2000 on")
    out: str | None = option(None, "Where the run is written.", metavar="DIR", usual="runs/GAME-SOLVER-N", path=True)
    plugins: list[str] = option([], expected="a list of file names", path=True)


_OBJECTS = ("game", "solver", "loss", "regularizers")  # their options are checked when they are made
OPTIONS = {o.name: o for o in options_of(Experiment)}
FIELDS = tuple(sorted(OPTIONS, key=lambda name: name not in _OBJECTS))
_KINDS = {name: bounds_of(o.annotation)[0] for name, o in OPTIONS.items()}
_COUNTS = [name for name, kind in _KINDS.items() if kind is int]
_TEXTS = [n for n, kind in _KINDS.items() if (kind is str or get_origin(kind) is Literal) and n not in _OBJECTS]


def assignments(items: Iterable[str], flag: str) -> Table:
    """The table given by ``key=value`` texts in any order; ``a.b=value`` is nested. Raises UsageError with ``flag``."""
    parts: list[tuple[list[str], Any]] = []
    for item in items:
        path, text = assignment(item, flag)
        try:
            parts += leaves(path, typed(text))
        except UsageError as e:
            raise UsageError(f"{flag} {item[:60]}: {e}") from e
    return nested(parts)


def assignment(item: str, flag: str) -> tuple[list[str], str]:
    """The path and the text of the value in ``a.b=value``. Raises UsageError with ``flag``."""
    key, equals, text = item.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise UsageError(f"{flag} {item!r}: expected key=value, for example {flag} lr=0.01.")
    if path == ["name"]:
        raise UsageError(f"{flag} {item}: what {flag} sets are options, not what they belong to: name that itself.")
    return path, text.strip()


def merged(low: Any, high: Any) -> Any:
    """``low`` with the values of ``high`` over it, table by table.

    If ``high`` has another ``name``, the options in ``low`` are dropped, as they belong to another thing.
    """
    if isinstance(high, str) and isinstance(low, Mapping):
        high = {"name": high}
    if not isinstance(high, Mapping):
        return high
    if not isinstance(low, Mapping):
        if "name" in high or EVERYONE in high or low is None:
            return dict(high)
        low = as_table(low)
    if "name" in high and low.get("name", high["name"]) != high["name"]:
        return dict(high)
    return {**low, **{k: merged(low[k], v) if k in low else v for k, v in high.items()}}


def expand_everyone(named: Named, players: Sequence[str]) -> Named:
    """A solver's or regularizer's table in which each value for everyone is written out for each player."""

    def filled(x: Any) -> Any:
        if not isinstance(x, Mapping):
            return x
        others = {k: filled(v) for k, v in x.items() if k != EVERYONE}
        return {**dict.fromkeys(players, x[EVERYONE]), **others} if EVERYONE in x else others

    return {k: filled(v) for k, v in named.items()} if isinstance(named, Mapping) else named


def require_whole_or_in_parts(kind: str, named: str | Mapping[str, Any]) -> None:
    """Raise UsageError if an option was given both as one value and in parts, where the parts are not players."""
    for key, x in named.items() if isinstance(named, Mapping) else ():
        if isinstance(x, Mapping) and EVERYONE in x:
            part = next(k for k in [*x, "…"] if k != EVERYONE)
            raise UsageError(
                f"option {key!r} of the {kind} was given whole and in parts ({key}.{part}): give one of them."
            )
        if isinstance(x, Mapping):
            require_whole_or_in_parts(kind, x)


def from_file(path: str) -> Table:
    """The table in a TOML file. Raises UsageError, with the line if it is not TOML."""
    try:
        return from_toml_file(os.path.expanduser(path))
    except OSError as e:
        raise UsageError(f"--config {path}: cannot be read ({e.strerror}). Give the path of a TOML file.") from e
    except (ValueError, RecursionError) as e:
        raise UsageError(f"--config {path}: not TOML: {e}") from e
    except UsageError as e:
        raise UsageError(f"--config {path}: {e}") from e


def from_environment(environment: Mapping[str, str] = os.environ) -> Table:
    """The fields given by variables COUNTERPLAY_FIELD. Raises UsageError for a misspelt one, which would do nothing."""
    found: Table = {}
    for variable, text in environment.items():
        if not variable.startswith(_PREFIX) or variable in _SWITCHES:
            continue
        name = variable.removeprefix(_PREFIX)
        if name.isupper() and name.lower() in FIELDS:
            found[name.lower()] = value_of(name.lower(), text, f"{variable}=")
        elif near := difflib.get_close_matches(name.lower(), FIELDS, n=1, cutoff=0.8):  # others may be a plugin's
            raise UsageError(
                f"the environment variable {variable} is not known; did you mean {_PREFIX + near[0].upper()!r}? "
                f"Rename it or unset it."
            )
    return found


def value_of(field: str, text: str, given: str) -> Any:
    """The value of a field that is typed as text. ``given`` are the words before it, for a UsageError."""
    try:
        value = typed(text)
    except UsageError as e:
        raise UsageError(f"{given}{text[:60]}: {e}") from e
    return text if field in _TEXTS and not isinstance(value, str | None) else value  # a folder may be named 2024


def resolve(*layers: Table) -> Experiment:
    """Merge the layers, of which the last one wins, and check the result. Raises UsageError that names the field."""
    table: Table = {}
    for layer in layers:
        table = merged(table, layer)
    table = {field: x for field, x in table.items() if x is not None}  # null counts as not given
    for field, x in table.items():
        if field in _COUNTS:
            table[field] = as_integer(x)
        elif field in FIELDS and OPTIONS[field].metadata.get("path"):
            table[field] = [_expanded(p) for p in x] if isinstance(x, list) else _expanded(x)
    for name in table:
        if name not in FIELDS:
            raise UsageError(
                f"an experiment has no {name!r}{did_you_mean(name, FIELDS)} It has {', '.join(FIELDS)}; options of the "
                f"game and the solver go into their tables."
            )
    if not table.get("game"):
        raise UsageError("no game was named: give GAME or --config FILE. See counterplay list game.")
    if not table.get("solver"):
        raise UsageError("no solver was named: give --solver NAME or --config FILE. See counterplay list solver.")
    try:
        experiment = msgspec.convert({k: x if k in _OBJECTS else plain(x) for k, x in table.items()}, Experiment)
    except msgspec.ValidationError as e:
        raise UsageError(_explain(str(e), table)) from None
    for field, o in OPTIONS.items():  # what Python may be asked for: a seed that TOML cannot hold, and 0 for "never"
        if (field == "seed" and experiment.seed > LARGEST) or table.get(field, ...) == o.metadata.get("unsaid", None):
            raise UsageError(_explain(f" - at `$.{field}`", table))
    for field in ("game", "solver"):
        _named(field, getattr(experiment, field))
    if not isinstance(experiment.game, Mapping) or "loss" not in experiment.game:  # there -g loss=NAME may name it
        _named("loss", experiment.loss)
    for item in experiment.regularizers:
        _named("regularizers", item)
    return experiment


def _expanded(path: Any) -> Any:
    """A path with ``~`` as the home directory, which a shell does not do in files, in quotes or after ``--out=``."""
    return os.path.expanduser(path) if isinstance(path, str) else path


def _named(field: str, given: Named | None) -> None:
    """Raise UsageError for a table without a name."""
    if isinstance(given, Mapping) and not isinstance(given.get("name"), str):
        kind = "regularizer" if field == "regularizers" else field
        flag = f": --{kind} NAME" if kind != "game" else ""
        raise UsageError(f"{field}: options were given, but not whose. Name the {kind} as well{flag}.")


def with_regularizers(table: Table, names: Iterable[str], options: Table) -> list[Named] | None:
    """The regularizers ``names``, or else those of ``table``, with the options of ``-r NAME.key=value`` over theirs.

    If there is only one, ``-r key=value`` is enough. Raises UsageError if ``-r`` names another one.
    """
    items = list(names) or table.get("regularizers", [])
    if not isinstance(items, list) or not all(isinstance(i, str | Mapping) for i in items):
        return None  # wrong values from the file: :func:`resolve` reports them
    if not items:
        if options:
            raise UsageError("-r sets a regularizer's options, and none was named: add --regularizer NAME.")
        return None
    called = [i if isinstance(i, str) else i.get("name") for i in items]
    others = {*options} & {"regularizer", *REGISTRY.built_in("regularizer")} - {*called}
    if len(items) == 1 and not others and not (options.keys() <= set(called)):
        options = {called[0]: merged(options.get(called[0], {}), {k: x for k, x in options.items() if k != called[0]})}
    for name in options:
        if name not in called:
            raise UsageError(
                f"-r {name}...: not one of the regularizers named{did_you_mean(name, called)} "
                f"Expected -r NAME.key=value with NAME one of {', '.join(called)}."
            )
    return [merged(i, options[n]) if n in options else i for i, n in zip(items, called, strict=True)]


def _explain(message: str, table: Table) -> str:
    """The message for a mismatch that msgspec found: msgspec says where, and our words say what is expected."""
    reason, _, where = message.partition(" - at `$.")
    field = where.rstrip("`").split("[")[0].split(".")[0]
    given = table.get(field, reason)
    return f"{field.replace('_', '-')}: expected {_wanted(field, given)}, got {shown(given)}."


def _wanted(field: str, given: Any) -> str:
    """What a field accepts, in words."""
    known, (kind, least, _) = OPTIONS[field].metadata, bounds_of(OPTIONS[field].annotation)
    if "expected" in known:
        return str(known["expected"])
    if kind is int:
        large = isinstance(given, int) and given > LARGEST
        return "at most 2^63 - 1" if large else f"a whole number, {least + ('unsaid' in known)} or more"
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if field in ("game", "solver", "loss"):
        return "a name or a table with a name"
    return {float: "a positive number", bool: "true or false"}.get(kind, "text")


def to_table(experiment: Experiment) -> Table:
    """The experiment as a plain table, without the fields that are unset."""
    said = ((field, getattr(experiment, field)) for field in FIELDS)
    return {field: plain(x) for field, x in said if x is not None and x != OPTIONS[field].metadata.get("unsaid")}


def to_toml(experiment: Experiment) -> str:
    """The experiment as TOML. ``--config`` reads the same experiment from it."""
    return tomli_w.dumps(without_nulls(to_table(experiment)))
