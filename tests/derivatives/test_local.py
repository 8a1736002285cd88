"""The game at one point: v and the products with J against plain autograd, block by block, member by member."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.derivatives.operator import Operator
from counterplay.core.game.tree import leaves, like, ravel

from ..support.cases import (  # fmt: skip
    F64,
    SmoothGan,
    close,
    close_trees,
    direction_like,
    identical,
    jacobian,
    matrix_game,
    member,
    random,
    random_matrix,
    started,
)

SIZES = (2, 3, 1)


def coupled(params, batch):
    """Three players, general-sum, nonlinear, the losses sharing every tensor."""
    a, b, c = params["a"]["w"], params["b"]["w"], params["c"]["w"]  # (2,), (3,), ()
    mixed = (a[0] * b).sin().sum() * c + (a * a).sum() * b[1]
    return {"a": mixed + c**3, "b": (mixed * b[0]).tanh() + a[1] * c.exp(), "c": mixed * c + (b**4).sum() * a[0]}


def coupled_game():
    start = {"a": {"w": random(2, seed=1)}, "b": {"w": random(3, seed=2)}, "c": {"w": random(seed=3)}}
    return cp.game_from_losses(coupled, start)


def by_autograd(game, params, batch):
    """v and J by torch.autograd, one row at a time: nothing of torch.func."""
    own = like(params, [x.detach().clone().requires_grad_() for x in leaves(params)])
    losses = game.losses(own, batch)
    rows = [torch.autograd.grad(losses[i], list(own[i].values()), create_graph=True) for i in own]
    v = torch.cat([g.flatten() for row in rows for g in row])
    J = [torch.autograd.grad(x, leaves(own), retain_graph=True, allow_unused=True) for x in v]
    filled = [[torch.zeros_like(p) if g is None else g for g, p in zip(row, leaves(own), strict=True)] for row in J]
    return v.detach(), torch.stack([torch.cat([g.flatten() for g in row]) for row in filled])


@pytest.mark.parametrize("trace", [False, True])
@pytest.mark.parametrize("game", [coupled_game(), SmoothGan(batch=3)], ids=["three players", "gan"])
def test_v_and_J_are_those_of_autograd(game, trace):
    table, params, batch = started(game, trace=trace)
    v, J = by_autograd(game, params, batch)
    with torch.no_grad():
        local = LocalGame.of(table, params, batch)
        u, w = direction_like(params, 1), direction_like(params, 2)
        close(ravel(local.gradient()), v)
        close(ravel(local.jacobian().mv(u)), J @ ravel(u))
        close(ravel(local.jacobian().rmv(w)), J.T @ ravel(w))
        if game.players[0] == "a":
            close(local.jacobian().dense(), J)
    losses = game.losses(params, batch)
    for i in game.players:
        close(local.losses()[i], losses[i])


def test_a_known_matrix_comes_back():
    A, c = random_matrix(SIZES, 4), random(6, seed=5)
    game = matrix_game(A, SIZES, shift=c)
    params = game.init(torch.Generator())
    close(jacobian(game, params), A)
    close(ravel(LocalGame.of(game, params, {}).gradient()), A @ ravel(params) + c)


def test_blocks_are_the_matrix_cut_by_players():
    A = random_matrix(SIZES, 6)
    game = matrix_game(A, SIZES)
    J = LocalGame.of(game, game.init(torch.Generator()), {}).jacobian()
    ends = {"p0": slice(0, 2), "p1": slice(2, 5), "p2": slice(5, 6)}
    for i, rows in ends.items():
        for j, cols in ends.items():
            close(J.block(i, j).dense(), A[rows, cols])
            close(J.T.block(i, j).dense(), A.T[rows, cols])
    close(J.T.dense(), A.T)
    close(J.T.T.dense(), A)


def test_off_diagonal_is_what_players_do_to_each_other():
    A = random_matrix(SIZES, 7)
    off = A - torch.block_diag(A[:2, :2], A[2:5, 2:5], A[5:, 5:])
    game = matrix_game(A, SIZES)
    table = Evaluator(game)
    O = LocalGame.of(table, game.init(torch.Generator()), {}).jacobian().off_diagonal()
    close(O.dense(), off)
    close(O.T.dense(), off.T)
    x = random(6, seed=8)
    table.cost.products = 0
    close(O.vmv(x), off @ x)
    close(O.vrmv(x), off.T @ x)
    assert table.cost.products == 2 * 3, "one product for each player"


def test_a_single_player_has_nothing_off_the_diagonal():
    H = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=F64)
    game = matrix_game(H, [2])
    J = LocalGame.of(game, game.init(torch.Generator()), {}).jacobian()
    close(J.dense(), H)
    assert not J.off_diagonal().dense().any() and not J.off_diagonal().vmv(random(2)).any()


def test_an_operator_without_blocks_says_so():
    x = {"x": {"value": random(2)}}
    bare = Operator(lambda u: u, lambda w: w, x, x)
    close(bare.dense(), torch.eye(2, dtype=F64))
    for ask in (lambda: bare.block("x", "x"), bare.off_diagonal):
        with pytest.raises(TypeError, match="no player blocks"):
            ask()


def test_only_freezes_the_others():
    A = random_matrix(SIZES, 9)
    game = matrix_game(A, SIZES)
    params = game.init(torch.Generator())
    local = LocalGame.of(game, params, {}).only(("p0", "p2"))
    keep = [0, 1, 5]
    assert list(local.gradient()) == ["p0", "p2"]
    close(ravel(local.gradient()), (A @ ravel(params))[keep])
    close(local.jacobian().dense(), A[keep][:, keep])
    assert set(local.losses()) == {"p0", "p1", "p2"}
    assert set(local.setting({"p0": 1.0, "p1": 2.0, "p2": 3.0})) == {"p0", "p2"}


def test_at_is_the_same_batch_somewhere_else():
    game = SmoothGan()
    table, params, batch = started(game)
    other = game.init(torch.Generator().manual_seed(9))
    moved = LocalGame.of(table, params, batch).at({"generator": other["generator"]})
    assert moved.batch is batch
    expected = LocalGame.of(table, {**params, "generator": other["generator"]}, batch)
    close_trees(moved.gradient(), expected.gradient())
    assert not torch.allclose(ravel(moved.gradient()), ravel(LocalGame.of(table, params, batch).gradient()))


def products(local, u, short):
    J, own = local.jacobian(), {"generator": u["generator"]}
    out = [local.gradient(), J.mv(u), J.rmv(u)]
    return out if short else [*out, J.off_diagonal().mv(u), J.block("generator", "generator").mv(own)]


@pytest.mark.parametrize("trace", [False, True])
def test_members_are_games_of_their_own(trace):
    game = SmoothGan()
    table, params, batch = started(game, members=3, trace=trace)
    u = direction_like(params, 3)
    with torch.no_grad():
        local = LocalGame.of(table, params, batch)
        found = products(local, u, trace)
        for m in range(3):
            alone = LocalGame.of(Evaluator(game, None, F64), member(params, m), member(batch, m))
            for many, one in zip(found, products(alone, member(u, m), trace), strict=True):
                close_trees(member(many, m), one)
            close(local.losses()["generator"][m], alone.losses()["generator"])
    assert not torch.allclose(ravel(params, True)[0], ravel(params, True)[1])


def test_the_dense_matrix_of_an_ensemble_is_one_for_each_member():
    game = cp.make("game", "quadratic")
    table, params, _ = started(game, members=4)
    J = LocalGame.of(table, params, {}).jacobian()
    close(J.dense(), torch.tensor([[2.0, 10.0], [-10.0, -2.0]], dtype=F64).expand(4, 2, 2))
    close(J.block("x", "y").dense(), torch.full((4, 1, 1), 10.0, dtype=F64))
    x = random(4, 2)
    close(J.vmv(x), (J.dense() @ x.unsqueeze(-1)).squeeze(-1))


@pytest.mark.parametrize("members", [None, 2])
def test_a_replayed_matrix_is_the_matrix_and_counts_as_a_product_for_each_row(members):
    found = []
    for trace in (False, True):
        table, params, batch = started(coupled_game(), members=members, trace=trace)
        with torch.no_grad():
            J = LocalGame.of(table, params, batch).jacobian()
            table.cost.products = 0
            matrices = [J.dense(), J.off_diagonal().dense(), J.between(("a", "c"), ("b",)).T.dense(), J.T.dense()]
        assert table.cost.products == 6 + 6 + 3 + 6
        found.append(matrices)
    for a, b in zip(*found, strict=True):
        close(a, b)
    assert table._replayed.matrix.fallback is None and len(table._replayed.matrix._programs) == 2


def test_blocks_made_inside_a_transform_are_made_again_outside():
    table, params, batch = started(coupled_game())
    O = LocalGame.of(table, params, batch).jacobian().off_diagonal()
    inside = torch.func.vmap(O.vrmv)(torch.eye(6, dtype=F64))
    close(torch.stack([O.vrmv(e) for e in torch.eye(6, dtype=F64)]), inside)
    close(inside, O.dense())


def test_a_setting_differs_by_player_and_by_member():
    table, params, _ = started(cp.make("game", "quadratic"), members=2)
    local = LocalGame.of(table, params, {})
    x, y = params["x"]["value"], params["y"]["value"]
    expected = {"x": {"value": x * torch.tensor([[2.0], [3.0]])}, "y": {"value": 5 * y}}
    assert identical(local.scale({"x": [2.0, 3.0], "y": 5.0}, params), expected)
    close(local.dot(params, params), local.norm(params) ** 2)
    assert local.dot(params, params).shape == (2,)


def test_what_is_asked_is_counted_once():
    table, params, batch = started(SmoothGan())
    local = LocalGame.of(table, params, batch)
    table.cost.samples = 0
    for _ in range(3):
        local.gradient(), local.losses()
    assert (table.cost.gradients, table.cost.products) == (1, 0), "the field is kept"
    J, u = local.jacobian(), direction_like(params, 4)
    J.mv(u), J.rmv(u), J.T.mv(u)
    assert (table.cost.gradients, table.cost.products) == (1, 3)


@pytest.mark.parametrize(
    ("trace", "members"), [(False, None), (False, 3), (True, None), pytest.param(True, 3, marks=pytest.mark.slow)]
)
def test_products_named_with_v_are_the_same_products(trace, members):
    table, params, batch = started(SmoothGan(batch=3), members=members, trace=trace)
    u, (x, y) = direction_like(params, 5), ("generator", "discriminator")
    with torch.no_grad():
        local, alone = LocalGame.of(table, params, batch), LocalGame.of(table, params, batch)
        J, K = local.jacobian(), alone.jacobian()
        B = J.block(x, y)
        table.cost.gradients = table.cost.products = 0
        v = local.gradient(J.mv, J.rmv, B.mv)
        assert (table.cost.gradients, table.cost.products) == (1, 0)
        close_trees(v, alone.gradient())
        assert local.gradient(J.block(y, x).mv) is v, "v is known: nothing is evaluated again"
        for _ in range(2):
            close_trees(J.mv(u), K.mv(u))
            close_trees(J.T.mv(u), K.rmv(u))
            close_trees(B.mv({y: u[y]}), K.block(x, y).mv({y: u[y]}))
        assert (table.cost.gradients, table.cost.products) == (2, 12)
        if trace and not members:
            assert table._replayed.v_and_products.fallback is None
            close(J.dense(), K.dense())


def test_samples_are_counted_per_member():
    table, _, _ = started(SmoothGan(batch=5), members=3)
    assert table.cost.samples == 5
    table, _, _ = started(SmoothGan(batch=5))
    assert table.cost.samples == 5


def test_a_draw_is_each_member_s_own():
    _, _, batch = started(SmoothGan(), seed=7, members=3)
    for m in range(3):
        _, _, alone = started(SmoothGan(), seed=cp.member_seed(7, m))
        assert identical(member(batch, m), alone)


def test_a_game_that_draws_nothing_has_its_buffers_for_a_batch():
    _, _, batch = started(cp.make("game", "dirac-gan"), members=3)
    assert batch["real"].shape == (3, 1, 1) and batch["real"].dtype == F64
