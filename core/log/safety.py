"""Refuse a log that could harm its reader, before any of its numbers is read.

An HDF5 file can refer to other files, run unknown filters, claim petabytes in a kilobyte and contain circular links. A
log of ours does none of this, so the walk below allows exactly what the writer writes. It reads only the structure,
through the low-level interface, which follows no link and converts no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
from h5py import h5o, h5t, h5z

from ..errors import BadLog, printable
from .schema import MAX_VARIABLES

MAX_BYTES = 4 << 30  # of one variable, unpacked
MAX_RATIO = 300  # of unpacked to packed bytes; gzip at the writer's level never reaches 230
MAX_SMALL = 16 << 20  # unpacked bytes of a variable, or of all together, up to which the ratio is not limited
MAX_CHUNKS = 100_000  # of one variable
MAX_DEPTH = 4
MAX_OBJECTS = 10_000
MAX_RANK = 8
MAX_LABELS = 10_000  # strings of variable length: names along an axis
MAX_LETTERS = 1 << 20  # of all of them together
MAX_ATTRIBUTES = 100  # of one object
MAX_ATTRIBUTE_BYTES = 1 << 20

Parts = Mapping[str, Sequence[bytes] | None]
"""What of a file is walked: group, as "" or "/step" -> the names in it; None: all, with their attributes."""

_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
SCALES = {b"DIMENSION_LIST", b"REFERENCE_LIST"}  # references of the dimension scales, which our reader does not follow


def check(path: Path | str) -> None:
    """Raise BadLog, naming the file and the reason, unless ``path`` is an HDF5 file that is safe to read."""
    try:
        with open(path, "rb") as raw, h5py.File(raw, "r") as file:
            check_open(file, path)
    except OSError as error:
        raise BadLog(f"{path} is not a readable HDF5 file: {one_line_message(error)}.") from error


def check_open(file: h5py.File, path: Path | str, parts: Parts | None = None) -> dict[str, Any]:
    """Raise BadLog unless the open ``file``, or of it the ``parts`` that will be read, is safe to read.

    Returns the datasets that were walked, open in h5py's low-level interface, by "group/name".
    """
    try:
        walk = _Walk(path, parts)
        walk.root(file.id)
        return walk.datasets
    except BadLog:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise BadLog(f"{path} is damaged: {one_line_message(error)}.") from error


def one_line_message(error: Exception) -> str:
    """Return the message of an exception on one line, cut to 200 characters."""
    words = " ".join(printable(error).split()) or type(error).__name__
    return words[:200].rstrip(".")


def text(value: str | bytes) -> str:
    """Return a name or text of a file, with "�" in place of bytes that are not UTF-8."""
    raw = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    return raw.decode(errors="replace")


def strings(data: h5py.Dataset) -> tuple[str, ...]:
    """Return the names along an axis. They are read a few at a time: a thousand may all refer to one megabyte.

    Raises ValueError where they are longer than those of any log.
    """
    names: list[str] = []
    letters = data.dtype.itemsize * data.size if h5py.check_string_dtype(data.dtype).length else 0
    for start in range(0, len(data), 16):
        if letters > MAX_LETTERS:
            break
        names.extend(map(str, data.asstr(errors="replace")[start : start + 16]))
        letters += sum(map(len, names[start:]))
    if letters > MAX_LETTERS:
        raise ValueError(f"its names along {printable(data.name)} are longer than {MAX_LETTERS:,} letters")
    return tuple(names)


class _Walk:
    def __init__(self, path: Path | str, parts: Parts | None = None) -> None:
        self.path = path
        self.parts = {} if parts is None else parts
        self.seen: set[Any] = set()
        self.datasets: dict[str, Any] = {}
        self.packed = self.claimed = self.variables = 0

    def refuse(self, name: str, why: str) -> BadLog:
        shown = printable(name or "/")[:200]
        return BadLog(f"{self.path} was refused: {shown} {why}, which no log of counterplay has.")

    def root(self, file: Any) -> None:
        self.limit = file.get_filesize()
        self.see(h5o.get_info(file), "")
        self.group(h5py.h5g.open(file, b"/"), "", 0)

    def see(self, info: Any, name: str) -> None:
        identity = (info.fileno, getattr(info, "addr", None) or getattr(info, "token", None))
        if identity in self.seen:
            raise self.refuse(name, "is linked more than once")
        self.seen.add(identity)
        if len(self.seen) > MAX_OBJECTS:
            raise self.refuse(name, f"is one of more than {MAX_OBJECTS:,} objects")

    def group(self, group: Any, name: str, depth: int) -> None:
        self.attributes(group, name)
        if depth > MAX_DEPTH:
            raise self.refuse(name, f"is nested deeper than {MAX_DEPTH} groups")
        if group.get_num_objs() > MAX_OBJECTS:
            raise self.refuse(name, f"has more than {MAX_OBJECTS:,} entries")
        for key in self.keys(group, name):
            child = f"{name}/{key.decode(errors='replace')}"
            if group.links.get_info(key).type != h5py.h5l.TYPE_HARD:
                raise self.refuse(child, "is a soft or external link")
            info = h5o.get_info(group, key)
            self.see(info, child)
            if info.type == h5o.TYPE_GROUP:
                self.group(h5py.h5g.open(group, key), child, depth + 1)
            elif info.type == h5o.TYPE_DATASET:
                self.variables += 1
                if self.variables > MAX_VARIABLES:
                    raise self.refuse(child, f"is one of more than {MAX_VARIABLES} variables and axes")
                self.datasets[child[1:]] = data = h5py.h5d.open(group, key)
                self.dataset(data, child)
            elif info.type == h5o.TYPE_NAMED_DATATYPE:
                self.type(h5t.open(group, key), child, 1)
                self.attributes(h5t.open(group, key), child)
            else:
                raise self.refuse(child, "is an object of unknown kind")

    def keys(self, group: Any, name: str) -> Iterable[bytes]:
        """The names in a group that are walked. To look for a link does not follow it."""
        wanted = self.parts.get(name)
        return group if wanted is None else [key for key in wanted if group.links.exists(key)]

    def dataset(self, dataset: Any, name: str) -> None:
        plan = dataset.get_create_plist()
        # Check this first: reading the shape of a virtual dataset already opens other files.
        if plan.get_layout() not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
            raise self.refuse(name, "is a virtual dataset")
        if plan.get_external_count():
            raise self.refuse(name, "keeps its data in another file")
        filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        if unknown := set(filters) - _FILTERS:
            raise self.refuse(name, f"uses the filter {min(unknown)}")
        if len(set(filters)) < len(filters):
            raise self.refuse(name, "is packed twice over")
        space = dataset.get_space()
        if space.get_simple_extent_type() == h5py.h5s.NULL:
            raise self.refuse(name, "has no shape")
        shape = space.get_simple_extent_dims()
        if len(shape) > MAX_RANK:
            raise self.refuse(name, f"has more than {MAX_RANK} axes")
        kind = dataset.get_type()
        size = math.prod(shape) * kind.get_size()
        if size > MAX_BYTES:
            raise self.refuse(name, f"claims {size:,} bytes")
        if plan.get_layout() == h5py.h5d.CHUNKED:
            chunk = plan.get_chunk()
            if math.prod(chunk) * kind.get_size() > max(size, MAX_SMALL):
                raise self.refuse(name, "has a chunk larger than itself")
            if math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True)) > MAX_CHUNKS:
                raise self.refuse(name, f"is in more than {MAX_CHUNKS:,} chunks")
        self.type(kind, name, math.prod(shape) if len(shape) == 1 else MAX_LABELS + 1)
        self.storage(dataset, name, size)
        if self.parts.get(name.rpartition("/")[0]) is None:
            self.attributes(dataset, name)

    def storage(self, dataset: Any, name: str, size: int) -> None:
        """Refuse a dataset whose chunks share bytes of the file, or whose claimed size is far above its stored size."""
        stored = dataset.get_storage_size()
        self.packed += stored
        if self.packed > self.limit:
            raise self.refuse(name, "shares its bytes with others")
        if size > MAX_SMALL and size > MAX_RATIO * stored:
            raise self.refuse(name, f"claims {size:,} bytes and keeps {stored:,}")
        self.claimed += size
        if self.claimed > max(MAX_SMALL, MAX_RATIO * self.limit):
            raise self.refuse(name, f"and those before it claim {self.claimed:,} bytes in a file of {self.limit:,}")

    def type(self, kind: Any, name: str, strings: int) -> None:
        """Refuse other types than those of a log; ``strings`` is how many strings of variable length would be read."""
        code = kind.get_class()
        if code in (h5t.INTEGER, h5t.FLOAT):
            return
        if code == h5t.STRING and (not kind.is_variable_str() or strings <= MAX_LABELS):
            return
        if code == h5t.COMPOUND and kind.get_nmembers() == 2:
            names = [kind.get_member_name(i) for i in (0, 1)]
            floats = all(kind.get_member_class(i) == h5t.FLOAT for i in (0, 1))
            if names == [b"r", b"i"] and floats:  # h5py's complex numbers
                return
        raise self.refuse(name, "has a type other than numbers, complex numbers and names")

    def attributes(self, thing: Any, name: str) -> None:
        if h5py.h5a.get_num_attrs(thing) > MAX_ATTRIBUTES:
            raise self.refuse(name, f"has more than {MAX_ATTRIBUTES} attributes")
        for index in range(h5py.h5a.get_num_attrs(thing)):
            attribute = h5py.h5a.open(thing, index=index)
            if attribute.get_storage_size() > MAX_ATTRIBUTE_BYTES:
                raise self.refuse(name, "has an attribute of more than a megabyte")
            if attribute.name not in SCALES:
                count = math.prod(attribute.get_space().get_simple_extent_dims() or (1,))
                # At most one text of variable length: a thousand could all refer to the same megabyte.
                self.type(attribute.get_type(), name, 1 if count == 1 else MAX_LABELS + 1)
