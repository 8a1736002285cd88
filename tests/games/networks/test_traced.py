"""Steps of replayed programs are the eager steps, for every network."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import counterplay as cp

from ...support.cases import F64, close_trees, generator
from ...support.networks import NARROW, moved, narrow

SOLVERS: dict[str, dict[str, Any]] = {"acgd": {"lr": 0.01}, "conopt": {"lr": 0.01, "gamma": 0.1}}


def played(game: cp.Game, solver: str, **options: Any) -> tuple[cp.Params, cp.Params]:
    """Two steps from a point where no bias is 0, eagerly and replayed."""
    start = moved({i: {k: x.to(F64) for k, x in tree.items()} for i, tree in game.init(generator()).items()})
    made = cp.make("solver", solver, **SOLVERS[solver])
    eager, replayed = (
        cp.run(game, made, steps=2, start=start, dtype="float64", trace=trace, **options).params
        for trace in (False, True)
    )
    assert not torch.equal(*(next(iter(p["generator"].values())) for p in (start, eager)))
    return eager, replayed


# Each kind of layer is in one of these; the others take minutes and are in the slow tier.
QUICK = ("mlp", "icr-mnist", "wgan-gp-dcgan", "conv3-const")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NARROW])
def test_traced_steps(name, solver):
    eager, replayed = played(narrow(name), solver)
    close_trees(replayed, eager, 1e-9)


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        ("icr-mnist", "conopt"),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (("icr-mnist", "acgd"), ("dcgan4", "conopt"))),
        ("resnet-const", "conopt"),
    ],
)
def test_traced_steps_of_members_with_classes_and_dropout(name, solver):
    """Pooling, normalisation, residuals and 5x5 levels between them."""
    game = narrow(name, "saturating", conditional=True, dropout=0.3)
    eager, replayed = played(game, solver, members=2)
    close_trees(replayed, eager, 1e-9)
