"""What a step promises: to leave what it is given as it is, and to give back state of the structure it had."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from typing import Any

import torch
from torch import Tensor

from .answers import broken, told
from .blame import foreign
from .errors import PluginError
from .game import Game, innermost
from .solver import Memory, Solver, StepInfo
from .state import State, tensors
from .tree import Buffers, Params

INNER = ("iterations", "residual", "converged")  # what the log has room for


class Contract:
    """Holds each answer of a solver to the structure of its first parameters, memory and buffers.

    Looked at after every step, and so in few operations: a tensor of another shape would be broadcast, and one of
    another type be saved in checkpoints that nothing can go on from.
    """

    def __init__(self, solver: Solver, game: Game, state: State, members: int | None) -> None:
        self.solver, self.game = solver, game
        self.own, self.buffers = _form(state.params), _form(state.buffers)
        self.form = {"parameters": self.own, "memory": _form(state.memory), "gradient": self.own}
        self.axes = torch.Size([] if members is None else [members])
        self.names = {i: tuple(tree) for i, tree in state.params.items()}
        self.keys = [(i, k) for i, tree in state.params.items() for k in tree]
        own, self.memory, kept = [state.params[i][k] for i, k in self.keys], *_flat(state.memory)
        self.kinds = [(x.shape, x.dtype, x.device, x.layout) for x in own + own + kept]
        self.loss = [(self.axes, own[0].device, True)] * len(self.names)

    def hold(self, state: State) -> None:
        """Remember how the state is that a step is given."""
        self.held = _held(state)
        self.versions = _versions(self.held)

    def whole(self, state: State) -> bool:
        """Whether it still is: the same tensors, none of them written to."""
        now = _held(state)
        return len(now) == len(self.held) and all(map(is_, now, self.held)) and _versions(now) == self.versions

    def spoilt(self) -> PluginError:
        """What to say where it is not."""
        solver, game = type(self.solver), type(innermost(self.game))
        module = foreign(self.solver) or foreign(self.game) or solver.__module__
        who = f"the solver {solver.__name__} or the game {game.__name__}"
        if not (foreign(self.solver) and foreign(self.game)) and foreign(self.solver, self.game):
            who = f"the solver {solver.__name__}" if foreign(self.solver) else f"the game {game.__name__}"
        return PluginError(
            f"{who} breaks its contract: a step changed the parameters, memory or buffers that it was given, where it "
            "should return new ones. What they were is lost: the newest checkpoint is an earlier one.",
            module,
        )

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
                and [(t.shape, t.dtype, t.device, t.layout) for t in x + v + kept] == self.kinds
                and names == self.memory
                and [(t.shape, t.device, t.is_floating_point()) for t in losses] == self.loss
                and (info.inner == {} or self._inner(info.inner) is None)
            ):
                return params, memory, info, kept
        except (TypeError, ValueError, AttributeError, KeyError, RuntimeError):
            pass
        raise self.broken(answer)

    def projected(self, params: Params, after: Params) -> Params:
        """``after`` itself. Raises PluginError where a projection changed more than numbers."""
        if after is not params and _form(after) != self.own:
            raise PluginError(
                "the projection after the step, a regularizer's or the game's, returned parameters of another "
                f"structure: {_difference(self.own, _form(after))}.",
                foreign(self.game),
            )
        return after

    def refreshed(self, buffers: Buffers, after: Any) -> Buffers:
        """``after`` itself. Raises PluginError where a refresh changed more than numbers."""
        if after is not buffers and (found := _form(after)) != self.buffers:
            raise broken(
                self.game,
                f"its refresh returned buffers of another structure: {_difference(self.buffers, found)}",
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
            if (has := _form(found)) != self.form[what]:
                return f"its step returned {what} of another structure: {_difference(self.form[what], has)}"
        if (inner := self._inner(info.inner)) is not None:
            return inner
        return f"its step returned losses that are not one number for each of {', '.join(params)}"

    def _inner(self, inner: Any) -> str | None:
        """What is wrong with what an inner solve reported; None: nothing."""
        expected = f"expected: a dictionary of tensors of shape {tuple(self.axes)} under {', '.join(INNER)}"
        if not isinstance(inner, Mapping):
            return f"its step returned {told(inner)} as info.inner; {expected}"
        for name, x in inner.items():
            sound = isinstance(x, Tensor) and x.shape in (self.axes, ()) and not x.is_complex()
            if not sound or name not in INNER:
                return f"its step returned {told(x)} as info.inner[{name!r:.40}]; {expected}"
        return None


def memory_of(solver: Solver, memory: Any) -> Memory:
    """The first memory itself. Raises PluginError unless it is nested dictionaries of tensors."""
    for x in (memory, *_flat(memory)[1]) if isinstance(memory, dict) else ():
        if not isinstance(x, dict | Tensor):
            break
    else:
        if isinstance(memory, dict):
            return memory
        x = memory
    cls = type(solver)
    raise PluginError(
        f"the solver {cls.__name__} breaks its contract: its init returned {told(x)}"
        f"{'' if x is memory else ' in its memory'}; expected: nested dictionaries of tensors.",
        cls.__module__,
    )


def _flat(x: Any) -> tuple[list[str], list[Tensor]]:
    """The names of nested dictionaries and what is in them, in the order in which they stand."""
    names: list[str] = []
    found: list[Tensor] = []
    for k, v in x.items():
        names.append(k)
        if isinstance(v, dict):
            if v:
                below = _flat(v)
                names += below[0]
                found += below[1]
        else:
            found.append(v)
    return names, found


def _ordered(x: Any, form: Any) -> Any:
    """``x`` with its names in the order of ``form``."""
    return {k: _ordered(x[k], f) for k, f in form.items()} if isinstance(form, dict) else x


def _held(state: State) -> list[Tensor]:
    """The tensors that a step is given."""
    found = [x for tree in state.params.values() for x in tree.values()]
    if state.memory:
        found += _flat(state.memory)[1]
    return found + tensors(state.buffers) if state.buffers else found


def _versions(tensors: list[Tensor]) -> list[int]:
    """How often each was written to; in inference mode nobody counts."""
    try:
        return [x._version for x in tensors]
    except RuntimeError:
        return []


def _form(x: Any) -> Any:
    """Names, shapes, types and places of nested dictionaries of tensors."""
    if isinstance(x, dict):
        return {k: _form(v) for k, v in x.items()}
    return (x.shape, x.dtype, x.device, x.layout) if isinstance(x, Tensor) else type(x)


def _difference(had: Any, has: Any, path: str = "") -> str:
    """The first difference of two forms, in words."""
    if isinstance(had, dict) and isinstance(has, dict):
        k = next(k for k in {**had, **has} if had.get(k) != has.get(k))
        return _difference(had.get(k), has.get(k), f"{path}/{k}".lstrip("/"))
    return f"{path or 'all of it'} is {_words(has)}; expected: {_words(had)}"


def _words(form: Any) -> str:
    if isinstance(form, tuple):
        shape, dtype, device, layout = form
        kind = "" if layout is torch.strided else f", {str(layout).removeprefix('torch.')}"
        place = "" if device.type == "cpu" else f" on {device}"
        return f"a tensor of shape {tuple(shape)} and type {str(dtype).removeprefix('torch.')}{kind}{place}"
    if isinstance(form, dict):
        return f"a dictionary of {', '.join(map(str, form)) or 'nothing'}"
    return "missing" if form is None else f"a {form.__name__}"
