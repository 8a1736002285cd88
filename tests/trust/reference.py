"""The game of a case in plain ``torch.autograd`` and float64, on fresh copies of the user's own modules.

Nothing of counterplay is used: v_i is the gradient of player i's loss, J the derivative of v as it is played, by
central differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _NormBase

from .built import Built

F64 = torch.float64
Theta = dict[str, dict[str, Tensor]]
Map = Callable[[Tensor], Tensor]


class Untold(Exception):
    """What was asked costs a difference for every parameter."""


class Reference:
    """v and the losses of ``built`` on vectors: everyone's trainable parameters, in the order of ``shapes``."""

    def __init__(self, built: Built, dense: bool = True) -> None:
        self.built, self.dense = built, dense  # dense: take J apart column by column where there is no other way
        self._kept: dict[str, nn.Module] = {}
        self.doubt = 0.0  # the largest error that a difference taken for a step may have had
        self._trusted: bool | None = None  # whether autograd's second derivatives are those of v
        self.shapes = {
            i: {k: p.shape for k, p in m.named_parameters() if p.requires_grad} for i, m in built.modules().items()
        }
        sizes = [sum(s.numel() for s in tree.values()) for tree in self.shapes.values()]
        ends = torch.tensor(sizes).cumsum(0).tolist()
        self.parts = {i: slice(e - n, e) for i, e, n in zip(self.shapes, ends, sizes, strict=True)}
        self.size = sum(sizes)

    @property
    def by_differences(self) -> bool:
        """Whether v itself is made of differences: consensus on what autograd's second derivatives are wrong for."""
        return self.built.case.regularizer == "consensus" and self._trusted is False

    def ravel(self, tree: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        return torch.cat([tree[i][k].detach().to(F64).flatten() for i, own in self.shapes.items() for k in own])

    def unravel(self, x: Tensor) -> Theta:
        out: Theta = {}
        at = 0
        for i, own in self.shapes.items():
            out[i] = {}
            for k, shape in own.items():
                out[i][k] = x[at : at + shape.numel()].reshape(shape)
                at += shape.numel()
        return out

    def _nets(self) -> dict[str, nn.Module]:
        """The modules as the user gave them: made again only where playing changes them."""
        if self.built.case.stateful:
            return self.built.modules(F64)
        if not self._kept:
            self._kept.update(self.built.modules(F64))
        return self._kept

    def _losses(self, x: Tensor, batch: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, list[nn.Parameter]]]:
        nets, theta = self._nets(), self.unravel(x)
        own = {i: {k: p for k, p in m.named_parameters() if p.requires_grad} for i, m in nets.items()}
        with torch.no_grad():
            for i, tree in own.items():
                for k, p in tree.items():
                    p.copy_(theta[i][k])
        if self.built.case.twist == "penalty by torch.func":
            for m in (m for net in nets.values() for m in net.modules() if isinstance(m, _NormBase) and m.training):
                m.running_mean = m.running_var = m.num_batches_tracked = None  # torch.func cannot write to them
        played = {i: self._normed(i, m, own[i], batch) for i, m in nets.items()}
        losses = self.built.of(played, batch)
        return self._penalised(losses, played, own, batch), {i: list(tree.values()) for i, tree in own.items()}

    def _normed(self, i: str, net: nn.Module, own: Mapping[str, Tensor], batch: Mapping[str, Any]) -> Any:
        """The player's net, its weights divided by u.Wv where it is spectrally normalised."""
        if self.built.case.regularizer != "spectral-norm" or i != self.built.case.players[-1]:
            return net
        name = f"spectral_norm/{i}/{{}}/{{}}"
        divided = {}
        for k, w in own.items():
            if w.dim() >= 2:
                u, v = batch[name.format(k, "u")], batch[name.format(k, "v")]
                divided[k] = w / (u @ (w.reshape(len(w), -1) @ v))
        return lambda x: functional_call(net, divided, (x,))

    def _penalised(
        self, losses: dict[str, Tensor], nets: Any, own: Mapping[str, Mapping[str, Tensor]], batch: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        name, i = self.built.case.regularizer, self.built.case.players[-1]
        if name == "l2":
            return {**losses, i: losses[i] + 0.1 * sum(p.square().sum() for p in own[i].values())}
        if name in ("r1", "gradient-penalty"):
            real = batch["real"]
            if name == "gradient-penalty":
                mix = batch["gradient_penalty/mix"].reshape(-1, 1)
                real = mix * real + (1 - mix) * nets["generator"](batch["noise"])
            real = real if real.requires_grad else real.clone().requires_grad_()
            g = torch.autograd.grad(nets[i](real).sum(), real, create_graph=True)[0]
            extra = g.square().sum(1).mean() / 2 if name == "r1" else (g.norm(dim=1) - 1).square().mean()
            return {**losses, i: losses[i] + extra}
        return losses

    @torch.enable_grad()
    def _plain(
        self, x: Tensor, batch: Mapping[str, Any], again: bool = False
    ) -> tuple[Tensor, dict[str, Tensor], list[nn.Parameter]]:
        with sdpa_kernel(SDPBackend.MATH):  # the only one with second derivatives, for penalties and J^T w
            losses, own = self._losses(x, batch)
        everyone = [p for ours in own.values() for p in ours]
        v = torch.cat([_gradient(losses[i], ours, again) for i, ours in own.items()])
        return (v if again else v.detach()), {i: x.detach() for i, x in losses.items()}, everyone

    def evaluate(self, x: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """v (N,) and the losses there."""
        v, losses, _ = self._plain(x, batch)
        if self.built.case.regularizer == "consensus":  # every loss plus gamma/2 |v|^2, whose gradient is gamma J^T v
            losses = {i: loss + 0.15 * v.square().sum() for i, loss in losses.items()}
            v = v + 0.3 * self._pulled(x, batch, v)
        return v, losses

    def v(self, x: Tensor, batch: Mapping[str, Any]) -> Tensor:
        return self.evaluate(x, batch)[0]

    def mv(self, x: Tensor, batch: Mapping[str, Any], u: Tensor) -> Tensor:
        """J u."""
        size = float(u.norm()) or 1.0
        found, unsure = slope(lambda x: self.v(x, batch), x, u / size)
        self.doubt = max(self.doubt, unsure * size)
        return found * size

    def rmv(self, x: Tensor, batch: Mapping[str, Any], w: Tensor) -> Tensor:
        """J^T w."""
        if self.built.case.regularizer == "consensus":
            self.v(x, batch)
            if not self._trusted:
                raise Untold  # a matrix for each column of a matrix
            return matrix(lambda x: self.v(x, batch), x).T @ w
        return self._pulled(x, batch, w)

    def _pulled(self, x: Tensor, batch: Mapping[str, Any], w: Tensor) -> Tensor:
        """J^T w without consensus: autograd's where differences of v agree with it, else from differences alone."""
        f = lambda x: self._plain(x, batch)[0]  # noqa: E731
        if self._trusted is not False:
            try:
                v, _, own = self._plain(x, batch, True)
                out = _gradient(v @ w, own)
                self._trusted = self._trusted or _agrees(f, x, w, out)
                if self._trusted:
                    return out
            except RuntimeError:  # an operation without second derivatives
                self._trusted = False
        if not self.dense:
            raise Untold
        return matrix(f, x).T @ w


def _gradient(y: Tensor, x: list[nn.Parameter], again: bool = False) -> Tensor:
    """The gradient of y in all of x, as a vector; zero for what y does not depend on."""
    if not y.requires_grad:
        return torch.zeros(sum(p.numel() for p in x), dtype=F64)
    found = torch.autograd.grad(y, x, None, True, again, allow_unused=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(x, found, strict=True)])


def _agrees(f: Map, x: Tensor, w: Tensor, pulled: Tensor) -> bool:
    """Whether ``pulled`` is the derivative of w.f, by a difference of f in one direction."""
    u = torch.randn(len(x), generator=torch.Generator().manual_seed(9), dtype=x.dtype)
    along, unsure = slope(f, x, u / u.norm())
    error = float((along @ w - pulled @ u / u.norm()).abs())
    return error <= 1e-8 * (1 + float(along.norm() * w.norm())) + unsure


def slope(f: Map, x: Tensor, u: Tensor, h: float = 4e-3) -> tuple[Tensor, float]:
    """The derivative of f at x along u by differences, extrapolated, and how far two extrapolations differ."""

    def central(h: float) -> Tensor:
        return (f(x + h * u) - f(x - h * u)) / (2 * h)

    a, b, c = central(h), central(h / 2), central(h / 4)
    first, second = (4 * b - a) / 3, (4 * c - b) / 3
    return (16 * second - first) / 15, float((second - first).abs().max())


def matrix(f: Map, x: Tensor, h: float = 2e-3) -> Tensor:
    """The derivative of f at x, column by column."""
    columns = []
    for e in torch.eye(len(x), dtype=x.dtype):
        a, b = ((f(x + s * e) - f(x - s * e)) / (2 * s) for s in (h, h / 2))
        columns.append((4 * b - a) / 3)
    return torch.stack(columns, 1)
