"""Options: the fields of a frozen dataclass, each with a type, a default and a line of help.

A plugin writes ``gamma: Setting = option(0.1, "weight of the consensus term")``. A range is part of the type, as in
``batch: Count``, a whole number of 1 or more.
"""

from __future__ import annotations

import builtins
import dataclasses
import re
import sys
import types
import typing
from collections import ChainMap
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Decay = Annotated[float, Meta(ge=0, lt=1)]  # the share of a running average that is kept in each step
Share = Annotated[float, Meta(ge=0, le=1)]
OpenShare = Annotated[float, Meta(gt=0, lt=1)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
StepSize = NonNegative | list[NonNegative] | dict[str, NonNegative | list[NonNegative]]
"""The type of ``lr``: a number of 0 or more, one for each member, or either of these for each player."""

MISSING: Any = dataclasses.MISSING  # the default of an option that must be given


NAMES: dict[Any, str] = {}
"""The names under which classes are registered, as far as they have been listed in this process."""


def called(thing: Any) -> str:
    """The registered name of ``thing``, as "ema"; that of its class where it has none."""
    return NAMES.get(type(thing), type(thing).__name__)


def option(default: Any = MISSING, help: str = "", **metadata: Any) -> Any:
    """Return a dataclass field with this default and help. A list, dict or set is copied for each object."""
    metadata = {"help": help, **metadata}
    if isinstance(default, (list, dict, set)):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    if default is MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a factory, which is a dataclass.

    ``field`` is the name of its field: that of the option, or with an underscore after it where a method has that name.
    """

    name: str
    annotation: Any
    default: Any  # MISSING if it must be given
    help: str
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    field: str = ""


def options_of(factory: Any) -> list[Option]:
    """Return the options of a dataclass in the order of its arguments; keyword-only ones come last.

    The help is that of the field, or else the text after ``name:`` in the docstring of the class.
    """
    hints = _hints(factory)
    options = []
    for field in sorted(dataclasses.fields(factory), key=lambda field: bool(field.kw_only)):
        if not field.init or field.name.startswith("_"):
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        name = field.name.removesuffix("_")
        help = field.metadata.get("help", "") or _from_docstring(factory, name)
        options.append(Option(name, hints.get(field.name, Any), default, help, field.metadata, field.name))
    return options


def _hints(factory: Any) -> dict[str, Any]:
    """The types of the fields. A name that is imported for type checkers only counts as Any."""
    try:
        return typing.get_type_hints(factory, include_extras=True)
    except NameError:
        modules = [vars(sys.modules[c.__module__]) for c in factory.__mro__]
        return typing.get_type_hints(factory, localns=_Scope(*modules, vars(builtins)), include_extras=True)


def bounds_of(annotation: Any) -> tuple[Any, Any, Any]:
    """The type of a value that may be None, and its least and its largest value; None where there is none."""
    union = get_origin(annotation) in (Union, types.UnionType)
    kind, *_ = [a for a in get_args(annotation) if a is not types.NoneType] if union else [annotation]
    kind, *notes = get_args(kind) if get_origin(kind) is Annotated else [kind]
    least, most = (next((x for m in notes if (x := getattr(m, n, None)) is not None), None) for n in ("ge", "le"))
    return kind, least, most


class _Scope(ChainMap[str, Any]):
    def __missing__(self, name: str) -> Any:
        return Any


def _from_docstring(factory: Any, name: str) -> str:
    match = re.search(rf"^\s*`*{name}`*\s*:\s+(.+)$", factory.__doc__ or "", re.MULTILINE)
    return match.group(1).strip() if match else ""
