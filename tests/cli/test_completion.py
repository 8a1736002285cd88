"""``counterplay completion``: what a shell completes, without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from counterplay.core.terminal import completion


@pytest.fixture
def completed(cli, monkeypatch):
    """What is offered for the last of some words."""

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv("_COUNTERPLAY_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["counterplay", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        code, out, err = cli()
        assert code == 0 and not err
        return [line.partition(",")[2] for line in out.splitlines()]

    return ask


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["desc"], ["describe"]),
        (["run", "quad"], ["quadratic"]),
        (["run", "quadratic", "--solver", "al"], ["altgd", "alex-gda"]),
        (["run", "quadratic", "-g", ""], ["a=", "b=", "c="]),
        (["run", "quadratic", "--solver", "cgd", "-s", "l"], ["lr="]),
        (["run", "mixture", "--regularizer", "r1", "-r", ""], ["r1.gamma="]),
        (["run", "mixture", "--loss", "hi"], ["hinge"]),
        (["describe", "solv"], ["solver"]),
        (["describe", "conop"], ["conopt"]),
        (["describe", "network", "icr"], ["icr-mnist"]),
        (["check", "metric", "f"], ["fid"]),
        (["list", "data"], ["dataset"]),
        (["plot", "spec"], ["spectrum"]),
        (["evaluate", "run", "--metric", "k"], ["kid"]),
        (["spectrum", "dirac"], ["dirac-gan"]),
        (["run", "quadratic", "--out", "fo"], ["fo"]),
    ],
)
def test_names_and_keys(completed, words, offered):
    assert completed(*words) == offered


def test_names_of_plugins_are_offered(monkeypatch):
    completion.known.cache_clear()
    monkeypatch.delenv("COUNTERPLAY_NO_PLUGINS", raising=False)
    monkeypatch.setattr(completion, "entry_points", lambda group: ["one"])
    built_in = completion.known("loss")
    completion.known.cache_clear()
    monkeypatch.setattr(completion, "entry_points", lambda group: [])
    assert completion.known("loss") == built_in and "temperature" not in built_in["hinge"]
    completion.known.cache_clear()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_of_the_shell(cli, shell):
    code, out, _ = cli("completion", shell)
    assert code == 0 and f"_COUNTERPLAY_COMPLETE={shell}_complete" in out
    assert ("compopt -o nospace" in out) == (shell == "bash") and ("compadd -U -S ''" in out) == (shell == "zsh")
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=out, text=True, capture_output=True).stderr == ""


def test_it_needs_no_torch():
    code = (
        "import os, sys, counterplay.core.cli.main as c\n"
        "os.environ |= dict(_COUNTERPLAY_COMPLETE='bash_complete', COMP_WORDS='counterplay run quad', COMP_CWORD='2')\n"
        "try: c.main([])\n"
        "except SystemExit as e: print(e.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "plain,quadratic\n0 False\n", done
