"""Training loops for GANs of images as one writes them by hand: the data, torch.nn, torch.optim, one step of a solver.

simgd calls ``backward`` for each player; conopt and jare differentiate the gradient with ``create_graph``, as the
papers' code does; acgd solves by conjugate gradient, with products of the Hessian from ``torch.autograd.grad``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.functional import softplus

from counterplay.games.networks.layers import Apply, BatchNorm, Conv, ConvT, Layer, Linear, Residual
from counterplay.games.networks.sequential import Sequential

LR, BETAS, TOL, EPS, BETA2 = 1e-4, (0.5, 0.999), 3e-5, 1e-5, 0.99
CG = 10  # iterations of acgd's inner solve at most
GAMMA = {"conopt": 0.1, "jare": 10.0}
Vectors = tuple[Tensor, ...]


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


def modules(network: Sequential) -> nn.Sequential:
    """The network as torch.nn has it."""
    return nn.Sequential(*(m for layer in network.layers for m in _modules(layer)))


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
    """A loop for the networks and the data of ``game``, which takes the same steps as ``solver``."""

    def __init__(self, game: Any, solver: str) -> None:
        self.G, self.D = modules(game.generator), modules(game.discriminator)
        self.players = [[p for p in net.parameters() if p.requires_grad] for net in (self.G, self.D)]
        self.optimisers = [torch.optim.Adam(own, lr=LR, betas=BETAS) for own in self.players]
        self.pixels, self.batch, self.latent = game.data.load().pixels, game.batch, game.network.latent
        self.rng = torch.Generator().manual_seed(0)
        self.left: list[Tensor] = []
        self.solver = solver
        self.moments = [torch.zeros(sum(x.numel() for x in own)) for own in self.players]  # of acgd
        self.moved = torch.zeros(0)
        self.t = self.iterations = 0

    def put(self, parameters: Sequence[Tensor]) -> None:
        """Continue from these parameters, first the generator's."""
        with torch.no_grad():
            for x, y in zip((x for own in self.players for x in own), parameters, strict=True):
                x.copy_(y)

    def data(self) -> tuple[Tensor, Tensor]:
        if not self.left:
            self.left = [*torch.randperm(len(self.pixels), generator=self.rng).split(self.batch)]
            self.left = [chosen for chosen in self.left if len(chosen) == self.batch]
        real = self.pixels[self.left.pop()].float().div_(127.5).sub_(1)
        return real, torch.randn(self.batch, self.latent, generator=self.rng)

    def __call__(self, real: Tensor, noise: Tensor) -> None:
        """Draw a batch, and take a step on ``real`` and ``noise`` instead, so that it can be compared with another."""
        self.data()
        d_fake, d_real = self.D(self.G(noise)), self.D(real)
        d_loss = softplus(-d_real).mean() + softplus(d_fake).mean()
        if self.solver == "acgd":
            self._competitive(d_loss)
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
        v = [grad(loss, own, create_graph=True) for loss, own in zip(losses, self.players, strict=True)]
        halves = [sum((g.square().sum() for g in own), torch.zeros(())) / 2 for own in v]
        gamma = GAMMA[self.solver]
        for n, own in enumerate(self.players):
            penalty = halves[0] + halves[1] if self.solver == "conopt" else halves[1 - n]
            extra = grad(penalty, own, retain_graph=n == 0, allow_unused=True)
            for x, g, more in zip(own, v[n], extra, strict=True):
                x.grad = g.detach() if more is None else g.detach() + gamma * more

    def _competitive(self, d_loss: Tensor) -> None:
        """Schäfer et al. (2020), Alg. 1, solved for the player x with fewer parameters; y is the other one.

        (I + M M') X = -S_x (v_x - B eta_y v_y), M = S_x B S_y, B = dv_x/dy = -(dv_y/dx)', S = eta^(1/2).
        """
        losses = (-d_loss, d_loss)
        graphs = [grad(loss, own, create_graph=True) for loss, own in zip(losses, self.players, strict=True)]
        v = [flat(own).detach() for own in graphs]
        self.t += 1
        self.moments = [BETA2 * s + (1 - BETA2) * g * g for s, g in zip(self.moments, v, strict=True)]
        eta = [LR / ((s / (1 - BETA2**self.t)).sqrt() + EPS) for s in self.moments]
        x, y = sorted((0, 1), key=lambda n: v[n].numel())
        S = [step.sqrt() for step in eta]

        def times(n: int, u: Tensor) -> Tensor:
            """The mixed block of player n's rows times ``u``, as minus the transpose of the other player's."""
            sent = _like(u, self.players[1 - n])
            return -flat(grad(graphs[1 - n], self.players[n], sent, retain_graph=True))

        b = -S[x] * (v[x] - times(x, eta[y] * v[y]))
        X, MX, r, p = torch.zeros_like(b), torch.zeros_like(v[y]), b, b
        rr = r @ r
        least, self.iterations = TOL**2 * rr, 0
        while rr > least and self.iterations < CG:
            Mp = -S[y] * times(y, S[x] * p)
            Ap = p + S[x] * times(x, S[y] * Mp)
            alpha = rr / (p @ Ap)
            X, MX, r = X + alpha * p, MX + alpha * Mp, r - alpha * Ap
            before, rr = rr, r @ r
            p = r + (rr / before) * p
            self.iterations += 1
        moves = {x: S[x] * X, y: S[y] * MX - eta[y] * v[y]}
        self.moved = torch.cat([moves[0], moves[1]])
        with torch.no_grad():
            for n, move in moves.items():
                for z, d in zip(self.players[n], _like(move, self.players[n]), strict=True):
                    z += d

    def taken(self) -> Tensor:
        """What shows whether another loop took the same steps: the last move of acgd, else Adam's first moments."""
        if self.solver == "acgd":
            return self.moved
        states = zip(self.optimisers, self.players, strict=True)
        return flat([optimiser.state[x]["exp_avg"] for optimiser, own in states for x in own])


def flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([x.reshape(-1) for x in tensors])


def _like(vector: Tensor, tensors: Sequence[Tensor]) -> Vectors:
    parts = vector.split([x.numel() for x in tensors])
    return tuple(part.view_as(x) for part, x in zip(parts, tensors, strict=True))
