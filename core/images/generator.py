"""What a generator has learnt, in pictures: interpolations of its noise, and the real images nearest to its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..game.checks import contract_error, describe_value
from ..game.game import Game, innermost
from ..game.tree import Batch, Params, Player
from ..options import called
from .dataset import Images
from .sheet import sheet

BLOCK = 4096  # real images that are compared at once


def interpolated(a: Tensor, b: Tensor, count: int) -> Tensor:
    """``count`` points (R, count, Z) from each row of ``a`` (R, Z) to that of ``b``, both included, on great circles.

    Of normal noise, points on a straight line would be shorter than any that a generator has seen (White 2016, arXiv
    1609.04468, section 2.1): sin((1 - t) w) / sin w a + sin(t w) / sin w b, w being the angle between a and b. Where
    sin w is 0 the line is straight.
    """
    t = torch.linspace(0, 1, count, dtype=torch.float64)[:, None]  # (count, 1)
    x, y = a.double()[:, None], b.double()[:, None]  # (R, 1, Z)
    cosine = (x * y).sum(-1, keepdim=True) / (x.norm(dim=-1, keepdim=True) * y.norm(dim=-1, keepdim=True))
    w = cosine.clamp(-1, 1).acos()  # (R, 1, 1)
    round = (w.sin() > 1e-6) & cosine.isfinite()
    straight = (1 - t) * x + t * y
    return torch.where(round, (((1 - t) * w).sin() * x + (t * w).sin() * y) / w.sin(), straight).to(a)


def nearest(images: Tensor, real: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of the ``real`` images (N, C, H, W) the ``count`` nearest to each of ``images`` (R, C, H, W), all uint8.

    Returns their indices (R, count), the nearest one first, and the root mean square differences of pixels (R, count),
    of which 1 is that of black and white. Of equally near ones the first ones count. Raises UsageError if the shapes
    differ.
    """
    if images.shape[1:] != real.shape[1:]:
        raise UsageError(f"the images have shape {tuple(images.shape[1:])}, the real ones {tuple(real.shape[1:])}.")
    x = images.flatten(1).double()  # sums of squares of whole numbers are exact
    found = torch.zeros(len(x), 0, dtype=torch.float64), torch.zeros(len(x), 0, dtype=torch.int64)
    for start in range(0, len(real), BLOCK):
        y = real[start : start + BLOCK].flatten(1).double()
        squares = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T  # (R, BLOCK)
        at = torch.arange(start, start + len(y)).expand_as(squares)
        squares, at = torch.cat([found[0], squares], 1), torch.cat([found[1], at], 1)
        order = squares.argsort(dim=1, stable=True)[:, :count]
        found = squares.gather(1, order), at.gather(1, order)
    return found[1], (found[0] / x.shape[1]).sqrt() / 255


@dataclass(frozen=True)
class Generator:
    """The generator of ``game`` at ``params``, shown on the noise of ``batch``, that of the run's recorded samples.

    If there are several, each is shown on this noise, one below another.
    """

    game: Game
    params: Params
    batch: Batch

    def samples(self, rows: int) -> bytes:
        """A sheet of ``rows`` times 8 samples of each generator, or of as many as the batch has, as a PNG."""
        count = len(self._noise)
        columns = min(8, count)
        rows = min(rows, count // columns)
        images = self._images(self._noise, self._labels(count)).unflatten(0, (-1, count))[:, : rows * columns]
        return sheet(images.flatten(0, 1).unflatten(0, (-1, columns)), labels=self._names(None, rows))

    def interpolation(self, rows: int, count: int) -> bytes:
        """A sheet of ``rows`` rows of ``count`` images from one noise to another, as a PNG. A row has one class.

        There are so many rows of each generator, on the same noise.
        """
        noise = self._noise
        if 2 * rows > len(noise):
            raise UsageError(f"there is noise for {len(noise) // 2} rows, and {rows} were asked for.")
        z, labels = interpolated(noise[:rows], noise[rows : 2 * rows], count), self._labels(rows)
        repeated = None if labels is None else labels.repeat_interleave(count)
        images = self._images(z.flatten(0, 1), repeated).unflatten(0, (-1, count))
        return sheet(images, [f"{t:.2g}" for t in torch.linspace(0, 1, count).tolist()], (), self._names(labels, rows))

    def neighbours(self, rows: int, count: int) -> bytes:
        """A sheet of ``rows`` images of each generator, each beside the ``count`` nearest real ones, as a PNG."""
        real: Any = getattr(innermost(self.game), "images", None)
        if not isinstance(real, Images):
            raise UsageError(f"the game {called(innermost(self.game))} does not say which its real images are.")
        rows, count = min(rows, len(self._noise)), min(count, len(real))
        labels = self._labels(rows)
        images = self._images(self._noise[:rows], labels).cpu()
        at, off = nearest(images, real.pixels, count)
        captions = [["", *(f"{x:.3f}" for x in row)] for row in off.tolist()]
        headings = ["generated", *(f"nearest {n + 1}" for n in range(count))]
        beside = torch.cat([images[:, None], real.pixels[at]], 1)
        return sheet(beside, headings, captions, self._names(labels, rows))

    @property
    def _generators(self) -> tuple[Player, ...]:
        found: tuple[Player, ...] = getattr(innermost(self.game), "generators", ("generator",))
        return found

    def _labels(self, count: int) -> Tensor | None:
        return self.batch["labels"][:count] if "labels" in self.batch else None

    def _names(self, labels: Tensor | None, rows: int) -> list[str]:
        """What stands before the rows: the generator, where there are several, and the class, where it is given."""
        real: Any = getattr(innermost(self.game), "images", None)
        players = ["" if len(self._generators) == 1 else i for i in self._generators]
        classes = [""] * rows if labels is None or real is None else [real.classes[y] for y in labels.tolist()]
        names = [", ".join(filter(None, (i, c))) for i in players for c in classes]
        return names if any(names) else []

    def _images(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """The images of noise ``z`` (n, Z) by each generator (G n, C, H, W), those of the first one first."""
        each = len(self._generators)
        batch = {**self.batch, "noise": z.repeat(each, 1)}
        if labels is not None:
            batch["labels"] = labels.repeat(each)
        return self._shown(batch)

    @property
    def _noise(self) -> Tensor:
        z = self.batch.get("noise")
        if not isinstance(z, Tensor) or not len(z):
            raise self._nothing()
        return z

    def _shown(self, batch: Batch) -> Tensor:
        """What the game shows, (n, C, H, W), uint8. Raises UsageError if it is not one image for each noise."""
        shown, count = self.game.show(self.params, batch), len(batch["noise"])
        if not isinstance(shown, Tensor) or shown.dim() != 4:
            raise self._nothing()
        if len(shown) != count:
            raise contract_error(self.game, f"its show made {describe_value(shown)} from {count} vectors of noise")
        return (shown.detach().nan_to_num(0.0) * 255).round().clamp(0, 255).to(torch.uint8)

    def _nothing(self) -> UsageError:
        return UsageError(f"the game {called(innermost(self.game))} shows no images that are made from noise.")
