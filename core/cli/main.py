"""The command line: its commands, and how each way to end becomes a sentence and an exit code.

Nothing here imports torch. The module of a command is imported when the command is run. Plugins are imported when the
command is not one of counterplay's own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click

from ..errors import (
    Interrupted,
    PluginError,
    StorageError,
    UsageError,
    UserError,
    did_you_mean,
    out_of_memory,
    printable,
)
from ..process import signals, streams, torchrun
from ..registry import registry
from ..registry.kinds import kinds_in_words
from ..registry.third_party import commands_of
from ..requirements import not_installed
from ..terminal.completion import VARIABLE
from ..terminal.style import colours
from ..version import __version__

# The commands of this package: name -> (module, what it does). Those of the analysis package come through the hook.
_OURS = {
    "run": ("run", "Play a game and record it."),
    "sweep": ("sweep", "Play a grid of runs: games, solvers, settings and seeds."),
    "resume": ("resume", "Go on with a run that was stopped."),
    "show": ("show", "Draw images of a run's generator: samples, interpolations, nearest real images."),
    "spectrum": ("spectrum", "Find the eigenvalues at a recorded or given point, and what they say."),
    "evaluate": ("evaluate", "Measure the images of a run by metrics, from its checkpoints."),
    "list": ("catalogue", f"List {kinds_in_words()}."),
    "describe": ("catalogue", "Show what something does, its options and its reference."),
    "check": ("catalogue", "Check that a plugin keeps the contract."),
    "new": ("new", "Write a folder to begin with: a package of plugins."),
    "completion": (".terminal.completion", "Print what makes a shell complete commands, names and options."),
    "reproduce": ("reproduce", "Play published claims, and print a verdict on each."),
}


_REFUSED = (  # errors of the file system that are not the program's fault
    errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO,
    errno.EMFILE, errno.ENFILE, errno.ESTALE,
)  # fmt: skip


class Commands(click.Group):
    """A group that imports the module of a command only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_OURS, *self._analysis()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in _OURS:
            command: click.Command = getattr(import_module(f".{_OURS[name][0]}", __package__), f"{name}_command")
            return command
        return self._analysis().get(name) or self._third_party().get(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, line) for name, (_, line) in _OURS.items()]
        rows += [(name, c.get_short_help_str(90)) for name, c in self._analysis().items() if not c.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        if theirs := self._third_party():
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(printable(n), printable(c.get_short_help_str(90))) for n, c in theirs.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names. Raises UsageError, with the nearest name, if there is none."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            known = [*self.list_commands(ctx), *self._third_party()]
            raise UsageError(f"unknown command {name!r}{did_you_mean(name, known)} See counterplay --help.")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _broken_pipes_past_click():
            return super().make_context(*args, color=colours(), **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _broken_pipes_past_click():
            return super().invoke(ctx)

    def _analysis(self) -> dict[str, click.Command]:
        module = import_module(registry.COMMANDS)
        if not registry.REGISTRY.manager.is_registered(module):
            registry.REGISTRY.manager.register(module)
        return commands_of(registry.REGISTRY.manager, module)

    def _third_party(self) -> dict[str, click.Command]:
        return registry.REGISTRY.commands([*_OURS, *self._analysis()])


class _PastClick(Exception):
    """Carries a BrokenPipeError, as its cause, past click."""


@contextlib.contextmanager
def _broken_pipes_past_click() -> Iterator[None]:
    """Hide a BrokenPipeError from click, which would end without a word: it may be a plugin's."""
    try:
        yield
    except BrokenPipeError as error:
        raise _PastClick from error


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 ok, 1 bug, 2 usage, 3 plugin, 10 diverged, 11 not converged though required, "
    "12 cells of a sweep failed, 65 bad log, 71 out of memory, 73 run directory in use, 74 storage, "
    "75 interrupted and resumable.",
)
@click.version_option(__version__, prog_name="counterplay")
def cli() -> None:
    """Differentiable games: played, recorded, measured.

    counterplay run quadratic --solver simgd --out q; counterplay summary q
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with the codes in its help. A traceback is shown only with COUNTERPLAY_DEBUG=1."""
    code = Interrupted.exit_code
    with (
        contextlib.suppress(KeyboardInterrupt),
        signals.raise_interrupt(ignore_afterwards=args is None),
        streams.kept_open(),
    ):
        code = _run(args)
    sys.exit(code)


def _run(args: list[str] | None) -> int:
    try:
        code = cli.main(args, prog_name="counterplay", complete_var=VARIABLE, standalone_mode=False)
        sys.stdout.flush()
        signals.ignore_from_now_on()
        return code if isinstance(code, int) else 0  # click returns the code given to ctx.exit
    except BaseException as error:
        signals.ignore_from_now_on()
        return _ending(error)


def _ending(error: BaseException) -> int:
    """Say what happened and return the exit code."""
    if isinstance(error, _PastClick) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, streams.Unwritten):
        if error.gone:  # the reader has ended, as in ``counterplay list | head``
            return 0
        error = StorageError(f"Could not write to the standard output: {error}.")
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    if os.environ.get("COUNTERPLAY_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)
    if isinstance(error, UserError):
        if not (torchrun.speaks() or isinstance(error, Interrupted)) or not str(error):
            return error.exit_code  # the first of several processes says it
        plugin = _blamed(error) if isinstance(error, PluginError) else None
        return _say(f"the plugin {plugin} failed: {error}" if plugin else str(error), error.exit_code)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # a group was given without a command: show its help
        click.echo(error.format_message(), err=True)
        return 2
    if isinstance(error, click.ClickException):
        help = f" See {error.ctx.command_path} --help." if isinstance(error, click.UsageError) and error.ctx else ""
        return _say(error.format_message() + help, 2)
    if isinstance(error, (click.Abort, KeyboardInterrupt)) or signals.received():
        return _say("interrupted.", Interrupted.exit_code)
    if (lack := out_of_memory(error)) is not None:
        return _say(str(lack), lack.exit_code)
    if isinstance(error, ModuleNotFoundError) and (absent := not_installed(error)) is not None:
        return _say(str(absent), absent.exit_code)
    what = f"{type(error).__name__}: {error}".strip(": ")
    if (plugin := _culprit(error)) is not None:
        return _say(f"the plugin {plugin} failed: {what}", 3)
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return _say(f"the file system refuses {error.filename or 'it'}: {error.strerror}.", StorageError.exit_code)
    again = "run the same command with COUNTERPLAY_DEBUG=1 and report what it prints."
    return _say(f"internal error, a bug in counterplay: {what}\nPlease {again}", 1)


def _say(message: str, code: int) -> int:
    """Write an error to the standard error, and return ``code``."""
    with contextlib.suppress(OSError):
        text = "\n".join(map(printable, f" {message}".split("\n")))
        click.echo(click.style("Error:", fg="red", bold=True) + text, err=True, color=colours())
    return code


def _blamed(error: PluginError) -> str | None:
    """The plugin that the error names, or else the one whose code took part in it."""
    owner = registry.REGISTRY.owner(error.module)
    return owner.source if owner is not None else _culprit(error.__cause__ or error)


def _culprit(error: BaseException) -> str | None:
    """The innermost plugin in whose code the error arose, or through whose code it passed; None if there is none."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        for module in (frame.f_globals.get("__name__", ""), type(frame.f_locals.get("self")).__module__):
            if (plugin := registry.REGISTRY.owner(module)) is not None:
                return plugin.source
    return None


if __name__ == "__main__":
    main()
