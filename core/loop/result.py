"""The result of a run: where it ended and how, and what was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from .. import notebook
from ..derivatives.evaluator import Evaluator
from ..errors import UsageError
from ..game.game import innermost
from ..game.module_games import GameFromModules
from ..game.regularizer import Regularized
from ..game.tree import Buffers, Params, Player
from ..log.history import History
from ..solver.solver import Memory


@dataclass(frozen=True, repr=False)
class Result:
    """The result of a run.

    params, memory   the last finite ones
    status           "converged", "max_steps", "not_converged", "diverged" or "interrupted"
    steps            the number of steps taken to get there
    directory        the run directory, if there is one
    message          a sentence about the end, or ""
    diverged         the members of an ensemble that diverged; each stays at its last finite point
    eager            why steps were not compiled, or losses not replayed, where they should have been, on a GPU as CUDA
                     graphs; else ""
    checks           ``checks["jacobian"]`` says whether J is the derivative of v: its ``status`` is "agrees", "differs"
                     or "unknown", and ``words`` say why
    history          what was recorded, if ``history=True`` was given
    """

    params: Params
    memory: Memory
    status: str
    steps: int
    directory: Path | None
    message: str = ""
    diverged: tuple[int, ...] = ()
    eager: str = ""
    checks: Mapping[str, Any] = field(default_factory=dict)
    history: History | None = None
    played: tuple[Evaluator, Buffers] | None = field(default=None, compare=False)  # the game, and its last buffers

    def modules(self, member: int | None = None, *, batches: int = 100, seed: int = 0) -> dict[Player, nn.Module]:
        """The modules that the game was made of, with trained weights. They are the same objects as before the run.

        The weights are those of which samples and metrics are taken: with the regularizer ema the averages, with
        spectral-norm the weights divided by their norms. Running statistics of normalisation layers in training mode,
        which a game never uses, become the averages over ``batches`` batches drawn from ``seed``. Of an ensemble the
        weights are those of ``member``. Raises UsageError if the game is not made of modules.
        """
        game = None if self.played is None else innermost(self.played[0])
        if self.played is None or not isinstance(game, GameFromModules):
            raise UsageError(
                "there are no modules to hand back: only games of game_from_modules have them, and of a run that had "
                "ended already resume needs its game, solver and regularizers, as far as they were made in Python."
            )
        evaluator, buffers = self.played
        if (member is None) != (evaluator.members is None) or not 0 <= (member or 0) < (evaluator.members or 1):
            has = "is no ensemble" if evaluator.members is None else f"has the members 0 to {evaluator.members - 1}"
            raise UsageError(f"modules: member is {member}, and the run {has}.")
        buffers = evaluator.refresh(self.params, buffers)
        params, buffers = (evaluator.member(x, member or 0) for x in (self.params, buffers))
        if isinstance(evaluator.game, Regularized):
            params = evaluator.game.shown_parameters(params, buffers)[1]
        return game.trained(params, batches=batches, seed=seed)

    def __repr__(self) -> str:
        log = f"; log in {self.directory}" if self.directory else ""
        return f"<Result: {self.status} after {self.steps} steps; {self._sizes()}{log}>"

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        losses = () if self.history is None or "step/losses" not in self.history else self.history["step/losses"][-1:]
        rows = {
            "status": self.status, "steps": self.steps, "message": self.message, "parameters": self._sizes(),
            "losses": "; ".join(map(str, losses)), "diverged members": ", ".join(map(str, self.diverged)),
            "J beside v": self.checks.get("jacobian", {}).get("status", ""), "log": self.directory or "",
        }  # fmt: skip
        return notebook.table("Result", [(name, x) for name, x in rows.items() if x != ""])

    def _sizes(self) -> str:
        """How many numbers the parameters of each player are, those of all members together."""
        return ", ".join(f"{i} has {sum(x.numel() for x in t.values()):,} numbers" for i, t in self.params.items())
