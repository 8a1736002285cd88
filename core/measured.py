"""Every spectrum at one point, and what they say, as facts for a table or JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from . import registry
from .journal import probe
from .leader import leader_curvature
from .local import LocalGame
from .recorded import Point
from .schema import SPECTRUM_STATUS
from .spectrum import Spectrum, parts, spectrum, update_spectrum
from .tree import leaves, ravel
from .update import UpdateMap

Own = Callable[[Tensor], Tensor]


def measured(point: Point, k: int, member: int | None = None) -> dict[str, Any]:
    """Every spectrum at a point, ``k`` eigenvalues of each, and what they say: what ``--json`` prints.

    Of an ensemble, those of ``member``. Eigenvalues have the largest modulus first, those of a large F' the farthest
    from 1; ``dimension`` is the size of the matrix, ``found`` how many of its eigenvalues were found.
    """

    def own(x: Tensor) -> Tensor:
        return x if member is None else x[member]

    game, ensemble = point.game, point.game.members is not None
    with torch.no_grad():
        local = LocalGame.of(game, point.params, probe(game, "sample"))
        J = local.jacobian()
        v = local.gradient()
        sizes = {i: own(ravel({i: t}, ensemble)).numel() for i, t in point.params.items()}
        N, wide = sum(sizes.values()), max(20, k)
        operators = {"jacobian": (J, N)}
        operators |= dict(zip(("symmetric", "antisymmetric"), ((part, N) for part in parts(J)), strict=True))
        blocks = {i: (J.block(i, i), n) for i, n in sizes.items()}
        found = {name: _facts(spectrum(A, wide, 5 * wide), n, own) for name, (A, n) in operators.items()}
        own_blocks = {i: _facts(spectrum(A, wide, 5 * wide), n, own) for i, (A, n) in blocks.items()}
        led = leader_curvature(local)
        update = None
        if point.solver is not None:
            F = UpdateMap(game, point.solver, point.params, point.memory, local.batch)
            update = _facts(update_spectrum(F, wide, 5 * wide), F.size, own)
    norms = {
        name: float(own(local.norm(x)).to(torch.float64)) for name, x in (("gradient", v), ("parameters", point.params))
    }
    dtype = str(leaves(point.params)[0].dtype).removeprefix("torch.")
    what = import_module(registry.MEANING)  # named by string: analysis needs no torch, and core none of it
    said = what.point(
        found["jacobian"]["eigenvalues"],
        {i: s["eigenvalues"] for i, s in own_blocks.items()},
        None if update is None else update["eigenvalues"],
        gradient=norms["gradient"],
        parameters=norms["parameters"],
        sizes=sizes,
        led=None if led is None else float(own(led)),
        dtype=dtype,
        period=1 if point.solver is None else point.solver.period,
        descending=what.descends(point.experiment),
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
        "parameter_norm": norms["parameters"],
        **{name: _first(s, k) for name, s in found.items()},
        "blocks": {i: _first(s, k) for i, s in own_blocks.items()},
        "update": None if update is None else _first(update, k),
        "meaning": said,
    }


def _facts(s: Spectrum, dimension: int, own: Own) -> dict[str, Any]:
    return {
        "dimension": dimension,
        "found": own(s.eigenvalues).shape[-1],
        "status": [SPECTRUM_STATUS[n] for n in own(s.status).tolist()],
        "eigenvalues": own(s.eigenvalues).numpy(),
        "residuals": own(s.residuals).numpy(),
    }


def _first(s: dict[str, Any], k: int) -> dict[str, Any]:
    return {**s, **{name: s[name][:k] for name in ("status", "eigenvalues", "residuals")}}


def _memory(point: Point) -> str:
    """Which memory of the solver F' was taken at."""
    if point.solver is None:
        return "none: no solver was named"
    return "that of the checkpoint" if point.memory is not None else "the solver's first"


def _name(named: Any) -> str:
    return str(named["name"]) if isinstance(named, Mapping) else str(named)
