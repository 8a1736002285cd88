"""The modules beside a plugin file: the file may import them, as a script may import modules in its folder.

Only modules that the file imports, itself or through another of them, are found in the folder. They come before
installed modules of the same name, but not before Python's own. Which modules these are is read from the source. So it
does not depend on plugins loaded before, and imports inside functions count too.
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

_PACKAGE = __package__.partition(".")[0]
_HOMES: dict[str, Path] = {}  # the files and folders of the neighbours of all plugin files, by name


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        home = _HOMES.get(fullname) if path is None else None
        return None if home is None else PathFinder.find_spec(fullname, [str(home.parent)])


def neighbours(file: Path) -> dict[str, Path]:
    """The modules (files) and packages (folders) beside ``file`` that it imports, by name."""
    found: dict[str, Path] = {}
    to_read = [file]
    while to_read:
        for name in _imported(to_read.pop()):
            home = _beside(name, file.parent)
            if home is None or home == file or name in (*found, _PACKAGE, *sys.stdlib_module_names):
                continue
            found[name] = home
            to_read += sorted(home.rglob("*.py")) if home.is_dir() else [home]
    return found


def make_importable(modules: Mapping[str, Path], given: str) -> None:
    """Make ``modules``, the neighbours of the plugin file ``given``, importable.

    Raises PluginError if a module of the same name is loaded already: the plugin would silently import that one.
    """
    for name, home in modules.items():
        loaded = getattr(sys.modules.get(name), "__file__", None)
        taken = _HOMES.get(name, home) if loaded is None else Path(loaded).resolve()
        if taken not in (home, home / "__init__.py"):
            raise PluginError(
                f"--plugin {given}: it imports {home.name} beside it, and {taken} is loaded by that name already. "
                f"Rename one of them."
            )
    _HOMES.update(modules)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _beside(name: str, folder: Path) -> Path | None:
    """The package ``name`` in ``folder``, or else the module, in the order in which Python looks for them."""
    if (folder / name / "__init__.py").is_file():
        return (folder / name).resolve()
    return module.resolve() if (module := folder / f"{name}.py").is_file() else None


def _imported(file: Path) -> Iterator[str]:
    """The top-level names that a source imports. None if it cannot be parsed: the error comes when it is imported."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
