"""Types of options and arguments of commands: whole numbers (also written 1e4), numbers, and paths with ~."""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import CompletionItem

from .errors import UsageError
from .typed_values import as_integer, plain, typed


class Integer(click.ParamType):
    """A whole number, also in scientific notation, that is ``least`` or more."""

    name = "integer"

    def __init__(self, least: int | None = None) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = as_integer(self._read(value, param, ctx))
        if isinstance(number, bool) or not isinstance(number, int):
            self.fail(f"{value!r} is not a valid integer.", param, ctx)
        if self.least is not None and number < self.least:
            self.fail(f"{value} is not {self.least} or more.", param, ctx)
        return number

    def _read(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return typed(value) if isinstance(value, str) else value
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Number(Integer):
    """Any number, ``inf`` included."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = plain(self._read(value, param, ctx))
        if isinstance(number, bool) or not isinstance(number, int | float):
            self.fail(f"{value!r} is not a valid number.", param, ctx)
        return number


class UserPath(click.ParamType):
    """A path, in which ``~`` is the home directory. A shell does not replace it everywhere, as in ``--out=~/runs``."""

    name = "path"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return os.path.expanduser(value)


INTEGER, NUMBER, PATH = Integer(), Number(), UserPath()
