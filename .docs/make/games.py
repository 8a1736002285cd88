"""What a game is like: its size, and four solvers that play it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import counterplay as cp

from . import kept
from .pictures import figure, save

SOLVERS: dict[str, dict[str, Any]] = {"simgd": {}, "extragradient": {}, "conopt": {"gamma": 0.1}, "cgd": {}}
ADAM = {"name": "adam", "betas": [0.5, 0.999]}


@dataclass(frozen=True)
class Shown:
    """How a game is played for its picture."""

    lr: float = 0.05
    steps: int = 60
    options: dict[str, Any] = field(default_factory=dict)  # of the game
    solvers: dict[str, dict[str, Any]] = field(default_factory=lambda: SOLVERS)


_TWO = {"simgd": {"rule": ADAM}, "extragradient": {"rule": ADAM}}
_IMAGES = {"simgd": {"rule": ADAM}}
GAMES = {
    "quadratic": Shown(0.02),
    "bilinear": Shown(0.2, 80),
    "dirac-gan": Shown(0.2),
    "exponential": Shown(1e-3, 60, {"alpha": 20.0}),
    "random-polynomial": Shown(steps=40),
    "iterated-prisoners-dilemma": Shown(0.2, 40),
    "matching-pennies": Shown(0.2),
    "projection": Shown(0.05, 40, solvers={"simgd": {}, "extragradient": {}, "cgd": {}}),
    "affine-gaussian": Shown(steps=40),
    "four-player": Shown(steps=40),
    "mixture": Shown(
        1e-3, 100, {"hidden": 32, "batch": 64}, {"simgd": {"rule": ADAM}, "extragradient": {"rule": ADAM}}
    ),
    "digits": Shown(5e-4, 20, {"hidden": 64}, _IMAGES),
    "images": Shown(5e-4, 20, {"data": "mnist-5k", "network": "mlp"}, _IMAGES),
    "several-gans": Shown(5e-4, 20, {}, _IMAGES),
}
FILES = {"mnist", "cifar10", "celeba"}  # these need files that nobody can ship


def lines(name: str) -> list[str]:
    """The section of a game's page, and its picture."""
    if name in FILES:
        return ["It reads files that counterplay does not bring along, so there is no picture here.", ""]
    picture, key = kept.GENERATED / "game" / f"{name}.png", kept.key(name)
    said = kept.load(picture.with_suffix(".json"), key)
    if said is None or not picture.exists():
        said = _played(name, picture)
        kept.keep(picture.with_suffix(".json"), key, said)
    return list(said)


def _played(name: str, picture: Path) -> list[str]:
    shown = GAMES.get(name, Shown())
    game = cp.make("game", name, **shown.options)
    histories, refused = {}, []
    for solver, options in shown.solvers.items():
        made = cp.make("solver", solver, lr=shown.lr, **options)
        try:
            result = cp.run(game, made, steps=shown.steps, seed=1, history=True, sample_every=shown.steps)
        except cp.Diverged as diverged:
            refused.append(f"{solver} diverged: {_inline(diverged)}")
        except cp.UserError as error:
            refused.append(f"{solver} does not play it: {_inline(error)}")
        else:
            histories[solver] = result.history
    said = _facts(game, name, shown)
    if not histories:
        return [*said, *(f"{line}\n" for line in refused)]
    plane = "step/parameters" in next(iter(histories.values())) and _size(game) == 2
    fig, axes = figure(1, 1 + plane + _shows(histories), (3.4, 2.9))
    _norms(axes[0][0], histories)
    if plane:
        _paths(axes[0][1], histories)
    if _shows(histories):
        _samples(axes[0][-1], *histories.popitem())
    save(fig, picture)
    what = ["the norm of v"] + ["the paths of the two numbers"] * plane + ["samples at the end"] * _shows(histories)
    names = ", ".join(shown.solvers)
    return [
        *said,
        f"![{name}: {', '.join(what)}]({name}.png)",
        "",
        f"{shown.steps} steps of {names}, with step size {shown.lr:g}: {', '.join(what)}.",
        "",
        *(f"{line}\n" for line in refused),
    ]


def _inline(error: Exception) -> str:
    return f"{error}".replace("\n", " ")


def _size(game: cp.Game) -> int:
    return sum(x.numel() for tree in game.init(torch.Generator().manual_seed(0)).values() for x in tree.values())


def _facts(game: cp.Game, name: str, shown: Shown) -> list[str]:
    options = "".join(f", {k} = {v}" for k, v in shown.options.items())
    sizes = game.init(torch.Generator().manual_seed(0))
    counts = ", ".join(f"{i} ({sum(x.numel() for x in tree.values()):,})" for i, tree in sizes.items())
    sums = "zero-sum" if game.zero_sum else "not zero-sum"
    noise = "each step draws random numbers" if game.draws else "nothing is random"
    return [f"Players, with the numbers of their parameters{options}: {counts}. The game is {sums}, and {noise}.", ""]


def _norms(axes: Any, histories: dict[str, Any]) -> None:
    for solver, h in histories.items():
        norms = h["step/gradient_norms"]  # (steps, players)
        axes.plot(np.linalg.norm(np.where(np.abs(norms) < 1e100, norms, np.nan), axis=-1), label=solver, linewidth=1.2)
    axes.set(yscale="log", xlabel="step", title="norm of v")
    axes.legend(fontsize=7, frameon=False)


def _paths(axes: Any, histories: dict[str, Any]) -> None:
    for h in histories.values():
        axes.plot(*h["step/parameters"].T, linewidth=1)
    start = next(iter(histories.values()))["step/parameters"][0]
    axes.plot(*start, "ko", markersize=4, markerfacecolor="white")
    points = np.concatenate([h["step/parameters"] for h in histories.values()])
    near = points[(np.abs(points) <= 1.3 * max(np.abs(start).max(), 0.1)).all(-1)]  # those that diverge leave the panel
    middle, reach = (near.max(0) + near.min(0)) / 2, 0.55 * max(np.ptp(near, axis=0).max(), 1e-3)
    axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach), aspect="equal")
    axes.set_title("paths, from the open circle")


def _shows(histories: dict[str, Any]) -> bool:
    return any(n in h for h in histories.values() for n in ("samples/points", "samples/images"))


def _samples(axes: Any, solver: str, h: dict[str, Any]) -> None:
    if "samples/points" in h:
        axes.scatter(*h["samples/points"][-1].T[:2], s=4, alpha=0.6)
        axes.set(title=f"samples, {solver}")
        axes.margins(0.3)
        return
    images = h["samples/images"][-1][:16]
    images = (images - images.min()) / (np.ptp(images) or 1)
    rows = [np.concatenate([*images[4 * r : 4 * r + 4]], -1) for r in range(len(images) // 4)]
    sheet = np.concatenate(rows, -2).transpose(1, 2, 0)
    axes.imshow(sheet if sheet.shape[-1] == 3 else sheet[..., 0], cmap="gray")
    axes.set(xticks=[], yticks=[], title=f"samples, {solver}")
