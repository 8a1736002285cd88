"""``counterplay spectrum``: at points of runs and of games, what it prints, what it refuses, what it never imports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import counterplay as cp
from counterplay.core.registry import registry
from counterplay.core.registry.registry import Registry
from counterplay.core.spectra.at_point import eigenvalues_shown
from counterplay.core.storage.strict_json import dumps

from ..conftest import Run

QUADRATIC = ("run", "quadratic", "--solver", "simgd", "--quiet")
GOOD = ("-s", "lr.x=0.09", "-s", "lr.y=0.01")

TWIST = """
from dataclasses import dataclass
import counterplay as cp
from counterplay.core.game.tree import add, sub

@dataclass(frozen=True)
class Twist(cp.Composed):
    '''theta - lr (v + (J^T - J) v).'''
    def direction(self, local):
        v, J = local.gradient(), local.jacobian()
        return add(v, sub(J.rmv(v), J.mv(v)))

@cp.hookimpl
def register_solvers():
    return [cp.Entry("twist", Twist, "v + (J^T - J) v")]
"""


def read(cli: Run, *args: str) -> dict:
    code, out, err = cli("spectrum", *args, "--json")
    assert code == 0, err
    return json.loads(out)


def values(facts: dict) -> np.ndarray:
    return np.array([complex(z["re"], z["im"]) for z in facts["eigenvalues"]])


def test_a_run_s_newest_point_is_what_was_recorded_there(cli: Run) -> None:
    cli(*QUADRATIC, *GOOD, "-s", "rule=adam", "--steps", "30", "--spectrum-every", "10", "--out", "q")
    facts = read(cli, "q")
    assert facts["step"] == 30 and facts["point"] == "checkpoint" and facts["memory"] == "that of the checkpoint"
    log = cp.open_log("q")
    for name, key in (("jacobian", "eigenvalues"), ("update", "update_eigenvalues")):
        assert np.array_equal(values(facts[name]), log[f"spectrum/{key}"][-1][: len(values(facts[name]))]), name
    assert np.array_equal(values(facts["symmetric"]).real, log["spectrum/symmetric_eigenvalues"][-1])
    assert values(facts["blocks"]["y"]) == [-2]
    assert facts["gradient_norm"] == pytest.approx(float(np.linalg.norm(log["step/gradient_norms"][-1])), rel=1e-12)


def test_a_step_between_has_parameters_but_no_memory(cli: Run) -> None:
    cli(*QUADRATIC, *GOOD, "-s", "rule=momentum", "--steps", "30", "--checkpoint-every", "10", "--out", "q")
    between, saved = read(cli, "q", "--step", "7"), read(cli, "q", "--step", "10")
    assert between["point"] == "parameters in the log" and between["memory"] == "the solver's first"
    assert saved["memory"] == "that of the checkpoint" and saved["step"] == 10 and between["step"] == 7
    row = cp.open_log("q")["step/parameters"][7]
    assert between["parameter_norm"] == pytest.approx(float(np.linalg.norm(row)), rel=1e-12)
    code, _, err = cli("spectrum", "q", "--step", "99")
    assert code == 2 and "no step 99: the nearest are 29 and 30" in err
    code, _, err = cli("spectrum", "q", "--step", "-1")
    assert code == 2 and "no step -1" in err


def test_the_origin_of_the_quadratic_game(cli: Run) -> None:
    """TARGETS: (.09, .01) -> .96250, and ICR: stable but not Nash."""
    save_file({f"{i}/value": torch.zeros(1, dtype=torch.float64) for i in "xy"}, "zero.safetensors")
    facts = read(cli, "quadratic", "--solver", "simgd", *GOOD, "--start", "zero.safetensors")
    assert facts["meaning"]["update_radius"] == pytest.approx(0.96250, abs=5e-6)
    assert facts["meaning"]["kind"]["name"] == "stable_not_nash" and facts["step"] is None
    code, out, _ = cli("spectrum", "quadratic", "--solver", "simgd", *GOOD, "--start", "zero.safetensors")
    assert code == 0
    assert re.search(r"^ρ\(F'\) +0\.962497$", out, re.M) and re.search(
        r"^kind of point +stable but not Nash:", out, re.M
    )
    assert re.search(r"^F' \(2\) +0\.\d+[+-]0\.\d+i +0\.962497 +\d\.\de-\d\d +converged$", out, re.M)


def test_without_a_solver_there_is_no_update_map(cli: Run) -> None:
    facts = read(cli, "quadratic", "-g", "b=3", "--seed", "5")
    assert facts["update"] is None and facts["solver"] is None and "update_radius" not in facts["meaning"]
    assert values(facts["jacobian"]) == pytest.approx([1j * 5**0.5, -1j * 5**0.5])
    code, out, _ = cli("spectrum", "quadratic")
    assert code == 0 and "none named: no F'" in out and "ρ(F')" not in out.split("kind")[0]


@pytest.mark.parametrize(
    ("solver", "options", "zeta", "tau", "step"),
    [("simgd", (), 49.99, 255.3, 0.08), ("jare", ("-s", "gamma=10"), 0.178, 24.04, 0.16)],
)
def test_published_figures_of_the_affine_gaussian_gan(
    cli: Run, solver: str, options: tuple[str, ...], zeta: float, tau: float, step: float
) -> None:
    at = ("affine-gaussian", "-g", "exact=true", "-g", "radius=0", "--solver", solver, "-s", "lr=0.05", *options)
    said = read(cli, *at)["meaning"]
    assert said["step_phase"] == pytest.approx(zeta, abs=5e-3) and said["kind"]["name"] == "nash"
    assert said["step_conditioning"] == pytest.approx(tau, abs=0.05)
    assert 0.05 * said["step_multiple"] == pytest.approx(step, abs=1e-9)
    assert said["phase"] == pytest.approx(49.99, abs=5e-3) and said["largest_step"] == pytest.approx(0.08, abs=1e-9)


def test_regularizers_losses_and_leading_eigenvalues(cli: Run) -> None:
    at = ("dirac-gan", "--regularizer", "r1", "-r", "r1.gamma=0.3", "--loss", "saturating", "-k", "1")
    save_file(
        {f"{i}/value": torch.zeros(1, dtype=torch.float64) for i in ("generator", "discriminator")}, "zero.safetensors"
    )
    facts = read(cli, *at, "--start", "zero.safetensors")
    (found,) = values(facts["jacobian"])
    assert (found.real, abs(found.imag)) == (pytest.approx(0.15, abs=1e-6), pytest.approx(0.47697, abs=1e-5))
    assert facts["jacobian"]["found"] == 2


def test_fewer_products_find_less_of_a_large_game(cli: Run) -> None:
    code, out, err = cli("spectrum", "digits", "-g", "hidden=32", "--solver", "simgd", "--products", "20", "-k", "4")
    assert code == 0 and err.startswith("spectra: at most 160 products"), "100 for each are 800"
    assert re.search(r"largest modulus \(10 of [\d,]+\)", out) and "not converged" in out


def test_products_alone_say_how_many_eigenvalues_are_shown() -> None:
    assert [eigenvalues_shown(None, products, 20) for products in (None, 100, 30, 2)] == [20, 20, 15, 1]
    assert eigenvalues_shown(4, 8, 20) == 4
    with pytest.raises(cp.UsageError, match="at least 16 products, and 15 were given"):
        cp.spectrum("nowhere", k=8, products=15)  # before anything is read


def test_members(cli: Run) -> None:
    cli(*QUADRATIC, "-s", "lr=[0.01,0.02,0.03]", "--members", "3", "--steps", "5", "--out", "e")
    one = read(cli, "e", "--member", "2", "--step", "3")
    expected = np.abs(np.linalg.eigvals(np.eye(2) - 0.03 * np.array([[2, 10], [-10, -2]]))).max()
    assert one["meaning"]["update_radius"] == pytest.approx(expected, abs=1e-12) and one["member"] == 2
    assert "member 1 of 3" in cli("spectrum", "e", "--member", "1")[1]
    assert cli("spectrum", "e", "--member", "3")[0] == 2 and cli("spectrum", "quadratic", "--member", "1")[0] == 2


def test_a_solver_that_repeats_itself(cli: Run) -> None:
    """F' is of a period; the rate it predicts is of a step, in the command as in the log."""
    cli("run", "quadratic", "--solver", "lookahead-minmax", "-s", "k=4", "--steps", "40", "--spectrum-every", "20",
        "--out", "l", "--quiet")  # fmt: skip
    said = read(cli, "l", "--step", "40")["meaning"]
    assert said["predicted_rate"] == pytest.approx(said["update_radius"] ** (1 / 4))
    code, out, _ = cli("summary", "l", "--json")
    assert code == 0 and json.loads(out)["meaning"]["predicted_rate"] == pytest.approx(said["predicted_rate"])


def test_what_is_refused(cli: Run) -> None:
    cli(*QUADRATIC, *GOOD, "--steps", "5", "--out", "q")
    for args, words in [
        (("q", "--solver", "cgd"), "--start q"),
        (("q", "-g", "b=3"), "-g is for a game"),
        (("quadratic", "--step", "3"), "not a run directory"),
        (("quadratc",), "did you mean 'quadratic'"),
        (("quadratic", "-k", "0"), "-k"),
        (
            ("images", "-g", "data.root=none", "-k", "8", "--products", "15"),
            "need at least 16 products, and 15 were given",
        ),
        (("quadratic", "--start", "none.safetensors"), "does not exist"),
        (("quadratic", "--solver", "simgd", "-s", "lt=3"), "no option 'lt'"),
        (("quadratic", "-s", "lr=3"), "Name the solver"),
    ]:
        code, out, err = cli("spectrum", *args)
        assert code == 2 and words in err and not out, (args, err)


def test_a_run_put_together_in_python_says_so(cli: Run) -> None:
    start = {i: {"value": torch.ones(1, dtype=torch.float64)} for i in "xy"}
    game = cp.game_from_losses(lambda p, batch: {i: (p[i]["value"] ** 2).sum() for i in "xy"}, start)
    cp.run(game, cp.make("solver", "simgd"), steps=3, out="p")
    code, _, err = cli("spectrum", "p")
    assert code == 2 and "put together in Python" in err and "--start p" in err
    assert "counterplay plot samples RUN" in cli("show", "p")[2]
    assert cli("spectrum", "quadratic", "--solver", "cgd", "--start", "p")[0] == 0


def test_a_log_imports_nothing(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("twist.py").write_text(TWIST)
    cli("run", "bilinear", "--plugin", "twist.py", "--solver", "twist", "--steps", "3", "--out", "t", "--quiet")
    monkeypatch.setattr(registry, "REGISTRY", Registry())
    monkeypatch.setattr("counterplay.core.registry.third_party.installed", lambda problems: pytest.fail("imported"))
    code, _, err = cli("spectrum", "t")
    assert code == 2 and "file twist.py" in err and "--plugin" in err
    code, out, err = cli("spectrum", "t", "--plugin", "twist.py")
    assert code == 0 and "twist" in out and err == ""
    Path("other").mkdir()
    Path("other/twist.py").write_text(TWIST + "\n# changed\n")
    monkeypatch.setattr(registry, "REGISTRY", Registry())
    code, out, err = cli("spectrum", "t", "--plugin", "other/twist.py")
    assert code == 0 and "other code than before" in err


def test_damaged_runs_are_65(cli: Run) -> None:
    cli(*QUADRATIC, *GOOD, "--steps", "5", "--out", "q")
    facts = json.loads(Path("q/run.json").read_text())
    Path("q/run.json").write_text("{")
    assert cli("spectrum", "q")[0] == 65
    Path("q/run.json").write_text(json.dumps({**facts, "settings": {"steps": 3, "else": 1}}))
    assert cli("spectrum", "q")[0] == 65
    Path("q/run.json").write_text(json.dumps({"a": 1}))
    assert cli("spectrum", "q")[0] == 65
    other = {**facts["experiment"], "game": {"name": "affine-gaussian"}, "solver": {"name": "simgd"}}
    Path("q/run.json").write_text(json.dumps({**facts, "experiment": other}))
    assert cli("spectrum", "q")[0] == 65 and cli("spectrum", "q", "--step", "3")[0] == 65
    Path("q/run.json").write_text(json.dumps(facts))
    (checkpoint,) = Path("q/checkpoints").glob("step-5")
    (checkpoint / "tensors.safetensors").write_bytes(b"nothing")
    assert cli("spectrum", "q", "--step", "5")[0] == 65
    assert json.loads(cli("spectrum", "q", "--json")[1])["step"] == 0  # the newest that verifies


def test_what_is_not_finite_is_said(cli: Run) -> None:
    save_file({f"{i}/value": torch.full((1,), 1e3, dtype=torch.float64) for i in "xy"}, "far.safetensors")
    code, out, err = cli("spectrum", "exponential", "--solver", "simgd", "--start", "far.safetensors")
    assert code == 0 and "not finite: there is a NaN" in out, err
    assert read(cli, "exponential", "--start", "far.safetensors")["meaning"]["kind"] is None


def test_spectra_of_a_game_made_in_python_from_python(cli: Run) -> None:
    start = {i: {"value": torch.ones(1, dtype=torch.float64)} for i in "xy"}
    game = cp.game_from_losses(
        lambda p, batch: {"x": 3 * (p["x"]["value"] ** 2).sum(), "y": (p["y"]["value"] ** 2).sum()}, start
    )
    cp.run(game, cp.make("solver", "simgd", lr=0.1), steps=3, out="p")
    found = cp.spectrum("p", game=game)
    assert found["step"] == 3 and found["jacobian"]["eigenvalues"] == pytest.approx([6, 2])
    with pytest.raises(cp.UsageError, match=r"hand it back, counterplay\.spectrum"):
        cp.spectrum("p")
    cli(*QUADRATIC, *GOOD, "--steps", "5", "--out", "q")
    assert json.loads(dumps(cp.spectrum("q", k=2))) == json.loads(cli("spectrum", "q", "-k", "2", "--json")[1])
