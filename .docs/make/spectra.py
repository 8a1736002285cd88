"""What a solver does at the equilibrium of three games, for many step sizes: the eigenvalues of F'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import counterplay as cp

from . import kept
from .pictures import eigenvalues, figure, save, shades

STEP_SIZES = np.geomspace(1e-3, 3, 24)
GAMES: dict[str, tuple[dict[str, Any], str]] = {  # name -> options, what it tests; all are at rest in 0
    "bilinear": ({}, "rotation alone"),
    "quadratic": ({"c": -1.0}, "a fast rotation around a weak attraction"),
    "dirac-gan": ({}, "the smallest GAN"),
}
STEPS = 4  # of which the cost is counted
ROUNDING = 1e-9
HEAD = """## Where it converges

The figure and the table are computed. At the equilibrium of three games, with 24 step sizes from 0.001 to 3, they show
the eigenvalues of F', the derivative of one step. The step converges there if their largest modulus, ρ(F'), is
below 1. The smaller ρ(F') is, the faster it converges. All other options have their defaults.
"""


def measured(name: str) -> dict[str, Any]:
    """The facts on one solver, by game."""
    return {game: _measured(name, game, options) for game, (options, _) in GAMES.items()}


def _measured(name: str, game_name: str, options: dict[str, Any]) -> dict[str, Any]:
    game = cp.make("game", game_name, **options)
    rest = {i: {"value": [0.0]} for i in game.players}
    solver = cp.make("solver", name, lr=STEP_SIZES.tolist())
    members = len(STEP_SIZES)
    h = cp.run(game, solver, steps=STEPS, start=rest, members=members, spectrum_every=STEPS, history=True).history
    known = (h["spectrum/update_status"][0] == 0).all(-1)  # (members,)
    eigenvalues = h["spectrum/update_eigenvalues"][0]
    return {
        "eigenvalues": [[[z.real, z.imag] for z in row] for row in eigenvalues],
        "status": int(h["spectrum/update_status"][0].max()),
        "moduli": np.where(known, np.abs(eigenvalues).max(-1), np.nan).tolist(),
        "cost": {n: float(h[f"step/{n}"][-1]) / STEPS for n in ("gradients", "products")}
        if len(h["step/gradients"]) > STEPS
        else None,
        "period": solver.period,
    }


def lines(name: str) -> list[str]:
    """The section of a solver's page, and its picture."""
    picture, key = kept.GENERATED / "solver" / f"{name}.svg", kept.key(name)
    facts = kept.load(picture.with_suffix(".json"), key)
    if facts is None or not picture.exists():
        facts = measured(name)
        _draw(name, facts, picture)
        kept.keep(picture.with_suffix(".json"), key, facts)
    rows = [f"| [{g}](../game/{g}.md) | {what} | {verdict(facts[g])} |" for g, (_, what) in GAMES.items()]
    bilinear = facts["bilinear"]
    return [
        HEAD,
        "| game | what it tests | |",
        "|---|---|---|",
        *rows,
        "",
        f"![Eigenvalues of F' and their largest modulus, for {name} in three games]({name}.svg)",
        "",
        f"The eigenvalues of F'{_period(bilinear)} in the complex plane, with the circle of modulus 1; on the right "
        "ρ(F') over the step size. The colour is the step size, from dark (0.001) to light (3).",
        "",
        *_cost(bilinear["cost"]),
    ]


def _period(facts: dict[str, Any]) -> str:
    return f" (of {facts['period']} steps, the method's period)" if facts["period"] > 1 else ""


def _cost(cost: dict[str, float] | None) -> list[str]:
    if cost is None:
        return []
    gradients, products = _count(cost["gradients"], "evaluation"), _count(cost["products"], "Jacobian-vector product")
    return [f"A step costs {gradients} of v and {products} on the bilinear game.", ""]


def _count(n: float, what: str) -> str:
    return f"{n:.3g} {what}{'' if n == 1 else 's'}"


def verdict(facts: dict[str, Any]) -> str:
    """What the moduli of F' over the step sizes say, in words."""
    moduli = np.array(facts["moduli"], dtype=float)
    if np.isnan(moduli).any():
        why = {2: "a step from there is not finite", 3: "the step has no derivative there"}
        return f"unknown: {why.get(facts['status'], 'some eigenvalues were not found')}"
    good = moduli < 1 - ROUNDING
    if good.any():
        at = STEP_SIZES[good]
        to = f"from {at[0]:.2g} to {at[-1]:.2g}" if good.sum() > 1 else f"{at[0]:.2g} alone"
        some = "" if np.diff(np.flatnonzero(good)).max(initial=1) == 1 else ", with gaps"
        best = f"ρ(F') = {below_one(moduli.min())} at {STEP_SIZES[moduli.argmin()]:.2g}"
        return f"**converges** for step sizes {to}{some}; the best is {best}"
    if (moduli < 1 + ROUNDING).any():
        return "**on the border**: ρ(F') = 1 to rounding, and never less, so F' does not decide"
    return f"**unstable** at every step size: ρ(F') is {moduli.min():.7g} or more"


def _draw(name: str, facts: dict[str, Any], path: Path) -> None:
    fig, (axes,) = figure(1, len(GAMES) + 1, (2.5, 2.7))
    for one, game, marker in zip(axes, facts, "os^", strict=False):
        moduli = np.clip(np.array(facts[game]["moduli"], dtype=float), 0, 3)
        known = np.array(facts[game]["eigenvalues"])[~np.isnan(moduli)]
        eigenvalues(one, known, STEP_SIZES[~np.isnan(moduli)], marker, game)
        axes[-1].plot(STEP_SIZES, moduli, color="0.6", linewidth=0.8)
        axes[-1].scatter(STEP_SIZES, moduli, c=shades(STEP_SIZES), marker=marker, s=9, zorder=3, label=game)
    axes[-1].axhline(1, color="0.4", linestyle="--", linewidth=1)
    axes[-1].set(xscale="log", xlim=(8e-4, 4), ylim=(0, 2), xlabel="step size", title="ρ(F')")
    axes[-1].set_xticks([1e-3, 1e-2, 1e-1, 1], ["0.001", "0.01", "0.1", "1"], minor=False)
    axes[-1].set_xticks([], minor=True)
    axes[-1].legend(fontsize=7, frameon=False, loc="lower left")
    save(fig, path)


def table(names: list[str]) -> list[str]:
    """One row for each solver: the least ρ(F') over the step sizes, game by game."""
    rows = ["| | " + " | ".join(f"[{g}](game/{g}.md)" for g in GAMES) + " |", "|---|" + "---|" * len(GAMES)]
    for name in names:
        facts = kept.load(kept.GENERATED / "solver" / f"{name}.json", kept.key(name))
        rows.append(f"| [{name}](solver/{name}.md) | " + " | ".join(_least(facts[g]) for g in GAMES) + " |")
    return rows


def _least(facts: dict[str, Any]) -> str:
    moduli = np.array(facts["moduli"], dtype=float)
    if np.isnan(moduli).any():
        return "unknown"
    least = moduli.min()
    return below_one(least) if least < 1 - ROUNDING else "on the border" if least < 1 + ROUNDING else "unstable"


def below_one(rho: float) -> str:
    """A number below 1, with enough digits to see that it is."""
    return f"{rho:.{max(2, 1 - int(np.floor(np.log10(1 - rho))))}f}"
