"""The modules beside a plugin file, which it may import as a script may.

Only what the file imports, itself or through another neighbour, is found there: nothing else in the folder comes before
an installed module, and none of it before Python's own. They are read off the source, so that they are the same
whichever plugins were loaded before, and what is imported within a function is among them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from ..errors import PluginError

_OWN = __package__.partition(".")[0]
_HOMES: dict[str, Path] = {}  # of the neighbours of all plugin files, by name


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        home = _HOMES.get(fullname) if path is None else None
        return None if home is None else PathFinder.find_spec(fullname, [str(home.parent)])


def neighbours(file: Path) -> dict[str, Path]:
    """The modules (files) and packages (folders) beside ``file`` that it imports, by name."""
    found: dict[str, Path] = {}
    rest = [file]
    while rest:
        for name in _imported(rest.pop()):
            home = _beside(name, file.parent)
            if home is None or home == file or name in (*found, _OWN, *sys.stdlib_module_names):
                continue
            found[name] = home
            rest += sorted(home.rglob("*.py")) if home.is_dir() else [home]
    return found


def introduce(found: Mapping[str, Path], given: str) -> None:
    """Let the neighbours of the plugin file ``given`` be imported.

    Raises PluginError where the name of one is taken: its plugin would silently get the other module.
    """
    for name, home in found.items():
        loaded = getattr(sys.modules.get(name), "__file__", None)
        taken = _HOMES.get(name, home) if loaded is None else Path(loaded).resolve()
        if taken not in (home, home / "__init__.py"):
            raise PluginError(
                f"--plugin {given}: it imports {home.name} beside it, and {taken} is loaded by that name already. "
                f"Rename one of them."
            )
    _HOMES.update(found)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _beside(name: str, folder: Path) -> Path | None:
    """A package or a module, in this order as Python has it."""
    if (folder / name / "__init__.py").is_file():
        return (folder / name).resolve()
    return module.resolve() if (module := folder / f"{name}.py").is_file() else None


def _imported(file: Path) -> Iterator[str]:
    """The outermost names that a source imports; none where it cannot be read: importing it says why."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
