"""The ring of eight Gaussians of The numerics of GANs: simultaneous descent jumps, consensus optimization converges.

Everyone minimises here: stable eigenvalues have a positive real part, and those of J + gamma J^T J are what the paper
draws with the other sign. Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), section 5, Fig. 2, and the notebook
that its authors published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ....core.derivatives.evaluator import Evaluator
from ....core.derivatives.local import LocalGame
from ....core.experiments.claim import Claim, Measured, above, below, not_run_here
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import mean
from ....core.experiments.panel import Panel, curve
from ....core.registry.registry import make
from ....core.solver.solver import Solver
from . import ring

GAMMA = 10.0
METHODS: dict[str, dict[str, Any]] = {"simgd": {}, "conopt": {"gamma": GAMMA}}
PAPER = {"radius": 1.0, "std": 0.01, "latent": 64, "hidden": 256, "batch": 512, "loss": "saturating"}
NOTEBOOK = {"radius": 1.0, "std": 0.01, "latent": 16, "hidden": 16, "batch": 512, "loss": "non-saturating"}
QUICK = {**NOTEBOOK, "std": 0.02, "batch": 128}
SMALL = 1e-6  # of the largest modulus: eigenvalues of units that are off are 0, and rounding turns them both ways
SEEN = "beyond 1 % of the largest modulus, as nearer ones are in the middle bar of a histogram"
HALF = "half of all samples: what has converged does not move, what jumps moves with all"


@dataclass(frozen=True)
class NumRing(Experiment):
    """Two methods from several seeds, and the spectra of their fields along training."""

    gives_up: ClassVar[str] = (
        "only the notebook's networks of 4 times 16 units; 3,000 steps of 1e-3 instead of 10,000 of 1e-4, batches of "
        "128 instead of 512, modes of width .02 instead of .01; spectra from networks of 4 times 8 units, over 2 "
        "batches instead of 10"
    )
    notes: ClassVar[str] = (
        "The paper prints networks of 4 times 256 units and z of 64 numbers. The notebook has 4 times 16, z of 16, and "
        "calls the non-saturating loss its standard. At the scale paper both are played. RMSProp is TensorFlow's."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 2, and the notebook's histograms."""
        return tuple(claim for v in ("paper", "notebook") for claim in self._of(v)) + (
            Claim("spectrum", "Along training J has eigenvalues on the unstable side; in the field of consensus "
                  "optimization, J + gamma J^T J, none are seen there.", "NUM, notebook: histograms",
                  (above("seen_J", 0.01, "many", "share of the eigenvalues; " + SEEN),
                   below("seen_consensus", 0.001, "none", "share of the eigenvalues; " + SEEN))),
            Claim("spectrum-all", "Counting those near 0, too, none are left.", "ours: the same spectra",
                  (below("left_consensus", 0.001, "–", "share beyond 1e-6 of the largest modulus"),)),
            Claim("spectrum-bound", "The field of consensus optimization has no real part below -1 / (4 gamma).",
                  "derived: -a + gamma a² for a direction with v.Jv = -a",
                  (above("lowest_consensus", -1 / (4 * GAMMA) - 1e-9, f"≥ {-1 / (4 * GAMMA)}", "the lowest one"),)),
        )  # fmt: skip

    def _of(self, variant: str) -> tuple[Claim, ...]:
        """Fig. 2 with the settings of a variant."""
        simgd, conopt, words = f"{variant}_simgd", f"{variant}_conopt", f"with the {variant}'s settings"
        return (
            Claim(f"{variant}-jumps", f"Simultaneous descent jumps among the modes, {words}.", "NUM Fig. 2",
                  (above(f"moved_{simgd}", 0.5, "jumps", HALF),
                   below(f"held_{simgd}", 4.0, "one or two modes", "at most half of the modes at a time"))),
            Claim(f"{variant}-covers", f"Consensus optimization covers all eight modes and stays, {words}.",
                  "NUM Fig. 2",
                  (above(f"held_{conopt}", 7.5, "8 modes", "a mode is held with a third of its due"),
                   below(f"moved_{conopt}", 0.5, "converges smoothly", HALF))),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        def runs_of(variant: str, game: Mapping[str, Any], lr: float, steps: int, members: Any) -> Any:
            rule = {"lr": lr, "rule": "tf-rmsprop"}
            return {
                f"{variant}_{m}": ring.run(game, {"name": m, **rule, **options}, steps, members[m])
                for m, options in METHODS.items()
            }

        if scale == "quick":
            return runs_of("notebook", QUICK, 1e-3, 3_000, {"simgd": 10, "conopt": 6})
        return runs_of("paper", PAPER, 1e-4, 10_000, {"simgd": 2, "conopt": 2}) | runs_of(
            "notebook", NOTEBOOK, 1e-4, 10_000, {"simgd": 10, "conopt": 6}
        )

    def compute(self, scale: Scale) -> Computed:
        game = QUICK | {"hidden": 8} if scale == "quick" else NOTEBOOK
        sizes: dict[str, Any] = {"lr": 1e-3, "steps": 600, "looks": 3, "batches": 2}
        if scale == "paper":
            sizes = {"lr": 1e-4, "steps": 10_000, "looks": 20, "batches": 10}
        return {m: _spectra(game, m, **sizes) for m in METHODS}

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        looks = [look for method in computed.values() for look in method]
        why = not_run_here("networks of 4 times 256 units are played with --scale paper only")
        large = {e.quantity: why for claim in self._of("paper") for e in claim.expected}
        lowest = [min(x["consensus"][0]) for x in looks]
        spectra = {
            "seen_J": mean([unstable(x["J"], 0.01) for x in looks]),
            "seen_consensus": mean([unstable(x["consensus"], 0.01) for x in looks]),
            "left_consensus": mean([unstable(x["consensus"]) for x in looks]),
            "lowest_consensus": Measured(min(lowest), min(lowest), max(lowest), "over all looks"),
        }
        return large | ring.figures(logs) | spectra

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        shares = [
            curve(f"{m}: {label}", [x["step"] for x in looks], [unstable(x[field]) for x in looks])
            for m, looks in computed.items()
            for field, label in (("J", "J"), ("consensus", "J + γJᵀJ"))
        ]
        last = computed["conopt"][-1]
        histograms = [_histogram(label, last[field]) for field, label in (("J", "J"), ("consensus", "J + γJᵀJ"))]
        return [
            *ring.panels(logs),
            Panel("eigenvalues below -1e-6 max |λ|", "step", "share", tuple(shares)),
            Panel("real parts at the end of conopt", "Re λ / max |λ|", "share of the eigenvalues", tuple(histograms),
                  log="y"),
        ]  # fmt: skip


def _spectra(
    game: Mapping[str, Any], method: str, *, lr: float, steps: int, looks: int, batches: int
) -> list[dict[str, Any]]:
    """Eigenvalues of J, the mean over batches, and of J + gamma J^T J, while a method plays: one table a look.

    Complex numbers are lists of real and of imaginary parts.
    """
    made, found = make("game", {"name": "mixture", **game}), list[dict[str, Any]]()

    def look(seen: Any) -> None:
        rng = torch.Generator().manual_seed(seen.step)
        params = {i: {name: x.double() for name, x in tree.items()} for i, tree in seen.params.items()}
        drawn = [made.sample(rng, dict(seen.buffers)) for _ in range(batches)]
        exact = [{name: x.double() for name, x in batch.items()} for batch in drawn]
        Js = [LocalGame.of(made, params, batch).jacobian().dense().numpy() for batch in exact]
        J = np.mean(Js, axis=0)
        consensus = np.mean([M + GAMMA * M.T @ M for M in Js], axis=0)
        found.append({"step": seen.step, "J": _parts(J), "consensus": _parts(consensus)})

    solver = make("solver", {"name": method, "lr": lr, "rule": "tf-rmsprop", **METHODS[method]})
    _play(Evaluator(made, trace=True), solver, steps, steps // looks, look)
    return found[1:]  # the start is the same for all


def _play(game: Evaluator, solver: Solver, steps: int, every: int, look: Callable[[Any], None]) -> None:
    """Take steps from seed 0, and look at the points between them every so often."""
    rngs = game.generators(0)
    params, buffers = game.start(rngs)
    memory = solver.init(game, params)
    for step in range(steps + 1):
        buffers = game.refresh(params, buffers)
        if step % every == 0:
            look(SimpleNamespace(step=step, params=params, buffers=buffers))
        params, memory, _ = solver.step(game, params, memory, partial(game.draw, rngs, buffers))
        params = game.project(params)


def _parts(M: NDArray[np.float64]) -> list[list[float]]:
    z = np.linalg.eigvals(M)
    return [z.real.tolist(), z.imag.tolist()]


def _eigenvalues(parts: Sequence[Sequence[float]]) -> NDArray[np.complex128]:
    return np.asarray(parts[0]) + 1j * np.asarray(parts[1])


def unstable(parts: Sequence[Sequence[float]], beyond: float = SMALL) -> float:
    """The share of the eigenvalues with a real part below -``beyond`` times the largest modulus."""
    z = _eigenvalues(parts)
    return float((z.real < -beyond * np.abs(z).max()).mean())


def _histogram(label: str, parts: Sequence[Sequence[float]]) -> Any:
    """Shares of the eigenvalues in 41 bins of their real part, relative to the largest modulus."""
    z = _eigenvalues(parts)
    edges = np.linspace(-1.025, 1.025, 42)
    counts, _ = np.histogram(z.real / np.abs(z).max(), edges)
    middle = (edges[1:] + edges[:-1]) / 2
    return curve(label, middle, np.maximum(counts / len(z), 1e-4))
