"""What code reads besides its arguments, found by following names: from a function to its closure, globals, objects.

An attribute counts as read if code that can be reached names it. The code of torch, numpy, the standard library and
counterplay does not change, but what their objects hold may change. If code reads something whose value cannot be
looked up again, ``reason`` says so, and the function must not be replayed.
"""

from __future__ import annotations

import collections
import enum
import io
import operator
import sys
import types
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor

from .inspection import OWN, Named, is_generated_code, is_immutable_value, library, library_of, slots, wrapped_parts
from .unreplayable import CALLS, DYNAMIC, FILES, STATELESS, may_hide_state, nondeterministic

Read = Callable[[], Iterable[Any]]
Roots = tuple[tuple[Any, frozenset[str]], ...]  # objects, and the methods of theirs that are called

MOST = 20_000  # most objects that may be read; they are found in a second and looked at before each replay
BYTES = 1 << 14  # size up to which an array is compared by its bytes
MAKING = {"__init__", "__new__", "__post_init__"}  # called when the class is called
UNSEEN = MAKING | {"__init_subclass__", "__set_name__", "__repr__", "__str__", "__del__", "__reduce__", "__reduce_ex__"}
_FUNCTIONS = types.FunctionType | staticmethod | classmethod | property
_BARE = {nn.Module, *(nn.Module.__mro__), torch.autograd.Function}
_MODULE = frozenset(vars(nn.Module()))
_EXACT = {
    dict, list, tuple, set, frozenset, collections.deque, collections.OrderedDict, collections.defaultdict,
    types.MappingProxyType,
}  # fmt: skip
_CONTENTS = operator.attrgetter("cell_contents")
_BASES = operator.attrgetter("__mro__")
_GRAD = operator.attrgetter("grad")
_DEFINED = operator.attrgetter("__code__", "__defaults__", "__kwdefaults__")
_MISSING = object()
_NUMBERS = {Tensor, nn.Parameter, np.ndarray, bytearray}


class Reads:
    """All that is read from ``roots``: ``reads`` are pairs of a name for messages and a function that looks again.

    ``reason`` says what cannot be looked up again. ``held`` are the containers, whose items code may change, and
    ``moving`` the iterators.
    """

    def __init__(self, roots: Roots) -> None:
        self.names: set[str] = set().union(*(names for _, names in roots))
        self.said: set[str] = set()  # names in the user's own code
        self.every = False  # code computes names of attributes as it runs, so every attribute counts
        before = None
        while before != (before := (len(self.names), len(self.said), self.every)):
            self.reason = ""
            self.reads: list[tuple[str, Read]] = []
            self.empty: list[Any] = []
            self.tensors: list[tuple[str, Tensor]] = []
            self.arrays: list[tuple[str, Any]] = []
            self.held: list[Any] = []
            self.moving: list[tuple[str, Any]] = []
            self._seen: dict[Any, Any] = {}
            self._todo: list[tuple[Any, str]] = [(x, "") for x, _ in roots]
            while self._todo:  # a name found late may be an attribute of an object met early: then all is done again
                if len(self._seen) > MOST:
                    self.reason = f"it reads more than {MOST:,} things"
                    return
                x, label = self._todo.pop()
                try:
                    self._visit(x, label)
                except Exception:  # attributes may be properties, which are a plugin's code
                    self._unknown(x, label)
            for n in FILES & self.said:
                self._refuse(f"what {n} gives")

    def _refuse(self, what: str) -> None:
        self.reason = self.reason or f"it reads {what}"

    def _unknown(self, x: Any, label: str) -> None:
        self._refuse(f"{label}, a {type(x).__name__}: it cannot be looked into")

    def _first(self, key: Any, x: Any) -> bool:
        """Whether ``x`` is met for the first time. It is kept alive, so that no other object gets its id."""
        if key in self._seen:
            return False
        self._seen[key] = x
        return True

    def _visit(self, x: Any, label: str) -> None:
        if is_immutable_value(x) or not self._first(id(x), x):
            return
        if isinstance(x, Tensor):
            while is_functorch_wrapped_tensor(x):  # it was kept from inside a derivative
                x = get_unwrapped(x)
            self.tensors.append((label, x))
            self._hung(x, label)
            if "grad" in self.names and x.is_leaf:
                self.reads.append((f"{label}.grad", partial(map, _GRAD, (x,))))
                self._todo.append((x.grad, f"{label}.grad"))
            if x.is_inference() or x.layout is not torch.strided or isinstance(x, torch._subclasses.FakeTensor):
                self._refuse(f"{label}, a tensor whose changes are not counted")
        elif isinstance(x, np.ndarray | bytearray):
            size = x.nbytes if isinstance(x, np.ndarray) else len(x)
            if size > BYTES or (isinstance(x, np.ndarray) and x.dtype.hasobject):
                self._refuse(f"{label}, an array of {size} bytes: a tensor would do")
            self.arrays.append((label, x))
            self._hung(x, label)
        elif isinstance(x, enum.Enum):
            self._todo.append((vars(x), label))
            self._class(type(x), called=False)
        elif isinstance(x, types.ModuleType):
            self._module(x)
        elif isinstance(x, type):
            self._class(x, called=True)
        elif isinstance(x, types.FunctionType):
            self._function(x)
        elif (wrapped := wrapped_parts(x)) is not None:
            if isinstance(x, types.BuiltinFunctionType) and (
                x.__name__ in CALLS or nondeterministic(x.__module__, {x.__name__})
            ):
                self._refuse(f"what {x.__module__}.{x.__name__} gives")
            self._todo += [(part, label) for part in wrapped]
        elif isinstance(x, operator.attrgetter | operator.methodcaller):
            self.every = True
        else:
            if isinstance(x, dict | types.MappingProxyType):
                self._dict(x, label)
            elif isinstance(x, list | tuple | set | frozenset | collections.deque):
                self._items(x, label)
            if type(x) not in _EXACT:
                self._object(x, label)

    def _hung(self, x: Any, label: str) -> None:
        """Look at attributes that were set on a tensor or an array, or that its subclass has."""
        own = getattr(x, "__dict__", None)
        if own or type(x) not in _NUMBERS:
            self._todo += [] if own is None else [(own, label)]
            self._class(type(x), called=False)

    def _dict(self, x: Any, label: str) -> None:
        if not isinstance(x, types.MappingProxyType):
            self.held.append(x)
        if not x:
            self.empty.append(x)
            return
        self.reads += [(label, x.keys), (label, x.values)]
        self._todo += [(key, label) for key in x] + [(item, f"{label}[{key!r:.40}]") for key, item in x.items()]

    def _items(self, x: Any, label: str) -> None:
        if not isinstance(x, tuple | frozenset):
            self.held.append(x)
            if not x:
                self.empty.append(x)
                return
            self.reads.append((label, x.__iter__))
        self._todo += [(item, f"{label}[{n}]") for n, item in enumerate(x)]

    def _function(self, f: Any) -> None:
        where, whose = f.__globals__, library_of(f)
        label, found = f.__qualname__.replace("<locals>.", ""), Named(f.__code__)
        inner = zip(f.__code__.co_freevars, f.__closure__ or (), strict=True)
        cells = {n: c for n, c in inner if n != "__class__"}
        try:
            inside = {n: c.cell_contents for n, c in cells.items()}
        except ValueError:
            return self._refuse(f"a variable of {label} that has no value yet")
        if whose not in (OWN, None):  # a library's; a decorator may wrap a user's function
            self._todo += [(x, n) for n, x in inside.items() if isinstance(x, types.FunctionType | types.MethodType)]
            if nondeterministic(f.__module__, {f.__name__}):
                self._refuse(f"what {f.__module__}.{f.__name__} gives")
            return None
        if cells:
            self.held += cells.values()
            self.reads.append((f"the closure of {label}", partial(map, _CONTENTS, cells.values())))
        self._todo += [*((x, n) for n, x in inside.items()), *((x, label) for x in f.__defaults__ or ())]
        self._todo += [(x, label) for x in (f.__kwdefaults__, f.__dict__) if x]
        self.names |= found.attributes
        if whose == OWN:
            if found.globals & DYNAMIC:
                self.names |= found.texts
            used = [where.get(n) for n in found.globals]
            self._todo += [
                (x, label) for x in used if isinstance(x, types.FunctionType | type) and library_of(x) == OWN
            ]
            return None
        self.said |= found.attributes
        self.every = self.every or bool(DYNAMIC & (found.attributes | found.globals))
        self.reads.append((f"how {label} is defined", partial(_DEFINED, f)))
        for n in CALLS & found.globals - where.keys():
            self._refuse(f"or writes what {n} does")
        if found.globals:
            self.held.append(where)
            self.reads.append((f"a global of {label}", partial(map, where.get, sorted(found.globals))))
            self._todo += [(where[n], n) for n in found.globals if n in where]
        self._todo += [(sys.modules[n], n) for n in found.imports if n in sys.modules]
        return None

    def _module(self, m: types.ModuleType) -> None:
        if library(m.__name__) is not None:
            if nondeterministic(m.__name__, self.said):
                self._refuse(f"what {m.__name__} gives")
            # The functions of a library do not change, unless they are replaced.
            if used := sorted(self.said & vars(m).keys()):
                self.reads.append((m.__name__, partial(map, vars(m).get, used)))
            return
        space = vars(m)
        names = sorted(space if self.every else space.keys() & {*self.names, "__getattr__"})
        self.held.append(space)
        self.reads.append((m.__name__, partial(map, space.get, names)))
        self._todo += [(space[n], f"{m.__name__}.{n}") for n in names]

    def _class(self, cls: type, called: bool) -> None:
        if not self._first((id(cls), called), cls):
            return
        if nondeterministic(cls.__module__, self.said):
            self._refuse(f"what {cls.__module__}.{cls.__name__} gives")
        bases = [c for c in cls.__mro__ if library(c.__module__) in (None, OWN)]
        names = sorted({n for c in bases for n, x in vars(c).items() if self._counts(n, x) or (called and n in MAKING)})
        for c in bases:
            if library(c.__module__) is None:
                self.held.append(c)
                self.reads.append((c.__qualname__, partial(map, vars(c).get, names)))
                self.reads.append((f"the bases of {c.__qualname__}", partial(map, _BASES, (c,))))
            own = [n for n in names if n in vars(c) and not is_generated_code(vars(c)[n])]
            self._todo += [(vars(c)[n], f"{c.__name__}.{n}") for n in own]
        if library(type(cls).__module__) is None:  # a metaclass; the class has its attributes too
            self._class(type(cls), called=False)

    def _counts(self, name: str, x: Any) -> bool:
        """Whether an attribute of a class may be read, by name or by Python itself."""
        if name.startswith("__") and name.endswith("__"):
            return isinstance(x, _FUNCTIONS) and name not in UNSEEN
        return (self.every and name != "_abc_impl") or name in self.names

    def _object(self, x: Any, label: str) -> None:
        cls = type(x)
        state, places = getattr(x, "__dict__", None), list(slots(cls))
        if library(cls.__module__) != OWN:
            self.reads.append((label, partial(map, type, (x,))))
        if isinstance(x, nn.Module):
            self.names.add("forward")
        if hasattr(cls, "__next__"):
            self.moving += [] if isinstance(x, io.IOBase) else [(label, x)]
            self._refuse(f"{label}, a {cls.__name__}: it moves on")
        elif (
            any(map(may_hide_state, cls.__mro__))
            or isinstance(x, torch.jit.ScriptModule)
            or not (isinstance(state, dict) or any("__slots__" in vars(c) for c in cls.__mro__))
        ):
            self._unknown(x, label)
        self._class(cls, called=False)
        # Code of a library may read any attribute of its own objects.
        others = [c for c in cls.__mro__ if c not in _BARE and c.__module__ not in STATELESS]
        whole = self.every or any(library(c.__module__) not in (None, OWN) for c in others)
        if isinstance(state, dict):
            known = {n for c in cls.__mro__ for n in vars(c)} | state.keys()
            names = (known & self.names) | (_MODULE if isinstance(x, nn.Module) else set())
            names |= state.keys() if whole else set()
            self.held.append(state)
            # Dictionaries of hooks are filled but hardly ever replaced: their items are watched, not they themselves.
            self.reads.append((label, partial(map, state.get, sorted(n for n in names if "_hooks" not in n))))
            self._todo += [(state[n], f"{label}.{n}") for n in names if n in state]
        places = [n for n in places if whole or n in self.names]
        if places:
            look = partial(_slot, x)
            self.reads.append((label, partial(map, look, places)))
            self._todo += [(look(n), f"{label}.{n}") for n in places]


def _slot(x: Any, name: str) -> Any:
    return getattr(x, name, _MISSING)
