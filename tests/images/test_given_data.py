"""Data of one's own for a game of modules: tensors, arrays, data sets of torch; and all that a GAN has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import ravel
from counterplay.core.images.given_data import given_data

SIMGD = cp.make("solver", "simgd", lr=0.05)
PIXELS = torch.randint(256, (40, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
LABELS = torch.arange(40) % 3


def images(**options: Any) -> Any:
    torch.manual_seed(0)
    nets = {
        "generator": nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4))),
        "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(16, 1)),
    }
    given: Any = {"loss": "non-saturating", "data": PIXELS, "latent": 3, "batch": 8}
    return cp.game_from_modules(nets, **{**given, **options})


def points(latent: int = 2, **options: Any) -> Any:
    torch.manual_seed(0)
    D = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    given: Any = {"loss": "non-saturating", "generator": "G", "discriminator": "D", "latent": latent, "batch": 8}
    return cp.game_from_modules({"G": nn.Linear(latent, 2).double(), "D": D}, **{**given, **options})


class Items(Dataset[Any]):
    """Items as torchvision has them: an array (H, W, C) and a label."""

    def __init__(self, random: bool = False):
        self.random = random

    def __len__(self):
        return 40

    def __getitem__(self, n):
        x = PIXELS[n].permute(1, 2, 0).numpy()
        return (np.random.default_rng().permuted(x) if self.random else x), int(LABELS[n])


class Stream(IterableDataset[Any]):
    def __iter__(self):
        return iter(PIXELS)


GIVEN: dict[str, tuple[Any, Any]] = {
    "a tensor": (PIXELS, LABELS),
    "an array": (PIXELS.numpy(), LABELS.numpy()),
    "channels last": (PIXELS.permute(0, 2, 3, 1).numpy(), LABELS.tolist()),
    "no channels": (PIXELS[:, 0], LABELS),
    "floats from 0": (PIXELS / 255, LABELS),
    "floats from -1": (PIXELS.double() / 127.5 - 1, LABELS),
    "TensorDataset": (TensorDataset(PIXELS, LABELS), None),
    "items": (Items(), None),
}


@pytest.mark.parametrize("what", GIVEN)
def test_images_are_the_same_however_they_are_handed_over(what):
    found: Any = given_data(*GIVEN[what])
    loaded = found.load()
    assert torch.equal(loaded.pixels, PIXELS) and torch.equal(loaded.labels, LABELS)
    assert loaded.classes == ("0", "1", "2") and loaded.digest == cp.Images.of(PIXELS, LABELS, "012").digest


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a loader": (DataLoader(TensorDataset(PIXELS)), None, "a DataLoader, which has an order of its own.*inexact_data"),
    "a stream": (Stream(), None, "a Stream, which has an order of its own"),
    "an iterator": (iter([1]), None, "has an order of its own"),
    "random": (Items(random=True), None, "item 0 of data is another when it is read again.*flip=True"),
    "labels twice": (TensorDataset(PIXELS), LABELS, "labels are for a tensor or an array"),
    "few labels": (PIXELS, LABELS[:3], r"labels are 40 whole numbers.*shape \(3,\)"),
    "labels between": (PIXELS, LABELS + 0.5, r"whole numbers.*of a type such as int64; got .* type float"),
    "levels as floats": (PIXELS.float(), None, r"type float32, whole numbers from 0 to 255: .* are uint8"),
    "levels as integers": (PIXELS.long(), None, r"type int64, whole .* are uint8, as by data.to\(torch.uint8\)"),
    "no numbers": (torch.zeros(0, 2), None, "data are real numbers"),
    "NaN": (torch.full((4, 2), torch.nan), None, "not finite"),
    "shapes": ([torch.zeros(2), torch.zeros(3)], None, "several shapes"),
    "words": ([{"x": 1}], None, "item 0 of data is a dict"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_drawn_is_said(what):
    data, labels, words = REFUSED[what]
    with pytest.raises(cp.UsageError, match=words):
        given_data(data, labels)


def test_a_run_on_given_data_goes_on_where_it_was(tmp_path):
    settings: Any = {"steps": 12, "seed": 3}
    whole = cp.run(images(), SIMGD, **settings)
    calls = iter(range(99))
    cp.run(images(), SIMGD, out=tmp_path / "r", stop=lambda: next(calls) == 7, **settings)
    with pytest.raises(cp.UsageError, match="data"):
        cp.resume(tmp_path / "r", game=images(data=255 - PIXELS))
    again = cp.resume(tmp_path / "r", game=images())
    assert again.steps == 12 and torch.equal(ravel(again.params), ravel(whole.params))


@pytest.mark.parametrize("own", [False, True])
def test_regularizers_of_gans_are_those_of_the_modules(own):
    """r1 against plain autograd, with a loss by name and with losses of one's own."""

    def losses(nets, batch):
        real, fake = nets["discriminator"](batch["real"]), nets["discriminator"](nets["generator"](batch["noise"]))
        return {"generator": softplus(-fake).mean(), "discriminator": softplus(-real).mean() + softplus(fake).mean()}

    x = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    game = points(data=x, loss=None, losses=losses) if own else points(data=x)
    rng = torch.Generator().manual_seed(2)
    params, batch = game.init(rng), game.sample(rng, game.buffers(rng))
    local = LocalGame.of(regularized(game, cp.make("regularizer", "r1", gamma=3.0)), params, batch)
    D, G = game.modules["discriminator"], game.modules["generator"]
    real = batch["real"].clone().requires_grad_()
    slope = torch.autograd.grad(D(real).sum(), real, create_graph=True)[0]
    value = softplus(-D(real)).mean() + softplus(D(G(batch["noise"]))).mean() + 1.5 * slope.square().sum(1).mean()
    assert torch.allclose(local.losses()["discriminator"], value, atol=1e-12)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(value, list(D.parameters()))])
    assert torch.allclose(ravel({"discriminator": local.gradient()["discriminator"]}), expected, atol=1e-12)


def test_noise_on_the_data_reaches_a_loss_by_name_and_is_refused_with_losses_of_ones_own():
    noise, x = cp.make("regularizer", "instance-noise", std=0.5), torch.ones(9, 2, dtype=torch.float64)
    assert cp.run(points(data=x), SIMGD, steps=2, regularizers=[noise]).status == "max_steps"

    def own(nets, b):
        return {i: n(b["noise" if i == "generator" else "real"]).mean() for i, n in nets.items()}

    with pytest.raises(cp.UsageError, match="instance-noise cannot reach the generated data"):
        cp.run(points(data=x, loss=None, losses=own), SIMGD, steps=2, regularizers=[noise])


def test_samples_that_are_no_images_are_drawn_once_an_epoch_and_shown_as_points():
    x = torch.arange(32, dtype=torch.float64).reshape(16, 2)
    seen: list[float] = []
    watch = [lambda s: seen.extend(s.batch["real"][:, 0].tolist())]
    result = cp.run(points(data=x), SIMGD, steps=3, history=True, observers=watch)
    assert sorted(seen[:16]) == sorted(seen[16:]) == x[:, 0].tolist()
    assert result.history is not None and result.history["samples/points"].shape[1:] == (256, 2)
    assert tuple(result.params) == ("generator", "discriminator")
    for options, words in (
        ({"metrics": "fid"}, "metrics by name is for images"),
        ({"flip": True}, "flip is for images"),
        ({"conditional": True}, "conditional play needs labels"),
    ):
        with pytest.raises(cp.UsageError, match=words):
            points(data=x, **options)


def test_images_of_conditional_play_need_labels():
    with pytest.raises(cp.UsageError, match="give labels="):
        images(conditional=True)
    assert repr(images()).startswith("ImageGanFromModules(players=('generator', 'discriminator')")


def test_both_modules_of_conditional_play_get_the_classes():
    class Of(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.body, self.of = nn.Linear(2, width), nn.Embedding(3, width)

        def forward(self, x, y):
            return self.body(x) + self.of(y)

    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    given: Any = {"data": x, "labels": LABELS, "conditional": True, "latent": 2, "batch": 8}
    game: Any = cp.game_from_modules({"generator": Of(2), "discriminator": Of(1)}, loss="hinge", **given)
    buffers = game.buffers(torch.Generator().manual_seed(0))
    batch, order = game.sample(torch.Generator(), buffers), buffers["data/order"][:8]
    assert torch.equal(batch["labels"], LABELS[order]) and torch.equal(batch["real"], x[order])
    assert cp.run(game, SIMGD, steps=2, regularizers=[cp.make("regularizer", "r1")]).status == "max_steps"


def test_what_is_shown_and_measured_may_be_functions():
    def show(nets, batch):
        return nets["generator"](batch["noise"])[:5]

    data = torch.ones(9, 2).double()
    game = points(data=data, show=show, metrics=lambda nets, batch: {"size": batch["noise"].norm()})
    result = cp.run(game, SIMGD, steps=2, history=True)
    assert result.history is not None and result.history["samples/points"].shape[1:] == (5, 2)
    assert result.history["metrics/size"].shape[0] == len(result.history["metrics/step"])
    batch = {"real": data[:4], "noise": data[:4]}
    drawn = points(sample=lambda rng: batch, show=show)
    assert drawn.show(drawn.init(torch.Generator()), batch).shape == (4, 2)


def test_modules_come_back_with_the_statistics_of_the_data():
    result = cp.run(images(batch=40), SIMGD, steps=4)
    generator: Any = result.modules(batches=3, seed=5)["generator"]
    game, rng = images(batch=40), torch.Generator().manual_seed(5)
    buffers = game.buffers(rng)
    hidden = [generator[0](game.sample(rng, buffers)["noise"]).detach() for _ in range(3)]
    assert torch.allclose(generator[1].running_mean, torch.stack([h.mean(0) for h in hidden]).mean(0), atol=1e-6)
    assert torch.equal(generator[0].weight.detach(), result.params["generator"]["0.weight"])


@pytest.mark.parametrize("kind", ["arrays", "folder"])
def test_ones_own_pictures_on_the_command_line(cli, tmp_path, kind):
    if kind == "arrays":
        np.save(tmp_path / "x.npy", PIXELS.numpy())
        data = ["-g", "data=arrays", "-g", f"data.file={tmp_path / 'x.npy'}"]
    else:
        image = pytest.importorskip("PIL.Image")
        for n in range(9):
            image.fromarray(PIXELS[n, 0].numpy()).save(tmp_path / f"{n}.png")
        data = ["-g", "data=folder", "-g", f"data.root={tmp_path}", "-g", "data.side=4"]
    more = ["-g", "network.filters=4", "--solver", "simgd", "--steps", 2, "--out", "r"]
    code, out, err = cli("run", "images", *data, *more)
    assert code == 0 and "max_steps after 2 steps" in out, err
    assert cp.open_log(tmp_path / "r")["samples/images"].shape[-2:] == (4, 4)
