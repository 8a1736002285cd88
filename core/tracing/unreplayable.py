"""Calls and modules that give another answer each time, and objects that hide their state: they prevent a replay."""

from __future__ import annotations

import sys
from importlib.machinery import EXTENSION_SUFFIXES

CALLS = {"print", "open", "input", "eval", "exec", "globals", "locals", "breakpoint"}
DYNAMIC = {"getattr", "vars", "dir", "hasattr", "__dict__", "attrgetter", "methodcaller", "asdict", "astuple", "fields"}
# module -> the names of it that give another answer each time; an empty set means every name
NONDETERMINISTIC: dict[str, set[str]] = {
    "random": set(), "time": set(), "secrets": set(), "uuid": set(), "logging": set(), "numpy.random": set(),
    "importlib": set(), "inspect": set(), "sys": {"modules", "_getframe", "argv", "stdin"}, "torch": {"load"},
    "os": {"environ", "getenv", "urandom", "getpid"}, "datetime": {"now", "today", "utcnow"},
    "numpy": {"random", "load"},
}  # fmt: skip
# Methods that read files.
FILES = {"read_text", "read_bytes", "fromfile", "loadtxt", "genfromtxt", "listdir", "iterdir", "getmtime", "load_file"}
STATELESS = {"builtins", "abc", "typing", "collections.abc", "enum"}  # modules whose classes hide no state


def nondeterministic(module: str | None, names: set[str]) -> bool:
    """Whether code that uses these names of a module may get another answer each time."""
    listed = NONDETERMINISTIC.get(module or "")
    return listed is not None and (not listed or bool(listed & names))


def may_hide_state(cls: type) -> bool:
    """Whether a class is from an extension module, whose objects may have state that Python cannot see."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    compiled = cls.__module__ in sys.builtin_module_names or file.endswith(tuple(EXTENSION_SUFFIXES))
    return compiled and cls.__module__ not in STATELESS
