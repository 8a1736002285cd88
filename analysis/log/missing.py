"""What should be there of a log and is not: found without opening its files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from ...core.errors import BadLog
from ...core.log.blocks import blocks_of
from ...core.log.schema import ENDED
from ...core.storage.json_fields import CheckpointState, checked
from ...core.storage.run_directory import STATE, RunDirectory
from ...core.storage.safe_open import read_plain
from ...core.storage.strict_json import parse

_PART = 16 << 20  # bytes of a JSON file
_BACK = "Bring it back from where the run was played"


def missing(directory: Path) -> str:
    """In a sentence what is missing of the log of a run directory; "" if nothing is."""
    status: dict[str, Any] = {}
    with contextlib.suppress(BadLog):  # who asks for the status is told
        status = RunDirectory(directory).status()
    saved = saved_blocks(directory)
    numbers = [int(block.stem) for block in blocks_of(directory)]
    if os.path.lexists(directory / "log.h5"):  # looked up last: blocks are removed after it is written
        return ""
    state, step = status.get("state"), status.get("step")
    if not numbers and (state in ENDED or (state in ("interrupted", "failed") and step and not saved)):
        return f"{directory} has no log, and its run has ended: {state} at step {step}. {_BACK} (log.h5 or log/)."
    absent = sorted(set(range(1, max([*numbers, saved], default=0) + 1)) - set(numbers))
    if absent:
        why = f"has {len(numbers)} others" if len(numbers) else f"its newest checkpoint was saved after {saved}"
        return f"{directory / 'log'} has no block {absent[0]:06d}, and {why}. {_BACK}."
    return ""


def saved_blocks(directory: Path) -> int:
    """The number of blocks that the log had when the newest readable checkpoint was saved."""
    for checkpoint in sorted((directory / "checkpoints").glob("step-*"), key=age, reverse=True):
        with contextlib.suppress(OSError, LookupError, BadLog):
            blocks: int = checked(json_of(checkpoint / STATE), checkpoint / STATE, CheckpointState)["blocks"]
            return blocks
    return 0


def age(checkpoint: Path) -> tuple[int, str]:
    """A key that sorts checkpoints by their step."""
    return len(checkpoint.name), checkpoint.name


def json_of(path: Path) -> Any:
    """The content of a JSON file of a checkpoint. Raises BadLog where it is none."""
    try:
        return parse(read_plain(path, _PART))
    except ValueError as error:
        raise BadLog(f"{path} is not valid JSON ({error}).") from error
