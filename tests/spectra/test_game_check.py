"""What a game is asked once, before it is played."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.spectra.game_check_inputs import few_samples

from ..support.broken_games import Square
from ..support.cases import F64

START = {"x": {"w": torch.tensor([1.0, -0.5], dtype=F64)}, "y": {"w": torch.tensor([0.5, 2.0], dtype=F64)}}
SGD = cp.make("solver", "simgd", lr=0.1)


def game(loss, start=START, **options):
    """A game of x and y, who are against each other but for what ``loss(x, y)`` adds to either."""
    return cp.game_from_losses(lambda p, b: loss(p["x"]["w"], p["y"]["w"]), start, **options)


def plain(x, y):
    return {"x": (x.tanh() * y).sum(), "y": -(x.tanh() * y).sum()}


def scaled(by):
    return lambda x, y: {"x": by(x) * (x * y).sum(), "y": -(x * y).sum()}


def status(made, **options):
    return cp.run(made, SGD, steps=1, **options).checks["jacobian"]["status"]


@pytest.mark.parametrize("members", [None, 2])
def test_j_that_is_the_derivative_of_v_agrees(members):
    assert status(game(plain), members=members) == "agrees"
    assert status(game(scaled(lambda x: x.detach().norm())), members=members) == "agrees"
    assert (
        status(game(lambda x, y: {"x": (x.relu() * y).sum(), "y": -(x.relu() * y).sum()}), members=members) == "agrees"
    )


@pytest.mark.parametrize("name", ["mixture", "digits"])
def test_networks_with_kinks_in_single_precision_agree(name):
    assert status(cp.make("game", name, hidden=64, batch=32)) == "agrees"


def test_a_number_taken_out_of_a_tensor_is_found():
    made = game(scaled(lambda x: x.norm().item()))
    answer = cp.run(made, SGD, steps=1).checks["jacobian"]
    assert answer["status"] == "differs" and "x to the gradient of x/w" in answer["words"].replace("does ", "")
    with pytest.raises(cp.UsageError, match="J is not the derivative of v"):
        cp.update_jacobian(made, SGD, START)
    small = game(
        lambda x, y: {"x": 1e-3 * x.norm().item() * (x * y).sum(), "y": -1e3 * (x * y).sum() + y.square().sum()}
    )
    assert status(small) == "differs", "however small beside the rest"


def test_a_number_looked_at_but_not_used_is_no_matter():
    assert (
        status(game(lambda x, y: {**plain(x, y), "x": plain(x, y)["x"] + 0 * float((x * y).sum().item() > 5)}))
        == "agrees"
    )


def test_a_derivative_written_by_hand_that_is_not_one_is_found():
    """x's gradient 2xy changes by 2y dx, of which the rule written by hand knows nothing."""
    made = game(lambda x, y: {"x": (Square.apply(x) * y).sum(), "y": -(Square.apply(x) * y).sum()})
    answer = cp.run(made, SGD, steps=1).checks["jacobian"]
    assert answer["status"] == "differs" and answer["error"] == pytest.approx(1.0, rel=1e-3)


def test_losses_that_are_no_function_are_refused():
    counter = itertools.count()
    for by in (lambda x: random.random(), lambda x: next(counter)):
        with pytest.raises(cp.UsageError, match="differs between two evaluations at one point"):
            cp.run(game(scaled(by)), SGD, steps=1)


def test_what_is_kept_from_one_evaluation_to_the_next_is_refused():
    kept: dict[str, Tensor] = {}

    def cached(x, y):
        return {"x": kept.setdefault("norm", x.norm()) * (x * y).sum(), "y": -(x * y).sum()}

    with pytest.raises(cp.UsageError, match="use again what they computed from other parameters"):
        cp.run(game(cached), SGD, steps=1)


def test_rounding_that_differs_with_gradients_is_no_matter():
    """Singular values are computed otherwise where vectors are needed, too."""
    start = {"x": {"w": torch.linspace(-1, 2, 9, dtype=F64).reshape(3, 3) ** 2}}
    made = cp.game_from_losses(lambda p, b: {"x": torch.linalg.svdvals(p["x"]["w"]).sum()}, start)
    assert status(made) == "agrees"


def test_a_player_whose_loss_does_not_know_it_is_refused():
    with pytest.raises(cp.UsageError, match="the loss of x depends on none of x's own parameters"):
        cp.run(game(lambda x, y: {"x": y.sum(), "y": -(x * y).sum()}), SGD, steps=1)
    G, D = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    other = torch.nn.Linear(2, 1)
    losses = lambda n, b: {"g": -other(n["g"](b["z"])).mean(), "d": other(n["g"](b["z"])).mean()}  # noqa: E731
    made = cp.game_from_modules({"g": G, "d": D}, losses, lambda rng: {"z": torch.ones(3, 2)})
    with pytest.raises(cp.UsageError, match=r"the loss of d .* nets\['d'\]"):
        cp.run(made, SGD, steps=1)


def penalised(x, y):
    """A WGAN with a penalty on a point between real and generated, which sees both players."""
    f = (x * y).sum()
    return {"x": -f, "y": f + 10 * ((y * (1 + 0.5 * x)).norm() - 1).square()}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_claim_of_zero_sum_is_checked(dtype):
    with pytest.raises(cp.UsageError, match="claims zero_sum, but what y does to x and x to y is not opposite"):
        cp.run(game(penalised, zero_sum=True), cp.make("solver", "cgd"), steps=1, dtype=dtype)
    assert cp.run(game(penalised), cp.make("solver", "cgd"), steps=1, dtype=dtype).status == "max_steps"
    own = lambda x, y: {"x": (x * y).sum() + x.pow(4).sum(), "y": -(x * y).sum() + y.square().sum()}  # noqa: E731
    assert cp.run(game(own, zero_sum=True), cp.make("solver", "cgd"), steps=1, dtype=dtype).status == "max_steps"


def test_a_claim_of_zero_sum_that_is_nearly_true_is_refused():
    nearly = lambda x, y: {"x": (x * y).sum(), "y": -(1 + 1e-6) * (x * y).sum()}  # noqa: E731
    with pytest.raises(cp.UsageError, match="claims zero_sum"):
        cp.run(game(nearly, zero_sum=True), SGD, steps=1)


def test_what_was_found_is_kept_with_the_run(tmp_path):
    cp.run(game(scaled(lambda x: x.norm().item())), SGD, steps=1, out=tmp_path / "r")
    assert cp.open_log(tmp_path / "r").run["checks"]["jacobian"]["status"] == "differs"


def test_a_gan_is_checked_on_its_first_samples():
    game = Evaluator(cp.make("game", "images", batch=40, network={"name": "mlp", "filters": 3}))
    rngs = game.generators(0)
    _, buffers = game.start(rngs)
    batch = {**game.draw(rngs, buffers), "fixed": torch.ones(40)}
    few = few_samples(game, batch, {"fixed": batch["fixed"]})
    assert torch.equal(few["real"], batch["real"][:16]) and torch.equal(few["noise"], batch["noise"][:16])
    assert few["fixed"] is batch["fixed"]
