"""Reading logs lazily, without torch, never with a traceback; summaries, figures and reports of every kind of run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("matplotlib")
pandas = pytest.importorskip("pandas")

from counterplay.analysis import extras, reader  # noqa: E402
from counterplay.analysis.figure_samples import sheet  # noqa: E402
from counterplay.analysis.figure_trajectory import plane  # noqa: E402
from counterplay.analysis.figures import FIGURES, holds, plot, render, save  # noqa: E402
from counterplay.analysis.reader import open_log  # noqa: E402
from counterplay.analysis.report import write_report  # noqa: E402
from counterplay.analysis.style import COLOURS, noisy, short, thin  # noqa: E402
from counterplay.analysis.summary import summarize, table  # noqa: E402
from counterplay.core.blocks import LogWriter  # noqa: E402
from counterplay.core.cli import main  # noqa: E402
from counterplay.core.errors import BadLog, StorageError, UsageError  # noqa: E402
from counterplay.core.lock import acquire  # noqa: E402
from counterplay.core.rundir import RunDirectory  # noqa: E402
from counterplay.core.schema import RUN_STATES, Layout, Variable  # noqa: E402

J = np.array([[2.0, 10.0], [-10.0, -2.0]])


def quadratic(path: Path, members: int | None = None, lr: tuple[float, float] = (0.09, 0.01), steps: int = 60) -> Path:
    """A run of simgd on x² + 10xy + y², its log and its files, as the engine leaves them."""
    experiment = {"game": {"name": "quadratic", "b": 10.0}, "solver": {"name": "simgd", "lr": list(lr)}, "seed": 0}
    references = {"solver": "Arrow, Hurwicz & Uzawa 1958"}
    run = RunDirectory.create(path, {"experiment": experiment, "seed": 0, "references": references})
    writer = LogWriter(path, Layout(("x", "y"), ("x/value", "y/value"), members=members))
    p = np.random.default_rng(0).normal(size=(members or 1, 2))
    one: Callable[[np.ndarray], np.ndarray] = (lambda a: a) if members else (lambda a: a[0])
    for step in range(steps + 1):
        v = p @ J.T
        loss = p[:, 0] ** 2 + 10 * p[:, 0] * p[:, 1] + p[:, 1] ** 2
        row = {"losses": np.stack([loss, -loss], -1), "gradient_norms": abs(v), "parameter_norms": abs(p)}
        row = {k: one(a) for k, a in {**row, "parameters": p}.items()}
        writer.append("step", {"step": step, **row, "gradients": step, "wall_seconds": step / 100})
        if step % 30 == 0:
            lead = (members,) if members else ()
            update = np.linalg.eigvals(np.eye(2) - np.diag(lr) @ J)
            found = {"eigenvalues": np.linalg.eigvals(J), "residuals": np.zeros(2), "update_eigenvalues": update}
            found = {k: np.broadcast_to(a, (*lead, 2)) for k, a in found.items()}
            blocks = {"x": np.full((*lead, 1), 2.0), "y": np.full((*lead, 1), -2.0)}
            status = {"status": np.zeros(lead, int), "update_status": np.zeros(lead, int)}
            writer.append("spectrum", {"step": step, **found, **status, "block_eigenvalues": blocks})
        p = p - v * np.array(lr)
    state = "diverged" if not np.abs(p).max() < 1e3 else "max_steps"
    run.write_status(state, steps, "The bound was passed." if state == "diverged" else "")
    writer.finish()
    return path


def gan(path: Path, kind: str = "images", members: int | None = None) -> Path:
    """A run of a GAN with everything a log can hold but whole parameters."""
    experiment = {"game": "digits", "solver": "acgd", "loss": {"name": "wgan"}, "regularizers": [{"name": "r1"}]}
    run = RunDirectory.create(path, {"experiment": experiment, "seed": 4})
    share = Variable("digit_share", ("metrics", "digit"), "<f8", "share of each digit")
    players = ("generator", "discriminator")
    writer = LogWriter(path, Layout(players, directions=("d0", "d1", "d2"), metrics=(share,)))
    rng = np.random.default_rng(1)
    for step in range(301):
        inner = {"inner_iterations": 4, "inner_residual": 1e-6, "inner_converged": step != 7}
        costs = {"gradients": 2 * step, "products": 9 * step, "samples": 64 * step, "wall_seconds": step / 10}
        norms = {"gradient_norms": np.exp(rng.normal(size=2)), "parameter_norms": [3.0, 4.0]}
        row = {"losses": rng.normal(size=2), **norms, "projection": rng.normal(size=3), **inner, **costs}
        writer.append("step", {"step": step, **row})
        if step % 100 == 0:
            z = rng.normal(size=5) + 1j * rng.normal(size=5)
            writer.append("spectrum", {"step": step, "eigenvalues": z, "residuals": abs(z), "status": step == 100})
            made = rng.uniform(-1, 1, (9, 1, 8, 8)) if kind == "images" else rng.normal(size=(50, 2))
            writer.append("samples", {"step": step, kind: made})
            writer.append("metrics", {"step": step, "score": step / 100, "digit_share": np.full(10, 0.1)})
    run.write_status("max_steps", 300)
    writer.finish()
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("runs")
    return {
        "quadratic": quadratic(base / "quadratic"),
        "diverged": quadratic(base / "diverged", lr=(0.01, 0.09), steps=200),
        "ensemble": quadratic(base / "ensemble", members=4),
        "gan": gan(base / "gan"),
        "ring": gan(base / "ring", "points"),
    }


# Reading


def test_looking_up_a_variable_reads_that_variable_alone(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = reader.column

    def spy(pieces, key, start, stop, *rest):
        read.append(f"{key} {start}:{stop}")
        return original(pieces, key, start, stop, *rest)

    monkeypatch.setattr(reader, "column", spy)
    log = open_log(runs["quadratic"])
    data = log.dataset()
    assert "step/losses" in log and len(log) and list(log) and repr(log) and log.shape("step/losses") == (61, 2)
    assert read == ["step/step 0:61"]  # an index is looked up in, so xarray wants it at once
    read.clear()
    assert log["step/losses"].shape == (61, 2)
    assert log.read("step/losses", -1).shape == (1, 2)
    assert data["losses"].isel(step=slice(2, 5)).values.shape == (3, 2)
    assert data["losses"].isel(step=-1, player=0).values.shape == ()
    assert read == ["step/losses 0:61", "step/losses 60:61", "step/losses 2:5", "step/losses 60:61"]


def test_datasets_index_as_arrays_do(runs: dict[str, Path]) -> None:
    log = open_log(runs["quadratic"])
    whole, lazy = log["step/parameters"], log.dataset()["parameters"]
    indices: list[dict] = [{"step": slice(None, None, 7)}, {"step": [3, 1, 1]}, {"step": slice(9, 2, -1)}, {"step": 60}]
    for index in indices:
        assert np.array_equal(lazy.isel(index).values, whole[index["step"]])
    assert np.array_equal(log.dataset()["losses"].sel(player="y"), log["step/losses"][:, 1])


def test_frames(runs: dict[str, Path]) -> None:
    frame = open_log(runs["quadratic"]).frame()
    assert frame.index.name == "step" and "losses[x]" in frame and "parameters[y/value]" in frame
    ensemble = open_log(runs["ensemble"]).frame()
    assert len(ensemble) == 61 * 4
    log = open_log(runs["ensemble"])
    assert ensemble.loc[(60, 3), "losses[y]"] == log["step/losses"][60, 3, 1]
    assert ensemble.loc[(60, 3), "gradients"] == 60
    assert "digit_share[9]" in open_log(runs["gan"]).frame("metrics")
    assert "eigenvalues[0]" in open_log(runs["gan"]).frame("spectrum")


def test_a_run_under_way_can_be_read_and_merged_under_the_reader(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, {"experiment": {"game": "g"}})
    run.write_status("running", 0)
    with acquire(tmp_path):
        assert summarize(open_log(tmp_path))["status"] == "running"  # before the first block
    assert summarize(open_log(tmp_path))["status"] == "crashed"  # its owner is gone and it says otherwise
    writer = LogWriter(tmp_path, Layout(("x",)))
    for step in range(4):
        writer.append("step", {"step": step, "losses": [float(step)]})
        writer.seal()
    log = open_log(tmp_path)
    assert list(open_log(tmp_path / "log")["step/step"]) == [0, 1, 2, 3]
    assert list(open_log(tmp_path / "log" / "000002.h5")["step/step"]) == [1]
    writer.append("step", {"step": 4, "losses": [4.0]})
    writer.finish()
    assert list(log["step/losses"][:, 0]) == [0, 1, 2, 3]  # what was there when it was opened, now from log.h5
    assert len(open_log(tmp_path)["step/step"]) == 5


def test_mistakes_are_told(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no"):
        open_log(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="not a run directory"):
        open_log(tmp_path)
    with pytest.raises(UsageError, match="did you mean 'step/losses'"):
        open_log(runs["quadratic"])["step/loses"]
    with pytest.raises(UsageError, match="no group 'samples'"):
        open_log(runs["quadratic"]).dataset("samples")
    (tmp_path / "log.h5").write_text("no")
    with pytest.raises(BadLog, match=r"log\.h5"):
        open_log(tmp_path)


def test_a_missing_extra_says_what_to_type() -> None:
    with pytest.raises(UsageError, match=r"pip install 'counterplay\[analysis\]'"):
        extras.need("a_module_nobody_has", "log.frame()")


def test_reading_imports_no_torch_and_summary_no_matplotlib(runs: dict[str, Path]) -> None:
    code = (
        "import sys, counterplay as cp; log = cp.open_log(sys.argv[1]); log['step/losses']\n"
        "log.dataset(); log.frame()\n"
        "from counterplay.analysis.summary import summarize; summarize(log); assert 'matplotlib' not in sys.modules\n"
        "from counterplay.analysis.report import html; html([log]); assert 'matplotlib' in sys.modules\n"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(runs["quadratic"])], check=True)


# Summary


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


def test_summary_of_nan_is_strict_json(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, Layout(("x",)))
    writer.append("step", {"step": 0, "losses": [np.nan], "gradient_norms": [np.inf]})
    nan = [complex(np.nan, np.nan)] * 2
    writer.append("spectrum", {"step": 0, "eigenvalues": nan, "residuals": [np.nan] * 2, "status": 2})
    writer.finish()

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    out = CliRunner().invoke(_group(), ["summary", str(tmp_path), "--json"])
    facts = json.loads(out.output, parse_constant=refuse)
    assert facts["losses"] == {"x": None} and facts["spectrum"]["count"] == 0
    assert facts["spectrum"]["status"] == ["not_finite"]


def test_table_of_several_runs(runs: dict[str, Path]) -> None:
    text = table([summarize(open_log(path)) for path in runs.values()])
    assert len({len(line.split("  ")[0]) for line in text.splitlines()}) > 1
    for word in ("quadratic", "diverged", "The bound was passed.", "loss of generator", "spectral radius of F'"):
        assert word in text
    assert "\x1b" not in table([summarize(open_log(runs["gan"])) | {"game": "\x1b[31mred"}])


# Figures

EVERY = [(run, figure) for run in ("quadratic", "diverged", "ensemble", "gan", "ring") for figure in FIGURES]


@pytest.mark.parametrize(("run", "name"), EVERY)
def test_every_figure_of_every_run_is_labelled(runs: dict[str, Path], run: str, name: str) -> None:
    log = open_log(runs[run])
    if not holds(log, name):
        with pytest.raises(UsageError, match="no rows for the figure"):
            plot(name, log)
        return
    drawn = plot(name, log)
    assert render(drawn, "png", dpi=40).startswith(b"\x89PNG")
    panels = [axes for axes in drawn.axes if axes.axison and axes.get_label() != "<colorbar>"]
    assert panels
    pictures = "samples/images" in log and name == "samples"
    for axes in panels:
        below = axes.get_xlabel() or axes.get_shared_x_axes().get_siblings(axes)[0].get_xlabel()
        shared = any(other.get_xlabel() for other in axes.get_shared_x_axes().get_siblings(axes))
        assert below or shared
        assert pictures or axes.get_ylabel()
    assert pictures or any(axes.get_legend() for axes in panels) or drawn.legends
    assert quadratic.__name__ not in name and (drawn.get_suptitle() or any(a.get_title() for a in panels))


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_several_runs(runs: dict[str, Path], name: str) -> None:
    pairs = [("gan", "ring")] if name in ("samples", "metrics") else [("quadratic", "diverged"), ("gan", "ensemble")]
    if name in ("rate", "field", "stability"):  # of these, what two runs can share
        pairs = [] if name == "stability" else [("quadratic", "diverged"), ("quadratic", "ensemble")]
    for pair in pairs:
        drawn = plot(name, [runs[run] for run in pair])
        assert render(drawn, "png", dpi=40)
        words = " ".join(text.get_text() for text in drawn.findobj(lambda a: hasattr(a, "get_text")))
        assert name == "spectrum" or all(run in words for run in pair)


def test_runs_of_one_name_are_told_apart(runs: dict[str, Path], tmp_path: Path) -> None:
    paths = [quadratic(tmp_path / a / "q", steps=3) for a in ("one", "two")]
    words = [text.get_text() for text in plot("losses", paths).legends[0].get_texts()]
    assert len(words) == len(set(words)) == 2


def test_curves_against_a_cost(runs: dict[str, Path]) -> None:
    drawn = plot("losses", runs["gan"], against="wall_seconds")
    assert drawn.axes[-1].get_xlabel() == "time (s)"
    assert max(drawn.axes[0].lines[0].get_xdata()) <= 30.0
    assert plot("metrics", runs["gan"], against="products").axes[0].get_xlabel() == "Jacobian-vector products"
    with pytest.raises(UsageError, match="did you mean 'products'"):
        plot("losses", runs["gan"], against="product")
    with pytest.raises(UsageError, match="did not record products"):
        plot("losses", runs["quadratic"], against="products")


def test_the_spectrum_is_in_our_sign_and_can_be_turned(runs: dict[str, Path]) -> None:
    for ascent, name in ((False, "J"), (True, "−J")):
        axes = plot("spectrum", runs["gan"], ascent=ascent).axes[0]
        points = np.concatenate([np.asarray(c.get_offsets()) for c in axes.collections])
        expected = open_log(runs["gan"])["spectrum/eigenvalues"].ravel() * (-1 if ascent else 1)
        assert {round(x, 9) for x in points[:, 0]} == {round(x, 9) for x in expected.real}
        assert axes.get_xlabel() == f"Re λ({name}) (1)"
        words = [text.get_text() for text in axes.get_legend().get_texts()]
        assert f"stable: Re λ {'<' if ascent else '>'} 0" in words and "not converged" in words


def test_a_path_of_many_parameters_is_seen_from_its_principal_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    writer = LogWriter(tmp_path, Layout(("x",), tuple(f"x/value[{i}]" for i in range(5))))
    directions = np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    for step in range(50):
        flat = np.array([10 * np.cos(step / 9), np.sin(step / 9)])
        writer.append("step", {"step": step, "losses": [0.0], "parameters": flat @ directions})
    writer.finish()
    found = plane(open_log(tmp_path))
    assert found is not None
    path, x, _ = found
    distances = np.linalg.norm(np.diff(path[:, 0], axis=0), axis=1)
    wanted = np.linalg.norm(np.diff(open_log(tmp_path)["step/parameters"], axis=0), axis=1)
    assert np.allclose(distances, wanted)  # it lies in a plane, and the plane was found
    assert x.startswith("principal direction 1")


def test_images_become_one_sheet() -> None:
    images = np.stack([np.full((1, 2, 3), value) for value in (-1.0, 0.0, 1.0)])
    made = sheet(images)
    assert made.shape == (5, 7)
    assert (made[0, 0], made[0, 4], made[3, 0], made[2, 0]) == (0.0, 0.5, 1.0, 1.0)
    assert sheet(np.zeros((5, 3, 4, 4))).shape == (9, 14, 3)
    assert np.isfinite(sheet(np.full((1, 1, 2, 2), np.nan))).all()


def test_thinning_keeps_spikes_and_noise_is_told_from_oscillation() -> None:
    x = np.arange(100_000.0)
    y = np.sin(x / 1000)
    y[54_321] = 9.0
    fewer, values = thin(x, y)
    assert len(fewer) <= 4002 and 9.0 in values and (np.diff(fewer) > 0).all()
    assert not noisy(y) and noisy(np.random.default_rng(0).normal(size=1000))
    assert not noisy(0.99 ** np.arange(1000) * np.cos(np.arange(1000)))


def test_colours_differ_in_grey_and_names_are_no_formulas(tmp_path: Path) -> None:
    def grey(colour: str) -> float:
        r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.299 * r + 0.587 * g + 0.114 * b

    assert all(grey(c) < 185 for c in COLOURS)  # none vanishes on white paper
    assert short("a" * 99, 20).count("…") == 1 and len(short("a" * 99, 20)) == 20
    run = RunDirectory.create(tmp_path / "$x_{", {"experiment": {"game": "$\\frac{$", "solver": "\x00\u0378"}})
    writer = LogWriter(run.path, Layout(("$y^{$", "b" * 200)))
    writer.append("step", {"step": 0, "losses": [1.0, 2.0]})
    writer.finish()
    assert render(plot("losses", run.path), "png", dpi=40)


def test_saving_a_figure(runs: dict[str, Path], tmp_path: Path) -> None:
    drawn = plot("losses", runs["quadratic"])
    assert save(drawn, tmp_path / "a").name == "a.png"
    for kind in ("pdf", "svg"):
        save(drawn, tmp_path / f"a.{kind}")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pdf", "a.png", "a.svg"]
    with pytest.raises(UsageError, match="endin"):
        save(drawn, tmp_path / "a.docx")
    with pytest.raises(StorageError, match="nowhere"):
        save(drawn, tmp_path / "nowhere" / "a.png")


# Report


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


def test_report_of_several_runs_and_where_it_goes(runs: dict[str, Path], tmp_path: Path) -> None:
    text = write_report([runs["gan"], runs["quadratic"]], tmp_path / "two.html").read_text(encoding="utf-8")
    own = sum(holds(open_log(runs[run]), name) for run in ("gan", "quadratic") for name in FIGURES)
    assert "2 runs compared" in text and text.count("<figure>") == 1 + own  # and the losses of both in one
    alone = quadratic(tmp_path / "alone", steps=3)
    assert write_report([alone]) == alone / "report.html"
    assert write_report([alone / "log.h5"]) == alone / "report.html"
    with pytest.raises(StorageError, match="is a directory"):
        write_report([alone], tmp_path)


def test_report_escapes_what_a_log_says(tmp_path: Path) -> None:
    evil = "<script>alert('\"1\"')</script>"
    experiment = {"game": evil, "solver": {"name": evil, evil: evil}}
    run = RunDirectory.create(tmp_path / "run", {"experiment": experiment, "references": {evil: evil}, evil: [evil]})
    run.write_status(evil, 0, evil)
    writer = LogWriter(run.path, Layout((evil,)))
    writer.append("step", {"step": 0, "losses": [1.0]})
    writer.finish()
    text = write_report([run.path]).read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not re.search(r'alt="[^"]*<', text)


# Command line


def _group():
    import click

    from counterplay.analysis.commands import register_commands

    group = click.Group()
    register_commands(group)
    return group


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["summary", "{quadratic}"], 0, "simgd"),
        (["summary", "{quadratic}", "{gan}", "--json"], 0, '"wgan"'),
        (["plot", "losses", "{quadratic}", "{diverged}", "-o", "{out}/l.png"], 0, "Wrote"),
        (["plot", "spectrum", "{gan}", "--ascent", "-o", "{out}/s.pdf"], 0, "Wrote"),
        (["report", "{diverged}", "-o", "{out}/r.html"], 0, "Wrote"),
        (["plot", "loses", "{quadratic}"], 2, "did you mean 'losses'"),
        (["plot", "samples", "{quadratic}"], 2, "no rows for the figure"),
        (["summary", "{out}/none"], 2, "There is no"),
        (["summary", "{out}"], 2, "not a run directory"),
        (["summary", "{bad}"], 65, "log.h5"),
        (["report", "{bad}"], 65, "log.h5"),
        (["plot", "losses", "{quadratic}", "-o", "{out}/none/l.png"], 74, "none"),
    ],
)
def test_commands_end_with_a_sentence_and_a_code(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "log.h5").write_bytes(b"\x89HDF\r\n\x1a\nand no more")
    out = tmp_path / "out"
    out.mkdir()
    places = {**{k: str(v) for k, v in runs.items()}, "bad": str(bad), "out": str(out)}
    with pytest.raises(SystemExit) as ended:
        main([word.format(**places) for word in words])
    printed = capsys.readouterr()
    assert ended.value.code == code
    assert said in (printed.err if code else printed.out)
    assert "Traceback" not in printed.err
