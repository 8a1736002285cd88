"""Programs as C: every operation is torch's, and one that is not known is named."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, jvp

from counterplay.core.compiled import c_compiler
from counterplay.core.compiled.c_compiler import compile_c
from counterplay.core.compiled.c_operations import write
from counterplay.core.compiled.c_source import PRELUDE, Unwritable, Writer
from counterplay.core.tracing.capture import capture
from counterplay.core.tracing.loops import loops_as_one_pass, repeated

pytestmark = pytest.mark.skipif(c_compiler.compiler() is None, reason="no C compiler")


def native_of(fn: Callable[..., Any], *args: Tensor) -> list[Tensor]:
    """``fn(*args)``, tensors of one type, by way of C."""
    g, _ = capture(fn, args, list(args), lower=True)
    w = Writer()
    names = [w.loaded(x.shape, x.dtype, f"s{k}") for k, x in enumerate(args)]
    made = write(g, w, names)
    kind = "float" if args[0].dtype == torch.float32 else "double"
    load = [f"{kind} s{k}_{j} = in[{k}][{j}];" for k, x in enumerate(args) for j in range(x.numel())]
    flat = [place for x in made for place in x.flatten().tolist()]
    store = [f"out[{n}] = {w.name(place, torch.float64)};" for n, place in enumerate(flat)]
    body = "\n".join([*load, *w.lines, *store])
    play = compile_c(f"{PRELUDE}\nvoid play({kind} **in, double *out) {{\n{body}\n}}", "play")
    out = torch.empty(len(flat), dtype=torch.float64)
    play((ctypes.c_void_p * len(args))(*(x.data_ptr() for x in args)), ctypes.c_void_p(out.data_ptr()))
    return [part.reshape(x.shape) for part, x in zip(out.split([x.numel() for x in made]), made, strict=True)]


def everything(x: Tensor, y: Tensor, m: Tensor) -> list[Tensor]:
    """Every operation that is written out, on x (3,), y (2, 3) and m (3, 3)."""
    p, f = x.abs() + 0.1, torch.nn.functional
    whole, s = torch.arange(3) + (y[0] > 0), m + 3 * torch.eye(3, dtype=m.dtype)
    return [
        x + y, x - 2 * y, x * y, x / p, -x, 1 / p, p.sqrt(), p.rsqrt(), x.exp(), x.expm1(), p.log(), p.log1p(),
        p.log2(), x.sin(), x.cos(), x.tan(), x.sinh(), x.cosh(), x.tanh(), (x / 9).asin(), (x / 9).acos(), x.atan(),
        torch.atan2(x, y), x.erf(), x.floor(), x.ceil(), x.sigmoid(), x.relu(), x.sign(), x.square(), x**3, x**-2,
        p**0.5, p**1.7, 2.0**x, p**y, x % 0.7, torch.remainder(x, -y), whole % 2 - 3, (whole - 2) % 3,
        torch.maximum(x, y), torch.minimum(x, y), x.clamp(-0.5, 0.5), x.clamp(max=y), torch.where(x > y, x, 2.0),
        (x == x) & (x < 0),
        ((x >= 0) | (y <= 0)).logical_not(), x != 0, y.sum(), y.sum(0), y.sum(1, keepdim=True), y.mean(), y.mean(0),
        y @ m, m @ x, x @ x, torch.addmm(y, y, m), torch.bmm(y[None], m[None]),
        torch.baddbmm(y[None], y[None], m[None]), torch.addcmul(x, x, y, value=0.3),
        x + x * y, x - x * p, y.T, y.reshape(3, 2), y[:, 1:], y[1], y.unsqueeze(0),
        torch.cat([y, m]), torch.stack([x, p]), y.flip(0), x.expand(2, 3), m.diagonal(), torch.full_like(x, 2.5) * x,
        f.softplus(x), f.softplus(30 * x), f.leaky_relu(x, 0.2), f.logsigmoid(x), f.mse_loss(x, p), x.double(),
        torch.tensor([1.0, float("inf"), -0.0], dtype=x.dtype) * p, torch.lerp(x, p, 0.3), y.norm(), *y.unbind(1),
        x[torch.tensor([2, 0, 2])], y[:, [1, 2]], y[[0, 1], [2, 0]], x.index_select(0, torch.tensor([1])),
        m.gather(0, torch.tensor([[2, 0, 1]])), torch.linalg.solve(s, x), torch.linalg.solve(s, y.T),
        torch.linalg.solve(s, y, left=False), torch.linalg.solve(torch.stack([s, s.T]), y), torch.linalg.inv(s),
        torch.linalg.inv(torch.stack([s, s + s.T])), (y > 0).any(), (y > 0).any(1), ~(x > 0), (~whole) * x,
        grad(lambda x: (x[[0, 2, 2]] ** 2).sum())(x), grad(lambda s: torch.linalg.inv(s).sum())(s),
        grad(lambda m: m.gather(1, torch.tensor([[0, 0, 2]])).pow(3).sum())(m),
        grad(lambda x: x.index_select(0, torch.tensor([1, 1])).pow(3).sum())(x),
        jvp(lambda x: x[[0, 2, 2]] ** 2, (x,), (x,))[1],
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_operation_is_torchs(dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    args = [torch.randn(shape, generator=rng, dtype=dtype) for shape in ((3,), (2, 3), (3, 3))]
    found, expected = native_of(everything, *args), everything(*args)
    assert len(found) == len(expected)
    for n, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.shape == b.shape, n
        torch.testing.assert_close(a, b.double(), rtol=16 * torch.finfo(dtype).eps, atol=8 * torch.finfo(dtype).eps)


def test_an_unknown_operation_is_named() -> None:
    x = torch.ones(3, dtype=torch.float64)
    with pytest.raises(Unwritable, match=r"it uses aten\.cumsum"):
        native_of(lambda x: [x.cumsum(0)], x)


def test_a_singular_matrix_has_no_inverse_and_a_pivot_of_0() -> None:
    """Where torch would raise, ``failures`` are not 0; a row that must be swapped is."""
    m = torch.tensor([[0.0, 2.0], [1.0, 0.0]], dtype=torch.float64)
    (found,) = native_of(lambda m: [torch.linalg.inv(m)], m)
    assert torch.equal(found, torch.tensor([[0.0, 1.0], [0.5, 0.0]], dtype=torch.float64))
    (found,) = native_of(lambda m: [torch.linalg.inv_ex(m)[0]], torch.ones(2, 2, dtype=torch.float64))
    assert not found.isfinite().all()
    g, _ = capture(torch.linalg.inv, (m,), [m], lower=True)
    w = Writer()
    write(g, w, [w.loaded((2, 2), torch.float64, "s")])
    assert [w.values[place][1] for place in w.failures] == ["i0"]


def test_a_loop_is_left_when_it_is_done() -> None:
    """Heron's iteration for the square roots of 2 and of 9, at most 20 times, and three passes of it."""

    def roots(x: Tensor) -> list[Tensor]:
        def heron(y: Tensor, n: Tensor) -> tuple[Tensor, ...]:
            return (y + x / y) / 2, n + 1

        zero = torch.zeros((), dtype=torch.float64)
        few = repeated(heron, (x, zero), lambda y, n: (y * y - x).abs() < 1e-9, 20)
        return [*few, *repeated(heron, (x, zero), lambda y, n: n < 0, 3), (x + x / x) / 2]

    x = torch.tensor([2.0, 9.0], dtype=torch.float64)
    with loops_as_one_pass(lambda: (0,)) as loops:
        found = native_of(roots, x)
    assert len(loops.passes) == 2
    for a, b in zip(found, roots(x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-15, atol=0)
    assert found[1] == 6 and found[3] == 3


def test_numbers_are_not_looked_up_at_computed_places() -> None:
    x = torch.ones(3, dtype=torch.float64)
    with pytest.raises(Unwritable, match="places that it computes"):
        native_of(lambda x: [x[(x > 0).long()]], x)
