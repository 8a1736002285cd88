"""Nothing is deleted but what a run wrote before its first step: whoever fails, what was played stays and goes on."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import counterplay as cp
from counterplay.core import journal

from .cases import CONVERGES, QUADRATIC, identical, simgd


def looking(step, error):
    """An observer that fails once."""

    def observer(seen):
        if seen.step == step:
            raise error

    return observer


@pytest.mark.parametrize("step", [0, 1, 7, 20])
@pytest.mark.parametrize("error", [cp.UsageError("a typo"), ValueError("a bug"), KeyboardInterrupt(), SystemExit(0)])
def test_an_observer_that_fails_costs_nothing(tmp_path, step, error, monkeypatch):
    """Not a step: the state it was shown is saved, and the run goes on from there to be what it would have been."""
    if step == 7:  # every row is sealed at once, that of the step which is taken again too
        monkeypatch.setattr(journal, "LogWriter", functools.partial(journal.LogWriter, seal_bytes=1))
    whole = cp.run(QUADRATIC, simgd(CONVERGES), steps=20, out=tmp_path / "whole")
    run = tmp_path / "run"
    with pytest.raises(type(error)):
        cp.run(QUADRATIC, simgd(CONVERGES), steps=20, out=run, observers=[looking(step, error)])
    assert {p.name for p in (run / "checkpoints").iterdir()} >= {"step-0", f"step-{step}"}
    assert cp.open_log(run)["step/step"].tolist() == list(range(step + 1))
    again = cp.resume(run, game=QUADRATIC, solver=simgd(CONVERGES))
    assert identical((again.params, again.memory), (whole.params, whole.memory)) and again.status == "max_steps"
    a, b = (cp.open_log(tmp_path / name)["step/parameters"] for name in ("whole", "run"))
    assert np.array_equal(a, b)


def test_so_do_those_who_look_on_in_long_compiled_runs(tmp_path):
    """500 of 1,000 steps played, then a wrong name."""
    run = tmp_path / "run"

    def observer(seen):
        if seen.step == 500:
            cp.open_log(run)["step/nothing"]

    with pytest.raises(cp.UsageError, match="no variable 'step/nothing'"):
        cp.run(QUADRATIC, simgd(CONVERGES), steps=1000, out=run, observers=[observer])
    assert (run / "checkpoints" / "step-500").is_dir()
    assert cp.resume(run, game=QUADRATIC, solver=simgd(CONVERGES)).steps == 1000


def refused(out):
    with pytest.raises(cp.UsageError):
        cp.run(QUADRATIC, cp.make("solver", "altgd", repeats={"nobody": 2}), steps=5, out=out)


def test_a_run_refused_before_its_first_step_leaves_no_trace(tmp_path):
    refused(tmp_path / "new" / "run")
    assert list((tmp_path / "new").iterdir()) == []


def test_but_a_directory_that_was_there_stays_and_so_does_what_others_put_into_it(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    refused(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []

    def write(*args, **options):
        (tmp_path / "run" / "notes.txt").write_text("mine")
        raise cp.UsageError("no")

    monkeypatch.setattr("counterplay.core.orders.Alternating.__call__", write)
    with pytest.raises(cp.UsageError, match=r"^no$"):
        cp.run(QUADRATIC, cp.make("solver", "altgd"), steps=5, out=tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_a_step_refused_later_is_kept(tmp_path, monkeypatch):
    from counterplay.core.orders import Alternating

    taken = []
    play = Alternating.__call__

    def once(self, *args):
        taken.append(1)
        if len(taken) > 3:
            raise cp.UsageError("no")
        return play(self, *args)

    monkeypatch.setattr(Alternating, "__call__", once)
    with pytest.raises(cp.UsageError, match=r"^no$"):
        cp.run(QUADRATIC, cp.make("solver", "altgd"), steps=5, out=tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "step-3").is_dir()
