"""CIFAR-10 from small files of the binary version: archive, folder, single file."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

import counterplay as cp

from ...support import data_files
from .harm import damaged, refuses

TRAIN = data_files.BATCHES[:5]


def loaded(root, **options):
    return cp.make("dataset", "cifar10", root=str(root), **options).load()


def same(images, found):
    pixels, labels = (np.concatenate(x) for x in zip(*found, strict=True))
    return np.array_equal(images.pixels.numpy(), pixels) and np.array_equal(images.labels.numpy(), labels)


def test_archive_folder_and_file_are_one(tmp_path):
    found = data_files.cifar10_archive(tmp_path / "cifar-10-binary.tar.gz")
    data_files.cifar10(tmp_path / "other" / "cifar-10-batches-bin")
    roots = [tmp_path, tmp_path / "cifar-10-binary.tar.gz", tmp_path / "other", tmp_path / "other/cifar-10-batches-bin"]
    for root in roots:
        images = loaded(root)
        assert same(images, [found[name] for name in TRAIN])
        assert images.shape == (3, 32, 32) and images.classes[0] == "airplane"
        assert images.source == "not the official files: their sums differ"
        assert same(loaded(root, split="test"), [found["test_batch.bin"]])
    alone = loaded(roots[3] / "data_batch_2.bin")
    assert same(alone, [found["data_batch_2.bin"]])


def test_a_missing_file_is_named(tmp_path):
    data_files.cifar10(tmp_path)
    (tmp_path / "data_batch_4.bin").unlink()
    refuses(cp.UsageError, "data_batch_4.bin cannot be opened: No such file", "cifar10", tmp_path)
    refuses(cp.UsageError, "nowhere does not exist", "cifar10", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    refuses(cp.UsageError, "neither cifar-10-binary.tar.gz nor data_batch_1.bin", "cifar10", tmp_path / "empty")


def test_the_python_version_is_refused(tmp_path):
    pickled, words = b"\x80\x04\x95" + bytes(100), "python version, a pickle.*Get the binary version"
    python = data_files.archive(tmp_path / "cifar-10-python.tar.gz", [("cifar-10-batches-py/data_batch_1", pickled)])
    (tmp_path / "renamed.tar.gz").write_bytes(python.read_bytes())
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickled)
    within = tmp_path / "cifar-10-batches-py"
    for root in (tmp_path, python, tmp_path / "renamed.tar.gz", within, within / "data_batch_1"):
        refuses(cp.BadData, words, "cifar10", root)
    (tmp_path / "x.bin").write_bytes(pickled)
    refuses(cp.BadData, "records of 3,073 bytes are expected", "cifar10", tmp_path / "x.bin")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes; records of 3,073 bytes"),
        (bytes(3072), "3,072 bytes; records of 3,073 bytes"),
        (bytes([10]) + bytes(3072), "has the label 10; labels are from 0 to 9"),
        (bytes(3073 * 10_001), "more than 30,730,000 bytes"),
    ],
)
def test_words_for_wrong_records(data, words, tmp_path):
    data_files.cifar10(tmp_path, count=1)
    (tmp_path / "data_batch_3.bin").write_bytes(data)
    refuses(cp.BadData, words, "cifar10", tmp_path)


def test_archives_with_other_things_in_them(tmp_path):
    """A link, a file that is there twice, a sparse one, a size that nothing is behind, another name."""
    good, path = data_files.batch(data_files.drawn(1, (3, 32, 32))), tmp_path / "cifar-10-binary.tar.gz"
    names = [f"cifar-10-batches-bin/{name}" for name in TRAIN]
    data_files.archive(path, [(name, good) for name in names[:4]])
    refuses(cp.BadData, "lacks data_batch_5.bin", "cifar10", path)
    data_files.archive(path, [(f"../{name}", good) for name in names])
    refuses(cp.BadData, "lacks data_batch_1.bin, data_batch_2.bin", "cifar10", path)
    data_files.archive(path, [(name, good) for name in [*names, names[0]]])
    refuses(cp.BadData, "data_batch_1.bin is no plain file", "cifar10", path)
    (tmp_path / "secret").write_bytes(good)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE):
        with tarfile.open(path, "w:gz") as tar:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size, member.type, member.linkname = len(good), kind, str(tmp_path / "secret")
                tar.addfile(member, io.BytesIO(good))
        with pytest.raises(cp.BadData):
            loaded(path)
    member = tarfile.TarInfo(names[0])
    member.size = 2**40
    path.write_bytes(member.tobuf() + bytes(1024))
    refuses(cp.BadData, "no plain file of at most 10,000 records", "cifar10", path)
    path.write_text("nothing")
    refuses(cp.BadData, "is no cifar-10-binary.tar.gz", "cifar10", path)


def test_an_archive_that_unpacks_without_end(tmp_path, monkeypatch):
    from counterplay.games.data import cifar10

    path = tmp_path / "cifar-10-binary.tar.gz"
    data_files.archive(path, [("cifar-10-batches-bin/readme.html", bytes(1 << 22))])
    monkeypatch.setattr(cifar10, "MOST", 1 << 21)
    refuses(cp.BadData, "larger, when it is unpacked, than any file of its kind", "cifar10", path)


def test_damage(tmp_path):
    data_files.cifar10_archive(tmp_path / "cifar-10-binary.tar.gz", 1)
    damaged(tmp_path / "cifar-10-binary.tar.gz", lambda: loaded(tmp_path), 60)


def test_a_run_of_them(cli, tmp_path):
    """As typed: images of the archive, played."""
    data_files.cifar10_archive(tmp_path / "cifar-10-binary.tar.gz")
    options = ["-g", "data=cifar10", "-g", f"data.root={tmp_path}", "-g", "batch=4"]
    code, _, err = cli("run", "images", *options, "--solver", "simgd", "-s", "lr=0.01", "--steps", 2)
    assert code == 0, err
    code, _, err = cli("run", "images", "-g", "data=cifar10", "-g", "data.root=nowhere", "--solver", "simgd")
    assert code == 2 and "nowhere does not exist" in err
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"\x1f\x8b cut")
    code, _, err = cli("run", "images", *options, "--solver", "simgd")
    assert code == 65 and "Error: " in err and err.count("\n") == 1
