"""Figures of every kind of run: labelled, true to the log, and drawn whatever a run is called."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from counterplay.analysis.commands.report import html
from counterplay.analysis.drawing.curves import thin
from counterplay.analysis.drawing.names import short, shown
from counterplay.analysis.drawing.style import COLOURS
from counterplay.analysis.figures.plot import FIGURES, holds, plot, render, save
from counterplay.analysis.figures.samples import sheet
from counterplay.analysis.figures.trajectory import plane
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import StorageError, UsageError
from counterplay.core.log.schema import Layout, Variable
from counterplay.core.stability.rate import noisy

from ...support.logs import quadratic, written

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
    alone = name in ("samples", "metrics")  # the label of the axis says what one curve is
    assert alone or any(axes.get_legend() for axes in panels) or drawn.legends
    assert quadratic.__name__ not in name and (drawn.get_suptitle() or any(a.get_title() for a in panels))


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ("stability", "heatmap")])
def test_figures_of_several_runs(runs: dict[str, Path], name: str) -> None:
    pairs = [("gan", "ring")] if name in ("samples", "metrics") else [("quadratic", "diverged"), ("gan", "ensemble")]
    if name in ("rate", "field"):  # of these, what two runs can share
        pairs = [("quadratic", "diverged"), ("quadratic", "ensemble")]
    for pair in pairs:
        drawn = plot(name, [runs[run] for run in pair])
        assert render(drawn, "png", dpi=40)
        words = " ".join(text.get_text() for text in drawn.findobj(Text) if isinstance(text, Text))
        assert name == "spectrum" or all(run in words for run in pair)


def test_runs_of_one_name_are_told_apart(runs: dict[str, Path], tmp_path: Path) -> None:
    paths = [quadratic(tmp_path / a / "q", steps=3) for a in ("one", "two")]
    logs = [open_log(path) for path in paths]
    words = [text.get_text() for text in plot("losses", logs).legends[0].get_texts()]
    assert len(words) == len(set(words)) == 2
    assert [log.name for log in logs] == ["q", "q"]  # the caller's own keep their names
    headings = re.findall(r"<summary>(.*?/q\))</summary>", html(logs))
    assert len(headings) == len(set(headings)) == 2


def test_curves_against_a_cost(runs: dict[str, Path]) -> None:
    drawn = plot("losses", runs["gan"], against="wall_seconds")
    assert drawn.axes[-1].get_xlabel() == "time (s)"
    assert np.max(np.asarray(drawn.axes[0].lines[0].get_xdata())) <= 30.0
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
        assert axes.get_xlabel() == f"Re λ({name})"
        legend = axes.get_legend()
        assert legend is not None
        words = [text.get_text() for text in legend.get_texts()]
        assert f"stable: Re λ {'<' if ascent else '>'} 0" in words and "not converged" in words


def test_a_path_of_many_parameters_is_seen_from_its_principal_side(tmp_path: Path) -> None:
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 2)))[0].T
    k = np.arange(50)
    flat = np.stack([10 * np.cos(k / 9), np.sin(k / 9)], 1) @ directions
    rows = [("step", {"step": step, "losses": [0.0], "parameters": flat[step]}) for step in k]
    log = open_log(written(tmp_path / "run", Layout(("x",), tuple(f"x/value[{i}]" for i in range(5))), rows))
    found = plane(shown([log])[0])
    assert found is not None
    path, x, _ = found
    distances = np.linalg.norm(np.diff(path[:, 0], axis=0), axis=1)
    wanted = np.linalg.norm(np.diff(log["step/parameters"], axis=0), axis=1)
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
    facts = {"experiment": {"game": "$\\frac{$", "solver": "\x00\u0378"}}
    rows = [("step", {"step": 0, "losses": [1.0, 2.0]})]
    path = written(tmp_path / "$x_{", Layout(("$y^{$", "b" * 200)), rows, facts)
    assert render(plot("losses", path), "png", dpi=40)


@pytest.mark.parametrize("error", [RuntimeError("xelatex\n  not found."), ImportError("no Pillow"), KeyError("x")])
def test_a_type_that_this_machine_cannot_write(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    drawn = plot("losses", runs["quadratic"])
    monkeypatch.setattr(drawn, "savefig", fail)
    with pytest.raises(UsageError, match=r"matplotlib cannot write 'a.pgf' here: .*\. End the name in .png, .pdf or"):
        save(drawn, tmp_path / "a.pgf")
    assert not list(tmp_path.iterdir())


def test_fonts_are_no_type_3(runs: dict[str, Path]) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    drawn = plot("losses", runs["quadratic"])
    pdf, ps = render(drawn, "pdf"), render(drawn, "ps")
    assert b"/FontType 42" in ps  # matplotlib before 3.10 has a Type 3 beside it, for printers without TrueType
    assert b"/CIDFontType2" in pdf and b"/Type3" not in pdf
    assert dict(matplotlib.rcParams) == before and before["pdf.fonttype"] == 3


def test_bars_say_of_which_step_they_are(tmp_path: Path) -> None:
    def run(name: str, step: int) -> Path:
        share = Variable("share", ("metrics", "digit"), "<f8", "share")
        rows = [("step", {"step": k, "losses": [0.0]}) for k in (0, step)]
        rows += [("metrics", {"step": k, "share": np.full(10, 0.1)}) for k in (0, step)]
        return written(tmp_path / name, Layout(("x",), metrics=(share,)), rows)

    paths = [run("a", 5), run("b", 7), run("c", 5)]
    assert [plot("metrics", p).axes[0].get_title() for p in paths[:2]] == ["at step 5", "at step 7"]
    assert plot("metrics", paths[:2]).axes[0].get_title() == "a at step 5\nb at step 7"
    assert plot("metrics", [paths[0], paths[2]]).axes[0].get_title() == "at step 5"
    many = [*paths, run("d", 9)]
    assert plot("metrics", many).axes[0].get_title() == "at the last evaluation of each: steps 5 to 9"


def test_saving_a_figure(runs: dict[str, Path], tmp_path: Path) -> None:
    drawn = plot("losses", runs["quadratic"])
    assert save(drawn, tmp_path / "a").name == "a.png"
    written = {"png"}
    for kind in ("pdf", "svg", "gif", "jpg", "tiff", "webp", "svgz", "eps"):
        if kind in drawn.canvas.get_supported_filetypes():  # gif only since matplotlib 3.11
            save(drawn, tmp_path / f"a.{kind}")
            written.add(kind)
    assert {p.name for p in tmp_path.iterdir()} == {f"a.{kind}" for kind in written} and len(written) >= 8
    with pytest.raises(UsageError, match=r"end the name in \.png, \.pdf or \.svg"):
        save(drawn, tmp_path / "a.docx")
    for place in (tmp_path, Path("/"), Path(".")):
        with pytest.raises(StorageError, match="is a directory; name a file"):
            save(drawn, place)
    with pytest.raises(StorageError, match="nowhere"):
        save(drawn, tmp_path / "nowhere" / "a.png")
