"""Every image is drawn once an epoch, whatever the batch, and every epoch has an order of its own."""

from __future__ import annotations

import pytest
import torch

from counterplay.core.images import epochs


@pytest.mark.parametrize(("count", "batch"), [(10, 3), (10, 10), (7, 20), (1, 3), (12, 4)])
def test_every_image_is_drawn_once_an_epoch(count, batch):
    order, epoch, position = epochs.first_order(count, torch.Generator().manual_seed(1)), 0, 0
    drawn = []
    for _ in range(3 * count):
        taken, order, epoch, position = epochs.take(order, epoch, position, batch)
        assert len(taken) == batch
        drawn += taken.tolist()
    for n in range(len(drawn) // count):
        assert sorted(drawn[n * count : (n + 1) * count]) == list(range(count))
    assert (epoch, position) == divmod(len(drawn), count)


def test_epochs_have_orders_of_their_own():
    order = epochs.first_order(50, torch.Generator().manual_seed(1))
    orders = [order]
    for epoch in range(20):
        orders.append(epochs.next_order(orders[-1], epoch))
    assert len({tuple(o.tolist()) for o in orders}) == 21
    assert not torch.equal(order, epochs.first_order(50, torch.Generator().manual_seed(2)))


def test_places_in_an_epoch_are_uniform():
    """The image at place 0 of the third epoch, over 600 seeds: each of 6 is there 100 times, within 4 deviations."""
    found = torch.zeros(6)
    for seed in range(600):
        order = epochs.first_order(6, torch.Generator().manual_seed(seed))
        found[epochs.next_order(epochs.next_order(order, 0), 1)[0]] += 1
    assert (found - 100).abs().max() < 4 * (600 / 6 * 5 / 6) ** 0.5
