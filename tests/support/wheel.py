"""The wheel as pip builds it from the files of the package, without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("core", "plugins", "games", "analysis")
# What of the package lies at the repository's root.
TOP = ("__init__.py", "__init__.pyi", "__main__.py", "making.py", "making.pyi", "py.typed", "testing.py")
TEMPLATES = Path("core", "cli", "templates")  # of what `counterplay new` makes


def files() -> list[Path]:
    """The package's modules, and what lies beside them for type checkers, relative to the root."""
    modules = (path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return [*map(Path, TOP), *sorted(modules)]


def templates() -> list[Path]:
    """The files of templates, which are no modules, relative to the root."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / TEMPLATES).rglob("*") if path.is_file())


def build(folder: Path) -> Path:
    """Build the wheel in ``folder`` from a copy, since a build leaves files behind, and return its path."""
    tree = folder / "tree"
    for name in (*files(), *templates(), *map(Path, ("pyproject.toml", "README.md", "LICENSE"))):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    built = subprocess.run([*pip, "-w", str(folder), str(tree)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("counterplay-*.whl")
    return wheel
