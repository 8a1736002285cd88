"""``counterplay evaluate``: metrics of the images of a run, from its checkpoints, as a table or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..click_types import PATH, Integer
from ..errors import UsageError, printable
from ..log.schema import Variable
from ..storage.strict_json import dumps, json_value
from ..terminal.completion import of_kind
from .options import plugins_first

if TYPE_CHECKING:
    from ..run.evaluate import Evaluated


@click.command("evaluate")
@click.argument("run", type=PATH, metavar="RUN")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Repeat for several.  [default: the run's own]",
    shell_complete=of_kind("metric"),
)
@click.option("--samples", type=Integer(1), help="How many images are generated.  [default: the metric's own]")
@click.option("--extractor", metavar="NAME|FILE", help="What sees the images.  [default: the metric's own]")
@click.option("--step", metavar="N|all", help="The step of a checkpoint, or all.  [default: the newest]")
@click.option("--device", metavar="cpu|cuda", help="Where it is computed.  [default: that of the run]")
@plugins_first
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON.")
def evaluate_command(run: str, metrics: tuple[str, ...], step: str | None, as_json: bool, **given: Any) -> None:
    """Measure the images that the generator of RUN makes at its checkpoints, beside the real ones."""
    from ..run.evaluate import evaluate

    found = evaluate(run, metrics, step=_step(step), **given)
    click.echo(dumps([facts(one) for one in found]).rstrip() if as_json else table(found))


def _step(text: str | None) -> int | str | None:
    if text is None or text == "all":
        return text
    if not text.isdecimal():
        raise UsageError(f"--step {text:.40}: expected the number of a step, or all.")
    return int(text)


def facts(one: Evaluated) -> Any:
    """The figures at one step as JSON values; one that is not finite is null."""
    provenance = {name: dict(about) for name, about in one.provenance.items()}
    return json_value({"step": one.step, "figures": dict(one.figures), "provenance": provenance})


def table(found: list[Evaluated]) -> str:
    """A line for each figure: step, name, value, and what measured it."""
    rows = [("step", "figure", "value", "measured by")]
    for one in found:
        for name, value in one.figures.items():
            about = Variable(name, ("metrics",), "<f8", name, attrs=one.provenance[name])
            values = value if hasattr(value, "__len__") else [value]
            rows.append((str(one.step), name, " ".join(map(_number, values)), about.measured_by))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(map(str.ljust, map(printable, row), widths)).rstrip() for row in rows)


def _number(value: float) -> str:
    return "unknown: images are not finite" if value != value else f"{value:.6g}"
