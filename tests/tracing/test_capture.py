"""What cannot be replayed is not: functions that look at numbers, draw, mutate, or are being watched run as written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, jvp, vmap
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from counterplay.core.tracing.comparison import compare
from counterplay.core.tracing.trace_context import TraceContext
from counterplay.core.tracing.traced import traced, traced_with_maps


def rand(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


def same(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def branch(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -2 * x


REFUSED: dict[str, Callable] = {
    "branch": branch,
    "item": lambda x: x * x.sum().item(),
    "float": lambda x: x * float(x[0]),
    "tolist": lambda x: x * x.tolist()[0],
    "numpy": lambda x: x * float(x.numpy().sum()),
    "size by data": lambda x: x[x > 0],
    "as_strided": lambda x: x.as_strided((2,), (1,)),
    "reinterpreted": lambda x: x.view(torch.int32),
}


def test_a_trace_that_fails_leaves_torch_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    """torch's own tracing of quantile's second derivative leaves autograd switched off, of masks it writes pages."""
    x = rand(6, 3)
    for inside in (lambda x: torch.quantile(x, 0.3, dim=0).sin().sum(), lambda x: x[x > 0].sin().sum()):
        product = lambda x, inside=inside: jvp(grad(inside), (x,), (x,))[1]  # noqa: E731
        replayed = traced(product)
        same(replayed(x), product(x))
        assert replayed.fallback and (2 * torch.ones(1, requires_grad=True)).requires_grad
    assert capfd.readouterr() == ("", "")


def test_indices_are_replayed_where_the_shape_does_not_depend_on_them() -> None:
    f = lambda x: x[x.argsort()] * x[[2, 0, 1]] + grad(lambda x: (x[[0, 2, 2]] ** 2).sum())(x)  # noqa: E731
    replayed = traced(f)
    for x in (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-1.0, -2.0, 2.0])):
        same(replayed(x), f(x))
    assert replayed.fallback is None


@pytest.mark.parametrize("name", REFUSED)
def test_what_looks_at_numbers_runs_as_written(name: str) -> None:
    f, replayed = REFUSED[name], traced(REFUSED[name])
    for x in (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-1.0, -2.0, 2.0])):
        same(replayed(x), f(x))
    assert replayed.fallback is not None


def test_results_of_other_kinds_come_from_the_function() -> None:
    replayed = traced(lambda x: {"x": x, "other": object})
    assert replayed(torch.ones(1))["other"] is object
    assert replayed.fallback is not None and "returns a type" in replayed.fallback


RANDOM: dict[str, Callable] = {
    "randn": lambda x: x + torch.randn(3),
    "randn_like, unused": lambda x: (torch.randn_like(x), x * 2)[1],
    "dropout": lambda x: F.dropout(x, 0.5),
    "bernoulli": lambda x: x * torch.bernoulli(torch.full((3,), 0.5)),
    "randint": lambda x: x[torch.randint(3, (2,))],
    "normal_": lambda x: x + torch.empty(3).normal_(),
}


@pytest.mark.parametrize("name", RANDOM)
def test_what_draws_is_not_replayed(name: str) -> None:
    f, replayed, x = RANDOM[name], traced(RANDOM[name]), torch.ones(3)
    torch.manual_seed(3)
    expected = [f(x) for _ in range(3)]
    torch.manual_seed(3)
    same([replayed(x) for _ in range(3)], expected, 0)
    assert replayed.fallback is not None and "random" in replayed.fallback


def test_what_draws_from_a_generator_is_not_replayed() -> None:
    replayed = traced(lambda x, rng: x + torch.randn(3, generator=rng))
    rng = torch.Generator().manual_seed(1)
    out = [replayed(torch.zeros(3), rng) for _ in range(3)]
    again = torch.Generator().manual_seed(1)
    same(out, [torch.randn(3, generator=again) for _ in range(3)], 0)


def test_what_mutates_is_not_replayed() -> None:
    replayed = traced(lambda x: x.add_(1) * 2)
    x = torch.zeros(2)
    same(replayed(x), torch.full((2,), 2.0))
    same(x, torch.ones(2))
    assert replayed.fallback is not None and "in place" in replayed.fallback


def test_mutating_what_it_made_is_fine() -> None:
    def f(x: Tensor) -> Tensor:
        y = torch.zeros(5)
        y[1:4] = x
        return y.mul_(2)

    replayed = traced(f)
    for x in (torch.ones(3), torch.randn(3)):
        same(replayed(x), f(x))
    assert replayed.fallback is None


def test_closed_over_tensors_are_held_by_reference() -> None:
    closed = torch.ones(3)
    weight = torch.nn.Parameter(torch.ones(3))
    replayed = traced(lambda x: x * closed.clone() + weight * torch.tensor(2.0))
    x = torch.ones(3)
    same(replayed(x), torch.full((3,), 3.0))
    closed.fill_(5)
    same(replayed(x), torch.full((3,), 7.0))
    assert replayed.fallback is None and not replayed(x).requires_grad
    same(traced(lambda y: y * x)(x), x * x)  # closed over and given


def test_a_wrong_replay_is_noticed() -> None:
    """A function that is not pure answers differently when it is run for comparison."""
    calls = iter(range(100))
    replayed = traced(lambda x: x * next(calls), TraceContext(()))  # where nobody looks
    replayed(torch.ones(2))
    assert replayed.fallback is not None and "differs" in replayed.fallback


def test_each_tensor_is_compared_by_its_own_size() -> None:
    """Forward mode sees through no_grad, the function itself does not: in a block 300 times smaller than the rest."""

    def f(x: Tensor) -> Any:
        with torch.no_grad():
            hidden = x * 2
        return None, [lambda u: {"large": 1e4 * u, "small": u + jvp(lambda y: y * hidden, (x,), (u,))[1]}]

    def plain(x: Tensor) -> Any:
        return None, [lambda u: {"large": 1e4 * u, "small": u}]

    replayed, x = traced_with_maps(f, plain), torch.zeros(2, dtype=torch.float64)
    assert replayed([x], x)[1][0](torch.ones(2, dtype=torch.float64))["small"].tolist() == [1.0, 1.0]
    assert replayed.fallback is not None and "differs" in replayed.fallback
    compare({"a": torch.ones(2), "b": torch.full((2,), 1e-9)}, {"a": torch.ones(2), "b": torch.zeros(2)})
    with pytest.raises(ArithmeticError):
        compare({"a": torch.ones(2), "b": torch.full((2,), 1e-3)}, {"a": torch.ones(2), "b": torch.zeros(2)})


def test_errors_are_the_functions_own() -> None:
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        traced(torch.mm)(torch.ones(2, 3), torch.ones(2, 3))
    solve = traced(torch.linalg.solve)
    eye = torch.eye(2)
    same(solve(eye, torch.ones(2)), torch.ones(2))
    with pytest.raises(torch.linalg.LinAlgError):
        solve(torch.zeros(2, 2), torch.ones(2))
    assert solve.fallback is None


def test_transforms_see_the_function_itself() -> None:
    f = lambda x: torch.sin(x) * x  # noqa: E731
    replayed = traced(f)
    x = rand(3)
    replayed(x)
    same(jacrev(replayed)(x), jacrev(f)(x))
    same(vmap(replayed)(x), f(x))
    same(jvp(replayed, (x,), (x,)), jvp(f, (x,), (x,)))
    tracked = x.clone().requires_grad_()
    same(torch.autograd.grad(replayed(tracked).sum(), tracked)[0], grad(lambda y: f(y).sum())(x))
    with torch.no_grad():
        assert not replayed(tracked).requires_grad
    same(traced(lambda y: replayed(y) + 1)(x), f(x) + 1)  # a trace within a trace
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        assert torch.autograd.forward_ad.unpack_dual(replayed(dual)).tangent is not None


def test_staged_fallback() -> None:
    replayed = traced_with_maps(lambda x: (None, [lambda u: u * x.sum().item()]))
    x = rand(3)
    same(replayed([x], x)[1][0](x), x * x.sum())
    assert replayed.fallback is not None


def test_results_are_nobody_elses() -> None:
    def f(x: Tensor) -> Any:
        y = x * 2
        return x.clone(), x.t(), x, y, y.t(), y.clone(), x.sum().expand(2, 2), torch.zeros(2), torch.ones_like(x)

    replayed, x = traced(f), rand(2, 2)
    expected = tree_map(torch.clone, f(x))
    for _ in range(2):
        out = replayed(x)
        same(out, expected)
        assert out[2] is x
        for k in (0, 1, 3, 4, 5, 6, 7, 8):
            out[k].fill_(9)
        same(x, expected[2])
    assert replayed.fallback is None
