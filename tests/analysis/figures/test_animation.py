"""All samples of a run as an animation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from counterplay.analysis.figures import animation
from counterplay.analysis.figures.animation import animate, write_sheets
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import StorageError, UsageError

from ...conftest import Run


@pytest.mark.parametrize("kind", ["gif", "webp"])
@pytest.mark.parametrize("run", ["gan", "ring"])
def test_a_frame_for_each_record(runs: dict[str, Path], tmp_path: Path, run: str, kind: str) -> None:
    log = open_log(runs[run])
    path = animate(log, tmp_path / f"x.{kind}")
    with Image.open(path) as moving:
        assert moving.info["loop"] == 0
        frames, shown = [], []
        for frame in ImageSequence.Iterator(moving):
            frames.append(np.array(frame.convert("RGB"), dtype=int))
            shown.append(frame.info.get("duration"))
    assert len(frames) == log.length("samples") == 4
    assert shown == [150, 150, 150, 1500] and len({f.shape for f in frames}) == 1
    assert all((abs(a - b) > 30).any() for a, b in pairwise(frames))
    if run == "gan":
        assert all((f.max(-1) - f.min(-1) <= 2).all() for f in frames), "grey images stay grey"


def test_of_many_records_evenly_spaced_ones(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animation, "FRAMES", 2)
    with Image.open(animate(open_log(runs["gan"]), tmp_path / "x.gif")) as moving:
        assert sum(1 for _ in ImageSequence.Iterator(moving)) == 2
    first = animate(open_log(runs["gan"]), tmp_path / "y.gif").read_bytes()
    assert first == (tmp_path / "x.gif").read_bytes(), "the same log gives the same file"


def test_what_cannot_be_animated(runs: dict[str, Path], tmp_path: Path) -> None:
    log = open_log(runs["gan"])
    with pytest.raises(UsageError, match=r"No animation can be written as 'x\.png': end the name in \.gif or \.webp\."):
        animate(log, tmp_path / "x.png")
    with pytest.raises(StorageError, match="is a directory"):
        animate(log, tmp_path)
    with pytest.raises(UsageError, match="has no rows for the figure 'samples'"):
        animate(open_log(runs["quadratic"]), tmp_path / "x.gif")


def test_it_can_be_typed(cli: Run, runs: dict[str, Path]) -> None:
    assert cli("plot", "samples", runs["gan"], "--animate")[1] == "Wrote samples.gif\n"
    assert cli("plot", "samples", runs["gan"], "--animate", "-o", "x.webp")[1] == "Wrote x.webp\n"
    for words in (("losses", runs["gan"]), ("samples", runs["gan"], runs["ring"])):
        code, _, err = cli("plot", *words, "--animate")
        assert code == 2 and "--animate shows the samples of one run: counterplay plot samples RUN --animate." in err


def test_a_png_for_each_record(runs: dict[str, Path], tmp_path: Path) -> None:
    log = open_log(runs["gan"])
    folder = write_sheets(log, tmp_path / "new" / "sheets")
    assert [p.name for p in sorted(folder.iterdir())] == [f"step-{step:08d}.png" for step in log["samples/step"]]
    pictures = [np.array(Image.open(p).convert("L"), dtype=int) for p in sorted(folder.iterdir())]
    assert all((abs(a - b) > 30).any() for a, b in pairwise(pictures))
    with pytest.raises(StorageError, match="cannot be made a folder"):
        write_sheets(log, folder / "step-00000000.png")
    with pytest.raises(UsageError, match="samples"):
        write_sheets(open_log(runs["quadratic"]), tmp_path / "none")
