"""``counterplay run``: makes an experiment from what was typed, runs it, and says how it ended."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..click_types import PATH
from ..errors import Diverged, Interrupted, NotConverged
from ..process import torchrun
from ..registry import experiment as config
from ..registry import registry
from ..registry.build import build, completed, name_of
from ..registry.experiment import Experiment, merged
from ..settings import UserSettings
from ..terminal.completion import of_kind
from ..terminal.progress import figures, shown
from .options import as_typed, objects, plugins, settings

if TYPE_CHECKING:
    from ..loop.result import Result


@click.command("run")
@click.argument("game", required=False, shell_complete=of_kind("game"))
@click.option(
    "--solver", metavar="NAME", help="How it is played; see counterplay list solver.", shell_complete=of_kind("solver")
)
@objects
@settings
@click.option("--config", "config_file", type=PATH, metavar="FILE.toml", help="Read the experiment from a file.")
@plugins
@click.option("--dry-run", is_flag=True, help="Print the resolved experiment as TOML for --config, and stop.")
@click.option("--report", is_flag=True, help="Write report.html afterwards.")
@click.option("--quiet", is_flag=True, help="Say nothing but the closing line.")
@click.pass_context
def run_command(ctx: click.Context, /, **given: Any) -> None:
    """Play GAME with a solver and record losses, trajectory and spectra.

    Values are TOML: numbers, true, [0.5, 0.999], else text. What is typed wins over the environment
    (COUNTERPLAY_STEPS=100), that over --config, that over the defaults.
    """
    file = config.from_file(given["config_file"]) if given["config_file"] else {}
    environment = config.from_environment()
    typed = as_typed(given, merged(file, environment))
    if given["game"] and not given["plugin"]:
        registry.find("game", given["game"])  # report a misspelt game before anything that is missing
    experiment = config.resolve(file, environment, typed)
    reported = len(registry.problems())
    for path in experiment.plugins:
        registry.load_file(path)
    game, solver, regularizers = build(experiment)
    for problem in registry.problems()[reported:]:
        click.echo(f"Warning: {problem}", err=True)
    if given["dry_run"]:
        try_one_step(experiment, (game, solver, regularizers))
        click.echo(config.to_toml(completed(experiment, game, solver, regularizers)), nl=False)
        return
    play(ctx, experiment, (game, solver, regularizers), quiet=given["quiet"], report=given["report"])


def settings_of(e: Experiment, regularizers: list[Any]) -> dict[str, Any]:
    """The arguments of ``engine.run`` for the experiment."""
    settings = {field.name: getattr(e, field.name) for field in fields(UserSettings)}
    others = {"start": start_of(e.start), "trace": e.trace, "compile": e.compile}
    return {**settings, **others, "regularizers": regularizers, "device": device_of(e.device)}


def try_one_step(e: Experiment, objects: tuple[Any, Any, list[Any]]) -> None:
    """Take one step and keep nothing, so that an experiment that a run would refuse is refused here too."""
    from ..run.engine import run

    game, solver, regularizers = objects
    run(game, solver, **settings_of(e, regularizers) | {"steps": min(e.steps, 1), "compile": False, "progress": False})


def play(ctx: click.Context, e: Experiment, objects: tuple[Any, Any, list[Any]], *, quiet: bool, report: bool) -> None:
    """Run the experiment and say how it ended. Raises an error with the exit code if it did not end well."""
    from ..process.signals import stop_requested
    from ..provenance.environment import sources
    from ..run.engine import run

    game, solver, regularizers = objects
    full = completed(e, game, solver, regularizers)
    out = e.out or first_free(name_of(full.game), name_of(full.solver))
    last: dict[str, Any] = {}
    with shown(quiet or not torchrun.speaks()) as progress, stop_requested() as stop:
        result = run(
            game,
            solver,
            out=out,
            **settings_of(e, regularizers),
            experiment=config.to_table(full) | {"out": out} | sources([game, solver, regularizers]),
            progress=remembering_losses(last, progress),
            stop=stop,
        )
    if not torchrun.speaks():
        return
    if e.compile and result.eager:
        click.echo(f"Warning: {result.eager}", err=True)
    if report:
        write_report(ctx, out)
    report_ending(result, last, out)


def remembering_losses(last: dict[str, Any], progress: Any) -> Callable[[int, int, Mapping[str, Any]], None]:
    """A progress function that also keeps the last losses in ``last``, for the closing line. It computes nothing."""

    def keep(step: int, steps: int, losses: Mapping[str, Any]) -> None:
        last["losses"] = losses
        if progress is not None:
            progress(step, steps, losses)

    keep.spectra = getattr(progress, "spectra", None)  # type: ignore[attr-defined]
    return keep


def report_ending(result: Result, last: Mapping[str, Any], out: str) -> None:
    """Write the closing line. Raises Diverged, NotConverged or Interrupted if the run ended so."""
    losses = figures(last.get("losses", {}))
    again = shlex.quote(f"./{out}" if out.startswith("-") else out)
    where = f"log in {out}; next: counterplay summary {again}"
    line = f"{result.status} after {result.steps} steps"
    if result.status == "diverged":
        raise Diverged(f"{line}: {result.message} The last finite state is kept; {where}")
    if result.status == "not_converged":
        raise NotConverged(f"{line}: {result.message} {where}")
    if result.status == "interrupted":
        raise Interrupted(f"{line}: {result.message} counterplay resume {again}")
    click.echo(f"{line}{'  ' + losses if losses else ''}  {where}")


def first_free(game: str, solver: str) -> str:
    """The default run directory: runs/GAME-SOLVER-N with the first N that is free."""
    return next(str(p) for n in itertools.count(1) if not (p := Path("runs", f"{game}-{solver}-{n}")).exists())


def start_of(path: str | None) -> Any:
    """The starting point in a file of safetensors; None without a file. Raises UsageError if it is no such file."""
    if path is None:
        return None
    from ..run.checkpoint import read_start

    return read_start(path)


def device_of(name: str) -> str:
    """Return ``name`` if this machine has the device. Raises UsageError."""
    from ..run.device import require_device

    require_device(name, "--device")
    return name


def write_report(ctx: click.Context, out: str) -> None:
    """Write the report of a run or a sweep by the command ``report``, found by its name, as it is not core's."""
    group = ctx.find_root().command
    if isinstance(group, click.Group) and (report := group.get_command(ctx, "report")) is not None:
        report.main([out], prog_name="counterplay report", standalone_mode=False)
