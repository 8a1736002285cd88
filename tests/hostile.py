"""Logs that a stranger might send, made by hand: each of them means harm to whoever reads it, or could do some."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from counterplay.core import validate
from counterplay.core.blocks import LogWriter
from counterplay.core.rundir import RunDirectory
from counterplay.core.schema import Layout
from counterplay.core.sealed import seal

CANARY = "the canary sings"  # stands in a file beside the run, and must never come out of it
STEPS = 300


def run(
    path: Path, players: tuple[str, ...] = ("x", "y"), words: str = "quadratic", members: int | None = None
) -> Path:
    """An honest run directory."""
    experiment = {"game": {"name": words}, "solver": {"name": "simgd", "lr": 0.1}}
    files = RunDirectory.create(path, {"experiment": experiment, "players": dict.fromkeys(players, 1), "seed": 0})
    names = tuple(f"{p}/value" for p in players)
    writer = LogWriter(path, Layout(players, names, members=members))
    rng = np.random.default_rng(0)
    shape = (len(players),) if members is None else (members, len(players))
    for step in range(STEPS):
        row = {k: rng.normal(size=shape) for k in ("losses", "gradient_norms", "parameter_norms", "parameters")}
        writer.append("step", {"step": step, **row})
    lead = shape[:-1]
    spectrum = {"eigenvalues": np.broadcast_to([1 + 1j, 1 - 1j], (*lead, 2)), "residuals": np.zeros((*lead, 2))}
    writer.append("spectrum", {"step": 0, **spectrum, "status": np.zeros(lead, int)})
    writer.append("samples", {"step": 0, "images": np.zeros((4, 1, 8, 8))})
    writer.append("metrics", {"step": 0, "score": 1.0})
    writer.finish()
    files.write_status("max_steps", STEPS)
    return path


def canary(path: Path) -> Path:
    """A run of the user's own, which says the word wherever a run can say one."""
    run(path, (CANARY, "y"), CANARY)
    (path / "secret").write_text(CANARY)
    return path


def reseal(path: Path) -> None:
    """What a stranger does, too: give a file that was changed the sum it should have. HDF5 has cut off the old one."""
    path.write_bytes(seal(path.read_bytes()))


Harm = Callable[[h5py.File, Path], None]
IN_FILE: dict[str, tuple[Harm, str]] = {}  # name -> what is done to log.h5, the beginning of what is said of it


def harm(said: str) -> Callable[[Harm], Harm]:
    def noted(function: Harm) -> Harm:
        IN_FILE[function.__name__] = (function, said)
        return function

    return noted


# Links and data that lead elsewhere


@harm("/step/soft is a soft or external link")
def soft(f: h5py.File, away: Path) -> None:
    f["step/soft"] = h5py.SoftLink("/step/losses")


@harm("/step/away is a soft or external link")
def external(f: h5py.File, away: Path) -> None:
    f["step/away"] = h5py.ExternalLink(str(away / "log.h5"), "/step/losses")


@harm("/step is a soft or external link")
def external_group(f: h5py.File, away: Path) -> None:
    del f["step"]
    f["step"] = h5py.ExternalLink(str(away / "log.h5"), "/step")


@harm("/step/self is a soft or external link")
def soft_circle(f: h5py.File, away: Path) -> None:
    f["step/self"] = h5py.SoftLink("/step/self")


@harm("/step/again is linked more than once")
def circle(f: h5py.File, away: Path) -> None:
    f["step/again"] = f["step"]


@harm("/step/root is linked more than once")
def root(f: h5py.File, away: Path) -> None:
    f["step/root"] = f["/"]


@harm("/step/losses is linked more than once")
def twice(f: h5py.File, away: Path) -> None:
    f["step/copy"] = f["step/losses"]


@harm("/step/virtual is a virtual dataset")
def virtual(f: h5py.File, away: Path) -> None:
    layout = h5py.VirtualLayout(shape=(STEPS,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(away / "log.h5"), "step/wall_seconds", shape=(STEPS,))
    f.create_virtual_dataset("step/virtual", layout)


@harm("/step/raw keeps its data in another file")
def storage(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/raw", shape=(len(CANARY),), dtype="u1", external=[(str(away / "secret"), 0, len(CANARY))])


@harm("/step/refs has a type")
def reference(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/refs", data=[f["step"].ref], dtype=h5py.ref_dtype)


@harm("/step/regions has a type")
def region(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/regions", data=[f["step/losses"].regionref[:2]], dtype=h5py.regionref_dtype)


# Types


@harm("/step/ragged has a type")
def ragged(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/ragged", shape=(2,), dtype=h5py.vlen_dtype("f8"))


@harm("/step/opaque has a type")
def opaque(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/opaque", data=np.zeros(2, "V16"))


@harm("/step/compound has a type")
def compound(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/compound", data=np.zeros(2, [("a", "f8"), ("b", "i4")]))


@harm("/step/enum has a type")
def enum(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/enum", data=np.zeros(2, bool))


@harm("/step/array has a type")
def array(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/array", shape=(2,), dtype=np.dtype(("f8", (3,))))


@harm("/step/words has a type")
def words(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/words", shape=(2, 2), dtype=h5py.string_dtype())


@harm("/named has a type")
def named_type(f: h5py.File, away: Path) -> None:
    f["named"] = h5py.vlen_dtype("f8")


@harm("/step/nothing has no shape")
def nothing(f: h5py.File, away: Path) -> None:
    f["step/nothing"] = h5py.Empty("f8")


@harm("is damaged")
def odd_number(f: h5py.File, away: Path) -> None:
    kind = h5py.h5t.STD_I64LE.copy()
    kind.set_size(300)  # an integer of 2,400 bits
    space = h5py.h5s.create_simple((STEPS,))
    h5py.h5d.create(f["step"].id, b"odd", kind, space)
    f["step/odd"].attrs["dimensions"] = "step"


# Sizes


@harm("/step/huge claims 8,796,093,022,208 bytes")
def huge(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/huge", shape=(1 << 40,), dtype="f8", chunks=(1 << 10,))


@harm("/step/wide claims")
def wide(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/wide", shape=(2**16, 2**16, 2**16, 2**16), dtype="f8", chunks=(1, 1, 1, 1))


@harm("/step/promise claims 2,000,000,000 bytes and keeps 0")
def promise(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/promise", shape=(250_000_000,), dtype="f8")


@harm("/step/bomb claims 33,554,432 bytes and keeps")
def bomb(f: h5py.File, away: Path) -> None:
    zeros = np.zeros(1 << 22)
    f.create_dataset("step/bomb", data=zeros, chunks=(1 << 20,), compression="gzip", compression_opts=9)


@harm("/step/twofold is packed twice over")
def twofold(f: h5py.File, away: Path) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((1000,))
    plan.set_deflate(9)
    plan.set_deflate(9)
    h5py.h5d.create(f["step"].id, b"twofold", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((1000,)), plan)


@harm("/step/crumbs is in more than 100,000 chunks")
def crumbs(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/crumbs", shape=(1_000_000,), dtype="f8", chunks=(1,))


@harm("/step/block has a chunk larger than itself")
def block(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/block", shape=(10,), maxshape=(None,), dtype="f8", chunks=(1 << 27,))


@harm("is nested deeper")
def deep(f: h5py.File, away: Path) -> None:
    f.create_group("/".join("abcdefgh"))


@harm("is nested deeper")
def very_deep(f: h5py.File, away: Path) -> None:
    f.create_group("/".join("a" * 3000))


@harm("/ has more than 10,000")
def many(f: h5py.File, away: Path) -> None:
    for i in range(validate.MAX_OBJECTS + 1):
        f.create_group(f"g{i}")


@harm("is one of more than 10,000 objects")
def many_by_many(f: h5py.File, away: Path) -> None:
    for i in range(6):
        for j in range(validate.MAX_OBJECTS // 5):
            f.create_group(f"g{i}/h{j}")


@harm("/ has more than 100 attributes")
def attributes(f: h5py.File, away: Path) -> None:
    for i in range(validate.MAX_ATTRIBUTES + 1):
        f.attrs[f"a{i}"] = i


@harm("/step has an attribute of more than a megabyte")
def fat(f: h5py.File, away: Path) -> None:
    f["step"].attrs["fat"] = np.zeros((validate.MAX_ATTRIBUTE_BYTES // 8) + 1)


@harm("/step has a type")
def attribute(f: h5py.File, away: Path) -> None:
    f["step"].attrs["ref"] = f["step"].ref


@harm("/step has a type")
def texts(f: h5py.File, away: Path) -> None:
    f["step"].attrs.create("texts", ["long" * 1000] * 3, dtype=h5py.string_dtype())


@harm("is damaged or not a log")
def numbers(f: h5py.File, away: Path) -> None:
    f.attrs["seed"] = np.arange(1000)


@harm("is damaged or not a log: its names along")
def letters(f: h5py.File, away: Path) -> None:
    """Ten thousand names that are one and the same megabyte."""
    del f["step/parameter"]
    names = f["step"].create_dataset("parameter", data=["y" * (1 << 20)] + ["n"] * 9_999, dtype=h5py.string_dtype())
    names.attrs["dimensions"] = "parameter"
    at = names.id.get_offset()
    f.flush()
    with open(f.filename, "r+b") as raw:
        raw.seek(at)
        first = raw.read(16)
        raw.seek(at)
        raw.write(first * 10_000)


@harm("is damaged or not a log: its names along")
def long_names(f: h5py.File, away: Path) -> None:
    del f["step/parameter"]
    f["step"].create_dataset("parameter", shape=(4000,), dtype="S4000").attrs["dimensions"] = "parameter"


@harm("/step/lzf uses the filter 32000")
def filtered(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/lzf", data=np.zeros(100), compression="lzf")


@harm("/step/scale uses the filter 6")
def scaled(f: h5py.File, away: Path) -> None:
    f.create_dataset("step/scale", data=np.zeros(100, "i4"), chunks=(100,), scaleoffset=4)


# What is not as the format says


@harm("is damaged: /step/losses has 2 axes but names 1")
def rename(f: h5py.File, away: Path) -> None:
    f["step/losses"].attrs["dimensions"] = "step"


@harm("is damaged: /step/losses has 2 axes but names 0")
def unnamed(f: h5py.File, away: Path) -> None:
    del f["step/losses"].attrs["dimensions"]


@harm("is damaged: /step/short has not as many rows")
def shorter(f: h5py.File, away: Path) -> None:
    f["step/short"] = np.zeros(3)
    f["step/short"].attrs["dimensions"] = "step"


@harm("is damaged or not a log: ")
def stepless(f: h5py.File, away: Path) -> None:
    del f["step/step"]


@harm("is an HDF5 file but not a log")
def other(f: h5py.File, away: Path) -> None:
    f.attrs["format"] = "something-else"


@harm("has log format 99")
def later(f: h5py.File, away: Path) -> None:
    f.attrs["format_version"] = 99


@harm("is damaged: /metrics is not a group")
def leaf(f: h5py.File, away: Path) -> None:
    del f["metrics"]
    f["metrics"] = 3.0


@harm("is damaged: /step/step is <f8 along step")
def steps_of_nan(f: h5py.File, away: Path) -> None:
    replace(f, "step/step", np.full(STEPS, np.nan))


@harm("is damaged: /step/losses is <f8 along step")
def losses_of_one(f: h5py.File, away: Path) -> None:
    replace(f, "step/losses", np.zeros(STEPS))


@harm("is damaged: /step/losses is <i8 along step × player")
def losses_of_integers(f: h5py.File, away: Path) -> None:
    replace(f, "step/losses", np.zeros((STEPS, 2), "<i8"), "step player")


@harm("is damaged: the axis 'player' of /step/losses has 3 entries, not 2")
def one_loss_too_many(f: h5py.File, away: Path) -> None:
    replace(f, "step/losses", np.zeros((STEPS, 3)), "step player")


@harm("is damaged: it does not name its players")
def nameless(f: h5py.File, away: Path) -> None:
    for group in ("step", "spectrum"):
        f[group].pop("player", None)


@harm("is damaged: the axis 'width' of /samples/images is empty")
def empty_images(f: h5py.File, away: Path) -> None:
    replace(f, "samples/images", np.zeros((1, 4, 1, 8, 0), "<f4"), "samples image channel height width")


@harm("was refused: it claims 1,000,000 members")
def crowd(f: h5py.File, away: Path) -> None:
    for key in ("step", "spectrum/status", "spectrum/residuals", "spectrum/count"):
        del f[key]
    replace(f, "spectrum/eigenvalues", np.zeros((1, 1_000_000, 1), "<c16"), "spectrum member mode")


@harm("is damaged: A variable of the log cannot be named")
def colourful(f: h5py.File, away: Path) -> None:
    f["step/\x1b[31mred\x07"] = np.zeros(STEPS)
    f["step/\x1b[31mred\x07"].attrs["dimensions"] = "step"


@harm("�[31mred is a soft")
def colourful_link(f: h5py.File, away: Path) -> None:
    f["\x1b[31mred"] = h5py.SoftLink("/step")


def replace(f: h5py.File, key: str, data: np.ndarray, dimensions: str = "step") -> None:
    del f[key]
    f[key] = data
    f[key].attrs["dimensions"] = dimensions


# Files beside the log, and whole directories: name -> what is done to an honest run; what is said of it.

Mess = Callable[[Path, Path], None]
AROUND: dict[str, tuple[Mess, str]] = {}


def mess(said: str) -> Callable[[Mess], Mess]:
    def noted(function: Mess) -> Mess:
        AROUND[function.__name__] = (function, said)
        return function

    return noted


def link(path: Path, to: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    path.symlink_to(to)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@mess("log.h5 is a link")
def linked_log(path: Path, away: Path) -> None:
    link(path / "log.h5", away / "log.h5")


@mess("log is a link")
def linked_blocks(path: Path, away: Path) -> None:
    (path / "log.h5").unlink()
    (away / "log").mkdir(exist_ok=True)
    shutil.copy(away / "log.h5", away / "log" / "000001.h5")
    link(path / "log", away / "log")


@mess("000001.h5 is a link")
def linked_block(path: Path, away: Path) -> None:
    (path / "log").mkdir()
    (path / "log" / "000001.h5").symlink_to(away / "log.h5")


@mess("run.json is a link")
def linked_run(path: Path, away: Path) -> None:
    link(path / "run.json", away / "run.json")


@mess("status.json is a link")
def linked_status(path: Path, away: Path) -> None:
    link(path / "status.json", away / "status.json")


@mess("run.json is a link")
def endless(path: Path, away: Path) -> None:
    link(path / "run.json", Path("/dev/zero"))


@mess("log.h5 is no plain file")
def piped_log(path: Path, away: Path) -> None:
    pipe(path / "log.h5")


@mess("run.json is no plain file")
def piped_run(path: Path, away: Path) -> None:
    pipe(path / "run.json")


@mess("status.json is no plain file")
def piped_status(path: Path, away: Path) -> None:
    pipe(path / "status.json")


@mess("log.h5 is no plain file")
def directory(path: Path, away: Path) -> None:
    (path / "log.h5").unlink()
    (path / "log.h5").mkdir()


@mess("run.json is not valid JSON")
def nested(path: Path, away: Path) -> None:
    (path / "run.json").write_text("[" * 100_000)


@mess("run.json is not valid JSON (it is nested too deep)")
def rather_nested(path: Path, away: Path) -> None:
    (path / "run.json").write_text('{"a":' * 400 + "1" + "}" * 400)


@mess("run.json is not valid JSON")
def surrogate(path: Path, away: Path) -> None:
    (path / "run.json").write_text('{"experiment": {"game": "\\ud800"}}')


@mess("run.json is not valid JSON")
def long_number(path: Path, away: Path) -> None:
    (path / "run.json").write_text('{"seed": ' + "9" * 10_000 + "}")


@mess("run.json is larger than any file of this kind")
def large(path: Path, away: Path) -> None:
    (path / "run.json").write_text(" " * (17 << 20))


@mess("status.json holds a list")
def status_list(path: Path, away: Path) -> None:
    (path / "status.json").write_text("[]")


@mess("status.json has a 'state' that is no str")
def status_types(path: Path, away: Path) -> None:
    (path / "status.json").write_text('{"state": ["running"], "step": 3}')


@mess("status.json has a 'step' that is no int")
def status_step(path: Path, away: Path) -> None:
    (path / "status.json").write_text('{"state": "running", "step": {"a": 1}}')


@mess("has other names along")
def other_names(path: Path, away: Path) -> None:
    other = run(path.with_name(f"{path.name}-other"), ("a", "b", "c"))
    (path / "log").mkdir()
    for number, file in enumerate((path / "log.h5", other / "log.h5"), start=1):
        file.rename(path / "log" / f"{number:06d}.h5")


@mess("has other axes of")
def other_members(path: Path, away: Path) -> None:
    other = run(path.with_name(f"{path.name}-other"), members=3)
    (path / "log").mkdir()
    for number, file in enumerate((path / "log.h5", other / "log.h5"), start=1):
        file.rename(path / "log" / f"{number:06d}.h5")


def bytes_of(data: Callable[[bytes], bytes], sealed: bool = True) -> Mess:
    def change(path: Path, away: Path) -> None:
        log = path / "log.h5"
        changed = data(log.read_bytes()[:-72])
        log.write_bytes(seal(changed) if sealed else changed)

    return change


_SIGNATURE = b"\x89HDF\r\n\x1a\n"
RAW: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "text": lambda whole: b"not HDF5",
    "signature": lambda whole: _SIGNATURE,
    "signature_and_zeros": lambda whole: _SIGNATURE + bytes(4000),
    "signature_and_ones": lambda whole: _SIGNATURE + b"\xff" * 4000,
    "half": lambda whole: whole[: len(whole) // 2],
    "all_but_one": lambda whole: whole[:-1],
    "shifted": lambda whole: b"\0" * 512 + whole[512:],
    "end_of_file_far_away": lambda whole: whole[:28] + struct.pack("<Q", 1 << 62) + whole[36:],
    "root_at_itself": lambda whole: whole[:36] + struct.pack("<Q", 0) + whole[44:],
    "no_middle": lambda whole: whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[2 * (len(whole) // 3) :],
}


def words_everywhere(path: Path, words: str) -> Path:
    """A run that is readable, and says ``words`` wherever a run can say some."""
    run(path, (words, "y"), words)
    facts = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**facts, "references": {words: words}, words: [words]}))
    RunDirectory(path).write_status(words, 3, words)
    with h5py.File(path / "log.h5", "r+", libver=("v110", "v110")) as file:
        file.attrs["experiment"] = words
        file["step/losses"].attrs["long_name"] = words
        file["step/losses"].attrs["units"] = words
    reseal(path / "log.h5")
    return path
