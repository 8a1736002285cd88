"""What steps on images cost on a GPU: beside loops written by hand and the package CGDs, with peak memory and spectra.

    python tests/benchmarks/gpu.py                           # some minutes on one GPU; appended to record.jsonl
    python tests/benchmarks/gpu.py --device cpu --quick      # narrow networks, nothing recorded: that it all works

Networks wgan-gp-dcgan, sngan-cnn and resnet-v2, batch 64, random images of 32x32 on the device. simgd with Adam is
compared with three loops: plain, with torch.compile (with CUDA graphs), and with the whole step as one CUDA graph. acgd
is compared with CGDs (the extra ``benchmark``) at the same tolerance. Ours are whole runs, all checks included.

Prints medians over rounds, taken in turns, by the clock. What a library cannot do is printed and left out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import keep
from torch import Tensor

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.tree import leaves
from counterplay.core.images.dataset import to_floats
from counterplay.core.run.device import require_device
from counterplay.core.run.torch_switches import precision
from counterplay.core.spectra.point_spectra import jacobian_spectra

NETWORKS = ("wgan-gp-dcgan", "sngan-cnn", "resnet-v2")
LR, BETAS, TOL, BATCH = 1e-4, (0.5, 0.999), 3e-5, 64
ADAM = {"name": "adam", "betas": list(BETAS)}
Rounds = dict[str, list[float]]


@dataclass(frozen=True)
class Bench:
    """A device, and how much is measured on it."""

    device: torch.device
    quick: bool

    @property
    def steps(self) -> int:
        return 8 if self.quick else 60

    @property
    def skip(self) -> int:
        """Steps before the first that counts: until then programs are traced and captured."""
        return 5 if self.quick else 20

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 5

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def game(self, network: str, loss: str, file: Path) -> Any:
        options = {"name": network, "filters": 4} if self.quick else network
        data = {"name": "arrays", "file": str(file)}
        return cp.make("game", "images", data=data, network=options, loss=loss, batch=4 if self.quick else BATCH)


def images(folder: str) -> Path:
    """A file of random images."""
    file = Path(folder, "images.npy")
    np.save(file, np.random.default_rng(0).integers(0, 256, (512, 32, 32, 3), dtype=np.uint8))
    return file


# --------------------------------------------------------------------------------------------------- by counterplay


def ours(bench: Bench, game: Any, solver: Any) -> tuple[float, float]:
    """Seconds of a step in the second part of a run, and iterations of its inner solve."""
    stamps, iterations = list[float](), list[Tensor]()

    def watch(seen: cp.Seen) -> None:
        bench.wait()
        stamps.append(time.perf_counter())
        iterations.extend([seen.info.inner["iterations"]] if seen.info.inner else [])

    result = cp.run(game, solver, steps=bench.steps, device=bench.device, trace=True, observers=[watch])
    if result.eager:
        print(f"  note: {result.eager}")
    gaps = [b - a for a, b in zip(stamps[bench.skip :], stamps[bench.skip + 1 : -1], strict=False)]
    return statistics.median(gaps), statistics.mean(map(int, iterations)) if iterations else 0.0


# --------------------------------------------------------------------------------------------------- by hand


class Hand:
    """A simultaneous step of Adam as one would write it, with the data on the device."""

    def __init__(self, bench: Bench, game: Any, how: str) -> None:
        self.game, self.device, self.how = game, bench.device, how
        start = game.init(torch.Generator().manual_seed(3))
        self.params = {i: {k: x.to(self.device).requires_grad_() for k, x in t.items()} for i, t in start.items()}
        self.pixels = game.images.pixels.to(self.device)
        cuda = self.device.type == "cuda"
        settings = {"lr": LR, "betas": BETAS, "fused": cuda, "capturable": cuda}
        self.rules = [torch.optim.Adam([*tree.values()], **settings) for tree in self.params.values()]  # type: ignore[arg-type]
        self.losses: Callable[..., Any] = self._losses
        if how == "compiled":
            self.losses = torch.compile(self._losses, dynamic=False, mode="reduce-overhead" if cuda else "default")
        self.graph: Any = None

    def __call__(self) -> None:
        if self.how != "graph":
            return self.step(*self.batch())
        real, noise = self.batch()
        if self.graph is None:
            self.static, aside = (real.clone(), noise.clone()), torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    self.step(*self.static)
            torch.cuda.current_stream().wait_stream(aside)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.step(*self.static)
        for place, x in zip(self.static, (real, noise), strict=True):
            place.copy_(x)
        self.graph.replay()

    def batch(self) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(self.pixels), (self.game.batch,), device=self.device)
        noise = torch.randn(self.game.batch, self.game.noise_size, device=self.device)
        return to_floats(self.pixels[chosen]), noise

    def step(self, real: Tensor, noise: Tensor) -> None:
        losses = self.losses(self.params, real, noise)
        last = [*self.params][-1]
        for i, tree in self.params.items():
            grads = torch.autograd.grad(losses[i], [*tree.values()], retain_graph=i != last, allow_unused=True)
            for x, g in zip(tree.values(), grads, strict=True):
                x.grad = g
        for rule in self.rules:
            rule.step()

    def _losses(self, params: cp.Params, real: Tensor, noise: Tensor) -> dict[str, Tensor]:
        D, fake = params["discriminator"], self.game.generator(params["generator"], noise)
        d_real, d_fake = (self.game.discriminator(D, x).squeeze(1) for x in (real, fake))
        found: dict[str, Tensor] = self.game.loss(d_real, d_fake)
        return found


class Cgds(Hand):
    """A step of ACGD by the package CGDs."""

    def __init__(self, bench: Bench, game: Any) -> None:
        import CGDs

        super().__init__(bench, game, "plain")
        own = [[*tree.values()] for tree in self.params.values()]
        self.optimiser = CGDs.ACGD(*own, lr_max=LR, lr_min=LR, tol=TOL**2, atol=0.0, collect_info=True)
        self.iterations: list[int] = []

    def step(self, real: Tensor, noise: Tensor) -> None:
        self.optimiser.step(self.losses(self.params, real, noise)["discriminator"])
        self.iterations.append(self.optimiser.info["iter_num"])


def by_hand(bench: Bench, step: Callable[[], None]) -> float:
    """Seconds of a step."""
    for _ in range(bench.skip):
        step()
    bench.wait()
    began = time.perf_counter()
    for _ in range(count := bench.steps - bench.skip):
        step()
    bench.wait()
    return (time.perf_counter() - began) / count


# --------------------------------------------------------------------------------------------------- what is measured


def in_turns(bench: Bench, ways: dict[str, Callable[[], float]]) -> tuple[dict[str, float], dict[str, float]]:
    """The median seconds of a step of each way, and the most memory that it held, in MiB."""
    seconds: Rounds = {name: [] for name in ways}
    peaks: Rounds = {name: [] for name in ways}
    for n in range(bench.rounds):
        for name in [*ways][:: 1 if n % 2 else -1]:  # each goes first as often as last
            if bench.device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(bench.device)
            try:
                seconds[name].append(ways[name]())
            except Exception as error:  # another library, or torch.compile, does not work here
                print(f"  {name} fails: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
                continue
            if bench.device.type == "cuda":
                peaks[name].append(torch.cuda.max_memory_allocated(bench.device) / 2**20)
    medians = [{name: statistics.median(x) for name, x in found.items() if x} for found in (seconds, peaks)]
    return medians[0], medians[1]


def first_order(bench: Bench, network: str, file: Path) -> dict[str, float]:
    """simgd with Adam, beside loops by hand."""
    game = bench.game(network, "non-saturating", file)
    loops = ("plain", "compiled", "graph") if bench.device.type == "cuda" else ("plain", "compiled")
    ways: dict[str, Callable[[], float]] = {
        how: partial(lambda how: by_hand(bench, Hand(bench, game, how)), how) for how in loops
    }
    ways["simgd"] = lambda: ours(bench, game, cp.make("solver", "simgd", lr=LR, rule=ADAM))[0]
    return compared(network, *in_turns(bench, ways), "simgd")


def second_order(bench: Bench, network: str, file: Path) -> dict[str, float]:
    """acgd, beside CGDs."""
    game, counts = bench.game(network, "saturating", file), dict[str, float]()

    def acgd() -> float:
        seconds, counts["acgd"] = ours(bench, game, cp.make("solver", "acgd", lr=LR, tol=TOL))
        return seconds

    def cgds() -> float:
        step = Cgds(bench, game)
        seconds = by_hand(bench, step)
        counts["CGDs"] = statistics.mean(step.iterations)
        return seconds

    found = compared(network, *in_turns(bench, {"CGDs": cgds, "acgd": acgd}), "acgd")
    return found | {f"{network}: iterations, {who}": count for who, count in counts.items()}


def compared(network: str, seconds: dict[str, float], peaks: dict[str, float], own: str) -> dict[str, float]:
    figures = {f"{network}: {own}, ms": seconds[own] * 1e3}
    figures |= {f"{network}: {own} / {who}": seconds[own] / x for who, x in seconds.items() if who != own}
    return figures | {f"{network}: peak memory, {who}, MiB": x for who, x in peaks.items()}


def spectra(bench: Bench, network: str, file: Path) -> dict[str, float]:
    """Seconds of the spectra of J, its parts and its blocks at the start."""
    table = Evaluator(bench.game(network, "non-saturating", file), None, torch.float32, bench.device)
    with torch.no_grad():
        rng = torch.Generator().manual_seed(0)
        params, buffers = table.start([rng])
        local = cp.LocalGame.of(table, params, table.draw([rng], buffers))
        bench.wait()
        began = time.perf_counter()
        jacobian_spectra(local, 4 if bench.quick else 20, 6 if bench.quick else 100)
        bench.wait()
    size = sum(x.numel() for x in leaves(params))
    return {f"{network}: spectra of J, s": time.perf_counter() - began, f"{network}: parameters": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--network", choices=NETWORKS, help="only this one")
    parser.add_argument("--quick", action="store_true", help="narrow networks and few steps; nothing is kept")
    asked = parser.parse_args()
    try:
        require_device(asked.device, "--device")
    except cp.UsageError as error:
        print(f"There is no GPU to measure: {error}", file=sys.stderr)
        sys.exit(2)
    bench = Bench(torch.device(asked.device), asked.quick)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, precision(tf32=False):
        file = images(folder)
        for network in [asked.network] if asked.network else NETWORKS:
            for measure in (first_order, second_order, spectra):
                found = measure(bench, network, file)
                figures |= found
                for name, value in found.items():
                    print(f"{name:45s} {value:.4g}", flush=True)
    if not (asked.quick or asked.network):
        keep(f"gpu, {asked.device}", figures)


if __name__ == "__main__":
    main()
