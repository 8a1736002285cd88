"""A step that draws from a global random generator is found when it is played: a run of it could not be repeated."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ..derivatives.evaluator import Evaluator
from ..game.tree import Batch
from ..solver.solver import Draw


def drawn_from(
    step: Callable[[Draw], Any], draw: Draw, drawn: list[Batch], game: Evaluator, first: bool
) -> tuple[Any, str]:
    """What ``step(draw)`` returns, and the global generator on which it depends, in words; "" if on none.

    ``drawn`` are the batches that the step has drawn so far, which ``draw`` appends to. Numpy and Python, whose states
    take longer to read, are looked at with ``first`` only. If a state has changed, the step is taken once more with the
    same batches: another thread may have drawn, or the game where inexact data are allowed, and neither matters here.
    """
    before = _states(first)
    answer = step(draw)
    after = _states(first)
    changed = next((name for name in before if not _equal(before[name], after[name])), "")
    if changed:
        spent, batches = game.cost.spent, iter(list(drawn))
        try:
            again = step(lambda: next(batches))
        except Exception:  # what it drew, or how often, has made the difference
            return answer, changed
        finally:
            game.cost.spent = spent
        if _same_state(answer, again):
            changed = ""
    return answer, changed


def _states(all_of_them: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"torch's global random numbers": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        found["torch's global random numbers on the GPU"] = torch.cuda.get_rng_state()
    if all_of_them:
        of_numpy: Any = np.random.get_state()
        found["numpy's global random numbers"] = (of_numpy[1].tobytes(), *of_numpy[2:])
        found["Python's global random numbers"] = random.getstate()
    return found


def _equal(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)


def _same_state(a: Any, b: Any) -> bool:
    """Whether two answers of a step have the same parameters and memory, bit for bit. Malformed ones count as such."""
    try:
        (x, y), (u, w) = a[:2], b[:2]
        pairs = list(zip(tree_leaves([x, y]), tree_leaves([u, w]), strict=True))
        return all(torch.equal(p.nan_to_num(), q.nan_to_num()) for p, q in pairs)
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return True  # the contract will say what is wrong with it
