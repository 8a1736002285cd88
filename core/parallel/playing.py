"""What changes in a run where several processes play it together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..collective import Ranks
from ..derivatives.evaluator import Evaluator
from ..loop.loop import Progress
from ..loop.observers import Every, Observer
from ..solver.state import State
from .agreement import COMPARE_EVERY, SameNumbers, agreed_stop
from .proof import require_split
from .split_evaluator import SplitEvaluator


@dataclass(frozen=True)
class Playing:
    """What a loop is given besides solver and settings: ``game`` is what the solver plays, ``whole`` is measured."""

    whole: Evaluator
    game: Evaluator
    observers: Sequence[Observer] = ()
    progress: Progress | bool | None = None
    stop: Callable[[], bool] | None = None

    def over(self, ranks: Ranks | None, state: State) -> Playing:
        """The same, played by ``ranks`` together from ``state``. Raises UsageError if the game cannot be split."""
        if ranks is None:
            return self
        require_split(ranks, self.whole, state)
        split, agreeing = SplitEvaluator.over(ranks, self.whole), Every(COMPARE_EVERY, SameNumbers(ranks))
        observers, progress = (self.observers, self.progress) if ranks.first else ((), False)
        return Playing(self.whole, split, [*observers, agreeing], progress, agreed_stop(ranks, self.stop))
