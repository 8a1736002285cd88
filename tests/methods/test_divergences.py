"""Losses of two Gaussians against the divergences that they bound: closed forms, or quadrature of another kind."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import logsigmoid, relu, softplus

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.game.loss import GanLoss, Loss
from counterplay.core.registry.registry import entries

from ..support.cases import F64, close, random

# Data p = N(0, 1), generated q = N(M, S^2).
M, S = 0.7, 1.2
Z = torch.linspace(-14, 14, 1201, dtype=F64)  # trapezoids converge faster than any power for what is analytic
W = torch.exp(-(Z**2) / 2) / torch.exp(-(Z**2) / 2).sum()
REAL, FAKE = Z, M + S * Z
GRID = torch.linspace(-14, 14, 200_001, dtype=F64)


def mean(x: Tensor) -> Tensor:
    """The expectation over N(0, 1) of a function, given at Z."""
    return (W * x).sum()


def log_p(x: Tensor) -> Tensor:
    return -(x**2) / 2 - math.log(2 * math.pi) / 2


def log_q(x: Tensor) -> Tensor:
    return log_p((x - M) / S) - math.log(S)


def log_ratio(x: Tensor) -> Tensor:
    return log_p(x) - log_q(x)


def integral(f: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Of f(p, q), by trapezoids."""
    return float(torch.trapezoid(f(log_p(GRID).exp(), log_q(GRID).exp()), GRID))


KL = math.log(S) + (1 + M**2) / (2 * S**2) - 0.5
REVERSE = -math.log(S) + (S**2 + M**2) / 2 - 0.5
OVERLAP = math.sqrt(2 * S / (1 + S**2)) * math.exp(-(M**2) / (4 * (1 + S**2)))
PEARSON = S**2 / math.sqrt(2 * S**2 - 1) * math.exp(M**2 / (2 * S**2 - 1)) - 1
JENSEN_SHANNON = integral(lambda p, q: p * (2 * p / (p + q)).log() + q * (2 * q / (p + q)).log()) / 2
VARIATION = integral(lambda p, q: (p - q).abs()) / 2

# loss: the divergence, and the logits at which the bound is reached
BOUNDS: dict[str, tuple[float, Callable[[Tensor], Tensor]]] = {
    "kl": (KL, lambda x: 1 + log_ratio(x)),
    "reverse-kl": (REVERSE, log_ratio),
    "pearson": (PEARSON, lambda x: 2 * log_ratio(x).expm1()),
    "hellinger": (2 - 2 * OVERLAP, lambda x: log_ratio(x) / 2),
    "jensen-shannon": (2 * JENSEN_SHANNON, log_ratio),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_an_f_gan_reaches_its_divergence_at_the_best_discriminator(name):
    value, best = BOUNDS[name]
    loss = cp.make("loss", name)
    found = loss.losses(mean, best(REAL), best(FAKE))
    assert float(found["generator"]) == pytest.approx(value, rel=1e-10)
    assert float(found["discriminator"]) == pytest.approx(-value, rel=1e-10)
    step = torch.zeros((), dtype=F64, requires_grad=True)
    for change in (torch.sin, lambda x: x, lambda x: 1 / (1 + x**2)):  # nothing is gained by any change to first order
        here = loss.losses(mean, best(REAL) + step * change(REAL), best(FAKE) + step * change(FAKE))["discriminator"]
        (slope,) = torch.autograd.grad(here, step, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, step)
        assert abs(slope.item()) < 1e-10 and curvature.item() > 0


@pytest.mark.parametrize(("variant", "times"), [("f-gan", 1), ("numerics", 2)])
def test_total_variation_is_reached_at_the_sign(variant, times):
    z = torch.special.ndtri((torch.arange(200_000, dtype=F64) + 0.5) / 200_000)  # equally likely points
    loss = cp.make("loss", {"name": "total-variation", "variant": variant})
    found = loss(50 * log_ratio(z).sign(), 50 * log_ratio(M + S * z).sign())
    assert float(found["generator"]) == pytest.approx(times * VARIATION, abs=2e-5)
    weaker = loss(log_ratio(z), log_ratio(M + S * z))
    assert float(weaker["generator"]) < float(found["generator"])


def test_the_hinge_discriminator_is_left_with_the_overlap():
    z = torch.special.ndtri((torch.arange(200_000, dtype=F64) + 0.5) / 200_000)
    found = cp.make("loss", "hinge")(log_ratio(z).sign(), log_ratio(M + S * z).sign())
    assert float(found["discriminator"]) == pytest.approx(2 - 2 * VARIATION, abs=4e-5)


def test_least_squares_descends_a_chi_squared_divergence():
    loss = cp.make("loss", {"name": "least-squares", "a": -1.0, "b": 1.0, "c": 0.0})
    real, fake = (torch.tanh(log_ratio(x) / 2) for x in (REAL, FAKE))  # (p - q) / (p + q)
    generator = loss.losses(mean, real, fake)["generator"] + mean(real**2) / 2  # and its part of the data alone
    assert float(generator) == pytest.approx(integral(lambda p, q: (p - q) ** 2 / (p + q) / 2), rel=1e-9)


def test_numerics_kl_descends_the_reverse_divergence_of_a_cross_entropy_discriminator():
    loss = cp.make("loss", {"name": "kl", "variant": "numerics"})
    found = loss.losses(mean, log_ratio(REAL), log_ratio(FAKE))
    assert float(found["generator"]) == pytest.approx(REVERSE, rel=1e-10)
    assert float(found["discriminator"]) == pytest.approx(2 * math.log(2) - 2 * JENSEN_SHANNON, rel=1e-9)


@pytest.mark.parametrize("saturating", [False, True])
def test_pairs_reach_the_divergence_of_pairs(saturating):
    """The best difference is log p(x) q(y) / (p(y) q(x)); the loss there is log 2 - JSD(p x q, q x p)."""
    x = torch.linspace(-12, 12, 1501, dtype=F64)
    one, other = (log_p(x)[:, None] + log_q(x)).exp(), (log_q(x)[:, None] + log_p(x)).exp()
    terms = one * (2 * one / (one + other).clamp(min=1e-300)).clamp(min=1e-300).log()
    jsd = float(torch.trapezoid(torch.trapezoid(terms, x), x))  # both halves are the same by symmetry
    loss = cp.make("loss", {"name": "relativistic-pairing", "saturating": saturating})
    found = loss.losses(mean, log_ratio(REAL), log_ratio(FAKE))
    assert float(found["discriminator"]) == pytest.approx(math.log(2) - jsd, rel=1e-6)
    assert loss.zero_sum == saturating
    assert (float(found["generator"]) == -float(found["discriminator"])) == saturating


def test_pairs_are_those_of_one_index():
    real, fake = random(6, seed=1), random(6, seed=2)
    found = cp.make("loss", "relativistic-pairing")(real, fake)
    close(found["discriminator"], softplus(fake - real).mean())
    close(found["generator"], softplus(real - fake).mean())
    with pytest.raises(UsageError, match="got 6 and 5: batches of the same size"):
        cp.make("loss", "relativistic-pairing")(real, fake[:5])


@pytest.mark.parametrize(
    ("cost", "real_term", "fake_term"),
    [
        ("cross-entropy", lambda h: -logsigmoid(h), lambda h: -(1 - torch.sigmoid(h)).log()),
        ("least-squares", lambda h: (h - 1) ** 2, lambda h: (h + 1) ** 2),
        ("hinge", lambda h: relu(1 - h), lambda h: relu(1 + h)),
    ],
)
def test_the_average_is_of_the_other_side(cost, real_term, fake_term):
    real, fake = random(6, seed=3), random(4, seed=4)
    found = cp.make("loss", {"name": "relativistic-average", "cost": cost})(real, fake)
    r, f = real - fake.mean(), fake - real.mean()
    close(found["discriminator"], real_term(r).mean() + fake_term(f).mean())
    close(found["generator"], real_term(f).mean() + fake_term(r).mean())


@pytest.mark.parametrize("bandwidths", [None, [0.5], [0.3, 2.0]])
def test_mmd_of_two_gaussians(bandwidths):
    """With D(x) = x; the kernel's expectation is a Gaussian integral."""

    def expected(variance: float, shift: float) -> float:
        scales = bandwidths or [1.0, 2.0, 4.0, 8.0, 16.0]
        return sum(s / math.sqrt(s**2 + variance) * math.exp(-(shift**2) / (2 * (s**2 + variance))) for s in scales)

    loss = cp.make("loss", {"name": "mmd", "bandwidths": bandwidths})
    found = loss.losses(mean, REAL, FAKE)
    value = expected(2, 0) - 2 * expected(1 + S**2, M) + expected(2 * S**2, 0)
    assert float(found["generator"]) == pytest.approx(value, rel=1e-10)
    assert float(found["discriminator"]) == -float(found["generator"])


@pytest.mark.parametrize("kernel", ["gaussian", "rational-quadratic"])
def test_unbiased_mmd_leaves_out_the_diagonal(kernel):
    real, fake = random(5, seed=5).tolist(), random(4, seed=6).tolist()
    scales = [1.0, 2.0, 4.0, 8.0, 16.0] if kernel == "gaussian" else [0.2, 0.5, 1.0, 2.0, 5.0]

    def k(a: float, b: float) -> float:
        if kernel == "gaussian":
            return sum(math.exp(-((a - b) ** 2) / (2 * s * s)) for s in scales)
        return sum((1 + (a - b) ** 2 / (2 * s)) ** -s for s in scales)

    def within(x: list[float]) -> float:
        pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
        return sum(k(x[i], x[j]) for i, j in pairs) / len(pairs)

    between = sum(k(a, b) for a in real for b in fake) / (len(real) * len(fake))
    loss = cp.make("loss", {"name": "mmd", "kernel": kernel, "unbiased": True})
    found = loss(torch.tensor(real, dtype=F64), torch.tensor(fake, dtype=F64))
    assert float(found["generator"]) == pytest.approx(within(real) - 2 * between + within(fake), rel=1e-12)
    with pytest.raises(UsageError, match="two or more"):
        loss(torch.tensor(real[:1], dtype=F64), torch.tensor(fake, dtype=F64))


def test_mmd_without_a_kernel_is_refused():
    with pytest.raises(UsageError, match="bandwidths must be one or more numbers, or null"):
        cp.make("loss", {"name": "mmd", "bandwidths": []})


@pytest.mark.parametrize("name", sorted(e.name for e in entries("loss")))
def test_gradients_are_differences(name):
    loss: GanLoss = cp.make("loss", name)
    real, fake = (random(4, seed=s).mul(1.3).requires_grad_() for s in (7, 8))
    for player in ("generator", "discriminator"):

        def value(a: Tensor, b: Tensor, player: str = player) -> Tensor:
            return loss(a, b)[player]

        assert gradcheck(value, (real, fake)) and gradgradcheck(value, (real, fake))


# f'(0) of the generator's and of the discriminator's term on generated data, at the Dirac-GAN's equilibrium
SLOPES = {
    "least-squares": (-1.0, 0.0),
    "hinge": (-1.0, 1.0),
    "kl": (-math.exp(-1), math.exp(-1)),
    "reverse-kl": (-1.0, 1.0),
    "pearson": (-1.0, 1.0),
    "hellinger": (-1.0, 1.0),
    "jensen-shannon": (-0.5, 0.5),
    "total-variation": (-0.5, 0.5),
    "indicator": (-1.0, 1.0),
    "relativistic-average": (-1.0, 1.0),
    "relativistic-pairing": (-0.5, 0.5),
    "mmd": (0.0, 0.0),
}


@pytest.mark.parametrize("name", SLOPES)
def test_the_dirac_gan_turns_about_its_equilibrium(name):
    """J = [[0, f'(0)], [g'(0), 0]] there: its eigenvalues are the roots of f'(0) g'(0), with both signs."""
    game = cp.make("game", "dirac-gan", loss=name)
    origin = {i: {"value": torch.zeros(1, dtype=F64)} for i in game.players}
    J = cp.LocalGame.of(game, origin, game.buffers(torch.Generator())).jacobian().dense()
    f, g = SLOPES[name]
    close(J, torch.tensor([[0.0, f], [g, 0.0]], dtype=F64))
    radius = math.sqrt(-f * g)
    assert sorted(torch.linalg.eigvals(J).imag.tolist()) == pytest.approx([-radius, radius])
    assert isinstance(game.loss, Loss) == (name not in ("relativistic-average", "relativistic-pairing", "mmd"))
