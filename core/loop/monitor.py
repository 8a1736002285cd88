"""The metrics of a step, and whether all its numbers are finite and below the blow-up bound.

All norms of a step are copied to the host together, so that the loop waits for a GPU only once in every step.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..game.tree import Params
from .step import Step

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StepMetrics:
    """Losses, gradient and parameter norms by player: each (P,), or (M, P) for an ensemble."""

    losses: Array
    gradient_norms: Array
    parameter_norms: Array


@dataclass(frozen=True)
class Divergence:
    """What is wrong after a step: which ``members`` diverged, (M,) or (), and the first ``reason`` found, in words."""

    members: NDArray[np.bool_]
    reason: str


def joint_norm(norms: Array) -> Array:
    """The norm of several parts together, from their norms on the first axis. Only the result itself may overflow."""
    if len(norms) == 1:
        return norms[0]
    with np.errstate(over="ignore"):
        return np.hypot.reduce(norms, axis=0)


class Monitor:
    """Takes the metrics of each step, and finds the first value that is not finite or passes the bound.

    ``bound`` is the blow-up bound of the joint parameter norm, () or (M,). Norms of parameters are kept from one step
    to the next: those after a step are those before the next one.
    """

    def __init__(self, params: Params, members: int | None, bound: Any, alive: Any = True) -> None:
        self.members = members
        self.players = tuple(params)
        self.keys = [(i, k) for i, tree in params.items() for k in tree]
        self.names = ["/".join(key) for key in self.keys]
        ends = np.cumsum([0, *(len(tree) for tree in params.values())])
        self.slices = [slice(a, b) for a, b in itertools.pairwise(ends)]  # each player's tensors among the keys
        self.start_from(params, alive)
        self.bound = np.asarray(bound)  # (), or (M,)

    def start_from(self, params: Params, alive: Any) -> None:
        """Take the norms at ``params``, where the next step starts. From now on only members ``alive`` are judged."""
        self.alive = np.asarray(alive)  # (), or (M,)
        x = self._tensors(params)
        self.norms = self._recheck(self._host(self._norms(x)), x)  # (tensors,) or (tensors, M)

    def _tensors(self, x: Params) -> list[Tensor]:
        return [x[i][k] for i, k in self.keys]

    def _norms(self, x: list[Tensor]) -> list[Tensor]:
        """One norm for each tensor: (), or (M,) for an ensemble."""
        if self.members is None:
            return list(torch._foreach_norm(x))
        return [torch.linalg.vector_norm(self._rows(t), dim=1) for t in x]

    def _rows(self, t: Tensor) -> Tensor:
        """``t`` as (1, N), or (M, N) for an ensemble. A number that all members share is repeated for each."""
        if self.members is None:
            return t.reshape(1, -1)
        return t.expand(self.members, 1) if t.dim() == 0 else t.reshape(t.shape[0], -1)

    def _host(self, tensors: list[Tensor]) -> Array:
        # A copy, because a log keeps these rows. If they kept torch's memory alive, the next step's tensors could not
        # use that memory again.
        return torch.stack(tensors).detach().to("cpu", torch.float64).numpy().copy()

    def _by_player(self, norms: Array) -> Array:
        return np.array([joint_norm(norms[one]) for one in self.slices]).T  # ([M,] P)

    def __call__(self, step: Step) -> tuple[StepMetrics, Divergence | None]:
        """The metrics of the step, and what is wrong with what the solver saw or with the state after the step."""
        x, v = self._tensors(step.params), self._tensors(step.info.gradient)
        others = [t for t in step.checked_tensors if t.is_floating_point()]
        losses = [step.info.losses[i].detach() for i in self.players]
        values = self._host(self._norms(v + x + others) + losses)
        T, P = len(x), len(self.players)
        gradient, norms, other_norms, loss = values[:T], values[T : 2 * T], values[2 * T : -P], values[-P:]
        metrics = StepMetrics(loss.T, self._by_player(gradient), self._by_player(self.norms))
        divergence = None
        if not np.isfinite(values).all() or (joint_norm(norms) > self.bound).any():
            gradient, norms = self._recheck(gradient, v), self._recheck(norms, x)
            metrics = StepMetrics(metrics.losses, self._by_player(gradient), metrics.parameter_norms)
            divergence = self._find(loss, gradient, norms, self._recheck(other_norms, others), step)
        self.norms = norms
        return metrics, divergence

    def _recheck(self, norms: Array, x: list[Tensor]) -> Array:
        """``norms`` of the tensors ``x``, taken again if one is not finite: it may be inf although ``x`` is finite."""
        if np.isfinite(norms).all():
            return norms
        return self._host([self._norm_without_overflow(t) for t in x])

    def _norm_without_overflow(self, t: Tensor) -> Tensor:
        """The norm () or (M,), from entries divided by the largest one. Inf or NaN only if an entry is."""
        rows = self._rows(t).abs().double()  # (M, N)
        top = rows.amax(1) if rows.shape[1] else rows.sum(1)
        unit = torch.where((top > 0) & top.isfinite(), top, torch.ones_like(top))
        norm = unit * torch.linalg.vector_norm(rows / unit[:, None], dim=1)
        norm = torch.where(top.isfinite(), norm.clamp(max=torch.finfo(torch.float64).max), top)
        return norm[0] if self.members is None else norm

    def _find(self, loss: Array, gradient: Array, norms: Array, other_norms: Array, step: Step) -> Divergence | None:
        """The first value that is not finite, else the largest parameter if the bound is passed, else None."""
        labels = [f"the loss of {i}" for i in self.players]
        labels += [f"the gradient of {name}" for name in self.names] + [f"the parameter {name}" for name in self.names]
        if step.checked_tensors:
            labels += [f"the {path}" for path in _paths({"memory": step.memory, "buffer": step.buffers})]
        sound = np.isfinite(np.concatenate([loss, gradient, norms, other_norms])) | ~self.alive  # (K,) or (K, M)
        bad = ~sound.all(0)
        if bad.any():
            first = int(np.argmax((~sound).reshape(len(labels), -1).any(1)))
            return Divergence(bad, f"{labels[first]} is not finite")
        norms = np.where(self.alive, norms, 0)
        bad = np.asarray(joint_norm(norms) > self.bound)
        if bad.any():
            worst = self.names[int(np.argmax(norms.reshape(len(self.names), -1).max(1)))]
            size, bound = float(np.max(joint_norm(norms))), float(np.max(self.bound))
            return Divergence(
                bad, f"the parameters' norm {size:.3g} passed the blow-up bound {bound:.3g}, most of it in {worst},"
            )
        return None


def _paths(x: Any, path: str = "") -> list[str]:
    """The paths of the floating tensors in nested dictionaries, lists and tuples, as in "memory rule/x/s"."""
    if isinstance(x, dict | list | tuple):
        separator = "/" if " " in path else " " if path else ""
        entries = x.items() if isinstance(x, dict) else enumerate(x)
        return [name for k, v in entries for name in _paths(v, f"{path}{separator}{k}")]
    return [path] if isinstance(x, Tensor) and x.is_floating_point() else []
