"""Steps of the game `images` with every network, beside loops that one would write by hand with torch.nn.

    python tests/benchmarks/images.py [--quick] [--steps N] [NETWORK ...]

Random pixels in the shape of the paper's images; the data path is a part of the step on both sides: images are drawn
epoch by epoch from a tensor of bytes, and converted. By hand, conopt and jare differentiate the gradient with
``create_graph``, as the papers' code does; acgd is the package CGDs (extra ``benchmark``), to the same tolerance.

Prints CPU time on one thread, ours and by hand in turns step by step, medians, and appends it to ``record.jsonl``,
a line a network.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from common import keep
from torch import Tensor, nn
from torch.nn.functional import softplus

import counterplay as cp
from counterplay.core.images.network import Shape
from counterplay.games.networks.layers import Apply, BatchNorm, Conv, ConvT, Layer, Linear, Residual
from counterplay.games.networks.sequential import Sequential

# network -> images and batch in its paper
CASES: dict[str, tuple[Shape, int]] = {
    "icr-mnist": ((1, 28, 28), 128), "wgan-gp-dcgan": ((3, 32, 32), 64), "dcgan4": ((3, 32, 32), 64),
    "dcgan4-nobn": ((3, 32, 32), 64), "dcgan4-const": ((3, 32, 32), 64), "conv4-const": ((3, 32, 32), 64),
    "conv3-const": ((3, 32, 32), 64), "resnet-const": ((3, 64, 64), 128), "sngan-cnn": ((3, 32, 32), 64),
    "resnet-v1": ((3, 32, 32), 64), "resnet-v2": ((3, 32, 32), 64),
}  # fmt: skip
LR, BETAS, TOL = 1e-4, (0.5, 0.999), 3e-5
GAMMA = {"conopt": 0.1, "jare": 10.0}
SOLVERS = ("simgd", "conopt", "jare", "acgd")
Grads = list[Tensor]


@dataclass(frozen=True)
class Pixels(cp.Dataset):
    """Random images."""

    shape: Shape
    count: int = 5000

    def load(self) -> cp.Images:
        rng = torch.Generator().manual_seed(0)
        return cp.Images.of(torch.randint(0, 256, (self.count, *self.shape), generator=rng).to(torch.uint8))


class Called(nn.Module):
    """An activation, a pooling or a reshape, of torch.nn.functional in both."""

    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


class Block(nn.Module):
    def __init__(self, layer: Residual) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(layer.channels, layer.inner, 3, padding=1)
        self.conv2 = nn.Conv2d(layer.inner, layer.channels, 3, padding=1)
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        f = self.layer.f.f
        if self.layer.before:
            return x + self.layer.weight * self.conv2(f(self.conv1(f(x))))
        return x + self.layer.weight * f(self.conv2(f(self.conv1(x))))


def modules(network: Sequential, seed: int) -> nn.Sequential:
    """The network as torch.nn has it, with the same initial weights."""
    made = nn.Sequential(*(m for layer in network.layers for m in _modules(layer)))
    start = network.init(torch.Generator().manual_seed(seed)).values()
    with torch.no_grad():
        for x, y in zip((p for p in made.parameters() if p.requires_grad), start, strict=True):
            x.copy_(y)
    return made


def _modules(layer: Layer) -> Iterator[nn.Module]:
    match layer:
        case Linear():
            yield nn.Linear(layer.inputs, layer.outputs, layer.bias)
        case ConvT():
            own = (layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding)
            yield nn.ConvTranspose2d(*own, bias=layer.bias)
            if layer.extra:
                yield Called(lambda x: x[:, :, : -layer.extra, : -layer.extra])
        case Conv():
            if layer.extra:
                yield nn.ZeroPad2d((0, layer.extra, 0, layer.extra))
            own = (layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding)
            yield nn.Conv2d(*own, bias=layer.bias)
        case BatchNorm():
            yield Norm(layer)
        case Residual():
            yield Block(layer)
        case Apply():
            yield Called(layer.f)
        case _:
            raise TypeError(f"no module for {layer}")


class Norm(nn.modules.batchnorm._BatchNorm):
    """nn.BatchNorm1d or 2d, whichever fits."""

    def __init__(self, layer: BatchNorm) -> None:
        super().__init__(layer.channels, eps=layer.eps)
        self.weight.requires_grad_(layer.scale)

    def _check_input_dim(self, input: Tensor) -> None:
        pass


class ByHand:
    """A loop as one writes it: the data, the networks, torch.optim, and one step of a solver."""

    def __init__(self, game: Any, solver: str) -> None:
        self.G, self.D = modules(game.generator, 0), modules(game.discriminator, 1)
        self.players = [[p for p in net.parameters() if p.requires_grad] for net in (self.G, self.D)]
        self.optimisers = [torch.optim.Adam(own, lr=LR, betas=BETAS) for own in self.players]
        self.pixels, self.batch, self.latent = game.data.load().pixels, game.batch, game.network.latent
        self.rng = torch.Generator().manual_seed(0)
        self.left: list[Tensor] = []
        self.solver = solver
        if solver == "acgd":
            import CGDs

            both = [net.parameters() for net in (self.G, self.D)]
            self.cgds = CGDs.ACGD(*both, lr_max=LR, lr_min=LR, eps=1e-5, beta=0.99, tol=TOL**2, atol=0.0)

    def data(self) -> tuple[Tensor, Tensor]:
        if not self.left:
            self.left = [*torch.randperm(len(self.pixels), generator=self.rng).split(self.batch)]
            self.left = [chosen for chosen in self.left if len(chosen) == self.batch]
        real = self.pixels[self.left.pop()].float().div_(127.5).sub_(1)
        return real, torch.randn(self.batch, self.latent, generator=self.rng)

    def __call__(self) -> None:
        real, noise = self.data()
        d_fake, d_real = self.D(self.G(noise)), self.D(real)
        d_loss = softplus(-d_real).mean() + softplus(d_fake).mean()
        if self.solver == "acgd":
            self.cgds.step(d_loss)
            return
        losses = (softplus(-d_fake).mean(), d_loss)
        if self.solver == "simgd":
            for optimiser, loss, own, keeps in zip(self.optimisers, losses, self.players, (True, False), strict=True):
                optimiser.zero_grad()
                loss.backward(inputs=own, retain_graph=keeps)
        else:
            self._regularised(losses)
        for optimiser in self.optimisers:
            optimiser.step()

    def _regularised(self, losses: tuple[Tensor, Tensor]) -> None:
        """conopt: v + gamma grad |v|^2 / 2; jare: of the other player's v only."""
        v: list[Grads] = [
            list(torch.autograd.grad(loss, own, create_graph=True))
            for loss, own in zip(losses, self.players, strict=True)
        ]
        halves = [sum((g.square().sum() for g in own), torch.zeros(())) / 2 for own in v]
        gamma = GAMMA[self.solver]
        for n, own in enumerate(self.players):
            penalty = halves[0] + halves[1] if self.solver == "conopt" else halves[1 - n]
            extra = torch.autograd.grad(penalty, own, retain_graph=n == 0, allow_unused=True)
            for x, g, more in zip(own, v[n], extra, strict=True):
                x.grad = g.detach() if more is None else g.detach() + gamma * more


def measured(name: str, solver: str, steps: int) -> dict[str, float]:
    """The CPU seconds of a step of ours and of a loop by hand, in turns, without the first two and the last."""
    shape, batch = CASES[name]
    loss = "saturating" if solver == "acgd" else "non-saturating"
    game: Any = cp.make("game", "images", data=Pixels(shape), network=name, batch=batch, loss=loss)
    rule = {"name": "adam", "betas": list(BETAS)}
    options: dict[str, Any] = {"tol": TOL} if solver == "acgd" else {"rule": rule}
    options |= {"gamma": GAMMA[solver]} if solver in GAMMA else {}
    hand, ours, theirs = ByHand(game, solver), list[float](), list[float]()
    began = time.process_time()

    def turn(seen: object) -> None:
        nonlocal began
        ended = time.process_time()
        with torch.enable_grad():  # observers are called without
            hand()
        ours.append(ended - began)
        began = time.process_time()
        theirs.append(began - ended)

    cp.run(game, cp.make("solver", solver, lr=LR, **options), steps=steps + 2, trace=True, observers=[turn])
    a, b = (statistics.median(seconds[2:-1]) for seconds in (ours, theirs))
    paired = statistics.median(x / y for x, y in zip(ours[2:-1], theirs[2:-1], strict=True))
    return {f"{name}, {solver}: step, s": a, f"{name}, {solver}: by hand, s": b, f"{name}, {solver}: ratio": paired}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="nothing recorded")
    parser.add_argument("--steps", type=int, default=15, help="how many steps of each are timed, after two more")
    parser.add_argument("--solvers", default=",".join(SOLVERS), help="which solvers, separated by commas")
    parser.add_argument("networks", nargs="*", default=list(CASES))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.networks:
        figures: dict[str, float] = {"steps": asked.steps}
        for solver in asked.solvers.split(","):
            found = measured(name, solver, asked.steps)
            print("   ".join(f"{key} {value:.3f}" for key, value in found.items()), flush=True)
            figures |= found
        if not asked.quick:
            keep("images", figures)


if __name__ == "__main__":
    main()
