"""Linear operators on joint strategies, such as J, that are known by their products with directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from ..game.tree import Params, Player, ravel, unravel, zeros_like
from ..tracing.traced import transform_active
from .products import LinearMap

CHUNK = 64  # rows of a dense matrix computed by one vmapped product: the fastest size measured; .7 GiB at n = 3,900


@dataclass(frozen=True)
class Operator:
    """A linear map A from directions like ``domain`` to directions like ``range``; one map for each ensemble member.

    ``mv(u)`` is A u and ``rmv(w)`` is A^T w. ``part(rows, cols)`` makes the operator of some players' rows and
    columns; None: it has no blocks. ``matrix()`` is its matrix; None: it is made by a product for each row.
    """

    mv: LinearMap
    rmv: LinearMap
    range: Params
    domain: Params
    ensemble: bool = False
    part: Callable[[tuple[Player, ...], tuple[Player, ...]], Operator] | None = None
    matrix: Callable[[], Tensor] | None = None

    @property
    def T(self) -> Operator:
        """The adjoint, A^T."""
        part = self.part
        flipped = None if part is None else lambda rows, cols: part(cols, rows).T
        matrix = None if self.matrix is None else lambda: self.dense().mT
        return Operator(self.rmv, self.mv, self.domain, self.range, self.ensemble, flipped, matrix)

    def block(self, i: Player, j: Player) -> Operator:
        """The block of player i's rows and player j's columns: for J, how player j's move changes v_i."""
        return self.between((i,), (j,))

    def between(self, rows: tuple[Player, ...], cols: tuple[Player, ...]) -> Operator:
        """The block of these players' rows and columns. Raises TypeError if the operator has no blocks."""
        return self._parts()(rows, cols)

    def _parts(self) -> Callable[[tuple[Player, ...], tuple[Player, ...]], Operator]:
        if self.part is None:
            raise TypeError("this operator has no player blocks")
        return self.part

    def off_diagonal(self) -> Operator:
        """The operator without its diagonal blocks: how players act on each other. One product for each player.

        Its matrix is made from that of the whole operator, which takes one pass for all players.
        """
        part, players = self._parts(), tuple(self.range)
        others = {i: tuple(j for j in players if j != i) for i in players}
        zero = zeros_like(self.range) if len(players) == 1 else {}

        rows, cols = _kept(lambda i: part((i,), others[i])), _kept(lambda i: part(others[i], (i,)))

        def mv(u: Params) -> Params:
            return {i: rows(i).mv({j: u[j] for j in others[i]})[i] if others[i] else zero[i] for i in players}

        def rmv(w: Params) -> Params:
            return {i: cols(i).rmv({j: w[j] for j in others[i]})[i] if others[i] else zero[i] for i in players}

        def matrix() -> Tensor:
            whole, sizes = self.dense(), [ravel({i: self.range[i]}, self.ensemble).shape[-1] for i in players]
            block = torch.cat([torch.full((n,), k, device=whole.device) for k, n in enumerate(sizes)])
            return torch.where(block[:, None] == block, 0.0, whole)

        return Operator(mv, rmv, self.range, self.domain, self.ensemble, matrix=matrix)

    def vmv(self, x: Tensor) -> Tensor:
        """A x on vectors (..., N_domain), for Krylov methods."""
        return ravel(self.mv(unravel(x, self.domain)), self.ensemble)

    def vrmv(self, y: Tensor) -> Tensor:
        """A^T y on vectors (..., N_range)."""
        return ravel(self.rmv(unravel(y, self.range)), self.ensemble)

    def dense(self) -> Tensor:
        """The matrix (N_range, N_domain), or (M, N_range, N_domain), in the order of ``counterplay.tree.ravel``."""
        if self.matrix is not None:
            return self.matrix()
        y = ravel(self.range, self.ensemble)  # (..., N)
        rows = torch.eye(y.shape[-1], dtype=y.dtype, device=y.device)  # (N, N)
        if self.ensemble:
            rows = rows[:, None, :].expand(-1, y.shape[0], -1)  # (N, M, N)
        matrix = vmap(self.vrmv, chunk_size=CHUNK)(rows)  # (N, [M,] N_domain)
        return matrix.movedim(0, -2)


def _kept(make: Callable[[Player], Operator]) -> Callable[[Player], Operator]:
    """``make``, called once for each player: when it is first used, as not every part of an operator is."""
    known: dict[Player, Operator] = {}

    def get(i: Player) -> Operator:
        if i in known:
            return known[i]
        found = make(i)
        if not transform_active():  # what is made inside a transform of torch.func is not valid outside
            known[i] = found
        return found

    return get
