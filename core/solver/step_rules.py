"""Step rules: how one player's direction becomes a step.

A rule is a pair of pure functions, ``init(tree) -> memory`` and ``step(direction, memory, theta) -> (step, memory)``.
The solver then moves to theta - lr * step. The formulas are those of torch.optim at lr = 1, which the tests check. They
are written here again because torch.optim works in place, which can be neither differentiated nor replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from msgspec import Meta
from torch import Tensor

from ..game.tree import Tree, pointwise
from ..options import Decay, NonNegative, option
from .named_part import named_part
from .safe_sqrt import safe_sqrt

RuleMemory = dict[str, Any]


def _map(f: Any, *trees: Tree) -> Tree:
    """``f``, which acts on each number by itself, of trees of one structure."""
    if next(iter(trees[0].values())).is_cpu:
        return {k: f(*(t[k] for t in trees)) for k in trees[0]}
    return pointwise(f, *({"": t} for t in trees))[""]


def _zeros(tree: Tree) -> Tree:
    return _map(torch.zeros_like, tree)


def _zero_count(tree: Tree) -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=next(iter(tree.values())).device)


@dataclass(frozen=True)
class Rule:
    """A step rule. A subclass is a frozen dataclass whose fields are its settings."""

    name: ClassVar[str]
    adaptive: ClassVar[bool] = False  # whether a step is divided by the sizes of directions before

    def init(self, tree: Tree) -> RuleMemory:
        """The memory before the first step: a dictionary of tensors, all zero."""
        return {}

    def step(self, g: Tree, memory: RuleMemory, theta: Tree) -> tuple[Tree, RuleMemory]:
        """What to subtract from ``theta`` at lr = 1, and the next memory. ``g`` is the direction."""
        raise TypeError("a step rule defines step")

    @staticmethod
    def parse(value: Any) -> Rule:
        """A rule from its name or from a table {name, settings...}; a rule is returned as it is. Raises UsageError."""
        return named_part("step rule", value, Rule, RULES, {"decay": "alpha"})


@dataclass(frozen=True)
class Sgd(Rule):
    """The direction itself is the step."""

    name: ClassVar[str] = "sgd"

    def step(self, g: Tree, memory: RuleMemory, theta: Tree) -> tuple[Tree, RuleMemory]:
        return g, memory


@dataclass(frozen=True)
class Momentum(Rule):
    """m = beta m + g; step m (Polyak 1964; beta < 0: Gidel et al. 2019, arXiv 1807.04740). As in torch.optim.SGD."""

    name: ClassVar[str] = "momentum"
    beta: Annotated[float, Meta(gt=-1, lt=1)] = option(0.9, "share of the last step kept; may be negative")
    nesterov: bool = option(False, "step g + beta m instead of m")

    def init(self, tree: Tree) -> RuleMemory:
        return {"m": _zeros(tree)}

    def step(self, g: Tree, memory: RuleMemory, theta: Tree) -> tuple[Tree, RuleMemory]:
        m = _map(lambda m, g: self.beta * m + g, memory["m"], g)
        return (_map(lambda g, m: g + self.beta * m, g, m) if self.nesterov else m), {"m": m}


@dataclass(frozen=True)
class RmsProp(Rule):
    """s = alpha s + (1 - alpha) g^2; step g / (sqrt(s) + eps) (Tieleman and Hinton 2012). As in torch.optim.RMSprop."""

    name: ClassVar[str] = "rmsprop"
    adaptive: ClassVar[bool] = True
    alpha: Decay = option(0.99, "decay of the second moment; also called decay")
    eps: NonNegative = option(1e-8, "added to its root")
    eps_inside: bool = option(False, "add eps to the second moment instead of its root")
    initial: NonNegative = option(0.0, "the second moment before the first step")

    def init(self, tree: Tree) -> RuleMemory:
        return {"s": _zeros(tree), **({"t": _zero_count(tree)} if self.initial else {})}

    def step(self, g: Tree, memory: RuleMemory, theta: Tree) -> tuple[Tree, RuleMemory]:
        own = _map(lambda s, g: torch.addcmul(self.alpha * s, g, g, value=1 - self.alpha), memory["s"], g)
        after: RuleMemory = {"s": own}
        s = own
        if self.initial:  # a memory begins with zeros, so what is left of the initial value is added here
            after["t"] = memory["t"] + 1
            left = self.initial * torch.pow(self.alpha, after["t"].to(torch.float64))
            s = _map(lambda s: s + left.to(s.dtype), own)
        if self.eps_inside:
            return _map(lambda g, s: g / safe_sqrt(s + self.eps), g, s), after
        return _map(lambda g, s: g / (safe_sqrt(s) + self.eps), g, s), after


@dataclass(frozen=True)
class TfRmsProp(RmsProp):
    """TensorFlow 1's RMSProp, with which the numerics of GANs and JARE were measured: other settings of the same rule.

    The second moment starts at 1, so that the first steps are small, and follows the gradient ten times as fast.
    """

    name: ClassVar[str] = "tf-rmsprop"
    alpha: Decay = option(0.9, "decay of the second moment; also called decay")
    eps: NonNegative = option(1e-10, "added to the second moment, or to its root")
    eps_inside: bool = option(True, "add eps to the second moment instead of its root")
    initial: NonNegative = option(1.0, "the second moment before the first step")


@dataclass(frozen=True)
class Adam(Rule):
    """m / (sqrt(s) + eps) with bias-corrected moments m of g and s of g^2, as in torch.optim.Adam.

    Kingma and Ba (2015, arXiv 1412.6980), Alg. 1.
    """

    name: ClassVar[str] = "adam"
    adaptive: ClassVar[bool] = True
    betas: tuple[Decay, Decay] = option((0.9, 0.999), "decay of the two moments")
    eps: NonNegative = option(1e-8, "added to the root")

    def init(self, tree: Tree) -> RuleMemory:
        return {"m": _zeros(tree), "s": _zeros(tree), "t": _zero_count(tree)}

    def step(self, g: Tree, memory: RuleMemory, theta: Tree) -> tuple[Tree, RuleMemory]:
        b1, b2 = self.betas
        t = memory["t"] + 1
        if not torch.is_grad_enabled():  # the step is not differentiated: use torch's fused kernel, on copies
            return self._fused(g, memory, t)
        m = _map(lambda m, g: torch.lerp(m, g, 1 - b1), memory["m"], g)
        s = _map(lambda s, g: torch.addcmul(b2 * s, g, g, value=1 - b2), memory["s"], g)
        like = next(iter(g.values()))
        c1, c2 = 1 - torch.pow(b1, t.to(torch.float64)), 1 - torch.pow(b2, t.to(torch.float64))
        c1, c2 = c1.to(like.dtype), c2.sqrt().to(like.dtype)
        u = _map(lambda m, s: m / c1 / (safe_sqrt(s) / c2 + self.eps), m, s)
        return u, {"m": m, "s": s, "t": t}

    def _fused(self, g: Tree, memory: RuleMemory, t: Tensor) -> tuple[Tree, RuleMemory]:
        """The same step u by one kernel for all tensors: at lr = -1 it moves u from 0 to the step; m and s in place."""
        u, m, s = _zeros(g), _map(torch.clone, memory["m"]), _map(torch.clone, memory["s"])
        steps = [t.to(torch.float32)] * len(u)
        torch._fused_adam_(
            list(u.values()), list(g.values()), list(m.values()), list(s.values()), [], steps,
            lr=-1.0, beta1=self.betas[0], beta2=self.betas[1], weight_decay=0.0, eps=self.eps,
            amsgrad=False, maximize=False,
        )  # fmt: skip
        return u, {"m": m, "s": s, "t": t}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101). As in torch.optim.AdamW."""

    name: ClassVar[str] = "adamw"
    weight_decay: NonNegative = option(1e-2, "share of the parameter subtracted, times lr")

    def step(self, g: Tree, memory: RuleMemory, theta: Tree) -> tuple[Tree, RuleMemory]:
        u, memory = super().step(g, memory, theta)
        return _map(lambda u, x: u + self.weight_decay * x, u, theta), memory


RULES: dict[str, type[Rule]] = {r.name: r for r in (Sgd, Momentum, RmsProp, TfRmsProp, Adam, AdamW)}
