"""Linear algebra on joint strategies: add, scale, dot, norm, and to and from one vector.

A :data:`Tree` holds one player's parameters, {name: tensor}; :data:`Params` holds those of all players, {player: tree}.
Directions have the type of the points that they move. In an ensemble of M members every tensor has a leading axis M.
Most functions here need not know; :func:`dot`, :func:`norm` and :func:`ravel` give one result for each member if they
are told of it by ``ensemble=True``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from ..errors import UsageError

Player = str
Tree = dict[str, Tensor]
Params = dict[Player, Tree]
Batch = Mapping[str, Any]
Buffers = dict[str, Any]
Setting = float | list[float] | dict[str, float | list[float]]
"""A solver's numeric option: a number, one number for each member, or either of these for each player."""
Factor = float | Tensor | Mapping[Player, "float | Tensor"]


def tmap(f: Callable[..., Tensor], *trees: Params) -> Params:
    """``f`` applied tensor by tensor to joint strategies of one structure."""
    first = trees[0]
    return {i: {k: f(*(t[i][k] for t in trees)) for k in first[i]} for i in first}


def pointwise(f: Callable[..., Tensor], *trees: Params) -> Params:
    """As :func:`tmap`, for a function that acts on each number by itself: on a GPU it is called once, on all numbers.

    There to launch an operation costs more than the operation itself, for all but large tensors.
    """
    if not _launched(trees[0]):
        return tmap(f, *trees)
    lists = [_aligned(trees[0], t) for t in trees]
    if not all(x.is_contiguous() for xs in lists for x in xs):
        return tmap(f, *trees)
    flat = f(*(torch.cat([x.reshape(-1) for x in xs]) for xs in lists)).split([x.numel() for x in lists[0]])
    return like(trees[0], [y.view(x.shape) for y, x in zip(flat, lists[0], strict=True)])


def _together(f: Callable[..., Tensor], many: Callable[..., Sequence[Tensor]], *trees: Params) -> Params:
    """``f`` tensor by tensor; on a GPU ``many``, the same operation of torch for lists of tensors."""
    if not _launched(trees[0]):
        return tmap(f, *trees)
    return like(trees[0], many(*(_aligned(trees[0], t) for t in trees)))


def _aligned(first: Params, x: Params) -> list[Tensor]:
    """The tensors of ``x`` in the order of those of ``first``."""
    return [x[i][k] for i, tree in first.items() for k in tree]


def _launched(x: Params) -> bool:
    """Whether ``x`` is on a GPU, and nothing differentiates, transforms or traces what is computed with it."""
    for tree in x.values():
        for t in tree.values():
            if t.is_cpu:
                return False
            plain = peek_interpreter_stack() is None and not torch._C._len_torch_dispatch_stack()
            return plain and not torch.is_grad_enabled()
    return False


def leaves(params: Params) -> list[Tensor]:
    """All tensors, in the order of players and names."""
    return [x for tree in params.values() for x in tree.values()]


def like(params: Params, tensors: Sequence[Tensor]) -> Params:
    """``tensors`` in the structure of ``params``: the inverse of :func:`leaves`."""
    it = iter(tensors)
    return {i: {k: next(it) for k in tree} for i, tree in params.items()}


def add(x: Params, y: Params) -> Params:
    """x + y."""
    return _together(torch.add, torch._foreach_add, x, y)


def sub(x: Params, y: Params) -> Params:
    """x - y."""
    return _together(torch.sub, torch._foreach_sub, x, y)


def neg(x: Params) -> Params:
    """-x."""
    return _together(torch.neg, torch._foreach_neg, x)


def zeros_like(x: Params) -> Params:
    """Zeros in the structure and shapes of ``x``."""
    return tmap(torch.zeros_like, x)


def per_member(s: float | Tensor, x: Tensor) -> float | Tensor:
    """``s`` in a shape that multiplies ``x`` (M, ...): one number for each member, (M,), becomes (M, 1, ..., 1)."""
    if isinstance(s, Tensor) and s.dim() == 1:
        return s.reshape(-1, *[1] * (x.dim() - 1))
    return s


def scale(x: Params, s: Factor) -> Params:
    """``s x``, where ``s`` is a number, one number for each member (M,), or either of these for each player."""
    if _launched(x):
        return {i: _scaled(tree, s[i] if isinstance(s, Mapping) else s) for i, tree in x.items()}
    if isinstance(s, Mapping):
        return {i: {k: per_member(s[i], t) * t for k, t in tree.items()} for i, tree in x.items()}
    return tmap(lambda t: per_member(s, t) * t, x)


def _scaled(tree: Tree, s: float | Tensor) -> Tree:
    """``s`` times one player's tensors, in one launch for all unless each member has a number of its own."""
    if not tree or (isinstance(s, Tensor) and s.dim() == 1):
        return {k: per_member(s, t) * t for k, t in tree.items()}
    return dict(zip(tree, torch._foreach_mul(list(tree.values()), s), strict=True))


def copied_to_device(x: Tensor, device: torch.device) -> Tensor:
    """``x``, a tensor of the host, on ``device``: from pinned memory, so that the host does not wait for the copy."""
    return x if device.type == "cpu" else x.pin_memory().to(device, non_blocking=True)


def clamp(x: Tensor, bound: float) -> Tensor:
    """``x`` with each number brought into [-bound, bound]; ``x`` where its type has no number as large as ``bound``."""
    return x.clamp(-bound, bound) if bound <= torch.finfo(x.dtype).max else x


def dot(x: Params, y: Params, ensemble: bool = False) -> Tensor:
    """The inner product <x, y> over all players: a scalar, or for an ensemble (M,)."""
    if not ensemble and _launched(x):
        return torch.dot(ravel(x), torch.cat([t.flatten() for t in _aligned(x, y)]))
    terms = [_dot(a, b, ensemble) for a, b in zip(leaves(x), leaves(y), strict=True)]
    return torch.stack(terms).sum(0)


def _dot(a: Tensor, b: Tensor, ensemble: bool) -> Tensor:
    return (a * b).reshape(a.shape[0], -1).sum(1) if ensemble else torch.dot(a.flatten(), b.flatten())


def norm(x: Params, ensemble: bool = False) -> Tensor:
    """The Euclidean norm over all players: a scalar, or for an ensemble (M,)."""
    if ensemble:
        return torch.stack([torch.linalg.vector_norm(t.reshape(t.shape[0], -1), dim=1) for t in leaves(x)]).norm(dim=0)
    return torch.stack(torch._foreach_norm(leaves(x))).norm()


def option_per_player(
    value: Setting,
    players: Sequence[Player],
    like: Tensor,
    members: int | None = None,
    among: tuple[int, int] | None = None,
) -> dict[Player, float | Tensor]:
    """A solver's numeric option for each player: a number, or a tensor (M,) with one number for each member.

    Tensors get the dtype and device of ``like``. Where the members are part of an ensemble, ``among`` is the number of
    the first, and how many there are in all; a list has a number for each of all. Raises UsageError if a player is
    missing or unknown, or if a list does not have one number for each member.
    """
    first, count = (0, members) if among is None else among

    def number(v: float | list[float]) -> float | Tensor:
        if isinstance(v, Tensor):
            return v  # while the step is traced, the number of one member is a tensor
        if not isinstance(v, list | tuple):
            return float(v)
        if members is None or len(v) != count:
            have = "this run has no members (--members)" if members is None else f"this run has {count} members"
            raise UsageError(
                f"an option lists {len(v)} numbers, one per member, but {have}; give a list as long as that."
            )
        return copied_to_device(torch.as_tensor(v[first : first + members], dtype=like.dtype), like.device)

    if not isinstance(value, Mapping):
        return dict.fromkeys(players, number(value))
    missing, unknown = [i for i in players if i not in value], [i for i in value if i not in players]
    if missing or unknown:
        wrong = f"one for {', '.join(unknown)}, who does not play" if unknown else f"none for {', '.join(missing)}"
        each = f"give a number for each of {', '.join(players)}"
        raise UsageError(f"an option set per player, {dict(value)}, has {wrong}: {each}.")
    return {i: number(value[i]) for i in players}


def ravel(x: Params, ensemble: bool = False) -> Tensor:
    """All numbers of ``x`` as one vector (N,), or for an ensemble (M, N), in the order of :func:`leaves`."""
    return torch.cat([t.reshape(t.shape[0], -1) if ensemble else t.flatten() for t in leaves(x)], dim=-1)


def unravel(vector: Tensor, x: Params) -> Params:
    """A vector (N,) or (M, N) in the structure and shapes of ``x``: the inverse of :func:`ravel`."""
    tensors = leaves(x)
    ensemble = vector.dim() == 2
    sizes = [t[0].numel() if ensemble else t.numel() for t in tensors]
    flat = vector.split(sizes, dim=-1)
    return like(x, [f.reshape(t.shape) for f, t in zip(flat, tensors, strict=True)])


def names(x: Params, ensemble: bool = False) -> list[str]:
    """The names of the N numbers of :func:`ravel`: ``player/tensor[index]``, or ``player/tensor`` if it has one."""
    out = []
    for i, tree in x.items():
        for k, t in tree.items():
            count = t[0].numel() if ensemble else t.numel()
            out += [f"{i}/{k}"] if count == 1 else [f"{i}/{k}[{j}]" for j in range(count)]
    return out
