"""What a Python function does and what it reads besides its arguments, according to its bytecode."""

from __future__ import annotations

import dis
import types
from typing import Any

from ..registry.source_digest import is_library


def code_of(code: types.CodeType, doc: str | None = None) -> list[Any]:
    """Instructions, names and constants of a function, without comments, docstring and line numbers."""
    constants = [c for n, c in enumerate(code.co_consts) if not (n == 0 and isinstance(c, str) and c == doc)]
    names = [list(n) for n in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)]
    return [code.co_code.hex(), code.co_flags, names, [_constant(c) for c in constants]]


def _constant(c: Any) -> Any:
    if isinstance(c, types.CodeType):
        return code_of(c)
    if isinstance(c, tuple):
        return [_constant(v) for v in c]
    return sorted(map(repr, c)) if isinstance(c, frozenset) else repr(c)


def names_read(f: types.FunctionType) -> dict[str, Any]:
    """The values that a function reads: variables of enclosing functions and globals, by name.

    Of the user's own modules, the attributes that the function reads, as "module.attribute".
    """
    found: dict[str, Any] = {}
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # the variable is not set yet
            continue
    loaded, attributes = _loaded(f.__code__)
    for name in loaded:
        value = f.__globals__.get(name)
        if isinstance(value, types.ModuleType) and not is_library(value.__name__):
            found |= {f"{name}.{n}": getattr(value, n) for n in attributes if hasattr(value, n)}
        elif name in f.__globals__ and not isinstance(value, types.ModuleType):
            found[name] = value
    return found


def _loaded(code: types.CodeType) -> tuple[set[str], set[str]]:
    """Names of globals and of attributes that the code reads, including the code of functions defined in it."""
    names: set[str] = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    attributes = set(code.co_names) - names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more = _loaded(inner)
            names, attributes = names | more[0], attributes | more[1]
    return names, attributes
