"""Writer of NRRD files frame by frame, compressed and read back, for all that lies over time on one grid."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.images.readers.nrrd import nrrd_header, pixel_block
from UltrasoundMotionLib.images.readers.stored_frames import load_pixels
from UltrasoundMotionLib.images.writers.streamed_pixels import write_compressed
from UltrasoundMotionLib.progress import Progress

_GZIP, _LEVEL = zlib.MAX_WBITS | 16, 4


def write_nrrd_frames(
    path: Path,
    header: Iterable[str],
    count: int,
    array_of: Callable[[int], np.ndarray],
    *,
    dtype: np.dtype,
    content: str,
    progress: Progress,
) -> None:
    """Writes frames one after another as one gzip-compressed NRRD file, and compares what is read back by checksums.

    Args:
        header: its lines, in order; little endian, gzip, the frames along the last axis.
        count: number of frames.
        array_of: returns the values of a frame; called once for each, in order.
        dtype: of the stored values.
        content: what the frames hold, for messages: "frames", "displacements".

    Raises:
        OutputError: the file cannot be written.
    """
    checksums: list[int] = []

    def chunks() -> Iterator[bytes]:
        for frame in range(count):
            data = np.ascontiguousarray(array_of(frame), dtype=dtype.newbyteorder("<")).tobytes()
            checksums.append(zlib.crc32(data))
            yield data
            progress(frame + 1, count, f"writing {content}")

    def check(written: Path) -> None:
        stored_header = nrrd_header(written)
        stored = load_pixels(written, pixel_block(stored_header, tuple(reversed(stored_header.sizes))))()
        if [zlib.crc32(np.ascontiguousarray(frame).tobytes()) for frame in stored] != checksums:
            raise OutputError(f"other {content} than were written")

    with atomic_output(path, read_back=check) as temporary, temporary.open("wb") as file:
        file.write(("\n".join(header) + "\n\n").encode())
        write_compressed(file, chunks(), zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP))


def nrrd_vector(values: object) -> str:
    """Formats numbers as NRRD writes a vector, `(1.0,0.0,0.0)`."""
    return "(" + ",".join(repr(float(value)) for value in np.ravel(np.asarray(values))) + ")"
