"""Frames to a file, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress


def frame_bytes(sequence: ImageSequence, progress: Progress) -> Iterator[bytes]:
    """The bytes of each frame in turn, little endian, in the sequence's own type.

    Raises:
        InputError: a frame cannot be read.
    """
    dtype = np.dtype(sequence.frames.dtype).newbyteorder("<")
    for index, frame in sequence.iterate():
        yield np.ascontiguousarray(frame.astype(dtype)).tobytes()
        progress(index + 1, len(sequence), "writing frames")


def write_packed(file: BinaryIO, chunks: Iterator[bytes], compressor) -> int:
    """Writes chunks through a zlib or bz2 compressor object; gives the number of bytes written."""
    written = 0
    for chunk in chunks:
        written += file.write(compressor.compress(chunk))
    return written + file.write(compressor.flush())
