"""``counterplay new``: a folder to begin with, from the templates beside this file."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import click

from ..click_types import PATH
from ..errors import StorageError, UsageError

TEMPLATES = Path(__file__).with_name("templates")
_SUFFIX = ".template"


@click.group("new")
def new_command() -> None:
    """Write a folder to begin with."""


@new_command.command("plugin")
@click.argument("directory", metavar="DIR", type=PATH)
@click.option("--name", help="Of the package, as my-games.  [default: the name of DIR]")
def new_plugin(directory: str, name: str | None) -> None:
    """Write a package of plugins to DIR: a solver, a loss, a regularizer, a game, a command, with tests and CI."""
    root = Path(directory)
    names = _names(name or root.resolve().name, "--name" if name else "the name of DIR")
    if root.is_symlink() or (root.exists() and (not root.is_dir() or any(root.iterdir()))):
        raise UsageError(f"{directory} exists and is not an empty folder: give another one.")
    template = TEMPLATES / "plugin"
    try:
        for path in sorted(p for p in template.rglob("*") if p.name.endswith(_SUFFIX)):
            inside = PurePosixPath(path.relative_to(template).as_posix().removesuffix(_SUFFIX))
            target = root.joinpath(*(_part(part, names) for part in inside.parts))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(path.read_text(encoding="utf-8"), names), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{error.filename or directory} cannot be written: {error.strerror}.") from error
    click.echo(f"{directory} has the package {names['package']}: a solver, a loss, a regularizer, a game, a command.")
    click.echo(f"next: cd {directory} && python -m pip install -e '.[test]' && python -m pytest; its README says more")


def _names(given: str, what: str) -> dict[str, str]:
    """The name of the distribution and that of its package. Raises UsageError for a name that cannot be both."""
    name = re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-")
    package = name.replace("-", "_")
    if not package.isidentifier() or keyword.iskeyword(package):
        raise UsageError(f"{what} is {given!r}, which makes no name of a package: give one by --name, as my-games.")
    if package in sys.stdlib_module_names or _is_installed(package):
        raise UsageError(f"{what} is {given!r}, and there is a module {package} already: give another by --name.")
    return {"name": name, "package": package}


def _is_installed(package: str) -> bool:
    """Whether a module of that name can be imported. A folder without code does not count: it may be DIR."""
    found = find_spec(package)
    return found is not None and found.origin is not None


def _part(part: str, names: dict[str, str]) -> str:
    """A part of a path in the template, as it is written."""
    return part.replace("dot_", ".", 1) if part.startswith("dot_") else part.replace("package", names["package"])


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"@{name}@", value)
    return text
