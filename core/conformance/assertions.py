"""Helpers of the conformance checks: small cases in float64, and comparisons that raise `Broken` with a sentence.

No check uses ``assert``, which ``python -O`` would leave out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ..derivatives.evaluator import Evaluator
from ..errors import UserError
from ..game.game import Game
from ..game.tree import Batch, Params, leaves, like, norm, scale
from ..tolerances import TOLERANCES

TOL = TOLERANCES[torch.float64]
Case = tuple[str, Callable[[], str | None]]  # what is returned was seen, and is shown


class Broken(AssertionError):
    """A check found the contract broken; the message says how."""


class Unready(Exception):
    """What is checked cannot be tried here, as a file that it reads is missing: ``error`` says why, for the user."""

    def __init__(self, error: UserError) -> None:
        super().__init__(str(error))
        self.error = error


def require(holds: object, otherwise: str) -> None:
    """Raise `Broken` with the sentence ``otherwise`` unless ``holds``."""
    if not holds:
        raise Broken(otherwise)


def evaluator_of(game: Game, members: int | None = None) -> Evaluator:
    """An evaluator of ``game`` in float64."""
    return Evaluator(game, members, torch.float64)


def start_and_batch(evaluator: Evaluator, seed: int = 0) -> tuple[Params, Batch]:
    """The first parameters of a game and a batch, both drawn from ``seed``."""
    rngs = evaluator.generators(seed)
    params, buffers = evaluator.start(rngs)
    buffers = evaluator.refresh(params, buffers)
    return params, evaluator.draw(rngs, buffers)


def direction(params: Params, seed: int) -> Params:
    """A random direction of norm 1 with the shapes of ``params``."""
    rng = torch.Generator().manual_seed(seed)
    u = like(params, [torch.randn(x.shape, generator=rng, dtype=torch.float64).to(x) for x in leaves(params)])
    return scale(u, 1 / float(norm(u)))


def copied(x: Any) -> Any:
    """``x`` with a copy of every tensor in it."""
    return tree_map(lambda t: t.clone() if isinstance(t, Tensor) else t, x)


def same(a: Any, b: Any) -> bool:
    """Whether the leaves of two nested structures are equal, tensors bit for bit."""
    x, y = tree_leaves(a), tree_leaves(b)
    return len(x) == len(y) and all(
        torch.equal(p, q) if isinstance(p, Tensor) and isinstance(q, Tensor) else p == q
        for p, q in zip(x, y, strict=True)
    )


def close(a: Tensor, b: Tensor, tol: float, what: str, size: float = 0.0) -> None:
    """Raise `Broken` unless |a - b| <= tol · max(1, max |b|, size); ``what`` begins the sentence."""
    error = float((a - b).abs().max()) if a.numel() else 0.0
    bound = tol * max(1.0, float(b.abs().max()) if b.numel() else 0.0, size)
    require(error <= bound, f"{what}: off by {error:.2e}, {bound:.2e} allowed")


def is_pure(f: Callable[..., Any], *args: Any) -> None:
    """Raise `Broken` unless ``f`` gives the same twice, leaves its arguments unchanged and draws no random number."""
    before, state = copied(args), torch.get_rng_state()
    first = copied(f(*args))
    require(same(before, args), "the arguments were changed in place")
    unmoved = torch.equal(state, torch.get_rng_state())
    require(unmoved, "global random numbers were drawn: use the generator or the batch")
    require(same(first, f(*args)), "the same arguments gave another result: something is drawn or kept inside")


def member(many: Any, m: int) -> Any:
    """Member ``m`` of every tensor in ``many``, whose first axis has the members."""
    return tree_map(lambda x: x[m] if isinstance(x, Tensor) and x.dim() else x, many)
