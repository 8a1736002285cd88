"""What changes in a run where several processes play it together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..collective import Ranks
from ..derivatives.evaluator import Evaluator
from ..loop.loop import Progress
from ..loop.observers import Every, Observer
from ..solver.solver import Solver
from ..solver.state import State
from .agreement import COMPARE_EVERY, SameNumbers, agreed_stop
from .member_solver import MemberSolver
from .proof import require_split
from .split_evaluator import SplitEvaluator


@dataclass(frozen=True)
class Playing:
    """What a loop is given besides settings: ``game`` is what ``solver`` plays, ``whole`` is measured."""

    whole: Evaluator
    game: Evaluator
    solver: Solver
    observers: Sequence[Observer] = ()
    progress: Progress | bool | None = None
    stop: Callable[[], bool] | None = None

    def over(self, ranks: Ranks | None, state: State, share_members: bool) -> Playing:
        """The same, played by ``ranks`` together from ``state``: each has some members, or else a share of the batch.

        Raises UsageError if it should have a share of the batch, and the game cannot be split.
        """
        if ranks is None:
            return self
        game, solver = self.whole, self.solver
        if share_members and (game.members or 0) >= ranks.count:
            solver = MemberSolver.over(ranks, solver, game, state)
        else:
            require_split(ranks, game, state)
            game = SplitEvaluator.over(ranks, game)
        observers, progress = (self.observers, self.progress) if ranks.first else ((), False)
        agreeing, stop = Every(COMPARE_EVERY, SameNumbers(ranks)), agreed_stop(ranks, self.stop)
        return Playing(self.whole, game, solver, [*observers, agreeing], progress, stop)

    @property
    def not_replayed(self) -> str:
        """What of the losses is not replayed, and why, in sentences; "" if nothing is to be said."""
        game = self.solver.game if isinstance(self.solver, MemberSolver) else self.game
        return game.trace_context.words
