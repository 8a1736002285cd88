"""The contract of a step: it returns tensors of the structure that it was given, and does not modify what it was given.

Both are checked around every step, in few operations; and sometimes, that it draws no random numbers but those of its
batch. Without the checks a tensor of another shape would be broadcast, a checkpoint with another structure could not be
resumed from, a state that a step has modified would be lost, and a run could not be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter, is_
from typing import Any

import torch
from torch import Tensor

from ..attribution import foreign
from ..derivatives.evaluator import Evaluator
from ..errors import PluginError
from ..game.buffers import TYPES, storable
from ..game.checks import contract_error, describe_value
from ..game.game import Game, innermost
from ..game.structure import describe_difference, form
from ..game.tree import Batch, Buffers, Params
from ..solver.solver import Draw, Memory, Solver, StepInfo
from ..solver.state import State
from .global_randomness import drawn_from
from .observers import Seen

ALWAYS_FULL = 24  # a state of at most so many tensors is checked in full at every step
FULL_CHECK_EVERY = 64  # a larger state is checked in full at the first and at every 64th step
INNER = ("iterations", "residual", "converged")  # what an inner solve may report: the log has a variable for each
_QUICK, _FULL = attrgetter("shape", "dtype"), attrgetter("shape", "dtype", "device", "layout")
_version = attrgetter("_version")


class StepContract:
    """Checks the steps of ``solver`` and the refreshed buffers of ``game``: all must have the structure of ``state``.

    Around each step, call :meth:`remember`, :meth:`checked_answer` and :meth:`require_untouched`.
    """

    def __init__(self, solver: Solver, game: Game, state: State, members: int | None) -> None:
        self._solver, self._game = solver, game
        params_form = form(state.params)
        self._form = {"parameters": params_form, "memory": form(state.memory), "gradient": params_form}
        self._buffers = form(state.buffers)
        self._member_shape = torch.Size([] if members is None else [members])  # of a loss
        self._names = {i: tuple(tree) for i, tree in state.params.items()}
        self._keys = [(i, k) for i, tree in state.params.items() for k in tree]
        params = [state.params[i][k] for i, k in self._keys]
        self._memory_names, memory = _flat(state.memory)
        self._quick = list(map(_QUICK, params + memory))
        self._full = list(map(_FULL, params + memory + params))  # the last ones for the gradient, which is like params
        self._losses = [(self._member_shape, params[0].device, True)] * len(self._names)
        self._steps = 0

    # ------------------------------------------------------------------ what a step is given

    def remember(self, state: State) -> None:
        """Remember ``state``, which the next step is given, and how often its tensors have been written to."""
        self._steps += 1
        self._given = given_tensors(state)
        self._versions = version_counters(self._given)
        self._thorough = len(self._given) <= ALWAYS_FULL or self._steps % FULL_CHECK_EVERY == 1

    def require_untouched(self, state: State) -> None:
        """Raise PluginError if the step has written to the tensors of ``state``, or replaced some.

        In a large state that tensors were replaced is seen at every 64th step only.
        """
        if not (self.is_untouched(state) if self._thorough else version_counters(self._given) == self._versions):
            raise self._modified()

    def is_untouched(self, state: State) -> bool:
        """Whether ``state`` is as it was at :meth:`remember`: the same tensors in the same places, not written to."""
        now = given_tensors(state)
        same = len(now) == len(self._given) and all(map(is_, now, self._given))
        return same and version_counters(self._given) == self._versions

    def _modified(self) -> PluginError:
        """The error for a step that modified its state."""
        who, module = self._who()
        return PluginError(
            f"{who} breaks its contract: a step changed the parameters, memory or buffers that it was given, where it "
            "should return new ones. What they were is lost: the newest checkpoint is an earlier one.",
            module,
        )

    def _who(self) -> tuple[str, str]:
        """Whose step it is, in words, and the module: the plugin's if only one of solver and game is one."""
        solver, game = type(self._solver), type(innermost(self._game))
        module = foreign(self._solver) or foreign(self._game) or solver.__module__
        who = f"the solver {solver.__name__} or the game {game.__name__}"
        if not (foreign(self._solver) and foreign(self._game)) and foreign(self._solver, self._game):
            who = f"the solver {solver.__name__}" if foreign(self._solver) else f"the game {game.__name__}"
        return who, module

    def played(self, step: Callable[[Draw], Any], draw: Draw, drawn: list[Batch], game: Evaluator) -> Any:
        """What ``step(draw)`` returns. ``drawn`` are the batches that ``draw`` has given.

        Raises PluginError if it depends on global random numbers, which is tested at the first and every 64th step.
        """
        if self._steps % FULL_CHECK_EVERY != 1:
            return step(draw)
        answer, generator = drawn_from(step, draw, drawn, game, self._steps == 1)
        if generator:
            who, module = self._who()
            raise PluginError(
                f"{who} breaks its contract: a step draws from {generator}, so that a run could not be repeated. "
                "A game draws from the generator that sample is given, and a solver draws nothing.",
                module,
            )
        return answer

    # ------------------------------------------------------------------ what it returns

    def checked_buffers(self, before: Buffers, after: Any) -> Buffers:
        """Return ``after``. Raises PluginError if a refresh changed more than the numbers in the buffers ``before``."""
        if after is not before and (after_form := form(after)) != self._buffers:
            raise contract_error(
                self._game,
                f"its refresh returned buffers of another structure: {describe_difference(self._buffers, after_form)}",
            )
        return after

    def checked_answer(self, answer: Any) -> tuple[Params, Memory, StepInfo, list[Tensor]]:
        """Check what a step returned, and return it: parameters, memory, StepInfo, and the memory's tensors as a list.

        Names in another order are put in the order of the first state. Raises PluginError if the structure is another.
        """
        try:
            params, memory, info = answer
            counts = sum(map(len, params.values())), sum(map(len, info.gradient.values())), len(info.gradient)
            params = {i: {k: params[i][k] for k in names} for i, names in self._names.items()}
            names, memory_tensors = _flat(memory)
            if names != self._memory_names and len(names) == len(self._memory_names):  # perhaps only in another order
                memory = _ordered(memory, self._form["memory"])
                names, memory_tensors = _flat(memory)
            x, v = [params[i][k] for i, k in self._keys], [info.gradient[i][k] for i, k in self._keys]
            losses = [info.losses[i] for i in params]
            if (
                counts == (len(x), len(v), len(params))
                and self._same_kind(x + memory_tensors, v)
                and names == self._memory_names
                and [(t.shape, t.device, t.is_floating_point()) for t in losses] == self._losses
                and (info.inner == {} or self._wrong_inner(info.inner) is None)
            ):
                return params, memory, info, memory_tensors
        except (TypeError, ValueError, AttributeError, KeyError, RuntimeError):
            pass  # the answer has another structure: ``_wrong`` says which
        cls = type(self._solver)
        raise PluginError(f"the solver {cls.__name__} breaks its contract: {self._wrong(answer)}.", cls.__module__)

    def _same_kind(self, state: list[Tensor], gradient: list[Tensor]) -> bool:
        """Whether shapes and dtypes are those of the first state; in a full check also devices and layouts."""
        if self._thorough:
            return list(map(_FULL, state + gradient)) == self._full
        return list(map(_QUICK, state)) == self._quick and all(isinstance(x, Tensor) for x in gradient)

    def _wrong(self, answer: Any) -> str:
        """What is wrong with ``answer``, in words."""
        if not (isinstance(answer, tuple) and len(answer) == 3 and isinstance(answer[2], StepInfo)):
            return f"its step returned a {type(answer).__name__}, not (parameters, memory, StepInfo)"
        params, memory, info = answer
        for what, returned in (("parameters", params), ("memory", memory), ("gradient", info.gradient)):
            if (returned_form := form(returned)) != self._form[what]:
                difference = describe_difference(self._form[what], returned_form)
                return f"its step returned {what} of another structure: {difference}"
        if (wrong := self._wrong_inner(info.inner)) is not None:
            return wrong
        return f"its step returned losses that are not one number for each of {', '.join(params)}"

    def _wrong_inner(self, inner: Any) -> str | None:
        """What is wrong with the report of an inner solve, in words; None: nothing."""
        expected = f"expected: a dictionary of tensors of shape {tuple(self._member_shape)} under {', '.join(INNER)}"
        if not isinstance(inner, Mapping):
            return f"its step returned {describe_value(inner)} as info.inner; {expected}"
        for name, x in inner.items():
            sound = isinstance(x, Tensor) and x.shape in (self._member_shape, ()) and not x.is_complex()
            if not sound or name not in INNER:
                return f"its step returned {describe_value(x)} as info.inner[{name!r:.40}]; {expected}"
        return None


def validated_memory(solver: Solver, memory: Any) -> Memory:
    """Return ``memory``, which ``solver.init`` gave. Raises PluginError unless it is nested dictionaries of tensors."""
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


def given_tensors(state: State | Seen) -> list[Tensor]:
    """The tensors of parameters, memory and buffers, which a step or an observer is given. Fast: it is called often."""
    given: list[Tensor] = []
    for tree in (state.params, state.memory, state.buffers):
        _collect(tree, given)
    return given


def _collect(x: Any, into: list[Tensor]) -> None:
    for v in x.values():
        if isinstance(v, Tensor):
            into.append(v)
        elif isinstance(v, dict):
            _collect(v, into)
        elif isinstance(v, list | tuple):
            _collect(dict(enumerate(v)), into)


def version_counters(given: list[Tensor]) -> list[int]:
    """How often each tensor has been written to. Empty in inference mode, in which torch does not count."""
    try:
        return list(map(_version, given))
    except RuntimeError:
        return []


def _flat(x: Any) -> tuple[list[str], list[Any]]:
    """All names in nested dictionaries, and all leaves, in order."""
    names: list[str] = []
    leaves: list[Any] = []
    _walk(x, names, leaves)
    return names, leaves


def _walk(x: Any, names: list[str], leaves: list[Any]) -> None:
    names += x
    for v in x.values():
        if isinstance(v, dict):
            _walk(v, names, leaves)
        else:
            leaves.append(v)


def _ordered(x: Any, form: Any) -> Any:
    """``x`` with its names in the order that they have in ``form``."""
    return {k: _ordered(x[k], f) for k, f in form.items()} if isinstance(form, dict) else x
