"""What is imported when: torch by what needs it alone."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import counterplay

HEAVY = "[m for m in ('torch', 'numpy', 'h5py', 'matplotlib', 'xarray', 'pandas', 'sklearn') if m in sys.modules]"


@pytest.mark.parametrize("code", ["import counterplay, sys", "import counterplay.core.cli.main, sys"])
def test_importing_is_light(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{code}; print({HEAVY})"], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done


def test_the_version_needs_nothing_heavy() -> None:
    code = f"import counterplay, sys; print(counterplay.__version__, {HEAVY})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == f"{counterplay.__version__} []", done


def test_help_lists_every_command_without_torch() -> None:
    code = (
        "import sys, counterplay.core.cli.main as c\n"
        "try: c.main(['--help'])\n"
        f"except SystemExit as e: print('code', e.code, {HEAVY})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "code 0 []" in done.stdout
    for command in ("run", "spectrum", "list", "describe", "check", "summary", "plot", "report"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.benchmark
def test_help_is_fast() -> None:
    """At most 0.4 s from the shell and back; the fastest of five, since others may be using the machine."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "counterplay.core.cli.main", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        times.append(time.perf_counter() - began)
    assert min(times) < 0.4
