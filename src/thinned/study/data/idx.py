"""IDX files, the format of MNIST and Fashion-MNIST: a folder of train and t10k images and labels, gzipped or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset, StudyError, images
from .image_form import ImageForm

_UBYTE = 0x08  # the format's type code for unsigned bytes, the only one these sets use


def idx_folder(folder: Path) -> Dataset:
    """The four files `{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]`; the t10k rows are the test set.

    Raises StudyError for a missing, damaged or mismatched file.
    """
    train, test = _pair(folder, "train"), _pair(folder, "t10k")
    if train[0].shape[1:] != test[0].shape[1:]:
        raise StudyError(
            f"{folder}: train and t10k images must have one size. Got {train[0].shape[1:]} and {test[0].shape[1:]}."
        )
    if not train[0].size or not test[0].size:
        shapes = " and ".join(" x ".join(map(str, part[0].shape)) for part in (train, test))
        raise StudyError(f"{folder}: train and t10k must have images with pixels. Got {shapes}. Copy the files again.")
    pixels = np.concatenate([train[0], test[0]])
    labels = np.concatenate([train[1], test[1]]).astype(np.int64)
    return images(
        "Fashion-MNIST" if "fashion" in str(folder.resolve()).lower() else folder.resolve().name,
        f"{len(train[1]):,} training and {len(test[1]):,} test images in {folder}",
        pixels.reshape(len(pixels), -1),
        labels,
        test=np.arange(len(train[1]), len(labels)),
        form=ImageForm(train[0].shape[1], train[0].shape[2], 1),
    )


def _pair(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    pixels = _read(folder, f"{part}-images-idx3-ubyte", axes=3)
    labels = _read(folder, f"{part}-labels-idx1-ubyte", axes=1)
    if len(pixels) != len(labels):
        raise StudyError(
            f"{folder}: {part} must have a label for every image. Got {len(pixels)} images and {len(labels)} labels."
        )
    return pixels, labels


def _read(folder: Path, name: str, axes: int) -> NDArray[np.uint8]:
    """One file: two zero bytes, a type code, the number of axes, their sizes (32 bits, big-endian), the bytes."""
    found = [
        path for path in (folder / name, folder / f"{name}.gz", folder / name.replace("-idx", ".idx")) if path.is_file()
    ]
    if not found:
        raise StudyError(
            f"{folder}: a folder of images must hold {name} or {name}.gz, and it does not. Expected are the four IDX "
            "files {train,t10k}-{images-idx3,labels-idx1}-ubyte, as in Debian's dataset-fashion-mnist."
        )
    try:
        content = gzip.decompress(found[0].read_bytes()) if found[0].suffix == ".gz" else found[0].read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise StudyError(f"{found[0]}: not a readable gzip file ({error}). Copy the file again.") from error
    head = 4 + 4 * axes
    if len(content) < head or content[:2] != b"\0\0" or content[2] != _UBYTE or content[3] != axes:
        raise StudyError(
            f"{found[0]}: not an IDX file of bytes with {axes} axes. It starts with {content[:4].hex(' ')}."
        )
    shape = struct.unpack(f">{axes}I", content[4:head])
    values = np.frombuffer(content, dtype=np.uint8, offset=head)
    if values.size != math.prod(shape):  # NumPy's product would wrap around
        raise StudyError(
            f"{found[0]}: the header says {' x '.join(map(str, shape))} bytes, the file holds {values.size}. "
            "Copy the file again."
        )
    return values.reshape(shape)
