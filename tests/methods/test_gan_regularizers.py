"""Regularisers of GANs against plain autograd and their definitions: penalties, noise, clipping, averages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.game.game import INSTANCE_NOISE
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import leaves

from ..support.cases import F64, close, close_trees, generator, identical, random
from ..support.tanh_gan import TanhGan


def started(game: cp.Game, seed: int = 0) -> tuple[cp.Params, dict[str, Any], cp.Batch]:
    rng = generator(seed)
    params, buffers = game.init(rng), game.buffers(rng)
    buffers = game.refresh(params, buffers)
    return params, buffers, game.sample(rng, buffers)


def own_penalty(params: cp.Params, x: Tensor, gamma: float) -> tuple[Tensor, list[Tensor]]:
    """gamma/2 E |grad_x D|^2 by torch.autograd, and its gradients by W, b and A."""
    D, A = params["discriminator"], params["generator"]["A"]
    (g,) = torch.autograd.grad(torch.tanh(x @ D["W"].T + D["b"]).sum(), x, create_graph=True)
    value = gamma / 2 * g.square().sum(1).mean()
    return value, list(torch.autograd.grad(value, [D["W"], D["b"], A], allow_unused=True))


@pytest.mark.parametrize("name", ["r1", "r2", "zero-centred"])
def test_penalties_are_those_of_plain_autograd(name):
    game = regularized(TanhGan(), cp.make("regularizer", name, gamma=3.0))
    params, _, batch = started(game)
    for x in leaves(params):
        x.requires_grad_()
    real, fake = batch["real"].clone().requires_grad_(), batch["noise"] @ params["generator"]["A"].T
    if name == "r1":
        points = real
    elif name == "r2":
        points = fake
    else:
        share = batch["gradient_penalty/mix"][:, None]
        points = share * real + (1 - share) * fake
        assert 0 <= share.min() and share.max() <= 1 and share.unique().numel() == 5
    value, slopes = own_penalty(params, points, 3.0)
    plain, penalised = TanhGan().losses(params, batch), game.losses(params, batch)
    close((penalised["discriminator"] - plain["discriminator"]).detach(), value.detach())
    close(penalised["generator"].detach(), plain["generator"].detach())
    by = [params["discriminator"]["W"], params["discriminator"]["b"], params["generator"]["A"]]
    found = torch.autograd.grad(penalised["discriminator"] - plain["discriminator"], by, allow_unused=True)
    for a, b in zip(found, slopes, strict=True):
        close(a, torch.zeros_like(a) if b is None else b)
    assert (slopes[2] is None) == (name == "r1")  # the points of the others move with the generator
    assert game.zero_sum == (name == "r1")


@pytest.mark.parametrize("name", ["r1", "r2", "zero-centred"])
def test_penalties_make_the_dirac_gan_converge(name):
    """D(x) = theta x: all are gamma/2 theta^2. At (0, 0) of wgan J = [[0, -1], [1, gamma]]."""
    game = regularized(cp.make("game", "dirac-gan", loss="wgan"), cp.make("regularizer", name, gamma=0.5))
    params, _, batch = started(game)
    origin = {i: {"value": torch.zeros(1, dtype=F64)} for i in params}
    close(cp.LocalGame.of(game, origin, batch).jacobian().dense(), torch.tensor([[0.0, -1.0], [1.0, 0.5]], dtype=F64))
    done = cp.run(game, cp.make("solver", "simgd", lr=0.1), steps=3000, until="gradient_norm<1e-8")
    assert done.status == "converged"


@pytest.mark.parametrize("name", ["zero-centred", "gradient-penalty"])
def test_points_of_a_quadrature_are_no_samples(name):
    for game in ("covariance", "affine-gaussian"):
        with pytest.raises(UsageError, match=f"regularizer {name} needs samples.*: set exact=false"):
            regularized(cp.make("game", game, exact=True), cp.make("regularizer", name))
        assert regularized(cp.make("game", game, exact=False), cp.make("regularizer", name)).players


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_penalties_of_exact_expectations_are_exact(name):
    """D(x) = x^T W x: E |grad D|^2 = tr(A^T A C), A = W + W^T, with C the covariance of the points."""
    game = cp.make("game", "covariance", dimension=3)
    params, _, batch = started(regularized(game, cp.make("regularizer", name, gamma=2.0)))
    V, W = params["generator"]["V"], params["discriminator"]["W"]
    root = game.root
    C, A = (root @ root.T if name == "r1" else V @ V.T), W + W.T
    added = regularized(game, cp.make("regularizer", name, gamma=2.0)).losses(params, batch)["discriminator"]
    close(added - game.losses(params, batch)["discriminator"], torch.trace(A.T @ A @ C))


def test_the_jacobian_term_is_the_solver_jare():
    for game in (cp.make("game", "four-player"), cp.make("game", "mixture", hidden=5, layers=1, latent=2, batch=6)):
        params, _, batch = started(game)
        inside = cp.LocalGame.of(regularized(game, cp.make("regularizer", "jacobian", gamma=0.7)), params, batch)
        jare = cp.make("solver", "jare", gamma=0.7)
        close_trees(inside.gradient(), jare.direction(cp.LocalGame.of(game, params, batch)), 1e-6)
        assert not regularized(cp.make("game", "dirac-gan"), cp.make("regularizer", "jacobian")).zero_sum


def test_weights_are_clipped_after_every_move():
    clipping = cp.make("regularizer", "weight-clipping", bound=0.3)
    seen: list[float] = []
    game, solver = TanhGan(), cp.make("solver", "altgd", lr=0.2, repeats={"generator": 1, "discriminator": 3})

    def watch(step: cp.Seen) -> None:
        seen.append(max(float(x.abs().max()) for x in step.params["discriminator"].values()))

    result = cp.run(game, solver, steps=5, regularizers=[clipping], observers=[watch])
    assert all(size <= 0.3 for size in seen[1:]) and seen[1] == 0.3  # it is reached
    assert float(result.params["generator"]["A"].abs().max()) > 0.3
    params = started(game)[0]
    inside = regularized(game, clipping).project(params)
    close(inside["discriminator"]["W"], params["discriminator"]["W"].clamp(-0.3, 0.3))
    assert identical(inside["generator"], params["generator"])


def test_instance_noise_is_on_both_inputs():
    noise = cp.make("regularizer", "instance-noise", std=0.4)
    game = regularized(TanhGan(), noise)
    params, buffers, batch = started(game)
    clean = TanhGan().sample(started_rng(), {})
    added = batch["real"] - clean["real"], batch[INSTANCE_NOISE]
    assert all(x.shape == (5, 3) for x in added) and not torch.equal(*added)
    D = lambda x: TanhGan().discriminate(params["discriminator"], x, {})  # noqa: E731
    d_real, d_fake = D(clean["real"] + added[0]), D(clean["noise"] @ params["generator"]["A"].T + added[1])
    close(game.losses(params, batch)["discriminator"], d_fake.mean() - d_real.mean())
    many = [game.sample(generator(s), buffers)[INSTANCE_NOISE] for s in range(400)]
    assert float(torch.stack(many).std()) == pytest.approx(0.4, rel=0.03)
    shown = game.metrics(params, TanhGan().sample(generator(3), {}))
    assert shown["loudest"] == TanhGan().sample(generator(3), {})["real"].abs().max()


def started_rng() -> torch.Generator:
    """The generator with which :func:`started` draws a sample of a TanhGan."""
    rng = generator(0)
    TanhGan().init(rng)
    return rng


def test_the_variance_of_instance_noise_falls_linearly():
    game = regularized(TanhGan(), cp.make("regularizer", "instance-noise", std=2.0, anneal=8))
    params, buffers = game.init(generator()), game.buffers(generator())
    unit = regularized(TanhGan(), cp.make("regularizer", "instance-noise", std=1.0))
    expected = unit.sample(generator(1), {})[INSTANCE_NOISE]
    for step in range(11):
        buffers = game.refresh(params, buffers)
        found = game.sample(generator(1), buffers)[INSTANCE_NOISE]
        close(found, 2 * max(0, 1 - step / 8) ** 0.5 * expected)
    ensemble = cp.run(TanhGan(), cp.make("solver", "simgd"), steps=3, members=2,
                      regularizers=[cp.make("regularizer", "instance-noise", anneal=2)])  # fmt: skip
    assert ensemble.status == "max_steps"


def test_instance_noise_that_would_not_reach_the_losses_is_refused():
    class Own(TanhGan):
        def losses(self, params, batch):
            fake = self.generate(params["generator"], batch["noise"], batch)
            real = self.discriminate(params["discriminator"], batch["real"], batch)
            return self.loss(real, self.discriminate(params["discriminator"], fake, batch))

    noise = cp.make("regularizer", "instance-noise")
    with pytest.raises(UsageError, match=r"cannot reach the generated data of Own.*self\.generated\(params, batch\)"):
        regularized(Own(), noise)
    assert regularized(cp.make("game", "affine-gaussian"), noise).players
    with pytest.raises(UsageError, match="instance-noise needs a GAN"):
        regularized(cp.make("game", "quadratic"), noise)


@pytest.mark.parametrize("members", [None, 3])
def test_an_average_is_shown_and_does_not_change_play(members):
    game, solver = TanhGan(), cp.make("solver", "simgd", lr=0.1)
    path: list[Tensor] = []
    shown: list[Tensor] = []
    average = cp.make("regularizer", "ema", decay=0.8)
    wrapped = regularized(game, average)

    def watch(seen: cp.Seen) -> None:
        path.append(seen.params["generator"]["A"].clone())
        pick = (lambda x: x) if members is None else (lambda x: x[1])
        one = {i: {k: pick(x) for k, x in tree.items()} for i, tree in seen.params.items()}
        batch = {**{k: pick(x) for k, x in seen.buffers.items()}, "real": torch.zeros(1, 3, dtype=F64)}
        shown.append(wrapped.metrics(one, batch)["corner"].clone())

    averaged = cp.run(game, solver, steps=12, members=members, regularizers=[average], observers=[watch])
    plain = cp.run(game, solver, steps=12, members=members)
    for i, tree in plain.params.items():
        assert identical(averaged.params[i], tree)
    own = [x if members is None else x[1] for x in path]
    for t, found in enumerate(shown):
        weights = torch.tensor([0.8 ** (t - k) for k in range(t + 1)], dtype=F64)
        expected = sum(w * x[0, 0] for w, x in zip(weights / weights.sum(), own[: t + 1], strict=True))
        close(found, expected, 1e-12)
    assert shown[-1] != own[-1][0, 0]


def test_before_the_first_step_the_average_is_the_player():
    game = regularized(TanhGan(), cp.make("regularizer", "ema"))
    params = game.init(generator(2))
    batch = {**game.buffers(generator()), "real": torch.zeros(1, 3, dtype=F64)}
    assert game.metrics(params, batch)["corner"] == params["generator"]["A"][0, 0]


@pytest.mark.parametrize("name", ["saturating", "non-saturating"])
def test_smoothed_labels_are_those_of_the_cross_entropy(name):
    loss, d = cp.make("loss", {"name": name, "smoothing": 0.1}), random(7, seed=1)
    labels = torch.full_like(d, 0.9)
    found = loss(d, random(7, seed=2))["discriminator"]
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    close(found, cross_entropy(d, labels) + cross_entropy(random(7, seed=2), torch.zeros_like(d)))
    total = loss(d, d.flip(0))
    assert loss.zero_sum == (abs(float(total["generator"] + total["discriminator"])) < 1e-12) == (name == "saturating")


@pytest.mark.parametrize("names", [("ema", "spectral-norm"), ("spectral-norm", "ema")])
def test_an_average_is_of_what_the_solver_moves_and_then_normalised(names):
    tables = {
        "ema": {"name": "ema", "decay": 0.8},
        "spectral-norm": {"name": "spectral-norm", "player": "generator"},
    }
    regularizers = [cp.make("regularizer", tables[name]) for name in names]
    game, path, found = regularized(TanhGan(), *regularizers), list[Tensor](), list[Tensor]()

    def watch(seen: cp.Seen) -> None:
        path.append(seen.params["generator"]["A"].clone())
        weights = torch.tensor([0.8 ** (seen.step - k) for k in range(seen.step + 1)], dtype=F64)
        mean = sum(w * x for w, x in zip(weights / weights.sum(), path, strict=True))
        u, v = (seen.buffers[f"spectral_norm/generator/A/{side}"] for side in "uv")
        batch = {**seen.buffers, "real": torch.zeros(1, 3, dtype=F64)}
        found.append(game.metrics(seen.params, batch)["corner"] - (mean / (u @ mean @ v))[0, 0])

    cp.run(TanhGan(), cp.make("solver", "simgd", lr=0.1), steps=6, regularizers=regularizers, observers=[watch])
    close(torch.stack(found), torch.zeros(7, dtype=F64), 1e-12)


@pytest.mark.parametrize(("name", "options"), [("ema", {}), ("spectral-norm", {}), ("instance-noise", {"anneal": 3})])
def test_two_regularizers_that_would_share_a_buffer_are_refused(name, options):
    twice = [cp.make("regularizer", name, **options) for _ in range(2)]
    with pytest.raises(UsageError, match=r"keeps '.*' from step to step, and so does .* give each regularizer once"):
        cp.run(TanhGan(), cp.make("solver", "simgd"), steps=2, regularizers=twice)
    both = [cp.make("regularizer", "ema", player=i) for i in TanhGan.players]
    assert cp.run(TanhGan(), cp.make("solver", "simgd"), steps=2, regularizers=both).status == "max_steps"


def test_one_ema_of_two_players_is_one_of_each():
    first, second = (cp.make("regularizer", "ema", player=i) for i in TanhGan.players)
    at_once = cp.make("regularizer", "ema", player=TanhGan.players)
    game = TanhGan()
    params = game.init(generator(1))
    batch = at_once.buffers(game, generator(), params)
    apart = first.buffers(game, generator(), params) | second.buffers(game, generator(), params)
    for _ in range(2):
        batch = at_once.refresh(game, params, batch)
        apart = second.refresh(game, params, first.refresh(game, params, apart))
    assert {k: x.tolist() for k, x in batch.items()} == {k: x.tolist() for k, x in apart.items()}
    assert identical(at_once.shown(game, params, batch), second.shown(game, first.shown(game, params, batch), batch))
