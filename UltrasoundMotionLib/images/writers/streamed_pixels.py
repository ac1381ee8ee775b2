"""Streaming of frames to a file, one after another."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import numpy as np

from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress


class FrameChecksum:
    """Running checksum of the frames that were written, to compare with what a reader finds in the finished file."""

    def __init__(self, sequence: ImageSequence, dtype: np.dtype | None = None) -> None:
        self._shape = tuple(sequence.frames.shape)
        self._dtype = np.dtype(dtype or sequence.frames.dtype).newbyteorder("<")
        self._value = 0

    def add(self, data: bytes) -> None:
        """Adds the bytes of a frame, little endian."""
        self._value = zlib.crc32(data, self._value)

    def check(self, found: ImageSequence) -> None:
        """Compares the frames of a sequence with those added.

        Raises:
            OutputError: another shape, type or value.
        """
        if tuple(found.frames.shape) != self._shape or np.dtype(found.frames.dtype) != self._dtype:
            raise OutputError(f"{found.frames.shape} {found.frames.dtype}, written were {self._shape} {self._dtype}")
        value = 0
        for index in range(len(found)):
            value = zlib.crc32(np.ascontiguousarray(found.frames[index], dtype=self._dtype).tobytes(), value)
        if value != self._value:
            raise OutputError("other pixels than were written")


def frame_bytes(sequence: ImageSequence, progress: Progress, checksum: FrameChecksum) -> Iterator[bytes]:
    """Yields the bytes of each frame, little endian, in the type of the sequence; adds them to the checksum.

    Raises:
        InputError: a frame cannot be read.
    """
    dtype = np.dtype(sequence.frames.dtype).newbyteorder("<")
    for index, frame in sequence.iterate():
        data = np.ascontiguousarray(frame.astype(dtype)).tobytes()
        checksum.add(data)
        yield data
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
