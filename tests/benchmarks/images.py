"""Steps of the game `images` with every network, beside loops that one would write by hand with torch.nn.

    python tests/benchmarks/images.py [--quick] [--steps N] [--solvers simgd,conopt,jare,acgd] [NETWORK ...]

Random pixels in the shape of the paper's images. The data path is a part of the step on both sides: images are drawn
epoch by epoch from a tensor of bytes, and converted. The loops, in ``by_hand.py``, take the very steps that ours take,
from the same points on the same batches, which is checked; with acgd in as many iterations, which end at the same
residual, or after ten.

Prints CPU time on one thread, ours and by hand in turns step by step, medians, and appends them to ``record.jsonl``, a
line a network. Batches are smaller than in papers where a step would take many seconds; each figure's name says the
batch and how many steps its median is of. ``--quick`` takes one step of each with a batch of 4, and records nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from by_hand import BETAS, CG, EPS, GAMMA, LR, TOL, ByHand, flat
from common import keep
from torch import Tensor

import counterplay as cp
from counterplay.core.game.tree import leaves
from counterplay.core.images.network import Shape

CIFAR: Shape = (3, 32, 32)
CASES: dict[str, tuple[Shape, int, int]] = {  # network: images, batch, batch of acgd
    "icr-mnist": ((1, 28, 28), 128, 32), "wgan-gp-dcgan": (CIFAR, 64, 16), "dcgan4": (CIFAR, 16, 8),
    "dcgan4-nobn": (CIFAR, 16, 8), "dcgan4-const": (CIFAR, 64, 16), "conv4-const": (CIFAR, 64, 16),
    "conv3-const": (CIFAR, 64, 16), "resnet-const": (CIFAR, 8, 4), "sngan-cnn": (CIFAR, 8, 4),
    "resnet-v1": (CIFAR, 32, 8), "resnet-v2": (CIFAR, 32, 8),
}  # fmt: skip
STEPS = {"simgd": 7, "conopt": 5, "jare": 5, "acgd": 3}
# How far two steps that are one may be apart in single precision, relative to their size (in double precision: 3e-15).
# Rounding decides on which side of its kink a unit near 0 is. Where normalisation of a small batch makes the systems of
# acgd ill-conditioned, iterations amplify rounding errors.
SAME = {"simgd": 1e-2, "conopt": 1e-2, "jare": 1e-2, "acgd": 0.5}


@dataclass(frozen=True)
class Pixels(cp.Dataset):
    """Random images."""

    shape: Shape
    count: int = 5000

    def load(self) -> cp.Images:
        rng = torch.Generator().manual_seed(0)
        return cp.Images.of(torch.randint(0, 256, (self.count, *self.shape), generator=rng).to(torch.uint8))


def solver_of(name: str) -> Any:
    """The solver with the settings of the loops by hand."""
    if name == "acgd":
        return cp.make("solver", name, lr=LR, tol=TOL, eps=EPS, method="cg", max_iter=CG)
    rule = {"name": "adam", "betas": list(BETAS)}
    return cp.make("solver", name, lr=LR, rule=rule, **({"gamma": GAMMA[name]} if name in GAMMA else {}))


class InTurns:
    """An observer that takes each step of a run by hand, too, and compares the two."""

    def __init__(self, hand: ByHand) -> None:
        self.hand, self.before = hand, torch.zeros(0)
        self.ours, self.theirs = list[float](), list[float]()  # CPU seconds of each step
        self.apart, self.iterations = 0.0, list[tuple[int, int]]()
        self.began = time.process_time()

    def __call__(self, seen: cp.Seen) -> None:
        ended = time.process_time()
        here = flat(leaves(seen.params))
        if self.theirs:
            expected = self.hand.taken()
            found = here - self.before if self.hand.solver == "acgd" else _moments(seen)
            self.apart = max(self.apart, float((found - expected).norm() / expected.norm()))
        if seen.last:
            return
        self.hand.put(leaves(seen.params))
        started = time.process_time()
        with torch.enable_grad():  # observers are called without
            self.hand(seen.batch["real"], seen.batch["noise"])
        self.theirs.append(time.process_time() - started)
        self.ours.append(ended - self.began)
        self.iterations.append((int(seen.info.inner.get("iterations", 0)), self.hand.iterations))
        self.before = here
        self.began = time.process_time()


def _moments(seen: cp.Seen) -> Tensor:
    """Adam's first moments before this step."""
    return flat([x for rule in seen.memory["rule"].values() for x in rule["m"].values()])


def measured(name: str, solver: str, steps: int, batch: int) -> dict[str, float]:
    """The CPU seconds of a step of ours and of a loop by hand, medians of ``steps`` in turns after a first one."""
    loss = "saturating" if solver == "acgd" else "non-saturating"
    game: Any = cp.make("game", "images", data=Pixels(CASES[name][0]), network=name, batch=batch, loss=loss)
    turns = InTurns(ByHand(game, solver))
    cp.run(game, solver_of(solver), steps=steps + 1, trace=True, observers=[turns])
    if turns.apart > SAME[solver] or any(abs(a - b) > 1 for a, b in turns.iterations):
        raise ArithmeticError(
            f"{name}, {solver}: the loop by hand took other steps, by {turns.apart:.2g} of their size; iterations of "
            f"both: {turns.iterations}"
        )
    ours, theirs = turns.ours[1:], turns.theirs[1:]
    found = {
        "step, s": statistics.median(ours),
        "by hand, s": statistics.median(theirs),
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        "difference of the steps": turns.apart,
    }
    if solver == "acgd":
        mine, hands = (statistics.mean(both[n] for both in turns.iterations[1:]) for n in (0, 1))
        found |= {"iterations": mine, "iterations by hand": hands}
    return {f"{name}, {solver}, batch {batch}, {steps} steps: {key}": value for key, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one step of each with a batch of 4; nothing recorded")
    parser.add_argument("--steps", type=int, help="how many steps of each are timed; by default fewer of costly ones")
    parser.add_argument("--solvers", default=",".join(STEPS), help="which solvers, separated by commas")
    parser.add_argument("networks", nargs="*", default=list(CASES))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    wrong: list[str] = []
    for name in asked.networks:
        _, usual, smaller = CASES[name]
        figures: dict[str, float] = {}
        for solver in asked.solvers.split(","):
            batch = 4 if asked.quick else smaller if solver == "acgd" else usual
            try:
                found = measured(name, solver, asked.steps or (1 if asked.quick else STEPS[solver]), batch)
            except ArithmeticError as error:  # the others are measured
                wrong.append(str(error))
                continue
            print("\n".join(f"{key:80s} {value:10.4f}" for key, value in found.items()), flush=True)
            figures |= found
        if not asked.quick:
            keep("images", figures)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
