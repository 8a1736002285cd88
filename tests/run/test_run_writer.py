"""Nothing is deleted but what a run wrote before its first step: whoever fails, what was played stays and goes on."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

import counterplay as cp
from counterplay.core.errors import StorageError
from counterplay.core.log.writer import LogWriter
from counterplay.core.run import run_writer

from ..support.cases import CONVERGES, QUADRATIC, identical, simgd


def looking(step, error):
    """An observer that fails once."""

    def observer(seen):
        if seen.step == step:
            raise error

    return observer


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing disturbs, and where its log is."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return cp.run(QUADRATIC, simgd(CONVERGES), steps=20, out=out), out


TYPO = cp.UsageError("a typo")


@pytest.mark.parametrize(
    ("step", "error"),
    [
        *((step, TYPO) for step in (0, 1, 7, 20)),
        *((1, error) for error in (ValueError("a bug"), KeyboardInterrupt(), SystemExit(0), StorageError("full"))),
    ],
)
def test_an_observer_that_fails_costs_nothing(tmp_path, whole, step, error, monkeypatch):
    """Not a step: the state it was shown is saved, and the run goes on from there to be what it would have been."""
    if step == 7:  # every row is sealed at once, that of the step which is taken again too
        monkeypatch.setattr(run_writer, "LogWriter", functools.partial(LogWriter, seal_bytes=1))
    run = tmp_path / "run"
    with pytest.raises(type(error)):
        cp.run(QUADRATIC, simgd(CONVERGES), steps=20, out=run, observers=[looking(step, error)])
    assert {p.name for p in (run / "checkpoints").iterdir()} >= {"step-0", f"step-{step}"}
    assert cp.open_log(run)["step/step"].tolist() == list(range(step + 1))
    assert str(error) in json.loads((run / "status.json").read_text())["reason"]
    again = cp.resume(run, game=QUADRATIC, solver=simgd(CONVERGES))
    uninterrupted, log = whole
    assert identical((again.params, again.memory), (uninterrupted.params, uninterrupted.memory))
    assert again.status == "max_steps"
    a, b = (cp.open_log(out)["step/parameters"] for out in (log, run))
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
        (tmp_path / "run" / "checkpoints" / "step-5").mkdir()
        raise cp.UsageError("no")

    monkeypatch.setattr("counterplay.core.solver.play_orders.Alternating.__call__", write)
    with pytest.raises(cp.UsageError, match=r"^no$"):
        cp.run(QUADRATIC, cp.make("solver", "altgd"), steps=5, out=tmp_path / "run")
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"notes.txt", "checkpoints"}
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-5"]


def test_a_step_refused_later_is_kept(tmp_path, monkeypatch):
    from counterplay.core.solver.play_orders import Alternating

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
