"""Solvers: a solver turns the state of a run into the next one. Most are composed of three choices.

    theta <- theta - lr * rule(direction)

The direction is a function of the game at a point, the step rule turns it into a step, and the play order says which
players move when. Everything around a solver relies on this one interface: ``step`` is a pure function of the state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..derivatives.local import LocalGame
from ..errors import UsageError
from ..game.game import Game, regularizers_of
from ..game.tree import Batch, Params, Player, clamp, leaves, norm, option_per_player, pointwise, scale, sub
from ..options import Positive, StepSize, called, option
from .schedules import Schedule
from .step_rules import Rule

Memory = dict[str, Any]
Draw = Callable[[], Batch]


@dataclass(frozen=True)
class StepInfo:
    """What a step reports: each player's loss and v where it first evaluated them, and how its inner solve went.

    ``inner`` may hold "iterations", "residual" (relative) and "converged", each a scalar or (M,) for an ensemble.
    """

    losses: dict[Player, Tensor]
    gradient: Params
    inner: dict[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def at(local: LocalGame, **inner: Tensor) -> StepInfo:
        """The losses and v of ``local``, with the report of an inner solve."""
        return StepInfo(local.losses(), local.gradient(), inner)


class Solver(ABC):
    """A method. A subclass is a frozen dataclass whose fields are its options. ``step`` is pure except for ``draw``."""

    period: int = 1
    """The number of steps after which the solver repeats what it does. The update map is that of one period."""

    unconstrained: str = ""
    """Why the method makes no sense in games that project onto strategy sets, as in "its step is ..."; such games are
    then refused. Empty, as by default: it does. :class:`Composed` projects every move, and after a step of any solver
    the loop projects. This is right if a solution, theta = P(theta - lr v), is a fixed point of the step, which
    ``counterplay check`` tests."""

    @property
    def step_size_policy(self) -> str:
        """What sets the size of a step: "fixed", "scheduled" or "adaptive".

        That is the options alone, also the number of steps so far, or also the sizes of v before. Verdicts follow F'
        only where the size is fixed, or where noise keeps it up. Fixed steps are in proportion to v where v is the same
        everywhere, which ``counterplay check`` tests.
        """
        return "fixed"

    def init(self, game: Game, params: Params) -> Memory:
        """The memory before the first step: zeros, in nested dictionaries of tensors. Its structure never changes."""
        return {}

    @abstractmethod
    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        """The next parameters and memory, and what the step reports.

        ``draw()`` gives a new batch of the game; call it once a step, or once for each move of a player.
        """


def require_suited(solver: Solver, game: Game) -> None:
    """Raise UsageError if ``game`` projects and ``solver``, or a regularizer, makes no sense in such games."""
    for method in (solver, *regularizers_of(game)):
        if method.unconstrained and game.projects:
            raise UsageError(
                f"{called(method)} knows no strategy sets, and the game or a regularizer projects onto one: "
                f"{method.unconstrained}. Use simgd, altgd, extragradient, past-extragradient or ogda there."
            )


class Order(Protocol):
    """A play order: one step of a composed solver, made of its direction and its rule."""

    def __call__(
        self, solver: Composed, game: Game, params: Params, memory: Memory, draw: Draw
    ) -> tuple[Params, Memory, StepInfo]: ...


def simultaneous(
    solver: Composed, game: Game, params: Params, memory: Memory, draw: Draw
) -> tuple[Params, Memory, StepInfo]:
    """All players move at once, from gradients at the same point."""
    local = LocalGame.of(game, params, draw())
    d, own = solver.directed(local, memory["direction"])
    params, rule = solver.move(local, params, d, memory["rule"])
    return params, {"direction": own, "rule": rule}, StepInfo.at(local)


@dataclass(frozen=True)
class Composed(Solver):
    """theta - lr * rule(direction), in some play order.

    A subclass defines ``direction``. What else it may override, from the usual to the rare: ``order``; ``directed`` and
    ``remember``, for a direction with a memory; ``ruled``, for what is done with the rule's step; ``play``, for a step
    that no play order makes. lr, its schedule, clipping and the rule's memory come with all of them.
    """

    lr: StepSize = option(0.01, "step size: a number, one per player, or one per member")
    rule: Rule = option(
        Rule.parse("sgd"), "step rule: sgd, momentum, rmsprop, tf-rmsprop, adam or adamw, with its settings"
    )
    schedule: Schedule | None = option(
        None, "of the step size: constant, linear, cosine, exponential or steps, with its settings"
    )
    clip_norm: Positive | None = option(None, "largest norm of a player's direction; longer ones are scaled down to it")
    clip_value: Positive | None = option(None, "largest size of a number of a direction")

    @property
    def order(self) -> Order:
        """The play order; simultaneous by default."""
        return simultaneous

    def direction(self, local: LocalGame) -> Params:
        """The direction to step along (downwards): v by default."""
        return local.gradient()

    def directed(self, local: LocalGame, memory: Memory) -> tuple[Params, Memory]:
        """The direction and its next memory, for directions that have a memory (optimism)."""
        return self.direction(local), memory

    def remember(self, params: Params) -> Memory:
        """The first memory of a direction that has one."""
        return {}

    @property
    def step_size_policy(self) -> str:
        """That of the schedule or, without one, of the rule."""
        if self.schedule is not None and self.schedule.name != "constant":
            return "scheduled"
        return "adaptive" if self.rule.adaptive else "fixed"

    def init(self, game: Game, params: Params) -> Memory:
        memory: Memory = {
            "direction": self.remember(params),
            "rule": {i: self.rule.init(tree) for i, tree in params.items()},
        }
        if self.schedule is not None:
            if type(self).step is not Composed.step:
                raise UsageError(f"{called(self)} has a step of its own, which follows no schedule: leave it out.")
            memory["step"] = torch.zeros((), dtype=torch.int64, device=leaves(params)[0].device)
        return memory

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        if self.schedule is None:
            return self.play(game, params, memory, draw)
        now = replace(self, lr=self._scheduled(self.schedule, game, params, memory["step"]), schedule=None)
        params, after, info = now.play(game, params, memory, draw)
        return params, {**after, "step": memory["step"] + 1}, info

    def play(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        """The step at the lr of this step. Override it, not ``step``, where no play order is the method's."""
        return self.order(self, game, params, memory, draw)

    def _scheduled(self, schedule: Schedule, game: Game, params: Params, step: Tensor) -> Any:
        """lr at ``step``, for each player."""
        like, own = leaves(params)[0], Evaluator.of(game)
        lr = option_per_player(self.lr, own.players, like, own.members, own.among)
        factor = schedule.factor(step).to(like)
        return {i: x * factor for i, x in lr.items()}

    def move(self, local: LocalGame, params: Params, d: Params, memory: Memory) -> tuple[Params, Memory]:
        """``params`` after the players in ``d`` have moved by -lr * rule(d), projected, and the rules' next memory."""
        steps, after = self.steps(local, params, d, memory)
        return local.project({**params, **sub({i: params[i] for i in d}, steps)}), after

    def steps(self, local: LocalGame, params: Params, d: Params, memory: Memory) -> tuple[Params, Memory]:
        """lr * rule(d) for the players in ``d``, and the rules' next memory. The other players keep theirs."""
        steps, after = self.ruled(params, self._clipped(d, local.ensemble), memory)
        return local.scale(self.lr, steps), after

    def ruled(self, params: Params, d: Params, memory: Memory) -> tuple[Params, Memory]:
        """rule(d) for the players in ``d``, and the rules' next memory."""
        steps, after = {}, dict(memory)
        for i, direction in d.items():
            steps[i], after[i] = self.rule.step(direction, memory[i], params[i])
        return steps, after

    def _clipped(self, d: Params, ensemble: bool) -> Params:
        """``d``, its numbers and then each player's norm within the bounds."""
        if (bound := self.clip_value) is not None:
            d = pointwise(lambda x: clamp(x, bound), d)
        if self.clip_norm is None:
            return d
        norms = {i: norm({i: tree}, ensemble) for i, tree in d.items()}  # (), or (M,)
        most = min(self.clip_norm, torch.finfo(leaves(d)[0].dtype).max)  # a larger bound would be inf there
        return scale(d, {i: most / n.clamp(min=most) for i, n in norms.items()})
