"""The commands that read logs: summary, plot, report, log. Large packages are imported when a command runs."""

from __future__ import annotations

import contextlib
import shutil

import click

from ...core.click_types import PATH
from ...core.registry.hookspecs import hookimpl
from ..figures import NAMES as FIGURES
from .log_commands import log

_PATHS = click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=PATH)


@hookimpl
def register_commands(group: click.Group) -> None:
    """Add the commands that read logs."""
    for command in (summary, plot, report, log, claims):
        group.add_command(command)


@click.command()
@_PATHS
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON: one object, or a list for several runs.")
@click.option("--follow", is_flag=True, help="Print again whenever a run under way has new rows, until it ends.")
def summary(paths: tuple[str, ...], as_json: bool, follow: bool) -> None:
    """Print the results of one or several runs.

    With --follow and --json each result is an object on a line of its own. Ctrl-C ends --follow, not the run.
    """
    from ...core.storage.strict_json import dumps
    from ..log.log import open_log
    from .summary import summarize, table

    if follow:
        return _follow(paths, as_json)
    logs = [open_log(path, sandbox=True) for path in paths]
    facts = [summarize(log) for log in logs]
    if as_json:
        return click.echo(dumps(facts[0] if len(facts) == 1 else facts).rstrip())
    width = shutil.get_terminal_size((100, 24)).columns
    click.echo(table(facts, [log.experiment for log in logs], max(width, 60)))


def _follow(paths: tuple[str, ...], as_json: bool) -> None:
    from ...core.errors import UsageError
    from ...core.storage.strict_json import dumps
    from ..log.follow import follow
    from .summary import summarize, table

    if len(paths) > 1:
        raise UsageError(f"--follow looks at one run, and {len(paths)} were given.")
    with contextlib.suppress(KeyboardInterrupt):
        for log in follow(paths[0]):
            facts = summarize(log)
            click.echo(dumps(facts, indent=None).rstrip() if as_json else table([facts]) + "\n")


@click.command(help=f"Draw FIGURE ({', '.join(FIGURES)}) of one or several runs.")
@click.argument("figure", shell_complete=lambda ctx, param, begun: [f for f in FIGURES if f.startswith(begun)])
@_PATHS
@click.option("-o", "--output", type=PATH, help="File to write (.png, .pdf, .svg). [default: FIGURE.png]")
@click.option(
    "--against",
    default="step",
    show_default=True,
    help="Horizontal axis of losses and metrics: step, gradients, products, samples, seconds (of the solver alone) or "
    "wall_seconds.",
)
@click.option("--ascent", is_flag=True, help="Show spectra of -J, stable on the left, as papers on ascent do.")
@click.option(
    "--each", is_flag=True, help="A curve for each run, also where three or more are seeds of one experiment."
)
@click.option("--width", type=float, metavar="INCHES", help="Width of the figure; 3.3 is a column of many papers.")
@click.option("--animate", is_flag=True, help="All samples of one run after another, as a .gif or .webp.")
@click.option("--sheets", is_flag=True, help="All samples of one run, each as a PNG in the folder -o.")
def plot(
    figure: str,
    paths: tuple[str, ...],
    output: str | None,
    against: str,
    ascent: bool,
    each: bool,
    width: float | None,
    animate: bool,
    sheets: bool,
) -> None:
    """The command ``plot``: draw one figure and say which file it was written to."""
    from ...core.errors import UsageError
    from ..figures import animation
    from ..figures import plot as figures
    from ..log.log import open_log

    if (animate or sheets) and (figure != "samples" or len(paths) > 1 or (animate and sheets)):
        flag = "--animate" if animate else "--sheets"
        raise UsageError(f"{flag} shows the samples of one run: counterplay plot samples RUN {flag}.")
    logs = [open_log(path, sandbox=True) for path in paths]
    if animate:
        return click.echo(f"Wrote {animation.animate(logs[0], output or 'samples.gif')}")
    if sheets:
        return click.echo(f"Wrote {animation.write_sheets(logs[0], output or 'samples')}")
    drawn = figures.plot(figure, logs, against=against, ascent=ascent, each=each, width=width)
    click.echo(f"Wrote {figures.save(drawn, output or f'{figure}.png')}")


@click.command()
@_PATHS
@click.option("-o", "--output", type=PATH, help="File to write. [default: report.html beside the first log]")
def report(paths: tuple[str, ...], output: str | None) -> None:
    """Write one self-contained HTML file on one or several runs."""
    from ..log.log import open_log
    from .report import write_report

    click.echo(f"Wrote {write_report([open_log(path, sandbox=True) for path in paths], output)}")


@click.command()
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--report", type=PATH, metavar="FILE.html", help="Write a page with claims, verdicts and figures.")
@click.option("--quiet", is_flag=True, help="Do not name the files written.")
def claims(folder: str, report: str | None, quiet: bool) -> None:
    """Draw the figures of what reproduce found in DIR, and with --report a page."""
    from pathlib import Path

    from .claims import draw_figures, write_page

    written = draw_figures(Path(folder))
    if report:
        written.append(write_page(Path(folder), Path(report)))
    if not quiet:
        click.echo("\n".join(f"Wrote {path}" for path in written))
