"""Run directories whose JSON has right sums and wrong values: read, or refused by name; never a traceback.

One value after another is exchanged for one of another type or size, and the sums over it made right again. What no
run can have written is exit 65; what it might have is read as it stands.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import counterplay as cp
from counterplay.analysis import figures
from counterplay.analysis.reader import open_log
from counterplay.analysis.report import html
from counterplay.analysis.summary import summarize, table
from counterplay.core.checkpoint import newest, read_start
from counterplay.core.errors import BadLog, UserError
from counterplay.core.recorded import recorded
from counterplay.core.rundir import MANIFEST, STATE

MUTANTS = int(os.environ.get("COUNTERPLAY_RECORD_MUTANTS", "1500"))
FEW = 150

NUMBERS: list[Any] = [0, 1, -1, 2**31, 2**63, 10**30, 0.5, -0.5, 1e59, 1e308, -1e308]
VALUES: list[Any] = [
    None, True, False, "", "x", "\u0000", "\x1b[2J", "a\nb", "..", "/", "cpu", "cuda:99", "meta", "inf", "nan",
    "é" * 300, "x" * 5000,
    "step<", "gradient_norm<1e-3", "adam", "\u202e", [], [1], [None], ["x", 1], [[[[[[1]]]]]], {},
    {"name": "x"}, {"name": 1}, {"a": {"b": {"c": []}}}, {"x": 0.1, "y": "z"}, {"": 0},
]  # fmt: skip
RAW = ["NaN", "Infinity", "1e999", '"\\ud800"', "[" * 40 + "]" * 40, "{", "1" * 5000]
FILES = ("run.json", "status.json", STATE, MANIFEST)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a JSON document, the whole first."""
    yield at
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(item, (*at, key))


def mutated(document: Any, rng: np.random.Generator) -> tuple[str, str]:
    """The text of a document with one or two values changed, and what was done, in words."""
    document, done, raw = copy.deepcopy(document), [], None
    for _ in range(int(rng.integers(1, 3))):
        ways = list(paths(document))
        way = ways[int(rng.integers(len(ways)))]
        if not way:
            continue
        held = document
        for key in way[:-1]:
            held = held[key]
        old = held[way[-1]]
        kind = int(rng.integers(10))
        if kind == 0:
            del held[way[-1]]
            done.append(f"{way} is gone")
        elif kind == 1:
            raw = RAW[int(rng.integers(len(RAW)))]
            held[way[-1]] = "@RAW@"
            done.append(f"{way} = {raw:.20}")
        elif kind == 2 and isinstance(held, dict):
            held[f"{way[-1]}x"] = old
            done.append(f"{way} twice")
        else:
            choice = NUMBERS if kind < 6 else VALUES
            new = held[way[-1]] = copy.deepcopy(choice[int(rng.integers(len(choice)))])
            done.append(f"{way} = {new!r:.40}")
    text = json.dumps(document, indent=1).replace('"@RAW@"', raw or "")
    return text, "; ".join(done)


def looks(run: Path, out: Path) -> dict[str, Callable[[], object]]:
    """All that reads a run directory, each as its command or the library does."""

    def started() -> None:
        game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd")
        cp.run(game, solver, steps=1, start=read_start(run))

    def resumed() -> None:
        left = iter(range(2))
        cp.resume(run, stop=lambda: next(left, None) is None)

    def drawn() -> None:
        log = open_log(run)
        for name in figures.FIGURES:
            if figures.holds(log, name):
                figures.plot(name, log)

    return {
        "summary": lambda: table([summarize(open_log(run))]),
        "open_log": lambda: (open_log(run).run, open_log(run).status),
        "load_params": lambda: cp.load_params(run),
        "start": started,
        "spectrum": lambda: recorded(run),
        "resume": resumed,
        "plot": drawn,
        "report": lambda: html([open_log(run)]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that can go on, of both kinds, and one that has ended."""
    home = tmp_path_factory.mktemp("base")
    game = cp.make("game", "quadratic")
    solver = cp.make("solver", "simgd", lr={"x": 0.05, "y": 0.01}, rule="adam")
    asked: dict[str, Any] = {"spectrum_every": 4, "checkpoint_every": 4, "until": "gradient_norm<1e-9"}
    left = iter(range(10))
    cp.run(game, solver, steps=40, out=home / "single", stop=lambda: next(left, None) is None, **asked)
    left = iter(range(6))
    gan = cp.make("game", "mixture", hidden=4, layers=1, latent=2, batch=4)
    r1 = [cp.make("regularizer", "r1")]
    cp.run(
        gan, cp.make("solver", "simgd", lr=[0.01, 0.02]), steps=20, members=2, regularizers=r1, out=home / "members",
        stop=lambda: next(left, None) is None, sample_every=2,
    )  # fmt: skip
    cp.run(game, solver, steps=6, out=home / "ended")
    for path in home.iterdir():
        shutil.rmtree(path / "checkpoints" / "step-0")  # one to fall back on is a way not to look
        for other in sorted((path / "checkpoints").iterdir())[:-1]:
            if other != newest(path):
                shutil.rmtree(other)
    return {path.name: path for path in sorted(home.iterdir())}


def harm(run: Path, number: int) -> str:
    """Change one file of a run, and make its sum right again. Says what was done."""
    rng = np.random.default_rng(number)
    name = FILES[int(rng.choice(len(FILES), p=[0.6, 0.12, 0.2, 0.08]))]
    file = run / name if name in FILES[:2] else newest(run) / name
    text, done = mutated(json.loads(file.read_text()), rng)
    file.write_text(text)
    if name == STATE:
        manifest = json.loads((file.parent / MANIFEST).read_text())
        manifest[STATE] = hashlib.sha256(file.read_bytes()).hexdigest()
        (file.parent / MANIFEST).write_text(json.dumps(manifest))
    return f"{name}: {done}"


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("count", [FEW, pytest.param(MUTANTS, marks=pytest.mark.slow)])
def test_values_of_other_types_are_refused_or_read(base: dict[str, Path], tmp_path: Path, count: int) -> None:
    """Nothing but a UserError, from whatever looks; a mutant's refusal of type BadLog names the file."""
    wrong: list[str] = []
    seen = {"read": 0, "refused": 0}
    for number in range(count):
        source = list(base.values())[number % len(base)]
        run = Path(shutil.copytree(source, tmp_path / "run"))
        done = harm(run, number)
        every = list(looks(run, tmp_path).items())
        dear = number % 8 if count > FEW else (number + 1) % 30  # what draws is asked of some only
        for what, look in every if dear == 0 else every[:-2]:
            try:
                look()
                seen["read"] += 1
            except UserError as error:
                seen["refused"] += 1
                if not str(error).isprintable() or (isinstance(error, BadLog) and "run" not in str(error)):
                    wrong.append(f"{number} {source.name} {what} after {done}: said {str(error)!r:.200}")
            except Exception as error:
                wrong.append(f"{number} {source.name} {what} after {done}: {type(error).__name__}: {error!s:.150}")
        shutil.rmtree(run)
    print(seen)
    assert not wrong, "\n".join([f"{len(wrong)} wrong:", *wrong[:60]])
    assert seen["read"] and seen["refused"]
