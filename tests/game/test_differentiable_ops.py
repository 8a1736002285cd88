"""Functions of torch whose derivatives are written out: right to second order, in members too, or refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import regularized

from ..support.cases import F64, close, close_trees, random, started
from ..support.functions import START, X, error, field

# Each with weights g of one number a channel, on (6, 4).
mean, var = 0.1 * random(4, seed=4), 1 + random(4, seed=5).square()
FUSED = {
    "F.batch_norm": lambda h, g: F.batch_norm(h, None, None, g, None, True),
    "F.batch_norm, running": lambda h, g: F.batch_norm(h, mean, var, g, None, False),
    "torch.batch_norm": lambda h, g: torch.batch_norm(h, g, None, None, None, True, 0.1, 1e-3, True),
    "F.instance_norm": lambda h, g: F.instance_norm(h.reshape(3, 2, 4), weight=g[:2]).reshape(6, 4),
    "F.layer_norm": lambda h, g: F.layer_norm(h, (4,), g),
    "torch.layer_norm": lambda h, g: torch.layer_norm(h, (4,), g, None, 1e-3),
    "aten.layer_norm": lambda h, g: torch.ops.aten.layer_norm(h, (4,), g),
    "aten.layer_norm.default": lambda h, g: torch.ops.aten.layer_norm.default(h, (4,), g),
    "F.group_norm": lambda h, g: F.group_norm(h, 2, g),
    "F.rms_norm": lambda h, g: F.rms_norm(h, (4,), g),
    "torch._weight_norm": lambda h, g: torch._weight_norm(h, g[:, None].repeat(2, 1)[:6], 0),
    "attention": lambda h, g: F.scaled_dot_product_attention(h[None], (g * h)[None], h[None])[0],
    "causal attention": lambda h, g: F.scaled_dot_product_attention(h[None], (g * h)[None], h[None], is_causal=True)[0],
    "multi_head_attention": lambda h, g: F.multi_head_attention_forward(
        h,
        h,
        h,
        4,
        2,
        torch.cat([h[:4], h[:4] * g, h[:4]]),
        None,
        None,
        None,
        False,
        0.0,
        g.diag(),
        None,
        need_weights=False,
    )[0],
}


@pytest.mark.parametrize("name", FUSED)
def test_fused_functions_have_right_derivatives(name):
    """torch's own are wrong by 2 to 90 % for members and in third derivatives, or have none."""
    game = field(FUSED[name])
    leaves = {k: x.clone().requires_grad_() for k, x in START["a"].items()}
    loss = (FUSED[name](X @ leaves["w"], leaves["g"]).tanh() @ leaves["o"]).pow(3).mean()
    v = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    local = LocalGame.of(*started(game))
    close(local.losses()["a"], loss.detach(), 1e-12)
    close_trees(local.gradient(), {"a": v}, 1e-11)
    assert error(game) < 1e-6 and error(game, members=3) < 1e-6 and error(game, trace=True) < 1e-6
    assert error(regularized(game, cp.make("regularizer", "consensus"))) < 1e-6


# Written out for their second derivatives or for members, and torch's own names of the arguments.
ALSO = {
    "torch.layer_norm by name": lambda h, g: torch.layer_norm(input=h, normalized_shape=(4,), weight=g),
    "torch.batch_norm by name": lambda h, g: torch.batch_norm(
        input=h, weight=g, bias=None, running_mean=None, running_var=None, training=True, momentum=0.1, eps=1e-5,
        cudnn_enabled=False,
    ),
    "cdist": lambda h, g: torch.cdist(h, h[:4] * g),
    "cdist to itself": lambda h, g: torch.cdist(g * h, g * h)[:, :4],
    "cdist of norm 1": lambda h, g: torch.cdist(h.sin(), h[:4].cos() + 9 * g, p=1.0) / 9,
    "cdist of norm 3": lambda h, g: torch.cdist(h, h[:4] * g, p=3.0),
    "rrelu at rest": lambda h, g: F.rrelu(g * h),
}  # fmt: skip


@pytest.mark.parametrize("name", ALSO)
def test_other_functions_written_out_have_right_derivatives(name):
    game = field(ALSO[name])
    leaves = {k: x.clone().requires_grad_() for k, x in START["a"].items()}
    loss = (ALSO[name](X @ leaves["w"], leaves["g"]).tanh() @ leaves["o"]).pow(3).mean()
    v = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    local = LocalGame.of(*started(game))
    close(local.losses()["a"], loss.detach(), 1e-12)
    close_trees(local.gradient(), {"a": v}, 1e-11)
    assert error(game, members=2) < 1e-6


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda h: F.embedding_bag(torch.tensor([[0, 1], [2, 3]]), h), "torch cannot differentiate as often as this"),
        (lambda h: torch.utils.checkpoint.checkpoint(torch.sin, h, use_reentrant=False), "use saved tensor hooks"),
        (lambda h: h * h.detach().numpy().sum(), r"take numbers out of a tensor \(numpy, tolist\)"),
        (lambda h: torch.func.linearize(torch.sin, h)[1](h), "call torch.func.linearize.*use torch.func.jvp"),
        (lambda h: torch.nn.Linear(4, 4, dtype=F64)(h), r"initialise weights \(kaiming_uniform_\)"),
        (lambda h: h.clone().detach_(), r"detach a tensor in place: use detach\(\)"),
        (lambda h: setattr(h, "data", 2 * h.data), "write to the data of a tensor"),
    ],
)
def test_what_torch_cannot_do_is_told_in_a_sentence(f, words):
    local = LocalGame.of(*started(field(lambda h, g: f(h))))
    with pytest.raises(cp.UserError, match=words):
        local.jacobian().mv(local.params)


@pytest.mark.parametrize("name", ["native_layer_norm", "native_group_norm"])
def test_internal_kernels_are_refused(name):
    calls = {
        "native_layer_norm": lambda h: torch.native_layer_norm(h, (4,), None, None, 1e-5)[0],
        "native_group_norm": lambda h: torch.native_group_norm(h, None, None, 6, 4, 1, 2, 1e-5)[0],
    }
    with pytest.raises(cp.UsageError, match=f"call torch's internal {name}.*use torch.nn.functional"):
        LocalGame.of(*started(field(lambda h, g: calls[name](h)))).gradient()


def test_one_hot_is_played_by_members():
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    game = field(lambda h, g: h * F.one_hot(labels, 4).to(h))
    assert error(game, members=2) < 1e-6
