"""Logs on a machine without torch: installed as the documentation says, read, summarised, drawn."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest

import counterplay as cp

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / ".docs" / "how-to" / "log.md").read_text(encoding="utf-8")


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[; ]", one.strip())[0].lower() for one in requirements}


def _listed() -> set[str]:
    """What the page says to install beside counterplay where there is no torch."""
    (line,) = re.findall(r"pip install --no-deps \S+\n.*pip install ((?:\S| |\\\n)+)", PAGE)
    return {word.lower() for word in line.replace("\\\n", " ").split() if not word.startswith("#")}


def test_the_page_lists_every_dependency_but_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = _names(project["dependencies"]) | _names(project["optional-dependencies"]["analysis"])
    assert _listed() == needed - {"torch"}


def _closure(names: set[str]) -> set[str]:
    """The distributions and all that they require, extras apart."""
    found: set[str] = set()
    left = set(names)
    while left:
        name = left.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system or an older Python
        found.add(name)
        left |= _names([one for one in required if ";" not in one])
    return found


@pytest.mark.slow
def test_an_environment_with_these_packages_alone_reads_logs(tmp_path: Path) -> None:
    """A virtual environment whose packages are links to those listed, and to what they require."""
    run = tmp_path / "run"
    cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd"), steps=20, spectrum_every=10, out=run)
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    for name in _closure(_listed()):
        for file in metadata.files(name) or []:
            top = Path(file.parts[0])
            source = Path(str(metadata.distribution(name).locate_file(top)))
            if top.parts[0] not in ("..", "__pycache__") and source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
    python, path = tmp_path / "env" / "bin" / "python", ROOT / ".typing"

    def start(*words: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from counterplay.core.cli.main import main; main(sys.argv[1:])"
        return subprocess.run(
            [python, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(path)}
        )

    for words in (["summary", "run"], ["summary", "run", "--table"], ["plot", "losses", "run"], ["report", "run"],
                  ["log", "verify", "run"], ["log", "export", "run", "--to", "a.csv"], ["list", "--help"]):  # fmt: skip
        done = start(*words)
        assert done.returncode == 0, (words, done.stderr)
    code = (
        "import sys, counterplay as cp; log = cp.open_log('run'); log['step/losses']; log.frame(); log.dataset()\n"
        "params = cp.load_params('run'); print(type(params['x']['value']).__module__, params['x']['value'][0])\n"
        "assert 'torch' not in sys.modules"
    )
    told = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(path)}
    )
    assert told.stdout.split() == ["numpy", str(cp.load_params(run)["x"]["value"].numpy()[0])], told.stderr
    refused = start("run", "quadratic", "--solver", "simgd")
    assert refused.returncode == 2 and "this needs torch, which is not installed" in refused.stderr
    assert "pip install 'torch" in refused.stderr and sys.executable not in refused.stderr


def test_without_torch_parameters_are_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from counterplay.core.storage import checkpoint_files

    run = tmp_path / "run"
    result = cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd"), steps=3, out=run)
    monkeypatch.setattr(checkpoint_files, "find_spec", lambda name: None)
    value = cp.load_params(run)["x"]["value"]
    assert type(value).__module__ == "numpy" and value.tolist() == result.params["x"]["value"].tolist()
