"""The structure of TIFF and BMP files: all pixels that they speak of must be there, which their decoders pass over."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from UltrasoundMotionLib.errors import InputError

_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips and of tiles
_BYTES_OF_TYPE = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
_FORMAT_OF_TYPE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_MOST_PICTURES = 100_000


def check_tiff(file: Path) -> None:
    """Checks that every picture of a TIFF file lies within the file.

    Raises:
        InputError: it ends before the last one, or its structure is damaged.
    """
    data = file.read_bytes()
    try:
        for offset, count in _tiff_parts(data):
            if offset + count > len(data):
                raise InputError(f"{file}: truncated: pixels up to byte {offset + count}, {len(data)} found")
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: damaged or truncated") from error


def check_bmp(file: Path) -> None:
    """Checks that a BMP file is as long as its header says.

    Raises:
        InputError: it is shorter, or no BMP file.
    """
    data = file.read_bytes()
    if data[:2] != b"BM" or len(data) < 54:
        raise InputError(f"{file}: is not a BMP picture, or is truncated")
    offset, width, height, bits, compression = (
        *struct.unpack_from("<I", data, 10),
        *struct.unpack_from("<ii", data, 18),
        *struct.unpack_from("<HI", data, 28),
    )
    row = (abs(width) * bits + 31) // 32 * 4
    needed = offset + row * abs(height) if compression in (0, 3) else struct.unpack_from("<I", data, 2)[0]
    if len(data) < needed:
        raise InputError(f"{file}: truncated: pixels up to byte {needed}, {len(data)} found")


def _tiff_parts(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields (offset, bytes) of every strip or tile of every picture."""
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    (version,) = struct.unpack_from(order + "H", data, 2)
    big = {42: False, 43: True}[version]
    number, entry_bytes = ("Q", 20) if big else ("I", 12)
    (at,) = struct.unpack_from(order + number, data, 8 if big else 4)
    seen: set[int] = set()
    while at:
        if at in seen or len(seen) > _MOST_PICTURES:
            raise ValueError("a loop of pictures")
        seen.add(at)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
        first = at + (8 if big else 2)
        fields: dict[int, list[int]] = {}
        for place in range(first, first + count * entry_bytes, entry_bytes):
            tag, kind = struct.unpack_from(order + "HH", data, place)
            start, size = _place_of_value(data, order, number, place, kind)
            yield start, size
            if tag in (*_OFFSETS, *_COUNTS):
                fields[tag] = _numbers(data, order, kind, start, size)
        for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
            if offsets in fields:
                yield from zip(fields[offsets], fields[counts], strict=True)
        (at,) = struct.unpack_from(order + number, data, first + count * entry_bytes)


def _place_of_value(data: bytes, order: str, number: str, place: int, kind: int) -> tuple[int, int]:
    """Returns offset and bytes of the value of an entry; short values lie in the entry itself."""
    (count,) = struct.unpack_from(order + number, data, place + 4)
    size, inline = count * _BYTES_OF_TYPE.get(kind, 0), struct.calcsize("<" + number)
    start = place + 4 + inline
    if size > inline:
        (start,) = struct.unpack_from(order + number, data, start)
    return start, size


def _numbers(data: bytes, order: str, kind: int, start: int, size: int) -> list[int]:
    count = size // _BYTES_OF_TYPE[kind]
    return list(struct.unpack_from(f"{order}{count}{_FORMAT_OF_TYPE[kind]}", data, start))
