"""The digest of a third party's code: a run goes on only with the code it began with. And whose code it is."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from functools import cache
from pathlib import Path

_MOST_FILES = 2_000
_INSTALLED = tuple(
    os.path.join(os.path.realpath(path), "") for name, path in sysconfig.get_paths().items() if name.endswith("lib")
)


def source_sha256(module: str, file: str | None, *beside: Path) -> str | None:
    """The digest of what ``module`` is part of, and of the plugin's own module ``file``: a package or a lone file.

    ``beside`` are further files and packages that it uses.

    None where neither has a file. A lone file's is the digest of its bytes.
    """
    own = _home(module) if module.split(".")[0] != __name__.split(".")[0] else None
    homes = {home for home in (own, _package(Path(file)) if file else None, *beside) if home is not None}
    found = [sum for home in sorted(homes) if (sum := _sha256(home)) is not None]
    if len(found) < 2:
        return found[0] if found else None
    return hashlib.sha256("".join(found).encode()).hexdigest()


def _home(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return _package(Path(file)) if isinstance(file, str) else None


def _package(file: Path) -> Path:
    """The outermost package that a file is in, or the file."""
    file = file.resolve()
    home = file
    while (home.parent / "__init__.py").is_file():
        home = home.parent
    return home


def _sha256(home: Path) -> str | None:
    try:
        if not home.is_dir():
            return hashlib.sha256(home.read_bytes()).hexdigest()
        whole = hashlib.sha256()
        for path in sorted(p for p in home.rglob("*.py") if p.is_file())[:_MOST_FILES]:
            whole.update(
                f"{path.relative_to(home).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
            )
        return whole.hexdigest()
    except OSError:
        return None


@cache
def is_library(module: str | None) -> bool:
    """Whether a module is Python's, ours or an installed package's: none that its user writes."""
    top = (module or "builtins").partition(".")[0]
    if top == __name__.partition(".")[0] or (top in sys.stdlib_module_names and top != "__main__"):
        return True
    files = (getattr(sys.modules.get(name), "__file__", None) for name in (module or "", top))
    file = next((f for f in files if isinstance(f, str)), None)
    return file is not None and os.path.realpath(file).startswith(_INSTALLED)
