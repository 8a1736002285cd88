"""What is seen of a run, by observers and in its log, is what was played; and looking on changes none of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.errors import UsageError
from counterplay.core.game.tree import ravel
from counterplay.core.loop.observers import Every

from ..support.cases import CONVERGES, QUADRATIC, SmoothGan, identical, same_spectrum, simgd, watched

NORM, PENALTY = "spectral-norm", "gradient-penalty"


@pytest.mark.parametrize(("trace", "names"), [(False, (NORM, PENALTY)), (True, (NORM,)), (True, (PENALTY,))])
def test_looking_on_changes_nothing_bit_for_bit(tmp_path, trace, names):
    """Log, spectra, samples, checkpoints and observers, on a game that draws, with a solver that solves."""
    game = cp.make("game", "mixture", hidden=4, layers=1, latent=2, batch=6)
    solver = cp.make("solver", "acgd", lr=0.01, method="cg")
    regularizers = [cp.make("regularizer", name) for name in names]
    alike = {"steps": 6, "seed": 5, "regularizers": regularizers, "trace": trace}
    bare = cp.run(game, solver, **alike)
    touched = []
    full = cp.run(
        game, solver, **alike, out=tmp_path / "run", spectrum_every=3, checkpoint_every=2, every=1,
        observers=[Every(2, lambda s: touched.append(torch.rand(3)))], progress=lambda *a: None,
    )  # fmt: skip
    assert identical((bare.params, bare.memory), (full.params, full.memory)) and len(touched) == 4


def test_the_order_in_which_a_solver_names_the_players_is_its_own_affair(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Backwards(cp.Solver):
        def step(self, game, params, memory, draw):
            after, memory, info = simgd(CONVERGES).step(game, params, memory, draw)
            return dict(reversed(after.items())), memory, info

        def init(self, game, params):
            return simgd(CONVERGES).init(game, params)

    for name, solver in (("a", Backwards()), ("b", simgd(CONVERGES))):
        cp.run(QUADRATIC, solver, steps=4, out=tmp_path / name)
    found, expected = (cp.open_log(tmp_path / name)["step/parameters"] for name in "ab")
    assert (found == expected).all()


def test_an_observer_sees_every_point_once_and_the_last_as_last():
    _, seen = watched(QUADRATIC, simgd(CONVERGES), steps=4)
    assert [s.step for s in seen] == [0, 1, 2, 3, 4] and [s.last for s in seen] == [False] * 4 + [True]
    for n, expected in [(0, []), (2, [0, 2, 4]), (3, [0, 3, 4])]:
        some: list[cp.Seen] = []
        cp.run(QUADRATIC, simgd(CONVERGES), steps=4, observers=[Every(n, some.append)])
        assert [s.step for s in some] == expected


def test_what_is_seen_at_step_k_belongs_to_the_point_of_step_k():
    """Losses, gradient and norms are those at theta_k on the batch of step k."""
    game = SmoothGan(batch=3)
    _, seen = watched(game, simgd(0.3), steps=3, seed=2)
    for s in seen:
        local = LocalGame.of(game, s.params, s.batch)
        for n, i in enumerate(game.players):
            assert s.figures.losses[n] == pytest.approx(float(local.losses()[i]), rel=1e-12)
            for norms, tree in ((s.figures.gradient_norms, local.gradient()), (s.figures.parameter_norms, s.params)):
                assert norms[n] == pytest.approx(float(ravel({i: tree[i]}).norm()), rel=1e-12)
    batches = [float(s.batch["noise"].sum()) for s in seen]
    assert len(set(batches)) == 4


@pytest.mark.parametrize("members", [None, 2])
def test_the_rows_of_the_log_are_what_was_seen(tmp_path, members):
    game, solver = cp.make("game", "quadratic", b=3.0), cp.make("solver", "altgd", lr=0.05)
    result, seen = watched(game, solver, steps=5, out=tmp_path / "run", members=members)
    log = cp.open_log(tmp_path / "run")
    assert log["step/step"].tolist() == [0, 1, 2, 3, 4, 5] and log.players == ("x", "y")
    for name in ("losses", "gradient_norms", "parameter_norms"):
        assert np.array_equal(log[f"step/{name}"], np.stack([getattr(s.figures, name) for s in seen]))
    theta = np.stack([ravel(s.params, members is not None).numpy() for s in seen])
    assert np.array_equal(log["step/parameters"], theta)
    assert np.array_equal(log["step/parameters"][-1], ravel(result.params, members is not None).numpy())
    x, y = theta[..., 0], theta[..., 1]
    np.testing.assert_allclose(log["step/losses"][:-1, ..., 0], (x * x + 3 * x * y + y * y)[:-1], rtol=1e-12)
    moved = x[1:]  # altgd: y moves, and reports its loss, after x
    np.testing.assert_allclose(
        log["step/losses"][:-1, ..., 1], -(moved**2 + 3 * moved * y[:-1] + y[:-1] ** 2), rtol=1e-12
    )


def test_spectra_in_the_log_are_those_of_the_points(tmp_path):
    game = cp.make("game", "dirac-gan")
    _, seen = watched(game, simgd(0.1), steps=4, out=tmp_path / "run", spectrum_every=2)
    log = cp.open_log(tmp_path / "run")
    assert log["spectrum/step"].tolist() == [0, 2, 4]
    for row, step in enumerate((0, 2, 4)):
        J = LocalGame.of(game, seen[step].params, seen[step].batch).jacobian().dense()
        same_spectrum(J, log["spectrum/eigenvalues"][row].tolist(), 1e-12)


def test_costs_are_counted_and_looking_is_free(tmp_path):
    """Gradients, products and samples of the solver alone: spectra, samples and the look at the end cost nothing."""
    game = cp.make("game", "affine-gaussian", batch=3)
    for name, options, gradients, products in [
        ("simgd", {}, 1, 0),
        ("extragradient", {}, 2, 0),
        ("altgd", {"repeats": 2}, 2, 0),  # each of four moves one player's
        ("conopt", {}, 1, 1),
        ("jare", {}, 1, 2),
    ]:
        out = tmp_path / name
        cp.run(game, cp.make("solver", name, **options), steps=3, out=out, spectrum_every=2, trace=False)
        log = cp.open_log(out)
        draws = 4 if name == "altgd" else 1
        assert log["step/gradients"].tolist() == [gradients * k for k in (1, 2, 3, 3)], name
        assert log["step/products"].tolist() == [products * k for k in (1, 2, 3, 3)], name
        assert log["step/samples"].tolist() == [3 * draws * k for k in (1, 2, 3, 3)], name


def test_inner_solves_are_in_the_log(tmp_path):
    game, solver = SmoothGan(cp.make("loss", "saturating"), 3), cp.make("solver", "cgd", lr=0.5, method="cg")
    cp.run(game, solver, steps=3, out=tmp_path / "run")
    log = cp.open_log(tmp_path / "run")
    k = log["step/inner_iterations"][:3]
    assert (k > 0).all() and (log["step/inner_converged"][:3] == 1).all()
    assert (log["step/inner_residual"][:3] <= 1e-10).all()
    assert log["step/products"][:3].tolist() == np.cumsum(2 * k + 1).tolist()


def test_progress_is_told():
    told = []
    tell = lambda done, steps, losses: told.append((done, steps, set(losses)))  # noqa: E731
    cp.run(QUADRATIC, simgd(CONVERGES), steps=3, progress=tell)
    assert told == [(1, 3, {"x", "y"}), (2, 3, {"x", "y"}), (3, 3, {"x", "y"})]


@pytest.mark.parametrize(
    "options", [{"steps": 7}, {"steps": 300, "compile": True}, {"steps": 3000, "until": "loss.x<1e-3"}]
)
def test_the_last_losses_told_are_those_of_the_point_returned(options):
    told = []
    result = cp.run(QUADRATIC, simgd(CONVERGES), progress=lambda done, steps, x: told.append((done, x)), **options)
    losses = LocalGame.of(QUADRATIC, result.params, {}).losses()
    assert told[-1][0] == result.steps and {i: float(x) for i, x in told[-1][1].items()} == losses


def test_a_run_without_a_directory_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cp.run(QUADRATIC, simgd(), steps=2, spectrum_every=1, checkpoint_every=1)
    assert not list(tmp_path.iterdir())


class Refusing:
    """Raises at a step that it is shown, alone or among many."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, seen: cp.Seen) -> None:
        self.rows({"step": [seen.step]})

    def rows(self, columns: dict[str, Any]) -> None:
        if columns["step"][-1] >= self.at:
            raise ValueError("no more")


def test_an_observer_that_raises_at_many_steps_loses_nothing(tmp_path):
    """A run of compiled steps goes on from where it was, and becomes the run that nobody stopped."""
    solver = simgd(CONVERGES)
    with pytest.raises(ValueError, match="no more"):
        cp.run(QUADRATIC, solver, steps=600, compile=True, out=tmp_path / "a", observers=[Refusing(300)])
    kept = [int(path.name.removeprefix("step-")) for path in (tmp_path / "a" / "checkpoints").iterdir()]
    assert 0 < max(kept) <= 300
    resumed = cp.resume(tmp_path / "a")
    assert identical(resumed.params, cp.run(QUADRATIC, solver, steps=600, compile=True).params)
    whole = cp.run(QUADRATIC, solver, steps=600, compile=True, out=tmp_path / "b")
    assert whole.steps == resumed.steps == 600
    found, expected = (cp.open_log(tmp_path / name)["step/losses"] for name in "ab")
    assert (found == expected).all()


@pytest.mark.parametrize("compile", [False, True])
def test_every_of_every_is_the_common_multiples(compile):
    seen: list[int] = []
    cp.run(
        QUADRATIC,
        simgd(CONVERGES),
        steps=97,
        compile=compile,
        observers=[Every(4, Every(6, lambda s: seen.append(s.step)))],
    )
    assert seen == [*range(0, 97, 12), 97]


@pytest.mark.parametrize("what", ["params", "memory"])
def test_an_observer_that_writes_to_what_it_is_shown_ends_the_run(what):
    def write(seen: cp.Seen) -> None:
        if seen.step == 2:
            tree: Any = seen.params["x"] if what == "params" else seen.memory["rule"]["x"]["m"]
            tree["value"].mul_(2)

    with pytest.raises(UsageError, match="an observer changed the parameters, memory or buffers that it was shown"):
        cp.run(QUADRATIC, simgd(CONVERGES, rule="momentum"), steps=5, observers=[write])
