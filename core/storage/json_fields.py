"""The fields of the JSON files of a run directory: run.json, status.json, and state.json and manifest.json.

Every reader checks a file against these classes. A field that an older version did not write has a default or is UNSET.
Fields that only a newer version knows are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..errors import BadLog, printable

Step = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Amount = Annotated[int, Meta(ge=0, le=2**62)]  # of a counter: with one more step it is still an int64
Seed = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Bound = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(max_length=1 << 16)]
Name = Annotated[str, Meta(min_length=1, max_length=1000)]
_DEVICE, _TYPE, _SUM = r"\A[a-z]{1,20}(:[0-9]{1,4})?\Z", r"\A[a-z][a-z0-9_]{0,19}\Z", r"\A[0-9a-f]{64}\Z"
Device = Annotated[str, Meta(pattern=_DEVICE)]
Type = Annotated[str, Meta(pattern=_TYPE)]
Sum = Annotated[str, Meta(pattern=_SUM)]
_PATTERNS = {_DEVICE: "a device, as cpu or cuda:0", _TYPE: "a type, as float32", _SUM: "a sha256 sum"}


class Table(msgspec.Struct):
    """A thing that is made by name. Its options are checked when it is made."""

    name: Name


Named = Name | Table


class PluginOrigin(msgspec.Struct):
    """The plugin that a thing made by name comes from, with the digest of the code if it is a third party's."""

    kind: Name
    name: Name
    source: Name
    sha256: Sum | UnsetType = UNSET


class Experiment(msgspec.Struct, kw_only=True):
    """The experiment: game and solver, and all other options of the command line."""

    game: Named | UnsetType = UNSET
    solver: Named | UnsetType = UNSET
    loss: Named | None = None
    regularizers: list[Named] = []
    origins: list[PluginOrigin] = []
    plugins: list[Text] = []
    steps: Step | None = None
    seed: Seed | None = None
    members: Positive | None = None
    until: Text | None = None
    patience: Positive | None = None
    device: Device | None = None
    dtype: Type | None = None
    every: Step | None = None
    spectrum_every: Step | None = None
    checkpoint_every: Step | None = None
    sample_every: Step | None = None
    blowup: Bound | None = None
    compile: bool | None = None
    deterministic: bool = False
    tf32: bool = False
    channels_last: bool = False
    inexact_data: bool = False
    start: Text | None = None
    out: Text | None = None


class Settings(msgspec.Struct, kw_only=True):
    """The settings that a run needs to go on."""

    steps: Step
    seed: Seed
    every: Positive
    spectrum_every: Step
    checkpoint_every: Step
    until: Text | None = None
    patience: Positive | None = None
    members: Positive | None = None
    device: Device | None = None
    dtype: Type | None = None
    blowup: Bound | None = None
    sample_every: Positive | None = None
    trace: bool = False
    compile: bool = False
    trace_from: Step | None = None
    compile_from: Step | None = None
    seeding: Positive = 1
    deterministic: bool = False
    tf32: bool = False
    channels_last: bool = False
    inexact_data: bool = False


class DataSource(msgspec.Struct):
    """What a game was given from outside, as a data set."""

    sha256: Sum
    source: Text = ""


class Check(msgspec.Struct, kw_only=True):
    """The result of a check of the game at the start of a run."""

    status: Name
    words: Text = ""
    error: Annotated[float, Meta(ge=0)] | None = None


class Run(msgspec.Struct, kw_only=True):
    """run.json. The attributes of a log file have a part of it."""

    experiment: Experiment | UnsetType = UNSET
    settings: Settings | UnsetType = UNSET
    references: dict[Text, Text] = {}
    versions: dict[Text, Text] = {}
    players: dict[Text, Step] = {}
    seed: Seed | None = None
    period: Annotated[int, Meta(ge=1, le=10**9)] = 1
    step_size_policy: Name | None = None
    start_given: bool = True
    dtype: Type | UnsetType = UNSET
    device: Device | UnsetType = UNSET
    gpu: dict[Text, Text] = {}
    threads: Annotated[int, Meta(ge=1, le=10**6)] | UnsetType = UNSET
    trace: bool | None = None
    platform: Text = ""
    processors: Annotated[int, Meta(ge=1, le=10**6)] | None = None
    argv: list[Text] = []
    checks: dict[Text, Check] = {}
    data_sources: dict[Text, DataSource] = {}
    metrics: dict[Text, dict[Text, Text | int | float]] = {}
    directions: Annotated[int, Meta(ge=1, le=2)] = 1  # see core.run.recorders


class PlayedExperiment(Experiment, kw_only=True):
    """An experiment that names its game and its solver."""

    game: Named
    solver: Named


class Recorded(Run, kw_only=True):
    """A run.json from which the game and the solver can be made again."""

    experiment: PlayedExperiment
    settings: Settings


class Resumable(Recorded, kw_only=True):
    """A run.json from which the run can be resumed."""

    versions: dict[Text, Text]
    device: Device
    threads: Annotated[int, Meta(ge=1, le=10**6)]


class Status(msgspec.Struct, kw_only=True):
    """status.json."""

    state: Name | UnsetType = UNSET
    step: Step | UnsetType = UNSET
    reason: Text = ""
    pid: Step = 0
    diverged_members: list[Step] = []
    best_step: Step | None = None  # where the quantity in the stopping condition was best
    stale_since: Step | None = None  # the step from which on the numbers cannot be trusted
    started_seconds: Seconds = 0
    updated_seconds: Seconds = 0


class FullStatus(Status, kw_only=True):
    """A status.json with the state and the step of a run."""

    state: Name
    step: Step


class InexactResume(msgspec.Struct):
    """The step from which on a run may differ from the same run without interruption, and what has changed."""

    step: Step
    changed: list[Text]


class CheckpointState(msgspec.Struct, kw_only=True):
    """state.json: the part of a checkpoint that is no tensor."""

    step: Step | UnsetType = UNSET
    cost: tuple[Annotated[float, Meta(ge=0, le=2**62)], Amount, Amount] | UnsetType = UNSET
    blocks: Amount = 0
    seconds: Seconds = 0
    solver_seconds: Seconds = 0
    measuring_seconds: Seconds = 0
    inexact: list[InexactResume] = []
    best: tuple[float, Step] | None = None  # see core.solver.state
    batch_sha256: Sum | None = None
    losses: dict[Text, list[float]] = {}  # of the next step: see core.provenance.reproducibility
    buffers: dict[Text, Any] = {}  # see core.game.buffers
    empty: list[Text] = []  # the paths of empty dictionaries, which safetensors cannot hold


class Manifest(msgspec.Struct, rename={"tensors": "tensors.safetensors", "state": "state.json"}):
    """manifest.json: the names of the tensors in their order, and the sha256 sums of the checkpoint's other files."""

    names: list[Text]
    tensors: Sum
    state: Sum


def checked(found: Any, where: Path | str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return ``found`` if its fields are those of ``kind``. Raises BadLog, which names the file and the field."""
    try:
        msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise BadLog(_explained(str(error), found, where)) from None
    known: dict[str, Any] = found
    return known


_KINDS = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "null",
    "array": "a list", "object": "a table",
}  # fmt: skip


def _explained(message: str, found: Any, where: Path | str) -> str:
    """Turn msgspec's message, which has the place and the type, into a sentence: what is there, what is expected."""
    reason, _, at = message.partition(" - at `$")
    field = at.rstrip("`").removeprefix(".")
    if missing := re.search(r"missing required field `(.*)`", reason):
        whose = f"{field} has" if field else "it has"
        return printable(f"{where}: {whose} no {missing[1]!r}, which every run writes there.")
    expected = reason.removeprefix("Expected ").partition(", got")[0]
    expected = re.sub(r"`([^`]*)`", lambda m: " or ".join(_KINDS.get(k, k) for k in m[1].split(" | ")), expected)
    for pattern, words in _PATTERNS.items():
        expected = expected.replace(f"text matching regex {pattern!r}", words)
    for sign, words in ((">=", "of at least"), ("<=", "of at most"), (">", "above"), ("<", "below")):
        expected = expected.replace(f" {sign} ", f" {words} ")
    return printable(f"{where}: {field or 'it'} is {_shown(_at(found, at.rstrip('`')))}, expected {expected}.")


def _at(found: Any, path: str) -> Any:
    """The value at msgspec's path; ... if it cannot be found, as for the values of a dictionary, whose key it omits."""
    for key in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
        try:
            found = found[int(key[1])] if key[1] else found[key[0]]
        except (LookupError, TypeError):
            return ...
    return ... if "[...]" in path else found


def _shown(value: Any) -> str:
    if value is ...:
        return "something else"
    if isinstance(value, Mapping | list):
        return "a table" if isinstance(value, Mapping) else "a list"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    kind = "text " if isinstance(value, str) else "number " if isinstance(value, int | float) else ""
    return f"the {kind}{text:.60}" if kind and not isinstance(value, bool) else text
