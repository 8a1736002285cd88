"""``counterplay completion``: a script with which a shell completes commands, names, figures and keys of options.

Names and keys of built-in things are read from ``making.pyi``, as importing them would take seconds. Where plugins are
installed, the registry is asked.
"""

from __future__ import annotations

import os
import re
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from ..options import options_of
from ..registry import registry
from ..registry.hookspecs import PROJECT
from ..registry.kinds import KINDS, kind_name

_HELP = """Print a script that makes SHELL complete commands, names, figures and keys of options.

\b
bash   eval "$(counterplay completion bash)"   in ~/.bashrc
zsh    eval "$(counterplay completion zsh)"    in ~/.zshrc
fish   counterplay completion fish | source    in ~/.config/fish/config.fish
"""
VARIABLE = "_COUNTERPLAY_COMPLETE"
_STUB = Path(__file__).parents[2] / "making.pyi"
_LINE = re.compile(r'def make\(kind: Literal\["([\w-]+)"\], what: Literal\["([\w.-]+)"\], /(?:, \*, (.*?))?\) ->')
# A key that is begun is followed by its value: no space after "lr=".
_NO_SPACE = {
    "bash": ("    return 0\n", "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n    return 0\n"),
    "zsh": ("compadd -U -V unsorted -a completions", "compadd -U -S '' -V unsorted -a completions"),
}


@click.command("completion", help=_HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """The command ``completion``."""
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"click {shell} completion is missing.")
    script = made(ctx.find_root().command, {}, PROJECT, VARIABLE)
    text = script.source_template % script.source_vars()
    click.echo(text.replace(*_NO_SPACE.get(shell, ("", ""))), nl=False)


def of_kind(kind: str) -> Any:
    """What completes an argument or an option that names a thing of this kind."""

    def complete(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
        return _items(known(kind), begun)

    return complete


def keys_of(kind: str, named: str) -> Any:
    """What completes the keys of options of the thing of this kind that the parameter ``named`` names."""

    def complete(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
        name = ctx.params.get(named)
        if name is None and named == "game":  # after an option without its value, click has not got to the arguments
            name = next(iter(ctx.args), None)
        names = name if isinstance(name, tuple) else (name,)
        prefix = "{}." if param.name == "r" else ""  # of a regularizer, its name comes first
        return _items([f"{prefix.format(n)}{key}=" for n in names for key in known(kind).get(n or "", ())], begun)

    return complete


def kinds_and_names(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Completes [KIND] NAME."""
    before = ctx.params.get("words") or ()
    if before and before[0] in KINDS:
        return _items(known(before[0]), begun)
    return [] if before else _items([*KINDS, *(name for kind in KINDS for name in known(kind))], begun)


def kinds(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Completes KIND."""
    return _items(KINDS, begun)


def names(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Completes the NAME after a KIND."""
    return _items(known(ctx.params["kind"]), begun) if ctx.params.get("kind") in KINDS else []


@cache
def known(kind: str) -> dict[str, tuple[str, ...]]:
    """The options of everything of a kind, by name."""
    kind = kind_name(kind)
    switched_off = os.environ.get("COUNTERPLAY_NO_PLUGINS", "0") not in ("", "0")
    if not switched_off and entry_points(group=PROJECT):
        return {e.name: tuple(o.name for o in options_of(e.factory)) for e in registry.entries(kind)}
    found = _LINE.findall(_STUB.read_text(encoding="utf-8"))
    return {name: tuple(re.findall(r"(\w+): Any", given)) for of, name, given in found if of == kind}


def _items(words: Any, begun: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in dict.fromkeys(words) if word.startswith(begun)]
