"""Runs that end by a metric or by patience, on disk: resumed, logged, and with the checkpoint of the best point."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import counterplay as cp
from counterplay.analysis.commands.summary import rows, summarize
from counterplay.core.log.schema import RUN_STATES
from counterplay.core.run import run_writer
from counterplay.core.run.checkpoint import save_checkpoint
from counterplay.core.storage.run_directory import RunDirectory

from ..conftest import Run
from ..support.cases import identical
from ..support.scripted import NAN, STEP, Scripted

SCRIPT = (9.0, 8.0, 5.0, 6.0, 4.0, 4.0, 7.0, NAN, 4.0, 3.0, 1.0)
ASKED: dict[str, Any] = {"steps": 10, "sample_every": 1, "until": "metric.score<2", "patience": 4}


class Killed(BaseException):
    """What no run expects: nothing is cleaned up."""


def kill_at(step: int) -> Any:
    def observer(seen: cp.Seen) -> None:
        if seen.step == step:
            raise Killed

    return observer


def log_of(path: Path) -> dict[str, np.ndarray]:
    """A log but for its clocks."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path / "log.h5") as file:
        file.visititems(lambda name, x: found.update({name: x[()]}) if isinstance(x, h5py.Dataset) else None)
    return {name: x for name, x in found.items() if not name.endswith("_seconds")}


def checkpoints(path: Path) -> list[int]:
    return sorted(int(p.name[5:]) for p in (path / "checkpoints").iterdir())


def same(whole: tuple[cp.Result, Path], again: tuple[cp.Result, Path]) -> bool:
    (a, x), (b, y) = whole, again
    one, other = log_of(x), log_of(y)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[k], other[k], equal_nan=one[k].dtype.kind == "f") for k in one)
    assert (a.status, a.steps, a.message) == (b.status, b.steps, b.message) and checkpoints(x)[-1] == checkpoints(y)[-1]
    said = [json.loads((p / "status.json").read_text()) for p in (x, y)]
    assert said[0].get("best_step") == said[1].get("best_step") and said[0]["state"] == said[1]["state"] == a.status
    return identical((a.params, a.memory), (b.params, b.memory))


def test_the_best_point_is_kept_and_named(tmp_path: Path) -> None:
    result = cp.run(Scripted(SCRIPT), STEP, out=tmp_path / "run", **ASKED)
    assert (result.status, result.steps) == ("not_converged", 8)
    assert result.message.endswith(": metric.score was best at step 4, 4 measurements ago, with the value 4.")
    assert checkpoints(tmp_path / "run") == [0, 4, 8], "older ones were the best for a time only"
    assert cp.load_params(tmp_path / "run")["x"]["k"].item() == 8
    assert cp.load_params(tmp_path / "run", step=4)["x"]["k"].item() == 4
    for step in (3, -1, "4"):
        with pytest.raises(cp.UsageError, match=f"no checkpoint of step {step!r}: the newest are those of steps 0, 4"):
            cp.load_params(tmp_path / "run", step=step)  # type: ignore[arg-type]
    facts = summarize(cp.open_log(tmp_path / "run"))
    assert (facts["status"], facts["best_step"], rows(facts)["best step"]) == ("not_converged", 4, "4")
    assert rows(facts)["message"] == result.message and "patience" in RUN_STATES["not_converged"]
    log = cp.open_log(tmp_path / "run")
    assert log["metrics/step"].tolist() == list(range(9))
    assert np.array_equal(log["metrics/score"], SCRIPT[:9], equal_nan=True)


def test_periodic_checkpoints_and_the_best_one_do_not_disturb_each_other(tmp_path: Path) -> None:
    cp.run(Scripted(SCRIPT), STEP, out=tmp_path / "a", checkpoint_every=3, **ASKED)
    assert checkpoints(tmp_path / "a") == [0, 3, 4, 6, 8]
    cp.run(Scripted(SCRIPT), STEP, out=tmp_path / "b", checkpoint_every=1, **ASKED)
    assert checkpoints(tmp_path / "b") == list(range(9))
    cp.run(Scripted(SCRIPT), STEP, out=tmp_path / "c", steps=10, sample_every=1)
    assert checkpoints(tmp_path / "c") == [0, 10] and "best_step" not in (tmp_path / "c" / "status.json").read_text()


@pytest.mark.parametrize("kill", [False, True])
def test_a_run_that_is_interrupted_counts_on(tmp_path: Path, kill: bool) -> None:
    """At every step, once by a stop and once by a death that leaves an older checkpoint."""
    game = Scripted(SCRIPT)
    asked = ASKED | {"checkpoint_every": 3 if kill else 0}
    whole = cp.run(game, STEP, out=tmp_path / "whole", **asked), tmp_path / "whole"
    for step in range(1, 9):
        path = tmp_path / f"{step}"
        if kill:
            with pytest.raises(Killed):
                cp.run(game, STEP, out=path, observers=[kill_at(step)], **asked)
        else:
            stop = iter([False] * step + [True])
            assert cp.run(game, STEP, out=path, stop=lambda: next(stop), **asked).status == "interrupted"  # noqa: B023
        assert same(whole, (cp.resume(path, game=game, solver=STEP), path))
        assert set(checkpoints(path)) | {step} == set(checkpoints(whole[1])) | {step}, "one more where it was stopped"


def test_random_scripts_interrupted_anywhere(tmp_path: Path) -> None:
    rng = random.Random(0)
    for n in range(12):
        script = tuple(rng.choice([1.0, 2.0, 3.0, 4.0, 5.0, NAN]) for _ in range(13))
        asked: dict[str, Any] = {"steps": 12, "sample_every": rng.randint(1, 3), "patience": rng.randint(1, 3)}
        asked |= {"until": f"metric.score{rng.choice('<>')}{rng.choice([0, 3, 9])}", "history": bool(n % 2)}
        game, paths = Scripted(script), (tmp_path / f"{n}-whole", tmp_path / f"{n}-again")
        whole = cp.run(game, STEP, out=paths[0], **asked), paths[0]
        stop = iter([False] * rng.randint(0, 12) + [True] * 20)
        result = cp.run(game, STEP, out=paths[1], stop=lambda: next(stop), **asked)  # noqa: B023
        assert same(whole, (cp.resume(paths[1], game=game, solver=STEP), paths[1]))
        assert result.steps <= whole[0].steps


def test_a_run_killed_after_its_last_checkpoint_ends_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log is whole, and only its ending was not written down."""
    game, path = Scripted(SCRIPT), tmp_path / "again"
    whole = cp.run(game, STEP, out=tmp_path / "whole", **ASKED), tmp_path / "whole"
    write = RunDirectory.write_status

    def dies(self: Any, state: str, *args: Any, **facts: Any) -> None:
        if state == "not_converged":
            raise Killed
        write(self, state, *args, **facts)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunDirectory, "write_status", dies)
        cp.run(game, STEP, out=path, **ASKED)
    assert same(whole, (cp.resume(path, game=game, solver=STEP), path))


def test_the_best_value_is_part_of_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it in the checkpoint a resumed run would begin to count again."""
    game = Scripted(SCRIPT)
    whole = cp.run(game, STEP, out=tmp_path / "whole", **ASKED)

    def spoil(run: Path, step: int, tensors: Any, state: dict[str, Any], **how: Any) -> Path:
        return save_checkpoint(run, step, tensors, {k: x for k, x in state.items() if k != "best"}, **how)

    monkeypatch.setattr(run_writer, "save_checkpoint", spoil)
    stop = iter([False] * 7 + [True] * 9)
    cp.run(game, STEP, out=tmp_path / "again", stop=lambda: next(stop), **ASKED)
    assert cp.resume(tmp_path / "again", game=game, solver=STEP).steps != whole.steps


def test_a_run_may_be_compiled(tmp_path: Path) -> None:
    """Chunks of many steps end where a measurement is due."""
    script = tuple(np.r_[np.linspace(9, 5, 90), np.linspace(5.5, 8, 211)].tolist())
    asked: dict[str, Any] = {"steps": 300, "sample_every": 7, "until": "metric.score<1", "patience": 5}
    ends = []
    for compile in (False, True):
        game, path = Scripted(script), tmp_path / str(compile)
        ends.append((cp.run(game, STEP, out=path, compile=compile, **asked), path))
        bare = cp.run(game, STEP, compile=compile, **asked)
        assert (bare.steps, bare.eager) == (ends[-1][0].steps, "")
        assert game.asked == 2 * list(range(0, 120, 7))
    assert same(*ends) and ends[0][0].steps == 119 and "best at step 84, 5 mea" in ends[0][0].message


GAMES = [
    ("mixture", {"hidden": 4, "layers": 1, "latent": 2, "batch": 8}, "metric.modes_found>=0"),
    ("covariance", {}, "metric.covariance_error<1e9"),
    ("images", {"metrics": [{"name": "fid", "samples": 256}], "batch": 8}, "metric.fid<1e9"),
    ("digits", {"hidden": 4, "batch": 8}, "metric.digit_score>=1"),
]


@pytest.mark.parametrize(("name", "options", "until"), GAMES)
def test_every_game_with_metrics(name: str, options: dict[str, Any], until: str) -> None:
    game, solver = cp.make("game", name, **options), cp.make("solver", "simgd", lr=0.01)
    result = cp.run(game, solver, steps=2, sample_every=2, until=until)
    assert (result.status, result.steps) == ("converged", 0)
    never = until.replace(">=0", ">1e9").replace(">=1", ">1e9").replace("<1e9", "<0")
    result = cp.run(game, solver, steps=2, sample_every=1, until=never, patience=9)
    assert result.status == "not_converged" and "was best at step" in result.message


# --------------------------------------------------------------------------------------------- on the command line

MIXTURE = ("run", "mixture", "-g", "hidden=4", "-g", "layers=1", "-g", "batch=8", "--solver", "simgd", "--quiet")


def test_it_can_be_typed_recorded_and_read_back(cli: Run) -> None:
    words = (*MIXTURE, "--until", "metric.modes_found>8", "--patience", 2, "--steps", 6, "--sample-every", 1)
    code, toml, _ = cli(*words, "--dry-run")
    assert code == 0 and "patience = 2" in toml
    Path("again.toml").write_text(toml)
    for more in ((*words, "--out", "d"), ("run", "--config", "again.toml", "--quiet", "--out", "e")):
        code, _, err = cli(*more)
        assert code == 11 and "not_converged after 2 steps: Patience has run out: metric.modes_found was best" in err
    asked = json.loads(Path("d/run.json").read_text())
    assert asked["settings"]["patience"] == asked["experiment"]["patience"] == 2
    code, out, _ = cli("summary", "d")
    assert code == 0 and "best step" in out and "Patience has run out" in out
    code, out, _ = cli("resume", "d", "--quiet")
    assert code == 0 and "d has ended: not_converged after 2 steps. Patience has run out" in out
    assert cli(*words[:-6], "--until", "metric.modes_found>=0", "--steps", 2, "--out", "f")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--until", "metric.modes_fund>8"),
            "there is no metric 'modes_fund'; did you mean 'modes_found'?",
        ),
        (("--patience", 3), "patience 3 needs a condition whose quantity it watches, as in --until 'metric.fid<20'."),
        (("--until", "metric.modes_found>8", "--patience", 0), "patience: expected a whole number, 1 or more, got 0."),
    ],
)
def test_what_cannot_be_used_is_a_sentence(cli: Run, words: tuple[object, ...], said: str) -> None:
    for dry in ((), ("--dry-run",)):
        code, _, err = cli(*MIXTURE, *words, "--out", "d", *dry)
        assert code == 2 and said in err and err.count("\n") == 1
    assert not Path("d").exists(), "what was refused leaves nothing behind"
