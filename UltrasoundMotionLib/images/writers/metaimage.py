"""Writer of MetaImage sequences (.mha) in the layout of PLUS' .igs.mha: two image axes, a list axis, frame fields."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.axes import SPACING_KEY
from UltrasoundMotionLib.images.readers.header_fields import TIMESTAMP, times_from_timestamps
from UltrasoundMotionLib.images.readers.metaimage import read_metaimage
from UltrasoundMotionLib.images.writers.streamed_pixels import FrameChecksum, frame_bytes, write_compressed
from UltrasoundMotionLib.progress import Progress

_SIZE_FIELD = "CompressedDataSize = "
_SIZE_DIGITS = 20


def write_metaimage(path: Path, sequence: ImageSequence, *, compress: bool, progress: Progress) -> None:
    """Writes a sequence with spacing, position, direction (LPS), per-frame fields, and times as PLUS' Timestamp.

    Readers take times relative to the first frame. Unknown spacing is written as 1.0 and marked unknown.

    Raises:
        OutputError: cannot be written.
        InputError: a frame cannot be read.
    """
    checksum = FrameChecksum(sequence)
    with (
        atomic_output(path, read_back=lambda written: checksum.check(read_metaimage(written))) as temporary,
        temporary.open("wb") as file,
    ):
        header = "\n".join(_header(sequence, compress)) + "\n"
        file.write(header.encode())
        chunks = frame_bytes(sequence, progress, checksum)
        if compress:
            written = write_compressed(file, chunks, zlib.compressobj(4))
            # the length is known only now; the header has space for it
            file.seek(header.index(_SIZE_FIELD) + len(_SIZE_FIELD))
            file.write(f"{written:<{_SIZE_DIGITS}d}".encode())
        else:
            for chunk in chunks:
                file.write(chunk)


def _header(sequence: ImageSequence, compress: bool) -> Iterator[str]:
    width, height = sequence.frame_size
    yield "ObjectType = Image"
    yield "NDims = 3"
    yield "BinaryData = True"
    yield "BinaryDataByteOrderMSB = False"
    yield f"CompressedData = {compress}"
    if compress:
        yield _SIZE_FIELD + " " * _SIZE_DIGITS
    yield "TransformMatrix = " + _numbers(sequence.direction.T.ravel())
    yield "Offset = " + _numbers(sequence.origin_mm)
    yield "CenterOfRotation = 0 0 0"
    yield "ElementSpacing = " + _numbers([*(sequence.spacing_mm or (1.0, 1.0)), 1.0])
    yield f"DimSize = {width} {height} {len(sequence)}"
    yield "Kinds = domain domain list"
    yield f"{SPACING_KEY} = {'unknown' if sequence.spacing_mm is None else 'known'}"
    fields = dict(sequence.frame_fields)
    if sequence.times_s is not None:
        stored, _ = times_from_timestamps(fields)
        if stored is None or not np.allclose(stored, sequence.times_s - sequence.times_s[0], rtol=0, atol=1e-9):
            fields[TIMESTAMP] = tuple(repr(float(time)) for time in sequence.times_s)
    else:
        fields.pop(TIMESTAMP, None)
    for index in range(len(sequence)):
        for name, entries in fields.items():
            if entries[index]:
                yield f"Seq_Frame{index:04d}_{name} = {' '.join(entries[index].splitlines())}"
    yield f"ElementType = {'MET_UCHAR' if np.dtype(sequence.frames.dtype) == np.uint8 else 'MET_FLOAT'}"
    yield "ElementDataFile = LOCAL"


def _numbers(values: Iterable[float]) -> str:
    return " ".join(repr(float(value)) for value in values)
