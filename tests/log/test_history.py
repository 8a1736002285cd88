"""What a run keeps in memory is what its log holds; and what observers are shown."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import counterplay as cp
from counterplay.core.log import history
from counterplay.core.loop import observers

from ..support.cases import CONVERGES, QUADRATIC, simgd, watched

GAN = cp.make("game", "mixture", hidden=4, layers=1, latent=2, batch=8)


def same(kept, log, but=()):
    names = [k for k in kept if k not in but]
    assert sorted(names) == sorted(k for k in log if k not in but)
    for name in names:
        a, b = kept[name], log[name]
        assert a.dtype == b.dtype and a.shape == b.shape, name
        assert name.endswith("_seconds") or np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"), name


@pytest.mark.parametrize(
    ("game", "options"),
    [
        (QUADRATIC, {"spectrum_every": 5}),
        (QUADRATIC, {"members": 3, "every": 4, "compile": True}),
        (QUADRATIC, {"compile": True, "spectrum_every": 7}),
        (GAN, {"spectrum_every": 6, "sample_every": 4}),
        (GAN, {"members": 2, "until": "gradient_norm<1e-30"}),
    ],
)
def test_it_is_what_the_log_of_the_run_holds(game, options, tmp_path):
    """The same run with a log alone, in memory alone, and in both: one recorder writes them."""
    solver = simgd(CONVERGES if game is QUADRATIC else 1e-3)
    cp.run(game, solver, steps=12, out=tmp_path / "log", **options)
    log = cp.open_log(tmp_path / "log")
    both = cp.run(game, solver, steps=12, out=tmp_path / "both", history=True, **options)
    alone = cp.run(game, solver, steps=12, history=True, **options)
    assert alone.directory is None
    same(both.history, cp.open_log(tmp_path / "both"))
    same(alone.history, log)
    assert cp.run(game, solver, steps=1).history is None


def test_a_trajectory_without_a_directory():
    result, seen = watched(QUADRATIC, simgd(CONVERGES), steps=5, history=True)
    assert result.history is not None
    points = result.history["step/parameters"]
    assert points.tolist() == [[s.params["x"]["value"].item(), s.params["y"]["value"].item()] for s in seen]
    assert result.history.layout.parameters == ("x/value", "y/value")
    assert points[-1].tolist() == [result.params["x"]["value"].item(), result.params["y"]["value"].item()]
    with pytest.raises(ValueError, match="read-only"):
        points[0] = 0
    assert "step/losses" in result.history and "metrics/digit_score" not in result.history
    with pytest.raises(KeyError, match="'step/loss' was not recorded; did you mean 'step/losses'"):
        result.history["step/loss"]


def test_a_history_too_large_is_refused_before_the_first_step(monkeypatch):
    with pytest.raises(
        cp.UsageError, match=r"history of 1,000,000,002 steps .* 2 GiB: record every .* or to a directory"
    ):
        cp.run(QUADRATIC, simgd(), steps=10**9, history=True)
    monkeypatch.setattr(history, "LIMIT", 30_000)
    kept = cp.run(QUADRATIC, simgd(CONVERGES), steps=40, history=True).history
    assert kept is not None and len(kept["step/step"]) == 41
    with pytest.raises(cp.StorageError, match=r"history is full at step \d+, in the group '(samples|metrics)'"):
        game = cp.make("game", "mixture", hidden=4, layers=1, latent=2, batch=64)
        cp.run(game, simgd(1e-3), steps=80, history=True, every=10, sample_every=1)


def test_observers_are_public_and_see_what_is_said():
    kept: list[cp.Seen] = []
    result = cp.run(QUADRATIC, simgd(CONVERGES), steps=7, members=3, observers=[cp.Every(3, kept.append)])
    assert [s.step for s in kept] == [0, 3, 6, 7] and [s.last for s in kept] == [False, False, False, True]
    first = kept[0]
    assert isinstance(first, cp.Seen)
    assert first.params["x"]["value"].shape == first.info.gradient["x"]["value"].shape == (3, 1)
    assert first.info.losses["x"].shape == (3,) and first.figures.losses.shape == (3, 2)
    assert np.array_equal(kept[-1].params["x"]["value"], result.params["x"]["value"])


def test_the_example_holds():
    assert doctest.testmod(observers).failed == 0 and "Seen" in dir(cp)
