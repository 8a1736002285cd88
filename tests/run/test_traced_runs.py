"""Traced runs are the eager runs, in the same precision, and leave no graph behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.tree import leaves
from counterplay.core.run import engine, settings

from ..support.cases import CONVERGES, QUADRATIC, SmoothGan, close_trees, simgd, watched


@pytest.mark.parametrize("name", ["simgd", "altgd", "extragradient", "conopt", "jare", "cgd", "acgd"])
@pytest.mark.parametrize("members", [None, 2])
def test_a_traced_run_is_the_eager_run(name, members):
    game = cp.make("game", "affine-gaussian", batch=5, loss="non-saturating")
    rule = {} if name in ("cgd", "acgd") else {"rule": {"name": "rmsprop", "eps": 0.01}}
    solver = cp.make("solver", name, lr=0.02, **rule)
    runs = [cp.run(game, solver, steps=5, members=members, trace=trace) for trace in (False, True)]
    close_trees(runs[1].params, runs[0].params, 1e-12)


def test_a_traced_run_of_a_network_with_normalisation_and_penalties():
    regularizers = [cp.make("regularizer", "spectral-norm"), cp.make("regularizer", "r1", gamma=0.5)]
    solver = cp.make("solver", "conopt", lr=0.02, gamma=0.1)
    runs = [
        cp.run(SmoothGan(batch=3), solver, steps=3, regularizers=regularizers, trace=trace) for trace in (False, True)
    ]
    close_trees(runs[1].params, runs[0].params, 1e-10)


def test_traced_and_eager_runs_see_and_cost_the_same(tmp_path):
    solver, logs = cp.make("solver", "cgd", lr=0.1, method="cg"), []
    for trace in (False, True):
        out = tmp_path / str(trace)
        cp.run(QUADRATIC, solver, steps=4, out=out, trace=trace, spectrum_every=2)
        logs.append(cp.open_log(out))
    for key in logs[0]:
        if not key.endswith("_seconds"):
            np.testing.assert_allclose(logs[1][key], logs[0][key], rtol=1e-12, atol=1e-14, err_msg=key)


MIXTURE = {"hidden": 4, "layers": 1, "latent": 2, "batch": 4}


@pytest.mark.parametrize(
    ("game", "solver", "options"),
    [
        ("quadratic", "simgd", {"lr": CONVERGES, "rule": "adam"}),
        ("quadratic", "cgd", {"lr": 0.01}),
        ("mixture", "simgd", {"rule": "adam"}),
        pytest.param("mixture", "cgd", {"lr": 0.01}, marks=pytest.mark.slow),
    ],
)
def test_a_longer_run_begins_as_a_shorter_one(game, solver, options, monkeypatch):
    """Bit for bit: graphs are replayed from a step on, whatever the length of the run."""
    monkeypatch.setattr(engine, "TRACE_FROM", 20)
    game = cp.make("game", game, **MIXTURE if game == "mixture" else {})
    solver = cp.make("solver", solver, **options)
    runs = {steps: watched(game, solver, steps=steps, dtype="float32")[1] for steps in (15, 19, 20, 21, 26)}
    for steps, seen in runs.items():
        assert len(seen) == steps + 1
        for own, longest in zip(seen, runs[26], strict=False):
            assert all(map(torch.equal, leaves(own.params), leaves(longest.params))), (steps, own.step)
            if own.step < steps:
                assert own.info.losses == longest.info.losses and (own.figures.losses == longest.figures.losses).all()


def test_what_is_replayed_depends_on_the_step(monkeypatch):
    made = []

    def prepared(*args, **options):
        made.append(Evaluator(*args, **options))
        return made[-1]

    monkeypatch.setattr(settings, "Evaluator", prepared)
    for trace in (None, True, False):
        cp.run(QUADRATIC, simgd(CONVERGES), steps=1, trace=trace)
    replays: list[list[bool]] = []
    one = torch.ones(())
    for table in made:
        replays.append([])
        for table.replay.step in (0, 199, 200, 10**6):
            replays[-1].append(table.replays({"x": {"value": one}, "y": {"value": one}}, {}))
    assert replays == [[False, False, True, True], [True] * 4, [False] * 4]


def test_settings_of_older_runs():
    """A run used to be traced and compiled as a whole."""
    new = settings.Settings(steps=9, trace_from=0).facts()
    old = {k: v for k, v in new.items() if not k.endswith("_from")} | {"trace": True, "compile": False}
    assert settings.Settings.read(old) == settings.Settings.read(new)
    assert settings.Settings.read(old | {"trace": False, "compile": True}).compile_from == 0


def test_results_carry_no_graph():
    result = cp.run(SmoothGan(batch=3), cp.make("solver", "acgd"), steps=2)
    assert not any(x.requires_grad for x in [*leaves(result.params), *leaves(result.memory["s"])])


def test_single_precision_is_single_all_the_way():
    result, seen = watched(SmoothGan(batch=3), simgd(0.1, rule="adam"), steps=2, dtype="float32")
    assert {x.dtype for x in leaves(result.params)} == {torch.float32}
    assert {x.dtype for x in seen[0].batch.values()} == {torch.float32}
