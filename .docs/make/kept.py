"""What was made is kept with a digest of everything that it depends on."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import counterplay

DOCS = Path(__file__).parents[1]
GENERATED = DOCS / "generated"


@cache
def sources() -> str:
    """The digest of the package and of the makers."""
    package = Path(counterplay.__path__[0])
    found = list(package.glob("*.py"))
    for folder in ("analysis", "core", "games", "plugins"):  # rglob does not follow the links of .typing
        found += (package / folder).resolve().rglob("*.py")
    digest = hashlib.sha256()
    for path in sorted({*found, *Path(__file__).parent.glob("*.py")}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def key(*facts: str) -> str:
    """The digest of the sources and of some facts."""
    return hashlib.sha256("\0".join((sources(), *facts)).encode()).hexdigest()


def load(path: Path, key: str) -> Any:
    """What was kept in ``path`` with this key, or None."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept["value"] if kept["key"] == key else None


def keep(path: Path, key: str, value: Any) -> None:
    """Keep a value of JSON with its key."""
    write(path, json.dumps({"key": key, "value": value}))


def write(path: Path, text: str) -> None:
    """Write a text where it is not there already, so that Sphinx reads again only what is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
