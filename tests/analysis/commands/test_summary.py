"""Summaries of every kind of run, as facts, as JSON and as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import counterplay as cp
from counterplay.analysis.commands.comparison import compared
from counterplay.analysis.commands.summary import rows, summarize, table
from counterplay.analysis.log.log import open_log
from counterplay.core.log.schema import Layout

from ...conftest import Run
from ...support.logs import written


def test_summary_has_the_facts(runs: dict[str, Path]) -> None:
    facts = summarize(open_log(runs["quadratic"]))
    log = open_log(runs["quadratic"])
    assert (facts["game"], facts["solver"], facts["seed"], facts["steps"]) == ("quadratic", "simgd", 0, 60)
    assert facts["losses"] == {"x": log["step/losses"][-1, 0], "y": log["step/losses"][-1, 1]}
    assert facts["spectrum"]["status"] == ["converged"] and facts["spectrum"]["count"] == 2
    assert facts["spectrum"]["max_modulus"] == pytest.approx(np.sqrt(96))
    assert facts["spectrum"]["update_radius"] == pytest.approx(0.96250, abs=1e-5)
    assert facts["inner"] is None and facts["cost"]["gradients"] == 60
    facts = summarize(open_log(runs["gan"]))
    assert facts["loss"] == "wgan" and facts["regularizers"] == ["r1"]
    assert facts["inner"]["not_converged"] == 1 and facts["inner"]["solves"] == 301
    assert facts["metrics"] == {"score": 3.0, "digit_share": [0.1] * 10}
    assert len(summarize(open_log(runs["ensemble"]))["losses"]["x"]) == 4


def test_summary_of_nan_is_strict_json(tmp_path: Path, cli: Run) -> None:
    nan = [complex(np.nan, np.nan)] * 2
    spectrum = {"step": 0, "eigenvalues": nan, "residuals": [np.nan] * 2, "status": [2, 2]}
    step = {"step": 0, "losses": [np.nan], "gradient_norms": [np.inf]}
    path = written(tmp_path / "run", Layout(("x",)), [("step", step), ("spectrum", spectrum)])

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    facts = json.loads(cli("summary", path, "--json")[1], parse_constant=refuse)
    assert facts["losses"] == {"x": None} and facts["spectrum"]["count"] == 0
    assert facts["spectrum"]["status"] == ["not_finite"]


def test_table_of_several_runs(runs: dict[str, Path]) -> None:
    text = table([summarize(open_log(path)) for path in runs.values()], width=1000)
    assert len({len(line.split("  ")[0]) for line in text.splitlines()}) > 1
    assert "quadratic" in text and "diverged" in text
    each = "\n".join(table([summarize(open_log(path))]) for path in runs.values())
    for word in ("The bound was passed.", "loss of generator", "spectral radius of F'"):
        assert word in each
    assert "\x1b" not in table([summarize(open_log(runs["gan"])) | {"game": "\x1b[31mred"}])


def run(n: int, **more: str) -> dict[str, str]:
    """The facts of the n-th run of a sweep over two step sizes."""
    facts = {"run": f"sweep/cell-{n:02d}", "game": "quadratic", "solver": "simgd", "seed": str(n % 18)}
    facts |= {"status": "max_steps", "message": f"Took all steps, and {n} more were not asked for.", "steps": "50"}
    facts |= {f"loss of {i}": f"{n / 7:.6g}" for i in "xy"} | {f"gradient norm of {i}": f"{n / 3:.6g}" for i in "xy"}
    facts |= {f"figure of merit number {k}": f"{n * k}" for k in range(40)} | {"kind of point": f"not at rest, {n}" * 4}
    return facts | more


def asked(n: int) -> dict[str, Any]:
    solver = {"name": "simgd", "lr": {"x": (0.1, 0.2)[n // 18], "y": 0.1}, "rule": {"name": "sgd"}}
    return {"game": {"name": "quadratic", "b": 10.0}, "solver": solver, "seed": n % 18, "out": f"sweep/{n}"}


def test_many_runs_have_a_row_each() -> None:
    lines = compared([run(n) for n in range(36)], [asked(n) for n in range(36)], 100).split("\n")
    assert max(map(len, lines)) <= 100
    assert lines[0] == "36 runs in sweep"
    assert [" ".join(line.split()) for line in lines[1:4]] == [
        "game quadratic",
        "solver simgd",
        "figure of merit number 0 0",
    ]
    rows = [line.split() for line in lines if line.startswith("cell-")]
    (head,) = (line.split() for line in lines if line.startswith("run "))
    assert len(rows) == 36 and head[:5] == ["run", "status", "steps", "seed", "lr.x"]
    assert [row[:5] for row in rows[17:19]] == [
        ["cell-17", "max_steps", "50", "17", "0.1"],
        ["cell-18", "max_steps", "50", "0", "0.2"],
    ]
    assert sum(line.count("quadratic") for line in lines) == 1  # what is common is said once
    assert "Also different: " in "\n".join(lines) and "kind of point" in " ".join(lines)


def test_settings_are_named_as_briefly_as_can_be() -> None:
    experiments: list[dict[str, Any]] = [
        {"game": {"name": "g", "a": k, "b": k}, "solver": {"name": "s", "a": k, "tol": 1}} for k in (1, 2)
    ]
    experiments += [{"game": "g", "solver": {"name": "s", "tol": 2, "only": 3, "rule": {"name": "adam"}}}]
    experiments += [{"game": "g", "solver": {"name": "s", "rule": {"name": "sgd"}}}]
    lines = compared([run(n) for n in range(4)], experiments, 120).split("\n")
    (head,) = (line.split() for line in lines if line.startswith("run "))
    assert head[3:10] == ["seed", "game.a", "b", "solver.a", "tol", "only", "rule.name"]


def test_a_few_runs_stand_beside_each_other_in_lines_that_fit(runs: dict[str, Path]) -> None:
    for names in (("quadratic", "gan"), ("quadratic", "diverged", "ensemble")):
        lines = table([summarize(open_log(runs[name])) for name in names]).split("\n")
        assert max(map(len, lines)) <= 100 and lines[0].startswith("run  ")
        (game,) = (line.split() for line in lines if line.startswith("game  "))
        assert game[1:] == [{"gan": "digits"}.get(name, "quadratic") for name in names]
    one = table([summarize(open_log(runs["gan"]))]).split("\n")
    assert one[0].startswith("run  ") and any(line.startswith("loss of generator  ") for line in one)


def test_what_a_stranger_wrote_does_not_widen_a_table() -> None:
    facts = [run(n, **{"x" * 300: "y" * 300, "message": "z" * 300, "game": "a b " * 99}) for n in range(5)]
    for n, f in enumerate(facts):
        f["run"] = f"/{'p' * 200}/{n}/{'q' * 200}"
    lines = compared(facts, [{"solver": {"w" * 200: [n] * 99}} for n in range(5)], 100).split("\n")
    assert sum("…" in line for line in lines) >= 5
    assert len([line for line in lines if line.startswith("0/")]) == 1


def test_json_of_several_runs_is_a_list(cli: Run, runs: dict[str, Path]) -> None:
    several = json.loads(cli("summary", runs["quadratic"], runs["gan"], "--json")[1])
    assert several == [json.loads(cli("summary", runs[name], "--json")[1]) for name in ("quadratic", "gan")]


def test_numbers_of_an_earlier_step_say_so(tmp_path: Path) -> None:
    asked = iter(range(100))
    quadratic, simgd = cp.make("game", "quadratic"), cp.make("solver", "simgd")
    cp.run(quadratic, simgd, steps=20, every=5, out=tmp_path / "r", stop=lambda: next(asked) == 8, compile=False)
    shown = rows(summarize(cp.open_log(tmp_path / "r")))
    assert (shown["steps"], shown["last recorded step"], shown["gradients"]) == ("8", "5", "6")
    whole = cp.run(quadratic, simgd, steps=20, every=7, out=tmp_path / "w")
    assert "last recorded step" not in rows(summarize(cp.open_log(str(whole.directory))))
