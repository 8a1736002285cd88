"""Schedules of the step size: the factor by which lr is multiplied at each step.

With t the steps since the warm-up ended:

constant      1
linear        from 1 to ``end`` within ``steps`` steps, then ``end``
cosine        end + (1 - end) (1 + cos(pi t / steps)) / 2, then ``end``: Loshchilov and Hutter (2017, arXiv 1608.03983),
              eq. 5, without restarts
exponential   decay^(t / every)
steps         decay^k after k of the steps in ``at``

During a warm-up of w steps the factor is 1/w, 2/w, ..., 1: Goyal et al. (2017, arXiv 1706.02677), section 2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from msgspec import Meta
from torch import Tensor

from ..options import Count, Share, Whole, option
from .named_part import named_part

Ratio = Annotated[float, Meta(gt=0, le=1)]


@dataclass(frozen=True)
class Schedule:
    """A schedule, constant but for its warm-up. A subclass is a frozen dataclass whose fields are its settings."""

    name: ClassVar[str] = "constant"
    warmup: Whole = option(0, "steps within which the step size rises linearly to its full value")

    def after(self, t: Tensor) -> Tensor:
        """The factor ``t`` steps after the warm-up; both are float64 scalars."""
        return torch.ones_like(t)

    def factor(self, step: Tensor) -> Tensor:
        """The factor at step ``step``, 0 for the first: a float64 scalar for an integer scalar."""
        t = step.to(torch.float64)
        if not self.warmup:
            return self.after(t)
        rising = ((t + 1) / self.warmup).clamp(max=1)
        return rising * self.after((t - self.warmup).clamp(min=0))

    @staticmethod
    def parse(value: Any) -> Schedule:
        """A schedule from its name or from a table {name, settings...}. Raises UsageError."""
        return named_part("schedule", value, Schedule, SCHEDULES, {})


@dataclass(frozen=True)
class Linear(Schedule):
    """From 1 to ``end``, in equal differences."""

    name: ClassVar[str] = "linear"
    steps: Count = option(1000, "steps within which the factor falls to end")
    end: Share = option(0.0, "the last factor")

    def after(self, t: Tensor) -> Tensor:
        return 1 + (self.end - 1) * (t / self.steps).clamp(max=1)


@dataclass(frozen=True)
class Cosine(Linear):
    """From 1 to ``end``, along half a period of the cosine."""

    name: ClassVar[str] = "cosine"

    def after(self, t: Tensor) -> Tensor:
        return self.end + (1 - self.end) * (1 + torch.cos(math.pi * (t / self.steps).clamp(max=1))) / 2


@dataclass(frozen=True)
class Exponential(Schedule):
    """By equal ratios."""

    name: ClassVar[str] = "exponential"
    decay: Ratio = option(0.99, "factor of ``every`` steps")
    every: Count = option(1, "steps within which the step size is multiplied by decay")

    def after(self, t: Tensor) -> Tensor:
        return torch.pow(self.decay, t / self.every)


@dataclass(frozen=True)
class Steps(Schedule):
    """By jumps."""

    name: ClassVar[str] = "steps"
    at: tuple[Whole, ...] = option((1000,), "steps from which on the step size is smaller")
    decay: Ratio = option(0.1, "factor of each jump")

    def after(self, t: Tensor) -> Tensor:
        jumps = [(t >= step).to(t) for step in self.at]
        return torch.pow(self.decay, sum(jumps, torch.zeros_like(t)))


SCHEDULES: dict[str, type[Schedule]] = {s.name: s for s in (Schedule, Linear, Cosine, Exponential, Steps)}
