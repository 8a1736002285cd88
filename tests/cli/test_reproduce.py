"""``counterplay reproduce``, on experiments of a plugin that take a moment."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from counterplay.core.cli import reproduction
from counterplay.core.experiments.run_log import RunLog
from counterplay.core.process import signals
from counterplay.core.registry import registry

from ..support.broken_experiments import SoundExperiment

PLUGIN = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
import counterplay as cp
from tests.support.broken_experiments import SoundExperiment, Unsupported

@cp.hookimpl
def register_experiments():
    return [cp.Entry("sound", SoundExperiment, "it diverges", "Somebody 2024"),
            cp.Entry("unsupported", Unsupported, "it needs unicorns", "Somebody 2024")]
"""


def in_turn(work, cells, tell, stop):
    for cell in cells:
        tell(cell, work(cell))


def refused(work, cells, tell, stop):
    assert not cells, "nothing is left to play"


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return str(path)


def test_it_plays_what_is_not_there_yet_and_says_what_it_cannot_play(cli, plugin, tmp_path):
    asked = ("reproduce", "sound", "unsupported", "--out", "r", "--plugin", plugin)
    code, out, err = cli(*asked, "--report", "page.html")
    assert code == 0 and "sound: played: max_steps" in err
    assert "agrees" in out and "1.044" in out and "not run here: it needs unicorns" in " ".join(out.split())
    assert (tmp_path / "r" / "figures" / "sound.png").read_bytes()[1:4] == b"PNG"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Descent diverges." in page and "it needs unicorns" in page and "data:image/png" in page
    code, out, err = cli(*asked, "--json")
    assert code == 0 and err == "", "all is read from the disk"
    sound, unsupported = json.loads(out)
    (claim,) = sound["claims"]
    assert claim["verdict"] == "agrees" and claim["figures"][0]["ours_value"] == pytest.approx(1.09**0.5)
    assert unsupported["claims"][0]["verdict"] == "not run here"


def test_list_names_what_is_needed(cli, plugin):
    out = cli("list", "experiment", "--plugin", plugin)[1]
    assert "it needs unicorns; needs the data set unicorns" in out and "icr-quadratic" in out


def test_describe_shows_the_card(cli):
    out = cli("describe", "experiment", "num-lemmas")[1]
    assert "lemma-9: Of J + gamma J^T J" in out and "paper: ratio" in out and "quick scale: 8 random" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [(("soudn",), "did you mean 'sound'?"), (("sound", "unsupported", "-o", "a=1"), "-o sets an option of one"),
     (("sound", "-o", "a=1"), "no option 'a'"), (("sound", "--device", "cuda"), "finds no CUDA device")],
)  # fmt: skip
def test_what_is_wrong_is_a_sentence(cli, plugin, args, said):
    code, _, err = cli("reproduce", *args, "--plugin", plugin)
    assert code == 2 and said in err


def test_stopped_between_runs_and_within_one_it_goes_on(cli, plugin, tmp_path):
    """A stop leaves no result; the next call plays what is left."""
    registry.load_file(plugin)
    experiments = {"sound": registry.make("experiment", "sound")}

    def played(execute, stop=lambda: False):
        return list(reproduction.reproduce(experiments, "quick", tmp_path / "r", "cpu", execute, stop))

    assert played(in_turn, lambda: True) == []
    (first,) = played(in_turn)
    (cell,) = (tmp_path / "r" / "runs" / "cells").iterdir()
    (again,) = played(refused)
    assert first == again and json.loads((cell / "status.json").read_text())["state"] == "max_steps"


@dataclass(frozen=True)
class Chained(SoundExperiment):
    def runs(self, scale):
        played = SoundExperiment.runs(self, scale)["played"]
        return {"played": played, "on": {**played, "after": "played"}, "further": {**played, "after": "on"}}


def test_a_run_starts_where_another_one_ended(tmp_path):
    """Also in a folder that was moved: the other run is found beside it."""
    (found,) = reproduction.reproduce({"c": Chained()}, "quick", tmp_path / "r", "cpu", in_turn)
    assert found["claims"][0]["verdict"] == "agrees"
    logs = {run: RunLog(tmp_path / "r" / one["directory"]) for run, one in found["runs"].items()}
    for earlier, later in (("played", "on"), ("on", "further")):
        assert np.array_equal(logs[earlier]["step/parameters"][-1], logs[later]["step/parameters"][0])
    (tmp_path / "r").rename(tmp_path / "s")
    (again,) = reproduction.reproduce({"c": Chained()}, "quick", tmp_path / "s", "cpu", refused)
    assert again == found


def test_ctrl_c_ends_with_75(cli, plugin, monkeypatch):
    monkeypatch.setattr(signals, "stop_requested", lambda: contextlib.nullcontext(lambda: True))
    code, _, err = cli("reproduce", "sound", "--plugin", plugin)
    assert code == 75 and "the same command goes on" in err
