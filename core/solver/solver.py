"""Solvers: a solver turns the state of a run into the next one. Most are composed of three choices.

    theta <- theta - lr * rule(direction)

The direction is a function of the game at a point, the step rule turns it into a step, and the play order says which
players move when. Everything around a solver relies on this one interface: ``step`` is a pure function of the state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from ..derivatives.local import LocalGame
from ..errors import UsageError
from ..game.game import Game, regularizers_of
from ..game.tree import Batch, Params, Player, sub
from ..options import StepSize, option
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
                f"{type(method).__name__} knows no strategy sets, and the game or a regularizer projects onto one: "
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
    """theta - lr * rule(direction), in some play order. A subclass defines ``direction``, and perhaps ``order``."""

    lr: StepSize = option(0.01, "step size: a number, one per player, or one per member")
    rule: Rule = option(Rule.parse("sgd"), "step rule: sgd, momentum, rmsprop, adam or adamw, with its settings")

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

    def init(self, game: Game, params: Params) -> Memory:
        return {"direction": self.remember(params), "rule": {i: self.rule.init(tree) for i, tree in params.items()}}

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        return self.order(self, game, params, memory, draw)

    def move(self, local: LocalGame, params: Params, d: Params, memory: Memory) -> tuple[Params, Memory]:
        """``params`` after the players in ``d`` have moved by -lr * rule(d), projected, and the rules' next memory."""
        steps, after = self.steps(local, params, d, memory)
        return local.project({**params, **sub({i: params[i] for i in d}, steps)}), after

    def steps(self, local: LocalGame, params: Params, d: Params, memory: Memory) -> tuple[Params, Memory]:
        """lr * rule(d) for the players in ``d``, and the rules' next memory. The other players keep theirs."""
        steps, after = {}, dict(memory)
        for i, direction in d.items():
            steps[i], after[i] = self.rule.step(direction, memory[i], params[i])
        return local.scale(self.lr, steps), after
