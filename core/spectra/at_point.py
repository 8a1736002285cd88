"""Every spectrum at one point, and the verdict on the point, as facts for a table or JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..errors import UsageError
from ..game.tree import Buffers, Params, leaves, ravel
from ..log.schema import SPECTRUM_STATUS
from ..solver.solver import Memory, Solver
from ..stability import verdict
from ..stability.step_sizes import descends, steps_change
from .eigenvalues import Spectrum
from .point_spectra import ProbeFactory, point_spectra


@dataclass(frozen=True)
class Point:
    """A point of a run. ``memory`` is None for the solver's first one. ``source`` says where the point is from.

    ``buffers`` are those that a step from here would use. ``checks`` are the results of the checks at the start of the
    run (`game_check`).
    """

    game: Evaluator
    solver: Solver | None
    params: Params
    memory: Memory | None
    step: int | None
    source: str
    experiment: Mapping[str, Any]
    buffers: Buffers
    checks: Mapping[str, Any] = field(default_factory=dict)


Own = Callable[[Tensor], Tensor]


def eigenvalues_shown(k: int | None, products: int | None, default: int) -> int:
    """How many eigenvalues of a spectrum are shown: ``k``, or the default as far as the products allow.

    Raises UsageError for fewer than two products for each of ``k``.
    """
    if k is None:
        return default if products is None else min(default, max(products // 2, 1))
    if products is not None and products < 2 * k:
        raise UsageError(f"{k} eigenvalues of a large game need at least {2 * k} products, and {products} were given.")
    return k


def point_report(point: Point, k: int, member: int | None = None, products: int | None = None) -> dict[str, Any]:
    """Return ``k`` eigenvalues of every spectrum at a point, and the verdict on it. ``--json`` prints these facts.

    Of an ensemble, the facts of ``member``. Eigenvalues of largest modulus come first. ``dimension`` is the size of the
    matrix, ``found`` the number of its eigenvalues that were found. For a large F', whose dimension is ``state_size``,
    ``update_far`` has the eigenvalues farthest from 1; the largest modulus that has converged is then only a lower
    bound of the spectral radius. ``gradient_noise`` is the standard deviation of v between independent batches.
    ``products`` are the most that each spectrum of a large game may take, 2 k or more; by default 100, or 5 k.
    """

    def own(x: Tensor) -> Tensor:
        return x if member is None else x[member]

    game, ensemble = point.game, point.game.members is not None
    sizes = {i: own(ravel({i: t}, ensemble)).numel() for i, t in point.params.items()}
    N, count = sum(sizes.values()), max(20, k) if products is None else max(min(20, products // 2), k)
    with torch.no_grad():
        probe = ProbeFactory(game, point.solver)(point.params, point.memory, point.buffers)
        J, F = point_spectra(probe, point.solver, count, products or 5 * count)
        noise, newton, at_boundary = probe.noise, probe.newton_step(J.matrix), probe.at_boundary
        parameters = probe.local().norm(probe.params)
    found = {name: _facts(getattr(J, name), N, own) for name in ("jacobian", "symmetric", "antisymmetric")}
    own_blocks = {i: _facts(s, sizes[i], own) for i, s in J.blocks.items()}
    update = None if F is None else _facts(F.leading, F.size, own)
    far = None if F is None or F.far is None else _facts(F.far, F.size, own)
    norms = {"gradient": float(own(noise.gradient)), "parameters": float(own(parameters))}
    dtype = str(leaves(point.params)[0].dtype).removeprefix("torch.")
    meaning = verdict.point_verdict(
        found["jacobian"],
        own_blocks,
        update,
        update_far=far,
        gradient=norms["gradient"],
        parameters=norms["parameters"],
        noise=float(own(noise.deviation)),
        mean_gradient=float(own(noise.mean)),
        newton=(float(own(newton.norm)), float(own(newton.noise)), float(own(newton.remainder))),
        at_boundary=bool(own(at_boundary)),
        changing=point.solver is not None and steps_change(point.solver.step_size_policy, own(noise.players).tolist()),
        sizes=sizes,
        leader_curvature=None if J.leader is None else float(own(J.leader)),
        dtype=dtype,
        period=1 if point.solver is None else point.solver.period,
        descending=descends(point.experiment),
        jacobian=point.checks.get("jacobian"),
    )
    return {
        "game": _name(point.experiment.get("game")),
        "solver": None if point.solver is None else _name(point.experiment.get("solver")),
        "step": point.step,
        "point": point.source,
        "memory": _memory(point),
        "member": member,
        "members": game.members,
        "dtype": dtype,
        "gradient_norm": norms["gradient"],
        "gradient_noise": float(own(noise.deviation)),
        "mean_gradient_norm": float(own(noise.mean)),
        "parameter_norm": norms["parameters"],
        "jacobian_check": point.checks.get("jacobian"),
        **{name: _first(s, k) for name, s in found.items()},
        "blocks": {i: _first(s, k) for i, s in own_blocks.items()},
        "state_size": None if F is None else F.size,
        "update": None if update is None else _first(update, k),
        "update_far": None if far is None else _first(far, k),
        "meaning": meaning,
    }


def _facts(s: Spectrum, dimension: int, own: Own) -> dict[str, Any]:
    return {
        "dimension": dimension,
        "found": own(s.eigenvalues).shape[-1],
        "status": [SPECTRUM_STATUS[n] for n in own(s.status).tolist()],
        "eigenvalues": own(s.eigenvalues).numpy(),
        "residuals": own(s.residuals).numpy(),
        "errors": own(s.errors).numpy(),
    }


def _first(s: dict[str, Any], k: int) -> dict[str, Any]:
    return {**s, **{name: s[name][:k] for name in ("status", "eigenvalues", "residuals", "errors")}}


def _memory(point: Point) -> str:
    """The memory of the solver at which F' was taken, in words."""
    if point.solver is None:
        return "none: no solver was named"
    return "that of the checkpoint" if point.memory is not None else "the solver's first"


def _name(named: Any) -> str:
    return str(named["name"]) if isinstance(named, Mapping) else str(named)
