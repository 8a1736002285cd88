"""Export a log to the event files of TensorBoard, which Weights & Biases and others import."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.errors import UsageError
from ..optional import need
from .log import Log
from .tables import columns

GROUPS = ("step", "metrics")


def export_to_tensorboard(log: Log, folder: Path) -> Path:
    """Write each number of the steps and of the metrics as a scalar, as ``step/losses[x]``, to event files in a folder.

    Of an ensemble there is a scalar for each member. A complex number is left out, and so is what is not finite. Raises
    UsageError where tensorboardX is missing or the folder has something in it.
    """
    board = need("tensorboardX", "an export to TensorBoard", "tensorboard")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder; name another.")
    if not any(group in log.groups for group in GROUPS):
        raise UsageError(f"{log.path} has no steps and no metrics yet.")
    seconds = log["step/wall_seconds"] if "step/wall_seconds" in log else None
    began = float(log.status.get("started_seconds", 0.0))
    with board.SummaryWriter(str(folder)) as writer:
        for group in GROUPS:
            if group not in log.groups:
                continue
            index, values = columns(log, group)
            member = index.get("member")
            times = np.zeros(len(index["step"]))
            if seconds is not None:
                times = began + np.interp(index["step"], log["step/step"], np.nan_to_num(seconds))
            for name, column in values.items():
                if column.dtype.kind not in "iuf":
                    continue
                for row in np.flatnonzero(np.isfinite(column)):
                    tag = f"{group}/{name}" if member is None else f"{group}/{name}/member {member[row]}"
                    writer.add_scalar(tag, float(column[row]), int(index["step"][row]), walltime=float(times[row]))
    return folder
