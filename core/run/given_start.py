"""Starting points that a user gives: parameters and a solver's memory, in the form that the run needs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..derivatives.evaluator import Evaluator
from ..errors import UsageError
from ..game.buffers import storable
from ..game.checks import describe_value
from ..game.tree import Params
from ..options import called
from ..solver.solver import Memory, Solver


def parameters_from(start: Mapping[str, Mapping[str, Any]], params: Params, game: Evaluator) -> Params:
    """``start`` in the dtype and on the device of ``params``; without an axis of members, a copy for each member.

    Instead of tensors there may be arrays, nested lists and, for a tensor of one number, a number. Raises UsageError if
    it does not fit ``params``.
    """
    like = {f"{i}/{k}": game.member(x, 0) for i, t in params.items() for k, x in t.items()}
    start = {i: {k: _tensor(x, f"{i}/{k}", like.get(f"{i}/{k}")) for k, x in t.items()} for i, t in start.items()}

    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        return {f"{i}/{k}": tuple(x.shape) for i, t in tree.items() for k, x in t.items()}

    given, wanted = shapes(start), shapes(params)
    if game.members is not None and given == {k: s[1:] for k, s in wanted.items()}:
        start = tree_map(lambda x: x.expand(game.members, *x.shape), start)
        given = wanted
    for name in {**wanted, **given}:
        if given.get(name) != wanted.get(name):
            has = f"has shape {given[name]}" if name in given else "is missing"
            want = f"shape {wanted[name]} is expected" if name in wanted else "no such tensor is expected"
            raise UsageError(f"the starting point does not fit this game: {name} {has}, {want}.")
    return {i: {k: start[i][k].detach().to(x).clone() for k, x in t.items()} for i, t in params.items()}


def _tensor(x: Any, name: str, like: Tensor | None) -> Tensor:
    """``x`` as a tensor. A number gets the shape of ``like``, if that holds one number."""
    if isinstance(x, Tensor):
        if storable(x) and not x.is_complex():
            return x
    else:
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            array = np.asarray(x)
            if array.dtype.kind in "biuf":
                found = torch.from_numpy(array.astype(np.float64))
                one = found.dim() == 0 and like is not None and like.numel() == 1
                return found.reshape(like.shape) if one and like is not None else found
    what = describe_value(x) if isinstance(x, Tensor) else f"{x!r:.80}, a {type(x).__name__}"
    raise UsageError(f"the starting point's {name} is {what}; a tensor of real numbers is expected.")


def memory_from(memory: Any, first: Memory, solver: Solver, game: Evaluator) -> Memory:
    """``memory`` in the dtypes and on the device of ``first``, the first memory of ``solver``; copied for each member.

    Raises UsageError if its structure is not that of ``first``: then it is the memory of another solver.
    """
    return _filled(memory, first, game.members, f"the memory does not fit the solver {called(solver)}:", "")


def _filled(given: Any, own: Any, members: int | None, what: str, path: str) -> Any:
    if isinstance(own, Mapping):
        if not isinstance(given, Mapping):
            raise UsageError(f"{what} {path or 'it'} is a {type(given).__name__}, a dictionary is expected.")
        for k in {**given, **own}:
            if k not in own or (k not in given and isinstance(own[k], Tensor)):  # checkpoints keep no empty dictionary
                raise UsageError(f"{what} {path}{k} is {'not expected' if k not in own else 'missing'}.")
        return {k: _filled(given.get(k, {}), x, members, what, f"{path}{k}/") for k, x in own.items()}
    name = path.rstrip("/")
    if not isinstance(given, Tensor) or given.is_floating_point() != own.is_floating_point() or given.is_complex():
        has = str(given.dtype).removeprefix("torch.") if isinstance(given, Tensor) else type(given).__name__
        raise UsageError(f"{what} {name} is of type {has}, {str(own.dtype).removeprefix('torch.')} is expected.")
    if members is not None and given.shape == own.shape[1:] and own.dim():
        given = given.expand(own.shape)
    if given.shape != own.shape:
        raise UsageError(f"{what} {name} has shape {tuple(given.shape)}, {tuple(own.shape)} is expected.")
    return given.detach().to(own).clone()
