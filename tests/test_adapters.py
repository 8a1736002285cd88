"""Games in one expression and games of torch modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

import counterplay as cp
from counterplay.core.local import LocalGame
from counterplay.core.regularizer import regularized
from counterplay.core.tree import add, leaves, ravel, scale

from .cases import F64, close, close_trees, difference, direction_like, generator, identical, member, random, started

# ------------------------------------------------------------------------------------------------------ one expression


def saddle(p, batch):
    f = (p["x"]["w"] * p["y"]["w"]).sum() + batch.get("shift", 0.0) * p["x"]["w"].sum()
    return {"x": f, "y": -f}


START = {"x": {"w": torch.tensor([1.0, 2.0], dtype=F64)}, "y": {"w": torch.tensor([3.0, -1.0], dtype=F64)}}


def test_a_game_in_one_expression():
    game = cp.game_from_losses(saddle, START)
    assert (
        game.players == ("x", "y") and not game.zero_sum and cp.game_from_losses(saddle, START, zero_sum=True).zero_sum
    )
    assert identical(game.init(generator()), START)
    result = cp.run(game, cp.make("solver", "simgd", lr=0.5), steps=1)
    close(result.params["x"]["w"], torch.tensor([-0.5, 2.5], dtype=F64))
    close(result.params["y"]["w"], torch.tensor([3.5, 0.0], dtype=F64))


def test_a_start_that_is_drawn_and_batches_that_are_drawn():
    init = lambda rng: {i: {"w": torch.randn(2, generator=rng, dtype=F64)} for i in "xy"}  # noqa: E731
    game = cp.game_from_losses(saddle, init, lambda rng: {"shift": torch.randn((), generator=rng, dtype=F64)})
    seen = []

    def run(**options):
        look = lambda s: seen.append(s.batch["shift"])  # noqa: E731
        return cp.run(game, cp.make("solver", "simgd"), steps=3, observers=[look], **options)

    a, b = run(seed=1), run(seed=1)
    assert identical(a.params, b.params) and not identical(a.params, run(seed=2).params)
    assert len({float(x) for x in seen[:4]}) == 4 and seen[:4] == seen[4:8]
    many = run(seed=1, members=2)
    close_trees(member(many.params, 0), a.params, 1e-12)
    assert seen[-1].shape == (2,)


def test_the_starting_tensors_stay_the_user_s():
    """Leaves that ask for gradients, or are changed by the user later, are no part of the run."""
    start = {i: {k: x.clone().requires_grad_() for k, x in t.items()} for i, t in START.items()}
    game = cp.game_from_losses(saddle, start)
    result = cp.run(game, cp.make("solver", "cgd"), steps=0)
    assert identical(result.params, START) and not any(x.requires_grad for x in leaves(result.params))
    with torch.no_grad():
        start["x"]["w"].zero_()
    assert identical(result.params, START)


@pytest.mark.parametrize(
    "init", [None, {}, {"x": torch.zeros(1)}, {"x": {}}, {"x": {"w": 1.0}}, [1], lambda rng: {"x": 1}]
)
def test_an_init_of_another_shape_is_refused_in_words(init):
    with pytest.raises(cp.UsageError, match="init must be"):
        cp.game_from_losses(saddle, init)


# ------------------------------------------------------------------------------------------------------------ modules


def gan(G, D, batch=4):
    """Least squares, so that nothing is flat; data (B, 1, 4, 4), noise (B, 2)."""

    def losses(nets, b):
        fake = nets["generator"](b["noise"])
        return {
            "generator": ((nets["discriminator"](fake) - 1) ** 2).mean(),
            "discriminator": ((nets["discriminator"](b["real"]) - 1) ** 2).mean()
            + (nets["discriminator"](fake) ** 2).mean(),
        }

    def sample(rng):
        return {
            "real": torch.randn(batch, 1, 4, 4, generator=rng, dtype=F64),
            "noise": torch.randn(batch, 2, generator=rng, dtype=F64),
        }

    return cp.game_from_modules({"generator": G, "discriminator": D}, losses, sample)


def networks(norm1=nn.BatchNorm1d, norm2=nn.BatchNorm2d, **options):
    torch.manual_seed(0)
    G = nn.Sequential(nn.Linear(2, 8), norm1(8, **options), nn.Tanh(), nn.Linear(8, 16), nn.Unflatten(1, (1, 4, 4)))
    D = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), norm2(2, affine=True, **options), nn.Softplus(), nn.Flatten(), nn.Linear(32, 1)
    )
    for p in [*G.parameters(), *D.parameters()]:
        nn.init.normal_(p, std=0.5)
    return G.double(), D.double()


def layers(norm):
    return networks(norm1=nn.BatchNorm1d, norm2=norm)


@pytest.mark.parametrize("members", [None, 2], ids=["single", "ensemble"])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_modules_with_normalisation_have_right_derivatives(norm, members):
    """torch's own layers are wrong by 2 to 16 % in products of a vmapped field; ours are to rounding."""
    table, params, batch = started(gan(*layers(norm)), members=members)
    many = members is not None
    if many:  # members at different points
        params = add(params, scale(direction_like(params, 1), torch.tensor([0.0, 1.0], dtype=F64)))
    local = LocalGame.of(table, params, batch)
    J, u, w = local.jacobian(), direction_like(params, 2), direction_like(params, 3)
    close(ravel(J.mv(u), many), difference(lambda p: ravel(local.at(p).gradient(), many), params, u), 2e-8)
    close(local.dot(J.mv(u), w), local.dot(u, J.rmv(w)), 1e-10)


def twice(norm):
    return nn.Sequential(norm, nn.Tanh(), norm)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.LayerNorm(8),
        lambda: nn.LayerNorm((8,), elementwise_affine=False),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 8), dim=None),
        lambda: twice(nn.BatchNorm1d(8)),
    ],
    ids=["layer norm", "layer norm without weights", "weight norm", "weight norm of all", "twice the same"],
)
def test_other_normalised_modules_have_right_third_derivatives(layer):
    """torch's layer_norm is wrong by up to 9 % in third derivatives, its weight_norm by more in second ones."""
    torch.manual_seed(0)
    made = layer().double()
    critic = nn.Sequential(nn.Linear(2, 8), made, nn.Tanh(), nn.Linear(8, 1)).double()
    x = random(5, 2)
    expected = critic(x).detach()
    game = cp.game_from_modules(
        {"a": critic}, lambda nets, b: {"a": nets["a"](b["x"]).pow(3).mean()}, lambda rng: {"x": x}
    )
    _, params, batch = started(game)
    close(game.losses(params, batch)["a"], expected.pow(3).mean())
    local = LocalGame.of(regularized(game, cp.make("regularizer", "consensus")), params, batch)
    u = direction_like(params, 2)
    slope = difference(lambda p: ravel(local.at(p).gradient()), params, u)
    close(ravel(local.jacobian().mv(u)), slope, 1e-6 * float(slope.abs().max()))


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (lambda p, b: {"x": p["x"]["value"], "y": p["y"]["value"].sum()}, r"loss of x .* shape \(2,\)"),
        (lambda p, b: {"x": p["x"]["value"].sum()}, "losses are of x; one for each of the players x, y"),
        (lambda p, b: {"x": 1.0, "y": p["y"]["value"].sum()}, "loss of x .* float"),
        (lambda p, b: p["x"]["value"].sum(), "got Tensor"),
    ],
    ids=["shape", "missing", "no tensor", "no table"],
)
def test_losses_of_another_shape_are_refused_in_words(losses, words):
    game = cp.game_from_losses(losses, {i: {"value": torch.ones(2)} for i in "xy"})
    with pytest.raises(cp.UsageError, match=words):
        cp.run(game, cp.make("solver", "simgd"), steps=1)


def test_the_update_map_of_modules_has_right_third_derivatives():
    game = gan(*networks(), batch=3)
    _, params, batch = started(game)
    solver = cp.make("solver", "conopt", lr=0.1, gamma=0.2)
    F, u = cp.update_jacobian(game, solver, params, batch=batch), direction_like(params, 4)
    close(
        F @ ravel(u),
        difference(lambda p: ravel(solver.step(game, p, solver.init(game, p), lambda: batch)[0]), params, u, 3e-4),
        2e-7,
    )


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
@pytest.mark.parametrize("options", [{}, {"eps": 0.1}], ids=["default eps", "eps 0.1"])
def test_the_game_plays_what_the_modules_compute(norm, options):
    torch.manual_seed(1)
    G, _ = networks()
    D = nn.Sequential(nn.Conv2d(1, 2, 3), norm(2, affine=True, **options), nn.Flatten(), nn.Linear(8, 1)).double()
    game = gan(G, D)
    _, params, batch = started(game)
    with torch.no_grad():
        fake = G(batch["noise"])
        close(game.losses(params, batch)["generator"], ((D(fake) - 1) ** 2).mean())
        expected = ((D(batch["real"]) - 1) ** 2).mean() + (D(fake) ** 2).mean()
    close(game.losses(params, batch)["discriminator"], expected)


def test_the_start_is_the_modules_weights_and_they_stay():
    G, D = networks()
    before = {k: x.clone() for k, x in G.state_dict().items()}
    game = gan(G, D)
    params = game.init(generator())
    assert identical(params["generator"], {k: p.detach() for k, p in G.named_parameters()})
    cp.run(game, cp.make("solver", "simgd", lr=0.1), steps=2)
    assert identical(before, dict(G.state_dict())), "running statistics included"
    with torch.no_grad():
        G[0].weight.zero_()
    assert identical(game.init(generator()), params)


def test_a_module_that_is_itself_a_normalisation():
    norm = nn.BatchNorm1d(2).double()
    game = cp.game_from_modules(
        {"a": norm}, lambda nets, b: {"a": nets["a"](b["x"]).pow(3).sum()}, lambda rng: {"x": random(5, 2)}
    )
    _, params, batch = started(game)
    close(game.losses(params, batch)["a"], norm(batch["x"]).pow(3).sum().detach())


def test_weights_that_are_shared_stay_shared():
    shared = nn.Linear(2, 2).double()
    module = nn.Sequential(shared, nn.Tanh(), shared)
    game = cp.game_from_modules(
        {"a": module}, lambda nets, b: {"a": nets["a"](b["x"]).sum()}, lambda rng: {"x": random(3, 2)}
    )
    _, params, batch = started(game)
    assert set(params["a"]) == {"0.weight", "0.bias"}
    moved = {"a": {k: x + 1 for k, x in params["a"].items()}}
    with torch.no_grad():
        for p in shared.parameters():
            p += 1
    close(game.losses(moved, batch)["a"], module(batch["x"]).sum().detach())


def played(module, loss=lambda y: y.pow(3).mean(), x=None):
    """A game of one module on fixed data (6, 3)."""
    x = random(6, 3) if x is None else x
    return cp.game_from_modules(
        {"critic": module}, lambda n, b: {"critic": loss(n["critic"](b["x"]))}, lambda rng: {"x": x}
    )


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


def numbers_of(module, x, i="critic"):
    """The loss y^3 and its gradient by plain autograd, by the names of the parameters that move."""
    loss = module(x).pow(3).mean()
    named = {k: p for k, p in module.named_parameters() if p.requires_grad}
    return loss.detach(), {i: dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))}


def deepcopied(module):
    torch.manual_seed(3)
    for p in module.parameters():
        nn.init.normal_(p, std=0.7)
    return module.double()


class Activated(nn.BatchNorm1d):
    def forward(self, x):
        return super().forward(x).sigmoid()


class Conditional(nn.BatchNorm1d):
    def __init__(self):
        super().__init__(3, affine=False)
        self.gain = nn.Embedding(2, 3)

    def forward(self, x):
        return super().forward(x) * self.gain(torch.arange(len(x)) % 2)


class OverRows(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.mT).mT


class Listed(nn.Module):
    """Keeps its own weights in a list and a dict besides, and calls a layer twice."""

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3, 3)
        self.weights, self.by_name = [self.l.weight], {"b": self.l.bias}

    def forward(self, x):
        return self.l(self.l(x).tanh()) + torch.stack(self.weights).square().sum() + self.by_name["b"].sum()


class SpectralConv(nn.Linear):
    """Only its name is spectral."""


class Fused(nn.Module):
    """Its list of weights goes through an operation that takes a list."""

    def __init__(self):
        super().__init__()
        self.r = nn.GRU(3, 3)

    def forward(self, x):
        return self.r(x)[0]


def frozen(module):
    module[0].requires_grad_(False)
    return module


MODULES = {
    "batch norm": lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)),
    "batch norm in eval mode": lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Tanh()).eval(),
    "batch norm without statistics": lambda: nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)
    ).eval(),
    "synchronised batch norm": lambda: nn.Sequential(nn.Linear(3, 3), nn.SyncBatchNorm(3)),
    "subclass with its own forward": lambda: nn.Sequential(nn.Linear(3, 3), Activated(3)),
    "subclass with its own parameters": lambda: nn.Sequential(nn.Linear(3, 3), Conditional()),
    "layer norm over another axis": lambda: nn.Sequential(nn.Linear(3, 3), OverRows(6, elementwise_affine=False)),
    "group norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4)),
    "rms norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.RMSNorm(4)),
    "instance norm in eval mode": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2, affine=True, track_running_stats=True)
    ).eval(),
    "frozen layer": lambda: frozen(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))),
    "weights in a list": Listed,
    "spectral in name": lambda: SpectralConv(3, 3),
    "spectral norm in eval mode": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)).eval(),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
    "weight norm of another axis": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 3), dim=-2),
    "weight norm by a hook": lambda: nn.utils.weight_norm(nn.Linear(3, 3)),
    "pruned": lambda: prune.random_unstructured(nn.Linear(3, 3), "weight", amount=0.5),
    "recurrent": Fused,
    "attention": lambda: nn.TransformerEncoderLayer(3, 1, 5, dropout=0.0),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("trace", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["eager", "traced"])
@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_played_as_it_is(name, trace):
    """Loss and v are plain autograd's, J u the difference of v, after a first evaluation as before it."""
    module = deepcopied(MODULES[name]())
    x = random(6, 3)
    loss, v = numbers_of(module, x)
    game = played(module, x=x)
    table, params, batch = started(game, trace=trace)
    assert {k for k, p in module.named_parameters() if p.requires_grad} == set(params["critic"])
    for _ in range(2):
        local = LocalGame.of(table, params, batch)
        close(local.losses()["critic"], loss, 1e-12)
        close_trees(local.gradient(), v, 1e-11)
    u = direction_like(params, 2)
    slope = difference(lambda p: ravel(local.at(p).gradient()), params, u)
    close(ravel(local.jacobian().mv(u)), slope, 1e-6 * float(slope.abs().max()))
    close(local.dot(local.jacobian().mv(u), v), local.dot(u, local.jacobian().rmv(v)), 1e-9)


@pytest.mark.parametrize(
    "name", ["batch norm", "batch norm in eval mode", "frozen layer", "weights in a list", "attention"]
)
def test_members_of_a_game_of_modules_are_single_runs(name):
    game, solver = played(deepcopied(MODULES[name]())), cp.make("solver", "conopt", lr=[0.01, 0.02], gamma=0.1)
    many = cp.run(game, solver, steps=3, members=2)
    for m, lr in enumerate(solver.lr):
        alone = cp.run(game, cp.make("solver", "conopt", lr=lr, gamma=0.1), steps=3)
        close_trees(member(many.params, m), alone.params, 1e-12)


def test_hooks_of_a_module_are_called():
    calls = []
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).double()
    net[1].register_forward_hook(lambda m, i, o: calls.append(1) or o.tanh())
    local = LocalGame.of(*started(played(net)))
    close(local.losses()["critic"], net(local.batch["x"]).pow(3).mean().detach())
    assert calls


def test_losses_may_close_over_the_modules():
    """What they compute with are the players' present parameters, wherever they come from."""
    G, D = nn.Linear(2, 2).double(), nn.Linear(2, 1).double()
    z = random(3, 2)
    closed = lambda n, b: {"g": -D(G(b["z"])).mean(), "d": D(G(b["z"])).mean() + D.weight.square().sum()}  # noqa: E731
    named = lambda n, b: {  # noqa: E731
        "g": -n["d"](n["g"](b["z"])).mean(),
        "d": n["d"](n["g"](b["z"])).mean() + n["d"].weight.square().sum(),
    }
    solver = cp.make("solver", "simgd", lr=0.1)
    a, b = (
        cp.run(cp.game_from_modules({"g": G, "d": D}, f, lambda rng: {"z": z}), solver, steps=5)
        for f in (closed, named)
    )
    assert identical(a.params, b.params)
    assert float((a.params["d"]["weight"] - D.weight.detach()).abs().max()) > 0.1


def test_weights_of_two_players_are_refused():
    trunk = nn.Linear(2, 2)
    A, B = nn.Sequential(trunk, nn.Linear(2, 1)), nn.Sequential(trunk, nn.Linear(2, 1))
    with pytest.raises(cp.UsageError, match=r"a's 0.weight and b's 0.weight are one parameter"):
        cp.game_from_modules({"a": A, "b": B}, lambda n, b: {}, lambda rng: {})
    trunk.requires_grad_(False)
    game = cp.game_from_modules(
        {"a": A, "b": B},
        lambda n, b: {i: n[i](b["x"]).square().mean() for i in "ab"},
        lambda rng: {"x": torch.ones(3, 2)},
    )
    assert set(cp.run(game, cp.make("solver", "simgd"), steps=1).params["a"]) == {"1.weight", "1.bias"}


def test_frozen_weights_stay_and_are_nobody_s_strategy():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)).double()
    net[0].requires_grad_(False)
    before = net[0].weight.clone()
    game = played(net)
    result = cp.run(game, cp.make("solver", "simgd", lr=0.1, rule="adamw"), steps=3)
    assert set(result.params["critic"]) == {"1.weight", "1.bias"}
    game.trained(result.params)
    assert identical(net[0].weight, before) and identical(net[1].weight.detach(), result.params["critic"]["1.weight"])


@pytest.mark.parametrize(
    ("losses", "sample", "words"),
    [
        (lambda n: {}, lambda rng: {}, r"losses must be a function of \(nets, batch\); the one given takes \(n\)"),
        (lambda n, b: {}, lambda: {}, r"sample must be a function of \(rng\); the one given takes \(\)"),
        (lambda n, b: {}, {"x": 1}, r"sample must be a function of \(rng\); got dict"),
    ],
)
def test_functions_that_cannot_be_called_are_refused(losses, sample, words):
    with pytest.raises(cp.UsageError, match=words):
        cp.game_from_modules({"a": nn.Linear(2, 2)}, losses, sample)
    with pytest.raises(cp.UsageError, match=words.replace("nets", "params")):
        cp.game_from_losses(losses, {"a": {"w": torch.ones(2)}}, sample)


def hooked(module, register, hook):
    getattr(module, register)(hook)
    return module


def compiled(module):
    module.compile(backend="eager")
    return module


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("module", "words"),
    [
        (lambda: torch.jit.script(nn.Linear(2, 2)), "compiled by torch.jit"),
        (lambda: nn.Sequential(torch.compile(nn.Linear(2, 2), backend="eager")), "0 .* is compiled by torch.compile"),
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


def test_a_module_that_is_no_player_may_normalise():
    """Its count of calls is left as it is, and its running statistics."""
    net, judge = nn.Linear(3, 3).double(), nn.BatchNorm1d(3).double().requires_grad_(False)
    game = played(net, lambda y: judge(y).pow(3).mean() + y.sin().mean())
    local = LocalGame.of(*started(game))
    y = net(local.batch["x"])
    v = torch.autograd.grad(F.batch_norm(y, None, None, training=True).pow(3).mean() + y.sin().mean(), net.weight)[
        0
    ].detach()
    close(local.gradient()["critic"]["weight"], v, 1e-12)
    assert int(judge.num_batches_tracked) == 0 and not judge.running_mean.any()


def test_a_module_without_shapes_yet_is_refused():
    with pytest.raises(cp.UsageError, match="lazy module"):
        cp.game_from_modules({"a": nn.LazyLinear(2)}, lambda n, b: {}, lambda rng: {})


def test_trained_modules_carry_weights_and_statistics():
    """Running statistics are those of the data at the last point, not of the way there."""
    torch.manual_seed(0)
    x = random(64, 2) + 3
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()
    game = cp.game_from_modules(
        {"a": net}, lambda n, b: {"a": (n["a"](b["x"]) - 3).square().mean()}, lambda rng: {"x": x}
    )
    result = cp.run(game, cp.make("solver", "simgd", lr=0.05), steps=50)
    (found,) = game.trained(result.params).values()
    assert found is net and identical({k: p.detach() for k, p in net.named_parameters()}, result.params["a"])
    hidden = net[0](x).detach()
    close(net[1].running_mean, hidden.mean(0), 1e-12)
    close(net[1].running_var, hidden.var(0), 1e-12)
    assert net[1].momentum == 0.1 and net.training


def test_the_mode_of_a_module_is_that_of_the_game():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).double()
    game = played(net)
    _, params, batch = started(game)
    before = game.losses(params, batch)["critic"]
    net.eval()
    close(game.losses(params, batch)["critic"], before)
    assert not net.training and not net[1].training


@pytest.mark.parametrize("members", [None, 2])
def test_a_gradient_penalty_by_torch_func_through_a_module(members):
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double(), random(4, 2)

    def losses(nets, batch):
        g = torch.func.grad(lambda x: nets["d"](x).sum())(batch["x"])
        return {"d": g.square().sum(1).mean()}

    game = cp.game_from_modules({"d": net}, losses, lambda rng: {"x": x})
    table, params, batch = started(game, members=members)
    v = LocalGame.of(table, params, batch).gradient()["d"]
    here = x.clone().requires_grad_()
    g = torch.autograd.grad(net(here).sum(), here, create_graph=True)[0]
    expected = torch.autograd.grad(g.square().sum(1).mean(), list(net.parameters()), allow_unused=True)
    for (k, p), e in zip(net.named_parameters(), expected, strict=True):
        for m in range(members or 1):
            close(v[k] if members is None else v[k][m], torch.zeros_like(p) if e is None else e)
