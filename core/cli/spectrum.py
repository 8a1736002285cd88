"""``counterplay spectrum``: eigenvalues at a point of a run or of a game, and what they say, as a table or JSON."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..click_types import INTEGER, PATH, Integer
from ..errors import UsageError, printable
from ..registry import experiment as config
from ..registry import registry
from ..registry.build import build, other_code
from ..storage.strict_json import dumps
from ..terminal.completion import of_kind
from ..terminal.progress import shown
from .options import as_typed, objects, plugins, require_member
from .run import device_of, start_of

if TYPE_CHECKING:
    from ..spectra.at_point import Point

_OF_A_GAME = ("solver", "g", "s", "loss", "l", "regularizer", "r", "start", "seed", "dtype")  # options for a game only
SEEN = 1e-3  # if the relative error of an eigenvalue is larger than this, the table shows the error
_STATUS = {  # schema.SPECTRUM_STATUS in words
    "converged": "converged",
    "not_converged": "not converged",
    "not_finite": "not finite: there is a NaN or an infinity in it",
    "not_differentiable": "not differentiable here: a second moment is exactly 0",
}


@click.command("spectrum")
@click.argument("where", type=PATH, metavar="PATH|GAME", shell_complete=of_kind("game"))
@click.option("--step", type=INTEGER, help="The step of the run in PATH.  [default: the newest checkpoint's]")
@click.option(
    "--solver",
    metavar="NAME",
    help="Of a GAME: the solver whose update map F is looked at, too.",
    shell_complete=of_kind("solver"),
)
@objects
@click.option(
    "--start",
    type=PATH,
    metavar="FILE.safetensors",
    help="The point, or the run whose newest one.  [default: the game's]",
)
@click.option("--seed", type=INTEGER, help="Of the game's own starting point.  [default: 0]")
@click.option("--dtype", metavar="float32|float64", help="Precision.  [default: the game's]")
@click.option("--device", metavar="cpu|cuda", default="cpu", help="Where it is computed.  [default: cpu]")
@click.option("--member", type=INTEGER, default=0, help="Which member of an ensemble.  [default: 0]")
@click.option("-k", type=Integer(1), help="Eigenvalues shown; up to 20 cost the same.  [default: 8]")
@click.option(
    "--products", type=Integer(2), help="The most products for each spectrum of a large game.  [default: 100, or 5 k]"
)
@plugins
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON.")
def spectrum_command(
    where: str, step: int | None, k: int | None, member: int, products: int | None, as_json: bool, **given: Any
) -> None:
    """Find the eigenvalues of the Jacobian J, of its parts and blocks, and of the update map F'.

    At a point of the run in PATH, or of GAME where the options say, on the batch that recorded spectra are measured
    on. The residual of an eigenvalue is relative to the largest; of a large J or F' the leading ones are found.
    """
    from ..run.load_point import is_run, load_point, plugins_of
    from ..run.torch_switches import precision
    from ..spectra.announcement import announced_to
    from ..spectra.at_point import eigenvalues_shown, point_report

    count = eigenvalues_shown(k, products, default=8)
    for path in given["plugin"]:
        registry.load_file(path)
    if is_run(where):
        if typed := [name for name in _OF_A_GAME if given[name] not in (None, ())]:
            flag = f"-{typed[0]}" if len(typed[0]) == 1 else f"--{typed[0]}"
            raise UsageError(
                f"{where} is a run, which says what was played: {flag} is for a game. To look at its newest point in "
                f"another way: counterplay spectrum GAME --start {shlex.quote(where)}."
            )
        point = load_point(where, step, device_of(given["device"]))
        with plugins_of(point.experiment):
            for what in other_code(point.experiment):
                click.echo(f"Warning: {what}.", err=True)
    else:
        if step is not None:
            raise UsageError(f"--step {step} is a step of a run, and {where} is not a run directory with a run.json.")
        point = _given(where, given)
    members = point.game.members
    require_member(member, members, where)
    with precision(tf32=False), shown(quiet=as_json) as display, announced_to(getattr(display, "spectra", None)):
        facts = point_report(point, count, None if members is None else member, products)
    click.echo(dumps(facts).rstrip() if as_json else table(facts))


def _given(where: str, given: Mapping[str, Any]) -> Point:
    """The point of a game that the options describe."""
    import torch

    from ..run.engine import initial_state
    from ..run.load_point import buffers_from
    from ..run.settings import Settings
    from ..spectra.at_point import Point
    from ..spectra.game_check import check_game

    typed = as_typed({**given, "game": where}, {})
    default = {} if "solver" in typed else {"solver": "simgd"}  # an experiment must name a solver
    experiment = config.resolve(default, typed)
    game, solver, regularizers = build(experiment)
    device = device_of(experiment.device)
    settings = Settings(steps=0, seed=experiment.seed, device=device, dtype=experiment.dtype).checked()
    evaluator = settings.evaluator(game, regularizers)
    with torch.no_grad():
        state = initial_state(evaluator, solver, settings, start_of(experiment.start))
        state = replace(state, buffers=buffers_from(experiment.start, state.buffers))
        buffers, checks = evaluator.refresh(state.params, state.buffers), {"jacobian": check_game(evaluator, state)}
    source = f"the start in {experiment.start}" if experiment.start else f"the game's start from seed {experiment.seed}"
    named = None if default else solver
    return Point(evaluator, named, state.params, None, None, source, config.to_table(experiment), buffers, checks)


def table(facts: Mapping[str, Any]) -> str:
    """The facts as text: first ρ(F') and min Re λ(J), which decide, then every spectrum, then what they say."""
    from ..stability import verdict, verdict_text

    meaning: dict[str, Any] = facts["meaning"]
    rounding, period = meaning["rounding"], meaning.get("period", 1)
    map = "F'" + f" of {period} steps" * (period > 1)
    member = "" if facts["member"] is None else f", member {facts['member']} of {facts['members']}"
    at = "" if facts["step"] is None else f"step {facts['step']}, "
    head = {
        "game": facts["game"] + member,
        "solver": facts["solver"] or "none named: no F'",
        "point": f"{at}{facts['point']}",
        "solver's memory": facts["memory"] if facts["solver"] else "",
        "gradient norm ‖v‖": _gradient(facts),
        f"ρ({map})": verdict_text.number(meaning, "update_radius"),
        "min Re λ(J)": verdict_text.number(meaning, "min_real"),
        "J beside v": verdict.jacobian_check_in_words(facts.get("jacobian_check")),
    }
    named = [(map, "largest modulus", facts["update"]), ("J", "largest modulus", facts["jacobian"])]
    named += [(map, "farthest from 1", facts.get("update_far"))]
    named += [(f"{part} part", "largest modulus", facts[part]) for part in ("symmetric", "antisymmetric")]
    named += [(f"own block of {i}", "largest modulus", s) for i, s in facts["blocks"].items()]
    rows: list[tuple[str, ...]] = [("", "value", "modulus", "residual", "status")]
    for name, which, s in named:
        rows += [] if s is None else _rows(name, which, s, verdict_text.eigenvalue, rounding)
    return "\n".join([*_aligned(head.items()), "", *_aligned(rows), "", *_aligned(verdict_text.lines(meaning).items())])


def _gradient(facts: Mapping[str, Any]) -> str:
    """‖v‖ on the batch of the spectra; if batches differ, also that of the mean of v over several batches."""
    norm, noise = f"{facts['gradient_norm']:.6g}", facts.get("gradient_noise")
    if not noise:
        return norm
    return (
        f"{norm} on this batch, {facts['mean_gradient_norm']:.6g} in the mean over several, which differ by {noise:.6g}"
    )


def _rows(name: str, which: str, s: Mapping[str, Any], text: Any, rounding: float) -> list[tuple[str, ...]]:
    """A row for each eigenvalue. The first one names the matrix, how many eigenvalues were found, and which ones."""
    whole = s["found"] == s["dimension"]
    heading = f"{name} ({s['found']})" if whole else f"{name}, {which} ({s['found']} of {s['dimension']:,})"
    largest = max((abs(z) for z in s["eigenvalues"]), default=0.0)
    rows: list[tuple[str, ...]] = []
    each = zip(s["eigenvalues"], s["residuals"], s["errors"], s["status"], strict=True)
    for n, (z, residual, error, status) in enumerate(each):
        words = _STATUS[status]
        if status == "converged" and not error * largest <= SEEN * abs(z):
            words = "lost to rounding" if math.isnan(error) else f"to ± {error * largest:.1g}"
        rows.append((heading * (n == 0), text(z, largest, rounding), f"{abs(z):.6g}", f"{residual:.1e}", words))
    return rows


def _aligned(rows: Any) -> list[str]:
    """Rows of cells as lines with aligned columns. Pairs with an empty second cell are left out."""
    kept = [[printable(cell) for cell in r] for r in rows if len(r) != 2 or r[1]]
    widths = [max(len(r[i]) for r in kept) for i in range(len(kept[0]))] if kept else []
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in kept]
