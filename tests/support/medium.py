"""The middle tier: tests that take more than ``LIMIT`` seconds of a core, by measurement, listed in ``medium.txt``.

``python -m tests.support.medium`` measures all but the slow tests anew, on an idle machine, and writes the list. The
longest of them, most of those of over three seconds, were moved to ``slow.txt``, which makes them slow tests.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LIMIT = 0.5  # seconds: with all that take less, the fast tier takes two and a half minutes on two cores
LIST = Path(__file__).with_suffix(".txt")
ROOT = Path(__file__).parents[2]


def listed(tier: str = "medium") -> frozenset[str]:
    return frozenset(LIST.with_name(f"{tier}.txt").read_text(encoding="utf-8").split("\n")) - {""}


def longest(report: str) -> list[str]:
    """The tests in what pytest says of durations; what a fixture takes, it takes for others too."""
    found = re.findall(r"^([\d.]+)s call +(\S.*)$", report, re.MULTILINE)
    return sorted(name.strip() for taken, name in found if float(taken) > LIMIT)


def main() -> None:
    asked = (
        "-m",
        "not slow and not benchmark and not gpu",
        "--durations=0",
        f"--durations-min={LIMIT}",
        "-q",
        "-p",
        "no:cacheprovider",
    )
    ran = subprocess.run([sys.executable, "-m", "pytest", *asked], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(ran.stdout)
    if ran.returncode:
        sys.exit(ran.returncode)
    LIST.write_text("\n".join(longest(ran.stdout)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
