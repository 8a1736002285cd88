"""Dropout: masks that are drawn with the batch, and none in evaluation."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.games.networks.layers import Activation, Dropout

from ...support.cases import F64, generator, random
from ...support.networks import NARROW, moved, narrow


@pytest.mark.parametrize("name", NARROW)
def test_masks_follow_every_activation_of_the_discriminator(name):
    options, shape = NARROW[name]
    plain, dropping = (cp.make("network", name, **options, dropout=rate).discriminator(shape) for rate in (0.0, 0.5))
    assert plain.masks(generator(), 4) == ()
    kinds = [type(layer) for layer in dropping.layers]
    after = [kinds[n + 1] for n, kind in enumerate(kinds) if kind is Activation]
    assert after == [Dropout] * len(after) and len(after) == kinds.count(Dropout) > 0
    masks = dropping.masks(generator(), 4)
    assert len(masks) == len(after) and all(len(m) == 4 and set(m.unique().tolist()) <= {0.0, 2.0} for m in masks)
    tree = {k: x.to(F64) for k, x in plain.init(generator()).items()}
    same = dict(zip(dropping.init(generator()), tree.values(), strict=True))
    x = random(4, *shape).tanh()
    assert torch.equal(dropping(same, x), plain(tree, x))  # no masks, as in samples and metrics
    assert not torch.equal(dropping(same, x, masks), plain(tree, x))


def test_a_mask_keeps_the_mean():
    """E of mask . x is x; the logits of a linear readout have the mean of those without masks."""
    network = cp.make("network", "mlp", filters=50, layers=1, dropout=0.4)
    D, x = network.discriminator((1, 2, 2)), random(1, 1, 2, 2).expand(20_000, -1, -1, -1)
    tree = {k: p.to(F64) for k, p in D.init(generator(1)).items()}
    dropped = D(tree, x, tuple(m.to(F64) for m in D.masks(generator(2), 20_000)))
    error = float(dropped.std()) / 20_000**0.5
    assert abs(float(dropped.mean()) - float(D(tree, x[:1]))) < 4 * error
    # the variance of a sum of masked terms: rate / (1 - rate) times the sum of their squares
    terms = D.features(tree, x[:1]) * tree["4.weight"]
    torch.testing.assert_close(float(dropped.var()), float(terms.square().sum()) * 0.4 / 0.6, rtol=0.05, atol=0)


def test_the_game_draws_masks_with_the_batch_and_shows_samples_without():
    game = narrow("icr-mnist", dropout=0.5)
    buffers = game.buffers(generator())
    batch, again = (game.sample(generator(3), buffers) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(batch["dropout"], again["dropout"], strict=True))
    params = moved(game.init(generator()))
    kept = game.losses(params, {k: x for k, x in batch.items() if k != "dropout"})
    assert float(game.losses(params, batch)["discriminator"]) != float(kept["discriminator"])
    assert "dropout" not in game.gallery(generator(), buffers)


@pytest.mark.parametrize("name", NARROW)
def test_play_with_classes(name):
    """The projection: the logit of class c is the plain logit plus features . embedding of c."""
    game = narrow(name, conditional=True)
    params = moved(game.init(generator()))
    batch = game.sample(generator(2), game.buffers(generator()))
    D, tree = game.discriminator, params["discriminator"]
    own = {k: x for k, x in tree.items() if k != "embedding"}
    phi = D.features(own, batch["real"])
    expected = D(own, batch["real"]).squeeze(1) + (phi * tree["embedding"][batch["labels"]]).sum(1)
    torch.testing.assert_close(game.discriminate(tree, batch["real"], batch), expected)
    assert game.generate(params["generator"], batch["noise"], batch).shape == batch["real"].shape


def test_a_rate_of_1_is_refused():
    with pytest.raises(cp.UsageError, match="dropout"):
        cp.make("network", "mlp", dropout=1.0)
