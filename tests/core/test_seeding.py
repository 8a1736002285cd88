"""Seeds: every one of 64 bits has a stream of its own, every member of every ensemble another, and old runs go on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.seeding import generator, generators

from ..support.cases import CONVERGES, QUADRATIC, SmoothGan, identical, member, simgd

FAR = [2**32, 2**32 + 1, 2**33, 2**40, 2**63 - 1, 2**63, 2**64 - 1]


def drawn(rng, n=4000):
    return torch.rand(n, generator=rng, dtype=torch.float64)


def test_small_seeds_are_torch_s():
    for seed in (0, 1, 7, 2**31 - 1, 2**32 - 1):
        assert torch.equal(drawn(generator(seed)), drawn(torch.Generator().manual_seed(seed)))


def test_no_two_seeds_draw_the_same():
    streams = torch.stack([drawn(generator(s)) for s in (0, 1, 2**31, 2**32 - 1, *FAR)])
    assert len({tuple(x[:4].tolist()) for x in streams}) == len(streams)
    assert float((torch.corrcoef(streams) - torch.eye(len(streams))).abs().max()) < 5 / 4000**0.5


def test_far_seeds_draw_as_the_twister_does_from_that_state():
    """numpy's twister, given the 624 words that torch's has, goes on with the same numbers."""
    for seed in FAR:
        rng = generator(seed)
        words = rng.get_state()[24 : 24 + 8 * 624].view(torch.int64).numpy()
        own = np.random.RandomState()
        own.set_state({"bit_generator": "MT19937", "state": {"key": words.astype(np.uint32), "pos": 624}})
        bits = own.randint(0, 2**32, size=2000, dtype=np.uint64).astype(np.int64)
        assert torch.empty(2000, dtype=torch.int64).random_(0, 2**20, generator=rng).tolist() == (bits % 2**20).tolist()


def test_far_seeds_are_uniform_and_normal():
    x, z = drawn(generator(2**63 + 5), 100_000), torch.randn(100_000, generator=generator(2**63 + 5))
    counts = torch.histc(x, 100, 0, 1)
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 160  # chi-square with 99 degrees: 149 at 1 - 1e-3
    assert abs(float(z.mean())) < 0.02 and abs(float(z.std()) - 1) < 0.01
    assert abs(float((x[1:] * x[:-1]).mean()) - 0.25) < 0.003


def test_what_a_far_seed_draws_is_fixed():
    """A stable hash: a log says how its numbers came about."""
    assert cp.member_seed(0, 0) == 0 and cp.member_seed(2**64 - 1, 0) == 2**64 - 1
    assert [cp.member_seed(0, 1), cp.member_seed(7, 2)] == [5890642006579726994, 2278289867959173914]
    assert drawn(generator(2**32), 2).tolist() == pytest.approx([0.9211797931725269, 0.14590819124616317], abs=1e-15)


def test_members_share_no_stream_with_runs_of_other_seeds():
    seeds = [cp.member_seed(s, m) for s in range(50) for m in range(50)]
    assert len(set(seeds)) == len(seeds) and max(seeds) < 2**63
    first = cp.run(QUADRATIC, simgd(), steps=0, seed=0, members=8).params["x"]["value"].flatten().tolist()
    second = cp.run(QUADRATIC, simgd(), steps=0, seed=1, members=8).params["x"]["value"].flatten().tolist()
    assert not {*first} & {*second}


@pytest.mark.parametrize("seed", [0, 2**32, 2**63, 2**64 - 1])
def test_runs_of_any_seed_are_recorded_and_go_on(tmp_path, seed):
    game, solver = SmoothGan(batch=3), simgd(0.1)
    whole = cp.run(game, solver, steps=6, seed=seed)
    left = iter([False] * 3 + [True])
    cp.run(game, solver, steps=6, seed=seed, out=tmp_path / "run", stop=lambda: next(left))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["seed"] == seed
    assert identical(cp.resume(tmp_path / "run", game=game, solver=solver).params, whole.params)
    log = cp.open_log(tmp_path / "run", sandbox=True)
    assert int(log.attrs["seed"]) == seed


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "0", None, 10**400])
def test_other_seeds_are_refused(seed):
    with pytest.raises(cp.UsageError, match="seed must be a whole number"):
        cp.run(QUADRATIC, simgd(), steps=1, seed=seed)


def test_a_run_of_the_old_scheme_is_that_still(tmp_path):
    """run.json that names no scheme: member m started from, and is probed with, seed + m."""
    game, solver = SmoothGan(batch=3), simgd(0.1)
    left = iter([True])
    cp.run(game, solver, steps=4, seed=5, members=3, out=tmp_path / "run", stop=lambda: next(left))
    for name in ("checkpoints", "log"):
        __import__("shutil").rmtree(tmp_path / "run" / name, ignore_errors=True)  # killed before anything was saved
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["settings"].pop("seeding") == 2
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    result = cp.resume(tmp_path / "run", game=game, solver=solver)
    for m in range(3):
        alone = cp.run(game, solver, steps=4, seed=5 + m)
        for i, tree in alone.params.items():
            for k, x in tree.items():
                torch.testing.assert_close(member(result.params, m)[i][k], x, rtol=1e-8, atol=1e-10)
    assert [r.initial_seed() for r in generators(5, 3, 1)] == [5, 6, 7]


def test_numbers_of_numpy_s_are_whole_numbers():
    plain = cp.run(QUADRATIC, simgd(CONVERGES), steps=3, seed=2, members=2, every=1, blowup=1e9)
    theirs: dict[str, Any] = {
        "steps": np.int64(3), "seed": np.uint8(2), "members": np.int32(2), "every": np.int64(1),
        "blowup": np.float32(1e9),
    }  # fmt: skip
    result = cp.run(QUADRATIC, simgd(CONVERGES), **theirs)
    assert identical(result.params, plain.params) and (result.steps, type(result.steps)) == (3, int)
    wrongs: list[Any] = [np.bool_(True), np.float64(3.0), 3.0, "3", -1]
    for wrong in wrongs:
        with pytest.raises(cp.UsageError, match="steps must be a whole number of at least 0"):
            cp.run(QUADRATIC, simgd(), steps=wrong)
