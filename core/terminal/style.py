"""What depends on the terminal: its width, and colours. Files and pipes get none, nor does who sets NO_COLOR."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

import click


def colours() -> bool | None:
    """Whether click writes colours: False where NO_COLOR is set, else None, which means on a terminal only."""
    return False if os.environ.get("NO_COLOR") else None


def say(text: str = "", err: bool = False, **style: Any) -> None:
    """Write a line, in the style that `click.style` takes."""
    click.echo(click.style(text, **style), err=err, color=colours())


def definitions(rows: Iterable[tuple[str, str]], column: int) -> Iterable[str]:
    """Rows of a name and a text as lines, the texts from ``column`` on; on a terminal broken where it ends."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for name, text in rows:
        line = f"  {name:<{column}}  {text}"
        if width > column + 24:
            line = textwrap.fill(line, width - 1, subsequent_indent=" " * (column + 4), break_on_hyphens=False)
        yield line
