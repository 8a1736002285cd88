"""Layers of the trust suite: each maps (B, WIDTH) to (B, WIDTH), as people write them.

``MUST`` are common and pure: a game with them may not be refused. ``MAY`` are rare, or change themselves: a refusal in
a sentence is an answer, a wrong number is not. ``RANDOM`` draw numbers: whatever they give is wrong unless refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

from . import own_functions
from . import own_modules as own

WIDTH = 4

Make = Callable[[], nn.Module]


class Call(nn.Module):
    """A function of the input and of a gain (WIDTH,), as functional code is written in a forward."""

    def __init__(self, f: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.f, self.gain = f, nn.Parameter(torch.rand(WIDTH) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x, self.gain)


class Shaped(nn.Module):
    """A module that wants another axis: channels (B, 1, WIDTH) or a sequence (1, B, WIDTH)."""

    def __init__(self, inner: nn.Module, axis: int) -> None:
        super().__init__()
        self.inner, self.axis = inner, axis

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(self.axis)
        y = self.inner(x, x, x, need_weights=False) if isinstance(self.inner, nn.MultiheadAttention) else self.inner(x)
        return (y[0] if isinstance(y, tuple) else y).squeeze(self.axis)


class Cell(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return y[0] if isinstance(y, tuple) else y


class Embedded(nn.Module):
    """Adds what stands in a table under whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table(torch.arange(len(x)) % 3)


def seen(module: nn.Module) -> nn.Module:
    """``module`` with running statistics that are not 0 and 1, in eval mode."""
    for m in module.modules():
        for name, b in m.named_buffers(recurse=False):
            if b.is_floating_point():
                getattr(m, name).copy_(torch.rand_like(b) + 0.5)
    return module.eval()


def hooked(module: nn.Module, hook: str) -> nn.Module:
    if hook == "forward":
        module.register_forward_hook(lambda m, args, y: y * 1.5)
    else:
        module.register_forward_pre_hook(lambda m, args: (args[0] * 1.5,))
    return module


def linear() -> nn.Linear:
    return nn.Linear(WIDTH, WIDTH)


def bn(**options: Any) -> nn.Module:
    return nn.BatchNorm1d(WIDTH, **options)


def parametrized(module: nn.Module, by: nn.Module) -> nn.Module:
    parametrize.register_parametrization(module, "weight", by)
    return module


def pruned() -> nn.Module:
    return prune.random_unstructured(linear(), "weight", amount=0.3)


def attention(x: Tensor, g: Tensor, dropout: float = 0.0) -> Tensor:
    q = (x * g)[None]
    return F.scaled_dot_product_attention(q, q, x[None], None, dropout)[0]


def rms(x: Tensor, g: Tensor) -> Tensor:
    return F.rms_norm(x, (WIDTH,), g)


MUST: dict[str, Make] = {
    "linear": linear,
    "conv": lambda: Shaped(nn.Conv1d(1, 1, 3, padding=1), 1),
    "embedding": Embedded,
    "multihead": lambda: Shaped(nn.MultiheadAttention(WIDTH, 2, batch_first=True), 0),
    "attention": lambda: Call(attention),
    "gru-cell": lambda: Cell(nn.GRUCell(WIDTH, WIDTH)),
    "batch-norm": bn,
    "batch-norm untracked": lambda: bn(track_running_stats=False),
    "batch-norm plain": lambda: bn(affine=False),
    "batch-norm eval": lambda: seen(bn()),
    "batch-norm untracked eval": lambda: bn(track_running_stats=False).eval(),
    "layer-norm": lambda: nn.LayerNorm(WIDTH),
    "layer-norm plain": lambda: nn.LayerNorm(WIDTH, elementwise_affine=False),
    "group-norm": lambda: nn.GroupNorm(2, WIDTH),
    "instance-norm": lambda: Shaped(nn.InstanceNorm1d(1, affine=True), 1),
    "instance-norm eval": lambda: seen(Shaped(nn.InstanceNorm1d(1, affine=True, track_running_stats=True), 1)),
    "rms-norm": lambda: nn.RMSNorm(WIDTH),
    "weight-norm": lambda: parametrizations.weight_norm(linear()),
    "weight-norm dim 1": lambda: parametrizations.weight_norm(linear(), dim=1),
    "weight-norm whole": lambda: parametrizations.weight_norm(linear(), dim=None),  # type: ignore[arg-type]
    "weight-norm dim -2": lambda: parametrizations.weight_norm(linear(), dim=-2),
    "spectral-norm eval": lambda: parametrizations.spectral_norm(linear()).eval(),
    "dropout eval": lambda: nn.Dropout(0.5).eval(),
    "inplace relu": lambda: nn.Sequential(linear(), nn.SiLU(inplace=True)),
    "F.layer_norm": lambda: Call(lambda x, g: F.layer_norm(x, (WIDTH,), g)),
    "F.batch_norm": lambda: Call(lambda x, g: F.batch_norm(x, None, None, g, None, True)),
    "F.group_norm": lambda: Call(lambda x, g: F.group_norm(x, 2, g)),
    "F.instance_norm": lambda: Call(lambda x, g: F.instance_norm((x * g)[:, None])[:, 0]),
    "F.rms_norm": lambda: Call(rms),
    "F.normalize": lambda: Call(lambda x, g: F.normalize(x * g, dim=1) * 2),
    "torch.layer_norm": lambda: Call(lambda x, g: torch.layer_norm(x, (WIDTH,), g)),
    "normact": own.NormAct,
    "conditional norm": own.Conditional,
    "hooked norm": lambda: hooked(bn(), "forward"),
    "pre-hooked norm": lambda: hooked(nn.LayerNorm(WIDTH), "pre"),
    "hooked linear": lambda: hooked(linear(), "forward"),
    "parametrized": lambda: parametrized(linear(), own.Symmetric()),
    "listed weights": own.Listed,
    "tabled weights": own.Tabled,
    "tied": own.Tied,
    "frozen": lambda: linear().requires_grad_(False),
    "half frozen": own.half_frozen,
    "constant buffer": own.ConstantBuffer,
    "named spectral": own.SpectralFeatures,
}

MAY: dict[str, Make] = {
    "spectral-norm train": lambda: parametrizations.spectral_norm(linear()),
    "old weight-norm": lambda: nn.utils.weight_norm(linear()),
    "old spectral-norm eval": lambda: nn.utils.spectral_norm(linear()).eval(),
    "orthogonal": lambda: parametrizations.orthogonal(linear()),
    "pruned": pruned,
    "gru": lambda: Shaped(nn.GRU(WIDTH, WIDTH, batch_first=True), 0),
    "lstm-cell": lambda: Cell(nn.LSTMCell(WIDTH, WIDTH)),
    "native_layer_norm": lambda: Call(lambda x, g: torch.native_layer_norm(x, (WIDTH,), g, None, 1e-5)[0]),
    "native_batch_norm": lambda: Call(lambda x, g: torch.native_batch_norm(x, g, None, None, None, True, 0.1, 1e-5)[0]),
    "local_response_norm": lambda: Call(lambda x, g: F.local_response_norm((x * g)[:, None], 2)[:, 0]),
    "sync norm": lambda: seen(nn.SyncBatchNorm(WIDTH)),
    "lazy norm": lambda: nn.LazyBatchNorm1d(),
    "transformer": lambda: Shaped(nn.TransformerEncoderLayer(WIDTH, 2, 4, dropout=0.0, batch_first=True), 0),
    "custom function": lambda: own_functions.Functional(own_functions.Cube),
    "old function": lambda: own_functions.Functional(own_functions.OldCube),
    "reversal": lambda: own_functions.Functional(own_functions.Reversal),
    "rounded": lambda: own_functions.Functional(own_functions.StraightThrough),
    "written buffer": own.WrittenBuffer,
    "reassigned buffer": own.ReassignedBuffer,
    "unused average": own.UnusedAverage,
    "counter": own.Counter,
    "cache": own.Cached,
    "memory": own.Remembers,
    "assembled in place": own.Assembled,
}

RANDOM: dict[str, Make] = {
    "dropout": lambda: nn.Dropout(0.5),
    "alpha dropout": lambda: nn.AlphaDropout(0.5),
    "rrelu": lambda: nn.RReLU(),
    "multihead dropout": lambda: Shaped(nn.MultiheadAttention(WIDTH, 2, dropout=0.5, batch_first=True), 0),
    "F.dropout": lambda: Call(lambda x, g: F.dropout(x * g, 0.5)),
    "attention dropout": lambda: Call(
        lambda x, g: F.scaled_dot_product_attention(x[None], x[None], x[None], None, 0.5)[0]
    ),
    "noise": lambda: Call(lambda x, g: x * g + 0.1 * torch.randn(x.shape)),
    "rand_like": lambda: Call(lambda x, g: x * g + 0.1 * torch.rand_like(x)),
    "gumbel": lambda: Call(lambda x, g: F.gumbel_softmax(x * g, dim=1)),
    "bernoulli": lambda: Call(lambda x, g: x * torch.bernoulli(torch.sigmoid(g).detach())),
    "random numbers in place": lambda: Call(lambda x, g: x * g + 0.1 * torch.empty(x.shape).normal_()),
    "permuted": lambda: Call(lambda x, g: x * g + x[torch.randperm(len(x))]),
    "multinomial": lambda: Call(lambda x, g: x * g[torch.multinomial(torch.ones(WIDTH), WIDTH)]),
    "distribution": lambda: Call(lambda x, g: torch.distributions.Normal(x, g.square() + 0.1).rsample()),
    "own generator": own.OwnGenerator,
    "python random": own.PythonRandom,
    "numpy random": own.NumpyRandom,
}

LAYERS = {**MUST, **MAY, **RANDOM}

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "softplus": F.softplus, "gelu": F.gelu, "silu": F.silu, "sigmoid": torch.sigmoid,
    "relu": F.relu,
}  # fmt: skip
