"""``counterplay reproduce``: plays published claims, and prints what the papers say beside what was found here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ..click_types import INTEGER, PATH
from ..errors import Interrupted, UsageError, printable
from ..experiments.results import Results, counts, rows
from ..registry import registry
from ..registry.experiment import assignments
from ..storage.atomic import write_atomic
from ..storage.strict_json import dumps
from .options import plugins_first
from .run import device_of


@click.command("reproduce")
@click.argument("names", nargs=-1, metavar="[NAME…]")
@click.option(
    "--scale",
    type=click.Choice(["quick", "paper"]),
    default="quick",
    show_default=True,
    help="Minutes on two cores, or the paper's own settings.",
)
@click.option(
    "--out",
    type=PATH,
    default="reproduced",
    show_default=True,
    metavar="DIR",
    help="Where runs, figures and results.json are kept. What is there already is not played again.",
)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda|cuda:N", help="Where it runs.")
@click.option("--workers", type=INTEGER, default=1, show_default=True, help="How many runs are played at once.")
@click.option("-o", multiple=True, metavar="KEY=VALUE", help="An option of the experiment NAME, if one is named.")
@click.option("--json", "as_json", is_flag=True, help="Print claims, numbers and verdicts as JSON.")
@click.option("--report", type=PATH, metavar="FILE.html", help="Write a page with claims, verdicts and figures.")
@click.option("--quiet", is_flag=True, help="Do not say which runs have ended.")
@plugins_first
@click.pass_context
def reproduce_command(ctx: click.Context, /, names: tuple[str, ...], **given: Any) -> None:
    """Play the published claims NAME, or all of them, and print a verdict on each.

    Of each claim the table has the paper's figure, ours with its 95 % interval, and a verdict, which is computed:
    agrees, partly, disagrees, undecided, or not run here. See counterplay list experiment.

    The exit code is 0 whatever the verdicts are. Ctrl-C stops it with 75; the same command then goes on.
    """  # fmt: skip
    from ..process.signals import stop_requested
    from ..provenance.environment import versions
    from ..sweep.local import Local
    from .reproduction import reproduce

    if given["workers"] < 1:
        raise UsageError(f"--workers {given['workers']}: at least one is needed.")
    if given["o"] and len(names) != 1:
        raise UsageError("-o sets an option of one experiment: name it, and only it.")
    entries = [registry.find("experiment", name) for name in dict.fromkeys(names)] or registry.entries("experiment")
    options = assignments(given["o"], "-o")
    experiments = {e.name: registry.make("experiment", e.name, **options) for e in entries}
    folder, device, found = Path(given["out"]), device_of(given["device"]), list[Results]()
    about = {e.name: {"summary": e.summary, "reference": e.reference} for e in entries}
    with stop_requested() as stop:
        tell = (lambda line: None) if given["quiet"] else (lambda line: click.echo(line, err=True))
        execute = Local(given["workers"])
        for one in reproduce(experiments, given["scale"], folder, device, execute, stop, tell):
            found.append(one | about[one["name"]])
            folder.mkdir(parents=True, exist_ok=True)
            everything = {"scale": given["scale"], "device": device, "versions": versions(), "experiments": found}
            write_atomic(folder / "results.json", dumps(everything).encode())
    if len(found) < len(experiments):
        raise Interrupted("stopped; what was played is kept, and the same command goes on.")
    _draw(ctx, folder, given["report"])
    if given["as_json"]:
        kept = [{key: x for key, x in one.items() if key not in ("panels", "runs")} for one in found]
        click.echo(dumps(kept), nl=False)
    else:
        _print(found, folder)


def _draw(ctx: click.Context, folder: Path, report: str | None) -> None:
    """Run the command ``claims``, which belongs to the package analysis. Without it, or matplotlib, no figures."""
    group = ctx.find_root().command
    claims = group.get_command(ctx, "claims") if isinstance(group, click.Group) else None
    if claims is None:
        return
    args = [str(folder), "--quiet", *(["--report", report] if report else [])]
    try:
        claims.main(args, prog_name="counterplay claims", standalone_mode=False)
    except UsageError as error:
        if report:
            raise
        click.echo(f"Warning: no figures were drawn: {error}", err=True)


def _print(found: list[Results], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("experiment", "claim", "paper", "ours [95 %]", "verdict", box=None, padding=(0, 2, 1, 0))
    last = ""
    for name, *cells in rows(found):
        table.add_row("" if name == last else name, *(printable(cell).replace("[", "\\[") for cell in cells))
        last = name
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print(table)
    click.echo(f"{counts(found)}  figures and results.json in {folder}")
