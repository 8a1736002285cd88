"""The observers that write the log: losses and norms of each step, spectra, samples and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils._pytree import tree_map

from ..derivatives.evaluator import Evaluator
from ..derivatives.fixed_batch import FixedBatches
from ..derivatives.products import Cost
from ..game.checks import contract_error, describe_value, require_mapping
from ..game.game import innermost
from ..game.tree import Batch, Buffers, Params, leaves, names, ravel
from ..log.hdf5 import pad
from ..loop.observers import Seen
from ..solver.solver import Solver
from ..spectra.eigenvalues import Spectrum
from ..spectra.point_spectra import ProbeFactory, point_spectra
from .torch_switches import precision

ALL_RECORDED = 256  # up to so many parameters, all of them are recorded
Append = Callable[[str, dict[str, Any]], None]


def numpy(x: Tensor) -> Any:
    """``x`` as an array."""
    return x.detach().cpu().numpy()


def projection_interval(step: int) -> int:
    """The steps between two recorded projections of the parameters: 10 during the first thousand steps, then 100.

    A projection reads all parameters of a network; at every step this would cost too much.
    """
    return 10 if step < 1000 else 100


DIRECTIONS_SEED = 2**31 - 19  # of no run that anybody plays
DIRECTIONS = 2  # how directions are drawn now. Those of version 1 had the random numbers of a run with seed 0


class ParameterSummary:
    """What is recorded of the parameters: all if they are few, else projections on two fixed random directions.

    The directions are unit vectors, independent of every run's random numbers. A run that began with those of an older
    ``version`` goes on with them.
    """

    def __init__(self, params: Params, members: int | None, version: int = DIRECTIONS) -> None:
        self.ensemble = members is not None
        first = leaves(params)[0]
        count = ravel(params, self.ensemble).shape[-1]
        self.whole = count <= ALL_RECORDED
        self.names = names(params, self.ensemble) if self.whole else []
        if not self.whole:
            rng = torch.Generator().manual_seed(0 if version == 1 else DIRECTIONS_SEED)
            drawn = torch.randn(2, count, generator=rng, dtype=torch.float32)
            self.directions = (drawn if version == 1 else drawn / drawn.norm(dim=1, keepdim=True)).to(first)  # (2, N)

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
    parameter_summary: ParameterSummary
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
            "parameter_norms": f.parameter_norms, **self.parameter_summary.row(seen), **inner,
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
        found, update = point_spectra(probe, self.solver)
        noise, newton = probe.noise, probe.newton_step(found.matrix)
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
        norms |= {"newton_norm": newton.norm, "newton_noise": newton.noise, "newton_remainder": newton.remainder}
        norms |= {"player_noise": noise.players, "at_boundary": probe.at_boundary}
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


class Gallery:
    """The fixed batch of a run's samples and metrics. What is evaluated on it is not part of the solver's cost."""

    def __init__(self, game: Evaluator) -> None:
        self.game = replace(game, cost=Cost(), trace=False)

    @cached_property
    def batches(self) -> FixedBatches:
        return FixedBatches(self.game, "gallery")

    def at(self, params: Params, buffers: Buffers) -> LazyGameView:
        """What there is to see at ``params`` under ``buffers``."""
        return LazyGameView(self, params, buffers)


@dataclass
class LazyGameView:
    """What a game shows at a point, and its metrics there: computed when first asked for, and once.

    The game gets copies, which it may change.
    """

    gallery: Gallery
    params: Params
    buffers: Buffers

    @cached_property
    def _batch(self) -> Batch:
        return self.gallery.batches(self.buffers)[0]

    def of_member(self, m: int) -> Any:
        """Parameters and batch of member ``m``, 0 where there is no ensemble; copies."""
        tree = self.gallery.game.member((self.params, self._batch), m)
        return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, tree)

    @cached_property
    @precision(tf32=False)
    def shown(self) -> Tensor | None:
        """Images (B, C, H, W) or points (B, 2) of member 0; None if the game has nothing to show."""
        game = self.gallery.game.game
        shown = game.show(*self.of_member(0))
        if shown is not None and not (isinstance(shown, Tensor) and shown.dim() in (2, 4) and not shown.is_complex()):
            expected = "None, images (B, C, H, W) or points (B, 2)"
            raise contract_error(innermost(game), f"its show returned {describe_value(shown)}; expected: {expected}")
        return shown

    @cached_property
    def data(self) -> Tensor | None:
        """The data (B, 2) of the batch, beside generated points of the same plane; None where there are none."""
        shown = self.shown
        real = self.of_member(0)[1].get("real") if shown is not None and shown.dim() == 2 else None
        same = shown is not None and isinstance(real, Tensor) and real.dim() == 2 and real.shape[1:] == shown.shape[1:]
        return real if same else None

    @cached_property
    @precision(tf32=False)
    def metrics(self) -> dict[str, Any]:
        """The game's metrics by name, as arrays: (...), or (M, ...) for an ensemble."""
        game, members = self.gallery.game.game, self.gallery.game.members
        found = [_arrays(game, game.metrics(*self.of_member(m))) for m in range(members or 1)]
        if any(one.keys() != found[0].keys() for one in found):
            raise contract_error(innermost(game), "its metrics returned other names for one member than for another")
        return found[0] if members is None else {name: np.stack([one[name] for one in found]) for name in found[0]}


def _arrays(game: Any, metrics: Any) -> dict[str, Any]:
    """A game's metrics as arrays. Raises PluginError if they are not numbers."""
    found = {}
    for name, x in require_mapping(innermost(game), "metrics", metrics).items():
        try:
            found[name] = numpy(torch.as_tensor(x, dtype=torch.float64 if isinstance(x, float) else None))
        except (TypeError, ValueError, RuntimeError, NotImplementedError):
            wrong = (
                f"its metrics returned {describe_value(x)} as {name!s:.40}; expected: a number or a tensor of numbers"
            )
            raise contract_error(innermost(game), wrong) from None
    return found


@dataclass
class SampleRecorder:
    """Records what the game shows, and its metrics, on one fixed batch. Of an ensemble only member 0 is shown."""

    append: Append
    shown: int = 64  # images that are recorded at most; of points, all are

    def __call__(self, seen: Seen) -> None:
        shown, metrics = seen.game_view.shown, seen.metrics
        if shown is not None:
            name = "images" if shown.dim() == 4 else "points"
            kept = shown[: self.shown] if name == "images" else shown
            data = seen.game_view.data
            beside = {} if data is None else {"data": numpy(data)}
            self.append("samples", {"step": seen.step, name: numpy(kept), **beside})
        if metrics:
            self.append("metrics", {"step": seen.step, **metrics})
