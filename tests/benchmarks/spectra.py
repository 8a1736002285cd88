"""Leading eigenvalues of J and of the update map F' for the CIFAR-10 networks, in single precision.

    python tests/benchmarks/spectra.py [--quick]

After some steps of Adam, on the batch of the next: the 20 eigenvalues of J of largest modulus, and the 20 of F', with
Adam's moments in it, that are farthest from 1. Prints the largest residual as the log has it, seconds and the most
memory that a process of its own held, and appends them to ``record.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from common import cifar, keep

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.spectra.spectrum import spectrum, update_spectrum
from counterplay.core.spectra.update_map import UpdateMap

K, PRODUCTS = 20, 300
SOLVER = {"name": "adam", "betas": [0.5, 0.999]}


def measure(which: str, steps: int) -> dict[str, float]:
    case = cifar()
    solver = cp.make("solver", "simgd", lr=2e-4, rule=SOLVER)
    played = cp.run(case.game, solver, steps=steps, trace=True)
    game = Evaluator(case.game, None, torch.float32, trace=True)
    rng = torch.Generator().manual_seed(steps)
    with torch.no_grad():
        batch = game.draw([rng], {})
        began = time.perf_counter()
        if which == "J":
            found = spectrum(LocalGame.of(game, played.params, batch).jacobian(), K, PRODUCTS)
        else:
            found = update_spectrum(UpdateMap(game, solver, played.params, played.memory, batch), K, PRODUCTS)
    return {
        "eigenvalues": found.eigenvalues.shape[-1],
        "largest residual": float(found.residuals.max()),
        "s wall": time.perf_counter() - began,
        "peak memory of the process, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two steps of Adam before, nothing recorded")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.alone:
        return print(json.dumps(measure(asked.alone[0], int(asked.alone[1]))))
    figures: dict[str, float] = {}
    for which in ("J", "F'"):
        command = [sys.executable, __file__, "--alone", which, "2" if asked.quick else "20"]
        alone = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        figures |= {f"{which}: {name}": value for name, value in alone.items()}
    for name, value in figures.items():
        print(f"{name:45s} {value:.4g}")
    if not asked.quick:
        keep("spectra", figures)


if __name__ == "__main__":
    main()
