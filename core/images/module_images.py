"""Games whose players are torch modules that a user already has, on images of a data set if one is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..game import module_games
from ..game.adapters import Sample
from ..game.checks import describe_value
from ..game.loss import GanLoss
from ..game.module_games import GameFromModules, Nets
from ..game.torch_errors import explained
from ..game.tree import Batch, Buffers, Player, Tree
from ..options import Count, option
from ..registry.registry import make
from .dataset import Dataset
from .image_game_base import ImageGameBase
from .metric import Metric

Losses = Callable[[Nets, Batch], dict[Player, Tensor]]


@dataclass(frozen=True)
class ImagesFromModules(ImageGameBase, GameFromModules):
    """A game of modules on images of a data set. The generator is the player "generator"."""

    latent: Count = option(128, "dimension of the noise z")

    @property
    def noise_size(self) -> int:
        return self.latent

    def buffers(self, rng: torch.Generator) -> Buffers:
        return {**GameFromModules.buffers(self, rng), **ImageGameBase.buffers(self, rng)}

    @property
    def hint(self) -> str:
        more = f", classes (B,) from 0 to {len(self.images.classes) - 1}" if self.conditional else ""
        return f"Noise is (B, {self.latent}), images are (B, {', '.join(map(str, self.images.shape))}){more}."

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        with explained(self.modules, self.hint), self.in_place_of_weights({"generator": generator}, batch):
            more = (batch["labels"],) if self.conditional else ()
            return _images(self.modules["generator"](z, *more), (len(z), *self.images.shape))


def _images(made: Any, shape: tuple[int, ...]) -> Tensor:
    """What the generator made. Raises UsageError unless it is images of ``shape``."""
    if isinstance(made, Tensor) and made.shape == shape and made.is_floating_point():
        return made
    flat = isinstance(made, Tensor) and made.shape == (shape[0], math.prod(shape[1:]))
    advice = f": end it with nn.Unflatten(1, {shape[1:]})" if flat else ""
    raise UsageError(
        f"player generator: its module gives {describe_value(made)}; expected: images like the data, of shape {shape}"
        f"{advice}."
    )


def _logits(of: Any, count: int) -> Tensor:
    """What the discriminator says of ``count`` images. Raises UsageError unless it is a logit of each, (count,)."""
    if isinstance(of, Tensor) and len(of.shape) and of.numel() == len(of) == count and of.is_floating_point():
        return of.reshape(count)
    raise UsageError(
        f"player discriminator: its module gives {describe_value(of)} for {count} images; expected: a logit of "
        f"each, of shape ({count},) or ({count}, 1)."
    )


def game_from_modules(
    modules: Mapping[Player, nn.Module],
    losses: Losses | str | Mapping[str, Any] | GanLoss,
    sample: Sample | None = None,
    zero_sum: bool = False,
    *,
    data: Dataset | str | Mapping[str, Any] | None = None,
    latent: int = 128,
    batch: int = 64,
    conditional: bool = False,
    flip: bool = False,
    metrics: Sequence[Metric | str | Mapping[str, Any]] | str = (),
) -> GameFromModules:
    """A game whose players are existing torch modules. Their present weights are the starting point.

    ``losses(nets, batch)`` gets the modules by player, as in ``nets["generator"](z)``, and gives {player: scalar
    tensor}. ``sample(rng)`` draws the batch. The modules always run in the mode, train or eval, that they are in now. A
    run does not change them; ``game.trained(result.params)`` writes the weights of a run into them.

    With ``data``, a data set or its name, the batch is drawn from it instead: ``batch["real"]`` are images (B, C, H, W)
    in [-1, 1], each once an epoch (a ``batch`` larger than the data set goes through several epochs),
    ``batch["noise"]`` is standard normal (B, latent), and with ``conditional`` ``batch["labels"]`` are the classes
    (B,), which the generator gets as its second argument. Samples and ``metrics`` are recorded of the player
    "generator". ``losses`` may then be the name of a GAN loss, for a "discriminator" that gives logits (B,) or (B, 1).

    Parameters that do not require a gradient are constants. Weights that a module holds in two places stay tied.
    Normalisation layers run by our own formulas, since torch's kernels have wrong higher derivatives. ``zero_sum`` says
    that the mixed derivatives are opposite, see :attr:`counterplay.Game.zero_sum`.

    Raises UsageError for what cannot be played: weights that two players share, lazy modules, a player without
    parameters. What the losses do is checked when the game is first evaluated: it is a UsageError if they draw random
    numbers (dropout in training mode), write to buffers of modules, or call ``torch.autograd.grad``.
    """
    if data is None:
        if not callable(losses) or isinstance(losses, GanLoss):
            raise UsageError(
                "a GAN loss by name needs images: give data, the name of a data set, or losses(nets, batch)."
            )
        if sample is None:
            raise UsageError("nothing to play with: give sample, a function of a generator, or data, a data set.")
        return module_games.game_from_modules(modules, losses, sample, zero_sum)
    if sample is not None:
        raise UsageError("batches come either from sample or from data: give one of them.")
    if not isinstance(data, Dataset | str | Mapping):
        raise UsageError(
            f"data is a data set, its name, or a table of name and options; got a {type(data).__name__}. Images in an "
            'array are read from a file: {"name": "arrays", "file": FILE}.'
        )
    if not isinstance(modules, Mapping) or "generator" not in modules:
        raise UsageError('with data, one of the players is called "generator": its images are shown and measured.')
    for name, count in {"latent": latent, "batch": batch}.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UsageError(f"{name} must be a whole number of at least 1, got {count!r}.")
    if isinstance(losses, GanLoss) or not callable(losses):
        loss = make("loss", losses)
        losses, zero_sum = _gan_losses(loss, conditional), loss.zero_sum
        if set(modules) != {"generator", "discriminator"}:
            raise UsageError('a GAN loss is for the players "generator" and "discriminator": name the modules so.')
    plain = module_games.game_from_modules(modules, losses, lambda rng: {}, zero_sum)
    own: dict[str, Any] = {name: getattr(plain, name) for name in GameFromModules.__dataclass_fields__}
    own["metrics_"] = metrics
    return ImagesFromModules(
        **own, data=make("dataset", data), latent=latent, batch=batch, conditional=conditional, flip=flip,
    )  # fmt: skip


def _gan_losses(loss: GanLoss, conditional: bool) -> Losses:
    """``loss`` of two modules, which in conditional play get the classes as their second argument."""

    def losses(nets: Nets, batch: Batch) -> dict[Player, Tensor]:
        more = (batch["labels"],) if conditional else ()
        real = batch["real"]
        fake = _images(nets["generator"](batch["noise"], *more), tuple(real.shape))
        d_real, d_fake = (_logits(nets["discriminator"](x, *more), len(x)) for x in (real, fake))
        return loss(d_real, d_fake)

    return losses
