"""``counterplay sweep``: plays a grid of runs, says where it stands, and plays what waits in its directory."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..click_types import PATH
from ..errors import CellsFailed, Interrupted, UsageError, printable
from ..log.schema import ENDED
from ..registry import experiment as config
from ..registry import registry
from ..registry.experiment import merged, value_of
from ..storage.strict_json import dumps
from ..sweep.axes import as_members, file_axes, typed_axes, values_in
from ..sweep.cell import Cell
from ..sweep.cost import costs
from ..sweep.executors import Executor, executor
from ..sweep.grid import grid
from ..sweep.halving import Halving, halve
from ..sweep.sweep_directory import CellState, SweepDirectory
from ..sweep.work import Work
from ..terminal.progress import clock, shown
from ..typed_values import as_integer
from .options import executor_options, grid_options, objects, plugins, swept_settings, work_options
from .run import write_report

if TYPE_CHECKING:
    from ..sweep.work import Play


class _Sweep(click.Group):
    """A group whose first word is a game, unless it is one of the commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] and args[0] in self.commands else ["play", *args])


class _Unnamed(click.Context):
    """The context of ``play``, a word that nobody types."""

    @property
    def command_path(self) -> str:
        return self.parent.command_path if self.parent is not None else super().command_path


class _Play(click.Command):
    context_class = _Unnamed


@click.group("sweep", cls=_Sweep, short_help="Play a grid of runs: games, solvers, settings and seeds.")
def sweep_command() -> None:
    """Play a grid of runs."""


@sweep_command.command("play", cls=_Play, epilog="Also: counterplay sweep status DIR; counterplay sweep work DIR.")
@click.argument("game", required=False)
@click.option("--solver", metavar="NAME,…", help="How it is played; see counterplay list solver.")
@objects
@swept_settings
@grid_options
@click.option("--config", "config_file", type=PATH, metavar="FILE.toml", help="Read experiment and axes from a file.")
@plugins
@executor_options
@work_options
@click.option("--dry-run", is_flag=True, help="List the cells and what they cost, and stop.")
@click.option("--report", is_flag=True, help="Write report.html afterwards.")
@click.pass_context
def play_command(ctx: click.Context, /, **given: Any) -> None:
    """Play GAME with every combination of the values given, and record each run in a directory of its own.

    A comma separates values: --solver simgd,cgd -s lr=1e-3,1e-2 --seeds 0:10. Within brackets or quotes it does not.
    In a file the table [sweep] has the axes: "solver.lr" = [1e-3, 1e-2]. What the directory has already is not played
    again: the same command goes on after whatever stopped it, and a larger grid plays what is new.
    """
    cells, out = _asked(given)
    if given["dry_run"]:
        _list(cells, min(_workers(given), len(cells)))
        return
    if out is None:
        raise UsageError("the directory of the sweep was not named: give --out DIR. It may be there already.")
    player = executor(
        given["executor"], _workers(given), given["scheduler"], [sys.executable, "-m", f"{__package__}.main"]
    )
    sweep = SweepDirectory(out)
    sweep.plan(cells)
    try:
        _play(sweep, cells, player, given)
    finally:
        if given["report"] and any(sweep.state(cell.name).is_done for cell in cells):
            write_report(ctx, out)


def _list(cells: Sequence[Cell], workers: int) -> None:
    """Write the cells, one a line, and what they cost at most."""
    from .play_cell import try_steps

    seconds = list[float]()
    for cell, cost in costs(cells, try_steps):
        if isinstance(cost, float):
            seconds.append(cost)
        words = cost if isinstance(cost, str) else f"at most {clock(cost)}"
        click.echo(printable(f"{cell.name[:12]}  {_settings(cell)}  {cell.experiment['steps']} steps  {words}"))
    unknown = f", and {len(cells) - len(seconds)} of unknown cost" if len(seconds) < len(cells) else ""
    times = f"{clock(sum(seconds))} of computing, {clock(sum(seconds) / workers)} with {workers} workers"
    spectra = "; spectra come on top" if any(cell.experiment.get("spectrum_every") for cell in cells) else ""
    click.echo(f"{len(cells)} cells: at most {times}{unknown}{spectra}")


def _asked(given: dict[str, Any]) -> tuple[list[Cell], str | None]:
    """The cells of what was typed and of the file, and the directory, if it was named."""
    file = config.from_file(given["config_file"]) if given["config_file"] else {}
    environment = config.from_environment()
    axes, zipped = file_axes(file.pop("sweep", {}))
    axes = {axis: x for axis, x in axes.items() if axis not in environment} | (typed := typed_axes(given))
    if given["as_members"]:
        as_members(axes)
    base = merged(file, environment)
    if given["plugin"]:
        base["plugins"] = list(given["plugin"])
    zipped = [values_in(x) for x in given["zipped"]] or [x for x in zipped if not {*x} <= typed.keys()]
    if (game := axes.get("game", [])) and not base.get("plugins"):
        for name in game:
            if isinstance(name, str):
                registry.find("game", name)  # report a misspelt game before anything that is missing
    for path in base.get("plugins") or []:
        registry.load_file(str(path))
    return grid(base, axes, zipped), given["out"] or base.get("out")


def _workers(given: dict[str, Any]) -> int:
    return int(given["workers"] or len(os.sched_getaffinity(0)))


def _play(sweep: SweepDirectory, cells: Sequence[Cell], player: Executor, given: dict[str, Any]) -> None:
    """Play the cells that wait, and say how all of them stand."""
    from ..process.signals import stop_requested

    sweep.claims.prepare()  # else each process would find out that nothing can be written there
    retry, foreign = given["retry"], given["take_over"]
    work = Work(sweep, _play_cell(), retry, foreign)
    states = {cell.name: sweep.state(cell.name).state for cell in cells}
    due = [cell for cell in cells if work.is_due(cell)][: given["limit"]]
    halving = _halving(cells, player, given)
    at_once = min(_workers(given), max(len(due), 1))
    with shown(given["quiet"] or not player.plays, "cell", at_once) as progress, stop_requested() as stop:

        def tell(cell: Cell, state: str) -> None:
            states[cell.name] = state
            counts = Counter(states.values())
            if progress is not None:
                done = sum(counts[state] for state in (*ENDED, "failed"))
                progress(done, len(cells), {x: float(counts[x]) for x in ("diverged", "failed", "killed") if counts[x]})

        if due:
            if progress is not None:
                how_far = f"counterplay sweep status {shlex.quote(str(sweep.path))} says how far each is"
                click.echo(f"{len(due)} cells to play, {at_once} at a time; {how_far}", err=True)
            tell(due[0], states[due[0].name])
        if halving is not None:
            kept = {cell.name for cell in halve(halving, player, work, cells, tell, stop)}
            due = [cell for cell in cells if cell.name in kept and work.is_due(cell)]
        if due:
            player(work, due, tell, stop)
    if player.plays:
        _close(sweep, cells, stop(), given["limit"] is None)


def _halving(cells: Sequence[Cell], player: Executor, given: dict[str, Any]) -> Halving | None:
    """How cells are dropped, if that was asked. Raises UsageError."""
    if given.get("halving") is None:
        if given.get("rungs") is not None:
            raise UsageError("--rungs are those of --halving METRIC, which was not given.")
        return None
    if not player.plays or given["limit"] is not None:
        raise UsageError("--halving compares cells that are played at once: not with --limit, slurm or command.")
    rungs = [as_integer(value_of("steps", text, "--rungs ")) for text in values_in(given["rungs"] or "") if text]
    if not all(isinstance(rung, int) for rung in rungs):
        raise UsageError(f"--rungs {given['rungs']}: expected steps, as 100,300.")
    return Halving.read(given["halving"], rungs, cells)


def _play_cell() -> Play:
    """The function that plays a cell. It imports torch."""
    from .play_cell import play_cell

    return play_cell


def _close(sweep: SweepDirectory, cells: Sequence[Cell], stopped: bool, all_due: bool = True) -> None:
    """Write the closing line. Raises Interrupted if cells are left, CellsFailed if some have failed.

    ``all_due``: whether all cells were to be played.
    """
    states = [sweep.state(cell.name) for cell in cells]
    counts = Counter(state.state for state in states)
    line = f"{len(cells)} cells: {', '.join(f'{n} {state}' for state, n in counts.most_common())}."
    if stopped and counts["waiting"]:
        raise Interrupted(f"{line} Stopped from outside; the same command goes on, as counterplay sweep work does.")
    if counts["waiting"] and all_due:
        raise Interrupted(f"{line} Their processes were killed, or ended without a word; the same command goes on.")
    if counts["failed"]:
        cell, state = next(pair for pair in zip(cells, states, strict=True) if pair[1].state == "failed")
        raise CellsFailed(
            f"{line} The first that failed: {_settings(cell)}: {printable(state.message)} "
            f"counterplay sweep status {sweep.path} lists them; --retry plays them again."
        )
    click.echo(f"{line}  next: counterplay summary {shlex.quote(str(sweep.path))}")


def _settings(cell: Cell) -> str:
    """What distinguishes a cell, as ``solver=cgd lr=0.1``."""
    return " ".join(f"{axis}={x}" for axis, x in cell.settings.items()) or cell.name[:12]


@sweep_command.command("work")
@click.argument("directory", type=PATH, metavar="DIR")
@work_options
@click.option("--cell", metavar="NAME", help="Play this cell alone, in this process: the beginning of its name.")
def work_command(directory: str, cell: str | None, **given: Any) -> None:
    """Play the cells of the sweep in DIR that wait. Any number of processes may do so, on any machine that sees DIR."""
    sweep = SweepDirectory(directory)
    cells = sweep.cells()
    if cell is None:
        _play(sweep, cells, executor("local", _workers(given)), given)
        return
    found = [x for x in cells if x.name.startswith(cell)]
    if len(found) != 1:
        raise UsageError(f"--cell {cell}: {len(found) or 'no'} cells of {directory} have a name that begins so.")
    state = Work(sweep, _play_cell(), given["retry"], given["take_over"])(found[0])
    _close(sweep, found, state == "interrupted")


@sweep_command.command("status")
@click.argument("directory", type=PATH, metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Every cell, for programs.")
def status_command(directory: str, as_json: bool) -> None:
    """Say how the cells of the sweep in DIR stand: how many are done, which failed and why, who plays."""
    sweep = SweepDirectory(directory)
    cells = sweep.cells()
    states = {cell.name: sweep.state(cell.name) for cell in cells}
    owners = {name: f"{o.host}:{o.pid}" for name, o in sweep.claims.taken().items()}
    counts = Counter(state.state for state in states.values())
    if as_json:
        about = [_about(cell, states[cell.name], owners.get(cell.name)) for cell in cells]
        click.echo(dumps({"directory": str(sweep.path), "counts": dict(counts), "cells": about}), nl=False)
        return
    click.echo(f"{len(cells)} cells in {sweep.path}")
    for state, n in counts.most_common():
        click.echo(f"  {n:>7} {state}")
    for cell in cells:
        found = states[cell.name]
        if found.state in ("failed", "running"):
            at = (
                f"step {found.step} of {cell.experiment['steps']}, played by {owners.get(cell.name, 'another machine')}"
            )
            who = at if found.state == "running" else printable(found.message)
            click.echo(f"{found.state}  {cell.name[:12]}  {_settings(cell)}  {who}")


def _about(cell: Cell, state: CellState, owner: str | None) -> dict[str, Any]:
    about = {"name": cell.name, "settings": dict(cell.settings), "state": state.state, "step": state.step}
    return {**about, "message": state.message, "seconds": state.seconds, "owner": owner}
