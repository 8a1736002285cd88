"""Fixtures that more than one file of tests uses."""

from __future__ import annotations

import os

# Tests share the cores among processes: threads on top of that wait for each other. Set before numpy and torch load.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from counterplay.core.cli.main import main
from counterplay.core.log.sandbox import Sandbox
from counterplay.core.registry import registry
from counterplay.core.registry.registry import Registry

from .support import hostile, logs, medium, sham
from .support.third_parties import HEAD

# Whoever starts the tests in the background has them ignore Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., tuple[int, str, str]]

sham.register()  # autograd counts the kinds of devices when it is first used, in whichever test that is


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that are listed as longer ones, and see that the lists name tests that exist."""
    for tier in ("medium", "slow"):
        listed = medium.listed(tier)
        for item in items:
            if item.nodeid in listed:
                item.add_marker(tier)
        if config.args == config.getini("testpaths") and (gone := listed - {item.nodeid for item in items}):
            raise pytest.UsageError(f"tests/support/{tier}.txt names tests that do not exist: {sorted(gone)[:5]}.")


@pytest.fixture(scope="session", autouse=True)
def _kept_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is kept in the user's own cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def seeded() -> None:
    """torch's own random numbers, the same whichever tests are run."""
    torch.manual_seed(0)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder: its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "REGISTRY", Registry())
    for variable in [v for v in os.environ if v.startswith("COUNTERPLAY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("COUNTERPLAY_NO_PLUGINS", "1")

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        terminate = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in args])
        signal.signal(signal.SIGTERM, terminate)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry that has met nobody, in the place of the process's own."""
    own = Registry()
    monkeypatch.setattr(registry, "REGISTRY", own)
    return own


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a distribution with one module as the import system would see it after pip."""

    def make(name: str, source: str, *, version: str = "1.0", point: str | None = None) -> None:
        (tmp_path / f"{name}.py").write_text(HEAD + source)
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[counterplay]\n{name} = {point or name}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)

    return make


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of every kind, to be read only."""
    base = tmp_path_factory.mktemp("runs")
    return {
        "quadratic": logs.quadratic(base / "quadratic"),
        "diverged": logs.quadratic(base / "diverged", lr=(0.01, 0.09), steps=200),
        "ensemble": logs.quadratic(base / "ensemble", members=4),
        "gan": logs.gan(base / "gan"),
        "ring": logs.gan(base / "ring", "points"),
    }


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.run(tmp_path_factory.mktemp("honest") / "run")


@pytest.fixture
def run(honest: Path, tmp_path: Path) -> Path:
    """An honest run, to be harmed."""
    return Path(shutil.copytree(honest, tmp_path / "run"))


@pytest.fixture(scope="module")
def files() -> Iterator[Sandbox]:
    """One process for many files, as the command line never does: it must get over each of them."""
    files = Sandbox()
    yield files
    files.close()
