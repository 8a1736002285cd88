"""How often what a game shows and its metrics are recorded, and what a dense record tells: time spent metastable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.analysis.commands.summary import summarize, table
from counterplay.analysis.log.log import Log, open_log
from counterplay.analysis.measures.lingering import lingering
from counterplay.core.errors import UsageError
from counterplay.core.game.tree import ravel
from counterplay.core.log.schema import Layout

from ..conftest import Run
from ..support.logs import written


def test_metrics_as_often_as_asked(tmp_path: Path) -> None:
    game, solver = cp.make("game", "projection"), cp.make("solver", "simgd", lr=0.1)
    for every, expected in (
        (None, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]),
        (1, list(range(31))),
        (7, [0, 7, 14, 21, 28, 30]),
    ):
        cp.run(game, solver, steps=30, sample_every=every, out=tmp_path / str(every))
        log = open_log(tmp_path / str(every))
        assert log["metrics/step"].tolist() == log["samples/step"].tolist() == expected
        assert len(log["step/step"]) == 31
    with pytest.raises(UsageError, match="sample-every must be a whole number of at least 1"):
        cp.run(game, solver, sample_every=0)


def test_it_can_be_typed_and_is_read_back(cli: Run) -> None:
    words = ("projection", "--solver", "simgd", "-s", "lr=0.1", "--steps", 20, "--sample-every", 2)
    code, toml, _ = cli("run", *words, "--dry-run")
    assert code == 0 and "sample_every = 2" in toml
    Path("again.toml").write_text(toml)
    assert cli("run", "--config", "again.toml", "--quiet", "--out", "p")[0] == 0
    assert open_log("p")["metrics/step"].tolist() == list(range(0, 21, 2))
    assert json.loads(Path("p/run.json").read_text())["settings"]["sample_every"] == 2
    assert "at least 1" in cli("run", *words[:-1], 0)[2] or "1 or more" in cli("run", *words[:-1], 0)[2]


def test_a_run_of_before_there_was_such_a_setting_goes_on(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"steps": 40, "checkpoint_every": 10}
    game, solver = cp.make("game", "projection"), cp.make("solver", "simgd", lr=0.1)
    cp.run(game, solver, out=tmp_path / "whole", **asked)
    stop = iter([False] * 15 + [True] * 99)
    cp.run(game, solver, out=tmp_path / "run", stop=lambda: next(stop), **asked)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    del facts["settings"]["sample_every"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    assert cp.resume(tmp_path / "run", game=game, solver=solver).status == "max_steps"
    assert np.array_equal(open_log(tmp_path / "run")["metrics/step"], open_log(tmp_path / "whole")["metrics/step"])


# ------------------------------------------------------------------------------------------------ time in projection


def projected(
    path: Path, share: float, rows: int = 400, members: int | None = None, target: object = (2.0, 2.0)
) -> Log:
    """A log of ``rows`` metrics, the first ``share`` of which linger where the first component is right."""
    k = np.arange(rows)
    inside = k < share * rows
    first, second = np.where(inside, 2.0, 1 + 0.5 * np.cos(k)), np.where(inside, 0.2 + k / rows, 1.0)
    both = [
        (a, b) if members is None else (np.full(members, a), np.r_[b, np.ones(members - 1)])
        for a, b in zip(first, second, strict=True)
    ]
    made = [("metrics", {"step": 10 * n, "first_component": a, "second_component": b}) for n, (a, b) in enumerate(both)]
    game = {"name": "projection", "target": list(target) if isinstance(target, tuple) else target}
    layout = Layout(("generator", "discriminator"), members=members)
    return open_log(written(path, layout, made, {"experiment": {"game": game}}))


def test_the_summary_tells_the_time_in_projection(tmp_path: Path) -> None:
    for name, share, found in (("long", 0.25, 0.25), ("short", 0.05, 0.0)):
        log = projected(tmp_path / name, share)
        assert summarize(log)["metastable"] == {"share": found, "least": 0.1, "rows": 400}
        assert f"time in projection  {found:.1%} of the run" in table([summarize(log)])
    several = projected(tmp_path / "several", 0.25, members=3)
    assert summarize(several)["metastable"]["share"] == [0.25, 0.0, 0.0]
    assert "1 of 3 members linger, for 8.3% of the run on average" in table([summarize(several)])


def test_few_rows_tell_nothing_and_say_what_to_do(tmp_path: Path) -> None:
    log = projected(tmp_path / "few", 0.5, rows=11)
    assert summarize(log)["metastable"]["share"] is None
    assert "unknown: 11 rows of the metrics are too few, record more with --sample-every" in table([summarize(log)])


@pytest.mark.parametrize("target", [None, "2", [2.0], [0.0, 1.0], [[2.0], [2.0]], ["2", "2"], [1e999, 1.0]])
def test_without_a_target_there_is_nothing_to_tell(tmp_path: Path, target: object) -> None:
    log = projected(tmp_path / "run", 0.5, target=target)
    assert lingering(log) is None and "time in projection" not in table([summarize(log)])


def test_a_run_of_the_projection_game_from_the_command_line(cli: Run) -> None:
    words = ("-s", "lr=0.3", "--steps", 150, "--sample-every", 1, "--members", 2, "--quiet", "--out", "p")
    assert cli("run", "projection", "--solver", "simgd", *words)[0] == 0
    facts = json.loads(cli("summary", "p", "--json")[1])["metastable"]
    assert len(facts["share"]) == 2 and facts["rows"] == 151


@pytest.mark.parametrize("version", [2, 1])
def test_directions_of_a_projection_are_unit_vectors_and_no_run_s_numbers(version: int, tmp_path: Path) -> None:
    """The first weights of a run with seed 0 are no part of them; runs of older versions go on with their own."""
    game, simgd = cp.make("game", "mixture", hidden=16, layers=1, batch=4), cp.make("solver", "simgd", lr=1e-3)
    stop = iter(range(100))
    cp.run(game, simgd, steps=20, out=tmp_path / "r", stop=lambda: next(stop) == 10, every=1, checkpoint_every=10)
    if version == 1:
        facts = json.loads((tmp_path / "r/run.json").read_text())
        assert facts.pop("directions") == 2
        (tmp_path / "r/run.json").write_text(json.dumps(facts))
    cp.resume(tmp_path / "r")
    found = cp.open_log(tmp_path / "r")["step/projection"]
    for step, row in ((0, 0), (20, -1)):
        x = ravel(cp.load_params(tmp_path / "r", step=step)).double()
        rng = torch.Generator().manual_seed(0 if version == 1 and step else 2**31 - 19)
        drawn = torch.randn(2, len(x), generator=rng).double()
        unit = drawn if version == 1 and step else drawn / drawn.norm(dim=1, keepdim=True)
        assert found[row] == pytest.approx((unit @ x).numpy(), rel=1e-4, abs=1e-6)
    assert np.abs(found[0]).max() < 5 / len(x) ** 0.5 * float(x.norm())
