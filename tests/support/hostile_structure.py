"""Harm in how a log is built: links that lead elsewhere, types that no log has, sizes that no memory has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from counterplay.core.log import safety

from .hostile import CANARY, STEPS, Harms, collector, dataset

HARMS: Harms = {}
harm = collector(HARMS)


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

TYPES = {
    "ragged": {"shape": (2,), "dtype": h5py.vlen_dtype("f8")},
    "opaque": {"data": np.zeros(2, "V16")},
    "compound": {"data": np.zeros(2, [("a", "f8"), ("b", "i4")])},
    "enum": {"data": np.zeros(2, bool)},
    "array": {"shape": (2,), "dtype": np.dtype(("f8", (3,)))},
    "words": {"shape": (2, 2), "dtype": h5py.string_dtype()},
}
for name, how in TYPES.items():
    HARMS[name] = dataset(f"step/{name}", **how), f"/step/{name} has a type"


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

SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "huge": ("claims 8,796,093,022,208 bytes", {"shape": (1 << 40,), "dtype": "f8", "chunks": (1 << 10,)}),
    "wide": ("claims", {"shape": (2**16,) * 4, "dtype": "f8", "chunks": (1, 1, 1, 1)}),
    "promise": ("claims 2,000,000,000 bytes and keeps 0", {"shape": (250_000_000,), "dtype": "f8"}),
    "bomb": (
        "claims 33,554,432 bytes and keeps",
        {"data": np.broadcast_to(0.0, 1 << 22), "chunks": (1 << 20,), "compression": "gzip", "compression_opts": 9},
    ),
    "crumbs": ("is in more than 100,000 chunks", {"shape": (1_000_000,), "dtype": "f8", "chunks": (1,)}),
    "block": (
        "has a chunk larger than itself",
        {"shape": (10,), "maxshape": (None,), "dtype": "f8", "chunks": (1 << 27,)},
    ),
    "filtered": ("uses the filter 32000", {"data": np.zeros(100), "compression": "lzf"}),
    "scaled": ("uses the filter 6", {"data": np.zeros(100, "i4"), "chunks": (100,), "scaleoffset": 4}),
}
for name, (said, how) in SIZES.items():
    HARMS[name] = dataset(f"step/{name}", **how), f"/step/{name} {said}"


@harm("/step/twofold is packed twice over")
def twofold(f: h5py.File, away: Path) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((1000,))
    plan.set_deflate(9)
    plan.set_deflate(9)
    h5py.h5d.create(f["step"].id, b"twofold", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((1000,)), plan)


@harm("is nested deeper")
def deep(f: h5py.File, away: Path) -> None:
    f.create_group("/".join("abcdefgh"))


@harm("is nested deeper")
def very_deep(f: h5py.File, away: Path) -> None:
    f.create_group("/".join("a" * 3000))


@harm("/ has more than 10,000")
def many(f: h5py.File, away: Path) -> None:
    for i in range(safety.MAX_OBJECTS + 1):
        f.create_group(f"g{i}")


@harm("is one of more than 10,000 objects")
def many_by_many(f: h5py.File, away: Path) -> None:
    for i in range(6):
        for j in range(safety.MAX_OBJECTS // 5):
            f.create_group(f"g{i}/h{j}")


@harm("/ has more than 100 attributes")
def attributes(f: h5py.File, away: Path) -> None:
    for i in range(safety.MAX_ATTRIBUTES + 1):
        f.attrs[f"a{i}"] = i


@harm("/step has an attribute of more than a megabyte")
def fat(f: h5py.File, away: Path) -> None:
    f["step"].attrs["fat"] = np.zeros((safety.MAX_ATTRIBUTE_BYTES // 8) + 1)


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
