"""The commands under ``counterplay log``: verify, merge, export."""

from __future__ import annotations

from pathlib import Path

import click

from ...core.click_types import PATH

_PATHS = click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=PATH)
_FORCE = click.option("--force", is_flag=True, help="Replace FILE where it exists.")


@click.group("log")
def log() -> None:
    """Check, merge and export logs."""


@log.command()
@_PATHS
def verify(paths: tuple[str, ...]) -> None:
    """Check run directories, sweeps and log files: every checksum, every number, every checkpoint.

    Prints a line for each thing that was checked, of all PATHs. Exit code 65 if one is bad.
    """
    from ...core.errors import BadLog, UserError, printable
    from ...core.log.sandbox import Sandbox
    from ..log.verify import verify
    from ..measures.found_runs import find_runs

    count, bad, refused, reader = 0, list[str](), list[UserError](), Sandbox()
    for path in paths:
        try:
            for run in find_runs([path]):
                for good, thing, words in verify(run.path, reader):
                    count += 1
                    bad += [] if good else [words]
                    click.echo(f"{'good' if good else 'BAD '}  {printable(thing)}  {printable(words)}".rstrip())
        except UserError as error:  # the others are checked all the same
            refused.append(error)
            click.echo(f"BAD   {printable(path)}  {printable(error)}")
    if bad:
        raise BadLog(f"{len(bad)} of {count} things are bad. The first: {bad[0]}")
    if refused:
        raise max(refused, key=lambda error: error.exit_code)
    click.echo(f"All {count} things are good.")


@log.command()
@click.argument("directory", metavar="DIR", type=PATH)
@click.option("--to", "target", type=PATH, metavar="FILE.h5", help="Write the log to FILE.h5, and leave DIR as it is.")
@_FORCE
def merge(directory: str, target: str | None, force: bool) -> None:
    """Merge the blocks of the run in DIR into one file log.h5, as is done when a run ends.

    A run that can be resumed needs its blocks: use --to to write a copy.
    """
    from ..log.merge import merge, merge_to

    path = merge(Path(directory)) if target is None else merge_to(Path(directory), Path(target), force)
    click.echo(f"Wrote {path}")


@log.command()
@click.argument("path", metavar="PATH", type=PATH)
@click.option(
    "--to",
    "target",
    type=PATH,
    metavar="FILE",
    required=True,
    help="File to write: .csv, .json or .npz; or tensorboard, into the folder -o.",
)
@click.option("--group", default="step", show_default=True, help="What to write: step, spectrum, samples or metrics.")
@click.option("-o", "--output", type=PATH, help="Folder of the event files. [default: tensorboard]")
@_FORCE
def export(path: str, target: str, group: str, output: str | None, force: bool) -> None:
    """Write a group of a log as CSV, JSON or NPZ, or the log as event files of TensorBoard.

    CSV has a column for each number of a row, two for a complex number, and no images. NaN is nan in CSV, null in JSON.
    """
    from ..log.export import export
    from ..log.log import open_log
    from ..log.tensorboard import export_to_tensorboard

    if target == "tensorboard":
        log = open_log(path, sandbox=True)
        return click.echo(f"Wrote {export_to_tensorboard(log, Path(output or target))}")
    click.echo(f"Wrote {export(open_log(path, sandbox=True), group, Path(target), force)}")
