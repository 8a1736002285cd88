"""What a solver promises: a step returns the structure that it is given, and leaves what it is given as it is.

Both are looked at around every step, and so in few operations. A tensor of another shape would be broadcast, one of
another type be saved in a checkpoint that no run can go on from, and a state that was written to would be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter, is_
from typing import Any

import torch
from torch import Tensor

from ..attribution import foreign
from ..errors import PluginError
from ..game.buffers import TYPES, storable
from ..game.checks import contract_error, describe_value
from ..game.game import Game, innermost
from ..game.structure import difference, form
from ..game.tree import Buffers, Params
from ..solver.solver import Memory, Solver, StepInfo
from ..solver.state import State

SMALL = 24  # tensors of a state that is checked in full at every step
OFTEN = 64  # a larger state is checked in full at the first and at every 64th step
INNER = ("iterations", "residual", "converged")  # what the log has room for
_QUICK, _FULL = attrgetter("shape", "dtype"), attrgetter("shape", "dtype", "device", "layout")
_version = attrgetter("_version")


class Contract:
    """Holds the answers of ``solver`` and the refreshes of ``game`` to the structure of the first ``state``."""

    def __init__(self, solver: Solver, game: Game, state: State, members: int | None) -> None:
        self._solver, self._game = solver, game
        own = form(state.params)
        self._form = {"parameters": own, "memory": form(state.memory), "gradient": own}
        self._buffers = form(state.buffers)
        self._axes = torch.Size([] if members is None else [members])
        self._names = {i: tuple(tree) for i, tree in state.params.items()}
        self._keys = [(i, k) for i, tree in state.params.items() for k in tree]
        params, self._memory, memory = [state.params[i][k] for i, k in self._keys], *_flat(state.memory)
        self._quick = list(map(_QUICK, params + memory))
        self._full = list(map(_FULL, params + memory + params))  # of the gradient, too
        self._losses = [(self._axes, params[0].device, True)] * len(self._names)
        self._steps = 0

    # ------------------------------------------------------------------ what a step is given

    def hold(self, state: State) -> None:
        """Remember ``state``, which a step is given next."""
        self._steps += 1
        self._held = _held(state)
        self._versions = _versions(self._held)
        self._thorough = len(self._held) <= SMALL or self._steps % OFTEN == 1

    def require_untouched(self, state: State) -> None:
        """Raise PluginError where the step has written to ``state``, or put other tensors into it."""
        if not (self.whole(state) if self._thorough else _versions(self._held) == self._versions):
            raise self._spoilt()

    def whole(self, state: State) -> bool:
        """Whether ``state`` still is what it was: the same tensors in the same places, never written to."""
        now = _held(state)
        same = len(now) == len(self._held) and all(map(is_, now, self._held))
        return same and _versions(self._held) == self._versions

    def _spoilt(self) -> PluginError:
        solver, game = type(self._solver), type(innermost(self._game))
        module = foreign(self._solver) or foreign(self._game) or solver.__module__
        who = f"the solver {solver.__name__} or the game {game.__name__}"
        if not (foreign(self._solver) and foreign(self._game)) and foreign(self._solver, self._game):
            who = f"the solver {solver.__name__}" if foreign(self._solver) else f"the game {game.__name__}"
        return PluginError(
            f"{who} breaks its contract: a step changed the parameters, memory or buffers that it was given, where it "
            "should return new ones. What they were is lost: the newest checkpoint is an earlier one.",
            module,
        )

    # ------------------------------------------------------------------ what it returns

    def refreshed(self, before: Buffers, after: Any) -> Buffers:
        """``after`` itself. Raises PluginError where a refresh changed more than numbers."""
        if after is not before and (found := form(after)) != self._buffers:
            raise contract_error(
                self._game,
                f"its refresh returned buffers of another structure: {difference(self._buffers, found)}",
            )
        return after

    def answered(self, answer: Any) -> tuple[Params, Memory, StepInfo, list[Tensor]]:
        """``answer``, its parameters and memory in the order they always had, and the memory's tensors.

        Raises PluginError where it is not what a step promises.
        """
        try:
            params, memory, info = answer
            given = sum(map(len, params.values())), sum(map(len, info.gradient.values())), len(info.gradient)
            params = {i: {k: params[i][k] for k in names} for i, names in self._names.items()}
            names, kept = _flat(memory)
            if names != self._memory and len(names) == len(self._memory):  # in another order, perhaps
                memory = _ordered(memory, self._form["memory"])
                names, kept = _flat(memory)
            x, v = [params[i][k] for i, k in self._keys], [info.gradient[i][k] for i, k in self._keys]
            losses = [info.losses[i] for i in params]
            if (
                given == (len(x), len(v), len(params))
                and self._alike(x + kept, v)
                and names == self._memory
                and [(t.shape, t.device, t.is_floating_point()) for t in losses] == self._losses
                and (info.inner == {} or self._inner(info.inner) is None)
            ):
                return params, memory, info, kept
        except (TypeError, ValueError, AttributeError, KeyError, RuntimeError):
            pass
        cls = type(self._solver)
        raise PluginError(f"the solver {cls.__name__} breaks its contract: {self._wrong(answer)}.", cls.__module__)

    def _alike(self, state: list[Tensor], gradient: list[Tensor]) -> bool:
        """Whether tensors are of the kind that they were; device and layout are looked at in a full check only."""
        if self._thorough:
            return list(map(_FULL, state + gradient)) == self._full
        return list(map(_QUICK, state)) == self._quick and all(isinstance(x, Tensor) for x in gradient)

    def _wrong(self, answer: Any) -> str:
        """What is wrong with ``answer``, in words."""
        if not (isinstance(answer, tuple) and len(answer) == 3 and isinstance(answer[2], StepInfo)):
            return f"its step returned a {type(answer).__name__}, not (parameters, memory, StepInfo)"
        params, memory, info = answer
        for what, found in (("parameters", params), ("memory", memory), ("gradient", info.gradient)):
            if (has := form(found)) != self._form[what]:
                return f"its step returned {what} of another structure: {difference(self._form[what], has)}"
        if (inner := self._inner(info.inner)) is not None:
            return inner
        return f"its step returned losses that are not one number for each of {', '.join(params)}"

    def _inner(self, inner: Any) -> str | None:
        """What is wrong with what an inner solve reported; None: nothing."""
        expected = f"expected: a dictionary of tensors of shape {tuple(self._axes)} under {', '.join(INNER)}"
        if not isinstance(inner, Mapping):
            return f"its step returned {describe_value(inner)} as info.inner; {expected}"
        for name, x in inner.items():
            sound = isinstance(x, Tensor) and x.shape in (self._axes, ()) and not x.is_complex()
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


def _held(state: State) -> list[Tensor]:
    """The tensors that a step is given."""
    found: list[Tensor] = []
    for tree in (state.params, state.memory, state.buffers):
        _collect(tree, found)
    return found


def _collect(x: Any, found: list[Tensor]) -> None:
    for v in x.values():
        if isinstance(v, Tensor):
            found.append(v)
        elif isinstance(v, dict):
            _collect(v, found)
        elif isinstance(v, list | tuple):
            _collect(dict(enumerate(v)), found)


def _versions(held: list[Tensor]) -> list[int]:
    """How often each was written to; in inference mode nobody counts."""
    try:
        return list(map(_version, held))
    except RuntimeError:
        return []


def _flat(x: Any) -> tuple[list[str], list[Any]]:
    """The names of nested dictionaries and what is in them, in the order in which they stand."""
    names: list[str] = []
    found: list[Any] = []
    _walk(x, names, found)
    return names, found


def _walk(x: Any, names: list[str], found: list[Any]) -> None:
    names += x
    for v in x.values():
        if isinstance(v, dict):
            _walk(v, names, found)
        else:
            found.append(v)


def _ordered(x: Any, form: Any) -> Any:
    """``x`` with its names in the order of ``form``."""
    return {k: _ordered(x[k], f) for k, f in form.items()} if isinstance(form, dict) else x
