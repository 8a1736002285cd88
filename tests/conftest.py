"""Fixtures that more than one file of tests uses."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from counterplay.core import registry
from counterplay.core.cli import main
from counterplay.core.registry import Registry

# Tests share the cores among processes: threads on top of that wait for each other. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder: its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "REGISTRY", Registry())
    for variable in [v for v in os.environ if v.startswith("COUNTERPLAY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("COUNTERPLAY_NO_PLUGINS", "1")

    def run(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        terminate = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            main(list(args))
        signal.signal(signal.SIGTERM, terminate)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(ended.value.code or 0), said.out, said.err

    return run
