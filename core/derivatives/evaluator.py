"""A game made ready for play: batched over ensemble members, on one device, traced on request, and counted.

Everything that a solver asks of a game passes through here, so solvers need not know of members, devices or traces.
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
from ..game import checks
from ..game.buffers import copied
from ..game.game import Game, innermost
from ..game.regularizer import Refresh
from ..game.structure import describe_change
from ..game.tree import Batch, Buffers, Params, Player, ravel
from ..seeding import SCHEME, generators
from ..tracing.rewrites.factor_rewrite import rewritten
from ..tracing.trace_context import ReplayState, TraceContext
from ..tracing.traced import transform_active
from .eager import Eager, over_members
from .inner_derivatives import FieldCost, field_cost
from .placement import Placement
from .products import Block, Cost, CountedProduct, LinearMap, Rows, VAndProducts
from .replayed import Replayed
from .stacking import CannotStack, stacked

REPLAYED_ROWS = 256  # a larger matrix would be a long program, and its overhead does not matter


@dataclass(frozen=True)
class Evaluator(Game):
    """``game`` for ``members`` members (None: no ensemble axis), in one dtype on one device.

    With ``trace``, v and products are traced once for the shapes at hand and then replayed, without the overhead of
    torch.func and without unneeded work. This begins at step ``trace_from``, so that what a step computes does not
    depend on the length of the run. Without ``trace``, v and products are eager and can be differentiated again.
    """

    game: Game
    members: int | None = None
    dtype: torch.dtype | None = None
    device: torch.device | str | None = None
    trace: bool = False
    trace_from: int = 0
    replay: ReplayState = dataclasses.field(default_factory=ReplayState, compare=False)
    seeding: int = SCHEME  # how members are seeded (core.seeding)
    channels_last: bool = False  # whether 4-d tensors of a single run have their channels last in memory
    cost: Cost = dataclasses.field(default_factory=Cost, compare=False)
    among: tuple[int, int] | None = None  # (first, count): its members are those from ``first`` on of an ensemble

    @property
    def players(self) -> tuple[Player, ...]:  # type: ignore[override]
        """The players of the game, in its order."""
        return tuple(self.game.players)

    @property
    def zero_sum(self) -> bool:  # type: ignore[override]
        return self.game.zero_sum

    @property
    def draws(self) -> bool:
        return self.game.draws

    @staticmethod
    def of(game: Game) -> Evaluator:
        """``game`` itself if it is an evaluator, else an evaluator of it without members or tracing."""
        return game if isinstance(game, Evaluator) else Evaluator(game)

    def generators(self, seed: int) -> list[torch.Generator]:
        """One generator for each member, or a single one."""
        return generators(seed, self.members, self.seeding)

    def cast(self, tree: Any) -> Any:
        """``tree`` with every tensor on the run's device, and floating tensors in the run's dtype."""
        return self._placement(tree)

    @cached_property
    def _placement(self) -> Placement:
        return Placement(self.dtype, self.device, self.channels_last)

    def stack_members(self, f: Callable[[int], Any], count: int, what: str = "sample") -> Any:
        """``f(m)`` of all members m, stacked; without members ``f(0)``. Raises PluginError if they do not fit."""
        if self.members is None:
            return self.cast(f(0))
        try:
            return self.cast(stacked([f(m) for m in range(count)]))
        except CannotStack as error:
            wrong = f"what its {what} gives for the members cannot be put together: {error}"
            raise checks.contract_error(innermost(self.game), wrong) from None

    def start(self, rngs: Sequence[torch.Generator]) -> tuple[Params, Buffers]:
        """Initial parameters and buffers; member m draws from ``rngs[m]``."""
        game, users_game = self.game, innermost(self.game)
        with guarded("starting", game, refusing=True):
            params = [checks.validated_parameters(game, game.init(rng)) for rng in rngs]
            buffers = [dict(checks.require_mapping(users_game, "buffers", game.buffers(rng))) for rng in rngs]
            theta = self.stack_members(params.__getitem__, len(rngs), "init")
            checks.require_one_dtype(users_game, theta)
            return theta, checks.require_storable(
                users_game, self.stack_members(buffers.__getitem__, len(rngs), "buffers")
            )

    def draw(self, rngs: Sequence[torch.Generator], buffers: Buffers) -> Batch:
        """A batch; each member draws its part from its own generator. The samples in it are counted."""
        if not self.game.draws:
            return buffers
        batch = self.drawn("sample", rngs, buffers)
        self.cost.samples += self.game.samples(self.member({k: x for k, x in batch.items() if k not in buffers}, 0))
        return batch

    def drawn(self, what: str, rngs: Sequence[torch.Generator], buffers: Buffers) -> Batch:
        """What the game's method ``what`` draws, without the place in the data: no losses read it."""

        def one(m: int) -> Batch:
            batch = checks.require_mapping(game, what, getattr(game, what)(rngs[m], self.member(buffers, m)))
            return {k: x for k, x in batch.items() if k not in game.position_buffers}

        game = self.game
        return self.stack_members(one, len(rngs), what)

    def advance(self, buffers: Buffers) -> Buffers:
        """The buffers after a draw: each member's place in the data is moved on."""
        if not self.game.position_buffers:
            return buffers
        return self.stack_members(lambda m: self.game.advance(self.member(buffers, m)), self.members or 1, "advance")

    def member(self, tree: Any, m: int) -> Any:
        """Member m's part of parameters, buffers or a batch."""
        if self.members is None:
            return copied(tree)
        return tree_map(lambda x: x[m] if isinstance(x, Tensor) else x, tree)

    def over_members(self, f: Callable[..., Any], *args: Any) -> Any:
        """``f(*args)``; if there are members, vmapped over the leading axis of every tensor."""
        return over_members(self.members is not None, f, *args)

    def init(self, rng: torch.Generator) -> Params:
        return self.game.init(rng)

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        return self.game.sample(rng, buffers)

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        return self.over_members(lambda p, b: checks.losses_of(self.game, p, b), params, batch)

    def refresh(self, params: Params, buffers: Buffers, part: Refresh | None = None) -> Buffers:
        """The buffers that the next step uses; with ``part`` (of `refresh_functions`), those that it renews."""
        if not buffers or type(self.game).refresh is Game.refresh:
            return buffers
        renewed = self.game.refresh if part is None else part
        flattened: list[Any] = []  # all leaves and their structure: vmap can only return tensors

        def refreshed_tensors(p: Params, b: Buffers) -> list[Tensor]:
            flattened[:] = tree_flatten(checks.require_mapping(self.game, "refresh", renewed(p, b)))
            return [x for x in flattened[0] if isinstance(x, Tensor)]

        refreshed = iter(self.over_members(refreshed_tensors, params, copied(buffers)))
        leaves, form = flattened  # leaves that are no tensors are the same for all members
        return tree_unflatten([next(refreshed) if isinstance(x, Tensor) else x for x in leaves], form)

    @cached_property
    def projects(self) -> bool:
        return self.game.projects

    def project(self, params: Params) -> Params:
        """``params`` projected by the game. Raises PluginError if that changes more than the numbers in them."""
        if not self.projects:
            return params
        projected = self.over_members(self.game.project, params)
        if wrong := describe_change(params, projected):
            what = (
                "the projection after the step, a regularizer's or the game's, returned parameters of another structure"
            )
            raise PluginError(f"{what}: {wrong}.", foreign(self.game))
        return {i: {k: projected[i][k] for k in tree} for i, tree in params.items()}

    def field(
        self, rows: Rows, params: Params, batch: Batch, along: Sequence[LinearMap] = ()
    ) -> tuple[Params, dict[Player, Tensor]]:
        """v_i for the players i in ``rows``, and every player's loss.

        If traced, the products ``along``, which are at the same point, use the same pass through the losses.
        """
        self._count_gradients(rows, params, batch)
        shared = [product for product in along if isinstance(product, CountedProduct)]
        if not self.replays(params, batch):
            return self.eager.field(rows, params, batch)
        if not shared:
            return self._replayed.field(rows, params, batch)
        v_and_losses, maps = self._traced_v_and_products(rows, [product.block for product in shared], params, batch)
        for product, map in zip(shared, maps, strict=True):
            product.map = map
        return v_and_losses

    def loss_gradient(self, i: Player, params: Params, batch: Batch) -> Params:
        """The gradient of player i's loss with respect to everyone's parameters."""
        self._count_gradients((i,), params, batch)
        return (self._replayed if self.replays(params, batch) else self.eager).loss_gradient(i, params, batch)

    def _count_gradients(self, rows: Rows, params: Params, batch: Batch) -> None:
        """Count one evaluation of the gradients of ``rows``."""
        work, players = self._work(params, batch), len(self.players)
        self.cost.spend((work.gradients * len(rows) / players, work.products_of(rows), 0), players)

    def _work(self, params: Params, batch: Batch) -> FieldCost:
        return field_cost(self.game, lambda: (self.member(params, 0), self.member(batch, 0)))

    def variant(self, wrap: Callable[[Game], Game]) -> Evaluator:
        """The same evaluator for ``wrap(game)``. It is made once for each ``wrap``, and what it traces is kept."""
        if wrap not in self._variants:
            self._variants[wrap] = dataclasses.replace(self, game=wrap(self.game))
        return self._variants[wrap]

    def products(self, rows: Rows, cols: Rows, params: Params, batch: Batch) -> tuple[CountedProduct, CountedProduct]:
        """The products u -> J u and w -> J^T w with the block of ``rows`` and ``cols`` at one point, counted."""
        blocks = Block(rows, cols), Block(rows, cols, adjoint=True)
        weight = 1 + self._work(params, batch).products_of(rows)

        def product(block: Block, make: Callable[[], LinearMap]) -> CountedProduct:
            return CountedProduct(block, self.cost, make, weight=weight)

        if not self.replays(params, batch):
            push, pull = self.eager.products(rows, cols, params, batch)
            return product(blocks[0], lambda: push), product(blocks[1], lambda: pull)

        def traced_alone(block: Block) -> Callable[[], LinearMap]:
            return lambda: self._traced_v_and_products((), [block], params, batch)[1][0]

        return product(blocks[0], traced_alone(blocks[0])), product(blocks[1], traced_alone(blocks[1]))

    def replayed_matrix(self, product: CountedProduct, params: Params, batch: Batch) -> Tensor | None:
        """The matrix of the block of ``product``, counted as a product for each row; None where it is not replayed."""
        (rows, cols, _), size = product.block, ravel({i: params[i] for i in product.block.rows}).shape[-1]
        size //= self.members or 1
        if size > REPLAYED_ROWS or not self.replays(params, batch):
            return None
        self.cost.products += product.weight * size
        return self._replayed.matrix(rows, cols, params, batch)

    def _traced_v_and_products(self, rows: Rows, blocks: list[Block], params: Params, batch: Batch) -> VAndProducts:
        """As :meth:`Eager.v_and_products`, traced: (v, losses) of ``rows``, and the products with ``blocks``."""
        tangents = [{i: params[i] for i in (block.rows if block.adjoint else block.cols)} for block in blocks]
        return self._replayed.v_and_products(tangents, rows, blocks, params, batch)

    def replays(self, params: Params, batch: Batch) -> bool:
        """Whether programs are replayed at this step: not if losses change what they read, or it cannot be watched."""
        if not self.trace or self.replay.step < self.trace_from:
            return False
        if self.trace_context.why_eager is None and transform_active():
            return False  # inside a transform it cannot be found out
        return self.trace_context.pure(lambda: self.eager.field(self.players, params, batch))

    @cached_property
    def eager(self) -> Eager:
        return Eager(self.game, self.members is not None)

    @cached_property
    def trace_context(self) -> TraceContext:
        """What traced programs may read (all that the losses reach from ``game``), and their name in messages."""
        cls = type(innermost(self.game))
        name, module = f"the losses of the game {cls.__name__}", foreign(self.game) or cls.__module__
        return TraceContext(((self.game, frozenset({"losses"})),), name, module, self.replay, rewritten)

    @cached_property
    def _replayed(self) -> Replayed:
        return Replayed(self.eager, self.trace_context)

    @cached_property
    def _variants(self) -> dict[Callable[[Game], Game], Evaluator]:
        return {}
