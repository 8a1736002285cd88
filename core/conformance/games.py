"""The checks of a game: losses, derivatives against differences, members against runs of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from ..derivatives.local import LocalGame
from ..game.game import Game
from ..game.tree import add, norm, ravel, scale, sub
from ..registry.registry import find, make
from .assertions import TOL, Case, close, direction, evaluator_of, is_pure, member, require, same, start_and_batch


def games(name: str) -> Iterator[Case]:
    """The checks of the game ``name``, as (label, function) pairs."""
    options = getattr(find("game", name).factory, "small_options", {})
    yield from game_cases(lambda: make("game", name, **options))


def game_cases(build: Callable[[], Game]) -> Iterator[Case]:
    """The checks of the game that ``build`` makes, as (label, function) pairs."""

    def losses() -> None:
        game = build()
        params, batch = start_and_batch(evaluator_of(game))
        out = game.losses(params, batch)
        whole = set(out) == set(game.players) == set(params)
        require(whole, f"losses for {set(out)}, parameters of {set(params)}")
        shapes = {i: tuple(x.shape) for i, x in out.items() if x.dim()}
        require(not shapes, f"a loss is a scalar; got shapes {shapes}")

    def pure() -> None:
        game = build()
        params, batch = start_and_batch(evaluator_of(game))
        is_pure(game.losses, params, batch)

    def seeded() -> None:
        evaluator, state = evaluator_of(build()), torch.get_rng_state()
        require(
            same(start_and_batch(evaluator, 3), start_and_batch(evaluator, 3)),
            "the same seed gave another start or batch",
        )
        unmoved = torch.equal(state, torch.get_rng_state())
        require(unmoved, "global random numbers were drawn: use the generator given")

    def gradient() -> None:
        game = build()
        params, batch = start_and_batch(evaluator_of(game))
        v = LocalGame.of(evaluator_of(game), params, batch).gradient()
        for i in game.players:
            u = {**scale(params, 0.0), i: direction({i: params[i]}, 1)[i]}
            h = 1e-6
            up, down = (game.losses(add(params, scale(u, s * h)), batch)[i] for s in (1, -1))
            slope = (ravel({i: v[i]}) * ravel({i: u[i]})).sum()
            close(slope, (up - down) / (2 * h), TOL.finite_difference, f"gradient of {i} against differences")

    def product() -> None:
        evaluator = evaluator_of(build())
        params, batch = start_and_batch(evaluator)
        local, u, h = LocalGame.of(evaluator, params, batch), direction(params, 2), 1e-6
        up, down = (local.at(add(params, scale(u, s * h))).gradient() for s in (1, -1))
        Ju = ravel(local.jacobian().mv(u))
        close(Ju, ravel(sub(up, down)) / (2 * h), 10 * TOL.finite_difference, "J u against differences of v")

    def adjoint() -> None:
        evaluator = evaluator_of(build())
        params, batch = start_and_batch(evaluator)
        J, u, w = LocalGame.of(evaluator, params, batch).jacobian(), direction(params, 3), direction(params, 4)
        left, right = (ravel(J.mv(u)) * ravel(w)).sum(), (ravel(u) * ravel(J.rmv(w))).sum()
        close(left, right, TOL.adjoint, "<J u, w> against <u, J^T w>", float(norm(J.mv(u))))

    def dense() -> None:
        evaluator = evaluator_of(build())
        params, batch = start_and_batch(evaluator)
        J = LocalGame.of(evaluator, params, batch).jacobian()
        if ravel(params).numel() > 300:
            return  # too large for a matrix; its products are checked above
        u = direction(params, 5)
        close(J.dense() @ ravel(u), ravel(J.mv(u)), TOL.adjoint, "dense J against its products")

    def ensemble() -> None:
        game = build()
        evaluator, alone = evaluator_of(game, 3), evaluator_of(game)
        params, batch = start_and_batch(evaluator)
        u = direction(params, 6)
        local = LocalGame.of(evaluator, params, batch)
        v, Ju, JTu = local.gradient(), local.jacobian().mv(u), local.jacobian().rmv(u)
        for m in range(3):
            one = LocalGame.of(alone, member(params, m), member(batch, m))
            own = member(u, m)
            close(ravel(member(v, m)), ravel(one.gradient()), TOL.member, f"v of member {m} against the run alone")
            close(ravel(member(Ju, m)), ravel(one.jacobian().mv(own)), TOL.member, f"J u of member {m} alone")
            close(ravel(member(JTu, m)), ravel(one.jacobian().rmv(own)), TOL.member, f"J^T u of member {m} alone")

    def projected() -> None:
        evaluator = evaluator_of(build())
        params, _ = start_and_batch(evaluator)
        for far in (params, scale(params, 100.0), scale(params, -100.0)):
            is_pure(evaluator.project, far)
            there = evaluator.project(far)
            close(
                ravel(evaluator.project(there)), ravel(there), TOL.inner, "what is projected moves when projected again"
            )

    def zero_sum() -> None:
        evaluator = evaluator_of(build())
        if not evaluator.zero_sum or len(evaluator.players) != 2:
            return
        params, batch = start_and_batch(evaluator)
        J = LocalGame.of(evaluator, params, batch).jacobian()
        x, y = evaluator.players
        u = direction({y: params[y]}, 7)
        up, down = ravel(J.block(x, y).mv(u)), ravel(J.block(y, x).rmv(u))
        close(up, -down, TOL.adjoint, "zero_sum is claimed, but J_xy u + J_yx^T u is not 0")

    yield "a scalar loss for each player", losses
    yield "losses are pure", pure
    yield "the seed decides", seeded
    yield "gradient against finite differences", gradient
    yield "Jacobian product against finite differences", product
    yield "Jacobian product against its adjoint", adjoint
    yield "dense Jacobian against its products", dense
    yield "a member is the run alone", ensemble
    yield "a projected point stays", projected
    yield "zero_sum holds", zero_sum
