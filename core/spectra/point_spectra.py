"""What is measured at one point: spectra of J, its parts and blocks, and of F'; the norm of v and its noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, overload

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..derivatives.evaluator import Evaluator
from ..derivatives.fixed_batch import FixedBatches, converged_buffers
from ..derivatives.local import LocalGame
from ..game.tree import Batch, Buffers, Params, Player, ravel, unravel
from ..log.schema import NOISE_BATCHES
from ..solver.solver import Memory, Solver
from .announcement import at_most
from .eigenvalues import Spectrum, dense_spectrum
from .spectrum import DENSE, spectrum, symmetric_parts, update_spectrum, update_spectrum_far_from_one
from .stackelberg import leader_curvature
from .update_map import UpdateMap


@dataclass(frozen=True)
class JacobianSpectra:
    """Eigenvalues of J, of (J + J^T)/2 and (J - J^T)/2, and of each player's own block.

    ``leader`` is the curvature of `stackelberg.leader_curvature`, ``matrix`` is J ([M,] N, N); None for a large game.
    """

    jacobian: Spectrum
    symmetric: Spectrum
    antisymmetric: Spectrum
    blocks: dict[Player, Spectrum]
    leader: Tensor | None
    matrix: Tensor | None = None


@dataclass(frozen=True)
class GradientNoise:
    """Norms (...) of v on the probe batch, of the mean of v over independent batches, and of its standard deviation.

    ``newton`` and ``newton_noise`` are the latter two of the Newton step J⁺v to where J says that v is 0, and
    ``remainder`` is the norm of the mean of v there, as a share of that here; NaN where J is not known as a matrix, and
    inf where the game projects what moves along -v: v need not be 0 at the boundary of a strategy set.
    """

    gradient: Tensor
    mean: Tensor
    deviation: Tensor
    newton: Tensor
    newton_noise: Tensor
    remainder: Tensor


@dataclass(frozen=True)
class UpdateSpectra:
    """Eigenvalues of F' of largest modulus and those farthest from 1, which is None if the first are all; its size."""

    leading: Spectrum
    far: Spectrum | None
    size: int


def jacobian_spectra(local: LocalGame, k: int = 20, max_products: int = 100) -> JacobianSpectra:
    """Spectra of J at a point. Up to N = 2,000 all are taken from one matrix, which costs N products.

    For larger games each spectrum has ``k`` eigenvalues, from a Krylov space of its own of ``max_products`` products.
    """
    J = local.jacobian()
    sizes = {i: ravel({i: local.params[i]}, local.ensemble).shape[-1] for i in local.players}
    if sum(sizes.values()) > DENSE:
        blocks = {i: spectrum(J.block(i, i), k, max_products) for i in sizes}
        whole, symmetric, antisymmetric = (spectrum(A, k, max_products) for A in (J, *symmetric_parts(J)))
        return JacobianSpectra(whole, symmetric, antisymmetric, blocks, leader_curvature(local))
    M = J.dense().detach()
    eps, M = torch.finfo(M.dtype).eps, M.to("cpu", torch.float64)
    ends = [sum(list(sizes.values())[:n]) for n in range(len(sizes) + 1)]
    blocks = {i: dense_spectrum(M[..., a:b, a:b], eps) for i, (a, b) in zip(sizes, pairwise(ends), strict=True)}
    whole, symmetric, antisymmetric = (dense_spectrum(A, eps) for A in (M, (M + M.mT) / 2, (M - M.mT) / 2))
    return JacobianSpectra(whole, symmetric, antisymmetric, blocks, leader_curvature(local, M), M)


def update_spectra(F: UpdateMap, k: int = 20, max_products: int = 100) -> UpdateSpectra:
    """Spectra of F'. Those of largest modulus decide on stability and may take twice ``max_products``."""
    leading = update_spectrum(F, k, 2 * max_products)
    return UpdateSpectra(leading, update_spectrum_far_from_one(F, k, max_products), F.size)


def products_at_most(sizes: Mapping[Player, int], state_size: int, max_products: int = 100) -> int:
    """How many products `jacobian_spectra` and `update_spectra` take in Krylov spaces; 0 where all have a matrix.

    ``sizes`` are the numbers of parameters of each player, ``state_size`` that of F', or 0.
    """
    of_blocks = sum(size > DENSE for size in sizes.values())
    of_J = (of_blocks + 3) * max_products if sum(sizes.values()) > DENSE else 0
    return of_J + 3 * max_products * (state_size > DENSE)


@overload
def point_spectra(
    probe: Probe, solver: Solver, k: int = 20, max_products: int = 100
) -> tuple[JacobianSpectra, UpdateSpectra]: ...
@overload
def point_spectra(
    probe: Probe, solver: Solver | None, k: int = 20, max_products: int = 100
) -> tuple[JacobianSpectra, UpdateSpectra | None]: ...
def point_spectra(
    probe: Probe, solver: Solver | None, k: int = 20, max_products: int = 100
) -> tuple[JacobianSpectra, UpdateSpectra | None]:
    """Spectra of J and, with a solver, of F' at a point. What they cost is announced before the first product."""
    ensemble, F = probe.game.members is not None, None if solver is None else probe.map(solver)
    sizes = {i: ravel({i: t}, ensemble).shape[-1] for i, t in probe.params.items()}
    with at_most(products_at_most(sizes, 0 if F is None else F.size, max_products)):
        J = jacobian_spectra(probe.local(), k, max_products)
        return J, None if F is None else update_spectra(F, k, max_products)


@dataclass(frozen=True)
class Probe:
    """A game at one point, with its batches: first the probe batch, then independent ones if the game draws any."""

    game: Evaluator
    params: Params
    memory: Memory | None
    batches: list[Batch]

    def local(self, n: int = 0) -> LocalGame:
        """The game at the point with batch ``n``; 0 is the probe batch."""
        return LocalGame.of(self.game, self.params, self.batches[n])

    def map(self, solver: Solver) -> UpdateMap:
        """The update map on the probe batch, with data and buffers held fixed."""
        return UpdateMap(self.game, solver, self.params, self.memory, self.batches[0])

    def noise(self, J: Tensor | None = None) -> GradientNoise:
        """The norm of v and its noise. The deviation is the root of the summed variances of v's entries on one batch.

        It is 0 if the game draws nothing. ``J`` is the matrix, if it is known.
        """
        v = self._gradients(self.params)
        first, others = _norm(v[0]), torch.stack(v[1:] or v)
        unknown = torch.full_like(first, torch.nan)
        norms = first, _norm(others.mean(0)), _deviation(others)
        stopped = self._is_stopped(others.mean(0))
        if J is None:
            return GradientNoise(*norms, unknown, unknown, torch.where(stopped, torch.inf, unknown))
        finite = J.isfinite().flatten(-2).all(-1) & others.isfinite().all(-1).all(0)
        rhs = others.double().nan_to_num().movedim(0, -1)  # ([M,] N, batches)
        steps = torch.linalg.lstsq(J.nan_to_num(), rhs, rcond=_SINGULAR, driver="gelsy").solution.movedim(-1, 0)
        mean = steps.mean(0)
        there = unravel((ravel(self.params, self.game.members is not None).cpu() - mean).to(v[0]), self.params)
        left = self._gradients(tree_map(lambda x, like: x.to(like), there, self.params))
        left_norm, here = _norm(torch.stack(left[1:] or left).mean(0)), norms[1]
        remainder = torch.where(here > 0, left_norm / here, torch.zeros_like(here))
        remainder = torch.where(stopped, torch.inf, remainder)
        found = (torch.where(finite, x.to(first), unknown) for x in (_norm(mean), _deviation(steps), remainder))
        return GradientNoise(*norms, *found)

    def _is_stopped(self, v: Tensor) -> Tensor:
        """Whether a small step along -v ([M,] N) leaves the strategy sets, ([M],)."""
        if not self.game.projects:
            return torch.zeros(v.shape[:-1], dtype=torch.bool)
        ensemble = self.game.members is not None
        here = ravel(self.params, ensemble).cpu()
        scale = 1 + _norm(here)
        moved = here - (_SMALL * scale / _norm(v).clamp(min=torch.finfo(v.dtype).tiny))[..., None] * v
        like = tree_map(lambda x, own: x.to(own), unravel(moved, self.params), self.params)
        off = _norm(ravel(self.game.project(like), ensemble).cpu() - moved)
        return off > max(1e-3 * _SMALL, 8 * torch.finfo(here.dtype).eps) * scale  # else it is rounding

    def _gradients(self, params: Params) -> list[Tensor]:
        """v ([M,] N) on each batch, on the CPU."""
        ensemble = self.game.members is not None
        return [ravel(LocalGame.of(self.game, params, batch).gradient(), ensemble).cpu() for batch in self.batches]


_SMALL = 1e-6  # the length of a step that tries the boundary, as a share of 1 + ‖θ‖
_SINGULAR = 1e-12  # a share of the largest singular value of J up to which one counts as 0


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1)


def _deviation(x: Tensor) -> Tensor:
    """The norm (...) of the standard deviation of x (batches, ..., N) between batches; 0 of one batch."""
    return torch.linalg.vector_norm(_norm(x - x.mean(0)), dim=0) / max(len(x) - 1, 1) ** 0.5


class ProbeFactory:
    """Makes a `Probe` of each point of a run: with the same draws, the point's own buffers, and in double precision.

    In single precision eigenvalues are off by 1e-6 of the largest, and those of F' by more, as the entries of a
    solver's memory are many orders of magnitude smaller than parameters. A game that cannot be played in double
    precision is measured in its own.
    """

    def __init__(self, game: Evaluator, solver: Solver | None = None) -> None:
        self.game, self.solver = game, solver

    @cached_property
    def _own(self) -> FixedBatches:
        return FixedBatches(self.game)

    @cached_property
    def _double(self) -> FixedBatches:
        return FixedBatches(replace(self.game, dtype=torch.float64))

    def __call__(self, params: Params, memory: Memory | None, buffers: Buffers) -> Probe:
        """The probe at a point; ``buffers`` are those that a step from the point would use."""
        try:
            probe = _probe(self._double, *tree_map(_double, (params, memory, buffers)))
            if self.solver is not None:
                F = probe.map(self.solver)
                F(F.here)
            if all(x.dtype is torch.float64 for x in probe.local().losses().values()):
                return probe
        except Exception:  # games and solvers of plugins need not support double precision
            pass
        return _probe(self._own, params, memory, buffers)


def _probe(draws: FixedBatches, params: Params, memory: Memory | None, buffers: Buffers) -> Probe:
    game = draws.game
    batches = draws(converged_buffers(game, params, buffers), 1 + NOISE_BATCHES * game.draws)
    return Probe(game, params, memory, batches)


def _double(x: Any) -> Any:
    return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x
