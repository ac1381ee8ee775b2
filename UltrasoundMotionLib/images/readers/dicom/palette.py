"""Palettes of PALETTE COLOR images (DICOM PS3.3 C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9.2), whole or segmented."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    import pydicom

_COLOURS = ("Red", "Green", "Blue")
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
_DEEPEST = 1


@dataclass(frozen=True)
class Palette:
    """The colours of indices: index `first` and all below have the first colour, those after the last have the last.

    Attributes:
        first: the index of the first colour.
        colours: (N, 3) uint8.
    """

    first: int
    colours: np.ndarray

    def apply(self, indices: np.ndarray) -> np.ndarray:
        """Returns the colours (..., 3) uint8 of indices (...)."""
        return self.colours[np.clip(indices.astype(np.int64) - self.first, 0, len(self.colours) - 1)]


def read_palette(path: Path, dataset: pydicom.Dataset) -> Palette:
    """Reads the palette of a file.

    Raises:
        InputError: no palette, or one whose tables do not fit their descriptors.
    """
    tables = [_table(path, dataset, colour) for colour in _COLOURS]
    firsts, lengths = {first for first, _ in tables}, {len(table) for _, table in tables}
    if len(firsts) > 1 or len(lengths) > 1:
        raise InputError(f"{path}: its red, green and blue palettes differ in size or in their first index")
    values = np.stack([table for _, table in tables], axis=-1)
    # 16-bit entries are scaled by their high byte; entries of 8 bits may be stored in words, whatever the descriptor
    return Palette(firsts.pop(), (values >> 8 if values.max() > 255 else values).astype(np.uint8))


def _table(path: Path, dataset: pydicom.Dataset, colour: str) -> tuple[int, np.ndarray]:
    """Returns the first index and the entries (N,) of one colour."""
    name = f"{colour}PaletteColorLookupTable"
    descriptor = dataset.get(f"{name}Descriptor")
    if descriptor is None or len(descriptor) != 3:
        raise InputError(f"{path}: is PALETTE COLOR without a {colour.lower()} palette")
    count, first, bits = (int(value) for value in descriptor)
    count = count % 2**16 or 2**16
    if bits not in (8, 16):
        raise InputError(f"{path}: its palette has entries of {bits} bits, expected 8 or 16")
    # the value representation decides whether pydicom read the first index as signed; the standard says: as the pixels
    first = (first + 2**15) % 2**16 - 2**15 if dataset.get("PixelRepresentation") else first % 2**16
    little_endian = bool(dataset.original_encoding[1])
    whole, segmented = dataset.get(f"{name}Data"), dataset.get(f"Segmented{name}Data")
    data = whole if whole not in (None, b"") else segmented
    if data is None or len(data) == 0:
        raise InputError(f"{path}: is PALETTE COLOR without a {colour.lower()} palette")
    if whole in (None, b""):
        # entries of 8 bits are stored in bytes or in words: the way is right that gives the number of entries
        for width in (1, 2) if bits == 8 else (2,):
            entries = _expanded(_words(data, width, little_endian), count, width)
            if entries is not None:
                return first, entries
        raise InputError(f"{path}: its segmented {colour.lower()} palette does not give {count} entries")
    if len(data) >= 2 * count:
        return first, _words(data, 2, little_endian)[:count]
    if len(data) >= count and bits == 8:
        if not little_endian:  # two entries in a big-endian word
            data = _words(data, 2, little_endian).astype("<u2").tobytes()
        return first, np.frombuffer(data[:count], dtype=np.uint8).astype(np.uint16)
    raise InputError(f"{path}: its {colour.lower()} palette holds {len(data)} bytes, too few for {count} entries")


def _words(data: bytes, width: int, little_endian: bool) -> np.ndarray:
    order = "<" if little_endian else ">"
    if width == 1 and not little_endian:
        return np.frombuffer(_words(data, 2, False).astype("<u2").tobytes(), dtype=np.uint8).astype(np.int64)
    return np.frombuffer(data[: len(data) // width * width], dtype=f"{order}u{width}").astype(np.int64)


def _expanded(words: np.ndarray, count: int, width: int) -> np.ndarray | None:
    """Returns the entries of a segmented palette, or None if its segments do not give `count` of them."""
    entries: list[int] = []
    end = _expand(words.tolist(), 0, len(words), entries, width=width, count=count)
    padding = 1 if width == 1 else 0
    if end is None or len(entries) != count or len(words) - end > padding:
        return None
    return np.array(entries, dtype=np.uint16)


def _expand(
    words: list[int], at: int, segments: int, entries: list[int], *, width: int, count: int, depth: int = 0
) -> int | None:
    """Appends the entries of at most `segments` segments that start at word `at`; returns the end, or None."""
    for _ in range(segments):
        if at + 2 > len(words) or len(entries) >= count:
            break
        kind, length = words[at], words[at + 1]
        if kind == _DISCRETE and at + 2 + length <= len(words):
            entries += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif kind == _LINEAR and entries and at + 3 <= len(words):
            last, value = entries[-1], words[at + 2]
            entries += [round(last + (value - last) * step / length) for step in range(1, length + 1)]
            at += 3
        elif kind == _INDIRECT and depth < _DEEPEST:
            # the number of segments to copy, and the byte at which they begin, low word first
            parts = 2 if width == 2 else 4
            if at + 2 + parts > len(words):
                return None
            offset = sum(word << (8 * width * place) for place, word in enumerate(words[at + 2 : at + 2 + parts]))
            if _expand(words, offset // width, length, entries, width=width, count=count, depth=depth + 1) is None:
                return None
            at += 2 + parts
        else:
            return None
    return at
