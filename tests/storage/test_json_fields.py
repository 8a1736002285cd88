"""Run directories whose JSON has right sums and wrong values: read, or refused by name; never a traceback.

One value after another is exchanged for one of another type or size, and the sums over it made right again. What no
run can have written is exit 65; what it might have is read as it stands.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import counterplay as cp
from counterplay.analysis.commands.report import html
from counterplay.analysis.commands.summary import summarize, table
from counterplay.analysis.figures import plot
from counterplay.analysis.log.export import export
from counterplay.analysis.log.log import open_log
from counterplay.analysis.log.verify import verify
from counterplay.core.errors import BadLog, UsageError, UserError
from counterplay.core.log.sandbox import Sandbox
from counterplay.core.run.checkpoint import read_start, save_checkpoint
from counterplay.core.run.load_point import load_point
from counterplay.core.storage.checkpoint_files import newest
from counterplay.core.storage.run_directory import MANIFEST, STATE

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


def weighted(weight: float) -> cp.Game:
    start = {"x": {"w": torch.ones(2)}}
    return cp.game_from_losses(lambda p, b: {"x": weight * (p["x"]["w"] ** 2).sum()}, start)


def looks(run: Path, files: Sandbox, **handed: Any) -> dict[str, Callable[[], object]]:
    """All that reads a run directory, each as its command or the library does; what draws comes last."""

    def started() -> None:
        game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd")
        cp.run(game, solver, steps=1, start=read_start(run))

    def resumed() -> None:
        left = iter(range(2))
        cp.resume(run, stop=lambda: next(left, None) is None, **handed)

    def drawn() -> None:
        log = open_log(run)
        for name in plot.FIGURES:
            if plot.holds(log, name):
                plot.plot(name, log)

    return {
        "summary": lambda: table([summarize(open_log(run))]),
        "open_log": lambda: (open_log(run).run, open_log(run).status),
        "load_params": lambda: cp.load_params(run),
        "resume": resumed,
        "verify": lambda: list(verify(run, files)),
        "start": started,
        "spectrum": lambda: load_point(run),
        "export": lambda: export(open_log(run), "step", run / "a.json", force=True),
        "plot": drawn,
        "report": lambda: html([open_log(run)]),
    }


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
    left = iter(range(3))
    lr = cp.make("solver", "simgd", lr=0.01)
    cp.run(weighted(2.0), lr, steps=6, out=home / "handed", stop=lambda: next(left, None) is None)
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
def test_values_of_other_types_are_refused_or_read(
    base: dict[str, Path], files: Sandbox, tmp_path: Path, count: int
) -> None:
    """Nothing but a UserError, from whatever looks, and of one line."""
    wrong: list[str] = []
    seen = {"read": 0, "refused": 0}
    for number in range(count):
        source = list(base.values())[number % len(base)]
        run = Path(shutil.copytree(source, tmp_path / "run"))
        done = harm(run, number)
        handed = {"game": weighted(2.0)} if source.name == "handed" else {}
        every = list(looks(run, files, **handed).items())
        dear = number % (8 if count > FEW else FEW) == 0  # what draws is asked of some only
        cheap = every[:-2] if count > FEW else [every[number % 8]]
        for what, look in cheap + every[-2:] * dear:
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


COMMANDS: dict[str, tuple[str, ...]] = {
    "resume": ("resume", "run", "--quiet"),
    "verify": ("log", "verify", "run"),
    "export": ("log", "export", "run", "--to", "a.csv", "--force"),
    "summary": ("summary", "run"),
    "spectrum": ("spectrum", "run"),
    "plot": ("plot", "losses", "run"),
    "report": ("report", "run"),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_commands_end_with_a_code_for_it(base: dict[str, Path], cli: Any) -> None:
    """2 only where it is a matter of names: something is to be given that the run was played with."""
    wrong = []
    for number in range(MUTANTS // 20):
        run = Path(shutil.copytree(base["ended"], "run"))  # one that goes on may be asked for very many steps
        done = harm(run, number)
        for what, command in COMMANDS.items():
            code, _, said = cli(*command)
            names = (
                "unknown",
                "no option",
                "cannot be made again",
                "no checkpoint",
                "not the directory",
                "does not fit",
            )
            if code not in (0, 2, 65) or (code == 2 and not any(words in said for words in names)):
                wrong.append(f"{number} {what} after {done}: {code} {said[:200]!r}")
        shutil.rmtree(run)
    assert not wrong, "\n".join([f"{len(wrong)} wrong:", *wrong[:60]])


def changed(run: Path, file: str, way: tuple[Any, ...], value: Any) -> Path:
    path = run / file if file in FILES[:2] else newest(run) / file
    found = held = json.loads(path.read_text())
    for key in way[:-1]:
        held = held[key]
    held[way[-1]] = value
    path.write_text(json.dumps(found))
    if file == STATE:
        manifest = json.loads((path.parent / MANIFEST).read_text())
        (path.parent / MANIFEST).write_text(
            json.dumps({**manifest, STATE: hashlib.sha256(path.read_bytes()).hexdigest()})
        )
    return run


NAMED: list[tuple[str, tuple[Any, ...], Any, str]] = [
    ("run.json", ("settings", "until"), 3, "run.json: settings.until is the number 3, expected text or null."),
    ("run.json", ("experiment", "game"), None, "run.json: experiment.game is null, expected text or a table."),
    ("run.json", ("experiment", "solver"), 7, "run.json: experiment.solver is the number 7, expected text or a table."),
    ("run.json", ("experiment",), {}, "run.json: experiment has no 'game', which every run writes there."),
    ("run.json", ("settings", "device"), -1, "run.json: settings.device is the number -1, expected text or null."),
    ("run.json", ("device",), "\0", "run.json: device is the text '\\x00', expected a device, as cpu or cuda:0."),
    ("run.json", ("settings", "device"), "abc", "settings.device is 'abc', expected a device, as cpu or cuda:0."),
    ("run.json", ("settings", "members"), 10**12, "has 1 generators, and run.json 1000000000000 members."),
    ("run.json", ("seed",), True, "run.json: seed is true, expected a whole number or null."),
    ("run.json", ("checks",), {"jacobian": 3}, "run.json: checks[...] is something else, expected a table."),
    ("status.json", ("step",), -1, "status.json: step is the number -1, expected a whole number of at least 0."),
    ("status.json", ("diverged_members",), ["x"], "diverged_members[0] is the text 'x', expected a whole number."),
    (STATE, ("cost",), [1e59, 0, 0], "state.json: cost[0] is the number 1e+59, expected a number of at most"),
    (STATE, ("blocks",), None, "state.json: blocks is null, expected a whole number."),
    (STATE, ("seconds",), -1.0, "state.json: seconds is the number -1.0, expected a number of at least 0.0."),
    (STATE, ("batch_sha256",), "x", "state.json: batch_sha256 is the text 'x', expected a sha256 sum"),
]


@pytest.mark.parametrize(("file", "way", "value", "said"), NAMED, ids=lambda x: str(x)[:30])
def test_what_is_wrong_is_named(
    base: dict[str, Path], files: Sandbox, tmp_path: Path, file: str, way: tuple[Any, ...], value: Any, said: str
) -> None:
    run = changed(Path(shutil.copytree(base["single"], tmp_path / "run")), file, way, value)
    with pytest.raises(BadLog, match=re.escape(said)):
        cp.resume(run)
    if value not in ({}, "abc", 10**12):  # which only whoever makes the game again can tell
        bad = [words for good, _, words in verify(run, files) if not good]
        assert said in bad[0]


def test_an_end_is_not_taken_from_an_older_checkpoint(tmp_path: Path) -> None:
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=0.01)
    whole = cp.run(game, solver, steps=6, out=tmp_path / "run", checkpoint_every=4)
    assert cp.resume(tmp_path / "run").params["x"]["value"].equal(whole.params["x"]["value"])
    (tmp_path / "run" / "checkpoints" / "step-6" / STATE).write_text("{}")
    with pytest.raises(BadLog, match=r"ended at step 6, and its newest whole checkpoint is step-4"):
        cp.resume(tmp_path / "run")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a/b/c"), ("/".join("x" * 100),), ("params/x",), ("params",)])
def test_names_that_no_tensors_have(names: tuple[str, ...], tmp_path: Path) -> None:
    """In a file to start from, and in a checkpoint."""
    held = {name: torch.zeros(1) for name in names}
    save_file(held, tmp_path / "start.safetensors")
    with pytest.raises(UsageError, match="starting point"):
        read_start(tmp_path / "start.safetensors")
    path = save_checkpoint(tmp_path, 0, {}, {"step": 0})
    save_file(held, path / "tensors.safetensors")
    sums = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in ("tensors.safetensors", STATE)}
    (path / MANIFEST).write_text(json.dumps({"names": list(names), **sums}))
    with pytest.raises(BadLog, match=r"cannot stand among|holds no parameters"):
        cp.load_params(tmp_path)
