"""Merge the blocks of a log into one file: in place for a run that has ended, into a copy for any other."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import UsageError
from ...core.log import blocks
from ...core.log.sandbox import Sandbox
from ...core.storage.atomic import write_atomic
from ...core.storage.lock import acquire
from ...core.storage.run_directory import RunDirectory
from .log import open_log

_OPEN = ("running", "interrupted", "failed")  # states of runs that can go on


def merge(directory: Path) -> Path:
    """Merge in place and return the path of log.h5.

    Raises Busy where the run is under way, UsageError where it can be resumed, as it then needs the blocks.
    """
    if not blocks.blocks_of(directory) and not (directory / "log.h5").exists():
        raise UsageError(f"{directory} has no blocks of a log to merge; give the directory of a run.")
    with acquire(directory):
        if RunDirectory(directory).status().get("state") in _OPEN:
            step = open_log(directory, sandbox=True).status.get("step")
            raise UsageError(
                f"{directory} stopped at step {step} and can go on from there (counterplay resume), "
                "which needs the blocks of its log. To have them as one file beside it, name one: --to FILE.h5."
            )
        return blocks.merge(directory, files=Sandbox())


def merge_to(directory: Path, target: Path, force: bool = False) -> Path:
    """Write the whole log of a run, finished or under way, to ``target``."""
    absent(target, force)
    return write_atomic(target, open_log(directory, sandbox=True).whole())


def absent(target: Path, force: bool) -> None:
    """Raise UsageError if ``target`` is a directory, or exists and ``force`` is not given."""
    if target.is_dir():
        raise UsageError(f"{target} is a directory; name a file to write.")
    if target.exists() and not force:
        raise UsageError(f"{target} exists; --force replaces it.")
