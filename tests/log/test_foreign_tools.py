"""Logs are read by others' tools: xarray, h5dump, ncdump."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import xarray

from counterplay.analysis.log.log import open_log
from counterplay.core.log.blocks import merge

from ..support.rows import fill, same


# Others' tools
def test_xarray_opens_it_unaided(tmp_path: Path) -> None:
    put = fill(tmp_path)
    merge(tmp_path)
    with xarray.open_datatree(tmp_path / "log.h5", engine="h5netcdf") as tree:
        for key, wanted in put.items():
            assert same(tree[key].to_numpy(), wanted), key
        assert list(tree["step/player"].to_numpy()) == ["x", "yé"]
        assert tree["step/losses"].dims == ("step", "player")
        assert tree["step/wall_seconds"].attrs["units"] == "s"
        ours = open_log(tmp_path)
        for group in ours.groups:
            theirs = tree[group].to_dataset()
            assert theirs.equals(ours.dataset(group))
            assert set(theirs.coords) == set(ours.dataset(group).coords)


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is not installed")
def test_h5dump_prints_the_same_numbers(tmp_path: Path) -> None:
    put = fill(tmp_path)
    whole = merge(tmp_path)
    for key in ("step/losses", "step/step", "spectrum/eigenvalues"):
        raw = tmp_path / "raw"
        command = ["h5dump", "-d", f"/{key}", "-b", "MEMORY", "-o", str(raw), str(whole)]
        subprocess.run(command, check=True, capture_output=True)
        assert raw.read_bytes() == put[key].tobytes()
    text = subprocess.run(
        ["h5dump", "-d", "/step/player", str(whole)], check=True, capture_output=True, text=True
    ).stdout
    assert '"x"' in text


@pytest.mark.skipif(shutil.which("ncdump") is None, reason="ncdump is not installed")
def test_ncdump_reads_names_and_complex_numbers(tmp_path: Path) -> None:
    fill(tmp_path)
    text = subprocess.run(["ncdump", str(merge(tmp_path))], check=True, capture_output=True, text=True).stdout
    assert 'player = "x", "yé"' in text and "eigenvalues(spectrum, mode)" in text
