"""Frames stored as one block of numbers: memory-mapped if uncompressed, else decompressed once."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import check_single_precision, grey_dtype, luminance
from UltrasoundMotionLib.images.readers.decompression import LARGEST_STEP_BYTES, decompress_stream

MAXIMUM_BYTES_IN_MEMORY = 256 * 2**20
_MOST_BYTES_PER_BYTE = {"raw": 1, "text": 1, "gzip": 1040, "zlib": 1040, "bzip2": 30_000}
"""The most that a byte of a file can stand for: a header that claims more cannot be true. Deflate reaches 1032."""


@dataclass(frozen=True)
class PixelBlock:
    """The location and layout of the pixels in a file.

    Attributes:
        path: the file with the pixels (not always the one that was opened).
        offset: byte at which they start.
        dtype: type of one component, with its byte order.
        shape: slowest axis first, components (if any) last.
        encoding: raw, gzip, zlib, bzip2 or text.
        skip: bytes of the decompressed stream before the pixels (a format that compresses its header too).
    """

    path: Path
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    encoding: str = "raw"
    skip: int = 0

    @property
    def size_bytes(self) -> int:
        """The size of the decompressed pixels."""
        return math.prod(self.shape) * self.dtype.itemsize


Pixels = Callable[[], np.ndarray]
"""Returns the whole block as an array: the same one if it is in memory, otherwise a new memory map of its file, so that
the pages that were read are released with it. A permanent map would in the end hold the whole file in memory."""


class StoredFrames:
    """Frames of stored pixels (T, H, W) or (T, H, W, C), a `FrameSource` and `ColourFrameSource`."""

    def __init__(self, pixels: Pixels, slope: float = 1.0, intercept: float = 0.0) -> None:
        self._pixels = pixels
        self._slope, self._intercept = slope, intercept
        self._scaled = (slope, intercept) != (1.0, 0.0)
        block = pixels()
        self.shape = (int(block.shape[0]), int(block.shape[1]), int(block.shape[2]))
        self.dtype = np.dtype(np.float32) if self._scaled else grey_dtype(block.dtype)
        self._coloured = block.ndim == 4 and block.shape[3] >= 3 and block.dtype == np.uint8

    def __getitem__(self, index: int) -> np.ndarray:
        stored = self._pixels()[index]
        check_single_precision(f"frame {index}", stored)
        grey = luminance(stored if stored.ndim == 3 else stored[..., None])
        if self._scaled:
            return grey.astype(np.float32) * np.float32(self._slope) + np.float32(self._intercept)
        return np.array(grey, dtype=self.dtype)

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns frame `index` as RGB (H, W, 3) uint8, or None if the pixels are not 8-bit colour."""
        return np.array(self._pixels()[index][..., :3]) if self._coloured else None


def load_pixels(named: Path, block: PixelBlock) -> Pixels:
    """Memory-maps the pixels of a block, or decompresses them in memory.

    Compressed pixels of more than 256 MB are decompressed into a temporary file, which is deleted with the result.

    Args:
        named: the path that the user gave, for messages.
        block: location and layout of the pixels.

    Raises:
        InputError: the file is missing, shorter than its header declares, or its compression is damaged.
    """
    try:
        _check_claim(named, block)
        if block.encoding == "text":
            return _in_memory(_text_pixels(named, block))
        if block.encoding == "raw":
            return partial(np.memmap, block.path, dtype=block.dtype, mode="r", offset=block.offset, shape=block.shape)
        if block.size_bytes > MAXIMUM_BYTES_IN_MEMORY:
            # it lives as long as the pixels do
            file = tempfile.TemporaryFile(prefix="ultrasound-motion-")  # noqa: SIM115
            _check_length(named, sum(file.write(chunk) for chunk in _decompressed(named, block)), block)
            file.flush()
            return partial(np.memmap, file, dtype=block.dtype, mode="r", shape=block.shape)
        data = b"".join(_decompressed(named, block))
        _check_length(named, len(data), block)
        return _in_memory(np.frombuffer(data, dtype=block.dtype, count=math.prod(block.shape)).reshape(block.shape))
    except (FileNotFoundError, ValueError):  # ValueError: an impossible file name
        raise InputError(f"{named}: its pixel file {block.path.name!r} is missing") from None
    except OSError as error:
        raise InputError(f"{named}: cannot be read: {error.strerror or error}") from error


def check_pixels(named: Path, block: PixelBlock) -> None:
    """Reads the pixels of a block once, a part at a time: they are whole, undamaged and finite.

    Raises:
        InputError: as `load_pixels`, or values that are not finite.
    """
    try:
        _check_claim(named, block)
        _check_memory(named, block)
        if block.encoding == "text":
            count_not_finite = int((~np.isfinite(_text_pixels(named, block))).sum())
        elif block.encoding == "raw":
            count_not_finite = _not_finite_in_file(block) if block.dtype.kind == "f" else 0
        else:
            count_not_finite = _not_finite_in_stream(named, block)
    except (FileNotFoundError, ValueError):
        raise InputError(f"{named}: its pixel file {block.path.name!r} is missing") from None
    except OSError as error:
        raise InputError(f"{named}: cannot be read: {error.strerror or error}") from error
    if count_not_finite:
        raise InputError(f"{named}: holds {count_not_finite} values that are not finite")


def _not_finite_in_file(block: PixelBlock) -> int:
    count, found, step = math.prod(block.shape), 0, LARGEST_STEP_BYTES // block.dtype.itemsize
    for start in range(0, count, step):  # a new map for every part, so that its memory is released
        pixels = np.memmap(block.path, dtype=block.dtype, mode="r", offset=block.offset, shape=(count,))
        found += int((~np.isfinite(pixels[start : start + step])).sum())
    return found


def _not_finite_in_stream(named: Path, block: PixelBlock) -> int:
    size, found, seen, rest = block.dtype.itemsize, 0, 0, b""
    for chunk in _decompressed(named, block):
        seen += len(chunk)
        data = rest + chunk
        whole = len(data) // size * size
        if block.dtype.kind == "f":
            found += int((~np.isfinite(np.frombuffer(data[:whole], dtype=block.dtype))).sum())
        rest = data[whole:]
    _check_length(named, seen, block)
    return found


def _check_claim(named: Path, block: PixelBlock) -> None:
    """Compares what the header claims with the length of the file, before anything is read or allocated.

    Raises:
        InputError: the file is shorter, or longer by a row of pixels or more; a compressed file that could not hold so
            much.
    """
    stored = block.path.stat().st_size - block.offset
    if block.encoding == "raw":
        _check_length(named, stored, block)
        row = block.dtype.itemsize * math.prod(block.shape[-1:])
        if stored - block.size_bytes >= max(row, 16):
            raise InputError(
                f"{named}: damaged: its header declares {block.size_bytes} bytes of pixels {block.shape}, "
                f"{stored} found"
            )
    elif block.encoding == "text":
        _check_length(named, (stored + 1) // 2, block, math.prod(block.shape))
    elif block.size_bytes > max(stored, 0) * _MOST_BYTES_PER_BYTE[block.encoding]:
        raise InputError(
            f"{named}: truncated: its header declares {block.size_bytes} bytes of pixels {block.shape}, "
            f"which {max(stored, 0)} compressed bytes cannot hold"
        )


def _check_memory(named: Path, block: PixelBlock) -> None:
    """Checks that an image that is read as a whole fits into the memory of this machine.

    Raises:
        InputError: it does not.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return
    if block.size_bytes > memory > 0:
        raise InputError(
            f"{named}: {block.size_bytes / 1e9:.4g} GB of pixels {block.shape} do not fit into "
            f"{memory / 1e9:.3g} GB of memory"
        )


def _in_memory(pixels: np.ndarray) -> Pixels:
    return lambda: pixels


def frames_first(pixels: Pixels, axis: int) -> Pixels:
    """Moves the time axis `axis` to the front, so that each frame is contiguous.

    A file with time as its fastest axis would be read completely for every frame, so it is transposed once: in memory,
    or in a temporary file if large.
    """
    if axis == 0:
        return pixels
    block = np.moveaxis(pixels(), axis, 0)
    if block.nbytes <= MAXIMUM_BYTES_IN_MEMORY:
        return _in_memory(np.ascontiguousarray(block))
    file = tempfile.TemporaryFile(prefix="ultrasound-motion-")  # noqa: SIM115 - it lives as long as the pixels do
    file.truncate(block.nbytes)
    transposed = partial(np.memmap, file, dtype=block.dtype, shape=block.shape)
    rows = max(1, 64 * 2**20 // (block.nbytes // block.shape[1]))
    for start in range(0, block.shape[1], rows):  # new maps for every part, so that its memory is released
        transposed(mode="r+")[:, start : start + rows] = np.moveaxis(pixels(), axis, 0)[:, start : start + rows]
    return partial(transposed, mode="r")


def _check_length(named: Path, found: int, block: PixelBlock, expected: int | None = None) -> None:
    if found < (block.size_bytes if expected is None else expected):
        unit = "bytes of pixels" if expected is None else "pixel values"
        raise InputError(
            f"{named}: truncated: its header declares {expected or block.size_bytes} {unit} {block.shape}, "
            f"{max(found, 0)} found"
        )


def _decompressed(named: Path, block: PixelBlock) -> Iterator[bytes]:
    """Yields decompressed chunks of the pixels, and reads on to the checksum at the end of the file.

    Raises:
        InputError: damaged, cut before its end, or more pixels than the block by a row or more.
    """
    skip, wanted = block.skip, block.size_bytes
    tail = max(block.dtype.itemsize * math.prod(block.shape[-1:]), 16)
    with block.path.open("rb") as file:
        file.seek(block.offset)
        for data in decompress_stream(named, file, block.encoding):
            if skip >= len(data):
                skip -= len(data)
                continue
            if wanted > 0:
                yield data[skip : skip + wanted]
            wanted -= len(data) - skip
            skip = 0
            if -wanted >= tail:
                raise InputError(
                    f"{named}: damaged: its header declares {block.size_bytes} bytes of pixels {block.shape}, "
                    "more found"
                )


def _text_pixels(named: Path, block: PixelBlock) -> np.ndarray:
    with block.path.open("rb") as file:
        file.seek(block.offset)
        words = file.read().split()
    count = math.prod(block.shape)
    _check_length(named, len(words), block, count)
    if len(words) > count:
        raise InputError(f"{named}: damaged: its header declares {count} pixel values, {len(words)} found")
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{named}: its pixels are not numbers: {error}") from error
    if block.dtype.kind in "iu":
        limits = np.iinfo(block.dtype)
        wrong = np.flatnonzero(~((values >= limits.min) & (values <= limits.max) & (values == np.trunc(values))))
        if wrong.size:
            word = words[wrong[0]].decode("latin-1")[:40]
            raise InputError(
                f"{named}: its pixel value {word} does not fit its type, whole numbers from {limits.min} to "
                f"{limits.max}"
            )
    return values.astype(block.dtype).reshape(block.shape)
