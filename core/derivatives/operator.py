"""Linear operators on joint strategies, such as J, that are known by their products with directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from ..game.tree import Params, Player, ravel, unravel, zeros_like
from .products import LinearMap

CHUNK = 64  # rows of a dense matrix computed by one vmapped product: the fastest size measured; .7 GiB at n = 3,900


@dataclass(frozen=True)
class Operator:
    """A linear map A from directions like ``domain`` to directions like ``range``; one map for each ensemble member.

    ``mv(u)`` is A u and ``rmv(w)`` is A^T w. ``part(rows, cols)`` makes the operator of some players' rows and
    columns; None: it has no blocks.
    """

    mv: LinearMap
    rmv: LinearMap
    range: Params
    domain: Params
    ensemble: bool = False
    part: Callable[[tuple[Player, ...], tuple[Player, ...]], Operator] | None = None

    @property
    def T(self) -> Operator:
        """The adjoint, A^T."""
        part = self.part
        flipped = None if part is None else lambda rows, cols: part(cols, rows).T
        return Operator(self.rmv, self.mv, self.domain, self.range, self.ensemble, flipped)

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
        """The operator without its diagonal blocks: how players act on each other. One product for each player."""
        part, players = self._parts(), tuple(self.range)
        others = {i: tuple(j for j in players if j != i) for i in players}
        rows = {i: part((i,), others[i]) for i in players if others[i]}
        cols = {i: part(others[i], (i,)) for i in players if others[i]}
        zero = zeros_like(self.range) if len(players) == 1 else {}

        def mv(u: Params) -> Params:
            return {i: rows[i].mv({j: u[j] for j in others[i]})[i] if i in rows else zero[i] for i in players}

        def rmv(w: Params) -> Params:
            return {i: cols[i].rmv({j: w[j] for j in others[i]})[i] if i in cols else zero[i] for i in players}

        return Operator(mv, rmv, self.range, self.domain, self.ensemble)

    def vmv(self, x: Tensor) -> Tensor:
        """A x on vectors (..., N_domain), for Krylov methods."""
        return ravel(self.mv(unravel(x, self.domain)), self.ensemble)

    def vrmv(self, y: Tensor) -> Tensor:
        """A^T y on vectors (..., N_range)."""
        return ravel(self.rmv(unravel(y, self.range)), self.ensemble)

    def dense(self) -> Tensor:
        """The matrix (N_range, N_domain), or (M, N_range, N_domain), in the order of ``counterplay.tree.ravel``."""
        y = ravel(self.range, self.ensemble)  # (..., N)
        rows = torch.eye(y.shape[-1], dtype=y.dtype, device=y.device)  # (N, N)
        if self.ensemble:
            rows = rows[:, None, :].expand(-1, y.shape[0], -1)  # (N, M, N)
        matrix = vmap(self.vrmv, chunk_size=CHUNK)(rows)  # (N, [M,] N_domain)
        return matrix.movedim(0, -2)
