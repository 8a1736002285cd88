"""The names that code uses, the library that code belongs to, and which objects never change."""

from __future__ import annotations

import collections
import datetime
import decimal
import dis
import enum
import fractions
import functools
import operator
import pathlib
import re
import sys
import threading
import types
import typing
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

OWN = __package__.partition(".")[0]
LIBRARIES = {OWN, "torch", "numpy", *sys.stdlib_module_names}

_Pair = collections.namedtuple("_Pair", "a")

SCALARS = (
    int, float, complex, bool, str, bytes, np.generic, fractions.Fraction, decimal.Decimal,
    datetime.date, datetime.timedelta, pathlib.PurePath, range,
)  # fmt: skip
PLAIN = (
    *SCALARS, type(None), type(...), type(NotImplemented), slice, enum.Enum, re.Pattern, np.dtype, np.ufunc,
    torch.Size, torch.dtype, torch.device, torch.layout, torch.memory_format, torch.finfo, torch.iinfo,
    torch._ops.OpOverload, torch._ops.OpOverloadPacket, types.WrapperDescriptorType, types.MethodDescriptorType,
    types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType, types.CodeType,
    types.GenericAlias, types.UnionType, typing.TypeVar, type(typing.Any), type(collections.deque[int]),
    type(_Pair.a), type(threading.Lock()), type(threading.RLock()),
)  # fmt: skip


def library(module: Any) -> str | None:
    """The library that a module belongs to, whose code does not change; None for a user's module."""
    top = module.partition(".")[0] if isinstance(module, str) else None
    return top if top in LIBRARIES else None


def library_of(x: Any) -> str | None:
    """The library that a function or a class belongs to; None for a user's."""
    return library(x.__globals__.get("__name__") if isinstance(x, types.FunctionType) else x.__module__)


def is_generated_code(x: Any) -> bool:
    """Whether a function is generated, as the methods of a dataclass are, which name all its fields."""
    return isinstance(x, types.FunctionType) and x.__code__.co_filename == "<string>"


def is_immutable_value(x: Any) -> bool:
    """Whether ``x`` can never change."""
    if type(x) is object:
        return True
    return isinstance(x, PLAIN) and not isinstance(x, np.void) and library(type(x).__module__) is not None


def same_value(a: Any, b: Any) -> bool:
    """Whether two objects are identical, or equal numbers or texts of one type; nan is alike to nan."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same_value, a, b))
    return type(a) in _COMPARED and (repr(a) == repr(b) if isinstance(a, float | complex) else bool(a == b))


_COMPARED = {int, float, complex, bool, str, bytes, np.float64, np.float32, np.int64, np.int32, np.bool_, range}


@functools.lru_cache(maxsize=4096)
class Named:
    """The names in a code object and those inside it: globals, attributes, imported modules, identifiers in texts."""

    def __init__(self, code: types.CodeType) -> None:
        self.globals: set[str] = set()
        self.attributes: set[str] = set()
        self.imports: set[str] = set()
        self.texts = {x for x in code.co_consts if isinstance(x, str) and x.isidentifier()}
        for step in dis.get_instructions(code):
            if step.opcode in dis.hasname:
                named = self.globals if "GLOBAL" in step.opname or step.opname == "LOAD_NAME" else self.attributes
                (self.imports if step.opname == "IMPORT_NAME" else named).add(step.argval)
            if step.opname == "MATCH_CLASS":  # the names of its attributes are in __match_args__
                self.attributes.add("__dict__")
        for inner in (Named(x) for x in code.co_consts if isinstance(x, types.CodeType)):
            self.globals |= inner.globals
            self.attributes |= inner.attributes
            self.imports |= inner.imports
            self.texts |= inner.texts


def wrapped_parts(x: Any) -> list[Any] | None:
    """The objects that a wrapper, such as a method or a partial, consists of; None for anything else."""
    for kind, names in _PARTS.items():
        if isinstance(x, kind):
            return [part for name in names if not isinstance(part := getattr(x, name), types.ModuleType)]
    return [x()] if isinstance(x, weakref.ref) else None


_PARTS: dict[Any, tuple[str, ...]] = {
    types.MethodType: ("__func__", "__self__"),
    types.BuiltinFunctionType: ("__self__",),
    types.MethodWrapperType: ("__self__",),
    functools.partial: ("func", "args", "keywords"),
    functools.partialmethod: ("func", "args", "keywords"),
    functools.cached_property: ("func",),
    type(Named): ("__wrapped__",),  # functools.cache
    property: ("fget",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    operator.itemgetter: (),
}


def slots(cls: type) -> Iterator[str]:
    """Yield the names of the slots of a class, as they are in its objects (private names are mangled)."""
    for c in cls.__mro__:
        given = vars(c).get("__slots__", ())
        for name in (given,) if isinstance(given, str) else given:
            hidden = name.startswith("__") and not name.endswith("__")
            if name not in ("__dict__", "__weakref__"):
                yield f"_{c.__name__.lstrip('_')}{name}" if hidden else name
