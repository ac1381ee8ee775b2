"""Messages of OpenIGTLink by pyigtl: images in, points, transforms and texts out.

pyigtl packs and parses the messages; its own client and server are not used: they keep one message of each device and
so lose frames for a recording, never notice that the other side has closed the connection, and serve one client at a
time. Protocol: https://github.com/openigtlink/OpenIGTLink/tree/master/Documents/Protocol
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.images.colour import luminance
from UltrasoundMotionLib.live.checksum import crc64
from UltrasoundMotionLib.live.frame import LPS_FROM_RAS, LiveFrame

if TYPE_CHECKING:
    from pyigtl.messages import MessageBase

HEADER_BYTES = 58
_LARGEST_BODY_BYTES = 1 << 28
_KNOWN_VERSIONS = (1, 2, 3)
_HEADER = struct.Struct(">H12s20sIIQQ")
_CRC = struct.Struct(">Q")
_DEVICE_NAME_BYTES, _POINT_NAME_BYTES, _OWNER_BYTES = 20, 64, 20
_SEEN_COLOUR, _LOST_COLOUR = (0, 255, 0, 255), (255, 170, 0, 255)
SELECTED, UNSELECTED = "Selected", "Unselected"
"""Groups of points as Slicer's OpenIGTLinkIF has them (vtkMRMLIGTLConnectorNode): lost points are not selected."""


class NotOpenIGTLink(InputError):
    """The other side sends something else; the connection cannot go on."""


class DamagedMessage(InputError):
    """One message is damaged or of a kind that cannot be read; the next one can be."""


@dataclass(frozen=True)
class MessageHeader:
    """The header of a message: what pyigtl parses, and the checksum of the body."""

    fields: dict[str, Any]
    checksum: int

    @property
    def body_bytes(self) -> int:
        """The length of the body."""
        return int(self.fields["body_size"])


def require_pyigtl() -> None:
    """Raises MissingPackageError, which says how to get it, where pyigtl is not installed."""
    try:
        import pyigtl.messages  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            "live tracking needs pyigtl, which is not installed: `pip install pyigtl`, or the extra `live`"
        ) from None


def parse_header(data: bytes) -> MessageHeader:
    """Parses the 58 bytes of a header.

    Raises:
        NotOpenIGTLink: they are none.
    """
    from pyigtl.messages import MessageBase

    try:
        fields = MessageBase.parse_header(data)
    except (ValueError, struct.error):
        fields = {}
    kind = fields.get("message_type", "")
    if (
        fields.get("header_version") not in _KNOWN_VERSIONS
        or not (kind.isascii() and kind.isprintable() and kind)
        or fields["body_size"] > _LARGEST_BODY_BYTES
    ):
        raise NotOpenIGTLink("what arrives is no OpenIGTLink message")
    return MessageHeader(fields, _CRC.unpack(data[-_CRC.size :])[0])


def parse_body(header: MessageHeader, body: bytes) -> MessageBase | None:
    """Parses a whole message; returns None for a type that pyigtl does not know.

    A checksum of 0 counts as none: senders may leave it out.

    Raises:
        DamagedMessage: the checksum is wrong, or the content does not fit its type.
    """
    from pyigtl.messages import MessageBase

    kind, device = header.fields["message_type"], header.fields["device_name"]
    message = MessageBase.create_message(kind)
    if message is None:
        return None
    if header.checksum and crc64(body) != header.checksum:
        raise DamagedMessage(f"a message {kind} of {device or 'no name'} is damaged: its checksum is wrong")
    try:
        message.unpack(header.fields, body)
    except Exception as error:  # whatever pyigtl meets in a content that does not fit, or that it does not know
        raise DamagedMessage(f"a message {kind} of {device or 'no name'} cannot be read: {error}") from error
    return message


def image_of(message: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels (H, W), uint8 or float32, of an IMAGE message, and its matrix (4, 4) from indices to RAS mm.

    OpenIGTLink's first index runs along a row; pyigtl's array is (k, j, i[, component]).

    Raises:
        DamagedMessage: a volume of several slices, an empty image, values or a matrix that are not finite.
    """
    image = np.asarray(message.image)
    where = f"image {message.device_name or 'no name'}"
    if image.shape[0] != 1 or 0 in image.shape:
        raise DamagedMessage(
            f"{where}: {' x '.join(map(str, image.shape[2::-1]))} pixels; a single slice is needed: send 2D images"
        )
    pixels = image[0]
    pixels = luminance(pixels) if pixels.ndim == 3 else pixels
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
        if not np.isfinite(pixels).all():
            raise DamagedMessage(f"{where}: holds values that are not finite")
    matrix = np.asarray(message.ijk_to_world_matrix, dtype=np.float64)
    if message.world_coordinate_system == "lps":
        matrix = LPS_FROM_RAS @ matrix
    steps = np.linalg.norm(matrix[:3, :2], axis=0)
    if not np.isfinite(matrix).all() or steps.min() <= 0:
        raise DamagedMessage(f"{where}: its matrix gives a pixel no size")
    return pixels, matrix


def packed(message: Any) -> bytes:
    """Packs a message of header version 1 as `message.pack()` does, with a checksum that is quick everywhere."""
    body = message._pack_content()
    seconds = int(message.timestamp)
    fraction = min(int((message.timestamp - seconds) * 2**32), 2**32 - 1)
    kind, device = message.message_type.encode(), message.device_name.encode()
    return _HEADER.pack(1, kind, device, seconds, fraction, len(body), crc64(body)) + body


def image_message(pixels: np.ndarray, ijk_to_ras: np.ndarray, timestamp_s: float, device: str) -> MessageBase:
    """Makes an IMAGE of one slice (H, W)."""
    from pyigtl.messages import ImageMessage

    return ImageMessage(
        pixels[None],
        ijk_to_world_matrix=ijk_to_ras,
        world_coordinate_system="ras",
        timestamp=timestamp_s,
        device_name=_shortened(device, _DEVICE_NAME_BYTES),
    )


def point_message(
    frame: LiveFrame,
    labels: Sequence[str],
    positions_px: np.ndarray,
    visible: np.ndarray,
    *,
    timestamp_s: float,
    device: str,
) -> MessageBase:
    """Makes a POINT message of all points in RAS mm; lost ones keep their best guess and are in another group."""
    from pyigtl.messages import PointMessage

    return PointMessage(
        positions=frame.pixels_to_ras(positions_px),
        names=[_shortened(label, _POINT_NAME_BYTES) for label in labels],
        groups=[SELECTED if seen else UNSELECTED for seen in visible],
        rgba_colors=[_SEEN_COLOUR if seen else _LOST_COLOUR for seen in visible],
        owners=_shortened(frame.device, _OWNER_BYTES),
        timestamp=timestamp_s,
        device_name=device,
    )


def transform_message(position_ras: np.ndarray, *, timestamp_s: float, device: str) -> MessageBase:
    """Makes a TRANSFORM message that moves the origin to a point."""
    from pyigtl.messages import TransformMessage

    matrix = np.eye(4)
    matrix[:3, 3] = position_ras
    return TransformMessage(matrix, timestamp=timestamp_s, device_name=_shortened(device, _DEVICE_NAME_BYTES))


def string_message(text: str, *, timestamp_s: float, device: str) -> MessageBase:
    """Makes a STRING message of an ASCII text."""
    from pyigtl.messages import StringMessage

    return StringMessage(text, timestamp=timestamp_s, device_name=device)


def _shortened(text: str, size: int) -> str:
    """Cuts a text so that it fits into so many bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")
