"""The results of a run: one table of facts, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core.errors import printable
from ...core.log.schema import SPECTRUM_STATUS
from ...core.stability.certainty import bound_sign, largest, whole
from ...core.stability.number_format import number_text, rate_text
from ...core.stability.step_sizes import name_of
from ...core.stability.verdict import jacobian_check_in_words
from ...core.stability.verdict_text import eigenvalue, lines
from ...core.storage.strict_json import json_value, parse
from ..log.log import Log
from ..measures.convergence import dtype_of
from ..measures.lingering import lingering
from ..measures.log_verdict import meaning
from ..measures.recorded_spectra import jacobian_check, last, spectra
from ..settings import settings
from .comparison import compared

COSTS = ("gradients", "products", "samples", "solver_seconds", "measuring_seconds", "wall_seconds")
_FACTS = ("seed", "members", "dtype")  # settings that have rows of their own
_CODE = {"modules", "of", "draw", "class"}  # the parts of a game made in Python that say what code it is
LEADING = 8  # eigenvalues shown


def _own(value: Any, option: str) -> Any:
    return value.get(option) if isinstance(value, Mapping) else None


@np.errstate(over="ignore", invalid="ignore")  # of a run that has blown up: its numbers show it
def summarize(log: Log) -> dict[str, Any]:
    """Return the facts of a run as plain JSON values: NaN and infinities are None, ensembles have lists."""
    asked, status = log.experiment, log.status
    lost = "It has no status.json, which says how its run ended." if log.path.is_dir() and not status else None
    final = last(log, "step/step")
    regularizers = asked.get("regularizers") or []
    facts = {
        "path": str(log.path),
        "game": name_of(asked.get("game")),
        "solver": name_of(asked.get("solver")),
        "loss": name_of(asked.get("loss")) or name_of(_own(asked.get("game"), "loss")),
        "regularizers": [name_of(r) for r in regularizers] if isinstance(regularizers, list) else [],
        "settings": dict(settings(asked)),
        "seed": log.run.get("seed", asked.get("seed")),
        "members": log.members,
        "dtype": dtype_of(log),
        "status": status.get("state"),
        "message": status.get("reason", lost),
        "steps": status.get("step", None if final is None else int(final)),
        "recorded_step": None if final is None else int(final),
        "best_step": status.get("best_step"),
        "inexact": _inexact(log),
        "losses": _by_player(log, "step/losses"),
        "gradient_norms": _by_player(log, "step/gradient_norms"),
        "parameter_norms": _by_player(log, "step/parameter_norms"),
        "cost": {k: last(log, f"step/{k}") for k in COSTS},
        "inner": _inner(log),
        "jacobian": jacobian_check_in_words(jacobian_check(log)),
        "spectrum": _spectrum(log),
        "meaning": meaning(log),
        "metrics": {k.partition("/")[2]: _last_finite(log, k) for k in log if _is_metric(k)},
        "metric_provenance": {k.partition("/")[2]: dict(v.attrs) for k, v in log.variables.items() if v.attrs},
        "measured_by": {k.partition("/")[2]: v.measured_by for k, v in log.variables.items() if v.measured_by},
        "metastable": lingering(log),
    }
    return json_value(facts)


def _inexact(log: Log) -> Any:
    """The steps from which on the run may differ from one without interruption, and what has changed; [] if none."""
    try:
        return parse(str(log.attrs.get("inexact", "[]")))
    except ValueError:
        return []


def _marks(inexact: Any) -> list[tuple[Any, list[str]]]:
    marks = [mark for mark in inexact if isinstance(mark, Mapping)] if isinstance(inexact, list) else []
    return [(m.get("step"), list(map(str, m["changed"])) if isinstance(m.get("changed"), list) else []) for m in marks]


def _is_metric(key: str) -> bool:
    return key.startswith("metrics/") and key != "metrics/step"


def _last_finite(log: Log, key: str) -> np.ndarray | None:
    """Return a metric's last evaluation. Rows in which only other metrics were evaluated have NaN."""
    rows = log[key]
    seen = ~np.isnan(rows).reshape(len(rows), -1).all(axis=1)
    return rows[np.flatnonzero(seen)[-1]] if seen.any() else None


def _by_player(log: Log, key: str) -> dict[str, Any]:
    row = last(log, key)
    return {} if row is None else {player: row[..., i] for i, player in enumerate(log.players)}


def _inner(log: Log) -> dict[str, Any] | None:
    if "step/inner_converged" not in log:
        return None
    converged = log["step/inner_converged"]
    solved = converged >= 0  # -1 in the last row, as no step follows it
    found: dict[str, Any] = {"solves": int(solved.sum()), "not_converged": int((converged == 0).sum())}
    if "step/inner_iterations" in log:
        found["mean_iterations"] = log["step/inner_iterations"][solved].mean() if solved.any() else None
    if "step/inner_residual" in log:
        residual = log["step/inner_residual"]
        found["worst_residual"] = np.nanmax(residual) if np.isfinite(residual).any() else None
    return found


def _spectrum(log: Log) -> dict[str, Any] | None:
    """The facts of the last spectrum, of all members of an ensemble together, from the certain eigenvalues.

    Where a spectrum is not complete, ``max_modulus`` and ``update_radius`` are lower bounds, ``min_real`` an upper one.
    """
    values, found = last(log, "spectrum/eigenvalues"), spectra(log)
    if values is None or found is None:
        return None
    residuals = last(log, "spectrum/residuals")
    J, updates = [one.J for one in found], [one.update for one in found if one.update is not None]
    known, rho = np.concatenate([one.certain for one in J]), largest(updates)
    order = np.argsort(-np.abs(known), kind="stable")
    return {
        "step": last(log, "spectrum/step"),
        "status": _statuses(log, "spectrum/status"),
        "count": int(np.isfinite(values).sum()),
        "complete": whole(J),
        "leading": list(known[order[:LEADING]]),
        "min_real": known.real.min() if len(known) else None,
        "max_modulus": np.abs(known).max() if len(known) else None,
        "worst_residual": np.nanmax(residuals) if residuals is not None and np.isfinite(residuals).any() else None,
        "update_status": _statuses(log, "spectrum/update_status"),
        "update_complete": whole(updates),
        "update_radius": rho and rho[0],
        "errors": {
            "min_real": np.fmax.reduce([one.real_error for one in J]),
            "max_modulus": np.fmax.reduce([one.radius_error for one in J]),
            "update_radius": rho and rho[1],
        },
    }


def _statuses(log: Log, key: str) -> list[str] | None:
    status = last(log, key)
    return None if status is None else [SPECTRUM_STATUS[s] for s in np.unique(status[status >= 0]) if s < 4]


def rows(facts: dict[str, Any], digits: int = 6) -> dict[str, str]:
    """Return the facts of one run as label -> text, with numbers of so many digits."""
    found = {
        "run": facts["path"],
        "game": facts["game"],
        "solver": facts["solver"],
        "loss": facts["loss"],
        "regularizers": ", ".join(map(str, facts["regularizers"])),
        "settings": _settings(facts["settings"]),
        "seed": facts["seed"],
        "members": facts["members"],
        "status": facts["status"],
        "message": facts["message"],
        "steps": facts["steps"],
        "last recorded step": facts["recorded_step"] if facts["recorded_step"] != facts["steps"] else None,
        "best step": facts["best_step"],
        "inexact": "; ".join(f"from step {at}: {', '.join(why)}" for at, why in _marks(facts["inexact"])),
    }
    for name, one in (("losses", "loss"), ("gradient_norms", "gradient norm"), ("parameter_norms", "parameter norm")):
        found.update({f"{one} of {p}": _text(v, digits) for p, v in facts[name].items()})
    found.update({k.replace("_", " "): _text(v, digits) for k, v in facts["cost"].items()})
    if inner := facts["inner"]:
        found["inner solves"] = f"{inner['solves']:,}, of which {inner['not_converged']:,} did not converge"
        found["worst inner residual"] = _text(inner.get("worst_residual"), digits)
    if facts["jacobian"]:
        found["J beside v"] = facts["jacobian"]
    if spectrum := facts["spectrum"]:
        found |= _spectrum_rows(spectrum, facts, digits)
        found.update(lines(facts["meaning"], digits))
    else:
        found["spectrum of J"] = "none recorded; counterplay spectrum takes one"
    found.update(
        {k.replace("_", " "): _metric(v, facts["measured_by"].get(k), digits) for k, v in facts["metrics"].items()}
    )
    if facts["metastable"]:
        found["time in projection"] = _projection(facts["metastable"])
    return {printable(label): printable(text) for label, text in found.items() if text not in (None, "")}


def _settings(found: Mapping[str, str]) -> str:
    """The settings that are no facts of their own, without switches that are off, with names as brief as can be."""
    own = {k: x for k, x in found.items() if k not in _FACTS and x not in ("false", "[]", "null", "")}
    if "game.class" in found:  # a game made in Python
        own = {k: x for k, x in own.items() if not (k.startswith("game.") and _CODE & {*k.split(".")})}
    short = Counter(k.partition(".")[2] or k for k in own)
    brief = {k: k.partition(".")[2] if k.startswith(("game.", "solver.")) else k for k in own}
    return ", ".join(f"{brief[k] if short[brief[k]] < 2 else k}={x}" for k, x in own.items())


def _solved(statuses: Sequence[str] | None) -> str:
    """How the eigenvalue solves ended, in words."""
    words = [status.replace("_", " ") for status in statuses or ()]
    return "not all converged" if "converged" in words and len(words) > 1 else ", ".join(words)


def _spectrum_rows(spectrum: Mapping[str, Any], facts: Mapping[str, Any], digits: int) -> dict[str, str]:
    """First the numbers that decide, ρ(F') and min Re λ(J), then the others."""
    known, period = spectrum["complete"], facts["meaning"].get("period", 1)
    scale, rounding = spectrum["max_modulus"] or 0.0, facts["meaning"]["rounding"]
    leading = (complex(z["re"], z["im"]) for z in spectrum["leading"][:4])
    least, status = spectrum["min_real"], _solved(spectrum["status"])
    off, found = spectrum["errors"], {}
    if "update_complete" in facts["meaning"]:
        label = "spectral radius of F'" + f", {period} steps" * (period > 1)
        sign, rho = bound_sign(spectrum["update_complete"], "≥"), spectrum["update_radius"]
        found[label] = "unknown" if rho is None else rate_text(rho, digits, sign, off["update_radius"])
        how = {True: "all of them", False: "some of them", None: "whether all of them is unknown"}
        words = how[spectrum["update_complete"]], _solved(spectrum["update_status"])
        found["eigenvalues of F'"] = ", ".join(filter(None, words))
    if least is not None:
        found["smallest Re λ"] = number_text(least, digits, bound_sign(known, "≤"), off["min_real"], scale)
    found["spectrum of J"] = f"{spectrum['count']} eigenvalues at step {spectrum['step']} ({status})"
    found["leading eigenvalues"] = " ".join(eigenvalue(z, scale, rounding, min(digits, 5)) for z in leading)
    if spectrum["max_modulus"] is not None:
        found["largest |λ|"] = number_text(scale, digits, bound_sign(known, "≥"), off["max_modulus"])
    found["worst residual"] = _text(spectrum["worst_residual"], digits)
    return found


def _projection(found: Mapping[str, Any]) -> str:
    """The time spent in metastable projection, in words."""
    share = found["share"]
    if share is None:
        return f"unknown: {found['rows']} rows of the metrics are too few, record more with --sample-every"
    if isinstance(share, list):
        some = sum(s > 0 for s in share)
        return f"{some} of {len(share)} members linger, for {np.mean(share):.1%} of the run on average"
    return f"{share:.1%} of the run"


def _metric(value: Any, measured_by: str | None, digits: int) -> str:
    """A metric's last value, and what it was measured by."""
    text = _text(value, digits)
    return f"{text} ({measured_by})" if text and measured_by else text


def _text(value: Any, digits: int = 6) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        flat = np.asarray([np.nan if v is None else v for v in np.ravel(np.array(value, dtype=object))], dtype=float)
        if len(flat) <= 12:
            return " ".join(f"{v:.3g}" for v in flat)
        good = flat[np.isfinite(flat)]
        return (
            f"median {np.median(good):.{min(digits, 5)}g} of {len(flat)}"
            if len(good)
            else f"none finite of {len(flat)}"
        )
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def table(facts: list[dict[str, Any]], asked: Sequence[Mapping[str, Any]] | None = None, width: int = 100) -> str:
    """Return the facts of one or several runs as text in lines of ``width``. ``asked`` are their experiments."""
    return compared([rows(f) for f in facts], asked or [{}] * len(facts), width)
