"""Runs killed, starved and resumed, as often as one likes.

    python tests/campaign [--quick] [kills | resumes | faults | limits]...

A line of JSON for each campaign: how many points, how many as promised, and what was not. Exit code 1 where anything
was not. The full counts take some ten minutes on one core; ``--quick`` is what the tests do.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from faults import MODES, Faults
from forks import End, child
from runs import play, readable, rows, same

Figures = dict[str, Any]


class Bench:
    """A folder with the run that nobody disturbed, and what was wrong with those that somebody did."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.wrong = folder, list[str]()
        self.whole, self.errors = folder / "whole", folder / "errors"
        began = time.monotonic()
        assert child(lambda tell: play(self.whole, tell), self.errors).code == 0, self.errors.read_text()
        self.seconds = time.monotonic() - began
        self.rows = rows(self.whole)

    def fresh(self) -> Path:
        for name in ("run", "elsewhere"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.folder / "run"

    def expect(self, good: bool, what: str) -> None:
        if not good:
            self.wrong.append(what)

    def goes_on(self, directory: Path, what: str, whole: Path | None = None) -> None:
        """Resumed to its end, it is the run that nobody disturbed."""
        end = child(lambda tell: play(directory, tell), self.errors)
        self.expect(end.code == 0, f"{what}: resume ended with {end.code}: {end.said}")
        if end.code == 0:
            difference = same(whole or self.whole, directory)
            self.expect(not difference, f"{what}: resumed, differs in {difference}")


def kills(bench: Bench, quick: bool) -> Figures:
    """SIGKILL at random moments from the first to the last of a run; some of them are resumed."""
    count, resumed = (8, 2) if quick else (1000, 200)
    rng, unreadable, lost, stood, rows_told = random.Random(0), 0, 0, Counter[str](), 0
    for n in range(count):
        directory = bench.fresh()
        end = child(functools.partial(play, directory), bench.errors, rng.uniform(0, 1.1) * bench.seconds)
        stood[_stage(directory)] += 1
        rows_told += end.told + 1
        try:
            trouble = readable(directory, bench.rows, end.told)
        except Exception as error:
            trouble, unreadable = f"unreadable: {error}", unreadable + 1
        lost += "acknowledged" in trouble or "no block" in trouble
        bench.expect(not trouble, f"kill {n}: {trouble}")
        if n % (count // resumed) == 0:
            bench.goes_on(directory, f"kill {n} ({_stage(directory)})")
    return {
        "kills": count, "unreadable logs": unreadable, "logs that lost rows": lost, "rows acknowledged": rows_told,
        "resumed": len(range(0, count, count // resumed)), "killed when there was": dict(sorted(stood.items())),
    }  # fmt: skip


def _stage(directory: Path) -> str:
    """How far a run had come."""
    stages = [
        ("no run.json", "run.json"), ("no checkpoint", "checkpoints/step-0"), ("no block", "log/000001.h5"),
    ]  # fmt: skip
    if (directory / "log.h5").exists():
        return "a whole log, blocks too" if (directory / "log").exists() else "a whole log"
    return next((what for what, path in stages if not (directory / path).exists()), "blocks")


def resumes(bench: Bench, quick: bool) -> Figures:
    """One run, killed and resumed over and over."""
    wanted, steps, killed = (3, 60, 0) if quick else (20, 500, 0)
    whole, directory, rng = bench.folder / "long", bench.fresh(), random.Random(1)
    assert child(lambda tell: play(whole, tell, steps), bench.errors).code == 0
    while killed < wanted:
        wait, tells = rng.uniform(0, 0.02), rng.randint(1, 3)
        end = child(lambda tell: play(directory, tell, steps), bench.errors, wait, tells)
        killed += end.code == -9
        bench.expect(end.code == -9, f"resumes: ended with {end.code} after {killed} kills: {end.said}")
        if end.code != -9:
            break
    bench.goes_on(directory, "resumes", whole)
    return {"kills and resumes in one run": killed, "steps": steps}


def faults(bench: Bench, quick: bool) -> Figures:
    """Everything that can fail, at every write of a run."""
    directory = bench.fresh()
    kinds: list[str] = []

    def counted(tell: Callable[[int], None]) -> None:
        own = Faults("none", 0, directory)
        own.install()
        try:
            play(directory, tell)
        finally:
            Path(f"{bench.errors}.kinds").write_text(json.dumps(own.kinds))

    assert child(counted, bench.errors).code == 0
    kinds = json.loads(Path(f"{bench.errors}.kinds").read_text())
    ends: dict[str, Counter[str]] = {}
    rng = random.Random(0)
    for mode in (m for m in MODES if m != "none"):
        ends[mode] = Counter()
        where = [n for n, kind in enumerate(kinds, 1) if mode not in ("short", "torn") or kind == "write"]
        for point in rng.sample(where, 1) if quick else where:
            end = _fail(bench, mode, point)
            ends[mode][str(end.code)] += 1
    return {
        "operations": len(kinds), "points": sum(sum(c.values()) for c in ends.values()),
        "exit codes": {mode: dict(c) for mode, c in ends.items()},
    }  # fmt: skip


def limits(bench: Bench, quick: bool) -> Figures:
    """The system's own short writes: no file may be longer than so many bytes."""
    longest = max(p.stat().st_size for p in bench.whole.rglob("*") if p.is_file())
    sizes = [*range(600, longest + 1, longest // (3 if quick else 60))]
    ends = Counter(str(_undergo(bench, f"files of at most {n} bytes", lambda n=n: _limit(n)).code) for n in sizes)
    return {"limits": len(sizes), "exit codes": dict(ends)}


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _fail(bench: Bench, mode: str, point: int) -> End:
    return _undergo(bench, f"{mode} at {point}", lambda: Faults(mode, point, bench.folder / "run").install())


def _undergo(bench: Bench, what: str, begin: Callable[[], None]) -> End:
    """A run in which something fails as promised, and which goes on to its end when nothing does."""
    directory = bench.fresh()

    def work(tell: Callable[[int], None]) -> None:
        begin()
        play(directory, tell)

    end = child(work, bench.errors)
    if (moved := directory.with_name("elsewhere")).exists():
        bench.expect(not directory.exists(), f"{what}: the directory was made again: {list(directory.rglob('*'))}")
        shutil.rmtree(directory, ignore_errors=True)
        moved.rename(directory)
    if what.startswith(("kill", "torn")):
        bench.expect(end.code == -9, f"{what}: ended with {end.code}: {end.said}")
    elif end.code != 0:  # 0: what failed could be done without
        named = end.code == 74 and str(bench.folder) in end.said and "Traceback" not in end.said
        bench.expect(named, f"{what}: ended with {end.code}: {end.said}")
    try:
        trouble = readable(directory, bench.rows, end.told)
    except Exception as error:
        trouble = f"unreadable: {error}"
    bench.expect(not trouble, f"{what}: {trouble}")
    bench.goes_on(directory, what)
    return end


CAMPAIGNS: dict[str, Callable[[Bench, bool], Figures]] = {
    "kills": kills, "resumes": resumes, "faults": faults, "limits": limits,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaigns", nargs="*", metavar="|".join(CAMPAIGNS))
    parser.add_argument("--quick", action="store_true", help="a few points of each")
    given = parser.parse_args()
    torch.set_num_threads(1)
    failed = False
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # the disk is not what is tried here
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        with contextlib.redirect_stdout(sys.stderr):
            play_once(Path(folder, "warm"))
        bench = Bench(Path(folder))
        for name in given.campaigns or CAMPAIGNS:
            began = time.monotonic()
            figures = CAMPAIGNS[name](bench, given.quick)
            failed |= bool(bench.wrong)
            line = {"campaign": name, **figures, "not as promised": len(bench.wrong), "wrong": bench.wrong[:20]}
            print(json.dumps({**line, "seconds": round(time.monotonic() - began)}), flush=True)
            bench.wrong.clear()
    return int(failed)


def play_once(directory: Path) -> None:
    """Here, so that children find everything imported."""
    try:
        play(directory)
    except SystemExit as end:
        assert not end.code, end.code


if __name__ == "__main__":
    sys.exit(main())
