from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from models.data import cifar10
from models.data.cifar10 import RECORD, TEST, TRAIN, Cifar10
from pipeline.core import Dataset
from pipeline.errors import UserError

PLACES = ["cifar10/files", "cifar10", "."]
ARCHIVE = "cifar10/files/cifar-10-binary.tar.gz"


def records(count: int, seed: int) -> bytes:
    array = np.random.default_rng(seed).integers(0, 256, (count, RECORD), dtype=np.uint8)
    array[:, 0] = np.arange(count) % 10
    return array.tobytes()


CONTENT = {name: records(20, seed) for seed, name in enumerate((*TRAIN, TEST))}


def write(folder: Path) -> Path:
    folder = folder / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


def pack(path: Path, content: dict[str, bytes]) -> Path:
    """An archive in the form of the public one, with its folder and the two text files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        folder = tarfile.TarInfo("cifar-10-batches-bin")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, body in {"readme.html": b"<html>", **content, "batches.meta.txt": b"airplane\n"}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return path


def small(root: Path) -> Dataset:
    return Cifar10(validation=30).load(root)


def refusal(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        small(root)
    return str(caught.value)


@pytest.mark.parametrize("place", PLACES)
def test_the_unpacked_folder_may_lie_in_three_places(place: str, tmp_path: Path) -> None:
    write(tmp_path / place)
    dataset = small(tmp_path)
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 70, "validation": 30, "test": 20}


def test_a_record_is_a_label_and_three_planes_of_rows(tmp_path: Path) -> None:
    write(tmp_path)
    test = small(tmp_path).splits["test"]
    first = np.frombuffer(CONTENT[TEST], np.uint8)[:RECORD]
    assert test["label"][0] == first[0]
    for channel, row, column in ((0, 0, 0), (0, 31, 30), (1, 2, 3), (2, 31, 31)):
        assert test["image"][0, channel, row, column] == first[1 + 1024 * channel + 32 * row + column]


def test_the_archive_is_read_as_it_is(tmp_path: Path) -> None:
    unpacked, packed = tmp_path / "unpacked", tmp_path / "packed"
    write(unpacked / "cifar10")
    # The batches come in another order than ours: the public archive's is not sorted either.
    archive = pack(packed / ARCHIVE, dict(reversed(CONTENT.items())))
    assert Cifar10().files(packed) == [archive]
    ours, theirs = small(packed), small(unpacked)
    assert ours.sha256 == theirs.sha256
    np.testing.assert_array_equal(ours.splits["test"]["image"], theirs.splits["test"]["image"])
    assert list(archive.parent.iterdir()) == [archive]  # nothing was unpacked


def test_an_unpacked_folder_comes_before_the_archive(tmp_path: Path) -> None:
    pack(tmp_path / ARCHIVE, {})
    write(tmp_path / "cifar10/files")
    assert small(tmp_path).size("test") == 20


def test_a_batch_that_is_not_there_is_named(tmp_path: Path) -> None:
    (write(tmp_path / "cifar10/files") / "data_batch_3.bin").unlink()
    assert re.search(r"data_batch_3\.bin is missing; get it with `\./edgepress data fetch cifar10`", refusal(tmp_path))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", r"found 0 bytes, expected records of 3073 bytes, 1 to 100000 of them"),
        (CONTENT[TEST][:-1], r"found 61459 bytes, expected records of 3073 bytes"),
        (CONTENT[TEST][:RECORD] + b"\x0a" + bytes(RECORD - 1), r"found label 10 in record 1, expected 0 to 9"),
    ],
    ids=["empty", "cut", "label"],
)
def test_a_damaged_batch_is_one_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    (write(tmp_path / "a") / TEST).write_bytes(content)
    assert re.search(rf"a/cifar-10-batches-bin/{TEST}: {complaint}", refusal(tmp_path / "a"))
    pack(tmp_path / "b" / ARCHIVE, {**CONTENT, TEST: content})
    assert re.search(rf"tar\.gz: cifar-10-batches-bin/{TEST}: {complaint}", refusal(tmp_path / "b"))


def test_a_batch_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (write(tmp_path) / TEST).open("wb") as file:
        file.truncate(RECORD * 100_001)  # a hole that takes no disk
    assert "expected records of 3073 bytes, 1 to 100000 of them" in refusal(tmp_path)


def test_an_archive_without_a_batch_is_one_line(tmp_path: Path) -> None:
    pack(tmp_path / ARCHIVE, {name: body for name, body in CONTENT.items() if name != "data_batch_2.bin"})
    assert "holds no cifar-10-batches-bin/data_batch_2.bin" in refusal(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999], ids=["empty", "cut", "without its end"])
def test_a_cut_archive_is_one_line(share: float, tmp_path: Path) -> None:
    archive = pack(tmp_path / ARCHIVE, CONTENT)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    assert re.search(r"tar\.gz: damaged archive .*, expected cifar-10-binary\.tar\.gz", refusal(tmp_path))


@pytest.mark.parametrize("content", [b"<html>not found</html>", gzip.compress(b"no archive")], ids=["not gzip", "not tar"])
def test_what_is_no_archive_is_one_line(content: bytes, tmp_path: Path) -> None:
    archive = pack(tmp_path / ARCHIVE, {})
    archive.write_bytes(content)
    assert "damaged archive" in refusal(tmp_path)


def test_an_archive_that_swells_is_refused_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "MOST_BYTES", 1 << 20)
    pack(tmp_path / ARCHIVE, {"huge": bytes(2 << 20), **CONTENT})
    assert "unpacks to more than 1048576 bytes" in refusal(tmp_path)


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    archive = pack(tmp_path / ARCHIVE, {})
    with tarfile.open(archive, "w:gz") as file:
        for name in CONTENT:
            link = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
            file.addfile(link)
    assert "tar.gz: damaged archive (cannot extract (sym)link as file object)" in refusal(tmp_path)


def test_real_data_has_its_published_statistics() -> None:
    root = os.environ.get("EDGEPRESS_DATA")
    if root is None:
        pytest.skip("set EDGEPRESS_DATA to test the downloaded data sets")
    try:
        Cifar10().files(Path(root))
    except UserError as error:
        pytest.skip(str(error))  # a data root need not hold every set
    dataset = Cifar10().load(Path(root))
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 45_000, "validation": 5_000, "test": 10_000}
    # Not a digest: the images' order, and so the validation split, is the archive's or that of whoever packed them anew.
    assert np.bincount(dataset.splits["test"]["label"]).tolist() == [1_000] * 10
    sums = [dataset.splits[split]["image"].sum(axis=(2, 3), dtype=np.uint64).sum(axis=0) for split in ("train", "validation")]
    np.testing.assert_allclose(sum(sums) / (255 * 50_000 * 1024), [0.49139968, 0.48215841, 0.44653091], atol=1e-8)
    prepared = dataset.batch("train", slice(5_000))["image"]
    assert abs(prepared.mean(dtype=np.float64)) < 0.02  # of a ninth of the images; their own means differ by 0.5
    assert abs(prepared.std(dtype=np.float64) - 1) < 0.02
