"""Modules that cannot be played as they are, and how that is said."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame

from ..support.cases import F64, identical, started
from ..support.own_modules import played


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(0.5),
        nn.Dropout(0.5, inplace=True),
        nn.AlphaDropout(),
        nn.RReLU(),
        nn.TransformerEncoderLayer(3, 1, 8, dropout=0.1),
        nn.LSTM(3, 3, 2, dropout=0.1),
    ],
    ids=["dropout", "dropout in place", "alpha dropout", "rrelu", "transformer", "lstm"],
)
def test_a_module_that_draws_is_refused_by_name(layer):
    module = nn.Sequential(nn.Linear(3, 3), layer).double()
    loss = lambda y: (y[0] if isinstance(y, tuple) else y).mean()  # noqa: E731
    state = torch.get_rng_state()
    with pytest.raises(cp.UsageError, match=r"draw random numbers .*: draw them in sample"):
        cp.run(played(module, loss), cp.make("solver", "simgd"), steps=1)
    assert torch.equal(state, torch.get_rng_state())
    module.eval()
    assert cp.run(played(module, loss), cp.make("solver", "simgd"), steps=1).status == "max_steps"


class Average(nn.Module):
    """Renews a buffer in forward."""

    average: torch.Tensor

    def __init__(self, in_place):
        super().__init__()
        self.w, self.in_place = nn.Parameter(torch.ones(3, dtype=F64)), in_place
        self.register_buffer("average", torch.zeros(3, dtype=F64))

    def forward(self, x):
        y = x * self.w
        if self.in_place:
            self.average.mul_(0.9).add_(0.1 * y.mean(0).detach())
        else:
            self.average = 0.9 * self.average + 0.1 * y.mean(0).detach()
        return y - self.average


@pytest.mark.parametrize(
    "module",
    [Average(True), Average(False), nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3).double())],
    ids=["in place", "put in its place", "spectral norm"],
)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_module_that_writes_to_its_buffers_is_refused_by_name(module, steps):
    before = {k: x.clone() for k, x in module.state_dict().items()}
    with pytest.raises(cp.UsageError, match=r"the forward of \w+ writes to its .*(average|_u|_v)"):
        cp.run(played(module), cp.make("solver", "simgd"), steps=steps)
    assert identical(before, dict(module.state_dict()))


def hooked(module, register, hook):
    getattr(module, register)(hook)
    return module


def compiled(module):
    module.compile(backend="eager")
    return module


def wrapped(module):
    return torch.compile(module, backend="eager")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("module", "words"),
    [
        (lambda: torch.jit.script(nn.Linear(2, 2)), "compiled by torch.jit"),
        (lambda: nn.Sequential(wrapped(nn.Linear(2, 2))), "0 .* is compiled by torch.compile"),
        (lambda: hooked(nn.Linear(2, 2), "register_full_backward_hook", lambda m, gi, go: None), "has backward hooks"),
        (lambda: compiled(nn.Linear(2, 2)), "compiled by torch.compile"),
        (lambda: (m := nn.Linear(2, 2), m.weight.register_hook(lambda g: 2 * g))[0], "hook on the gradient of weight"),
    ],
)
def test_modules_that_would_not_run_as_they_are_are_refused(module, words):
    with pytest.raises(cp.UsageError, match=f"player a: .*{words}"):
        cp.game_from_modules({"a": module()}, lambda n, b: {}, lambda rng: {})


def test_modules_that_have_changed_since_are_refused():
    net = nn.Linear(3, 3).double()
    game = played(net)
    nn.utils.parametrizations.weight_norm(net)
    with pytest.raises(cp.UsageError, match="the modules are not those the game was made of"):
        LocalGame.of(*started(game)).gradient()


def test_a_module_without_shapes_yet_is_refused():
    with pytest.raises(cp.UsageError, match="lazy module"):
        cp.game_from_modules({"a": nn.LazyLinear(2)}, lambda n, b: {}, lambda rng: {})


def test_a_batch_of_another_type_than_the_parameters_is_named_in_losses_of_a_game_class_too():
    """Where a module is called by torch.func.functional_call, and no module is known by its player."""
    module = nn.Linear(3, 1, dtype=F64)

    def losses(p, batch):
        return {"x": torch.func.functional_call(module, p["x"], (batch["z"],)).mean()}

    game = cp.game_from_losses(losses, {"x": dict(module.named_parameters())}, lambda rng: {"z": torch.ones(2, 3)})
    with pytest.raises(cp.UsageError, match=r"numbers of two types \(.*Float and Double\): draw the batch in the type"):
        cp.run(game, cp.make("solver", "simgd"), steps=1)
    assert cp.run(game, cp.make("solver", "simgd"), steps=1, dtype="float64").steps == 1
