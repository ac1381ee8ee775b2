"""Streaming of frames to a file, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress


def frame_bytes(sequence: ImageSequence, progress: Progress) -> Iterator[bytes]:
    """Yields the bytes of each frame, little endian, in the type of the sequence.

    Raises:
        InputError: a frame cannot be read.
    """
    dtype = np.dtype(sequence.frames.dtype).newbyteorder("<")
    for index, frame in sequence.iterate():
        yield np.ascontiguousarray(frame.astype(dtype)).tobytes()
        progress(index + 1, len(sequence), "writing frames")


class _Compressor(Protocol):
    """A compressor object of zlib."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def write_compressed(file: BinaryIO, chunks: Iterator[bytes], compressor: _Compressor) -> int:
    """Writes chunks through a compressor object of zlib; returns the number of bytes written."""
    written = 0
    for chunk in chunks:
        written += file.write(compressor.compress(chunk))
    return written + file.write(compressor.flush())
