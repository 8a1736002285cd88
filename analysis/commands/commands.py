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


@click.command(epilog="The page 'The rows of a summary' (.docs/concepts/summary.md) says what each row means.")
@_PATHS
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON: one object, or a list for several runs.")
@click.option("--follow", is_flag=True, help="Print again whenever a run under way has new rows, until it ends.")
@click.option("--table", "as_table", is_flag=True, help="One line for each run, as for sweeps.")
@click.option("--seeds", is_flag=True, help="One line for all seeds of an experiment: median [least, largest].")
@click.option("--sort", metavar="COLUMN", help="Sort the lines by a column, the least first; -COLUMN turns the order.")
@click.option("--best", metavar="COLUMN", help="Only the run with the least value, with -COLUMN the largest.")
@click.option("--below", type=float, metavar="NORM", help="The gradient norm to which runs race. [default: 1e-6]")
@click.option("-o", "--output", type=PATH, help="Write the table to a .csv or .parquet file.")
def summary(
    paths: tuple[str, ...],
    as_json: bool,
    follow: bool,
    as_table: bool,
    seeds: bool,
    sort: str | None,
    best: str | None,
    below: float | None,
    output: str | None,
) -> None:
    """Print the results of one or several runs, or of sweeps.

    Of two or three runs a column for each, of more a row for each with what differs. Of a sweep directory, and with
    --table, --seeds, --sort, --best, --below or -o, a table: one line for each run, with what it took to come below the
    norm of --below. With --follow and --json each result is an object on a line of its own. Ctrl-C ends --follow, not
    the run. A run that cannot be read is named, the others are shown, and the exit code is 65.
    """
    from ...core.storage.strict_json import dumps
    from ..measures.found_runs import is_sweep, readable_runs, tell_unread
    from .summary import summarize, table

    if follow:
        return _follow(paths, as_json)
    if as_table or seeds or sort or best or below is not None or output or any(map(is_sweep, paths)):
        return _table(paths, as_json, seeds, sort, best, below, output)
    logs, bad = readable_runs(paths)
    facts = [summarize(log) for log in logs]
    if as_json:
        told = [{"path": path, "status": "unreadable", "message": str(error)} for path, error in bad.items()]
        click.echo(dumps(facts[0] if len(paths) == 1 else [*facts, *told]).rstrip())
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        click.echo(table(facts, [log.experiment for log in logs], max(width, 60)))
    tell_unread(bad, len(logs) + len(bad))


def _table(
    paths: tuple[str, ...], as_json: bool, seeds: bool, sort: str | None, best: str | None, below: float | None,
    output: str | None,
) -> None:  # fmt: skip
    """Print or write the table of many runs."""
    from pathlib import Path

    from ...core.errors import BadLog
    from ...core.storage.strict_json import dumps
    from ..measures.found_runs import find_runs, tell_unread, unfinished
    from ..measures.run_table import BELOW, over_seeds, run_table, said_fastest, sorted_by, unreadable
    from .run_table_text import lines, write

    wanted, below = below is not None, BELOW if below is None else below
    runs = run_table(find_runs(paths), below, sandbox=True)
    good, bad = [row for row in runs if not unreadable(row)], [row for row in runs if unreadable(row)]
    rows = over_seeds(good) if seeds and good else runs
    if sort or best:
        rows = sorted_by(rows, str(sort or best))
    rows = sorted_by(rows, best)[:1] if best else rows
    if output:
        click.echo(f"Wrote {write(rows, Path(output))}")
    elif as_json:
        click.echo(dumps([*rows, *bad] if seeds and good else rows).rstrip())
    else:
        asked = [x.removeprefix("-") for x in (sort, best) if x]
        asked += [x for x in (f"{cost}_to_{below:g}" for cost in ("step", "gradients")) if below != BELOW]
        for line in lines(rows, max(shutil.get_terminal_size((100, 24)).columns, 60), asked):
            click.echo(line)
        if len(good) > 1 and not best and (said := said_fastest(rows if seeds else good, below, wanted)):
            click.echo("\n" + said)
        for said in filter(None, map(unfinished, paths)):
            click.echo("\n" + said)
    tell_unread({str(row["run"]): BadLog(str(row["reason"])) for row in bad}, len(runs))


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
@click.option("--x", metavar="SETTING", help="Horizontal axis of a heatmap, as lr. [default: the first that differs]")
@click.option("--y", metavar="SETTING", help="Vertical axis of a heatmap.")
@click.option("--value", metavar="COLUMN", help="What a heatmap shows, a column of summary. [default: gradient_norm]")
@click.option("--width", type=float, metavar="INCHES", help="Width of the figure; 3.3 is a column of many papers.")
@click.option(
    "--panel",
    metavar="NAME",
    help="Draw one panel alone, by name or number: J, blocks or F of a spectrum; loss or 'gradient norm' of losses.",
)
@click.option(
    "--step", type=int, metavar="N", help="Show the spectrum of this step alone, or the last before it. [default: all]"
)
@click.option("--no-title", is_flag=True, help="Leave out the title of the figure.")
@click.option("--animate", is_flag=True, help="All samples of one run after another, as a .gif or .webp.")
@click.option("--sheets", is_flag=True, help="All samples of one run, each as a PNG in the folder -o.")
def plot(
    figure: str,
    paths: tuple[str, ...],
    output: str | None,
    against: str,
    ascent: bool,
    each: bool,
    x: str | None,
    y: str | None,
    value: str | None,
    width: float | None,
    panel: str | None,
    step: int | None,
    no_title: bool,
    animate: bool,
    sheets: bool,
) -> None:
    """The command ``plot``: draw one figure and say which file it was written to."""
    from ...core.errors import UsageError
    from ..figures import animation
    from ..figures import plot as figures
    from ..measures.found_runs import readable_runs, tell_unread

    if (animate or sheets) and (figure != "samples" or len(paths) > 1 or (animate and sheets)):
        flag = "--animate" if animate else "--sheets"
        raise UsageError(f"{flag} shows the samples of one run: counterplay plot samples RUN {flag}.")
    logs, bad = readable_runs(paths)
    if animate:
        return click.echo(f"Wrote {animation.animate(logs[0], output or 'samples.gif')}")
    if sheets:
        return click.echo(f"Wrote {animation.write_sheets(logs[0], output or 'samples')}")
    options = {"against": against, "ascent": ascent, "each": each, "step": step, "x": x, "y": y, "value": value}
    drawn = figures.plot(figure, logs, width=width, panel=panel, title=not no_title, **options)
    click.echo(f"Wrote {figures.save(drawn, output or f'{figure}.png')}")
    tell_unread(bad, len(logs) + len(bad))


@click.command()
@_PATHS
@click.option("--below", type=float, default=1e-6, show_default=True, help="The gradient norm to which runs race.")
@click.option("-o", "--output", type=PATH, help="File to write. [default: report.html beside the first log]")
def report(paths: tuple[str, ...], below: float, output: str | None) -> None:
    """Write one self-contained HTML file on one or several runs."""
    from ..measures.found_runs import is_sweep, readable_runs, tell_unread
    from .report import write_report

    logs, bad = readable_runs(paths)
    beside = output or (f"{paths[0]}/report.html" if is_sweep(paths[0]) else None)
    click.echo(f"Wrote {write_report(logs, beside, bad, below)}")
    tell_unread(bad, len(logs) + len(bad))


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
