"""Reports: one file that needs nothing else, on one run or on several."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from counterplay.analysis.commands.report import command_line, write_report
from counterplay.analysis.figures import NAMES, plot
from counterplay.analysis.figures.plot import FIGURES, holds
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import StorageError
from counterplay.core.log.schema import RUN_STATES, Layout
from counterplay.core.storage.run_directory import RunDirectory

from ...support.logs import quadratic, written


def test_every_file_with_a_card_is_a_figure() -> None:
    cards = {path.stem for path in Path(plot.__file__).parent.glob("*.py") if "\nCARD = " in path.read_text("utf-8")}
    assert cards == set(NAMES) == FIGURES.keys()
    assert all(card.summary.endswith(".") and card.caption.endswith(".") for card in FIGURES.values())


@pytest.mark.parametrize(
    "run",
    ["quadratic", *(pytest.param(run, marks=pytest.mark.slow) for run in ("diverged", "ensemble", "gan", "ring"))],
)
def test_report_needs_nothing_else(run: str, runs: dict[str, Path], tmp_path: Path) -> None:
    path = runs[run]
    text = write_report([path], tmp_path / f"{run}.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href|url|@import)\s*[=(]?\s*["']?(?!data:image/png;base64,)(?:https?:)?//""", text)
    names = re.findall(r'\bid="([^"]+)"', text)
    assert len(names) == len(set(names)), "a name in one drawing is taken by another"
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(names)
    figures = sum(holds(open_log(path), name) for name in FIGURES)
    assert text.count("<svg") == text.count('role="img"') == figures and "<!--" not in text
    assert text.count("<figcaption>") == len(re.findall("<figure[ >]", text)) and "<script" not in text
    assert "prefers-color-scheme: dark" in text and 'content="width=device-width' in text
    assert text.index('class="status') < text.index("<figure") < text.index("<details>")
    assert "PosixPath(" not in text and "None" not in text and "<dt>τ</dt>" in text
    assert RUN_STATES[open_log(path).status["state"]].split(";")[0].split(".")[0] in text
    assert run in ("gan", "ring") or "Arrow, Hurwicz &amp; Uzawa 1958" in text


@pytest.mark.usefixtures("few")
def test_lists_among_the_settings_are_words(tmp_path: Path) -> None:
    path, facts = quadratic(tmp_path / "run", steps=3), {"argv": ["run", "quadratic"]}
    origins = [{"kind": kind, "name": name, "source": "built in"} for kind, name in (("game", "a"), ("solver", "b"))]
    written = RunDirectory(path).run()
    (path / "run.json").unlink()
    RunDirectory(path).begin({**written, **facts, "experiment": {**written["experiment"], "origins": origins}})
    text = write_report([path]).read_text(encoding="utf-8")
    assert "<th>argv</th><td>run quadratic</td>" in text
    assert "<th>origins</th><td>game a built in; solver b built in</td>" in text
    assert "<th>solver.lr</th><td>0.09 0.01</td>" in text
    assert "<th>steps</th><td>3</td>" in text and "<th>settings.steps</th>" not in text, "once is enough"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have two figures at most: all of them take seconds."""
    figures = {name: FIGURES[name] for name in ("losses", "samples")}
    monkeypatch.setattr("counterplay.analysis.commands.report.FIGURES", figures)
    monkeypatch.setattr("counterplay.analysis.commands.report_comparison.FIGURES", figures)


@pytest.mark.usefixtures("few")
def test_report_of_several_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    text = write_report([runs["gan"], runs["quadratic"]], tmp_path / "two.html").read_text(encoding="utf-8")
    assert "2 runs compared" in text
    assert len(re.findall("<figure[ >]", text)) == 2  # the losses of both in one, and what the GAN makes
    assert text.count("<details>") >= 2 and "ended" in text


@pytest.mark.usefixtures("few")
def test_seeds_are_a_row_with_an_interval_and_the_best_is_marked(tmp_path: Path) -> None:
    paths = []
    for rate in (0.1, 0.7, 0.8):
        for seed in range(3):
            size = rate ** np.arange(5.0) * (1 + seed)
            rows = [("step", {"step": k, "losses": [x], "gradient_norms": [x]}) for k, x in enumerate(size)]
            facts = {"experiment": {"game": "g", "solver": {"name": "s", "lr": rate}, "seed": seed}}
            paths.append(written(tmp_path / f"{rate}-{seed}", Layout(("x",)), rows, facts, ("max_steps", 4)))
    text = write_report(paths, tmp_path / "r.html").read_text(encoding="utf-8")
    # the geometric mean of 1, 2, 3 times 1e-4, and its interval by Student's t with two degrees of freedom, 4.303
    logs = np.log(np.array([1, 2, 3]) * 1e-4)
    half = 4.303 * logs.std(ddof=1) / 3**0.5
    middle, low, high = (f"{np.exp(x):.3g}" for x in (logs.mean(), logs.mean() - half, logs.mean() + half))
    assert f'<td class="best">{middle} [{low}, {high}]</td>' in text
    assert text.count('class="best"') == 1 and "<td>0.1</td><td>3</td>" in text
    overlapping = write_report(paths[3:], tmp_path / "r.html").read_text(encoding="utf-8")
    assert 'class="best"' not in overlapping  # three seeds each do not tell .7 from .8


def test_a_command_that_can_be_pasted(tmp_path: Path) -> None:
    log = open_log(quadratic(tmp_path / "run", steps=3))
    assert command_line(log) == "counterplay run quadratic -g b=10.0 --solver simgd -s 'lr=[0.09, 0.01]' --seed 0"
    log.run["argv"] = ["run", "quadratic", "-s", "lr=[1, 2]"]
    assert command_line(log) == "counterplay run quadratic -s 'lr=[1, 2]'"


@pytest.mark.usefixtures("few")
def test_where_a_report_goes(tmp_path: Path) -> None:
    alone = quadratic(tmp_path / "alone", steps=3)
    assert write_report([alone]) == alone / "report.html"
    assert write_report([alone / "log.h5"]) == alone / "report.html"
    with pytest.raises(StorageError, match="is a directory"):
        write_report([alone], tmp_path)
