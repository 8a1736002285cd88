"""``counterplay list``, ``describe`` and ``check``: the things there are, what one of them does, and its checks."""

from __future__ import annotations

import inspect
import json

import click

from ..coerce import describe as type_in_words
from ..errors import PluginError, UsageError, did_you_mean, printable
from ..experiments.results import card
from ..options import MISSING, options_of
from ..registry import registry
from ..registry.experiment import assignments
from ..registry.kinds import KINDS, kind_name, kinds_in_words
from ..registry.registry import Registered
from ..storage.strict_json import dumps
from ..terminal import completion
from ..terminal.style import definitions, say
from .options import PLUGIN_FILES, plugins_first


@click.command("list", help=f"List {kinds_in_words()}, or one KIND of them, plugins included.")
@click.argument("kind", required=False, shell_complete=completion.kinds)
@plugins_first
@click.option("--json", "as_json", is_flag=True, help="Print a list of {name, summary, reference}.")
@click.pass_context
def list_command(ctx: click.Context, kind: str | None, as_json: bool) -> None:
    """The command ``list``: everything registered, and every plugin that could not be loaded."""
    kinds = [kind_name(kind)] if kind else list(KINDS)
    found = [(k, r) for k in kinds for r in registry.REGISTRY.all(k).values()]
    root = ctx.find_root().command
    registry.REGISTRY.commands(root.list_commands(ctx) if isinstance(root, click.Group) else ())  # finds more problems
    if as_json:
        facts = [
            ({} if kind else {"kind": k})
            | {"name": r.entry.name, "summary": r.entry.summary, "reference": r.entry.reference}
            for k, r in found
        ]
        click.echo(dumps(facts), nl=False)
    else:
        width = max((len(r.entry.name) for _, r in found), default=0)
        for k in kinds:
            say(KINDS[k].plural, bold=True)
            rows = [(r.entry.name, _what(r)) for other, r in found if other == k]
            click.echo("".join(f"{line}\n" for line in definitions(rows, width)), nl=False)
    for problem in registry.problems():
        click.echo(f"problem: {problem}", err=True)


def _what(found: Registered) -> str:
    """What something is, what it needs, and where it comes from if it is not built in."""
    source = "" if found.source == registry.BUILT_IN else f"  ({found.source})"
    needs = ", ".join(getattr(found.entry.factory, "needs", ()))
    return printable(found.entry.summary + (f"; needs {needs}" if needs else "") + source)


@click.command("describe")
@click.argument("words", nargs=-1, required=True, metavar="[KIND] NAME", shell_complete=completion.kinds_and_names)
@plugins_first
def describe_command(words: tuple[str, ...]) -> None:
    """Show what NAME, a thing of that KIND, does: its formula, options and reference.

    Without KIND, everything that has the NAME.
    """
    if len(words) > 2:
        raise UsageError(f"describe takes [KIND] NAME, and got {len(words)} words.")
    for n, (kind, found) in enumerate(_meant(*words)):
        click.echo("\n" * (n > 0), nl=False)
        _describe(kind, found)


def _meant(*words: str) -> list[tuple[str, Registered]]:
    """Everything that is meant by a kind and a name, or by a name alone. Raises UsageError if there is nothing."""
    *kind, name = words
    if kind:
        return [(kind_name(kind[0]), registry.REGISTRY.find(kind_name(kind[0]), name))]
    known = {k: registry.REGISTRY.all(k) for k in KINDS}
    if found := [(k, every[name]) for k, every in known.items() if name in every]:
        return found
    if of_kind := [k for k in KINDS.values() if name in (k.name, k.plural)]:
        raise UsageError(f"Missing argument 'NAME': the {of_kind[0].plural} are {', '.join(known[of_kind[0].name])}.")
    every_name = sorted({other for names in known.values() for other in names})
    raise UsageError(f"there is nothing called {name!r}{did_you_mean(name, every_name)} See counterplay list.")


def _describe(kind: str, found: Registered) -> None:
    entry = found.entry
    say(printable(f"{kind} {entry.name}: {entry.summary}"), bold=True)
    click.echo(printable(f"reference: {entry.reference or 'none given'}"))
    click.echo(printable(f"source: {found.source}"))
    # The formula of a built-in method is in the docstring of its file, the rest in that of its class.
    for doc in (inspect.getdoc(inspect.getmodule(entry.factory)), inspect.getdoc(entry.factory)):
        if doc:
            click.echo("\n" + "\n".join(map(printable, doc.split("\n"))))
    if kind == "experiment" and all(o.default is not MISSING for o in options_of(entry.factory)):
        click.echo()
        for line in card(registry.make(kind, entry.name)):
            click.echo("\n".join(map(printable, line.split("\n"))))
    options = options_of(entry.factory)
    click.echo("\noptions" if options else "\nno options")
    for o in options:
        default = "required" if o.default is MISSING else f"default {_shown(o.default)}"
        click.echo(printable(f"  {o.name}: {type_in_words(o.annotation)}; {default}"))
        if o.help:
            click.echo(printable(f"      {o.help}"))


def _shown(value: object) -> str:
    """A default, as the user would type it."""
    return json.dumps(registry.plain(value), ensure_ascii=False)


@click.command("check")
@click.argument("kind", shell_complete=completion.kinds)
@click.argument("name", shell_complete=completion.names)
@click.option("-o", multiple=True, metavar="KEY=VALUE", help="An option of NAME, as root=DIR of a data set.")
@click.option("--ranks", type=click.IntRange(1), default=1, help="Play a solver by so many processes, too.")
@plugins_first
@click.pass_context
def check_command(ctx: click.Context, kind: str, name: str, o: tuple[str, ...], ranks: int) -> None:
    """Check that NAME keeps the contract: purity, derivatives, ensembles, determinism, options documented.

    Its author runs this before publishing. Exit code 3 if a check fails. Of a data set, its files are checked, too.
    """
    from ..conformance.check import check

    kind = kind_name(kind)
    registry.find(kind, name)
    failed = 0
    results = check(kind, name, assignments(o, "-o"), ranks, ctx.meta[PLUGIN_FILES])
    for title, ok, message in results:
        failed += not ok
        line = printable(f"{'ok  ' if ok else 'FAIL'}  {title}{': ' + message if message else ''}")
        say(line, fg=None if ok else "red")
    if failed:
        raise PluginError(f"{kind} {name} fails {failed} of {len(results)} checks.")
    click.echo(f"{kind} {name} passes {len(results)} checks.")
