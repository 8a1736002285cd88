"""``counterplay show``: sheets of images of a recorded run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import counterplay as cp
from counterplay.core.images.sheet import sheet

from ..conftest import Run

DIGITS = ("run", "images", "-g", "network.filters=8", "-g", "batch=8", "--solver", "simgd", "-s", "lr=0.1", "--quiet")


def played(cli: Run, out: str, *more: object) -> None:
    code, _, err = cli(*DIGITS, "--steps", 4, "--checkpoint-every", 2, "--sample-every", 2, "--out", out, *more)
    assert code == 0, err


def recorded(path: str, row: int) -> bytes:
    """The sheet of what the log holds."""
    images = torch.from_numpy(cp.open_log(path)["samples/images"][row])
    return sheet((images * 255).round().to(torch.uint8).unflatten(0, (8, 8)))


def test_the_samples_of_a_run_are_those_of_its_log(cli: Run) -> None:
    """With an average of the generator, too, which is shown in its place."""
    played(cli, "d", "--regularizer", "ema")
    assert cli("show", "d")[1] == "Wrote show.png\n" and Path("show.png").read_bytes() == recorded("d", -1)
    assert cli("show", "d", "--step", 2, "-o", "two.png")[0] == 0
    assert Path("two.png").read_bytes() == recorded("d", 1) != recorded("d", 0)


def test_neighbours_and_interpolations_of_a_run(cli: Run) -> None:
    played(cli, "d", "-g", "conditional=true")
    for words, columns, rows in ((("--interpolate", 5), 5, 3), (("--neighbours", 2), 3, 3)):
        assert cli("show", "d", *words, "--rows", rows, "-o", "x.png")[0] == 0
        drawn = Image.open(io.BytesIO(Path("x.png").read_bytes()))
        assert drawn.mode == "L"
        left = drawn.width - 68 * columns
        assert 4 < left < 30, "the names of the classes stand before the rows"
    pixels = np.array(drawn)[4 + 16 :, left:]
    real = cp.make("dataset", "digits").load().pixels
    generated, first = (torch.from_numpy(pixels[:64:8, k * 68 :][:, :64:8].copy()) for k in (0, 1))
    squares = ((real[:, 0].double() - generated.double()) ** 2).sum((1, 2))
    assert torch.equal(first, real[squares.argmin(), 0])


def test_a_member_of_an_ensemble(cli: Run) -> None:
    played(cli, "d", "--members", 2)
    assert cli("show", "d")[0] == 0 and Path("show.png").read_bytes() == recorded("d", -1), "a log shows member 0"
    assert cli("show", "d", "--member", 1, "-o", "one.png")[0] == 0
    assert Path("one.png").read_bytes() != Path("show.png").read_bytes()
    code, _, err = cli("show", "d", "--member", 2)
    assert code == 2 and "--member 2: d has the members 0 to 1." in err


def test_what_cannot_be_shown_is_a_sentence(cli: Run) -> None:
    played(cli, "d")
    for words, said in (
        (("--interpolate", 3, "--neighbours", 2), "--interpolate and --neighbours are two sheets: draw one after the"),
        (("--interpolate", 1), "1 is not 2 or more"),
        (("--interpolate", 3, "--rows", 33), "there is noise for 32 rows, and 33 were asked for."),
        (("--member", 1), "--member 1: d is no ensemble."),
        (("--step", 3), "d has no step 3"),
        (("-o", "no/x.png"), "there is no directory no"),
    ):
        code, _, err = cli("show", "d", *words)
        assert code in (2, 74) and said in err and err.count("\n") == 1, err
    assert not Path("show.png").exists()


def test_a_run_without_images(cli: Run) -> None:
    cli("run", "quadratic", "--solver", "simgd", "-s", "lr=0.01", "--steps", 2, "--out", "q", "--quiet")
    code, _, err = cli("show", "q")
    assert code == 2 and "the game quadratic shows no images that are made from noise." in err
    assert cli("show", "nothing")[0] == 2
