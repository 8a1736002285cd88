"""What a notebook shows of a result, a game, a history and a log; and their short forms."""

from __future__ import annotations

import re

import torch

import counterplay as cp
from counterplay.core.notebook import LONGEST, table


def cells(html: str) -> list[str]:
    return re.findall("<t[dh][^>]*>(.*?)</t[dh]>", html)


def test_text_is_escaped_and_cut():
    html = table("<b>", [("<script>", "a" * 999)], ("a & b", ""))
    assert "<script>" not in html and "<b>" not in html and "&lt;script&gt;" in html and "a &amp; b" in html
    assert cells(html)[-1] == "a" * (LONGEST - 1) + "…"


def test_each_is_a_table_and_has_a_short_form(tmp_path):
    game = cp.make("game", "quadratic", b=3)
    out = tmp_path / "<i>run"
    result = cp.run(game, cp.make("solver", "simgd"), steps=3, history=True, out=out)
    assert result.history is not None
    assert repr(result) == f"<Result: max_steps after 3 steps; x has 1 numbers, y has 1 numbers; log in {out}>"
    assert repr(result.history) == "<History (step: 4, samples: 1)>"
    assert cells(game._repr_html_())[:4] == ["players", "x, y", "a", "1.0"]
    shown = dict(zip(*[iter(cells(result._repr_html_()))] * 2, strict=True))
    assert shown["status"] == "max_steps" and shown["J beside v"] == "agrees" and "&lt;i&gt;run" in shown["log"]
    assert "step/losses" in cells(result.history._repr_html_()) and "(4, 2)" in cells(result.history._repr_html_())
    of_log = cp.open_log(out)._repr_html_()
    assert "<i>" not in of_log and {"step/losses", "(4, 2)", "step, player"} <= set(cells(of_log))


def test_options_of_a_game_that_are_functions_are_shown_by_name_and_those_not_given_not_at_all():
    def losses(p, batch):
        return {"x": p["x"]["v"].sum() ** 2}

    of_game = cells(cp.game_from_losses(losses, {"x": {"v": torch.zeros(2)}})._repr_html_())
    assert "None" not in of_game and not any("0x" in cell for cell in of_game)
    assert of_game[of_game.index("of") + 1].endswith("losses")


def test_parameters_are_not_in_the_short_form_of_a_game():
    game = cp.game_from_losses(lambda p, batch: {"x": p["x"]["v"].sum() ** 2}, {"x": {"v": torch.zeros(1000)}})
    assert "tensor" not in repr(game) and len(repr(game)) < 200
