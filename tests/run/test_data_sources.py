"""The data that a run was given are recorded by their sum, and compared when it is resumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import counterplay as cp

from ..support import data_files


def begun(tmp_path: Path, **options: object) -> Path:
    """A run of images in a file, stopped after two steps."""
    np.save(tmp_path / "a.npy", data_files.drawn(8, (4, 4))[0])
    game = cp.make("game", "images", data={"name": "arrays", "file": str(tmp_path / "a.npy")}, network="mlp", batch=4)
    cp.run(game, cp.make("solver", "simgd"), steps=4, out=tmp_path / "run", stop=iter([False, False, True]).__next__)
    return tmp_path / "run"


def test_sum_and_source_are_in_run_json(tmp_path):
    images = cp.make("dataset", "arrays", file=str(begun(tmp_path).parent / "a.npy")).load()
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["data_sources"] == {"data": {"sha256": images.digest, "source": "uint8"}}


def test_other_data_are_refused_unless_allowed(tmp_path, cli):
    run = begun(tmp_path)
    np.save(tmp_path / "a.npy", data_files.drawn(8, (4, 4), seed=1)[0])
    code, _, err = cli("resume", run)
    assert code == 2 and "data is not what it was (its sha256 was " in err
    code, _, err = cli("resume", run, "--allow-inexact")
    assert code == 0, err
    facts = cp.open_log(run)
    assert "data is not what it was" in str(facts.attrs)


def test_a_run_that_recorded_none_is_resumed(tmp_path, cli):
    run = begun(tmp_path)
    facts = json.loads((run / "run.json").read_text())
    del facts["data_sources"]
    (run / "run.json").write_text(json.dumps(facts))
    assert cli("resume", run)[0] == 0


def test_data_that_are_gone_are_named(tmp_path, cli):
    run = begun(tmp_path)
    (tmp_path / "a.npy").unlink()
    code, _, err = cli("resume", run)
    assert code == 2 and "a.npy cannot be opened: No such file" in err


def test_games_without_data_have_none(tmp_path):
    cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd"), steps=1, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data_sources"] == {}
