"""Single rows and many at once make one log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.log.schema import Layout
from counterplay.core.log.writer import LogWriter


def test_single_rows_and_many_at_once_make_one_log(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, Layout(("x", "y"), None))
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(40, 2))
    writer.append("step", {"step": 0, "losses": losses[0]})
    writer.extend("step", {"step": np.arange(1, 30), "losses": losses[1:30], "gradients": np.arange(1, 30)})
    writer.append("step", {"step": 30, "losses": losses[30], "samples": 7})
    writer.extend("step", {"step": np.arange(31, 40), "losses": losses[31:]})
    with pytest.raises(UsageError, match="'losses' of the log got 3 rows; step has 2"):
        writer.extend("step", {"step": np.arange(2), "losses": losses[:3]})
    with pytest.raises(UsageError, match=r"expected .player 2. in each row"):
        writer.extend("step", {"step": np.arange(2), "losses": losses[:2, :1]})
    writer.finish()
    log = cp.open_log(tmp_path)
    assert np.array_equal(log["step/losses"], losses) and list(log["step/step"]) == list(range(40))
    assert list(log["step/gradients"]) == [-1, *range(1, 30), *[-1] * 10]
    assert log["step/samples"][30] == 7 and (log["step/samples"] == -1).sum() == 39
