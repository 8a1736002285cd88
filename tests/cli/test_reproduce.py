"""``counterplay reproduce``, on experiments of a plugin that take a moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from counterplay.core.cli import reproduction
from counterplay.core.registry import registry

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


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return str(path)


def test_it_plays_what_is_not_there_yet_and_says_what_it_cannot_play(cli, plugin, tmp_path):
    asked = ("reproduce", "sound", "unsupported", "--out", "r", "--plugin", plugin)
    code, out, err = cli(*asked, "--report", "page.html")
    assert code == 0 and "sound: played" in err
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


@pytest.mark.parametrize(
    ("args", "said"),
    [(("soudn",), "did you mean 'sound'?"), (("sound", "unsupported", "-o", "a=1"), "-o sets an option of one"),
     (("sound", "-o", "a=1"), "no option 'a'"), (("sound", "--device", "cuda"), "finds no CUDA device")],
)  # fmt: skip
def test_what_is_wrong_is_a_sentence(cli, plugin, args, said):
    code, _, err = cli("reproduce", *args, "--plugin", plugin)
    assert code == 2 and said in err


def test_stopped_within_a_run_it_goes_on(cli, plugin, tmp_path, monkeypatch):
    """Every look at the stop counts; the run of 5 steps is stopped in its middle, and then goes on as if it had not."""
    registry.load_file(plugin)
    experiments, looks = {"sound": registry.make("experiment", "sound")}, []

    def third_look():
        looks.append(1)
        return len(looks) > 3

    def played(folder, stop=lambda: False):
        return list(reproduction.reproduce(experiments, "quick", tmp_path / folder, "cpu", stop, lambda line: None))

    assert played("a", third_look) == []
    (cell,) = (tmp_path / "a" / "cells").iterdir()
    assert json.loads((cell / "status.json").read_text())["state"] == "interrupted"
    (again,), (whole,) = played("a"), played("b")
    assert again["claims"] == whole["claims"] and again["panels"] == whole["panels"]
