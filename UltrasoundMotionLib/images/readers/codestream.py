"""The header of a compressed picture: JPEG (ISO/IEC 10918-1), JPEG-LS (14495-1) or JPEG 2000 (15444-1).

A decoder trusts the DICOM attributes beside the picture; the picture itself says its size, and often its colour space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColourSpace = Literal["RGB", "YBR"]
_START_OF_IMAGE, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_CODESTREAM = b"\xff\x4f\xff\x51"
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}
_JPEG_LS, _LOSSLESS = 0xF7, (0xC3, 0xC7, 0xCB, 0xCF)
_NO_TRANSFORM = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


@dataclass(frozen=True)
class Codestream:
    """The header of a compressed picture: its kind, size and colour space.

    Attributes:
        kind: `JPEG`, `JPEG-LS` or `JPEG 2000`.
        width, height, components: of the picture.
        colour: the colour space that its components have once they are decoded; None if it does not say.
        complete: True if the picture ends with its end marker.
    """

    kind: Literal["JPEG", "JPEG-LS", "JPEG 2000"]
    width: int
    height: int
    components: int
    colour: ColourSpace | None
    complete: bool


def read_codestream(data: bytes) -> Codestream | None:
    """Reads the header of a compressed picture; None if it is of another kind or damaged."""
    try:
        if data.startswith(_START_OF_IMAGE):
            return _read_jpeg(data)
        at = data[:4096].find(_CODESTREAM)  # a JP2 file has boxes before it
        return _read_jpeg_2000(data, at) if at >= 0 else None
    except IndexError:
        return None


def without_colour_transform(data: bytes) -> bytes:
    """Returns a JPEG stream whose decoders give the components as they are stored.

    Decoders follow the JFIF marker or Adobe's marker, each in its own way; here they are replaced by one marker of
    Adobe's that says: no transform.
    """
    kept = [_START_OF_IMAGE, _NO_TRANSFORM]
    for marker, start, end in _segments(data):
        if marker not in (0xE0, 0xEE):
            kept.append(data[start:end])
        if marker == 0xDA:
            kept.append(data[end:])
    return b"".join(kept)


def _segments(data: bytes) -> list[tuple[int, int, int]]:
    """Lists the marker segments (marker, start, end) up to the first scan."""
    found, at = [], 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:  # fill bytes
            at += 1
        if data[at] != 0xFF:
            raise IndexError(f"no marker at byte {at}")
        marker = data[at + 1]
        length = 0 if marker in _NO_LENGTH else int.from_bytes(data[at + 2 : at + 4], "big")
        if marker not in _NO_LENGTH and (length < 2 or at + 2 + length > len(data)):
            raise IndexError(f"the segment at byte {at} has no end")
        found.append((marker, at, at + 2 + length))
        at += 2 + length
        if marker == 0xDA:
            return found


def _read_jpeg(data: bytes) -> Codestream | None:
    frame, adobe, jfif = b"", None, False
    kind = 0
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker in _START_OF_FRAME and not frame:
            kind, frame = marker, body
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker == 0xE0 and body.startswith(b"JFIF"):
            jfif = True
    if not frame:
        return None
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    components = frame[5]
    parts = [frame[6 + 3 * part : 9 + 3 * part] for part in range(components)]
    colour = _jpeg_colour(kind, parts, adobe, jfif) if components == 3 and kind != _JPEG_LS else None
    complete = data.rstrip(b"\x00\xff").endswith(b"\xd9")
    return Codestream("JPEG-LS" if kind == _JPEG_LS else "JPEG", width, height, components, colour, complete)


def _jpeg_colour(kind: int, parts: list[bytes], adobe: int | None, jfif: bool) -> ColourSpace | None:
    """Returns the colour space of three components; components that are subsampled cannot be RGB."""
    if len({part[1] for part in parts}) > 1:
        return "YBR"
    if bytes(part[0] for part in parts) in (b"RGB", b"rgb"):
        return "RGB"
    if adobe is not None:
        return "YBR" if adobe == 1 else "RGB"
    return "YBR" if jfif and kind not in _LOSSLESS else None


def _read_jpeg_2000(data: bytes, at: int) -> Codestream:
    size = data[at + 4 : at + 4 + int.from_bytes(data[at + 4 : at + 6], "big")]
    right, bottom, left, top = (int.from_bytes(size[4 + 4 * part : 8 + 4 * part], "big") for part in range(4))
    components = int.from_bytes(size[36:38], "big")
    following = at + 4 + len(size)
    transform = False
    while data[following] == 0xFF and data[following + 1] not in (0x90, 0x93):
        if data[following + 1] == 0x52:  # coding style: the last byte of its general part is the component transform
            transform = data[following + 8] == 1
        following += 2 + int.from_bytes(data[following + 2 : following + 4], "big")
    complete = data.rstrip(b"\x00\xff").endswith(_END_OF_IMAGE)
    colour: ColourSpace | None = "RGB" if transform and components == 3 else None
    return Codestream("JPEG 2000", right - left, bottom - top, components, colour, complete)
