"""A game made ready for play: its field batched over ensemble members, traced on request, and counted.

Everything a solver may ask of a game passes through here once, so solvers never see members, devices or graphs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from ..attribution import foreign, guarded
from ..errors import PluginError
from ..game.buffers import copied
from ..game.checks import (
    contract_error,
    losses_of,
    require_mapping,
    require_one_dtype,
    require_storable,
    validated_parameters,
)  # fmt: skip
from ..game.game import Game, innermost
from ..game.structure import changed
from ..game.tree import Batch, Buffers, Params, Player
from ..seeding import SCHEME, generators
from ..tracing.origin import Clock, Origin
from ..tracing.rewrites.factor_rewrite import rewritten
from ..tracing.traced import Staged, Traced, staged, traced, watched
from .eager import Eager, over_members
from .inner_derivatives import Work, work_of
from .products import Block, Cost, Linear, Product, Rows
from .stacking import Unlike, stacked, tensor


@dataclass(frozen=True)
class Evaluator(Game):
    """``game`` for ``members`` members (None: no ensemble axis), in one dtype on one device.

    With ``trace``, the field and its products are traced once for the shapes at hand and replayed, which removes
    the overhead of torch.func and all dead work: from step ``trace_from`` on, by the ``clock`` of the run, so that
    what a step computes does not depend on how long the run is. Else they are eager and can be differentiated again.
    """

    game: Game
    members: int | None = None
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None
    trace: bool = False
    trace_from: int = 0
    clock: Clock = dataclasses.field(default_factory=Clock, compare=False)
    seeding: int = SCHEME  # how members are seeded
    cost: Cost = dataclasses.field(default_factory=Cost, compare=False)

    @property
    def players(self) -> tuple[Player, ...]:  # type: ignore[override]
        return tuple(self.game.players)

    @property
    def zero_sum(self) -> bool:  # type: ignore[override]
        return self.game.zero_sum

    @property
    def draws(self) -> bool:
        return self.game.draws

    @staticmethod
    def of(game: Game) -> Evaluator:
        return game if isinstance(game, Evaluator) else Evaluator(game)

    # ------------------------------------------------------------------ the members' own random numbers and states

    def generators(self, seed: int) -> list[torch.Generator]:
        """One for each member, or a single one."""
        return generators(seed, self.members, self.seeding)

    def cast(self, tree: Any) -> Any:
        """Move every tensor to the run's device, floating ones to its dtype."""

        def one(x: Any) -> Any:
            x = tensor(x)
            if not isinstance(x, Tensor):
                return x
            return x.to(self.device, self.dtype if x.is_floating_point() else None)

        return tree_map(one, tree)

    def stack_members(self, f: Callable[[int], Any], count: int, what: str = "sample") -> Any:
        """``f(m)`` of the members put together, or just ``f(0)``. Raises PluginError where they do not fit."""
        if self.members is None:
            return self.cast(f(0))
        try:
            return self.cast(stacked([f(m) for m in range(count)]))
        except Unlike as error:
            wrong = f"what its {what} gives for the members cannot be put together: {error}"
            raise contract_error(innermost(self.game), wrong) from None

    def start(self, rngs: Sequence[torch.Generator]) -> tuple[Params, Buffers]:
        """Initial parameters and buffers; member m draws from ``rngs[m]``."""
        game, own = self.game, innermost(self.game)
        with guarded("starting", game, refusing=True):
            params = [validated_parameters(game, game.init(rng)) for rng in rngs]
            buffers = [dict(require_mapping(own, "buffers", game.buffers(rng))) for rng in rngs]
            theta = self.stack_members(params.__getitem__, len(rngs), "init")
            require_one_dtype(own, theta)
            return theta, require_storable(own, self.stack_members(buffers.__getitem__, len(rngs), "buffers"))

    def draw(self, rngs: Sequence[torch.Generator], buffers: Buffers) -> Batch:
        """One batch, each member's from its own generator."""
        if not self.game.draws:
            return buffers
        game = self.game
        batch = self.stack_members(
            lambda m: require_mapping(game, "sample", game.sample(rngs[m], self.member(buffers, m))), len(rngs)
        )
        self.cost.samples += game.samples(self.member({k: x for k, x in batch.items() if k not in buffers}, 0))
        return batch

    def member(self, tree: Any, m: int) -> Any:
        """Member m's part of parameters, buffers or a batch."""
        if self.members is None:
            return copied(tree)
        return tree_map(lambda x: x[m] if isinstance(x, Tensor) else x, tree)

    def over_members(self, f: Callable[..., Any], *args: Any) -> Any:
        """``f(*args)``, vmapped over the leading axis of every tensor if there are members."""
        return over_members(self.members is not None, f, *args)

    # ------------------------------------------------------------------ the game, member by member

    def init(self, rng: torch.Generator) -> Params:
        return self.game.init(rng)

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        return self.game.sample(rng, buffers)

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        return self.over_members(lambda p, b: losses_of(self.game, p, b), params, batch)

    def refresh(self, params: Params, buffers: Buffers) -> Buffers:
        if not buffers or type(self.game).refresh is Game.refresh:
            return buffers
        plain: list[Any] = []

        def renewed(p: Params, b: Buffers) -> list[Tensor]:
            leaves, form = tree_flatten(require_mapping(self.game, "refresh", self.game.refresh(p, b)))
            plain[:] = leaves, form
            return [x for x in leaves if isinstance(x, Tensor)]

        made = iter(self.over_members(renewed, params, copied(buffers)))  # what is no tensor is the same for all
        leaves, form = plain
        return tree_unflatten([next(made) if isinstance(x, Tensor) else x for x in leaves], form)

    @cached_property
    def projects(self) -> bool:
        return self.game.projects

    def project(self, params: Params) -> Params:
        """Raises PluginError where a projection changes more than numbers."""
        if not self.projects:
            return params
        projected = self.over_members(self.game.project, params)
        if wrong := changed(params, projected):
            what = (
                "the projection after the step, a regularizer's or the game's, returned parameters of another structure"
            )
            raise PluginError(f"{what}: {wrong}.", foreign(self.game))
        return {i: {k: projected[i][k] for k in tree} for i, tree in params.items()}

    # ------------------------------------------------------------------ the field and its derivatives

    def field(
        self, rows: Rows, params: Params, batch: Batch, along: Sequence[Linear] = ()
    ) -> tuple[Params, dict[Player, Tensor]]:
        """v_i for the players i in ``rows``, and every player's loss.

        If traced, the pass through the losses that this takes is also that of the products ``along``, which are at
        the same point.
        """
        self._spend(rows, params, batch)
        shared = [product for product in along if isinstance(product, Product)]
        if not self.replays(params, batch):
            return self.eager.field(rows, params, batch)
        if not shared:
            return self._field(rows, params, batch)
        found, maps = self._linearised(rows, [product.block for product in shared], params, batch)
        for product, map in zip(shared, maps, strict=True):
            product.map = map
        return found

    def loss_gradient(self, i: Player, params: Params, batch: Batch) -> Params:
        """The gradient of player i's loss with respect to everyone's parameters."""
        self._spend((i,), params, batch)
        replays = self.replays(params, batch)
        return (self._loss_gradient if replays else self.eager.loss_gradient)(i, params, batch)

    def _spend(self, rows: Rows, params: Params, batch: Batch) -> None:
        """Count one evaluation of the gradients of ``rows``."""
        work, players = self._work(params, batch), len(self.players)
        self.cost.spend((work.gradients * len(rows) / players, work.products_of(rows), 0), players)

    def _work(self, params: Params, batch: Batch) -> Work:
        return work_of(self.game, lambda: (self.member(params, 0), self.member(batch, 0)))

    def variant(self, wrap: Callable[[Game], Game]) -> Evaluator:
        """The same evaluator for ``wrap(game)``, made once for each ``wrap``: what it traces is kept."""
        if wrap not in self._variants:
            self._variants[wrap] = dataclasses.replace(self, game=wrap(self.game))
        return self._variants[wrap]

    def products(self, rows: Rows, cols: Rows, params: Params, batch: Batch) -> tuple[Product, Product]:
        """The products u -> J u and w -> J^T w with the block of ``rows`` and ``cols`` at one point."""
        blocks = Block(rows, cols), Block(rows, cols, adjoint=True)
        weight = 1 + self._work(params, batch).products_of(rows)

        def product(block: Block, make: Callable[[], Linear]) -> Product:
            return Product(block, self.cost, make, weight=weight)

        if not self.replays(params, batch):
            push, pull = self.eager.products(rows, cols, params, batch)
            return product(blocks[0], lambda: push), product(blocks[1], lambda: pull)

        def alone(block: Block) -> Callable[[], Linear]:
            return lambda: self._linearised((), [block], params, batch)[1][0]

        return product(blocks[0], alone(blocks[0])), product(blocks[1], alone(blocks[1]))

    def _linearised(self, rows: Rows, blocks: list[Block], params: Params, batch: Batch) -> tuple[Any, list[Linear]]:
        tangents = [{i: params[i] for i in (block.rows if block.adjoint else block.cols)} for block in blocks]
        return self._point(tangents, rows, blocks, params, batch)

    def replays(self, params: Params, batch: Batch) -> bool:
        """Whether graphs are replayed at this step: not where the losses leave traces, or read what cannot be told."""
        if not self.trace or self.clock.step < self.trace_from:
            return False
        if self.origin.eager is None and watched():
            return False  # whether they do cannot be told now
        return self.origin.pure(lambda: self.eager.field(self.players, params, batch))

    @cached_property
    def eager(self) -> Eager:
        return Eager(self.game, self.members is not None)

    # Each of these is traced at its first use, once for the shapes at hand.

    @cached_property
    def origin(self) -> Origin:
        own = type(innermost(self.game))
        name, module = f"the losses of the game {own.__name__}", foreign(self.game) or own.__module__
        return Origin(((self.game, frozenset({"losses"})),), name, module, self.clock, rewritten)

    @cached_property
    def _field(self) -> Traced:
        return traced(self.eager.field, self.origin)

    @cached_property
    def _loss_gradient(self) -> Traced:
        return traced(self.eager.loss_gradient, self.origin)

    @cached_property
    def _point(self) -> Staged:
        """The field of some rows (none: None) with the products with some blocks, traced together."""
        return staged(self.eager.point_forward, self.eager.point, self.origin)

    @cached_property
    def _variants(self) -> dict[Callable[[Game], Game], Evaluator]:
        return {}
