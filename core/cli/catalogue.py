"""``counterplay list``, ``describe`` and ``check``: the things there are, what one of them does, and its checks."""

from __future__ import annotations

import inspect
import json

import click

from ..coerce import describe as type_in_words
from ..errors import PluginError, printable
from ..options import MISSING, options_of
from ..registry import registry
from ..registry.experiment import assignments
from ..registry.kinds import KINDS, in_words, kind_name
from ..storage.strict_json import dumps
from .options import plugins_first


@click.command("list", help=f"List {in_words()}, or one KIND of them, plugins included.")
@click.argument("kind", required=False)
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
            click.echo(f"{KINDS[k].plural}")
            for other, r in found:
                if other == k:
                    source = "" if r.source == registry.BUILT_IN else f"  ({r.source})"
                    needs = ", ".join(getattr(r.entry.factory, "needs", ()))
                    what = r.entry.summary + (f"; needs {needs}" if needs else "")
                    click.echo(printable(f"  {r.entry.name:<{width}}  {what}{source}"))
    for problem in registry.problems():
        click.echo(f"problem: {problem}", err=True)


@click.command("describe")
@click.argument("kind")
@click.argument("name")
@plugins_first
def describe_command(kind: str, name: str) -> None:
    """Show what NAME, a thing of that KIND, does: its formula, options and reference."""
    kind = kind_name(kind)
    found = registry.REGISTRY.find(kind, name)
    entry = found.entry
    click.echo(printable(f"{kind} {entry.name}: {entry.summary}"))
    click.echo(printable(f"reference: {entry.reference or 'none given'}"))
    click.echo(printable(f"source: {found.source}"))
    # The formula of a built-in method is in the docstring of its file, the rest in that of its class.
    for doc in (inspect.getdoc(inspect.getmodule(entry.factory)), inspect.getdoc(entry.factory)):
        if doc:
            click.echo("\n" + "\n".join(map(printable, doc.split("\n"))))
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
@click.argument("kind")
@click.argument("name")
@click.option("-o", multiple=True, metavar="KEY=VALUE", help="An option of NAME, as root=DIR of a data set.")
@plugins_first
def check_command(kind: str, name: str, o: tuple[str, ...]) -> None:
    """Check that NAME keeps the contract: purity, derivatives, ensembles, determinism, options documented.

    Its author runs this before publishing. Exit code 3 if a check fails. Of a data set, its files are checked, too.
    """
    from ..conformance.check import check

    kind = kind_name(kind)
    registry.find(kind, name)
    failed = 0
    results = check(kind, name, assignments(o, "-o"))
    for title, ok, message in results:
        failed += not ok
        click.echo(printable(f"{'ok  ' if ok else 'FAIL'}  {title}{': ' + message if message else ''}"))
    if failed:
        raise PluginError(f"{kind} {name} fails {failed} of {len(results)} checks.")
    click.echo(f"{kind} {name} passes {len(results)} checks.")
