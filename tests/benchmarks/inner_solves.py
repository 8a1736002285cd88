"""Small games under solvers with an inner solve, beside the package CGDs.

    python tests/benchmarks/inner_solves.py [--quick]

Needs the extra ``benchmark``. A zero-sum game of 2 + 3 numbers, stepped by CGDs, and by our solvers step by step, from
replayed programs (the steps 200 to 2,000 of a run), and compiled, with all that a log has recorded. Stackelberg,
follow-the-ridge and implicit-euler are other methods than those of CGDs; implicit-euler makes several solves a step.
CPU seconds on one thread, medians, taken in turns but for compiled steps, which are too short.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from common import keep
from torch import Tensor
from toys import STEPS, compiled

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator

INNER = ("cgd", "acgd", "stackelberg", "follow-the-ridge", "implicit-euler")
INTERACTION = torch.tensor([[0.3, -1.1, 0.8], [1.4, 0.2, -0.5]], dtype=torch.float64)


def five_numbers(x: Tensor, y: Tensor) -> Tensor:
    """What x (2,) minimises and y (3,) maximises: convex in x, concave in y, not quadratic."""
    return x @ INTERACTION @ y + (x**2).sum() / 2 + (x**4).sum() / 4 - (y**2).sum() / 2 - (y**4).sum() / 4


def beside_cgds(rounds: int, steps: int) -> dict[str, float]:
    """Steps with an inner solve, relative to those of CGDs."""
    import CGDs

    start = {"x": torch.tensor([0.7, -0.4]).double(), "y": torch.tensor([0.5, 0.3, -0.6]).double()}
    game = cp.game_from_losses(
        lambda p, batch: {"x": (f := five_numbers(p["x"]["value"], p["y"]["value"])), "y": -f},
        {i: {"value": x} for i, x in start.items()},
        zero_sum=True,
    )
    x, y = (value.clone().requires_grad_() for value in start.values())
    # It asks |r|^2 <= tol |b|^2; the player who maximises comes first.
    theirs = CGDs.ACGD([y], [x], lr_max=1e-4, lr_min=1e-4, tol=1e-20, atol=0.0)

    def of(name: str, trace: bool) -> Callable[[], None]:
        solver, table = cp.make("solver", name), Evaluator(game, None, torch.float64, trace=trace)
        state = [table.start([torch.Generator()])[0]]
        state.append(solver.init(table, state[0]))

        def step() -> None:
            with torch.no_grad():
                state[:] = solver.step(table, state[0], state[1], dict)[:2]

        return step

    turns: dict[str, Callable[[], None]] = {"CGDs": lambda: theirs.step(five_numbers(x, y))}
    turns |= {f"{n}, {how}": of(n, how == "replayed") for n in INNER for how in ("eager", "replayed")}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for k in range(10 + rounds):
        for name, step in turns.items():
            began = time.process_time()
            step()
            if k >= 10:
                seconds[name].append(time.process_time() - began)
    found = {name: statistics.median(values) for name, values in seconds.items()}
    for name in INNER:
        found[f"{name}, compiled"] = compiled(game, cp.make("solver", name), steps, 1)
    base = found.pop("CGDs")
    ratios = {f"five numbers: CGDs / {name}": base / value for name, value in found.items()}
    return {"five numbers: step of CGDs, us": base * 1e6, **ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps, nothing recorded")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    figures = beside_cgds(50 if quick else 300, STEPS // 10 if quick else STEPS)
    for name, value in figures.items():
        print(f"{name:60s} {value:.3f}")
    if not quick:
        keep("inner solves", figures)


if __name__ == "__main__":
    main()
