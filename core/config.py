"""An experiment: everything ``counterplay run`` needs to know, and the four places it comes from.

Defaults, then a TOML file, then the environment (COUNTERPLAY_STEPS=100), then the command line: the later wins.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomli_w

from .errors import UsageError, did_you_mean
from .options import Count

Table = dict[str, Any]
Named = str | Table  # "simgd", or {"name": "simgd", options}

_PREFIX = "COUNTERPLAY_"
_SWITCHES = ("COUNTERPLAY_NO_PLUGINS", "COUNTERPLAY_DEBUG")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Experiment(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What is run. The fields are the tables and keys of the TOML file."""

    game: Named
    solver: Named
    loss: Named | None = None
    regularizers: list[Named] = []
    steps: Annotated[int, msgspec.Meta(ge=0)] = 1000
    until: str | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    members: Count | None = None
    device: str = "cpu"
    dtype: Literal["float32", "float64"] | None = None
    every: Count = 1
    spectrum_every: Count | None = None
    checkpoint_every: Count | None = None
    sample_every: Count | None = None
    start: str | None = None
    blowup: Annotated[float, msgspec.Meta(gt=0)] | None = None
    trace: bool | None = None
    compile: bool | None = None
    out: str | None = None
    plugins: list[str] = []


FIELDS = Experiment.__struct_fields__


def value(text: str) -> Any:
    """One value as users type it: a TOML scalar, list or table, else the text itself. ``.5`` and ``1.`` are numbers."""
    try:
        parsed = tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
        return parsed if isinstance(parsed, (bool, int, float, str, list, dict)) else text  # a date is text
    except tomllib.TOMLDecodeError:
        return float(text) if _NUMBER.fullmatch(text) else text


def assignments(items: Iterable[str], flag: str) -> Table:
    """Merge ``key=value`` texts, ``a.b=value`` nested. Raises UsageError naming ``flag``."""
    table: Table = {}
    for item in items:
        key, equals, text = item.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise UsageError(f"{flag} {item!r}: expected key=value, for example {flag} lr=0.01.")
        if path == ["name"]:
            raise UsageError(f"{flag} {item}: what {flag} sets are options, not what they belong to: name that itself.")
        nested: Any = value(text.strip())
        for part in reversed(path):
            nested = {part: nested}
        table = merged(table, nested)
    return table


def merged(low: Any, high: Any) -> Any:
    """``high`` over ``low``, table by table. Another ``name`` starts afresh: the options were the other one's."""
    if isinstance(low, str) and isinstance(high, Mapping) and "name" not in high:
        return {"name": low, **high}  # rule=adam, then rule.betas=...
    if isinstance(high, str) and isinstance(low, Mapping) and "name" in low:
        high = {"name": high}
    if not isinstance(low, Mapping) or not isinstance(high, Mapping):
        return high
    if "name" in high and low.get("name", high["name"]) != high["name"]:
        return dict(high)
    return {**low, **{k: merged(low[k], v) if k in low else v for k, v in high.items()}}


def from_file(path: str) -> Table:
    """Read a TOML file. Raises UsageError with its line."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as e:
        raise UsageError(f"--config {path}: cannot be read ({e.strerror}). Give the path of a TOML file.") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UsageError(f"--config {path}: not TOML: {e}") from e


def from_environment(environment: Mapping[str, str] = os.environ) -> Table:
    """Read COUNTERPLAY_FIELD for every field. Raises UsageError for a misspelt one, which would silently do nothing."""
    table: Table = {}
    for variable, text in environment.items():
        if not variable.startswith(_PREFIX) or variable in _SWITCHES:
            continue
        name = variable.removeprefix(_PREFIX)
        if name.isupper() and name.lower() in FIELDS:
            table[name.lower()] = value(text)
        elif near := difflib.get_close_matches(name.lower(), FIELDS, n=1, cutoff=0.8):  # others are a plugin's business
            raise UsageError(
                f"the environment variable {variable} is not known; did you mean {_PREFIX + near[0].upper()!r}? "
                f"Rename it or unset it."
            )
    return table


def resolve(*layers: Table) -> Experiment:
    """Merge the layers, the last one winning, and check the whole. Raises UsageError naming the field."""
    table: Table = {}
    for layer in layers:
        table = merged(table, layer)
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
        experiment = msgspec.convert(table, Experiment)
    except msgspec.ValidationError as e:
        raise UsageError(_explain(str(e), table)) from None
    for field in ("game", "solver", "loss"):
        _named(field, getattr(experiment, field))
    for item in experiment.regularizers:
        _named("regularizers", item)
    return experiment


def _named(field: str, given: Named | None) -> None:
    if isinstance(given, Mapping) and not isinstance(given.get("name"), str):
        kind = "regularizer" if field == "regularizers" else field
        raise UsageError(f"{field}: options were given, but not whose. Name the {kind} as well.")


def with_regularizers(table: Table, names: Iterable[str], options: Table) -> list[Named] | None:
    """The regularizers of ``table``, or those ``names``d instead, with ``-r NAME.key=value`` options over theirs.

    Where there is one only, ``-r key=value`` is enough.
    """
    items = list(names) or table.get("regularizers", [])
    if not isinstance(items, list):
        return None  # the file's, and wrong: its check says so
    if not items:
        if options:
            raise UsageError("-r sets a regularizer's options, and none was named: add --regularizer NAME.")
        return None
    called = [i if isinstance(i, str) else i.get("name") for i in items]
    if len(items) == 1 and not (options.keys() <= set(called)):
        options = {called[0]: options}
    for name in options:
        if name not in called:
            raise UsageError(
                f"-r {name}...: not one of the regularizers named{did_you_mean(name, called)} "
                f"Expected -r NAME.key=value with NAME one of {', '.join(called)}."
            )
    return [merged(i, options[n]) if n in options else i for i, n in zip(items, called, strict=True)]


_EXPECTED = {  # what a field takes, in words; the type checks it, this says it
    "steps": "a whole number, 0 or more",
    "seed": "a whole number from 0 to 2^63 - 1",
    "dtype": "float32 or float64",
    "blowup": "a positive number",
    "regularizers": "a list of names or tables",
    "plugins": "a list of file names",
} | dict.fromkeys(
    ("members", *(f"{what}every" for what in ("", "spectrum_", "checkpoint_", "sample_"))), "a whole number, 1 or more"
)


def _explain(message: str, table: Table) -> str:
    """What was expected where msgspec found a mismatch: it knows the place, we have the words."""
    reason, _, where = message.partition(" - at `$.")
    field = where.rstrip("`").split("[")[0].split(".")[0]
    wanted = _EXPECTED.get(field, "a name or a table with a name" if field in ("game", "solver", "loss") else "text")
    return f"{field.replace('_', '-')}: expected {wanted}, got {table.get(field, reason)!r}."


def to_table(experiment: Experiment) -> Table:
    """The experiment as a plain table, without what is unset: TOML has no null."""
    return without_none(msgspec.to_builtins(experiment))


def without_none(x: Any) -> Any:
    """The same nested tables without their unset entries."""
    if isinstance(x, Mapping):
        return {k: without_none(v) for k, v in x.items() if v is not None}
    return [without_none(v) for v in x] if isinstance(x, list) else x


def to_toml(experiment: Experiment) -> str:
    """The experiment as TOML that ``--config`` reads back to the same one."""
    return tomli_w.dumps(to_table(experiment))
