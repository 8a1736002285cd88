"""The commands that read logs end with a sentence and with a code."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...conftest import Run


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
    runs: dict[str, Path], tmp_path: Path, cli: Run, words: list[str], code: int, said: str
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "log.h5").write_bytes(b"\x89HDF\r\n\x1a\nand no more")
    out = tmp_path / "out"
    out.mkdir()
    places = {**runs, "bad": bad, "out": out}
    found, printed, error = cli(*(word.format(**places) for word in words))
    assert found == code and said in (error if code else printed)
