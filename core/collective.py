"""Sums over the processes of a run that torch.func can differentiate, and what losses see of the other processes.

A tensor is *common* if all processes hold the same numbers, as parameters and losses are, and each process's *own* if
they differ, as shares of a batch do. Two linear functions, adjoint to each other, lead from one to the other:

    total    own to common     the sum over all processes; its adjoint is spread
    spread   common to own     the same numbers; its adjoint is total

With them derivatives of every order are exact, in reverse and forward mode and under vmap: Shoeybi et al. (2019, arXiv
1909.08053), Fig. 3, call them g and f. What is computed from the samples of all processes inside a loss, as a mean
over the batch, is spread(total(x)).

A loss that sees more than the mean over its samples gets it here: :func:`batch_mean`, :func:`whole_batch`. In a single
process, and where no batch is split, these are the mean over the batch and the batch itself.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from .errors import Interrupted, UsageError


class ProcessLost(Interrupted):
    """Another process of the run has ended, so that it cannot go on. It can be resumed."""


@dataclass(eq=False)
class Ranks:
    """The processes of a run: this one's number ``rank`` among ``count``, in the process group ``group``."""

    rank: int
    count: int
    group: str = ""
    device: str = "cpu"  # on which the tensors of messages are
    wish: float = 0.0  # 1 if this process is asked to stop; it travels with the next sum
    wishes: Tensor | None = field(default=None, repr=False)  # how many processes were, at the last sum

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def sum(self, x: Tensor) -> Tensor:
        """The sum of ``x`` over all processes, without a derivative. Raises ProcessLost."""
        functional: Any = torch.ops._c10d_functional
        try:
            summed: Tensor = functional.wait_tensor(functional.all_reduce(x.contiguous(), "sum", self.group))
        except RuntimeError as error:
            raise ProcessLost("another process of this run has ended.") from error
        return summed

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all processes, one below the other; this one's are ``rows`` (counts[rank], ...)."""
        functional: Any = torch.ops._c10d_functional
        filled = torch.cat([rows, rows.new_zeros(max(counts) - len(rows), *rows.shape[1:])])
        try:
            message = functional.all_gather_into_tensor(filled, self.count, self.group)
            found: Tensor = functional.wait_tensor(message)
        except RuntimeError as error:
            raise ProcessLost("another process of this run has ended.") from error
        return torch.cat([part[:n] for part, n in zip(found.split(max(counts)), counts, strict=True)])

    def total(self, tree: Any) -> Any:
        """The sum of each tensor in ``tree`` over all processes, in one message; common, and differentiable."""
        return self._packed(lambda x: _Total.apply(x, self), tree)

    def spread(self, tree: Any) -> Any:
        """The common tensors in ``tree`` as this process's own."""
        return self._packed(lambda x: _Spread.apply(x, self), tree)

    def total_of_step(self, tree: Any) -> Any:
        """As :meth:`total`, for results that are not differentiated; the wishes to stop are added up along with it."""
        leaves, form = tree_flatten(tree)
        like = leaves[0]
        flat = torch.cat([*(x.reshape(-1) for x in leaves), like.new_full((1,), self.wish)])
        *parts, self.wishes = self.sum(flat).split([*(x.numel() for x in leaves), 1])
        # Copies, so that none keeps the memory of all.
        found = [part.reshape(x.shape).to(x.dtype, copy=True) for part, x in zip(parts, leaves, strict=True)]
        return tree_unflatten(found, form)

    @staticmethod
    def _packed(function: Any, tree: Any) -> Any:
        leaves, form = tree_flatten(tree)
        flat = function(torch.cat([x.reshape(-1) for x in leaves]))
        parts = flat.split([x.numel() for x in leaves])
        found = [part.reshape(x.shape).to(x.dtype) for part, x in zip(parts, leaves, strict=True)]
        return tree_unflatten(found, form)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, ranks: Ranks) -> Tensor:
        return ranks.sum(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Ranks], output: Tensor) -> None:
        ctx.ranks = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, None]:
        return _Spread.apply(grads[0], ctx.ranks), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _Total.apply(tangents[0], ctx.ranks)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, ranks: Ranks) -> tuple[Any, Any]:
        return _Total.apply(x, ranks), in_dims[0]


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, ranks: Ranks) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Ranks], output: Tensor) -> None:
        ctx.ranks = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, None]:
        return _Total.apply(grads[0], ctx.ranks), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _Spread.apply(tangents[0], ctx.ranks)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, ranks: Ranks) -> tuple[Any, Any]:
        return _Spread.apply(x, ranks), in_dims[0]


@dataclass(frozen=True)
class Share:
    """This process's share of a batch.

    weight   the share of the samples that it is
    places   (samples here, samples in all, those of earlier processes), for each number of samples in the batch
    """

    ranks: Ranks
    weight: float
    places: tuple[tuple[int, int, int], ...]


_current: list[Share] = []  # the share that the losses being evaluated see, innermost last


@contextlib.contextmanager
def seen_by_losses(share: Share) -> Iterator[None]:
    """A context in which losses are evaluated on ``share`` of a batch."""
    _current.append(share)
    try:
        yield
    finally:
        _current.pop()


def batch_mean(x: Tensor, dims: Sequence[int]) -> Tensor:
    """The mean of ``x`` (B, ...) over the axes ``dims``, 0 among them, of the whole batch.

    The axes stay, with length 1. In a split batch the processes may hold different numbers of samples.
    """
    if not _current:
        return x.mean(list(dims), keepdim=True)
    ranks, here = _current[-1].ranks, x.sum(list(dims), keepdim=True)
    counted = torch.cat([here.reshape(-1), here.new_full((1,), math.prod(x.shape[d] for d in dims))])
    everywhere = ranks.spread(ranks.total(counted))
    return (everywhere[:-1] / everywhere[-1]).reshape(here.shape)


def whole_batch(x: Tensor) -> Tensor:
    """``x`` (B, ...), one row a sample, of the whole batch, in its order. Raises UsageError if it is of other rows."""
    if not _current:
        return x
    share = _current[-1]
    place = next((p for p in share.places if p[0] == len(x)), None)
    if place is None:
        known = " or ".join(str(p[0]) for p in share.places)
        raise UsageError(
            f"a loss of all samples got {len(x)} where this process has {known}: one row a sample is expected."
        )
    _, count, before = place
    after = count - before - len(x)
    padded = torch.cat([x.new_zeros(before, *x.shape[1:]), x, x.new_zeros(after, *x.shape[1:])])
    everywhere: Tensor = share.ranks.spread(share.ranks.total(padded))
    return everywhere
