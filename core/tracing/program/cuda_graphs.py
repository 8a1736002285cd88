"""Stages of a program replayed as CUDA graphs: the launches of a stage, hundreds of small ones, become a single one.

A graph reads its inputs from, and writes its results to, memory that stays the same. So each replay copies the inputs
there, and copies of the results are returned. Residuals, which the maps at a point need, are large and not copied. If
another point was evaluated since, the first stage runs again for the point that a map belongs to.

All stages of one program share a memory pool. Programs do not share one: the residuals of one must outlive what others
compute in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

Stage = Callable[..., Any]
WARM = 3  # calls before a stage is captured: programs that are used less often are not worth a graph


class Backend(Protocol):
    """What captures. Tests replace it."""

    def takes(self, tensors: Sequence[Tensor]) -> bool:
        """Whether programs of these tensors, its inputs and those it holds, can be captured."""

    def pool(self) -> Any:
        """A new memory pool."""

    def capture(self, run: Callable[[], Any], pool: Any, device: torch.device) -> tuple[Callable[[], None], Any]:
        """Record what ``run`` launches, and give what replays it and the result that each replay writes anew."""


class Cuda(Backend):
    """Captures by torch.cuda.graph."""

    def takes(self, tensors: Sequence[Tensor]) -> bool:
        return bool(tensors) and all(x.is_cuda for x in tensors) and len({x.device for x in tensors}) == 1

    def pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    def capture(self, run: Callable[[], Any], pool: Any, device: torch.device) -> tuple[Callable[[], None], Any]:
        with torch.cuda.device(device):
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):  # libraries allocate at their first call on a stream: that is no launch
                run()
            here.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                result = run()
        return graph.replay, result


BACKEND: Backend = Cuda()


@dataclass
class Residuals:
    """What the maps at ``point`` need: ``values``, written by replay number ``turn``; None: by no graph."""

    point: list[Tensor]
    values: Any
    turn: int | None


class _Graph:
    """One stage captured, with the memory that it reads its inputs from."""

    def __init__(self, stage: Stage, inputs: Sequence[Tensor], pool: Any, device: torch.device) -> None:
        self.inputs = [x.clone() for x in inputs]
        self.replay, self.result = BACKEND.capture(partial(stage, self.inputs), pool, device)

    def __call__(self, inputs: Sequence[Tensor]) -> Any:
        """The result for ``inputs``, which the next call writes over."""
        if self.inputs:
            torch._foreach_copy_(self.inputs, list(inputs))
        self.replay()
        return self.result


def graphed(
    first: Stage, others: list[Stage], tensors: Sequence[Tensor], report: Callable[[str], None]
) -> tuple[Stage, list[Stage]]:
    """The stages of a program of these ``tensors``, its inputs and those it holds, as CUDA graphs where there can be.

    ``report`` is told why a stage cannot be captured; that stage then runs as before.
    """
    return _Graphs(first, others, tensors[0].device, report).stages if BACKEND.takes(tensors) else (first, others)


class _Graphs:
    """The stages of one program (see ``codegen.replay``), each captured when it has been called often enough."""

    def __init__(
        self, first: Stage, others: Sequence[Stage], device: torch.device, report: Callable[[str], None]
    ) -> None:
        self._first, self._others, self._device, self._report = first, others, device, report
        self._calls = self._turn = 0
        self._pool: Any = None
        self._graphs: dict[int, _Graph | None] = {}  # by number of the stage, -1 for the first; None: it has no graph

    @property
    def stages(self) -> tuple[Stage, list[Stage]]:
        """The stages, with the arguments and results that they had."""
        return self.first, [partial(self.other, k) for k in range(len(self._others))]

    def first(self, point: list[Tensor]) -> tuple[Any, Residuals]:
        """The value at ``point``, and the residuals."""
        self._calls += 1
        graph = self._graph(-1, self._first, point) if self._calls > WARM else None
        if graph is None:
            value, values = self._first(point)
            return value, Residuals(point, values, None)
        value, values = graph(point)
        self._turn += 1
        return _copies(value), Residuals(point, values, self._turn)

    def other(self, k: int, tangent: list[Tensor], kept: Residuals) -> Any:
        """The value of map ``k`` at the point that ``kept`` belongs to."""
        if kept.turn is None:
            return self._others[k](tangent, kept.values)
        if kept.turn != self._turn:
            kept.turn = self.first(kept.point)[1].turn
        graph = self._graph(k, lambda inputs: self._others[k](inputs, kept.values), tangent)
        return self._others[k](tangent, kept.values) if graph is None else _copies(graph(tangent))

    def _graph(self, k: int, stage: Stage, inputs: Sequence[Tensor]) -> _Graph | None:
        """The graph of stage ``k``, captured now if it has none yet; None if it cannot be captured."""
        if k not in self._graphs:
            self._graphs[k] = None
            try:
                self._pool = BACKEND.pool() if self._pool is None else self._pool
                self._graphs[k] = _Graph(stage, inputs, self._pool, self._device)
            except Exception as error:  # an operation that waits for the device, or too little memory
                self._report(f"{type(error).__name__}: {error}".partition("\n")[0].rstrip("."))
        return self._graphs[k]


def _copies(result: Any) -> Any:
    """``result`` with copies of its tensors, made together."""
    given = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
    copies = [torch.empty_like(x) for x in given]
    if given:
        torch._foreach_copy_(copies, given)
    made = iter(copies)
    return tree_map(lambda x: next(made) if isinstance(x, Tensor) else x, result)
