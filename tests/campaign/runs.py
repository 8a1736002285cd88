"""The small run that is killed, starved and resumed, and what must be true of it afterwards."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

import counterplay as cp
from counterplay.core.cli.main import main
from counterplay.core.log.writer import LogWriter
from counterplay.core.run import run_writer
from counterplay.core.storage.checkpoint_files import load_checkpoint, newest

Tell = Callable[[int], None]
RUN = ("run", "affine-gaussian", "-g", "batch=4", "--solver", "simgd", "-s", "rule=adam", "--quiet")


class Telling(LogWriter):
    """Seals every few rows, and tells the last step of each block that is sealed."""

    tell: Tell = staticmethod(lambda step: None)
    last = -1

    def append(self, group: str, row: Any) -> None:
        if group == "step":
            self.last = int(row["step"])
        super().append(group, row)

    def seal(self) -> Path | None:
        sealed, path = self.last, super().seal()  # a row that is being appended is in
        if path is not None:
            self.tell(sealed)
        return path


def play(directory: Path, tell: Tell = Telling.tell, steps: int = 16) -> None:
    """Run it, or go on where it stands; ends as the command line does, with SystemExit."""
    Telling.tell = staticmethod(tell)
    vars(run_writer)["LogWriter"] = functools.partial(Telling, seal_bytes=900)
    run_writer.SYNC_SECONDS = 0.0  # every one, so that there is more to fail
    often = ("--steps", str(steps), "--checkpoint-every", "4")
    begun = (directory / "run.json").exists()
    main(["resume", str(directory), "--quiet"] if begun else [*RUN, *often, "--out", str(directory)])


def rows(directory: Path) -> dict[str, np.ndarray]:
    """Everything in the log but what the clock decides."""
    log = cp.open_log(directory)
    return {key: log[key] for key in log if not key.endswith("_seconds")}


def state(directory: Path) -> list[torch.Tensor]:
    return tree_leaves(load_checkpoint(newest(directory))[0])


def same(a: Path, b: Path) -> str:
    """Whether two runs that ended are the same, bit for bit; else what differs."""
    one, two = rows(a), rows(b)
    if one.keys() != two.keys():
        return f"variables {sorted(one.keys() ^ two.keys())}"
    for key, x in one.items():
        if x.shape != two[key].shape or x.tobytes() != two[key].tobytes():
            return f"{key} {x.shape} {two[key].shape}"
    ends = state(a), state(b)
    if len(ends[0]) != len(ends[1]) or not all(map(torch.equal, *ends)):
        return "the final state"
    status = [cp.open_log(d).status for d in (a, b)]
    return "" if all(s["state"] == "max_steps" and s["step"] == status[0]["step"] for s in status) else f"{status[1]}"


def readable(directory: Path, whole: dict[str, np.ndarray], acknowledged: int) -> str:
    """Whether the log opens, lacks no acknowledged row, and has those of the ``whole`` one; else what is wrong."""
    if not any((directory / "log").glob("[0-9]*.h5")) and not (directory / "log.h5").exists():
        return "" if acknowledged < 0 else "no block at all"
    found = rows(directory)
    steps = found["step/step"].tolist()
    if steps != list(range(len(steps))):
        return f"steps {steps}"
    if len(steps) <= acknowledged:
        return f"{acknowledged + 1} rows were acknowledged, {len(steps)} are there"
    for key, x in found.items():
        if key.startswith("step/") and x.tobytes() != whole[key][: len(x)].tobytes():
            return key
    return ""
