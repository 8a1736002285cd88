"""The networks are those that one would write with torch.nn, layer by layer and with the same names of parameters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import counterplay as cp
from counterplay.games.networks.layered import down, up

from ...support.cases import F64, generator, random
from ...support.networks import moved


class Crop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :-1, :-1]


class Block(nn.Module):
    """net + .1 * residual, with activations before or after the convolutions."""

    def __init__(self, f: int, inner: int, act: nn.Module, before: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(f, inner, 3, padding=1), nn.Conv2d(inner, f, 3, padding=1)
        self.act, self.before = act, before

    def forward(self, x: Tensor) -> Tensor:
        if self.before:
            return x + 0.1 * self.conv2(self.act(self.conv1(self.act(x))))
        return x + 0.1 * self.act(self.conv2(self.act(self.conv1(x))))


def same_up(a: int, b: int, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(a, b, 5, 2, 1, bias=bias), Crop())


def same_down(a: int, b: int, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(a, b, 5, 2, 1, bias=bias))


def slim(channels: int) -> nn.Module:
    """Batch normalisation of slim; the scale of torch's stays 1."""
    return nn.BatchNorm2d(channels, eps=1e-3)


# fmt: off
def pairs():
    """name, options, side, generator, discriminator: of few filters, for three channels and four latents."""
    yield "icr-mnist", {"filters": 3, "hidden": 5}, 28, nn.Sequential(
        nn.Linear(4, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 588), nn.ReLU(), nn.BatchNorm1d(588),
        nn.Unflatten(1, (12, 7, 7)), nn.ConvTranspose2d(12, 6, 4, 2, 1), nn.ReLU(), nn.BatchNorm2d(6),
        nn.ConvTranspose2d(6, 3, 4, 2, 1), nn.Tanh(),
    ), nn.Sequential(
        nn.Conv2d(3, 3, 5), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 6, 5), nn.LeakyReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(96, 5), nn.LeakyReLU(), nn.Linear(5, 1),
    )
    yield "icr-mnist", {"filters": 3, "hidden": 5, "order": "bn-relu"}, 28, nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 588), nn.BatchNorm1d(588), nn.ReLU(),
        nn.Unflatten(1, (12, 7, 7)), nn.ConvTranspose2d(12, 6, 4, 2, 1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 3, 4, 2, 1), nn.Tanh(),
    ), None
    yield "wgan-gp-dcgan", {"filters": 3}, 16, nn.Sequential(
        nn.Linear(4, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Unflatten(1, (12, 2, 2)),
        nn.ConvTranspose2d(12, 6, 4, 2, 1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 3, 4, 2, 1), nn.BatchNorm2d(3), nn.ReLU(),
        nn.ConvTranspose2d(3, 3, 4, 2, 1), nn.Tanh(),
    ), nn.Sequential(
        nn.Conv2d(3, 3, 4, 2, 1), nn.LeakyReLU(), nn.Conv2d(3, 6, 4, 2, 1), nn.LeakyReLU(),
        nn.Conv2d(6, 12, 4, 2, 1), nn.LeakyReLU(), nn.Flatten(), nn.Linear(48, 1),
    )
    leaky = nn.LeakyReLU(0.2)
    yield "dcgan4", {"filters": 2}, 32, nn.Sequential(
        nn.Linear(4, 64), nn.Unflatten(1, (16, 2, 2)), slim(16), leaky, same_up(16, 8, False), slim(8), leaky,
        same_up(8, 4, False), slim(4), leaky, same_up(4, 2, False), slim(2), leaky, same_up(2, 3), nn.Tanh(),
    ), nn.Sequential(
        same_down(3, 2), leaky, same_down(2, 4, False), slim(4), leaky, same_down(4, 8, False), slim(8), leaky,
        same_down(8, 16, False), slim(16), leaky, nn.Flatten(), nn.Linear(64, 1),
    )
    yield "dcgan4-nobn", {"filters": 2}, 16, nn.Sequential(
        nn.Linear(4, 16), nn.Unflatten(1, (16, 1, 1)), leaky, same_up(16, 8), leaky, same_up(8, 4), leaky,
        same_up(4, 2), leaky, same_up(2, 3), nn.Tanh(),
    ), nn.Sequential(
        same_down(3, 2), leaky, same_down(2, 4), leaky, same_down(4, 8), leaky, same_down(8, 16), leaky,
        nn.Flatten(), nn.Linear(16, 1),
    )
    relu, tenth = nn.ReLU(), nn.LeakyReLU(0.1)
    yield "dcgan4-const", {"filters": 2, "generator_slope": 0.0, "slope": 0.1}, 32, nn.Sequential(
        nn.Linear(4, 8), relu, nn.Unflatten(1, (2, 2, 2)), same_up(2, 2), relu, same_up(2, 2), relu, same_up(2, 2),
        relu, same_up(2, 3), nn.Tanh(),
    ), nn.Sequential(
        same_down(3, 2), tenth, same_down(2, 2), tenth, same_down(2, 2), tenth, same_down(2, 2), tenth,
        nn.Flatten(), nn.Linear(8, 1),
    )
    yield "conv4-const", {"filters": 2, "hidden": 5}, 32, nn.Sequential(
        nn.Linear(4, 5), leaky, nn.Linear(5, 8), leaky, nn.Unflatten(1, (2, 2, 2)), same_up(2, 2), leaky,
        same_up(2, 2), leaky, same_up(2, 2), leaky, same_up(2, 3), nn.Tanh(),
    ), nn.Sequential(
        same_down(3, 2), leaky, same_down(2, 2), leaky, same_down(2, 2), leaky, same_down(2, 2), leaky,
        nn.Flatten(), nn.Linear(8, 5), leaky, nn.Linear(5, 1),
    )
    yield "conv3-const", {"filters": 2, "hidden": 5}, 16, nn.Sequential(
        nn.Linear(4, 8), leaky, nn.Unflatten(1, (2, 2, 2)), same_up(2, 2), leaky, same_up(2, 2), leaky,
        same_up(2, 3), nn.Tanh(),
    ), nn.Sequential(
        same_down(3, 2), leaky, same_down(2, 2), leaky, same_down(2, 2), leaky, nn.Flatten(), nn.Linear(8, 5), leaky,
        nn.Linear(5, 1),
    )
    yield "resnet-const", {"filters": 4}, 32, nn.Sequential(
        nn.Linear(4, 16), nn.Unflatten(1, (4, 2, 2)), leaky, same_up(4, 4), Block(4, 2, leaky, True), leaky,
        same_up(4, 4), Block(4, 2, leaky, True), leaky, same_up(4, 4), Block(4, 2, leaky, True), leaky,
        same_up(4, 3), nn.Tanh(),
    ), nn.Sequential(
        same_down(3, 4), Block(4, 4, leaky, True), leaky, same_down(4, 4), Block(4, 2, leaky, True), leaky,
        same_down(4, 4), Block(4, 2, leaky, True), leaky, same_down(4, 4), Block(4, 2, leaky, True), leaky,
        nn.Flatten(), nn.Linear(16, 1),
    )
    yield "sngan-cnn", {"filters": 2}, 16, nn.Sequential(
        nn.Linear(4, 64, bias=False), nn.BatchNorm1d(64, eps=1e-3), relu, nn.Unflatten(1, (16, 2, 2)),
        nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), slim(8), relu,
        nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), slim(4), relu,
        nn.ConvTranspose2d(4, 2, 4, 2, 1, bias=False), slim(2), relu,
        nn.Conv2d(2, 3, 3, padding=1, bias=False), slim(3), nn.Tanh(),
    ), nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=1), tenth, nn.Conv2d(2, 2, 4, 2, 1), tenth, nn.Conv2d(2, 4, 3, padding=1), tenth,
        nn.Conv2d(4, 4, 4, 2, 1), tenth, nn.Conv2d(4, 8, 3, padding=1), tenth, nn.Conv2d(8, 8, 4, 2, 1), tenth,
        nn.Conv2d(8, 16, 3, padding=1), tenth, nn.Flatten(), nn.Linear(64, 1),
    )
    yield "sngan-cnn", {"filters": 2, "bn": False}, 16, nn.Sequential(
        nn.Linear(4, 64), relu, nn.Unflatten(1, (16, 2, 2)), nn.ConvTranspose2d(16, 8, 4, 2, 1), relu,
        nn.ConvTranspose2d(8, 4, 4, 2, 1), relu, nn.ConvTranspose2d(4, 2, 4, 2, 1), relu,
        nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(),
    ), None
    for name, first, last in (
        ("resnet-v1", 2, nn.ConvTranspose2d(4, 3, 4, 2, 1)), ("resnet-v2", 4, nn.Conv2d(4, 3, 3, padding=1)),
    ):
        yield name, {"filters": 4}, 32, nn.Sequential(
            nn.Linear(4, 4 * first**2), relu, nn.Unflatten(1, (4, first, first)),
            nn.ConvTranspose2d(4, 4, 4, 2, 1), relu, Block(4, 2, relu, False),
            nn.ConvTranspose2d(4, 4, 4, 2, 1), relu, Block(4, 2, relu, False),
            nn.ConvTranspose2d(4, 4, 4, 2, 1), relu, Block(4, 2, relu, False), last, nn.Tanh(),
        ), nn.Sequential(
            nn.Conv2d(3, 4, 4, 2, 1), relu, Block(4, 4, relu, False), nn.Conv2d(4, 4, 4, 2, 1), relu,
            Block(4, 2, relu, False), nn.Conv2d(4, 4, 4, 2, 1), relu, Block(4, 2, relu, False),
            nn.Conv2d(4, 4, 4, 2, 1), relu, Block(4, 2, relu, False), nn.Flatten(), nn.Linear(16, 1),
        )
# fmt: on


def loaded(modules: nn.Module, tree: dict[str, Tensor]) -> nn.Module:
    """``modules`` in training mode with the parameters of ``tree``, whose names do not tell the padding."""
    modules = modules.double().train()
    inner = {n: k for n in tree for k in modules.state_dict() if _outer(k) == n}
    assert set(inner) == set(tree)
    missing, unknown = modules.load_state_dict({k: tree[n] for n, k in inner.items()}, strict=False)
    assert not unknown and all("running" in k or "num_batches" in k or _is_scale(modules, k) for k in missing), missing
    return modules


def _outer(name: str) -> str:
    """The name of a parameter where the padding is a part of the layer."""
    parts = name.split(".")
    return ".".join(p for n, p in enumerate(parts) if not (n == 1 and p.isdigit()))


def _is_scale(modules: nn.Module, name: str) -> bool:
    return isinstance(modules.get_submodule(name.rpartition(".")[0]), nn.BatchNorm1d | nn.BatchNorm2d)


PAIRS = list(pairs())


@pytest.mark.parametrize(("name", "options", "side", "G", "D"), PAIRS, ids=[f"{n} {len(o)}" for n, o, *_ in PAIRS])
def test_a_network_is_its_modules(name, options, side, G, D):
    network, shape, rng = cp.make("network", name, latent=4, **options), (3, side, side), generator()
    for ours, theirs, x in (
        (network.generator(shape, 4), G, random(5, 4)),
        (network.discriminator(shape), D, random(5, *shape).tanh()),
    ):
        if theirs is None:
            continue
        tree = moved({"it": {k: p.to(F64) for k, p in ours.init(rng).items()}})["it"]
        with torch.no_grad():
            expected = loaded(theirs, tree)(x)
        torch.testing.assert_close(ours(tree, x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kernel", [4, 5])
def test_levels_are_aligned_as_tensorflow_s(kernel):
    """ "SAME": output i reads the inputs 2i - 1, ..., 2i + kernel - 2; doubling is the adjoint of halving."""
    halve, double = down(1, 1, kernel, bias=False), up(1, 1, kernel, bias=False)
    w, x, y = random(1, 1, kernel, kernel), random(1, 1, 8, 6, seed=1), random(1, 1, 4, 3, seed=2)
    small = halve.apply({"weight": w}, x)
    assert small.shape == y.shape
    padded = torch.zeros(11, 9, dtype=F64)
    padded[1:9, 1:7] = x[0, 0]
    for i in range(4):
        for j in range(3):
            seen = padded[2 * i : 2 * i + kernel, 2 * j : 2 * j + kernel]
            torch.testing.assert_close(small[0, 0, i, j], (seen * w[0, 0]).sum(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((small * y).sum(), (x * double.apply({"weight": w}, y)).sum(), rtol=1e-12, atol=1e-12)
