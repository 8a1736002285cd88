"""The narrow waist: a solver turns the state of a run into the next one, and most are composed of three choices."""

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
    """What a step saw: each player's loss, v as first evaluated, and what the inner solve reported.

    ``inner`` may hold "iterations", "residual" and "converged", each a scalar or one value per member.
    """

    losses: dict[Player, Tensor]
    gradient: Params
    inner: dict[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def at(local: LocalGame, **inner: Tensor) -> StepInfo:
        return StepInfo(local.losses(), local.gradient(), inner)


class Solver(ABC):
    """A method of play. A frozen dataclass whose fields are its options; ``step`` is pure but for ``draw``."""

    period: int = 1
    """Steps after which what the solver does repeats: the update map is that of one period."""

    unconstrained: str = ""
    """Why the method has no meaning where a game or a regularizer projects, as "its step is ..."; such games are then
    refused. By default it has one: Composed projects every move, and after any solver's step the loop projects, which
    is right where a solution, theta = P(theta - lr v), is a fixed point of the step. ``counterplay check`` tries it."""

    def init(self, game: Game, params: Params) -> Memory:
        """The memory before the first step: nested dictionaries of tensors, zeros, of a structure that stays."""
        return {}

    @abstractmethod
    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        """The next parameters and memory. ``draw()`` gives a batch; call it once, or once per move."""


def suited(solver: Solver, game: Game) -> None:
    """Raise UsageError where ``game`` has strategy sets and ``solver``, or a regularizer, no meaning on them."""
    for method in (solver, *regularizers_of(game)):
        if method.unconstrained and game.projects:
            raise UsageError(
                f"{type(method).__name__} knows no strategy sets, and the game or a regularizer projects onto one: "
                f"{method.unconstrained}. Use simgd, altgd, extragradient, past-extragradient or ogda there."
            )


class Order(Protocol):
    """Who sees whom: one step of a composed solver, from its direction and its rule."""

    def __call__(
        self, solver: Composed, game: Game, params: Params, memory: Memory, draw: Draw
    ) -> tuple[Params, Memory, StepInfo]: ...


def simultaneous(
    solver: Composed, game: Game, params: Params, memory: Memory, draw: Draw
) -> tuple[Params, Memory, StepInfo]:
    """Everyone moves at once, seeing where the others stood."""
    local = LocalGame.of(game, params, draw())
    d, own = solver.directed(local, memory["direction"])
    params, rule = solver.move(local, params, d, memory["rule"])
    return params, {"direction": own, "rule": rule}, StepInfo.at(local)


@dataclass(frozen=True)
class Composed(Solver):
    """direction x step rule x play order: theta - lr * rule(direction), played in some order."""

    lr: StepSize = option(0.01, "step size: a number, one per player, or one per member")
    rule: Rule = option(Rule.parse("sgd"), "step rule: sgd, momentum, rmsprop, adam or adamw, with its settings")

    @property
    def order(self) -> Order:
        return simultaneous

    def direction(self, local: LocalGame) -> Params:
        """What to step along: v, or v and more."""
        return local.gradient()

    def directed(self, local: LocalGame, memory: Memory) -> tuple[Params, Memory]:
        """The same for directions that remember (optimism)."""
        return self.direction(local), memory

    def remember(self, params: Params) -> Memory:
        """The first memory of such a direction."""
        return {}

    def init(self, game: Game, params: Params) -> Memory:
        return {"direction": self.remember(params), "rule": {i: self.rule.init(tree) for i, tree in params.items()}}

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        return self.order(self, game, params, memory, draw)

    def move(self, local: LocalGame, params: Params, d: Params, memory: Memory) -> tuple[Params, Memory]:
        """params - lr * rule(d) for the players in ``d``, projected; the others, and their memory, stay."""
        steps, after = self.steps(local, params, d, memory)
        return local.project({**params, **sub({i: params[i] for i in d}, steps)}), after

    def steps(self, local: LocalGame, params: Params, d: Params, memory: Memory) -> tuple[Params, Memory]:
        """lr * rule(d) for the players in ``d``, and the rules' memory after it."""
        steps, after = {}, dict(memory)
        for i, direction in d.items():
            steps[i], after[i] = self.rule.step(direction, memory[i], params[i])
        return local.scale(self.lr, steps), after
