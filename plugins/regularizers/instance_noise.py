"""Instance noise: independent Gaussian noise on the real and on the generated data that the discriminator sees.

Both distributions may be of low dimension; noise makes them overlap. Sønderby, Caballero, Theis, Shi and Huszár (2017,
arXiv 1610.04490), section 3, let its variance fall linearly to zero; Arjovsky and Bottou (2017, arXiv 1701.04862).
Samples and metrics are of generated data without noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.game.game import INSTANCE_NOISE, Game, GanGame, innermost
from ...core.game.regularizer import Regularizer, need_gan
from ...core.game.tree import Batch, Buffers, Params
from ...core.options import NonNegative, Whole, called, option

STEP = "instance_noise/step"  # the buffer that counts the steps


@dataclass(frozen=True)
class InstanceNoise(Regularizer):
    """Noise of standard deviation ``std``. Its variance falls linearly to 0 within ``anneal`` steps."""

    std: NonNegative = option(0.1, "standard deviation at the first step")
    anneal: Whole = option(0, "steps within which the variance falls linearly to 0; 0: it stays as it is")

    def check(self, game: Game) -> None:
        gan = need_gan("instance-noise", game)
        if type(innermost(gan)).losses is not GanGame.losses and not _adds_noise(gan):
            raise UsageError(
                f"regularizer instance-noise cannot reach the generated data of {called(innermost(gan))}, whose "
                "losses are its own: let them take self.generated(params, batch) in the place of self.generate."
            )

    def buffers(self, game: Game, rng: torch.Generator, params: Params) -> Buffers:
        return {STEP: torch.tensor(-1)} if self.anneal else {}

    def refresh(self, game: Game, params: Params, buffers: Buffers) -> Buffers:
        return {**buffers, STEP: buffers[STEP] + 1} if self.anneal else buffers

    def sample(self, game: Game, rng: torch.Generator, batch: Batch) -> Batch:
        real, std = batch["real"], self._std(batch)
        shape = (len(batch["noise"]), *real.shape[1:])
        for_real = torch.randn(real.shape, generator=rng, dtype=real.dtype)
        for_generated = torch.randn(shape, generator=rng, dtype=real.dtype)
        earlier = batch.get(INSTANCE_NOISE, 0.0)
        return {**batch, "real": real + std * for_real.to(real), INSTANCE_NOISE: earlier + std * for_generated.to(real)}

    def _std(self, batch: Batch) -> float | Tensor:
        if not self.anneal:
            return self.std
        left = (1 - batch[STEP].double() / self.anneal).clamp(0, 1)  # share of the variance
        return self.std * left.sqrt().to(batch["real"])


def _adds_noise(game: GanGame) -> bool:
    """Whether noise in the batch changes the losses."""
    rng = torch.Generator().manual_seed(0)
    params, buffers = game.init(rng), game.buffers(rng)
    batch = dict(game.sample(rng, game.refresh(params, buffers)))
    fake = game.generate(params["generator"], batch["noise"], batch)
    noisy = {**batch, INSTANCE_NOISE: torch.linspace(1, 2, fake.numel(), dtype=fake.dtype).reshape(fake.shape)}
    before, after = (game.losses(params, each)["discriminator"] for each in (batch, noisy))
    return not torch.equal(before, after)
