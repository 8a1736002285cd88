"""Reports: one file that needs nothing else, on one run or on several."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from counterplay.analysis.commands.report import write_report
from counterplay.analysis.figures import NAMES, plot
from counterplay.analysis.figures.plot import FIGURES, holds
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import StorageError
from counterplay.core.log.schema import RUN_STATES
from counterplay.core.storage.run_directory import RunDirectory

from ...support.logs import quadratic


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
    figures = sum(holds(open_log(path), name) for name in FIGURES)
    assert re.findall(r'src="([^"]{22})', text) == ["data:image/png;base64,"] * figures
    assert text.count("<figcaption>") == text.count("<figure>") and "<script" not in text
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


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have two figures at most: all of them take seconds."""
    figures = {name: FIGURES[name] for name in ("losses", "samples")}
    monkeypatch.setattr("counterplay.analysis.commands.report.FIGURES", figures)


@pytest.mark.usefixtures("few")
def test_report_of_several_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    text = write_report([runs["gan"], runs["quadratic"]], tmp_path / "two.html").read_text(encoding="utf-8")
    assert "2 runs compared" in text
    assert text.count("<figure>") == 4  # the losses of both in one, those of each, and what the GAN makes


@pytest.mark.usefixtures("few")
def test_where_a_report_goes(tmp_path: Path) -> None:
    alone = quadratic(tmp_path / "alone", steps=3)
    assert write_report([alone]) == alone / "report.html"
    assert write_report([alone / "log.h5"]) == alone / "report.html"
    with pytest.raises(StorageError, match="is a directory"):
        write_report([alone], tmp_path)
