"""What is measured at one point: spectra of J, its parts and blocks, and of F'; v, its noise, and how far rest is."""

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
from ..game.tree import Batch, Buffers, Params, Player, ravel
from ..log.schema import NOISE_BATCHES
from ..solver.solver import Memory, Solver
from .announcement import at_most
from .eigenvalues import Spectrum, dense_spectrum
from .newton import NewtonStep, is_at_boundary, newton_step
from .noise import GradientNoise
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

    @cached_property
    def noise(self) -> GradientNoise:
        """The norm of v, and how much it differs between batches."""
        ensemble = self.game.members is not None
        sizes = [ravel({i: self.params[i]}, ensemble).shape[-1] for i in self.local().players]
        return GradientNoise.of(self._gradients[0], self._independent, sizes)

    @cached_property
    def at_boundary(self) -> Tensor:
        """Whether the boundary of a strategy set stops what moves along -v, ([M],)."""
        return is_at_boundary(self.game, self.params, self._independent.mean(0))

    def newton_step(self, J: Tensor | None) -> NewtonStep:
        """The Newton step to where v is 0, where J is known as a matrix ([M,] N, N)."""
        others = self.batches[1:] or self.batches

        def gradients(params: Params) -> Tensor:
            return torch.stack([self._gradient(params, batch) for batch in others])

        return newton_step(J, self._independent, self.params, gradients, self.game.members is not None)

    @cached_property
    def _gradients(self) -> Tensor:
        """v (batches, [M,] N) on each batch, on the CPU."""
        return torch.stack([self._gradient(self.params, batch) for batch in self.batches])

    @property
    def _independent(self) -> Tensor:
        """v on the independent batches, or, if the game draws none, on the one that there is."""
        return self._gradients[1:] if len(self.batches) > 1 else self._gradients

    def _gradient(self, params: Params, batch: Batch) -> Tensor:
        return ravel(LocalGame.of(self.game, params, batch).gradient(), self.game.members is not None).cpu()


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
