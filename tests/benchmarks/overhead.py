"""What playing through counterplay costs beside a loop one would write by hand, and what recording adds.

    python tests/benchmarks/overhead.py [--quick]

Prints ratios of medians, taken in turns within one run, and appends them to ``record.jsonl`` with machine, versions
and date. Every figure is CPU time on one thread unless it says otherwise; compare ratios, not seconds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import Case, cifar, keep
from torch import Tensor, nn
from torch.nn.functional import softplus

import counterplay as cp
from counterplay.games.data.digit_images import load_digits

LR, BETAS = 2e-4, (0.5, 0.999)
WHOLE = 30_000  # steps of the run that the README trains a GAN with


def digits() -> Case:
    game = cp.make("game", "digits")
    images, _ = load_digits()
    generator = nn.Sequential(
        nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64), nn.Tanh(),
        nn.Unflatten(1, (1, 8, 8)),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
    )

    def sample(rng: torch.Generator) -> tuple[Tensor, Tensor]:
        return images[torch.randint(len(images), (64,), generator=rng)], torch.randn(64, 32, generator=rng)

    return Case("digits", game, generator, discriminator, sample, 400)


def by_hand(case: Case) -> Callable[[], None]:
    """One simultaneous step as one writes it in PyTorch, with the one forward pass of D(G(z)) shared."""
    G, D = case.generator, case.discriminator
    g_params, d_params = list(G.parameters()), list(D.parameters())
    g_opt = torch.optim.Adam(g_params, lr=LR, betas=BETAS)
    d_opt = torch.optim.Adam(d_params, lr=LR, betas=BETAS)
    rng = torch.Generator().manual_seed(0)

    def step() -> None:
        real, noise = case.sample(rng)
        d_fake, d_real = D(G(noise)), D(real)
        g_loss = softplus(-d_fake).mean()
        d_loss = softplus(-d_real).mean() + softplus(d_fake).mean()
        g_opt.zero_grad()
        d_opt.zero_grad()
        g_loss.backward(inputs=g_params, retain_graph=True)
        d_loss.backward(inputs=d_params)
        g_opt.step()
        d_opt.step()

    return step


class StepTimes:
    """The time between two steps of a run, taken by an observer: what the engine does around them is included."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def __call__(self, seen: object) -> None:
        self.stamps.append(time.process_time())

    def median(self, skip: int) -> float:
        gaps = [b - a for a, b in zip(self.stamps[skip:], self.stamps[skip + 1 : -1], strict=False)]
        return statistics.median(gaps)


def per_step(case: Case, rounds: int) -> dict[str, float]:
    """By hand, by the engine without a log, recording every step: in turns, medians of the rounds' ratios."""
    solver = cp.make("solver", "simgd", lr=LR, rule={"name": "adam", "betas": list(BETAS)})
    hand = by_hand(case)
    results: dict[str, list[float]] = {"hand": [], "engine": [], "recorded": []}
    skip = max(2, case.steps // 10)
    with tempfile.TemporaryDirectory() as folder:
        for n in range(rounds):
            stamps = []
            for _ in range(case.steps):
                stamps.append(time.process_time())
                hand()
            stamps.append(time.process_time())
            gaps = [b - a for a, b in zip(stamps[skip:], stamps[skip + 1 :], strict=False)]
            results["hand"].append(statistics.median(gaps))
            turns = [("engine", None), ("recorded", Path(folder, str(n)))]
            for key, out in turns if n % 2 else turns[::-1]:  # who comes first is a per cent or two faster
                clock = StepTimes()
                cp.run(case.game, solver, steps=case.steps, out=out, trace=True, observers=[clock])
                results[key].append(clock.median(skip))
    plain, engine, recorded = results.values()
    return {
        "step by hand, ms": statistics.median(plain) * 1e3,
        "engine / by hand": statistics.median(a / b for a, b in zip(engine, plain, strict=True)),
        "recorded every step / engine": statistics.median(a / b for a, b in zip(recorded, engine, strict=True)),
    }


def amortised(case: Case, rounds: int) -> float:
    """Recording every step against not recording, whole runs: sealing, merging and checkpoints included."""
    solver = cp.make("solver", "simgd", lr=LR, rule={"name": "adam", "betas": list(BETAS)})
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for n in range(rounds):
            seconds = []
            for out in (None, Path(folder, f"run-{n}")):
                began = time.process_time()
                cp.run(case.game, solver, steps=WHOLE, out=out, trace=True)
                seconds.append(time.process_time() - began)
            ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


def help_seconds(rounds: int) -> tuple[float, bool]:
    """Wall time of ``counterplay --help`` as a process, and whether torch was imported."""
    code = "import sys; from counterplay.core.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    probe = code + "print('torch' in sys.modules, file=sys.stderr)"
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), "True" in done.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, nothing recorded")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rounds = 2 if quick else 7
    figures: dict[str, float] = {}
    for case in (digits(), cifar()):
        many = rounds if quick or case.steps < 100 else 24  # short rounds: what recording costs is less than they vary
        figures |= {f"{case.name}: {name}": value for name, value in per_step(case, many).items()}
    figures[f"digits: {WHOLE} steps recorded / not"] = amortised(digits(), min(rounds, 3))
    seconds, torch_seen = help_seconds(rounds)
    figures["counterplay --help, s wall"] = seconds
    figures["torch imported by --help"] = float(torch_seen)
    for name, value in figures.items():
        print(f"{name:45s} {value:.3f}")
    if not quick:
        keep("overhead", figures)


if __name__ == "__main__":
    main()
