"""Options that several commands share: objects of an experiment, its settings, plugin files, and those of sweeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, get_args

import click

from ..click_types import INTEGER, NUMBER, PATH, Integer
from ..errors import UsageError
from ..options import Option, bounds_of
from ..registry import experiment as config
from ..registry import registry
from ..registry.experiment import assignments, merged
from ..terminal.completion import keys_of, of_kind

_PAIR = "KEY=VALUE"
_OBJECTS = (
    click.option("-g", multiple=True, metavar=_PAIR, help="Of the game.", shell_complete=keys_of("game", "game")),
    click.option(
        "-s", multiple=True, metavar=_PAIR, help="An option of the solver; lr.x=0.1 is one player's.",
        shell_complete=keys_of("solver", "solver"),
    ),
    click.option("--loss", metavar="NAME", help="The loss of a GAN.", shell_complete=of_kind("loss")),
    click.option("-l", multiple=True, metavar=_PAIR, help="Of the loss.", shell_complete=keys_of("loss", "loss")),
    click.option(
        "--regularizer", multiple=True, metavar="NAME", help="A regularizer; repeat for several.",
        shell_complete=of_kind("regularizer"),
    ),
    click.option(
        "-r", multiple=True, metavar="NAME.KEY=VALUE", help="An option of a regularizer.",
        shell_complete=keys_of("regularizer", "regularizer"),
    ),
)  # fmt: skip
_PLUGIN: dict[str, Any] = {"multiple": True, "type": PATH, "metavar": "FILE.py"}


def objects(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the objects of an experiment, except the solver's name."""
    for option in reversed(_OBJECTS):
        command = option(command)
    return command


def settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each field of an experiment that has a help text."""
    for o in reversed(config.OPTIONS.values()):
        if o.help:
            command = _option(o)(command)
    return command


def _option(o: Option) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option of the command line for one field."""
    flag, kind = f"--{o.name.replace('_', '-')}", bounds_of(o.annotation)[0]
    usual = o.metadata.get("usual", o.default if kind is int and "unsaid" not in o.metadata else None)
    help = o.help if usual is None else f"{o.help}  [default: {usual}]"
    if kind is bool:
        either = NoneType in get_args(o.annotation)
        return click.option(f"{flag}/--no-{flag[2:]}" if either else flag, is_flag=True, default=None, help=help)
    type = PATH if o.metadata.get("path") else {int: INTEGER, float: NUMBER}.get(kind)
    return click.option(flag, type=type, metavar=o.metadata.get("metavar"), help=help)


PLUGIN_FILES = "counterplay.plugin_files"  # the key of the context's meta that holds the files loaded first

plugins = click.option("--plugin", **_PLUGIN, help="Load a plugin file; repeat for several.")


def _load(ctx: click.Context, param: click.Parameter, paths: tuple[str, ...]) -> None:
    ctx.meta[PLUGIN_FILES] = paths
    for path in paths:
        registry.load_file(path)


plugins_first = click.option(
    "--plugin", **_PLUGIN, callback=_load, expose_value=False, is_eager=True,
    help="Load a plugin file first; repeat for several.",
)  # fmt: skip


def as_typed(given: Mapping[str, Any], file: config.Table) -> config.Table:
    """What was typed on the command line, as a table to merge over ``file``."""
    table = {k: v for k, v in given.items() if k in config.FIELDS and v is not None and v != ()}
    for field, flag, pairs in (("game", "-g", "g"), ("solver", "-s", "s"), ("loss", "-l", "l")):
        named = {"name": table[field]} if field in table else {}
        options = assignments(given[pairs], flag)
        _without_prefix(flag, field, options, table.get(field))
        if typed := merged(options, named):
            table[field] = typed
    regularizers = config.with_regularizers(file, given["regularizer"], assignments(given["r"], "-r"))
    if regularizers is not None:
        table["regularizers"] = regularizers
    if given["plugin"]:
        table["plugins"] = list(given["plugin"])
    return table


def _without_prefix(flag: str, field: str, options: config.Table, name: Any) -> None:
    """Raise UsageError for ``-s simgd.lr=0.1`` or ``-s solver.lr=0.1``: only ``-r`` says whose option it is."""
    for first, inside in options.items():
        if first in (field, name) and isinstance(inside, Mapping):
            key = next(iter(inside))
            raise UsageError(f"{flag} {first}.{key}=...: {flag} sets options of the {field}: write {flag} {key}=VALUE.")


def require_member(member: int, members: int | None, where: str) -> None:
    """Raise UsageError unless ``where``, which has so many ``members`` or None, has this one."""
    if not 0 <= member < (members or 1):
        has = "is no ensemble" if members is None else f"has the members 0 to {members - 1}"
        raise UsageError(f"--member {member}: {where} {has}.")


def swept_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each setting of a run but its directory, as text, which may hold several values."""
    for o in reversed(config.OPTIONS.values()):
        if not o.help or o.name == "out":
            continue
        if bounds_of(o.annotation)[0] is bool:
            command = _option(o)(command)
        else:
            metavar = o.metadata.get("metavar", "VALUE")
            command = click.option(f"--{o.name.replace('_', '-')}", metavar=f"{metavar},…", help=o.help)(command)
    return command


def _together(*options: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[..., Any]:
    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_COUNT: dict[str, Any] = {"type": Integer(least=1), "metavar": "N"}
grid_options = _together(
    click.option("--seeds", metavar="0:10", help="Seeds: a range without its end, or 1,5,7."),
    click.option("--as-members", is_flag=True, help="Play the seeds as the members of one ensemble."),
    click.option("--halving", metavar="METRIC", help="Drop the worse half at each rung, by gradient_norm, loss.x, …"),
    click.option("--rungs", metavar="STEP,…", help="Where halves are dropped.  [default: 1/8, 1/4, 1/2 of the steps]"),
    click.option("--zip", "zipped", multiple=True, metavar="AXIS,AXIS", help="Axes that go together, as solver,lr."),
    click.option("--out", type=PATH, metavar="DIR", help="The directory of the sweep; it may be there already."),
)
executor_options = _together(
    click.option("--executor", metavar="NAME", default="local", help="local, dask, slurm or command."),
    click.option("--scheduler", metavar="ADDRESS", help="Of dask, as tcp://host:8786; without it one is started here."),
)
work_options = _together(
    click.option("--workers", **_COUNT, help="How many runs at once.  [default: one a processor]"),
    click.option("--retry", is_flag=True, help="Play the cells that failed or were dropped, too."),
    click.option("--limit", **_COUNT, help="Play no more than N cells now."),
    click.option("--take-over", is_flag=True, help="What other machines have claimed is free: they are gone."),
    click.option("--quiet", is_flag=True, help="Say nothing but the closing line."),
)
