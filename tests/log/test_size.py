"""Logs of any length: written, merged and read in parts, so that memory does not grow with them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from counterplay.analysis.log import merge as by_hand
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import BadLog, UsageError
from counterplay.core.log import blocks, sandbox, schema_check
from counterplay.core.log.blocks import blocks_of
from counterplay.core.log.sandbox import Sandbox
from counterplay.core.log.schema import GROUPS, Layout
from counterplay.core.log.writer import LogWriter

STEPS = 100
LAYOUT = Layout(("x", "y"), parameters=("x/a[0]", "x/a[1]", "y/a[0]"))
LOSSES = np.random.default_rng(0).normal(size=(STEPS, 2))
COMPLEX = np.random.default_rng(1).normal(size=(STEPS // 10, 3)) * (1 + 2j)


def write(directory: Path, seals: tuple[int, ...]) -> LogWriter:
    """A log in as many blocks as there are ``seals``, and rows that are in none yet."""
    directory.mkdir(exist_ok=True)
    writer = LogWriter(directory, LAYOUT)
    for t in range(STEPS):
        writer.append("step", {"step": t, "losses": LOSSES[t], "parameters": [t, t + 0.5, np.nan]})
        if t % 10 == 0:  # from the fortieth step on there is one eigenvalue more
            writer.append("spectrum", {"step": t, "eigenvalues": COMPLEX[t // 10][: 2 + (t >= 40)]})
        if t in seals:
            writer.seal()
    return writer


def chunks(path: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Every chunk's place and bytes. Of the file only the time at which a type was named is left out."""
    with h5py.File(path) as file:
        data = {f"{group}/{name}": x.id for group in file if group in GROUPS for name, x in file[group].items()}
        packed = {key: x for key, x in data.items() if x.get_create_plist().get_layout() == h5py.h5d.CHUNKED}
        infos = {key: [x.get_chunk_info(n) for n in range(x.get_num_chunks())] for key, x in packed.items()}
        return {
            key: [(info.byte_offset, packed[key].read_direct_chunk(info.chunk_offset)[1]) for info in found]
            for key, found in infos.items()
        }


def test_a_log_is_merged_in_parts_and_its_file_tells_neither_these_nor_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_PART", 1000)  # a dozen steps, or ten spectra
    found = [chunks(write(tmp_path / str(k), seals).finish()) for k, seals in enumerate([(), (3, 41, 42), (50,)])]
    assert found[0] == found[1] == found[2]
    log = open_log(tmp_path / "1")
    assert np.array_equal(log["step/losses"], LOSSES) and list(log["step/step"]) == list(range(STEPS))
    assert np.array_equal(log["spectrum/eigenvalues"][4:], COMPLEX[4:])
    assert np.isnan(log["spectrum/eigenvalues"][:4, 2]).all() and list(log["spectrum/count"]) == [2] * 4 + [3] * 6


@pytest.mark.parametrize("merged", [False, True])
def test_the_limited_process_answers_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merged: bool) -> None:
    writer = write(tmp_path, (3, 41))
    writer.finish() if merged else writer.seal()
    monkeypatch.setattr(sandbox, "PART", 100)
    log, plain = open_log(tmp_path, sandbox=True), open_log(tmp_path)
    for key in plain:
        assert log[key].dtype == plain[key].dtype and np.array_equal(log[key], plain[key], equal_nan=True), key
    assert np.array_equal(log.read("step/losses", 17, 59), LOSSES[17:59])
    assert log.read("step/losses", 5, 5).shape == (0, 2)


def test_a_log_too_large_for_one_file_stays_in_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_BYTES", LOSSES.nbytes)
    writer = write(tmp_path, (3, 41))
    assert writer.finish() == tmp_path / "log" and len(blocks_of(tmp_path)) == 3
    assert np.array_equal(open_log(tmp_path)["step/losses"], LOSSES)
    for merge in (by_hand.merge, lambda path: by_hand.merge_to(path, tmp_path / "one.h5")):
        with pytest.raises(UsageError, match=r"/step/parameters has 2,400 bytes.*stays in its blocks"):
            merge(tmp_path)
    assert len(blocks_of(tmp_path)) == 3 and not (tmp_path / "one.h5").exists()
    monkeypatch.setattr(blocks, "MAX_BYTES", 2400)
    assert by_hand.merge(tmp_path) == tmp_path / "log.h5" and not blocks_of(tmp_path)


def test_a_row_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ()).finish()
    monkeypatch.setattr(schema_check, "MAX_ROW", 2 * 8 + 3 * 8)  # losses and parameters, but not the step
    with pytest.raises(BadLog, match="a row of /step claims 48 bytes, more than 40"):
        open_log(tmp_path)


def test_the_limited_process_does_not_answer_with_more_than_its_caller_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ()).finish()
    monkeypatch.setattr(sandbox, "MOST", LOSSES.nbytes - 1)
    with pytest.raises(BadLog, match="1,600 bytes of step/losses to be read at once"):
        Sandbox().read(tmp_path / "log.h5", "step/losses", 0, STEPS)
