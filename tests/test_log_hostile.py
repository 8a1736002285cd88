"""Logs from strangers: what could harm its reader is refused before a number is read, and never with a traceback."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from counterplay.analysis.export import export
from counterplay.analysis.reader import Log, open_log
from counterplay.analysis.summary import summarize, table
from counterplay.analysis.verify import verify
from counterplay.core import sandbox, validate
from counterplay.core.checkpoint import load_checkpoint, save_checkpoint
from counterplay.core.cli import main
from counterplay.core.errors import BadLog, UserError
from counterplay.core.lock import acquire
from counterplay.core.rundir import write_atomic
from counterplay.core.sandbox import Sandbox
from counterplay.core.schema import GROUPS
from counterplay.core.sealed import LENGTH, seal

from . import hostile

MUTANTS = int(os.environ.get("COUNTERPLAY_MUTANTS", "1000"))
FLIPS = int(os.environ.get("COUNTERPLAY_FLIPS", "10000"))
GIB = 1 << 20  # in the kilobytes of ru_maxrss


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.run(tmp_path_factory.mktemp("honest") / "run")


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.canary(tmp_path_factory.mktemp("away") / "run")


@pytest.fixture(scope="module")
def files() -> Iterator[Sandbox]:
    """One process for many files, as the command line never does: it must get over each of them."""
    files = Sandbox()
    yield files
    files.close()


@pytest.fixture
def run(honest: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(honest, tmp_path / "run"))


def hurt(run: Path, away: Path, name: str) -> tuple[Path, str]:
    """The run after what ``name`` does to it, and what is to be said of it."""
    if name in hostile.AROUND:
        mess, said = hostile.AROUND[name]
        mess(run, away)
    elif name in hostile.IN_FILE:
        harm, said = hostile.IN_FILE[name]
        with h5py.File(run / "log.h5", "r+", libver=("v110", "v110")) as file:
            harm(file, away)
        hostile.reseal(run / "log.h5")
    else:
        said = "log.h5"
        hostile.bytes_of(hostile.RAW[name])(run, away)
    return run, said


def look(log: Log) -> list[np.ndarray]:
    """Read all there is."""
    _ = log.run, log.status, log.attrs, log.players
    return [log[key] for key in log]


HOSTILE = [*hostile.IN_FILE, *hostile.AROUND, *hostile.RAW]


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 50


def seldom(names: list[str]) -> list[object]:
    """Every other one is a slow test: the quick tier sees half of them."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (i % 2)) for i, name in enumerate(names)]


@pytest.mark.parametrize("name", seldom(HOSTILE))
def test_what_could_harm_is_refused(run: Path, away: Path, files: Sandbox, name: str) -> None:
    """Here and in another process; with a sentence, without what stands elsewhere, in little time."""
    path, said = hurt(run, away, name)
    began = time.monotonic()
    for how in (files, False):
        with pytest.raises(BadLog, match=re.escape(said)) as refused:
            look(open_log(path, sandbox=how))
        words = str(refused.value)
        assert words.endswith(".") and words.isprintable() and hostile.CANARY not in words
    assert time.monotonic() - began < 10


def test_an_honest_run_is_read_alike(run: Path, files: Sandbox) -> None:
    here, there = open_log(run), open_log(run, sandbox=files)
    assert summarize(here) == summarize(there) and list(here) == list(there) and here.attrs == there.attrs
    for key in here:
        assert here[key].dtype == there[key].dtype and here[key].tobytes() == there[key].tobytes()
    assert here.read("step/losses", 3, 7).tolist() == there.read("step/losses", 3, 7).tolist()


# The process that reads

STUCK = {
    "hangs": ("while True: pass", "CPU time limit exceeded"),
    "sleeps": ("import time; time.sleep(1e6)", "busy for more than"),
    "crashes": ("import os; os.abort()", "made its reader end (Aborted)"),
    "leaves": ("import os; os._exit(7)", "made its reader end (exit code 7)"),
    "eats": ("bytearray(1 << 31)", "takes more memory"),
    "opens": ("open('/etc/passwd')", "Too many open files"),
    "writes": ("import os; os.write(os.memfd_create('a'), b'a')", "Too many open files"),
    "forks": ("import os; os.setuid(os.getuid() or 65534); os.fork()", "temporarily unavailable"),
    "raves": ("return {'contents': {'variables': 3}}", "answer nonsense"),
}


OFTEN = ("sleeps", "crashes", "eats", "opens", "raves")


@pytest.mark.parametrize("does", [d if d in OFTEN else pytest.param(d, marks=pytest.mark.slow) for d in STUCK])
def test_whatever_reading_does_costs_a_bad_log(run: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    code, said = STUCK[does]
    if does == "raves":
        nonsense = "json.dumps(dict(contents=dict(variables=3))).encode(), None"
        code = f"import json, counterplay.core.worker as w; w._answer = lambda *a: ({nonsense})"
    else:
        body = f"def contents(*a):\n    {code}\n"
        code = f"import counterplay.core.worker as w; w._warm = lambda: None; exec({body!r}, w.__dict__)"
    honest = sandbox._START
    monkeypatch.setattr(sandbox, "_START", f"import sys; sys.path[:] = {{path!r}}\n{code}\n{honest}")
    monkeypatch.setattr(sandbox, "SECONDS", {"sleeps": 0.5, "hangs": 6.0}.get(does, 20.0))
    files = Sandbox()
    began = time.monotonic()
    with pytest.raises(UserError, match=f"{re.escape(said)}|{re.escape(STUCK['sleeps'][1])}"):  # on a busy machine
        open_log(run, sandbox=files)
    assert time.monotonic() - began < 30
    monkeypatch.setattr(sandbox, "_START", honest)
    monkeypatch.setattr(sandbox, "SECONDS", 20.0)
    files.close()
    assert len(open_log(run, sandbox=files)["step/step"]) == hostile.STEPS  # the next one is read again


def test_a_process_that_cannot_start_is_no_bad_log(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_START", "raise SystemExit")
    with pytest.raises(RuntimeError, match="did not start"):
        open_log(run, sandbox=True)


def test_more_than_the_command_line_reads_at_once(run: Path, monkeypatch: pytest.MonkeyPatch, files: Sandbox) -> None:
    monkeypatch.setattr("counterplay.analysis.reader.MOST", 1000)
    log = open_log(run, sandbox=files)
    with pytest.raises(BadLog, match=r"4,800 bytes of step/losses.*open_log"):
        log["step/losses"]
    assert len(log.read("step/losses", -1)) == 1 and len(open_log(run)["step/losses"]) == hostile.STEPS


def test_the_process_ends_with_the_log(run: Path) -> None:
    files = Sandbox()
    log = open_log(run, sandbox=files)
    process = files._process
    assert process is not None and process.poll() is None
    del log, files
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is not None


# What a stranger's directory must not do to the user's own files


@pytest.mark.parametrize("name", ["report.html", "log.h5"])
def test_a_link_where_a_draft_is_written_is_not_followed(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / f".{name}.tmp").symlink_to(mine)
    write_atomic(tmp_path / name, b"theirs")
    assert mine.read_text() == "mine" and (tmp_path / name).read_bytes() == b"theirs"


def test_a_link_where_the_lock_is_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "lock").symlink_to(mine)
    with pytest.raises(UserError, match="Could not lock"):
        acquire(tmp_path)
    assert mine.read_text() == "mine"


# Words that would steer a terminal, make a formula or a script

EVIL = (
    """=HYPERLINK("http://a","b")\x1b[2J\x1b]0;owned\x07\x9b31m\u202egame\x7f\r\n\tx,y"""
    """<script>alert(1)</script>"'><img src=x onerror=y>&lt;"""
)


def test_words_are_words_wherever_they_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counterplay.analysis.report.FIGURES", {"losses": "Losses."})  # the others take seconds
    path = hostile.words_everywhere(tmp_path / "run", EVIL)
    for command in (["summary", "--json"], ["log", "verify"], ["report"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, str(path)])
        shown = capsys.readouterr()
        assert ended.value.code in (0, 65) and "internal" not in shown.err
        assert all(c.isprintable() or c == "\n" for c in shown.out + shown.err)
    text = (path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text and "onerror=y>" not in text and all(c.isprintable() or c == "\n" for c in text)
    shown_table = table([summarize(open_log(path))])
    assert all(c.isprintable() or c == "\n" for c in shown_table)
    lines = export(open_log(path), "step", tmp_path / "a.csv").read_text(encoding="utf-8").split("\n")
    assert len(lines) == hostile.STEPS + 2 and not re.search(r"(^|,)\"?[=+@]|\r|\t", lines[0])


# Damage


def test_what_is_cut_short_or_changed_by_others_is_refused(run: Path) -> None:
    log = run / "log.h5"
    whole = log.read_bytes()
    for data in (b"", whole[:20], whole[: len(whole) // 2], whole[:-1], whole[:-LENGTH], whole + b"\n"):
        log.write_bytes(data)
        with pytest.raises(BadLog, match=r"log\.h5 does not end with its sha256 sum"):
            open_log(run)
    log.write_bytes(whole)
    with h5py.File(log, "r+") as file:  # HDF5 cuts off what it does not know of
        file.attrs["note"] = "mine"
    with pytest.raises(BadLog, match=r"log\.h5 does not end with its sha256 sum"):
        open_log(run)


def test_numbers_changed_with_their_sum_are_found_by_hdf5(run: Path) -> None:
    log = run / "log.h5"
    with h5py.File(log) as file:
        chunk = file["step/losses"].id.get_chunk_info(0)
    whole = bytearray(log.read_bytes()[:-LENGTH])
    whole[chunk.byte_offset + chunk.size // 2] ^= 1
    log.write_bytes(seal(bytes(whole)))
    opened = open_log(run)
    assert len(opened["step/parameters"]) == hostile.STEPS  # the others can still be read
    with pytest.raises(BadLog, match=r"log\.h5"):
        opened["step/losses"]


def test_a_file_that_is_written_again_is_looked_at_again(run: Path) -> None:
    log = open_log(run)
    log["step/losses"]
    data = bytearray((run / "log.h5").read_bytes())
    data[len(data) // 2] ^= 1
    (run / "log.h5").write_bytes(data)
    with pytest.raises(BadLog, match="sha256"):
        log["step/losses"]


def flip(path: Path, whole: bytes, bit: int) -> None:
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)


def undetected_in_blocks(run: Path, files: Sandbox, count: int) -> int:
    log = run / "log.h5"
    whole = log.read_bytes()
    undetected = 0
    for bit in np.random.default_rng(0).choice(8 * len(whole), count, replace=False).tolist():
        flip(log, whole, bit)
        try:
            look(open_log(run, sandbox=files))
            undetected += 1  # even what did not change a number
        except BadLog:
            pass
    log.write_bytes(whole)
    return undetected


def undetected_in_checkpoints(path: Path, count: int) -> int:
    import torch

    rng = torch.Generator().manual_seed(0)
    tensors = {"params": {p: {n: torch.randn(20, generator=rng) for n in "ac"} for p in ("x", "y")}}
    saved = save_checkpoint(path, 7, tensors, {"step": 7, "cost": [1, 2, 3], "blocks": 2})
    parts = {part: part.read_bytes() for part in sorted(saved.iterdir())}
    bits = [(part, bit) for part, data in parts.items() for bit in range(8 * len(data))]
    undetected = 0
    for at in np.random.default_rng(1).choice(len(bits), min(count, len(bits)), replace=False).tolist():
        part, bit = bits[at]
        flip(part, parts[part], bit)
        try:
            load_checkpoint(saved)
            undetected += 1
        except BadLog:
            pass
        part.write_bytes(parts[part])
    assert load_checkpoint(saved)[1]["step"] == 7 and len(bits) > 5000
    return undetected


def test_no_flipped_bit_goes_undetected(run: Path, files: Sandbox, tmp_path: Path) -> None:
    assert undetected_in_blocks(run, files, 300) == 0
    assert undetected_in_checkpoints(tmp_path, 300) == 0


@pytest.mark.slow
def test_no_flipped_bit_of_thousands_goes_undetected(run: Path, files: Sandbox, tmp_path: Path) -> None:
    assert undetected_in_blocks(run, files, FLIPS // 2) == 0
    assert undetected_in_checkpoints(tmp_path, FLIPS // 2) == 0


def of_old(path: Path, **options: object) -> bytes:
    """The log in the oldest format of HDF5, which has no checksum over its structure: changes go deeper."""
    old = path.with_name("old")
    with h5py.File(path) as log, h5py.File(old, "w", libver="earliest") as file:
        file.attrs.update(log.attrs)
        for name in (f"{group}/{name}" for group in GROUPS if group in log for name in log[group]):
            plain = {} if log[name].dtype.kind == "O" else options  # no filter takes names
            made = file.create_dataset(name, data=log[name][()], **plain)
            for key in ("dimensions", "long_name", "units"):
                if key in log[name].attrs:
                    made.attrs[key] = log[name].attrs[key]
    return old.read_bytes()


def mutate(whole: bytes, rng: np.random.Generator) -> bytes:
    """Change a few bytes, now and then to what lengths and addresses are least ready for."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(len(data) - 8))
        match int(rng.integers(5)):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at] = int(rng.integers(256))
            case 2:
                data[at : at + 8] = int(rng.choice([0, 1, len(data), 2**31, 2**32 - 1, 2**63])).to_bytes(8, "little")
            case 3:
                data[at : at + 8] = int(rng.integers(len(data))).to_bytes(8, "little")
            case 4:
                other = int(rng.integers(len(data) - 64))
                data[at : at + 64] = data[other : other + 64][: len(data) - at]
    return bytes(data)


def survived(run: Path, files: Sandbox, count: int, slow: bool) -> dict[str, int]:
    """What became of ``count`` mutants whose sum is right, each looked at as the commands do."""
    log = run / "log.h5"
    forms = (log.read_bytes()[:-LENGTH], of_old(log), of_old(log, chunks=True, compression=1, fletcher32=True))
    seen = {"read": 0, "refused": 0, "ended": 0}
    for number in range(count):
        rng = np.random.default_rng(number)
        log.write_bytes(seal(mutate(forms[number % 3], rng)))
        process = files._process
        began = time.monotonic()
        try:
            opened = open_log(run, sandbox=files)
            table([summarize(opened)])
            look(opened)
            export(opened, "step", run / "a.csv", force=True)
            seen["read"] += 1
            if slow and number % 30 == 0:
                from counterplay.analysis.report import html

                html([opened])
        except UserError as error:
            assert str(error).isprintable() and "open files" not in str(error), number
            seen["refused"] += 1
        list(verify(run, files))
        seen["ended"] += files._process is not process
        assert time.monotonic() - began < 120, number
    return seen


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")  # of numbers that no run has
def test_mutants_are_read_or_refused(run: Path, files: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 1.0)
    seen = survived(run, files, 12, False)
    assert seen["read"] and seen["refused"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of numbers that no run has
def test_a_thousand_mutants_are_read_or_refused(run: Path, files: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 1.0)  # some keep HDF5 busy for ever, and are looked at by three readers
    seen = survived(run, files, MUTANTS, True)
    print(seen, used())
    assert max(used()) < GIB


COMMANDS = (
    "summary {path}", "summary --json {path}", "summary --follow {path}", "plot losses {path} -o {out}.png",
    "report {path} -o {out}.html", "log verify {path}", "log export {path} --to {out}.csv --force",
    "log merge {path} --to {out}.h5 --force",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_every_command_ends_with_65(
    run: Path, away: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = hurt(run, away, name)
    out = str(tmp_path / "out")
    seen = set()
    for line in COMMANDS:
        began = time.monotonic()
        with pytest.raises(SystemExit) as ended:
            main([word.format(path=path, out=out) for word in line.split()])
        shown = capsys.readouterr()
        seen.add(ended.value.code)
        assert ended.value.code in (0, 65), (line, shown)
        assert hostile.CANARY not in shown.out + shown.err and "Traceback" not in shown.err
        assert time.monotonic() - began < 20
    assert 65 in seen and (0 not in seen or name in hostile.AROUND)  # a figure may not need the file that is bad
    assert max(used()) < GIB


def used() -> tuple[int, int]:
    """The most memory that this process, and any that it ended, have had, in kilobytes."""
    factor = 1024 if sys.platform == "darwin" else 1
    return tuple(
        resource.getrusage(who).ru_maxrss // factor for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )  # type: ignore[return-value]


def test_structure_alone_can_be_checked(run: Path, away: Path) -> None:
    validate.check(run / "log.h5")
    path, said = hurt(run, away, "soft")
    with pytest.raises(BadLog, match=re.escape(said)):
        validate.check(path / "log.h5")
    with pytest.raises(BadLog, match="not a readable HDF5 file"):
        validate.check(path / "run.json")
