"""Damage to logs and checkpoints: no bit can change unnoticed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from counterplay.analysis.log.log import open_log
from counterplay.core.errors import BadLog
from counterplay.core.log.blocks import blocks_of
from counterplay.core.log.sandbox import Sandbox
from counterplay.core.run.checkpoint import save_checkpoint
from counterplay.core.storage.checkpoint_files import load_checkpoint
from counterplay.core.storage.checksum import LENGTH, with_checksum

from ..support.hostile import STEPS
from ..support.logs import flip, interrupted, look

FLIPS = int(os.environ.get("COUNTERPLAY_FLIPS", "10000"))


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
    log.write_bytes(with_checksum(bytes(whole)))
    opened = open_log(run)
    assert len(opened["step/parameters"]) == STEPS  # the others can still be read
    with pytest.raises(BadLog, match=r"log\.h5"):
        opened["step/losses"]


def test_a_file_that_is_written_again_is_looked_at_again(run: Path) -> None:
    log = open_log(run)
    log["step/losses"]
    flip(run / "log.h5")
    with pytest.raises(BadLog, match="sha256"):
        log["step/losses"]


def undetected(files: list[Path], count: int, seed: int, read: Callable[[], object]) -> int:
    """How many of ``count`` bits of these, chosen at random, can be flipped with nothing said when it is ``read``."""
    ends = np.cumsum([8 * file.stat().st_size for file in files])
    found = 0
    for at in np.random.default_rng(seed).choice(ends[-1], min(count, ends[-1]), replace=False):
        n = int(np.searchsorted(ends, at, side="right"))
        bit = int(at - (ends[n - 1] if n else 0))
        flip(files[n], bit)
        with contextlib.suppress(BadLog):
            read()
            found += 1  # even what did not change a number
        flip(files[n], bit)
    return found


COUNTS = [300, pytest.param(FLIPS // 2, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
def test_no_flipped_bit_of_a_log_goes_undetected(run: Path, files: Sandbox, count: int) -> None:
    assert undetected([run / "log.h5"], count, 0, lambda: look(open_log(run, sandbox=files))) == 0
    look(open_log(run, sandbox=files))


@pytest.mark.parametrize("count", COUNTS)
def test_no_flipped_bit_of_a_sealed_block_goes_undetected(tmp_path: Path, files: Sandbox, count: int) -> None:
    run = interrupted(tmp_path / "run")
    assert len(blocks_of(run)) == 3
    assert undetected(blocks_of(run), count, 2, lambda: look(open_log(run, sandbox=files))) == 0
    look(open_log(run, sandbox=files))


@pytest.mark.parametrize("count", COUNTS)
def test_no_flipped_bit_of_a_checkpoint_goes_undetected(tmp_path: Path, count: int) -> None:
    rng = torch.Generator().manual_seed(0)
    tensors = {"params": {p: {n: torch.randn(20, generator=rng) for n in "ac"} for p in ("x", "y")}}
    saved = save_checkpoint(tmp_path, 7, tensors, {"step": 7, "cost": [1, 2, 3], "blocks": 2})
    assert undetected(sorted(saved.iterdir()), count, 1, lambda: load_checkpoint(saved)) == 0
    assert load_checkpoint(saved)[1]["step"] == 7
