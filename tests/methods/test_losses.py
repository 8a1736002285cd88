"""GAN losses: values and slopes against their definitions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch.func import grad, vmap

import counterplay as cp

from ..support.cases import F64, close, random

D = torch.linspace(-5, 5, 11, dtype=F64)
sigma = torch.sigmoid
DEFINED = {  # f_real, f_fake, g_real, g_fake; None: nothing
    "saturating": (
        lambda d: sigma(d).log(),
        lambda d: (1 - sigma(d)).log(),
        lambda d: -sigma(d).log(),
        lambda d: -(1 - sigma(d)).log(),
    ),
    "non-saturating": (None, lambda d: -sigma(d).log(), lambda d: -sigma(d).log(), lambda d: -(1 - sigma(d)).log()),
    "wgan": (lambda d: d, lambda d: -d, lambda d: -d, lambda d: d),
    "least-squares": (
        None,
        lambda d: (d - 1).square() / 2,
        lambda d: (d - 1).square() / 2,
        lambda d: d.square() / 2,
    ),
    "hinge": (None, lambda d: -d, lambda d: (1 - d).clamp(min=0), lambda d: (1 + d).clamp(min=0)),
    "indicator": (lambda d: d, lambda d: -d, lambda d: -d, lambda d: d),
}
# f'(0) and f''(0) of what D minimises, on generated data, and of what G does; sigma(0) = 1/2, sigma'(0) = 1/4.
AT_ZERO = {
    "saturating": (0.5, 0.25, -0.5, -0.25),
    "non-saturating": (0.5, 0.25, -0.5, 0.25),
    "wgan": (1.0, 0.0, -1.0, 0.0),
    "least-squares": (0.0, 1.0, -1.0, 1.0),
    "hinge": (1.0, 0.0, -1.0, 0.0),
    "kl": (math.exp(-1), math.exp(-1), -math.exp(-1), -math.exp(-1)),
    "reverse-kl": (1.0, 0.0, -1.0, 0.0),
    "pearson": (1.0, 0.5, -1.0, -0.5),
    "hellinger": (1.0, 1.0, -1.0, -1.0),
    "jensen-shannon": (0.5, 0.25, -0.5, -0.25),
    "total-variation": (0.5, 0.0, -0.5, 0.0),
}


@pytest.mark.parametrize("name", DEFINED)
def test_a_loss_is_its_definition(name):
    loss = cp.make("loss", name)
    for part, expected in zip(("f_real", "f_fake", "g_real", "g_fake"), DEFINED[name], strict=True):
        found = getattr(loss, part)(D)
        if expected is None:
            assert found == 0.0
        else:
            close(found, expected(D))
    real, fake = random(7, seed=1), random(7, seed=2)
    f_real, f_fake, g_real, g_fake = DEFINED[name]
    both = loss(real, fake)
    close(both["generator"], (0 if f_real is None else f_real(real).mean()) + f_fake(fake).mean())
    close(both["discriminator"], g_real(real).mean() + g_fake(fake).mean())


@pytest.mark.parametrize("name", AT_ZERO)
def test_slope_and_curvature_at_zero(name):
    loss, zero = cp.make("loss", name), torch.zeros((), dtype=F64)
    found = [
        grad(loss.g_fake)(zero),
        grad(grad(loss.g_fake))(zero),
        grad(loss.f_fake)(zero),
        grad(grad(loss.f_fake))(zero),
    ]
    assert [float(x) for x in found] == pytest.approx(AT_ZERO[name], abs=1e-15)


@pytest.mark.parametrize("name", DEFINED)
def test_zero_sum_is_what_it_says(name):
    loss = cp.make("loss", name)
    total = loss(random(5, seed=3), random(5, seed=4))
    zero = abs(float(total["generator"] + total["discriminator"])) < 1e-14
    assert zero == loss.zero_sum == (name in ("saturating", "wgan", "indicator"))


@pytest.mark.parametrize("name", DEFINED)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_confident_logits_stay_finite(name, dtype):
    loss, d = cp.make("loss", name), torch.tensor([-1e4, -100.0, 100.0, 1e4], dtype=dtype)
    for part in ("f_fake", "g_real", "g_fake"):
        assert torch.isfinite(getattr(loss, part)(d)).all()
        assert torch.isfinite(vmap(grad(lambda x: getattr(loss, part)(x)))(d)).all()  # noqa: B023


def test_non_saturating_pulls_where_saturating_does_not():
    """The same fixed points; where D is sure that a sample is generated, the gradient is 1 instead of 0."""
    d = torch.tensor(-20.0, dtype=F64)
    losses = cp.make("loss", "saturating"), cp.make("loss", "non-saturating")
    slopes = [float(grad(loss.f_fake)(d)) for loss in losses]
    assert slopes[0] == pytest.approx(0, abs=1e-8) and slopes[1] == pytest.approx(-1)


def test_a_loss_is_four_functions():
    @dataclass(frozen=True)
    class LeastSquares(cp.Loss):
        def f_fake(self, d):
            return (d - 1) ** 2

        def g_real(self, d):
            return (d - 1) ** 2

        def g_fake(self, d):
            return d**2

    both = LeastSquares()(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0]))
    assert (float(both["generator"]), float(both["discriminator"])) == (1.0, 4.0)
    assert cp.make("game", "dirac-gan", loss=LeastSquares()).zero_sum is False


def test_a_game_takes_a_loss_by_name():
    assert type(cp.make("game", "dirac-gan", loss="wgan").loss) is type(cp.make("loss", "wgan"))
    assert [cp.make("game", "dirac-gan", loss=name).zero_sum for name in ("saturating", "wgan", "non-saturating")] == [
        True,
        True,
        False,
    ]
