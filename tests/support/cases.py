"""Games with a known Jacobian, and the small tools that several tests share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from hypothesis import settings
from torch import Tensor

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import Batch, Params, Setting, Tree, add, leaves, like, names, ravel, scale
from counterplay.games.networks.layers import Apply, BatchNorm, Conv, Linear, flatten, reshape, tanh
from counterplay.games.networks.sequential import Sequential

F64 = torch.float64

QUADRATIC = cp.make("game", "quadratic")
CONVERGES: Setting = {"x": 0.09, "y": 0.01}  # step sizes there
DIVERGES: Setting = {"x": 0.01, "y": 0.09}

# The same examples every time, nothing kept between runs.
property_test = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=F64)


def matrix_game(
    A: Tensor, sizes: Sequence[int] | None = None, shift: Tensor | None = None, zero_sum: bool = False
) -> cp.Game:
    """The game whose field is v = A theta + shift, for players p0, p1, ... of ``sizes`` numbers (all 1 by default).

    Diagonal blocks must be symmetric: they are Hessians. With players of one number each A is any matrix at all.
    """
    sizes = [1] * len(A) if sizes is None else list(sizes)
    c = torch.zeros(len(A), dtype=F64) if shift is None else shift
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    for p in parts:
        assert torch.equal(A[p, p], A[p, p].T)

    def losses(params: Params, batch: Batch) -> dict[str, Tensor]:
        theta = [params[f"p{n}"]["value"] for n in range(len(sizes))]
        out = {}
        for i, p in enumerate(parts):
            loss = theta[i] @ (A[p, p] @ theta[i]) / 2 + c[p] @ theta[i]
            for j, q in enumerate(parts):
                if j != i:
                    loss = loss + theta[i] @ (A[p, q] @ theta[j])
            out[f"p{i}"] = loss
        return out

    start = {f"p{n}": {"value": random(size, seed=n)} for n, size in enumerate(sizes)}
    return cp.game_from_losses(losses, start, zero_sum=zero_sum)


def random_matrix(sizes: Sequence[int], seed: int, opposed: bool = False) -> Tensor:
    """A random Jacobian with symmetric diagonal blocks; ``opposed``: J_ij = -J_ji^T, as in a zero-sum game."""
    A = random(sum(sizes), sum(sizes), seed=seed)
    off = (A - A.T) / 2 if opposed else A
    start = 0
    for size in sizes:
        own = slice(start, start + size)
        block = A[own, own]
        off = off.clone()
        off[own, own] = (block + block.T) / 2
        start += size
    return off


def diagonal_blocks(A: Tensor, sizes: Sequence[int]) -> Tensor:
    return torch.block_diag(
        *(A[e - s : e, e - s : e] for s, e in zip(sizes, torch.tensor(sizes).cumsum(0).tolist(), strict=True))
    )


def started(
    game: cp.Game, seed: int = 0, members: int | None = None, trace: bool = False
) -> tuple[Evaluator, Params, Batch]:
    """A game in float64 with a starting point and a batch."""
    table = Evaluator(game, members, F64, None, trace)
    rngs = table.generators(seed)
    params, buffers = table.start(rngs)
    buffers = table.refresh(params, buffers)
    return table, params, table.draw(rngs, buffers)


def jacobian(game: cp.Game, params: Params, batch: Batch | None = None) -> Tensor:
    return LocalGame.of(game, params, {} if batch is None else batch).jacobian().dense()


def eigenvalues(M: Tensor) -> Tensor:
    """All eigenvalues, by real part, then by imaginary part."""
    found = torch.linalg.eigvals(M.to(torch.complex128)).tolist()
    return torch.tensor(sorted(found, key=lambda z: (round(z.real, 9), z.imag)), dtype=torch.complex128)


def radius(M: Tensor) -> float:
    return float(eigenvalues(M).abs().max())


def same_spectrum(M: Tensor, expected: Sequence[complex] | Tensor, tol: float) -> None:
    """Each expected eigenvalue is matched with its own nearest one of ``M``."""
    found = eigenvalues(M).tolist()
    wanted = [complex(z) for z in (expected.tolist() if isinstance(expected, Tensor) else expected)]
    assert len(found) == len(wanted), f"{len(found)} eigenvalues, {len(wanted)} expected"
    for z in wanted:
        near = min(found, key=lambda w, z=z: abs(w - z))
        assert abs(near - z) <= tol, f"no eigenvalue near {z}; the nearest is {near}"
        found.remove(near)


def simgd(lr: Setting = 0.01, **options: Any) -> cp.Solver:
    return cp.make("solver", "simgd", lr=lr, **options)


def watched(game: cp.Game, solver: cp.Solver, **options: Any) -> tuple[cp.Result, list[Any]]:
    """A run and the list of what an observer saw."""
    seen: list[Any] = []
    return cp.run(game, solver, observers=[seen.append], **options), seen


def one_step(game: cp.Game, solver: cp.Solver, params: Params, batch: Batch | None = None) -> Params:
    return solver.step(game, params, solver.init(game, params), lambda: {} if batch is None else batch)[0]


def direction_like(params: Params, seed: int) -> Params:
    """A random direction of unit norm."""
    u = like(params, [torch.randn(x.shape, generator=generator(seed), dtype=F64) for x in leaves(params)])
    return scale(u, 1 / float(ravel(u).norm()))


def difference(f: Callable[[Params], Tensor], params: Params, u: Params, h: float = 1e-3) -> Tensor:
    """d f(params + h u) / d h at 0 by five points: error h^4, so 1e-10 or so for smooth f."""

    def at(s: float) -> Tensor:
        return f(add(params, scale(u, s * h)))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


def close(a: Tensor, b: Tensor, tol: float = 1e-12) -> None:
    """Equal to ``tol`` times the size of the numbers."""
    assert a.shape == b.shape, f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
    error, size = float((a - b).abs().max()), max(1.0, float(b.abs().max()))
    assert error <= tol * size, f"off by {error:.3g}, {tol * size:.3g} allowed"


def close_trees(a: Params, b: Params, tol: float = 1e-12) -> None:
    assert list(names(a)) == list(names(b))
    close(ravel(a), ravel(b), tol)


def identical(a: Any, b: Any) -> bool:
    """Bit for bit: the same structure, the same numbers."""
    x, y = torch.utils._pytree.tree_flatten(a), torch.utils._pytree.tree_flatten(b)
    return x[1] == y[1] and all(
        torch.equal(p, q) if isinstance(p, Tensor) else p == q for p, q in zip(x[0], y[0], strict=True)
    )


def member(tree: Any, m: int) -> Any:
    return torch.utils._pytree.tree_map(lambda x: x[m] if isinstance(x, Tensor) and x.dim() else x, tree)


@dataclasses.dataclass(frozen=True)
class SmoothGan(cp.GanGame):
    """A small convolutional GAN, smooth everywhere, with our normalisation layer in both networks."""

    loss: cp.Loss = dataclasses.field(default_factory=lambda: cp.make("loss", "non-saturating"))
    batch: int = 4

    @functools.cached_property
    def networks(self) -> dict[str, Sequential]:
        generator = (Linear(2, 8), BatchNorm(8), tanh, reshape(2, 2, 2), Conv(2, 1, 3, 1, 2), tanh)
        discriminator = (Conv(1, 2, 3, 1, 1), BatchNorm(2), Apply(torch.nn.functional.softplus), flatten, Linear(32, 1))
        return {"generator": Sequential(generator), "discriminator": Sequential(discriminator)}

    def init(self, rng: torch.Generator) -> Params:
        return {i: {k: x.to(F64) for k, x in self.networks[i].init(rng).items()} for i in self.players}

    def sample(self, rng: torch.Generator, buffers: Mapping[str, Any]) -> Batch:
        real = torch.randn(self.batch, 1, 4, 4, generator=rng, dtype=F64)
        return {**buffers, "real": real, "noise": torch.randn(self.batch, 2, generator=rng, dtype=F64)}

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        return self.networks["generator"](generator, z)

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        return self.networks["discriminator"](discriminator, x).squeeze(1)
