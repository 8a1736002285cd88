"""What a step promises to give back: parameters, memory and buffers of the structure they had, and what it saw."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from ..errors import PluginError
from ..game.buffers import TYPES, storable
from ..game.checks import contract_error, describe_value
from ..game.game import Game
from ..game.structure import difference, form
from ..game.tree import Buffers, Params
from ..solver.solver import Memory, Solver, StepInfo
from ..solver.state import State
from .untouched import FEW

_QUICK, _FULL = attrgetter("shape", "dtype"), attrgetter("shape", "dtype", "device", "layout")
INNER = ("iterations", "residual", "converged")  # what the log has room for


class Contract:
    """Holds each answer of a solver to the structure of its first parameters, memory and buffers.

    Looked at after every step, and so in few operations: a tensor of another shape would be broadcast, and one of
    another type be saved in checkpoints that nothing can go on from.
    """

    def __init__(self, solver: Solver, game: Game, state: State, members: int | None) -> None:
        self.solver, self.game = solver, game
        self.own, self.buffers = form(state.params), form(state.buffers)
        self.form = {"parameters": self.own, "memory": form(state.memory), "gradient": self.own}
        self.axes = torch.Size([] if members is None else [members])
        self.names = {i: tuple(tree) for i, tree in state.params.items()}
        self.keys = [(i, k) for i, tree in state.params.items() for k in tree]
        own, self.memory, kept = [state.params[i][k] for i, k in self.keys], *_flat(state.memory)
        self.quick, self.full = list(map(_QUICK, own + kept)), list(map(_FULL, own + kept + own))
        self.count = 0
        self.loss = [(self.axes, own[0].device, True)] * len(self.names)

    def __call__(self, answer: Any) -> tuple[Params, Memory, StepInfo, list[Tensor]]:
        """``answer``, its parameters and memory in the order they always had, and the memory's tensors.

        Raises PluginError where it is not what a step promises.
        """
        try:
            params, memory, info = answer
            given = sum(map(len, params.values())), sum(map(len, info.gradient.values())), len(info.gradient)
            params = {i: {k: params[i][k] for k in names} for i, names in self.names.items()}
            names, kept = _flat(memory)
            if names != self.memory and len(names) == len(self.memory):  # in another order, perhaps
                memory = _ordered(memory, self.form["memory"])
                names, kept = _flat(memory)
            x, v = [params[i][k] for i, k in self.keys], [info.gradient[i][k] for i, k in self.keys]
            losses = [info.losses[i] for i in params]
            if (
                given == (len(x), len(v), len(params))
                and self._alike(x + kept, v)
                and names == self.memory
                and [(t.shape, t.device, t.is_floating_point()) for t in losses] == self.loss
                and (info.inner == {} or self._inner(info.inner) is None)
            ):
                return params, memory, info, kept
        except (TypeError, ValueError, AttributeError, KeyError, RuntimeError):
            pass
        raise self.broken(answer)

    def refreshed(self, buffers: Buffers, after: Any) -> Buffers:
        """``after`` itself. Raises PluginError where a refresh changed more than numbers."""
        if after is not buffers and (found := form(after)) != self.buffers:
            raise contract_error(
                self.game,
                f"its refresh returned buffers of another structure: {difference(self.buffers, found)}",
            )
        return after

    def broken(self, answer: Any) -> PluginError:
        """What is wrong with ``answer``, in words."""
        cls = type(self.solver)
        return PluginError(f"the solver {cls.__name__} breaks its contract: {self._wrong(answer)}.", cls.__module__)

    def _wrong(self, answer: Any) -> str:
        if not (isinstance(answer, tuple) and len(answer) == 3 and isinstance(answer[2], StepInfo)):
            return f"its step returned a {type(answer).__name__}, not (parameters, memory, StepInfo)"
        params, memory, info = answer
        for what, found in (("parameters", params), ("memory", memory), ("gradient", info.gradient)):
            if (has := form(found)) != self.form[what]:
                return f"its step returned {what} of another structure: {difference(self.form[what], has)}"
        if (inner := self._inner(info.inner)) is not None:
            return inner
        return f"its step returned losses that are not one number for each of {', '.join(params)}"

    def _alike(self, state: list[Tensor], gradient: list[Tensor]) -> bool:
        """Whether the state's tensors are of the kind they were.

        All there is to ask, of the gradient's too, is asked of many tensors at first and now and then only.
        """
        self.count += 1
        if len(self.full) <= FEW or self.count % 64 == 1:
            return list(map(_FULL, state + gradient)) == self.full
        return list(map(_QUICK, state)) == self.quick and all(isinstance(x, Tensor) for x in gradient)

    def _inner(self, inner: Any) -> str | None:
        """What is wrong with what an inner solve reported; None: nothing."""
        expected = f"expected: a dictionary of tensors of shape {tuple(self.axes)} under {', '.join(INNER)}"
        if not isinstance(inner, Mapping):
            return f"its step returned {describe_value(inner)} as info.inner; {expected}"
        for name, x in inner.items():
            sound = isinstance(x, Tensor) and x.shape in (self.axes, ()) and not x.is_complex()
            if not sound or name not in INNER:
                return f"its step returned {describe_value(x)} as info.inner[{name!r:.40}]; {expected}"
        return None


def validated_memory(solver: Solver, memory: Any) -> Memory:
    """The first memory itself. Raises PluginError unless it is nested dictionaries of tensors."""
    odd = [x for x in _flat(memory)[1] if not storable(x)] if isinstance(memory, dict) else [memory]
    if not odd:
        return memory
    cls = type(solver)
    raise PluginError(
        f"the solver {cls.__name__} breaks its contract: its init returned {describe_value(odd[0])}"
        f"{'' if odd[0] is memory else ' in its memory'}; expected: nested dictionaries of tensors of a type "
        f"that a checkpoint keeps: {', '.join(str(t).removeprefix('torch.') for t in TYPES)}.",
        cls.__module__,
    )


def _flat(x: Any) -> tuple[list[str], list[Tensor]]:
    """The names of nested dictionaries and what is in them, in the order in which they stand."""
    names: list[str] = []
    found: list[Tensor] = []
    _walk(x, names, found)
    return names, found


def _walk(x: Any, names: list[str], found: list[Tensor]) -> None:
    names += x
    for v in x.values():
        if isinstance(v, dict):
            _walk(v, names, found)
        else:
            found.append(v)


def _ordered(x: Any, form: Any) -> Any:
    """``x`` with its names in the order of ``form``."""
    return {k: _ordered(x[k], f) for k, f in form.items()} if isinstance(form, dict) else x
