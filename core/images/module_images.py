"""Games whose players are torch modules that a user already has, on data that are named or handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..game import module_games
from ..game.adapters import Sample
from ..game.loss import GanLoss
from ..game.module_games import GameFromModules, Nets
from ..game.torch_errors import explained
from ..game.tree import Batch, Buffers, Params, Player, Tree
from ..options import Count, option
from ..registry.registry import make
from .dataset import Dataset
from .given_data import GivenImages, Samples, given_data
from .image_game_base import ImageGameBase
from .metric import Metric
from .module_gans import GanFromModules, SamplesFromModules, classes, like_data, logits

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
        own = {"generator": generator}
        with explained(self.modules, self.hint, own), self.in_place_of_weights(own, batch):
            made = self.modules["generator"](z, *classes(batch, self.conditional))
            return like_data(made, (len(z), *self.images.shape))

    def show(self, params: Params, batch: Batch) -> Tensor:
        own = GameFromModules.show(self, params, batch)
        return ImageGameBase.show(self, params, batch) if own is None else own

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """The figures of all metrics, and the numbers of the user's function."""
        return {**ImageGameBase.metrics(self, params, batch), **GameFromModules.metrics(self, params, batch)}


@dataclass(frozen=True)
class ImageGanFromModules(ImagesFromModules, GanFromModules):
    """The same with the players "generator" and "discriminator" alone: a GAN."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape


Metrics = Sequence[Metric | str | Mapping[str, Any]] | str | Callable[[Nets, Batch], Mapping[str, Any]]


def game_from_modules(
    modules: Mapping[Player, nn.Module],
    losses: Losses | str | Mapping[str, Any] | GanLoss | None = None,
    sample: Sample | None = None,
    zero_sum: bool = False,
    *,
    loss: str | Mapping[str, Any] | GanLoss | None = None,
    data: Any = None,
    labels: Any = None,
    latent: int = 128,
    batch: int = 64,
    conditional: bool = False,
    flip: bool = False,
    show: Callable[[Nets, Batch], Tensor] | None = None,
    metrics: Metrics = (),
    generator: Player = "generator",
    discriminator: Player = "discriminator",
) -> GameFromModules:
    """A game whose players are existing torch modules. Their present weights are the starting point.

    ``losses(nets, batch)`` gets the modules by player, as in ``nets["generator"](z)``, and gives {player: scalar
    tensor}. ``sample(rng)`` draws the batch. The modules always run in the mode, train or eval, that they are in now. A
    run does not change them; ``result.modules()`` hands them back with the weights of a run.

    Two players "generator" and "discriminator" are a GAN, with the regularizers of one (r1, gradient-penalty, ...).
    Modules of other names are these players where the arguments ``generator`` and ``discriminator`` name them. Of a GAN
    ``loss`` may be a GAN loss or its name instead; the discriminator then gives logits (B,) or (B, 1), and the batch
    has "real" and "noise".

    With ``data`` the batch is drawn from them, every sample once an epoch (a ``batch`` larger than the data goes
    through several epochs): ``batch["real"]`` are samples (B, ...),
    ``batch["noise"]`` is standard normal (B, latent), and with ``conditional`` ``batch["labels"]`` are the classes
    (B,), which both modules get as their second argument. ``data`` is a data set or its name, a tensor or an array
    (N, ...) with ``labels`` (N,), or a map-style data set of torch. Images, which are uint8, or floats (N, C, H, W)
    from 0 to 1 or from -1 to 1, are in [-1, 1] in the batch, in one of 256 levels; samples of the generator are
    recorded, and ``metrics`` by name. Other samples are as they are.

    ``show(nets, batch)`` makes other samples to be recorded: images (n, C, H, W) in [0, 1], or points (n, 2); and
    ``metrics(nets, batch)``, if it is a function, numbers by name.

    Parameters that do not require a gradient are constants. Weights that a module holds in two places stay tied.
    Normalisation layers run by our own formulas, since torch's kernels have wrong higher derivatives. ``zero_sum`` says
    that the mixed derivatives are opposite, see :attr:`counterplay.Game.zero_sum`.

    Raises UsageError for what cannot be played: weights that two players share, lazy modules, a player without
    parameters. What the losses do is checked when the game is first evaluated: it is a UsageError if they draw random
    numbers (dropout in training mode), write to buffers of modules, or call ``torch.autograd.grad``.
    """
    modules = _named(modules, {generator: "generator", discriminator: "discriminator"})
    gan = isinstance(modules, Mapping) and set(modules) == {"generator", "discriminator"}
    if losses is None and loss is None:
        raise UsageError(
            "the game has no losses: give losses(nets, batch), or of a GAN the name of its loss, as loss="
            '"non-saturating", which is that of counterplay run images.'
        )
    if losses is not None and loss is not None:
        raise UsageError("the losses are given twice: either losses(nets, batch) or loss, the name of a GAN loss.")
    named = loss if losses is None else None if callable(losses) and not isinstance(losses, GanLoss) else losses
    if named is not None:
        if not gan:
            raise UsageError(
                'a GAN loss is for the players "generator" and "discriminator": name the modules so, or say which they '
                "are: generator=..., discriminator=..."
            )
        named = make("loss", named)
        losses, zero_sum = _gan_losses(named, conditional), named.zero_sum
    if (sample is None) == (data is None):
        raise UsageError(
            "nothing to play with: give sample, a function of a generator, or data, a data set."
            if data is None
            else "batches come either from sample or from data: give one of them."
        )
    measured = metrics if callable(metrics) else None
    chosen: Any = () if callable(metrics) else [metrics] if isinstance(metrics, str) else metrics
    plain = module_games.game_from_modules(modules, losses, sample or (lambda rng: {}), zero_sum)  # type: ignore[arg-type]
    own = {name: getattr(plain, name) for name in GameFromModules.__dataclass_fields__}
    own |= {"shown": show, "measured": measured}
    of_gan: dict[str, Any] = {"loss": named} if gan else {}
    if data is None:
        if chosen:
            raise UsageError("metrics by name are of images: give data, or a function metrics(nets, batch).")
        return GanFromModules(**own, **of_gan, conditional=conditional) if gan else GameFromModules(**own)
    if "generator" not in modules:
        raise UsageError('with data, one of the players is called "generator": its images are shown and measured.')
    for name, count in {"latent": latent, "batch": batch}.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UsageError(f"{name} must be a whole number of at least 1, got {count!r}.")
    source = make("dataset", data) if isinstance(data, Dataset | str | Mapping) else given_data(data, labels)
    if conditional and isinstance(source, GivenImages | Samples) and source.labels is None:
        raise UsageError("conditional play needs labels: give labels=..., or items (x, label).")
    sizes: dict[str, Any] = {"latent": latent, "batch": batch, "conditional": conditional}
    if isinstance(source, Samples):
        return _of_samples(source, gan, chosen, flip, own | of_gan | sizes)
    kind: Any = ImageGanFromModules if gan else ImagesFromModules
    game: GameFromModules = kind(
        **own, **of_gan, **sizes, data=source, flip=flip, metrics_=list(chosen)
    )  # fmt: skip
    return game


def _of_samples(source: Samples, gan: bool, metrics: Sequence[Any], flip: bool, own: dict[str, Any]) -> GameFromModules:
    """The game on samples that are no images. Raises UsageError for what images alone have."""
    what = f"data are samples of shape {tuple(source.x.shape[1:])}, which are no images"
    if metrics or flip:
        raise UsageError(f"{what}: {'flip' if flip else 'metrics by name'} is for images. metrics may be a function.")
    if not gan:
        raise UsageError(f'{what}: their game has the players "generator" and "discriminator".')
    return SamplesFromModules(**own, samples_=source)


def _named(modules: Any, roles: Mapping[Player, Player]) -> Any:
    """``modules`` with the players called by their roles. Raises UsageError for a role that no module has."""
    if not isinstance(modules, Mapping):
        return modules
    for given, role in roles.items():
        if given != role and (given not in modules or role in modules):
            raise UsageError(f"{role}={given!r}: the modules are {', '.join(map(str, modules))}.")
    return {roles.get(i, i): m for i, m in modules.items()}


def _gan_losses(loss: GanLoss, conditional: bool) -> Losses:
    """``loss`` of two modules, which in conditional play get the classes as their second argument."""

    def losses(nets: Nets, batch: Batch) -> dict[Player, Tensor]:
        real, more = batch["real"], classes(batch, conditional)
        fake = like_data(nets["generator"](batch["noise"], *more), (len(batch["noise"]), *real.shape[1:]))
        d_real, d_fake = (logits(nets["discriminator"](x, *more), len(x)) for x in (real, fake))
        return loss(d_real, d_fake)

    return losses
