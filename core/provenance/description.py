"""Describe an object that was built in Python, as plain data: its class, its options, its code.

When a run is resumed, descriptions tell whether game and solver are those that the run began with. Two processes
describe equal objects alike, so a description has no addresses, times or counters. Large values are given by a digest.
An object of a library is given by its name, as the versions of libraries are recorded.
"""

from __future__ import annotations

import array
import collections
import enum
import functools
import hashlib
import math
import os
import sys
import types
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..game.adapters import GameFromLosses
from ..registry.source_digest import is_library
from ..storage.strict_json import dumps
from ..tracing.inspection import SCALARS, slots
from .bytecode import code_of, names_read
from .recorded_names import recorded_module

CODE = "its code"  # keys with a blank, as no field of a dataclass has such a name
FIRST = "first values"  # of parameters; once there is a checkpoint they no longer matter
_DEEP, _MANY, _LONG = 4, 40, 200  # levels, entries and characters that are shown; anything beyond becomes a digest
_DEEPEST = 30
_MADE = {f"__{n}__" for n in ("init", "eq", "repr", "hash", "setattr", "delattr", "replace", "getstate", "setstate")}


def describe(x: Any) -> Any:
    """Describe ``x`` as plain data that JSON can hold, short enough to be read."""
    return _folded(_Describing().of(x), 0)


class _Describing:
    """One description. An object that was described already is not described again, so circles end."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, Any]] = {}  # by id; the object is kept, so that no other gets its id
        self.depth = 0

    def of(self, x: Any) -> Any:
        if isinstance(x, torch.dtype | torch.device | os.PathLike | complex | bytes | enum.Enum):
            return str(x)
        if x is None or isinstance(x, bool | int | str):
            return x
        if isinstance(x, float):
            return float(x) if math.isfinite(x) else str(float(x))
        if isinstance(x, Tensor | np.ndarray):
            return _numbers(x)
        if isinstance(x, np.generic):
            return self.of(x.item())
        if id(x) in self.known:
            return self.known[id(x)][1]
        self.known[id(x)] = x, "itself"
        self.depth += 1
        found = self._found(x) if self.depth < _DEEPEST else _name(type(x))
        self.depth -= 1
        self.known[id(x)] = x, found
        return found

    def _found(self, x: Any) -> Any:
        if isinstance(x, Mapping):
            return {k if isinstance(k, str) else dumps(self.of(k), None).strip(): self.of(v) for k, v in x.items()}
        if isinstance(x, list | tuple):
            return [self.of(v) for v in x]
        if isinstance(x, collections.deque | array.array | bytearray):
            return {"class": _name(type(x)), "holds": self.of([*x])}
        if isinstance(x, SCALARS) or type(x) is slice:
            return repr(x)
        if isinstance(x, set | frozenset):
            return sorted((self.of(v) for v in x), key=dumps)
        if isinstance(x, functools.partial):
            return {"function": self.of(x.func), "arguments": self.of([*x.args, x.keywords])}
        if isinstance(x, types.MethodType):
            return {"function": self.of(x.__func__), "of": self.of(x.__self__)}
        if isinstance(x, types.FunctionType):
            return self._function(x)
        if isinstance(x, type):
            return {"class": _name(x), **self._code(x)}
        if isinstance(x, types.ModuleType | types.BuiltinFunctionType):
            return x.__name__
        if isinstance(x, nn.Module):
            return self._module(x)
        if is_dataclass(x):
            return self._dataclass(x)
        if is_library(type(x).__module__) and not isinstance(x, Namespace | types.SimpleNamespace):
            wrapped = getattr(x, "__wrapped__", None)  # for instance of a cached function
            return _name(type(x)) if wrapped is None else {"class": _name(type(x)), "of": self.of(wrapped)}
        own = self._attributes(x)
        if not isinstance(own.get("name"), str):
            own["name"] = type(x).__name__
        return {"class": _name(type(x)), **self._code(type(x)), **own}

    def _dataclass(self, x: Any) -> dict[str, Any]:
        """Every field, and the attributes that ``__post_init__`` may have added."""
        name = getattr(type(x), "name", None)
        head = {"name": name if isinstance(name, str) else type(x).__name__, "class": _name(type(x))}
        head |= self._code(type(x))
        own = {f.name: self.of(getattr(x, f.name)) for f in fields(x) if f.compare}
        more = {} if is_library(type(x).__module__) else self._attributes(x, [f.name for f in fields(x)])
        if not isinstance(x, GameFromLosses):
            return {**head, **own, **more}
        shapes = {} if callable(x.start) else {"start": {i: _shapes(tree) for i, tree in x.start.items()}}
        return {**head, **own, **shapes, FIRST: _digest(own["start"])}

    def _attributes(self, x: Any, without: Any = ()) -> dict[str, Any]:
        cached = {k for c in type(x).__mro__ for k, v in vars(c).items() if isinstance(v, functools.cached_property)}
        held = {k: getattr(x, k) for k in slots(type(x)) if hasattr(x, k)} | getattr(x, "__dict__", {})
        return {k: self.of(v) for k, v in held.items() if k not in cached and k not in without}

    def _function(self, f: types.FunctionType) -> dict[str, Any]:
        """The name, the code, and all that the function reads besides its arguments."""
        head = {"function": _name(f)}
        reads, own = names_read(f), not is_library(f.__module__)
        if own:
            head |= {CODE: _code_digest(code_of(f.__code__, f.__doc__))}
            if defaults := [*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).items()]:
                reads["its defaults"] = defaults
        shown = {name: self.of(v) for name, v in sorted(reads.items()) if own or name in f.__code__.co_freevars}
        return {**head, "reads": shown} if shown else head

    def _code(self, cls: type) -> dict[str, str]:
        """The digest of the code and constants of a user's class and of its bases."""
        found: dict[str, Any] = {}
        for c in reversed([c for c in cls.__mro__ if not is_library(c.__module__)]):
            for name, member in vars(c).items():
                inside = (getattr(member, n, None) for n in ("__func__", "fget", "func"))
                f = next((f for f in inside if f is not None), member)
                if isinstance(f, types.FunctionType) and not (is_dataclass(c) and name in _MADE):
                    found[name] = self.of(f)
                elif isinstance(f, bool | int | float | str | tuple) and name[:2] != "__":
                    found[name] = self.of(f)
        return {CODE: _code_digest(found)} if found else {}

    def _module(self, x: nn.Module) -> dict[str, Any]:
        """Classes and settings of all submodules, shapes of trained parameters, values of fixed ones and buffers."""
        parts = {}
        for name, m in x.named_modules():
            own = {k: v for k, v in vars(m).items() if k[0] != "_" and not isinstance(v, nn.Module)}
            parts[name or "itself"] = {"class": _name(type(m)), **self._code(type(m)), **self.of(own)}
        trained = {k: p for k, p in x.named_parameters() if p.requires_grad}
        fixed: dict[str, Tensor] = {k: p for k, p in x.named_parameters() if not p.requires_grad}
        fixed |= {k: b for k, b in x.named_buffers() if not k.endswith(("._u", "._v"))}  # found by power iteration
        first = {FIRST: _digest(self.of(trained))}
        return {"class": _name(type(x)), "modules": parts, "trained": _shapes(trained), "fixed": self.of(fixed)} | first


def _folded(x: Any, depth: int) -> Any:
    """``x`` with a digest in place of each part that is too deep, too long or has too many entries."""
    if isinstance(x, str):
        return x if len(x) <= _LONG and x.isprintable() else {"text of": len(x), "sha256": _digest(x)}
    if not isinstance(x, dict | list):
        return x
    if depth > _DEEP or len(x) > _MANY:
        return {"entries": len(x), "sha256": _digest(x)}
    if isinstance(x, list):
        return [_folded(v, depth + 1) for v in x]
    return {k if len(k) <= _LONG and k.isprintable() else _digest(k): _folded(v, depth + 1) for k, v in x.items()}


def _digest(x: Any) -> str:
    text = dumps(x, None).encode(errors="backslashreplace")
    return hashlib.sha256(text).hexdigest()[:16]  # short, as it guards against mistakes, not against attacks


def _code_digest(code: Any) -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor} {_digest(code)}"  # bytecode differs between versions


def _shapes(tree: Mapping[str, Any]) -> dict[str, str]:
    return {str(k): _shape(x) for k, x in tree.items()}


def _shape(x: Any) -> str:
    try:
        return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
    except (AttributeError, RuntimeError):  # a parameter of a lazy module, which has no shape yet
        return type(x).__name__


def _numbers(x: Any) -> str:
    """Type and shape of an array, and a digest of its numbers."""
    try:
        held = x.detach().cpu().resolve_conj().resolve_neg() if isinstance(x, Tensor) else torch.from_numpy(x)
        data = held.contiguous().reshape(-1).view(torch.uint8).numpy().data
        return f"{_shape(x)} {hashlib.sha256(data).hexdigest()[:16]}"
    except Exception:  # its numbers cannot be read: on the meta device, sparse, a subclass, an array of objects
        return f"{type(x).__name__} {_shape(x)}"


def _name(x: Any) -> str:
    """The qualified name of a class or function, with the module only for those of libraries.

    A user's module may be a script in one process and imported in another.
    """
    module, own = getattr(x, "__module__", None), getattr(x, "__qualname__", type(x).__qualname__)
    return f"{recorded_module(module)}.{own}" if module and is_library(module) else own
