"""The digest of a plugin's code, so that a run is resumed only with the code that began it; and whose code it is."""

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
    """The SHA-256 digest of the code of a plugin; None if it has no files.

    The code is the package (or lone file) of ``module``, that of the plugin's ``file``, and the files and packages
    ``beside``. The digest of a lone file is that of its bytes; of several, it is that of their digests.
    """
    of_module = _home(module) if module.split(".")[0] != __name__.split(".")[0] else None
    homes = {home for home in (of_module, _package(Path(file)) if file else None, *beside) if home is not None}
    digests = [digest for home in sorted(homes) if (digest := _sha256(home)) is not None]
    if len(digests) < 2:
        return digests[0] if digests else None
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _home(module: str) -> Path | None:
    """The outermost package, or the file, of a module that is imported."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return _package(Path(file)) if isinstance(file, str) else None


def _package(file: Path) -> Path:
    """The outermost package that contains a file; the file itself if none does."""
    file = file.resolve()
    home = file
    while (home.parent / "__init__.py").is_file():
        home = home.parent
    return home


def _sha256(home: Path) -> str | None:
    """The digest of a file, or of all sources in a folder with their paths; None if they cannot be read."""
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
    """Whether a module belongs to Python, counterplay or an installed package, and is not the user's own code."""
    top = (module or "builtins").partition(".")[0]
    if top == __name__.partition(".")[0] or (top in sys.stdlib_module_names and top != "__main__"):
        return True
    files = (getattr(sys.modules.get(name), "__file__", None) for name in (module or "", top))
    file = next((f for f in files if isinstance(f, str)), None)
    return file is not None and os.path.realpath(file).startswith(_INSTALLED)


@cache
def own_sha256() -> str:
    """The digest of the code of counterplay that numbers depend on."""
    root = Path(__file__).resolve().parent.parent.parent
    parts = [_sha256(root / folder) or "" for folder in ("core", "games", "plugins")]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
