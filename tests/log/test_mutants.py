"""Logs with a few bytes changed and their sum made right again: read or refused, as the commands would."""

from __future__ import annotations

import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from counterplay.analysis.commands.summary import summarize, table
from counterplay.analysis.log.export import export
from counterplay.analysis.log.log import open_log
from counterplay.analysis.log.verify import verify
from counterplay.core.errors import UserError
from counterplay.core.log import sandbox
from counterplay.core.log.sandbox import Sandbox
from counterplay.core.log.schema import GROUPS
from counterplay.core.storage.checksum import LENGTH, with_checksum

from ..support.hostile import GIB, most_memory
from ..support.logs import look

MUTANTS = int(os.environ.get("COUNTERPLAY_MUTANTS", "1000"))
IGNORED = ("ignore:.*:RuntimeWarning", "ignore")  # of numbers that no run has


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


def survived(run: Path, files: Sandbox, count: int) -> dict[str, int]:
    """What became of ``count`` mutants whose sum is right, each looked at as the commands do."""
    log = run / "log.h5"
    forms = (log.read_bytes()[:-LENGTH], of_old(log), of_old(log, chunks=True, compression=1, fletcher32=True))
    seen = {"read": 0, "refused": 0, "ended": 0}
    for number in range(count):
        rng = np.random.default_rng(number)
        log.write_bytes(with_checksum(mutate(forms[number % 3], rng)))
        process = files._process
        began = time.monotonic()
        try:
            opened = open_log(run, sandbox=files)
            table([summarize(opened)])
            look(opened)
            export(opened, "step", run / "a.csv", force=True)
            seen["read"] += 1
            if number % 30 == 29:
                from counterplay.analysis.commands.report import html

                html([opened])
        except UserError as error:
            assert str(error).isprintable() and "open files" not in str(error), number
            seen["refused"] += 1
        list(verify(run, files))
        seen["ended"] += files._process is not process
        assert time.monotonic() - began < 120, number
    return seen


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(12, marks=pytest.mark.filterwarnings(IGNORED[0])),
        pytest.param(MUTANTS, marks=[pytest.mark.slow, pytest.mark.filterwarnings(IGNORED[1])]),
    ],
)
def test_mutants_are_read_or_refused(run: Path, files: Sandbox, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 1.0)  # some keep HDF5 busy for ever, and are looked at by three readers
    seen = survived(run, files, count)
    print(seen, most_memory())
    assert seen["read"] and seen["refused"]
    if count == MUTANTS:  # a quick test shares its process with others, which may have had more
        assert most_memory() < GIB
