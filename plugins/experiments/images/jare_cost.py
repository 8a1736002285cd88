"""What a step of four methods costs with the six pairs of networks of JARE: its time as a ratio.

A step costs the same whatever the images show, so they are random pixels of CIFAR-10's shape, and no data are needed.
The methods take steps in turn on one thread of the processor, and CPU time is counted, so that other work on the
machine falls on all of them. Nie and Patel (2020, arXiv 1806.09235), Fig. 4.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ....core.derivatives.evaluator import Evaluator
from ....core.experiments.claim import Claim, Expected, Measured, below
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel
from ....core.game.game import Game
from ....core.game.regularizer import regularized
from ....core.game.tree import Params
from ....core.images.random_images import RandomImages
from ....core.registry.registry import make
from ....core.solver.solver import Solver
from .jare_cifar10 import METHODS, SETTINGS, by_setting, solver_of

SHAPE = (3, 32, 32)
FIRST = 2  # steps that are not counted: programs are traced in them
RATIOS = (("jare", "conopt"), ("jare", "sn"), ("jare", "gan"), ("sn", "gan"))
MUCH = 1.5  # half more is "much higher"; with half more or a third less, two methods are not "on par"


@dataclass(frozen=True)
class JareCost(Experiment):
    """Seconds of a step of GAN, SN-GAN, ConOpt and JARE with the networks A to F."""

    gives_up: ClassVar[str] = (
        "16 filters instead of 64, batches of 16 instead of 64; 6 rounds of two steps instead of 10"
    )
    notes: ClassVar[str] = (
        "The paper's seconds, of TensorFlow on a GPU, are in a drawing; its words are what is compared. They are timed "
        "on the processor here, at both scales. Every method takes both players' gradients in one pass; ConOpt adds a "
        "product with all of J, JARE two with its blocks, which together are one more pass and about as dear as the "
        "gradients, SN-GAN a power iteration."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 4, and what section 7 says of it. Each interval is the range over the six settings."""
        much = f"the whole range over A to F; much is {MUCH}: half more"
        return (
            Claim("below-conopt", "A step of JARE always takes less time than one of ConOpt.", "JARE Fig. 4",
                  (below("jare_over_conopt", 1.0, "always lower", "the whole range over the settings A to F"),)),
            Claim("on-par-with-sn", "A step of JARE takes about as long as one of SN-GAN.", "JARE Fig. 4",
                  (Expected("jare_over_sn", 1 / MUCH, MUCH, "on par", much),)),
            Claim("jare-over-gan", "A step of JARE does not take much longer than one of the standard GAN.",
                  "JARE Fig. 4", (below("jare_over_gan", MUCH, "not much higher", much),)),
            Claim("sn-over-gan", "A step of SN-GAN does not take much longer than one of the standard GAN.",
                  "JARE Fig. 4", (below("sn_over_gan", MUCH, "not much higher", much),)),
        )  # fmt: skip

    def compute(self, scale: Scale) -> Computed:
        """CPU seconds of a step, {setting: {method: one number a round}}."""
        filters, batch, rounds, steps = (16, 16, 6, 2) if scale == "quick" else (64, 64, 10, 2)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return {s: _in_turns({m: _played(s, m, filters, batch) for m in METHODS}, rounds, steps) for s in SETTINGS}
        finally:
            torch.set_num_threads(threads)

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        return {f"{a}_over_{b}": median(ratios(computed, a, b)) for a, b in RATIOS}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        each = {m: [1000 * float(np.median(computed[s][m])) for s in SETTINGS] for m in METHODS}
        over = {m: ratios(computed, m, "gan").tolist() for m in METHODS}
        return [
            by_setting("Fig. 4: time of 1,000 steps", "seconds on one thread", each),
            by_setting("relative to the standard GAN", "ratio", over),
        ]


def ratios(seconds: Mapping[str, Mapping[str, Sequence[float]]], a: str, b: str) -> NDArray[np.float64]:
    """The time of method ``a`` over that of ``b`` in each setting, (6,): the median of the rounds' ratios."""
    return np.array([np.median(np.divide(seconds[s][a], seconds[s][b])) for s in SETTINGS])


def game_of(setting: str, method: str, filters: int, batch: int) -> Game:
    """The game of random pixels, under the method's regularizers."""
    networks, _ = SETTINGS[setting]
    images = make("game", {
        "name": "images", "data": RandomImages(SHAPE, 4 * batch), "network": {**networks, "filters": filters},
        "loss": "non-saturating", "batch": batch,
    })  # fmt: skip
    return regularized(images, *(make("regularizer", r) for r in METHODS[method][1]))


def steps_of(game: Evaluator, solver: Solver) -> Iterator[Params]:
    """The parameters after each step of a run from seed 0: a step is taken whenever the next ones are asked for."""
    rngs = game.generators(0)
    params, buffers = game.start(rngs)
    memory = solver.init(game, params)
    while True:
        buffers = game.refresh(params, buffers)
        params, memory, _ = solver.step(game, params, memory, partial(game.draw, rngs, buffers))
        buffers = game.advance(buffers)
        yield params


def _played(setting: str, method: str, filters: int, batch: int) -> Iterator[Params]:
    """A run whose derivatives are replayed, as those of long runs are."""
    game = Evaluator(game_of(setting, method, filters, batch), trace=True)
    return steps_of(game, make("solver", solver_of(setting, method)))


def _in_turns(runs: Mapping[str, Iterator[Any]], rounds: int, steps: int) -> dict[str, list[float]]:
    """CPU seconds of a step of each run in each round. Every round begins with another run."""
    names, seconds = list(runs), {name: list[float]() for name in runs}
    for run in runs.values():
        _take(run, FIRST)
    for n in range(rounds):
        for name in names[n % len(names) :] + names[: n % len(names)]:
            seconds[name].append(_take(runs[name], steps) / steps)
    return seconds


def _take(run: Iterator[Any], steps: int) -> float:
    """Take steps, and return the CPU seconds that they took."""
    began = time.process_time()
    for _ in range(steps):
        next(run)
    return time.process_time() - began
