"""How batches are cut, and which are refused, without other processes."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.collective import Ranks
from counterplay.core.conformance.check import check
from counterplay.core.errors import UsageError
from counterplay.core.parallel.shares import PLACES, WEIGHT, Shares
from counterplay.core.process import torchrun


@pytest.mark.parametrize("members", [None, 3])
def test_shares_put_together_are_the_batch(members: int | None) -> None:
    game = cp.make("game", "mixture")
    batch = {"real": torch.arange(14.0).reshape(7, 2), "noise": torch.arange(7.0)[:, None], "constant": torch.ones(7)}
    if members is not None:
        batch = {name: x.expand(members, *x.shape) for name, x in batch.items()}
    shares = [Shares(game, Ranks(rank, 3), members is not None).own(batch) for rank in range(3)]
    for name in ("real", "noise"):
        assert torch.equal(torch.cat([s[name] for s in shares], dim=0 if members is None else 1), batch[name])
    assert all(s["constant"] is batch["constant"] for s in shares)
    assert [s[PLACES] for s in shares] == [((2, 7, 0),), ((2, 7, 2),), ((3, 7, 4),)]
    assert sum(s[WEIGHT] for s in shares) == pytest.approx(1)


def test_several_gans_have_noise_along_another_axis() -> None:
    game = cp.make("game", "several-gans", data="digits", batch=4)
    own = Shares(game, Ranks(1, 2)).own({"real": torch.zeros(4, 1, 8, 8), "noise": torch.zeros(2, 4, 5)})
    assert (own["real"].shape, own["noise"].shape) == ((2, 1, 8, 8), (2, 2, 5))


@pytest.mark.parametrize(
    ("name", "batch", "words"),
    [
        ("mixture", {"real": torch.zeros(3, 2), "noise": torch.zeros(3, 2)}, "batches of 3 cannot be split over 4"),
        ("mixture", {"real": torch.zeros(9, 2), "noise": torch.zeros(6, 2)}, "batches of 6 and 9 cannot be split"),
        ("quadratic", {}, "says of no entry of its batch that it holds samples"),
    ],
)
def test_what_cannot_be_split_is_refused(name: str, batch: dict[str, torch.Tensor], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Shares(cp.make("game", name), Ranks(0, 4)).own(batch)


def test_a_count_of_processes_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UsageError, match="WORLD_SIZE is 'two'"):
        torchrun.processes()


def test_processes_without_torchrun_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match="RANK is not set: start several processes by torchrun"):
        cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd"), steps=1)


def test_only_solvers_are_checked_over_processes() -> None:
    with pytest.raises(UsageError, match="--ranks is for solvers, which several processes play; mixture is a game"):
        check("game", "mixture", ranks=2)
