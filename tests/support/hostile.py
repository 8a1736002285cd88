"""Logs that a stranger might send: an honest one, what it is harmed with, and the words that harm its reader.

A harm is a function of the run directory it is done to and of one of the user's own, which is none of its business.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import h5py
import numpy as np

from counterplay.core.log.schema import Layout
from counterplay.core.storage.checksum import with_checksum
from counterplay.core.storage.run_directory import RunDirectory

from .logs import Row, written

CANARY = "the canary sings"  # stands in the user's own run, and must never come out of it
STEPS = 300
GIB = 1 << 30

Decorator = Callable[[Callable], Callable]
Harm = Callable[[Path, Path], None]
Harms = dict[str, tuple[Harm, str]]  # name -> what is done, the beginning of what is to be said of it


def run(
    path: Path, players: tuple[str, ...] = ("x", "y"), words: str = "quadratic", members: int | None = None
) -> Path:
    """An honest run directory."""
    lead = () if members is None else (members,)

    def rows() -> Iterator[Row]:
        rng = np.random.default_rng(0)
        for step in range(STEPS):
            names = ("losses", "gradient_norms", "parameter_norms", "parameters")
            yield "step", {"step": step, **{k: rng.normal(size=(*lead, len(players))) for k in names}}
        spectrum = {"eigenvalues": np.broadcast_to([1 + 1j, 1 - 1j], (*lead, 2)), "residuals": np.zeros((*lead, 2))}
        yield "spectrum", {"step": 0, **spectrum, "status": np.zeros((*lead, 2), int)}
        yield "samples", {"step": 0, "images": np.zeros((4, 1, 8, 8))}
        yield "metrics", {"step": 0, "score": 1.0}

    experiment = {"game": {"name": words}, "solver": {"name": "simgd", "lr": 0.1}}
    facts = {"experiment": experiment, "players": dict.fromkeys(players, 1), "seed": 0}
    layout = Layout(players, tuple(f"{p}/value" for p in players), members=members)
    return written(path, layout, rows(), facts, ("max_steps", STEPS))


def canary(path: Path) -> Path:
    """A run of the user's own, which says the word wherever a run can say one."""
    run(path, (CANARY, "y"), CANARY)
    (path / "secret").write_text(CANARY)
    return path


def words_everywhere(path: Path, words: str) -> Path:
    """A run that is readable, and says ``words`` wherever a run can say some."""
    run(path, (words, "y"), words)
    facts = json.loads((path / "run.json").read_text())
    facts |= {"references": {words: words}, words: [words]}
    facts["experiment"]["solver"] = {"name": words, words: words}
    (path / "run.json").write_text(json.dumps(facts))
    RunDirectory(path).write_status(words, 3, words)

    def change(f: h5py.File, away: Path) -> None:
        f.attrs["experiment"] = words
        f["step/losses"].attrs["long_name"] = words
        f["step/losses"].attrs["units"] = words

    in_log(change)(path, path)
    return path


def in_log(change: Callable[[h5py.File, Path], None]) -> Harm:
    """``change`` made to log.h5, which gets the sum it should then have, as a stranger would see to, too."""

    def harm(path: Path, away: Path) -> None:
        log = path / "log.h5"
        with h5py.File(log, "r+", libver=("v110", "v110")) as file:  # cuts off the old sum
            change(file, away)
        log.write_bytes(with_checksum(log.read_bytes()))

    return harm


def dataset(key: str, **how: object) -> Harm:
    """A dataset of its own, as no log of ours has one."""
    return in_log(lambda f, away: f.create_dataset(key, **how) and None)


def collector(harms: Harms, made: Callable[[Callable], Harm] = in_log) -> Callable[[str], Decorator]:
    """A decorator that puts what a function does into ``harms``, under its name, with what is to be said of it."""

    def harm(said: str) -> Decorator:
        def noted(function: Callable) -> Callable:
            harms[function.__name__] = (made(function), said)
            return function

        return noted

    return harm


def most_memory() -> int:
    """What this process, or any that it ended, has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(getrusage(who).ru_maxrss for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
