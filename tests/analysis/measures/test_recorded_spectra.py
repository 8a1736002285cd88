"""Verdicts of recorded spectra: of large games, whole and in part, of today and from before; and their pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.analysis.commands.report import write_report
from counterplay.analysis.commands.summary import summarize, table
from counterplay.analysis.figures.plot import holds, plot
from counterplay.analysis.log.log import Log, open_log
from counterplay.analysis.measures.log_verdict import meaning
from counterplay.analysis.measures.recorded_spectra import sizes_of, spectra
from counterplay.core.log.schema import Layout
from counterplay.core.stability.verdict import differs, jacobian_check_in_words
from counterplay.core.storage.strict_json import dumps

from ...conftest import Run
from ...support.logs import written

PLAYERS = {"generator": 3000, "discriminator": 2000}
LARGE = [1.2802, 0.97 + 0.1j, 0.97 - 0.1j]  # of F', by modulus
FAR = [-0.7069, 0.2, 0.3]  # farthest from 1


def log_of(path: Path, members: int | None = None, run: dict[str, Any] | None = None, **spectrum: Any) -> Log:
    """A run of 41 steps with one spectrum: parts of the spectra of 5,000 parameters, where not said otherwise."""
    lead = () if members is None else (members,)

    def wide(x: Any) -> Any:
        return np.broadcast_to(x, (*lead, *np.shape(x)))

    row: dict[str, Any] = {
        "eigenvalues": [5.0, 3 + 1j, 3 - 1j, -1.0], "residuals": [1e-9] * 4, "status": [0] * 4,
        "block_eigenvalues": [[5.0, 2.0], [4.0, 1.0]], "block_residuals": np.full((2, 2), 1e-9),
        "block_status": np.zeros((2, 2), int), "gradient_norm": 0.0, "gradient_noise": 0.0, "mean_gradient_norm": 0.0,
    }  # fmt: skip
    row = {k: wide(x) for k, x in {**row, **spectrum}.items() if x is not None}
    if "state_size" in row:
        row["state_size"] = np.max(row["state_size"])
    steps = [{"step": n, "losses": wide([1.0, 2.0]), "gradient_norms": wide([0.5**n, 0.5**n]),
              "parameter_norms": wide([1.0, 1.0])} for n in range(41)]  # fmt: skip
    rows = [*(("step", one) for one in steps), ("spectrum", {"step": 40, **row})]
    facts = {
        "players": PLAYERS,
        "experiment": {"game": "digits", "solver": {"name": "simgd", "lr": 0.1}},
        **(run or {}),
    }
    return open_log(written(path, Layout(tuple(PLAYERS), members=members), rows, facts, ("max_steps", 40)))


def part(values: list[Any], prefix: str = "update_", status: int = 0, residual: float = 1e-9) -> dict[str, Any]:
    n = len(values)
    return {f"{prefix}eigenvalues": values, f"{prefix}residuals": [residual] * n, f"{prefix}status": [status] * n}


NEW = {**part(LARGE), **part(FAR, "update_far_"), "state_size": 15000}


def kind_in(log: Log) -> dict[str, Any]:
    found = meaning(log)
    assert found is not None
    return found["kind"]


def test_the_largest_modulus_decides_and_is_a_bound(tmp_path: Path) -> None:
    log = log_of(tmp_path / "run", **NEW)
    facts = summarize(log)
    said, kind = facts["meaning"], facts["meaning"]["kind"]
    assert said["update_radius"] == facts["spectrum"]["update_radius"] == pytest.approx(1.2802)
    assert said["complete"] is False and said["update_complete"] is False and said["joint_part"] is None
    assert kind["name"] == "unstable" and kind["words"].startswith("unstable")
    assert "ρ(F') ≥ 1.2802, min Re λ(J) ≤ -1" in kind["words"]
    text = table([facts])
    for words in ("≥ 1.2802", "smallest Re λ", "≤ -1", "largest |λ|", "≥ 5", "some of them, converged", "unknown"):
        assert words in text, words
    assert "stable but not Nash" not in text and "Nash equilibrium:" not in text
    assert text.index("spectral radius of F'") < text.index("smallest Re λ") < text.index("spectrum of J")
    assert json.loads(dumps(facts))["meaning"]["bounds"]["update_radius"] == "≥"


def test_a_log_from_before_has_the_far_end_only(tmp_path: Path) -> None:
    """Those farthest from 1: what is below 1 among them says nothing of ρ(F'), what is above it does."""
    far = part([-0.7069, *([0.5] * 19)])
    old = {"gradient_norm": None, "gradient_noise": None, "mean_gradient_norm": None}
    kind = kind_in(log_of(tmp_path / "before", **far, **old))
    assert kind["name"] == "unknown" and kind["step"] == "unknown" and kind["at_rest"] == "unknown"  # v = 1e-12 there
    text = table([summarize(open_log(tmp_path / "before"))])
    assert "≥ 0.7069" in text and "stable but not" not in text
    assert kind_in(log_of(tmp_path / "above", **part([-1.4, *([0.5] * 19)]), **old))["name"] == "unstable"
    rough = part([-1.4, *([0.5] * 19)], status=1)
    facts = meaning(log_of(tmp_path / "rough", **rough, **old))
    assert facts is not None and facts["kind"]["step"] == "unknown" and np.isnan(facts["update_radius"])
    assert "spectral radius of F'" in (shown := table([summarize(open_log(tmp_path / "rough"))]))
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("spectral radius")] == ["unknown"]


@pytest.mark.parametrize(
    ("players", "count", "complete"),
    [
        ({"generator": 2, "discriminator": 1}, 3, True),
        ({"generator": 2, "discriminator": 1}, 9, True),  # memory, too: a state so small was found whole
        ({"generator": 900, "discriminator": 600}, 1500, True),
        ({"generator": 3000, "discriminator": 2000}, 20, False),
        ({"generator": 30, "discriminator": 20}, 20, False),
        ({"generator": 10, "discriminator": 10}, 20, None),  # all of 20, or 20 of many with a memory
        ({"generator": 2}, 3, None),  # of whom, it does not say
    ],
)
def test_whether_a_log_from_before_has_all_of_f(
    tmp_path: Path, players: dict[str, int], count: int, complete: bool | None
) -> None:
    found = spectra(log_of(tmp_path / "run", run={"players": players}, **part([0.5] * count)))
    assert found is not None and found[0].update is not None and found[0].update.complete is complete


def test_v_beside_its_noise(tmp_path: Path) -> None:
    for name, norms, state in [
        ("still", (3.0, 1e-17, 1e-17), "yes"),
        ("slow", (3.0, 1e-3, 1e-4), "unknown"),  # the least eigenvalue is not known
        ("moves", (3.0, 0.1, 2.0), "no"),
        ("open", (3.0, 3.0, 1.0), "unknown"),
    ]:
        keys = ("gradient_norm", "gradient_noise", "mean_gradient_norm")
        kind = kind_in(log_of(tmp_path / name, **{**NEW, **dict(zip(keys, norms, strict=True))}))
        assert kind["at_rest"] == state and kind["name"] == "unstable" and kind["words"].startswith("unstable")
    assert "whether it is at rest is unknown (‖v‖ = 1 ± 4.2 over 8 batches)" in kind["words"]


def test_members_are_told_apart(tmp_path: Path) -> None:
    """One member unstable for sure, one unknown: the counts say so, and the median of bounds is a bound."""
    update = np.array([LARGE, [0.9, 0.5, 0.5]])
    log = log_of_members(tmp_path / "two", {**NEW, "update_eigenvalues": update})
    facts = summarize(log)
    said = facts["meaning"]
    assert said["update_radius"] == pytest.approx([1.2802, 0.9]) and said["update_complete"] == [False, False]
    assert said["kind"]["counts"] == {"unstable": 1, "unknown": 1}
    text = table([facts])
    assert "1 unstable, 1 unknown" in text and "median ≥ 1.0901 of 2" in text
    assert facts["spectrum"]["update_radius"] == pytest.approx(1.2802) and facts["spectrum"]["update_complete"] is False


def log_of_members(path: Path, rows: dict[str, Any]) -> Log:
    """Two members that differ in F' alone."""
    first = {k: x for k, x in rows.items() if k != "update_eigenvalues"}
    base = log_of(path.with_name("base"), members=2, **first)
    row = {k.partition("/")[2]: base[k][-1] for k in base if k.startswith("spectrum/")}
    row["update_eigenvalues"] = rows["update_eigenvalues"]
    steps = [{k.partition("/")[2]: base[k][n] for k in base if k.startswith("step/")} for n in range(41)]
    made = [*(("step", one) for one in steps), ("spectrum", row)]
    return open_log(written(path, Layout(tuple(PLAYERS), members=2), made, {"players": PLAYERS}, ("max_steps", 40)))


def test_j_that_is_not_the_derivative_of_v_has_no_verdict(tmp_path: Path, cli: Run) -> None:
    words = "J is off by 0.3 from differences of v: something in a loss is detached."
    run = {"checks": {"jacobian": {"status": "differs", "words": words}}}
    log = log_of(tmp_path / "run", run=run, **NEW)
    assert kind_in(log) == {**kind_in(log), "name": "unknown", "words": words}
    code, text, _ = cli("summary", tmp_path / "run")
    assert code == 0 and text.count(words) == 2
    run["checks"]["jacobian"]["status"] = "agrees"
    assert words not in table([summarize(log_of(tmp_path / "good", run=run, **NEW))])
    run["checks"]["jacobian"]["status"] = "unknown"
    log = log_of(tmp_path / "rough", run=run, **NEW)
    assert f"not known to be its derivative: {words}" in table([summarize(log)]) and kind_in(log)["name"] == "unstable"
    for odd in (None, 3, "differs", {"status": ["differs"]}):
        assert differs(odd) is None and jacobian_check_in_words(odd) == ""


def test_a_number_taken_out_of_a_tensor_leaves_no_verdict(tmp_path: Path) -> None:
    """x · y with x as a number in y's loss: J of it shrinks to the origin, and play does not."""
    start = {i: {"w": torch.tensor(1.0, dtype=torch.float64)} for i in "xy"}

    def losses(p: cp.Params, batch: cp.Batch) -> dict[str, torch.Tensor]:
        x, y = p["x"]["w"], p["y"]["w"]
        return {"x": x * y, "y": -x.item() * y}

    cp.run(cp.game_from_losses(losses, start), cp.make("solver", "simgd", lr=0.1), steps=20, spectrum_every=20,
           out=tmp_path / "run")  # fmt: skip
    kind, text = kind_in(open_log(tmp_path / "run")), table([summarize(open_log(tmp_path / "run"))])
    assert kind["name"] == kind["curvature"] == "unknown" and "J is not the derivative of v" in kind["words"]
    assert "J beside v" in text


def _texts(drawn: Any) -> str:
    from matplotlib.text import Text

    return " ".join(t.get_text() for t in drawn.findobj(Text))


def test_the_picture_names_both_ends(tmp_path: Path) -> None:
    words = _texts(plot("spectrum", log_of(tmp_path / "run", **NEW)))
    assert words.count("of largest modulus") == 3  # of J and of the blocks, which have no other end, and of F'
    assert "farthest from 1" in words and "ρ(F') ≥ 1.28" in words
    words = _texts(plot("spectrum", log_of(tmp_path / "before", **part([-0.7, *([0.5] * 19)]))))
    assert words.count("of largest modulus") == 2 and "farthest from 1" in words and "ρ(F') ≥ 0.7" in words
    words = _texts(plot("rate", log_of(tmp_path / "rate", **NEW)))
    assert "predicted ρ(F') ≥ 1.2802 a step" in words


def test_a_border_of_bounds_is_not_drawn(tmp_path: Path) -> None:
    experiment = {"solver": {"name": "simgd", "lr": {"generator": [0.1, 0.2], "discriminator": [0.3, 0.1]}}}
    rows = {**NEW, "update_eigenvalues": np.array([LARGE, [0.9, 0.5, 0.5]])}
    log = log_of_members(tmp_path / "two", rows)
    log.run["experiment"] = experiment
    assert holds(log, "stability") and "predicted border" not in _texts(plot("stability", log))


def test_the_report_says_bounds(tmp_path: Path) -> None:
    log = log_of(tmp_path / "run", **NEW)
    text = write_report([log], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "≥ 1.2802" in text and "unstable" in text and "stable but not" not in text


def test_sizes_are_told_by_the_parameters_too(tmp_path: Path) -> None:
    path = written(tmp_path / "run", Layout(("x", "y"), ("x/a[0]", "x/a[1]", "y/b")), [
        ("step", {"step": 0, "losses": [1.0, 2.0], "parameters": [1.0, 2.0, 3.0]}),
    ])  # fmt: skip
    assert sizes_of(open_log(path)) == {"x": 2, "y": 1}
