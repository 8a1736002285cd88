"""Runs of two processes: what the first writes, one that is killed, and how such a run is resumed."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.collective import ProcessLost, Ranks
from counterplay.core.conformance.over_processes import TOLERANCE, Answer, differences
from counterplay.core.errors import UsageError
from counterplay.core.parallel.spawned import on_processes
from counterplay.core.storage.strict_json import loads

STEPS = 12


def _objects() -> dict[str, Any]:
    return {
        "game": cp.make("game", "mixture", hidden=4, layers=1, batch=7, latent=2, loss="relativistic-average"),
        "solver": cp.make("solver", "conopt", rule="momentum"),
    }


def as_torchrun(ranks: Ranks) -> None:
    given = {"RANK": ranks.rank, "LOCAL_RANK": ranks.rank, "WORLD_SIZE": ranks.count, "LOCAL_WORLD_SIZE": ranks.count}
    os.environ |= {name: str(x) for name, x in given.items()} | {"MASTER_ADDR": "localhost", "MASTER_PORT": "0"}


def killed_at(step: int) -> Callable[[], bool]:
    """What a run asks before each step; before ``step`` steps were taken here, it kills the process."""
    left = iter(range(step, -1, -1))

    def stop() -> bool:
        if next(left, 1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    return stop


def play(ranks: Ranks, out: str, victim: int = -1, step: int = 0) -> str:
    """Begin the run ``out``, or resume it, and return its status. ``victim`` is killed after ``step`` steps."""
    as_torchrun(ranks)
    stop = killed_at(step) if ranks.rank == victim else None
    began = (Path(out) / "run.json").exists()  # no process makes it before both have asked
    try:
        if began:
            return cp.resume(out, **_objects(), stop=stop).status
        settings: dict[str, Any] = {"steps": STEPS, "seed": 3, "dtype": "float64", "checkpoint_every": 5}
        return cp.run(**_objects(), **settings, until="gradient_norm<1e-9", stop=stop, out=out).status
    except ProcessLost as lost:
        Path(out, f"said-by-{ranks.rank}").write_text(str(lost))
        return "lost"


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    """At random steps a random process is killed, twice in each run; what is left then equals the undisturbed run."""
    rng, whole = random.Random(0), str(tmp_path / "whole")
    outs = [str(tmp_path / f"killed-{n}") for n in range(10)]
    for out in outs * 2:
        victim = rng.randrange(2)
        (said := Path(out, f"said-by-{1 - victim}")).unlink(missing_ok=True)
        with pytest.raises(RuntimeError, match="it ended without a word"):
            on_processes(2, play, out, victim, rng.randrange(5))
        assert said.read_text().startswith("another process of this run has ended without a word")
    assert on_processes(2, play_all, whole, *outs) == [["not_converged"] * 11] * 2
    for out in outs:
        _require_same_parameters(out, whole)


def play_all(ranks: Ranks, *outs: str) -> list[str]:
    """Begin or resume several runs."""
    return [play(ranks, out) for out in outs]


def _require_same_parameters(a: str, b: str) -> None:
    assert _largest_difference(cp.load_params(a), cp.load_params(b)) == 0.0


def _largest_difference(a: cp.Params, b: cp.Params) -> float:
    return max(float((a[i][k] - b[i][k]).abs().max()) for i in a for k in a[i])


def interrupted(ranks: Ranks, out: str) -> tuple[str, int]:
    """A run that the second process alone is asked to stop, after three steps."""
    as_torchrun(ranks)
    asked = iter(range(100))
    wish = (lambda: next(asked) >= 3) if ranks.rank == 1 else None
    result = cp.run(**_objects(), steps=STEPS, stop=wish, out=out, until="metric.good_samples>2", sample_every=2)
    return result.status, result.steps


class Drifting(cp.Solver):
    """A solver that moves the parameters of each process elsewhere."""

    def step(self, game: cp.Game, params: cp.Params, memory: Any, draw: Any) -> Any:
        """Move by the number of the process."""
        local = cp.LocalGame.of(game, params, draw())
        moved = {i: {k: x + float(os.environ["RANK"]) for k, x in t.items()} for i, t in params.items()}
        return moved, memory, cp.StepInfo.at(local)


def refused(ranks: Ranks) -> list[str]:
    """What is said of what cannot be played by several processes."""
    as_torchrun(ranks)
    mixture = cp.make("game", "mixture", hidden=4, layers=1, batch=8, latent=2)
    simgd = cp.make("solver", "simgd")
    attempts: list[tuple[cp.Game, cp.Solver, list[cp.Regularizer]]] = [
        (cp.make("game", "quadratic"), simgd, []),
        (mixture, simgd, [cp.make("regularizer", "consensus")]),
        (cp.make("game", "mixture", hidden=4, layers=1, batch=1, latent=2), simgd, []),
        (_of_samples(lambda x, real: (real - x).mean().square()), simgd, []),
        (_of_samples(lambda x, real: (real - x).square().mean() * len(real)), simgd, []),
        (mixture, Drifting(), []),
    ]
    said = []
    for game, solver, regularizers in attempts:
        try:
            cp.run(game, solver, steps=2, regularizers=regularizers)
            said.append("")
        except cp.UserError as error:
            said.append(str(error))
    return said


def _of_samples(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> cp.Game:
    """A game of one player whose samples are declared."""
    return cp.game_from_losses(
        lambda p, batch: {"x": loss(p["x"]["value"], batch["real"])},
        {"x": {"value": torch.zeros(1)}},
        lambda rng: {"real": torch.randn(4, generator=rng)},
        sample_axes={"real": 0},
    )


SOLVERS, ARENAS = ("simgd", "conopt", "cgd", "lola"), ("one number each, replayed", "normalised, relativistic")


def everything(
    ranks: Ranks, folder: str, *outs: str
) -> tuple[list[str], tuple[str, int], list[str], dict[str, Answer]]:
    """All of the above in one pair of processes, since these take seconds to start."""
    return (
        play_all(ranks, *outs),
        interrupted(ranks, f"{folder}/stopped"),
        refused(ranks),
        differences(ranks, SOLVERS, ARENAS),
    )


def test_two_processes(tmp_path: Path) -> None:
    """One process is killed, the run resumed, stopped by the other, refused where it cannot be; solvers are exact."""
    killed, whole = str(tmp_path / "killed"), str(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="process 1: it ended without a word"):
        on_processes(2, play, killed, 1, 7)
    said = Path(killed, "said-by-0").read_text()
    assert said.startswith("another process of this run has ended without a word, as when it is killed")
    assert said.endswith(f"torchrun --nproc-per-node 2 -m counterplay resume {killed}")
    status = loads(Path(killed, "status.json"))
    assert (status["state"], status["step"]) == ("interrupted", 7)
    alone = shutil.copytree(killed, tmp_path / "alone")

    first, second = on_processes(2, everything, str(tmp_path), killed, whole)
    assert first[:3] == second[:3] and first[:2] == (["not_converged"] * 2, ("interrupted", 4))
    _require_resumed(killed, whole)
    _require_marked(alone, whole)
    _require_refused(first[2])
    assert max(float(x) for found in (first[3], second[3]) for of in found.values() for x in of.values()) <= TOLERANCE


def _require_resumed(killed: str, whole: str) -> None:
    """A killed run that was resumed equals the undisturbed one bit for bit."""
    a, b = (cp.open_log(path).dataset() for path in (killed, whole))
    for name in ("losses", "gradient_norms", "gradients", "products", "samples"):
        assert a[name].equals(b[name]), name
    _require_same_parameters(killed, whole)
    assert loads(Path(whole, "run.json"))["settings"]["ranks"] == 2


def _require_marked(alone: Path, whole: str) -> None:
    """One process resumes what two began only if it is allowed to, and marks it; it equals them to rounding."""
    with pytest.raises(UsageError, match="it was played by 2 processes and is by one process"):
        cp.resume(alone, **_objects())
    cp.resume(alone, **_objects(), allow_inexact=True)
    assert "2 processes" in cp.open_log(alone).attrs["inexact"]
    single = cp.run(**_objects(), steps=STEPS, seed=3, dtype="float64")
    for params in (cp.load_params(whole), cp.load_params(alone)):
        assert _largest_difference(params, single.params) < 1e-12


def _require_refused(said: list[str]) -> None:
    not_whole = "cannot be split over processes: the sum over the shares of a batch is not the whole (their losses"
    expected = ["draws no samples that 2 processes", not_whole, "batches of 1 cannot be split over 2", *[not_whole] * 2]
    for words, sentence in zip([*expected, "no longer hold the same"], said, strict=True):
        assert words in sentence
