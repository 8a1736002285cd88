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


def leaves(params: Params) -> list[Tensor]:
    """All tensors, in the order of players and names."""
    return [x for tree in params.values() for x in tree.values()]


def like(params: Params, tensors: Sequence[Tensor]) -> Params:
    """``tensors`` in the structure of ``params``: the inverse of :func:`leaves`."""
    it = iter(tensors)
    return {i: {k: next(it) for k in tree} for i, tree in params.items()}


def add(x: Params, y: Params) -> Params:
    """x + y."""
    return tmap(torch.add, x, y)


def sub(x: Params, y: Params) -> Params:
    """x - y."""
    return tmap(torch.sub, x, y)


def neg(x: Params) -> Params:
    """-x."""
    return tmap(torch.neg, x)


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
    if isinstance(s, Mapping):
        return {i: {k: per_member(s[i], t) * t for k, t in tree.items()} for i, tree in x.items()}
    return tmap(lambda t: per_member(s, t) * t, x)


def clamp(x: Tensor, bound: float) -> Tensor:
    """``x`` with each number brought into [-bound, bound]; ``x`` where its type has no number as large as ``bound``."""
    return x.clamp(-bound, bound) if bound <= torch.finfo(x.dtype).max else x


def dot(x: Params, y: Params, ensemble: bool = False) -> Tensor:
    """The inner product <x, y> over all players: a scalar, or for an ensemble (M,)."""
    terms = [_dot(a, b, ensemble) for a, b in zip(leaves(x), leaves(y), strict=True)]
    return torch.stack(terms).sum(0)


def _dot(a: Tensor, b: Tensor, ensemble: bool) -> Tensor:
    return (a * b).reshape(a.shape[0], -1).sum(1) if ensemble else torch.dot(a.flatten(), b.flatten())


def norm(x: Params, ensemble: bool = False) -> Tensor:
    """The Euclidean norm over all players: a scalar, or for an ensemble (M,)."""
    if ensemble:
        return torch.stack([torch.linalg.vector_norm(t.reshape(t.shape[0], -1), dim=1) for t in leaves(x)]).norm(dim=0)
    return torch.stack(torch._foreach_norm(leaves(x))).norm()


def setting(
    value: Setting, players: Sequence[Player], like: Tensor, members: int | None = None
) -> dict[Player, float | Tensor]:
    """A solver's numeric option for each player: a number, or a tensor (M,) with one number for each member.

    Tensors get the dtype and device of ``like``. Raises UsageError if a player is missing or unknown, or if a list does
    not have one number for each member.
    """

    def number(v: float | list[float]) -> float | Tensor:
        if isinstance(v, Tensor):
            return v  # while the step is traced, the number of one member is a tensor
        if not isinstance(v, list | tuple):
            return float(v)
        if len(v) != members:
            have = "this run has no members (--members)" if members is None else f"this run has {members} members"
            raise UsageError(
                f"an option lists {len(v)} numbers, one per member, but {have}; give a list as long as that."
            )
        return torch.as_tensor(v, dtype=like.dtype, device=like.device)

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
