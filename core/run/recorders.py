"""The observers that write the log: losses and norms of each step, spectra, samples and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils._pytree import tree_map

from ..derivatives.evaluator import Evaluator
from ..derivatives.fixed_batch import FixedBatches
from ..game.checks import contract_error, describe_value, require_mapping
from ..game.game import innermost
from ..game.tree import Params, leaves, names, ravel
from ..log.hdf5 import pad
from ..loop.observers import Seen
from ..solver.solver import Solver
from ..spectra.eigenvalues import Spectrum
from ..spectra.point_spectra import ProbeFactory, jacobian_spectra, update_spectra
from .switches import precision

ALL_RECORDED = 256  # up to so many parameters, all of them are recorded
Append = Callable[[str, dict[str, Any]], None]


def numpy(x: Tensor) -> Any:
    """``x`` as an array."""
    return x.detach().cpu().numpy()


def projection_interval(step: int) -> int:
    """From how many steps one projection is recorded: of 10 during the first thousand, then of 100.

    A projection reads all parameters of a network; at every step this would cost too much.
    """
    return 10 if step < 1000 else 100


class ParameterColumns:
    """What is recorded of the parameters: all if they are few, else projections on two fixed random directions."""

    def __init__(self, params: Params, members: int | None) -> None:
        self.ensemble = members is not None
        first = leaves(params)[0]
        count = ravel(params, self.ensemble).shape[-1]
        self.whole = count <= ALL_RECORDED
        self.names = names(params, self.ensemble) if self.whole else []
        if not self.whole:
            rng = torch.Generator().manual_seed(0)
            self.directions = torch.randn(2, count, generator=rng, dtype=torch.float32).to(first)  # (2, N)

    def row(self, seen: Seen) -> dict[str, Any]:
        """Return the parameters ([M,] N), or their projection ([M,] 2) where it is due, under the log's names."""
        if not (self.whole or seen.step % projection_interval(seen.step) == 0 or seen.last):
            return {}
        x = ravel(seen.params, self.ensemble)  # ([M,] N)
        return {"parameters": numpy(x)} if self.whole else {"projection": numpy(linear(x, self.directions))}


@dataclass
class StepRecorder:
    """Records losses, norms, costs and clocks: one row for each step it sees."""

    append: Append
    game: Evaluator
    parameter_columns: ParameterColumns
    began: float
    extend: Append
    last_clocks: dict[str, float] = field(default_factory=dict)

    def clocks(self) -> dict[str, float]:
        """Return the seconds so far under the log's names: by the clock, of the solver, and of looking on."""
        cost = self.game.cost
        self.last_clocks = {
            "wall_seconds": time.monotonic() - self.began, "solver_seconds": cost.solving,
            "measuring_seconds": cost.measuring,
        }  # fmt: skip
        return self.last_clocks

    def rows(self, columns: dict[str, Any]) -> None:
        """Record many steps at once, with clocks that go on evenly between the first and the last."""
        before, count = self.last_clocks, len(columns["step"])
        clocks = {k: np.linspace(before.get(k, 0.0), now, count + 1)[1:] for k, now in self.clocks().items()}
        self.extend("step", {**columns, **clocks})

    def __call__(self, seen: Seen) -> None:
        f, cost = seen.figures, self.game.cost
        inner = {f"inner_{name}": numpy(x) for name, x in seen.info.inner.items()}
        self.append("step", {
            "step": seen.step, "losses": f.losses, "gradient_norms": f.gradient_norms,
            "parameter_norms": f.parameter_norms, **self.parameter_columns.row(seen), **inner,
            "gradients": cost.gradients, "products": cost.products, "samples": cost.samples,
            **self.clocks(),
        })  # fmt: skip


@dataclass
class SpectrumRecorder:
    """Records spectra on a fixed batch: of J, its symmetric and antisymmetric part, each player's block, and F'."""

    append: Append
    game: Evaluator
    solver: Solver

    @cached_property
    def probe_at(self) -> ProbeFactory:
        return ProbeFactory(self.game, self.solver)

    @precision(tf32=False)
    def __call__(self, seen: Seen) -> None:
        probe = self.probe_at(seen.params, seen.memory, seen.buffers)
        found, update, noise = jacobian_spectra(probe.local()), update_spectra(probe.map(self.solver)), probe.noise()
        row = {"step": seen.step, **_columns(found.jacobian), **_blocks([*found.blocks.values()])}
        if found.leader is not None:
            row["leader_curvature"] = found.leader.numpy()
        for name, s in (("symmetric", found.symmetric), ("antisymmetric", found.antisymmetric)):
            row[f"{name}_eigenvalues"] = (s.eigenvalues.real if name == "symmetric" else s.eigenvalues.imag).numpy()
            row |= {f"{name}_residuals": s.residuals.numpy(), f"{name}_status": s.status.numpy()}
        row |= {"state_size": update.size, **_columns(update.leading, "update_")}
        if update.far is not None:
            row |= _columns(update.far, "update_far_")
        norms = {"gradient_norm": noise.gradient, "mean_gradient_norm": noise.mean, "gradient_noise": noise.deviation}
        self.append("spectrum", {**row, **{name: numpy(x) for name, x in norms.items()}})


def _columns(s: Spectrum, prefix: str = "") -> dict[str, Any]:
    count = np.full(s.eigenvalues.shape[:-1], s.eigenvalues.shape[-1])
    columns = {"eigenvalues": s.eigenvalues, "residuals": s.residuals, "status": s.status, "errors": s.errors}
    return {**{prefix + name: x.numpy() for name, x in columns.items()}, f"{prefix}count": count}


def _blocks(own: list[Spectrum]) -> dict[str, Any]:
    """The players' spectra side by side, padded with NaN to one length."""
    members = own[0].eigenvalues.shape[:-1]
    counts = [s.eigenvalues.shape[-1] for s in own]
    columns: dict[str, Any] = {"block_count": np.broadcast_to(counts, (*members, len(own)))}
    for name in ("eigenvalues", "residuals", "status", "errors"):
        found = [getattr(s, name).numpy() for s in own]
        columns[f"block_{name}"] = np.stack([pad(x, (*members, max(counts))) for x in found], axis=-2)
    return columns


@dataclass
class SampleRecorder:
    """Records what the game shows, and its metrics, on one fixed batch. Of an ensemble only member 0 is shown."""

    append: Append
    game: Evaluator
    shown: int = 64  # images that are recorded at most; of points, all are

    @cached_property
    def gallery(self) -> FixedBatches:
        return FixedBatches(self.game, "gallery")

    @precision(tf32=False)
    def __call__(self, seen: Seen) -> None:
        game, batch = self.game, self.gallery(seen.buffers)[0]

        def own(tree: Any, m: int) -> Any:  # a copy of member m's, which the game may change
            return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, game.member(tree, m))

        shown = game.game.show(own(seen.params, 0), own(batch, 0))
        if shown is not None:
            if not (isinstance(shown, Tensor) and shown.dim() in (2, 4) and not shown.is_complex()):
                expected = "None, images (B, C, H, W) or points (B, 2)"
                raise contract_error(
                    innermost(game), f"its show returned {describe_value(shown)}; expected: {expected}"
                )
            name = "images" if shown.dim() == 4 else "points"
            kept = shown[: self.shown] if name == "images" else shown
            self.append("samples", {"step": seen.step, name: numpy(kept)})
        members = range(game.members or 1)
        metrics = [_arrays(game, game.game.metrics(own(seen.params, m), own(batch, m))) for m in members]
        if any(m.keys() != metrics[0].keys() for m in metrics):
            raise contract_error(innermost(game), "its metrics returned other names for one member than for another")
        if metrics[0]:
            self.append("metrics", {"step": seen.step, **{k: _stacked(metrics, k, game.members) for k in metrics[0]}})


def _arrays(game: Evaluator, metrics: Any) -> dict[str, Any]:
    """A game's metrics as arrays. Raises PluginError if they are not numbers."""
    found = {}
    for name, x in require_mapping(innermost(game), "metrics", metrics).items():
        try:
            found[name] = numpy(torch.as_tensor(x))
        except (TypeError, ValueError, RuntimeError, NotImplementedError):
            wrong = (
                f"its metrics returned {describe_value(x)} as {name!s:.40}; expected: a number or a tensor of numbers"
            )
            raise contract_error(innermost(game), wrong) from None
    return found


def _stacked(metrics: list[dict[str, Any]], name: str, members: int | None) -> Any:
    values = [m[name] for m in metrics]
    return values[0] if members is None else np.stack(values)
