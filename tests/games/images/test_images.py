"""The game images: what a step draws, conditional play, dropout, resuming within an epoch, ensembles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.fixed_batch import FixedBatches
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import ravel
from counterplay.core.images.dataset import to_floats, to_pixels
from counterplay.core.images.image_game_base import EPOCH, ORDER, POSITION
from counterplay.core.run.checkpoint import save_checkpoint
from counterplay.core.storage.checkpoint_files import load_checkpoint, newest
from counterplay.core.tracing.traced import Traced
from counterplay.games.networks.layers import Dropout, Linear, flatten, reshape, tanh
from counterplay.games.networks.sequential import Sequential


@dataclass(frozen=True)
class Few(cp.Dataset):
    """Twelve images of 2x3 pixels; image n has all pixels n, and class n mod 3."""

    labelled: bool = True

    def load(self):
        pixels = torch.arange(12, dtype=torch.uint8).reshape(12, 1, 1, 1).expand(12, 1, 2, 3).contiguous()
        return cp.Images.of(pixels, torch.arange(12) % 3, "abc") if self.labelled else cp.Images.of(pixels)


@dataclass(frozen=True)
class Dropping(cp.Network):
    """Half of the eight hidden units drop out."""

    latent: int = 2

    def generator(self, shape, inputs):
        return Sequential((Linear(inputs, 6), tanh, reshape(*shape)))

    def discriminator(self, shape):
        return Sequential((flatten, Linear(6, 8), Dropout(0.5), Linear(8, 1)), input_shape=shape)


def game(**options):
    return cp.make("game", "images", **{"data": Few(), "batch": 5, "network": {"name": "mlp", "filters": 4}, **options})


def drawn(game, draws, members=None, seed=0):
    evaluator = Evaluator(game, members)
    rngs = evaluator.generators(seed)
    _, buffers = evaluator.start(rngs)
    batches = []
    for _ in range(draws):
        batches.append(evaluator.draw(rngs, buffers))
        buffers = evaluator.advance(buffers)
    return batches, buffers


def numbers(batch):
    return to_pixels(batch["real"])[..., 0, 0, 0]


def test_an_epoch_holds_every_image_once():
    batches, buffers = drawn(game(), 12)
    shown = torch.cat([numbers(b) for b in batches]).tolist()
    for n in range(5):
        assert sorted(shown[12 * n : 12 * n + 12]) == list(range(12))
    assert (buffers[EPOCH], buffers[POSITION]) == (5, 0)
    assert batches[0]["noise"].shape == (5, 32)
    assert batches[0].keys() == {"real", "noise"}  # the place in the data is none of the losses' business


def test_pixels_become_floats_and_back():
    pixels = torch.arange(256, dtype=torch.uint8)
    x = to_floats(pixels)
    assert x[0] == -1 and x[255] == 1
    assert torch.equal(to_pixels(x), pixels)
    assert torch.equal(to_pixels(torch.tensor([-3.0, 3.0])), torch.tensor([0, 255], dtype=torch.uint8))


def test_labels_are_those_of_the_images():
    (batch, *_), _ = drawn(game(conditional=True), 1)
    assert torch.equal(batch["labels"], numbers(batch).to(torch.int64) % 3)


def test_every_member_draws_in_an_order_of_its_own():
    together, buffers = drawn(game(), 4, members=3)
    assert buffers[ORDER].shape == (3, 12)
    for m in range(3):
        alone, _ = drawn(game(), 4, seed=cp.member_seed(0, m))
        for a, b in zip(alone, together, strict=True):
            assert torch.equal(a["real"], b["real"][m]) and torch.equal(a["noise"], b["noise"][m])


def test_alternating_play_draws_new_images_for_every_move():
    seen = []

    def observe(s):
        seen.append((s.buffers[EPOCH], s.buffers[POSITION]))

    cp.run(game(), cp.make("solver", "altgd"), steps=3, observers=[observe])
    assert seen == [(0, 10), (1, 8), (2, 6), (2, 6)]  # two draws of five a step; the last look moves nothing


@pytest.mark.parametrize("solver", ["altgd", "extragradient"])
def test_a_run_goes_on_within_the_epoch(tmp_path, solver):
    made = cp.make("solver", solver, lr=0.05)
    whole = cp.run(game(flip=True), made, steps=9)

    def stop(count=[0]):  # noqa: B006
        count[0] += 1
        return count[0] > 4

    broken = cp.run(game(flip=True), made, steps=9, out=tmp_path / "run", stop=stop)
    assert broken.status == "interrupted" and broken.steps == 4
    resumed = cp.resume(tmp_path / "run", game=game(flip=True))
    assert torch.equal(ravel(resumed.params), ravel(whole.params))


def test_fixed_batches_do_not_move_with_the_run():
    evaluator = Evaluator(game())
    fixed = FixedBatches(evaluator)
    _, buffers = drawn(game(), 3)
    here, later = fixed(fixed.buffers, 3), fixed(buffers, 3)
    for a, b in zip(here, later, strict=True):
        assert torch.equal(a["real"], b["real"]) and torch.equal(a["noise"], b["noise"])
    assert sorted(torch.cat([numbers(b) for b in here]).tolist()[:12]) == list(range(12))  # independent: one epoch


def test_half_of_the_images_are_mirrored():
    @dataclass(frozen=True)
    class Arrow(cp.Dataset):
        def load(self):
            return cp.Images.of(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))

    (batch,), _ = drawn(game(data=Arrow(), batch=1000, flip=True), 1)
    left = batch["real"][:, 0, 0, 0]
    assert torch.equal(batch["real"][:, 0, 0, 1], -left)
    assert 440 < (left > 0).sum() < 560
    (batch,), _ = drawn(game(data=Arrow(), batch=10), 1)
    assert (batch["real"][:, 0, 0, 0] == -1).all()


def test_conditional_discriminator_is_the_projection():
    g = game(conditional=True)
    params = g.init(torch.Generator().manual_seed(3))
    (batch,), _ = drawn(g, 1)
    d = params["discriminator"]
    own = {k: x for k, x in d.items() if k != "embedding"}
    phi = g.discriminator.features(own, batch["real"])
    *_, (weight, bias) = [(own[f"{n}.weight"], own[f"{n}.bias"]) for n in (1, 3, 5)]
    expected = phi @ weight[0] + bias + torch.stack([phi[n] @ d["embedding"][y] for n, y in enumerate(batch["labels"])])
    assert torch.allclose(g.discriminate(d, batch["real"], batch), expected, atol=1e-6)


def test_conditional_generator_reads_the_class():
    g = game(conditional=True)
    params = g.init(torch.Generator().manual_seed(3))["generator"]
    z = torch.ones(3, 32)
    images = g.generate(params, z, {"labels": torch.tensor([0, 1, 0])})
    assert torch.equal(images[0], images[2]) and not torch.allclose(images[0], images[1])


def test_conditional_play_needs_labels_and_features():
    with pytest.raises(cp.UsageError, match=r"labels, which these lack: name the labels .* or set conditional=false"):
        cp.run(game(data=Few(False), conditional=True), cp.make("solver", "simgd"), steps=1)

    class Plain(Dropping):
        def discriminator(self, shape):
            class Logits:
                def init(self, rng):
                    return {"w": torch.zeros(6)}

                def __call__(self, tree, x):
                    return (x.flatten(1) @ tree["w"])[:, None]

            return Logits()

    assert cp.run(game(network=Plain()), cp.make("solver", "simgd"), steps=1).status == "max_steps"
    with pytest.raises(cp.UsageError, match="gives its features"):
        cp.run(game(network=Plain(), conditional=True), cp.make("solver", "simgd"), steps=1)


def test_dropout_is_drawn_with_the_batch():
    g = game(network=Dropping(), batch=200)
    (first, second), _ = drawn(g, 2)
    (mask,) = first["dropout"]
    assert mask.shape == (200, 8) and set(mask.unique().tolist()) == {0.0, 2.0}
    assert abs(mask.mean() - 1) < 0.1 and not torch.equal(mask, second["dropout"][0])
    d = g.init(torch.Generator().manual_seed(0))["discriminator"]
    x = first["real"].flatten(1)
    by_hand = ((x @ d["1.weight"].T + d["1.bias"]) * mask) @ d["3.weight"].T + d["3.bias"]
    assert torch.allclose(g.discriminate(d, first["real"], first), by_hand[:, 0], atol=1e-6)
    whole = (x @ d["1.weight"].T + d["1.bias"]) @ d["3.weight"].T + d["3.bias"]
    without = {k: v for k, v in first.items() if k != "dropout"}
    assert torch.allclose(g.discriminate(d, first["real"], without), whole[:, 0], atol=1e-6)
    assert "dropout" not in g.gallery(torch.Generator(), {})


def test_dropout_is_played_by_members_and_traced():
    g, solver = game(network=Dropping(), conditional=True), cp.make("solver", "conopt", lr=1e-3)
    traced, eager = (cp.run(g, solver, steps=3, members=2, trace=t) for t in (True, False))
    assert torch.allclose(ravel(traced.params, True), ravel(eager.params, True), atol=1e-6)


def test_options_of_the_default_thing_can_be_set_alone():
    g: Any = cp.make("game", "images", network={"filters": 7})
    assert (type(g.network).__name__, g.network.filters) == ("Mlp", 7)
    with pytest.raises(cp.UsageError, match="network mlp has no option 'filter'"):
        cp.make("game", "images", network={"filter": 7})


@pytest.mark.parametrize(("count", "n"), [(500, 2), (250, 2), (11, 2), (251, 3), (2, 2)])
def test_what_is_shown_and_measured_comes_from_all_generators_in_equal_parts(count, n):
    g = cp.make("game", "several-gans", data=Few(), generators=n, network=Dropping())
    params = g.init(torch.Generator().manual_seed(0))
    for k, i in enumerate(g.generators):
        params[i] = {k: torch.zeros_like(x) for k, x in params[i].items()}
        params[i]["0.bias"] += (k + 1) / 8
    gallery = g.gallery(torch.Generator().manual_seed(0), {})
    shown = (2 * g.show(params, gallery)[:, 0, 0, 0] - 1).atanh() * 8
    assert shown.round().int().tolist() == sorted(1 + k * n // 64 for k in range(64))
    images = torch.cat([x for x, _ in g.generated_images(params, gallery).batches(count)])
    by = (images[:, 0, 0, 0].atanh() * 8).round().int()
    assert by.tolist() == [1 + k % n for k in range(count)]


def test_images_for_metrics_are_of_their_noise_and_class():
    g: Any = cp.make("game", "several-gans", data=Few(), generators=3, network=Dropping(), conditional=True)
    params, gallery = g.init(torch.Generator().manual_seed(0)), {"noise": torch.zeros(()), "seed": torch.tensor(7)}
    (images, y), *rest = g.generated_images(params, gallery).batches(250)
    rng = torch.Generator().manual_seed(7)
    z = g.noise(rng, 250)
    assert not rest and torch.equal(y, g.images.labels[torch.randint(12, (250,), generator=rng)])
    for k in (0, 1, 2, 3, 248):
        i = g.generators[k % 3]
        assert torch.allclose(g.generate(params[i], z[k : k + 1], {"labels": y[k : k + 1]})[0], images[k], atol=1e-6)


def test_several_gans_with_one_of_each_are_the_gan():
    one = cp.make("game", "several-gans", data=Few(), generators=1, discriminators=1, batch=5)
    two = game(network="mlp")
    a, b = (cp.run(g, cp.make("solver", "conopt", lr=0.05), steps=4) for g in (one, two))
    assert torch.equal(ravel(a.params), ravel(b.params))


@pytest.mark.parametrize(("n", "m"), [(2, 3), (2, 2)])
def test_several_gans_are_the_mean_over_all_pairs(n, m):
    g = cp.make(
        "game", "several-gans", data=Few(), generators=n, discriminators=m, batch=4, loss="wgan", network=Dropping()
    )
    assert g.zero_sum is (n == m)
    (batch,), _ = drawn(g, 1)
    assert batch["noise"].shape == (n, 4, 2)
    params = g.init(torch.Generator().manual_seed(0))
    losses = g.losses(params, batch)
    logit = {
        (j, i): g.discriminate(params[j], g.generate(params[i], batch["noise"][k], batch), batch).mean()
        for j in g.players[n:]
        for k, i in enumerate(g.players[:n])
    }
    real = {j: g.discriminate(params[j], batch["real"], batch).mean() for j in g.players[n:]}
    for i in g.players[:n]:
        expected = sum(real[j] - logit[j, i] for j in g.players[n:]) / m  # wgan's losses have the sum 0
        assert torch.allclose(losses[i], expected, atol=1e-6)
    for j in g.players[n:]:
        assert torch.allclose(losses[j], sum(logit[j, i] for i in g.players[:n]) / n - real[j], atol=1e-6)


def test_an_ensemble_of_one_is_the_run_alone():
    g = game()
    alone = cp.run(g, cp.make("solver", "simgd", lr=0.05), steps=4)
    member = cp.run(replace(g), cp.make("solver", "simgd", lr=0.05), steps=4, members=1)
    assert torch.allclose(ravel(member.params, True)[0], ravel(alone.params), atol=1e-6)


def test_one_trace_serves_every_step_under_regularizers(monkeypatch):
    """The place in the data is in no batch, which would otherwise differ from step to step."""
    made = []
    monkeypatch.setattr(Traced, "_trace", lambda self, *args, old=Traced._trace: made.append(1) or old(self, *args))
    regularizers = [cp.make("regularizer", "r1"), cp.make("regularizer", "ema")]
    cp.run(game(), cp.make("solver", "simgd", lr=0.01), steps=8, regularizers=regularizers, trace=True)
    assert len(made) == 1
    batch = Evaluator(regularized(game(), *regularizers)).drawn("gallery", [torch.Generator()], {ORDER: 0, EPOCH: 1})
    assert batch.keys() == {"noise", "seed"}


def test_a_count_in_the_batch_is_said_to_prevent_replays():
    class Counting(type(cp.make("game", "quadratic"))):
        def buffers(self, rng):
            return {"count": 0}

        def refresh(self, params, buffers):
            return {"count": buffers["count"] + 1}

    result = cp.run(Counting(), cp.make("solver", "simgd", lr=0.01), steps=40, trace=True)
    assert "more than 32 different shapes or constants were met" in result.eager


def test_a_checkpoint_without_an_order_of_the_images_is_refused_with_the_reason(tmp_path):
    """As an older version wrote it, which drew images anew in each step: the numbers would be those of another run."""
    steps = iter(range(2))
    g, solver = game(data="digits"), cp.make("solver", "simgd")
    cp.run(g, solver, steps=9, out=tmp_path / "d", stop=lambda: next(steps, None) is None)
    tensors, numbers = load_checkpoint(newest(tmp_path / "d"))
    save_checkpoint(tmp_path / "d", 3, {**tensors, "buffers": {}}, {**numbers, "step": 3, "buffers": {}})
    with pytest.raises(cp.UserError, match=r"data/order is missing, .*\. If an older version wrote it, .* again"):
        cp.resume(tmp_path / "d")
    assert cp.run(g, solver, steps=1, start=cp.load_params(tmp_path / "d")).status == "max_steps"
