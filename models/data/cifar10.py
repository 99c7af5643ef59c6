"""CIFAR-10: small colour photographs of animals and vehicles."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le

from models.data._download import Download, folder, missing
from models.data._images import Motion, Scale, image_dataset
from pipeline.core import Arrays, Dataset
from pipeline.errors import UserError

# Mean and standard deviation of all values / 255 of the 50000 training images (0.47336, 0.25157), one for the three
# channels: their own means (0.491, 0.482, 0.447) and deviations (0.247, 0.243, 0.262) differ by less than a tenth.
SCALE = Scale(full=255, mean=0.4734, std=0.2516)
# The usual augmentation since He et al. (2016): crops of the image with 4 pixels of border, mirrored or not.
MOTION = Motion(shift=4, flip=True)
BATCHES = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
CLASSES = 10
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
"""Bytes: the label, then 1024 of red, green and blue each, row by row."""
MOST_RECORDS = 100_000
"""In a batch; the real ones hold 10000. Whatever has more is refused before it is read."""
MOST_BYTES = 1 << 30
"""Of an unpacked archive: five times the real one."""


@final
@dataclass(frozen=True)
class Cifar10:
    """Photographs in 10 kinds (airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck).

    `image` uint8 [N, 3, 32, 32] (red, green, blue), `label` int64 [N]. 50000 training images, of which `validation`
    (stratified, always the same) are held out; the test split is the official one of 10000 images.
    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009),
    https://www.cs.toronto.edu/~kriz/cifar.html, the binary version.
    """

    validation: Annotated[int, Ge(10), Le(25_000)] = 5_000
    """Samples held out of the training files."""

    licence: ClassVar[str] = "none stated by its authors (A. Krizhevsky, V. Nair, G. Hinton); customary research use"
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            file="cifar-10-binary.tar.gz",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            bytes=170_052_171,
        ),
    )

    def files(self, root: Path) -> list[Path]:
        """Five training batches and the test batch, or the one archive that holds them.

        The folder cifar-10-batches-bin may lie where the archive is unpacked (`root/cifar10/files`), or above.
        """
        place = folder(root, "cifar10")
        for parent in (place, place.parent, root):
            paths = [parent / BATCHES / name for name in (*TRAIN, TEST)]
            if any(path.exists() for path in paths):
                if gone := [path for path in paths if not path.is_file()]:
                    raise missing(gone[0], "cifar10")
                return paths
        archive = place / self.downloads[0].file
        if not archive.is_file():
            raise missing(archive, "cifar10")
        return [archive]

    def load(self, root: Path) -> Dataset:
        """Reads the batches, from the archive without unpacking it if that is all there is."""
        paths = self.files(root)
        batches = _from_archive(paths[0]) if len(paths) == 1 else [_from_file(path) for path in paths]
        train = {name: np.concatenate([batch[name] for batch in batches[:-1]]) for name in batches[0]}
        return image_dataset("cifar10", train, batches[-1], self.validation, SCALE, MOTION)


def _from_file(path: Path) -> Arrays:
    _check_size(str(path), path.stat().st_size)
    return _decode(str(path), path.read_bytes())


def _from_archive(path: Path) -> list[Arrays]:
    """The six batches, in the order of `files`; nothing is unpacked to disk."""
    found: dict[str, Arrays] = {}
    try:
        with (
            gzip.open(path) as unpacked,
            tarfile.open(fileobj=_Bounded(path, unpacked), mode="r|") as archive,  # type: ignore[call-overload]  # it only reads
        ):
            for member in archive:
                where, name = f"{path}: {member.name}", member.name.removeprefix(f"{BATCHES}/")
                if name in (*TRAIN, TEST) and (stream := archive.extractfile(member)):
                    _check_size(where, member.size)
                    found[name] = _decode(where, stream.read())
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(
            f"{path}: damaged archive ({error}), expected cifar-10-binary.tar.gz; remove it and fetch it anew"
        ) from error
    if gone := [name for name in (*TRAIN, TEST) if name not in found]:
        raise UserError(f"{path}: holds no {BATCHES}/{gone[0]}, expected cifar-10-binary.tar.gz")
    return [found[name] for name in (*TRAIN, TEST)]


class _Bounded:
    """A stream that ends in a UserError instead of filling the memory."""

    def __init__(self, path: Path, stream: gzip.GzipFile) -> None:
        self.path, self.stream, self.left = path, stream, MOST_BYTES

    def read(self, size: int) -> bytes:
        self.left -= size
        if self.left < 0:
            raise UserError(f"{self.path}: unpacks to more than {MOST_BYTES} bytes, expected cifar-10-binary.tar.gz")
        return self.stream.read(size)


def _check_size(where: str, size: int) -> None:
    if size % RECORD or not 0 < size <= MOST_RECORDS * RECORD:
        raise UserError(f"{where}: found {size} bytes, expected records of {RECORD} bytes, 1 to {MOST_RECORDS} of them")


def _decode(where: str, content: bytes) -> Arrays:
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    label = records[:, 0].astype(np.int64)
    if label.max() >= CLASSES:
        raise UserError(f"{where}: found label {label.max()} in record {label.argmax()}, expected 0 to {CLASSES - 1}")
    return {"image": records[:, 1:].reshape(-1, *SHAPE).copy(), "label": label}  # a copy, for what lies on `bytes` is read-only
