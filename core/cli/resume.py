"""``counterplay resume``: go on with a run that was stopped, killed or lost its machine."""

from __future__ import annotations

from typing import Any

import click

from ..click_types import PATH
from ..errors import printable
from ..process import torchrun
from ..terminal.progress import shown
from .options import plugins_first
from .run import remembering_losses, report_ending


@click.command("resume")
@click.argument("directory", type=PATH, metavar="DIR")
@click.option("--allow-inexact", is_flag=True, help="Go on though torch, threads or code changed; marks the log.")
@plugins_first
@click.option("--quiet", is_flag=True, help="Say nothing but the closing line.")
def resume_command(directory: str, allow_inexact: bool, quiet: bool) -> None:
    """Go on with the run in DIR from its newest good checkpoint. A run that has ended is left as it is."""
    from ..log.schema import ENDED
    from ..process.signals import stop_requested
    from ..run.resume import resume
    from ..storage.run_directory import RunDirectory

    status = RunDirectory(directory).status()
    last: dict[str, Any] = {}
    with shown(quiet or not torchrun.speaks()) as progress, stop_requested() as stop:
        result = resume(directory, progress=remembering_losses(last, progress), stop=stop, allow_inexact=allow_inexact)
    if not torchrun.speaks():
        return
    if status.get("state") in ENDED:
        ended = f"{directory} has ended: {result.status} after {result.steps} steps. {result.message}"
        click.echo(printable(ended.rstrip()))
    else:
        report_ending(result, last, directory)
