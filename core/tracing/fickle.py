"""What answers otherwise each time it is asked, and what cannot be looked into: nothing of it is replayed."""

from __future__ import annotations

import sys
from importlib.machinery import EXTENSION_SUFFIXES

CALLS = {"print", "open", "input", "eval", "exec", "globals", "locals", "breakpoint"}
DYNAMIC = {"getattr", "vars", "dir", "hasattr", "__dict__", "attrgetter", "methodcaller", "asdict", "astuple", "fields"}
# Modules that answer otherwise each time: whatever is used of them, or these names.
FICKLE: dict[str, set[str]] = {
    "random": set(), "time": set(), "secrets": set(), "uuid": set(), "logging": set(), "numpy.random": set(),
    "importlib": set(), "inspect": set(), "sys": {"modules", "_getframe", "argv", "stdin"}, "torch": {"load"},
    "os": {"environ", "getenv", "urandom", "getpid"}, "datetime": {"now", "today", "utcnow"},
    "numpy": {"random", "load"},
}  # fmt: skip
# Methods that read files.
FILES = {"read_text", "read_bytes", "fromfile", "loadtxt", "genfromtxt", "listdir", "iterdir", "getmtime", "load_file"}
STATELESS = {"builtins", "abc", "typing", "collections.abc", "enum"}  # modules whose classes hide nothing


def fickle(module: str | None, names: set[str]) -> bool:
    """Whether code that uses these names of a module gets another answer each time."""
    listed = FICKLE.get(module or "")
    return listed is not None and (not listed or bool(listed & names))


def hidden(cls: type) -> bool:
    """Whether a class is of an extension module: its objects may hold what no name leads to."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    compiled = cls.__module__ in sys.builtin_module_names or file.endswith(tuple(EXTENSION_SUFFIXES))
    return compiled and cls.__module__ not in STATELESS
