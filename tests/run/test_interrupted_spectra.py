"""A run that is stopped while spectra are taken ends at once, and goes on bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import counterplay as cp


@pytest.mark.parametrize(
    ("row", "step"), [pytest.param(0, 0, marks=pytest.mark.slow), (1, 2), pytest.param(2, 4, marks=pytest.mark.slow)]
)
def test_stopped_at_a_product(row: int, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("spectrum", "point_spectra"):
        monkeypatch.setattr(f"counterplay.core.spectra.{module}.DENSE", 10)
    asked = 0  # how often the run asked whether it is to stop

    def play(out: str, stop_at: int) -> cp.Result:
        nonlocal asked
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == stop_at

        game = cp.make("game", "mixture", hidden=2, layers=1, latent=1, batch=4)
        solver = cp.make("solver", "simgd", lr=0.01, rule="momentum")
        return cp.run(game, solver, steps=4, every=1, spectrum_every=2, out=tmp_path / out, stop=stop)

    play("whole", -1)
    a, products = cp.open_log(tmp_path / "whole"), (asked - 4) // 3
    at = row * (products + 2) + 1 + products // 2  # in the middle of a row; one question comes before each step, too
    found = play("stopped", at)
    assert (found.status, found.steps, asked) == ("interrupted", step, at)
    assert cp.resume(tmp_path / "stopped").status == "max_steps"
    b = cp.open_log(tmp_path / "stopped")
    assert set(a) == set(b)
    for key in (key for key in a if not key.endswith("_seconds")):
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)
