"""An ensemble played by several processes: each takes the step of its own members, and hears of the others'.

The state of a run stays that of all members, in every process. A step of the solver is taken for the own members; the
new parameters and memory, v, the losses and the costs are then gathered in one message, byte for byte. Solvers, and all
that looks at a run, know nothing of it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from ..collective import Ranks
from ..derivatives.evaluator import Evaluator
from ..game.game import Game
from ..game.tree import Params
from ..loop.contract import StepContract
from ..solver.solver import Draw, Memory, Solver, StepInfo
from ..solver.state import State


@dataclass(frozen=True, eq=False)
class MemberSolver(Solver):
    """``solver``, which takes the steps of some members here.

    game      evaluates these members
    members   the numbers of these members
    counts    how many members each process has
    shared    which tensors of the memory have no axis of members, as a step count: they are the same in all processes
    first     the state of these members when the run began
    """

    solver: Solver
    game: Evaluator
    ranks: Ranks
    members: slice
    counts: Sequence[int]
    shared: Any
    first: State
    contract: StepContract

    @staticmethod
    def over(ranks: Ranks, solver: Solver, game: Evaluator, state: State) -> MemberSolver:
        """``solver`` for the members of ``state``, of which each process gets as many as the others, or one more."""
        count = game.members or 0
        bounds = [count * rank // ranks.count for rank in range(ranks.count + 1)]
        own = slice(bounds[ranks.rank], bounds[ranks.rank + 1])
        here = dataclasses.replace(game, members=own.stop - own.start, among=(own.start, count))
        params, buffers = _picked(state.params, own), _picked(state.buffers, own)
        memory = solver.init(here, params)
        shared = tree_map(lambda x, whole: x.shape == whole.shape, memory, state.memory)
        first = dataclasses.replace(state, params=params, memory=memory, buffers=buffers)
        counts = [stop - start for start, stop in itertools.pairwise(bounds)]
        contract = StepContract(solver, here, first, here.members)
        return MemberSolver(solver, here, ranks, own, counts, shared, first, contract)

    def init(self, game: Game, params: Params) -> Memory:
        return self.solver.init(game, params)

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        own = tree_map(lambda x, shared: x if shared else x[self.members], memory, self.shared)
        given = dataclasses.replace(self.first, params=_picked(params, self.members), memory=own)
        self.contract.remember(given)
        answer = self.solver.step(self.game, given.params, own, lambda: _picked(draw(), self.members))
        after, own, info, _ = self.contract.checked_answer(answer)
        inner = {name: x.expand(self._count) for name, x in info.inner.items()}
        noted = torch.tensor([*self.game.cost.spent, self.ranks.wish], dtype=torch.float64, device=self.ranks.device)
        found, form = tree_flatten((after, info.losses, info.gradient, inner, noted.expand(self._count, 4)))
        kept, memory_form = tree_flatten(own)
        of_all = [x for x, shared in zip(kept, tree_leaves(self.shared), strict=True) if not shared]
        whole = self._gathered([*found, *of_all])
        after, losses, gradient, inner, noted = tree_unflatten(whole[: len(found)], form)
        rest = iter(whole[len(found) :])
        now = [x if shared else next(rest) for x, shared in zip(kept, tree_leaves(self.shared), strict=True)]
        gradients, products, samples, wishes = noted.T
        # An inner loop goes on until its last member is done: what counts is the process that has needed most.
        self.game.cost.spent = float(gradients.max()), int(products.max()), int(samples.max())
        self.ranks.wishes = wishes
        return after, tree_unflatten(now, memory_form), StepInfo(losses, gradient, inner)

    @property
    def _count(self) -> int:
        return self.counts[self.ranks.rank]

    def _gathered(self, own: Sequence[Tensor]) -> list[Tensor]:
        """Tensors (n, ...) of this process's members as those (M, ...) of all members."""
        rows = [x.contiguous().reshape(self._count, math.prod(x.shape[1:])).view(torch.uint8) for x in own]
        parts = self.ranks.gather(torch.cat(rows, 1), self.counts).split([row.shape[1] for row in rows], 1)
        return [p.contiguous().view(x.dtype).reshape(-1, *x.shape[1:]) for p, x in zip(parts, own, strict=True)]


def _picked(tree: Any, members: slice) -> Any:
    return tree_map(lambda x: x[members] if isinstance(x, Tensor) else x, tree)
