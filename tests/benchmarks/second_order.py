"""What steps that look at derivatives of the field cost: beside a simgd step, and acgd beside the package CGDs.

    python tests/benchmarks/second_order.py [--quick]

Needs the extra ``benchmark``. CGDs solves the same systems to the same tolerance from the same draws; both start at
the same parameters, and the steps taken there are compared. CGDs scales RMSProp's epsilon by its bias correction, the
paper does not: our epsilon is set so that the two are one method. Tied to noise: the tolerance of the inner solve is
a hundredth of what two minibatches' steps at one point differ by. Then runs from the same draws are compared with runs
to full tolerance, in units of the distance to a run with other draws.

Prints ratios of medians by the clock on two threads, taken in turns, and appends them to ``record.jsonl``: run it on
an idle machine with two cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from common import Case, cifar, keep
from torch import Tensor, nn
from torch.nn.functional import softplus

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.tree import ravel
from counterplay.core.solver.solver import StepInfo

TOL = 3e-5  # relative residual: what single precision allows
EPS, BETA2 = 1e-5, 0.99
SHARE_OF_NOISE = 100
LR = {"mlp": 1e-3, "cifar": 1e-4}


def mlp() -> Case:
    """The ring of Gaussians: four hidden layers of 256 in both networks, batch 256, a zero-sum loss."""
    game = cp.make("game", "mixture")

    def network(inputs: int, outputs: int) -> nn.Module:
        sizes = [inputs, 256, 256, 256, 256]
        hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(256, outputs), *([nn.Flatten(0)] if outputs == 1 else []))

    def draw(rng: torch.Generator) -> tuple[Tensor, Tensor]:
        batch = game.sample(rng, {})
        return batch["real"], batch["noise"]

    return Case("mlp", game, network(64, 2), network(2, 1), draw, 200)


class Ours:
    """A run of one of our solvers, a step at a time, traced."""

    def __init__(self, case: Case, solver: Any, seed: int = 0) -> None:
        self.solver, self.seed = solver, seed
        self.table = Evaluator(case.game, None, torch.float32, trace=True)
        self.again()

    def again(self, seed: int | None = None) -> None:
        """Back to the start, with what was traced; the draws may be others'."""
        self.rng = torch.Generator().manual_seed(self.seed if seed is None else seed)
        self.params = self.table.start([torch.Generator().manual_seed(3)])[0]
        self.memory = self.solver.init(self.table, self.params)
        self.t = 0

    def __call__(self) -> StepInfo:
        self.t += 1
        solver = self.solver
        if isinstance(solver, type(cp.make("solver", "acgd"))):
            solver = replace(solver, eps=EPS / (1 - BETA2**self.t) ** 0.5)
        with torch.no_grad():
            batch = self.table.draw([self.rng], {})
            self.params, self.memory, info = solver.step(self.table, self.params, self.memory, lambda: batch)
        return info

    def point(self) -> Tensor:
        return ravel(self.params)


class Cgds:
    """The same by the package CGDs, on modules with the same parameters."""

    def __init__(self, case: Case) -> None:
        import CGDs

        self.case, self.rng = case, torch.Generator().manual_seed(0)
        start = case.game.init(torch.Generator().manual_seed(3))
        self.players = [case.generator, case.discriminator]
        with torch.no_grad():
            for network, tree in zip(self.players, start.values(), strict=True):
                for x, y in zip(network.parameters(), tree.values(), strict=True):
                    x.copy_(y)
        own = [network.parameters() for network in self.players]
        lr = LR[case.name]
        # It asks |r|^2 <= tol |b|^2.
        self.optimiser = CGDs.ACGD(
            *own, lr_max=lr, lr_min=lr, eps=EPS, beta=BETA2, tol=TOL**2, atol=0.0, collect_info=True
        )

    def __call__(self) -> int:
        (G, D), (real, noise) = self.players, self.case.sample(self.rng)
        self.optimiser.step(softplus(-D(real)).mean() + softplus(D(G(noise))).mean())
        return self.optimiser.info["iter_num"]

    def point(self) -> Tensor:
        return torch.cat([x.detach().flatten() for network in self.players for x in network.parameters()])


def in_turns(steps: dict[str, Callable[[], Any]], rounds: int, warm: int = 2) -> dict[str, float]:
    """The median seconds of each by the clock, in turns, after ``warm`` rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for n in range(warm + rounds):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if n >= warm:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def beside_simgd(rounds: int) -> dict[str, float]:
    """conopt and jare on the CIFAR-10 networks, all under Adam."""
    rule = {"name": "adam", "betas": [0.5, 0.999]}
    case = cifar()
    gamma = {"conopt": {"gamma": 0.1}, "jare": {"gamma": 1.0}}
    steps = {n: Ours(case, cp.make("solver", n, lr=2e-4, rule=rule, **gamma.get(n, {}))) for n in ("simgd", *gamma)}
    seconds = in_turns({**steps}, rounds)
    return {f"cifar: {name} / simgd": seconds[name] / seconds["simgd"] for name in gamma}


def relative(x: Tensor, y: Tensor) -> float:
    return float((x - y).norm() / y.norm())


@dataclass(frozen=True)
class Noise:
    """How far two minibatches' first steps are apart, and what the tolerance tied to that does to a run.

    ``rounding`` is what a third of the full tolerance does to it: a run does not repeat itself better than that.
    """

    steps: float
    tol: float
    step_error: float
    run_error: float
    rounding: float


def tied(case: Case, full: Ours, length: int) -> tuple[Noise, Ours]:
    """A run with the tolerance tied to the noise, and how it compares with ``full`` and with other draws."""

    def run(player: Ours, seed: int, steps: int) -> Tensor:
        player.again(seed)
        start = player.point()
        for _ in range(steps):
            player()
        return player.point() - start

    one, two = run(full, 0, 1), run(full, 1, 1)
    noise = relative(two, one)
    loose = Ours(case, replace(full.solver, tol=noise / SHARE_OF_NOISE))
    step_error = relative(run(loose, 0, 1), one)
    finer = Ours(case, replace(full.solver, tol=TOL / 3))
    far = run(full, 0, length)
    apart = (run(full, 1, length) - far).norm()
    errors = [float((run(player, 0, length) - far).norm() / apart) for player in (loose, finer)]
    return Noise(noise, noise / SHARE_OF_NOISE, step_error, *errors), loose


def beside_cgds(case: Case, rounds: int, length: int) -> dict[str, float]:
    ours, theirs = Ours(case, cp.make("solver", "acgd", lr=LR[case.name], beta2=BETA2, tol=TOL)), Cgds(case)
    before = ours.point()
    assert torch.equal(before, theirs.point())
    count = ours.table.cost
    k = int(ours().inner["iterations"])
    products = count.products
    theirs()
    agreement = relative(ours.point() - before, theirs.point() - before)
    noise, loose = tied(case, ours, length)
    iterations: dict[str, list[int]] = {"ours": [], "cgds": [], "tied": []}
    steps: dict[str, Callable[[], Any]] = {
        "ours": lambda: iterations["ours"].append(int(ours().inner["iterations"])),
        "cgds": lambda: iterations["cgds"].append(theirs()),
        "tied": lambda: iterations["tied"].append(int(loose().inner["iterations"])),
    }
    for player in (ours, loose):
        player.again()
    seconds = in_turns(steps, rounds)
    memory = {who: peak(case.name, who) - peak(case.name, plain) for who, plain in PLAIN.items()}
    return {
        f"{case.name}: CGDs / acgd": seconds["cgds"] / seconds["ours"],
        f"{case.name}: CGDs / acgd, tied to noise": seconds["cgds"] / seconds["tied"],
        f"{case.name}: difference of the steps": agreement,
        f"{case.name}: products - (2k + 1)": products - (2 * k + 1),
        **{f"{case.name}: iterations, {who}": statistics.mean(n) for who, n in iterations.items()},
        f"{case.name}: peak memory acgd over simgd, MiB": memory["acgd"],
        f"{case.name}: peak memory CGDs over a loop, MiB": memory["CGDs"],
        f"{case.name}: two minibatches' steps differ by": noise.steps,
        f"{case.name}: tolerance tied to that": noise.tol,
        f"{case.name}: error of its step": noise.step_error,
        f"{case.name}: its run / other draws' run": noise.run_error,
        f"{case.name}: a finer run / other draws' run": noise.rounding,
    }


CASES: dict[str, Callable[[], Case]] = {"mlp": mlp, "cifar": lambda: cifar(zero_sum=True)}


PLAIN = {"acgd": "simgd", "CGDs": "loop"}  # what plain steps of the same kind are called


def peak(case: str, who: str) -> float:
    """The most memory that a process of its own holds in steps after the first."""
    command = [sys.executable, __file__, "--peak", case, who]
    # Freed memory goes back at once: otherwise the peak is of what the allocator keeps for later, too.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 17)}
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)


def loop(case: Case) -> Callable[[], None]:
    """A simultaneous step by hand, which keeps no graph of a graph."""
    theirs, rng = Cgds(case), torch.Generator().manual_seed(0)
    own = [list(network.parameters()) for network in theirs.players]

    def step() -> None:
        (G, D), (real, noise) = theirs.players, case.sample(rng)
        loss = softplus(-D(real)).mean() + softplus(D(G(noise))).mean()
        grads = torch.autograd.grad(loss, own[0] + own[1])
        with torch.no_grad():
            for x, g, sign in zip(own[0] + own[1], grads, [-1] * len(own[0]) + [1] * len(own[1]), strict=True):
                x -= LR[case.name] * sign * g

    return step


def print_peak(name: str, who: str) -> None:
    case = CASES[name]()
    step: Callable[[], Any]
    if who in ("CGDs", "loop"):
        step = Cgds(case) if who == "CGDs" else loop(case)
    else:
        step = Ours(case, cp.make("solver", who, lr=LR[name], **({"tol": TOL} if who == "acgd" else {})))
    step()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    for _ in range(3):
        step()
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, nothing recorded")
    parser.add_argument("--peak", nargs=2, metavar=("CASE", "WHO"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(2)
    if asked.peak:
        return print_peak(*asked.peak)
    rounds = 3 if asked.quick else 9
    figures = beside_simgd(rounds)
    for case, length in ((mlp(), 30), (cifar(zero_sum=True), 12)):
        figures |= beside_cgds(case, rounds, 5 if asked.quick else length)
    for name, value in figures.items():
        print(f"{name:45s} {value:.4g}")
    if not asked.quick:
        keep("second order", figures)


if __name__ == "__main__":
    main()
