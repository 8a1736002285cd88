"""The projection game: the generator cannot reach its target, and the discriminator sees one axis better.

    min_G max_D   D(eta P) - D(eta G),      P = (2, 2),   eta = diag(1, 1e-2) or the identity

    G   4 parameters, arctan, 4x4, arctan, 2x4 to (x, y), then  (exp(arctan(y)/pi + x), exp(arctan(y)/pi - x))
    D   diag(eta), 4x2, arctan, 4x4, arctan, 1x4, arctan

28 parameters each, no biases, no noise. The output of G lies in S = {(e^(s+t), e^(s-t)): |s| < 1/2}, and P does not.
With eta = diag(1, 1e-2) there are long periods in which the first component is right: G is then near the projection of
P on S in the metric in which D sees differences. Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), eq. 4, Fig. 7
and appendix A.2, see this in 13 of 20 runs of simgd and 17 of 20 of cgd. Not published are the distribution of the
initial parameters (here N(0, std^2)), the step size, and how a run was counted (here: core.stability.metastability).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.game.loss import GanLoss
from ...core.game.tree import Batch, Buffers, Params, Tree
from ...core.options import NonNegative, option
from .loss_by_name import GanWithLoss

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "generator": {"input": (4,), "hidden": (4, 4), "output": (2, 4)},
    "discriminator": {"input": (4, 2), "hidden": (4, 4), "output": (1, 4)},
}


@dataclass(frozen=True)
class Projection(GanWithLoss):
    """28 parameters each. The data are one point, and the generator makes one point."""

    eta: tuple[float, float] = option((1.0, 1e-2), "how well the discriminator sees each axis")
    target: tuple[float, float] = option((2.0, 2.0), "P: the data")
    std: NonNegative = option(1.0, "of every initial parameter")
    loss: GanLoss = option("wgan", "GAN loss")

    def init(self, rng: torch.Generator) -> Params:
        return {
            i: {k: self.std * torch.randn(shape, generator=rng, dtype=torch.float64) for k, shape in shapes.items()}
            for i, shapes in SHAPES.items()
        }

    def buffers(self, rng: torch.Generator) -> Buffers:
        # Nothing is drawn: all batches are the same. The generator does not read the noise.
        data = torch.tensor([self.target], dtype=torch.float64)  # (1, 2)
        return {"real": data, "noise": data.new_zeros(1, 1), "eta": data.new_tensor(self.eta)}

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        h = (generator["hidden"] @ generator["input"].arctan()).arctan()  # (4,)
        t, s = (generator["output"] @ h).unbind()
        s = s.arctan() / math.pi
        return torch.stack([s + t, s - t]).exp().unsqueeze(0)  # (1, 2)

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        for layer in ("input", "hidden", "output"):
            x = ((x * batch["eta"] if layer == "input" else x) @ discriminator[layer].T).arctan()
        return x.squeeze(1)  # (B,)

    def show(self, params: Params, batch: Batch) -> Tensor:
        return self.generate(params["generator"], batch["noise"], batch)

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """The two components of the generated point."""
        first, second = self.show(params, batch)[0]
        return {"first_component": first, "second_component": second}
