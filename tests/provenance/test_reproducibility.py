"""What a game draws comes from its generator alone, or is refused by name; members draw each their own, of any kind."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.stacking import CannotStack, stacked
from counterplay.core.provenance.reproducibility import digest
from counterplay.core.storage.checkpoint_files import load_checkpoint, newest

from ..support.cases import F64, SmoothGan, identical, member, simgd


def game(sample, loss=lambda w, b: (b["a"] * w).sum(), size=2):
    start = {"x": {"w": torch.zeros(size, dtype=F64)}}
    return cp.game_from_losses(lambda p, b: {"x": loss(p["x"]["w"], b)}, start, sample)


DATA = torch.randn(10, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
loader, N, SAME = itertools.cycle(DATA), itertools.count(1), itertools.repeat(1.0)
ELSEWHERE = {
    "an iterator": (lambda rng: {"b": {"c": 1}, "a": next(loader)}, "drew another 'a'"),
    "nested": (lambda rng: {"a": 1.0, "more": [torch.ones(1), {"t": next(loader)}]}, "drew another 'more/1/t'"),
    "a number": (lambda rng: {"a": next(N)}, "drew another 'a'"),
    "a last bit": (lambda rng: {"a": 1.0 + next(N) * 2.0**-52}, "drew another 'a'"),
    "a shape": (lambda rng: {"a": 1.0, "z": torch.zeros(next(N))}, "drew another 'z'"),
    "text": (lambda rng: {"a": 1.0, "z": str(next(N))}, "drew another 'z'"),
    "an array": (lambda rng: {"a": 1.0, "z": np.arange(2) + next(N)}, "drew another 'z'"),
    "a key": (lambda rng: {"a": 1.0, f"z{next(N)}": 0}, "drew another 'z"),
    "torch's own": (lambda rng: {"a": 1.0 + 0 * torch.rand(1)}, "torch's global random numbers"),
    "numpy's own": (lambda rng: {"a": 1.0 + 0 * np.random.rand()}, "numpy's global random numbers"),
    "Python's own": (lambda rng: {"a": 1.0 + 0 * random.random()}, "Python's global random numbers"),
    "an iterator without change": (lambda rng: {"a": next(SAME)}, "reads SAME, a repeat, which moves on by itself"),
    "a count of draws": (
        lambda rng: {"a": 1.0 + 0 * torch.rand(next(N), generator=rng).sum().item()},
        "another count of random numbers",
    ),
}


@pytest.mark.parametrize("what", ELSEWHERE)
@pytest.mark.parametrize("members", [None, 2])
def test_a_draw_from_elsewhere_is_refused_by_name(tmp_path, what, members):
    sample, words = ELSEWHERE[what]
    states = torch.get_rng_state(), random.getstate()
    with pytest.raises(cp.PluginError) as said:
        cp.run(game(sample), simgd(), steps=3, out=tmp_path / "run", members=members)
    assert words in str(said.value) and "inexact_data=True (--inexact-data)" in str(said.value)
    assert not (tmp_path / "run").exists()
    assert torch.equal(states[0], torch.get_rng_state()) and states[1] == random.getstate(), "and nothing is disturbed"


def test_a_sample_that_writes_to_the_buffers_is_refused():
    class Counts(SmoothGan):
        def buffers(self, rng):
            return {"at": {"i": 0}}

        def sample(self, rng, buffers):
            buffers["at"]["i"] += 1
            return {**super().sample(rng, {}), **buffers}

    with pytest.raises(cp.PluginError, match="its sample writes to the buffers, which only refresh may renew"):
        cp.run(Counts(), simgd(), steps=2)


def test_whose_draw_it_is_is_said():
    class Noise(cp.Regularizer):
        def sample(self, game, rng, batch):
            return {**batch, "jitter": torch.rand(1)}

    with pytest.raises(cp.PluginError, match="the regularizer Noise breaks its contract: its sample draws from torch"):
        cp.run(SmoothGan(), simgd(), steps=2, regularizers=[Noise()])
    with pytest.raises(cp.PluginError, match="the game GameFromLosses breaks its contract"):
        cp.run(
            game(ELSEWHERE["an iterator"][0]), simgd(), steps=2, regularizers=[cp.make("regularizer", "l2", player="x")]
        )


def test_where_the_user_says_so_it_is_played_and_marked(tmp_path, cli):
    """The log says from which step on it is inexact: 0."""
    taken, seen = itertools.cycle(DATA), []
    result = cp.run(
        game(lambda rng: {"a": next(taken)}), simgd(1.0), steps=5, out=tmp_path / "run", inexact_data=True,
        checkpoint_every=1, observers=[lambda s: seen.append(s.batch["a"])],
    )  # fmt: skip
    torch.testing.assert_close(result.params["x"]["w"], -torch.stack(seen[:5]).sum(0), rtol=1e-14, atol=0)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["inexact_data"] is True
    marks = json.loads(cp.open_log(tmp_path / "run").attrs["inexact"])
    assert marks == [{"step": 0, "changed": ["its data do not come from the generator alone (inexact-data)"]}]
    assert "do not come from the generator alone" in cli("summary", tmp_path / "run")[1]
    assert not {"batch_sha256", "losses"} & set(load_checkpoint(newest(tmp_path / "run"))[1])


def test_the_digest_of_the_next_batch_is_in_every_checkpoint(tmp_path):
    seen: list[cp.Seen] = []
    gan = SmoothGan(batch=3)
    cp.run(gan, simgd(), steps=4, out=tmp_path / "run", checkpoint_every=1, observers=[seen.append])
    for step in (0, 1, 2, 3, 4):
        numbers = load_checkpoint(tmp_path / "run" / "checkpoints" / f"step-{step}")[1]
        assert numbers["batch_sha256"] == digest(seen[step].batch)
        assert numbers["losses"] == {i: [x.item()] for i, x in seen[step].info.losses.items()}
    assert len({digest(s.batch) for s in seen}) == 5
    cp.run(cp.make("game", "quadratic"), simgd(), steps=1, out=tmp_path / "q")
    assert "batch_sha256" not in load_checkpoint(newest(tmp_path / "q"))[1], "where nothing is drawn there is none"


def test_a_resumed_run_is_refused_where_its_data_have_changed(tmp_path, cli):
    """A file of another order, under the same name and in the same code."""
    np.save(tmp_path / "data.npy", DATA.numpy())
    loss = lambda w, b: ((w - b["a"]) ** 2).sum()  # noqa: E731

    def rows(rng):
        return {"a": np.load(tmp_path / "data.npy")[int(torch.randint(10, (), generator=rng))]}

    def stopped(out):
        left = iter([False] * 3 + [True])
        cp.run(game(rows, loss), simgd(0.1), steps=6, out=tmp_path / out, stop=lambda: next(left))
        return {"game": game(rows, loss), "solver": simgd(0.1)}

    whole = cp.run(game(rows, loss), simgd(0.1), steps=6)
    assert identical(cp.resume(tmp_path / "a", **stopped("a")).params, whole.params)
    again = stopped("b")
    np.save(tmp_path / "data.npy", DATA.numpy()[::-1])
    with pytest.raises(cp.UsageError, match="its next batch is another than it was to be: the data, or their order"):
        cp.resume(tmp_path / "b", **again)
    assert cp.resume(tmp_path / "b", **again, allow_inexact=True).status == "max_steps"
    assert "its next batch is another" in cli("summary", tmp_path / "b")[1]


def test_a_resumed_run_is_refused_where_what_the_losses_read_is_not_as_it_was(tmp_path, cli):
    """What an observer changes outside the run is in no checkpoint: another process has it as it was at first."""
    factor = [1.0]

    def annealed(seen):
        factor[0] = 1 + 0.1 * (seen.step + 1)

    def begun():
        factor[0] = 1.0
        loss = lambda w, b: factor[0] * ((w - b["a"]) ** 2).sum()  # noqa: E731
        return game(lambda rng: {"a": torch.randn(2, generator=rng, dtype=F64)}, loss)

    left = iter([False] * 3 + [True])
    cp.run(begun(), simgd(0.1), steps=6, out=tmp_path / "a", stop=lambda: next(left), observers=[annealed])
    now = begun()
    with pytest.raises(cp.UsageError, match=r"the loss of x at its last .* what the losses read besides"):
        cp.resume(tmp_path / "a", game=now, solver=simgd(0.1), observers=[annealed])
    again = {"game": now, "solver": simgd(0.1), "observers": [annealed], "allow_inexact": True}
    assert cp.resume(tmp_path / "a", **again).status == "max_steps"
    assert "what the losses read besides" in cli("summary", tmp_path / "a")[1]


def test_a_digest_tells_what_differs():
    one = {"a": torch.ones(4), "n": 1, "s": "x", "l": [torch.zeros(2, dtype=torch.int64), None]}
    others = [
        {**one, "a": torch.ones(2, 2)}, {**one, "a": torch.ones(4, dtype=F64)}, {**one, "b": 0}, {**one, "n": 1.0},
        {**one, "n": True}, {**one, "s": "y"}, {**one, "l": [torch.zeros(2), None]}, {**one, "a": -0.0 * torch.ones(4)},
        {**one, "a": torch.ones(4, dtype=torch.bfloat16)}, {**one, "l": [None, torch.zeros(2, dtype=torch.int64)]},
        {**one, "a": torch.ones(4, dtype=torch.complex64)}, {**one, "a": np.ones(4)},
    ]  # fmt: skip
    assert len({digest(x) for x in [one, *others]}) == 1 + len(others)
    assert digest(one) == digest(dict(reversed(one.items()))) == digest({**one, "a": torch.ones(8)[::2]})


# ------------------------------------------------------------------------------------------------------------- members


def uniform(rng):
    return torch.rand((), generator=rng, dtype=F64).item()


DRAWS: dict[str, Any] = {
    "fractions": (lambda rng: {"a": uniform(rng)}, lambda w, b: (b["a"] * w).sum()),
    "whole numbers": (
        lambda rng: {"a": int(torch.randint(100, (), generator=rng))},
        lambda w, b: (b["a"] * w).sum() + (w**2).sum() * b["a"] / 7,
    ),
    "switches": (lambda rng: {"a": uniform(rng) < 0.5}, lambda w, b: (b["a"] * w).sum()),
    "arrays": (lambda rng: {"a": np.array([uniform(rng), 1.0])}, lambda w, b: (b["a"] * w).sum()),
    "numpy's numbers": (lambda rng: {"a": np.float64(uniform(rng))}, lambda w, b: (b["a"] * w).sum()),
    "nested": (
        lambda rng: {"a": [(uniform(rng), {"b": uniform(rng)}), torch.rand(2, generator=rng, dtype=F64)]},
        lambda w, b: (b["a"][0][0] * b["a"][0][1]["b"] * w).sum() + (b["a"][1] * w).sum(),
    ),
    "an index": (
        lambda rng: {"a": int(torch.randint(10, (), generator=rng)), "data": DATA},
        lambda w, b: (b["data"][b["a"]] * w).sum(),
    ),
    "some alike": (lambda rng: {"a": uniform(rng), "n": 2, "mode": "sum"}, lambda w, b: (b["a"] * w[: b["n"]]).sum()),
}


@pytest.mark.parametrize("what", DRAWS)
@pytest.mark.parametrize("options", [{}, {"trace": True}, {"dtype": "float32"}])
def test_members_draw_numbers_and_arrays_of_their_own(what, options):
    sample, loss = DRAWS[what]
    g = game(sample, loss)
    many = cp.run(g, simgd(0.1), steps=4, seed=3, members=4, **options)
    tol = 1e-6 if "dtype" in options else 1e-14
    for m in range(4):
        alone = cp.run(g, simgd(0.1), steps=4, seed=cp.member_seed(3, m), **options)
        torch.testing.assert_close(member(many.params, m)["x"]["w"], alone.params["x"]["w"], rtol=tol, atol=tol)
    assert len({tuple(x.tolist()) for x in many.params["x"]["w"]}) >= 3


@dataclass(frozen=True)
class OwnRates(cp.Game):
    """Buffers that the members' generators draw: numbers that differ, and one that does not."""

    players = ("x",)

    def init(self, rng):
        return {"x": {"w": torch.zeros(1, dtype=F64)}}

    def buffers(self, rng):
        return {"rate": uniform(rng), "t": 0, "deep": [uniform(rng), 3]}

    def refresh(self, params, buffers):
        return {"rate": buffers["rate"] * 0.5, "t": buffers["t"] + 1, "deep": [buffers["deep"][0] + buffers["t"], 3]}

    def losses(self, params, batch):
        return {"x": -((batch["rate"] + batch["t"] + batch["deep"][0]) * params["x"]["w"]).sum()}


def test_members_have_numbers_of_their_own_in_the_buffers(tmp_path):
    whole = cp.run(OwnRates(), simgd(1.0), steps=6, members=3, seed=2)
    for m in range(3):
        alone = cp.run(OwnRates(), simgd(1.0), steps=6, seed=cp.member_seed(2, m))
        torch.testing.assert_close(member(whole.params, m), alone.params, rtol=1e-14, atol=0)
    left = iter([False] * 3 + [True])
    cp.run(OwnRates(), simgd(1.0), steps=6, members=3, seed=2, out=tmp_path / "run", stop=lambda: next(left))
    assert identical(cp.resume(tmp_path / "run", game=OwnRates(), solver=simgd(1.0)).params, whole.params)


@pytest.mark.parametrize(
    ("draws", "words"),
    [
        ([torch.ones(4), torch.ones(2)], "a is of shape (4,) and type float32 for one member, of shape (2,)"),
        ([torch.ones(2), torch.ones(2, dtype=F64)], "a is of shape (2,) and type float32 for one member"),
        (["x", "y"], "a differs between members and is no tensor, but 'x' and 'y'"),
        ([1.0, "y"], "a differs between members"),
        ([{"b": 1}, {"c": 1}], "a have not the same names for all members"),
        ([[1, 2], [1]], "a is not of one length for all members"),
        ([[0, object()], [0, object()]], "a/1 differs between members"),
        ([2**70, 1], "a differs between members"),
        ([np.array(["x", "y"]), np.array(["x", "y"])], "a differs between members"),
    ],
)
def test_what_cannot_be_put_together_is_refused_by_name(draws, words):
    with pytest.raises(CannotStack) as said:
        stacked([{"a": x} for x in draws])
    assert words in str(said.value)


def test_a_short_last_batch_is_named():
    sizes = itertools.cycle([4, 4, 4, 2])
    g = game(lambda rng: {"a": torch.ones(next(sizes)).mean(), "x": torch.ones(next(sizes))})
    with pytest.raises(cp.PluginError, match="its sample gives for the members cannot be put together: x is of shape"):
        cp.run(g, simgd(), steps=6, members=2, inexact_data=True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], torch.tensor([1, 2])),
        ([1, 0.1], torch.tensor([1.0, 0.1], dtype=F64)),
        ([True, False], torch.tensor([True, False])),
        ([0.0, -0.0], torch.tensor([0.0, -0.0], dtype=F64)),
        ([True, 1], torch.tensor([1, 1])),
    ],
)
def test_numbers_that_differ_become_tensors(values, expected):
    found = stacked(values)
    assert found.dtype == expected.dtype and found.tolist() == expected.tolist()
    assert [str(x) for x in found.tolist()] == [str(x) for x in expected.tolist()]


@pytest.mark.parametrize("value", [3, 0.1, True, "x", None, float("nan"), print, (1, 2)])
def test_what_is_the_same_for_all_stays_what_it_is(value):
    found = stacked([value] * 3)
    assert type(found) is type(value) and repr(found) == repr(value)
