"""``counterplay show``: what the generator of a run makes, as a sheet of images."""

from __future__ import annotations

from typing import Any

import click

from ..click_types import INTEGER, PATH, Integer
from ..errors import UsageError
from .options import plugins_first, require_member
from .run import device_of

_INSTEAD = (
    ". What it recorded is drawn by counterplay plot samples RUN; in Python result.modules() has the generator, and "
    "game.trained(counterplay.load_params(RUN)) the one of a run that has ended."
)


@click.command("show")
@click.argument("directory", type=PATH, metavar="RUN")
@click.option("--interpolate", type=Integer(2), metavar="N", help="Rows of N images from one noise to another.")
@click.option("--neighbours", type=Integer(1), metavar="N", help="Beside each image the N nearest real ones.")
@click.option("--rows", type=Integer(1), default=8, show_default=True, help="How many rows of each generator.")
@click.option("--step", type=INTEGER, help="Of this checkpoint.  [default: the newest]")
@click.option("--member", type=INTEGER, default=0, help="Which member of an ensemble.  [default: 0]")
@click.option("--device", metavar="cpu|cuda", default="cpu", help="Where it is computed.  [default: cpu]")
@click.option("-o", "--output", type=PATH, help="The PNG to write.  [default: show.png]")
@plugins_first
def show_command(directory: str, output: str | None, **given: Any) -> None:
    """Draw images that the generator of RUN makes, as a PNG, on the noise of the run's recorded samples.

    By default a sheet of samples. --neighbours compares pixels: a generator that repeats its data has neighbours at a
    root mean square difference near 0, below each image; 1 is that of black and white.
    """
    import torch

    from ..images.generator import Generator
    from ..run.load_point import load_point
    from ..run.recorders import Gallery
    from ..run.torch_switches import precision
    from ..storage.atomic import write_atomic

    count, neighbours, member = given["interpolate"], given["neighbours"], given["member"]
    if count is not None and neighbours is not None:
        raise UsageError("--interpolate and --neighbours are two sheets: draw one after the other.")
    point = load_point(directory, given["step"], device_of(given["device"]), _INSTEAD)
    require_member(member, point.game.members, directory)
    with torch.no_grad(), precision(tf32=False):
        generator = Generator(point.game.game, *Gallery(point.game).at(point.params, point.buffers).of_member(member))
        if count is not None:
            drawn = generator.interpolation(given["rows"], count)
        elif neighbours is not None:
            drawn = generator.neighbours(given["rows"], neighbours)
        else:
            drawn = generator.samples(given["rows"])
    click.echo(f"Wrote {write_atomic(output or 'show.png', drawn)}")
