"""What a step promises to give back: parameters and memory of the structure they had, and what it saw."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .errors import PluginError
from .solver import Memory, Solver, StepInfo
from .state import tensors
from .tree import Params


class Contract:
    """Holds each answer of a solver to the structure of its first parameters and memory.

    Looked at after every step, and so in few operations: a tensor of another shape would be broadcast, and be noticed
    much later or never.
    """

    def __init__(self, solver: Solver, params: Params, memory: Memory, members: int | None) -> None:
        self.solver = solver
        self.own = _form(params)
        self.form = {"parameters": self.own, "memory": _form(memory), "gradient": self.own}
        self.axes = 0 if members is None else 1
        self.names = {i: tuple(tree) for i, tree in params.items()}
        self.shapes = [x.shape for x in tensors(params)]
        self.kept = [x.shape for x in tensors(memory)]

    def __call__(self, answer: Any) -> tuple[Params, Memory, StepInfo, list[Tensor]]:
        """``answer``, its parameters in the order they always had, and the memory's tensors.

        Raises PluginError where it is not what a step promises.
        """
        try:
            params, memory, info = answer
            given, kept = sum(map(len, params.values())), tensors(memory)
            params = {i: {k: params[i][k] for k in names} for i, names in self.names.items()}
            if (
                given == len(self.shapes)
                and [x.shape for x in tensors(params)] == self.shapes
                and [x.shape for x in kept] == self.kept
                and all(info.losses[i].dim() == self.axes for i in params)
                and len(info.gradient) == len(params)
            ):
                return params, memory, info, kept
        except (TypeError, ValueError, AttributeError, KeyError):
            pass
        raise self.broken(answer)

    def projected(self, params: Params, after: Params) -> Params:
        """``after`` itself. Raises PluginError where a projection changed more than numbers."""
        if after is not params and _form(after) != self.own:
            raise PluginError(
                "the projection after the step, a regularizer's or the game's, returned parameters of another "
                f"structure: {_difference(self.own, _form(after))}."
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
        return f"its step returned losses that are not one number for each of {', '.join(params)}"


def _form(x: Any) -> Any:
    """Names, shapes and types of nested dictionaries of tensors."""
    if isinstance(x, dict):
        return {k: _form(v) for k, v in x.items()}
    return (x.shape, x.dtype) if isinstance(x, Tensor) else type(x)


def _difference(had: Any, has: Any, path: str = "") -> str:
    """The first difference of two forms, in words."""
    if isinstance(had, dict) and isinstance(has, dict):
        k = next(k for k in {**had, **has} if had.get(k) != has.get(k))
        return _difference(had.get(k), has.get(k), f"{path}/{k}".lstrip("/"))
    return f"{path or 'all of it'} is {_words(has)}; expected: {_words(had)}"


def _words(form: Any) -> str:
    if isinstance(form, tuple):
        return f"a tensor of shape {tuple(form[0])} and type {str(form[1]).removeprefix('torch.')}"
    if isinstance(form, dict):
        return f"a dictionary of {', '.join(map(str, form)) or 'nothing'}"
    return "missing" if form is None else f"a {form.__name__}"
