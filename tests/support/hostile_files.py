"""Harm around a log: links, pipes and nonsense in a run directory, and bytes that are no HDF5."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from counterplay.core.storage.checksum import LENGTH, with_checksum

from .hostile import Harm, Harms, collector, run

AROUND: Harms = {}
harm = collector(AROUND, lambda function: function)


# Links and pipes


def link(path: Path, to: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(to)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


for word in ("log.h5", "run.json", "status.json"):
    name = word.split(".")[0]
    AROUND[f"linked_{name}"] = lambda path, away, word=word: link(path / word, away / word), f"{word} is a link"
    AROUND[f"piped_{name}"] = lambda path, away, word=word: pipe(path / word), f"{word} is no plain file"


@harm("log is a link")
def linked_blocks(path: Path, away: Path) -> None:
    (path / "log.h5").unlink()
    (away / "log").mkdir(exist_ok=True)
    shutil.copy(away / "log.h5", away / "log" / "000001.h5")
    link(path / "log", away / "log")


@harm("000001.h5 is a link")
def linked_block(path: Path, away: Path) -> None:
    (path / "log").mkdir()
    (path / "log" / "000001.h5").symlink_to(away / "log.h5")


@harm("run.json is a link")
def endless(path: Path, away: Path) -> None:
    link(path / "run.json", Path("/dev/zero"))


@harm("log.h5 is no plain file")
def directory(path: Path, away: Path) -> None:
    (path / "log.h5").unlink()
    (path / "log.h5").mkdir()


# What stands in the small files

TEXTS = {  # name -> the file, what is said of it, its text
    "nested": ("run.json", "is not valid JSON", "[" * 100_000),
    "rather_nested": ("run.json", "is not valid JSON (it is nested too deep)", '{"a":' * 400 + "1" + "}" * 400),
    "surrogate": ("run.json", "is not valid JSON", '{"experiment": {"game": "\\ud800"}}'),
    "long_number": ("run.json", "is not valid JSON", '{"seed": ' + "9" * 10_000 + "}"),
    "status_list": ("status.json", "holds a list", "[]"),
    "status_types": ("status.json", ": state is a list, expected text", '{"state": ["running"], "step": 3}'),
    "status_step": (
        "status.json",
        ": step is a table, expected a whole number",
        '{"state": "running", "step": {"a": 1}}',
    ),
}
for name, (word, said, text) in TEXTS.items():
    AROUND[name] = (
        lambda path, away, word=word, text=text: (path / word).write_text(text) and None,
        (f"{word} {said}".replace(" :", ":")),
    )


@harm("run.json is larger than any file of this kind")
def large(path: Path, away: Path) -> None:
    (path / "run.json").write_text(" " * (17 << 20))


# Blocks of different runs


def followed_by(path: Path, other: Path) -> None:
    (path / "log").mkdir()
    for number, file in enumerate((path / "log.h5", other / "log.h5"), start=1):
        file.rename(path / "log" / f"{number:06d}.h5")


@harm("has other names along")
def other_names(path: Path, away: Path) -> None:
    followed_by(path, run(path.with_name(f"{path.name}-other"), ("a", "b", "c")))


@harm("has other axes of")
def other_members(path: Path, away: Path) -> None:
    followed_by(path, run(path.with_name(f"{path.name}-other"), members=3))


# The bytes of log.h5, under a sum that is right


def bytes_of(change: Callable[[bytes], bytes]) -> Harm:
    def harm(path: Path, away: Path) -> None:
        log = path / "log.h5"
        log.write_bytes(with_checksum(change(log.read_bytes()[:-LENGTH])))

    return harm


SIGNATURE = b"\x89HDF\r\n\x1a\n"
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "text": lambda whole: b"not HDF5",
    "signature": lambda whole: SIGNATURE,
    "signature_and_zeros": lambda whole: SIGNATURE + bytes(4000),
    "signature_and_ones": lambda whole: SIGNATURE + b"\xff" * 4000,
    "half": lambda whole: whole[: len(whole) // 2],
    "all_but_one": lambda whole: whole[:-1],
    "shifted": lambda whole: b"\0" * 512 + whole[512:],
    "end_of_file_far_away": lambda whole: whole[:28] + struct.pack("<Q", 1 << 62) + whole[36:],
    "root_at_itself": lambda whole: whole[:36] + struct.pack("<Q", 0) + whole[44:],
    "no_middle": lambda whole: whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[2 * (len(whole) // 3) :],
}
RAW: Harms = {name: (bytes_of(change), "log.h5") for name, change in CHANGES.items()}
