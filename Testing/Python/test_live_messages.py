"""OpenIGTLink messages: images of every kind in, points as the protocol lays them out, and what is no message."""

import struct
import time

import numpy as np
import pytest
from pyigtl.messages import CRC64, ImageMessage, MessageBase

from live_bench import Scanner, speckle
from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.live import openigtlink
from UltrasoundMotionLib.live.checksum import crc64, numpy_crc64
from UltrasoundMotionLib.live.connection import MessageStream, parse_address
from UltrasoundMotionLib.live.frame import FrameClock, LiveFrame
from UltrasoundMotionLib.live.latency import Latency, LatencyStatistics
from UltrasoundMotionLib.live.openigtlink import (
    DamagedMessage,
    NotOpenIGTLink,
    image_message,
    image_of,
    packed,
    parse_body,
    parse_header,
    point_message,
    require_pyigtl,
    string_message,
    transform_message,
)


def unpacked(data: bytes):
    return parse_body(parse_header(data[:58]), data[58:])


def igtl_image(
    pixels: np.ndarray, matrix: np.ndarray, *, endian: int = 2, coordinates: int = 1, stamp: float = 1000.5
) -> bytes:
    """An IMAGE as the protocol's page lays it out (Documents/Protocol/image.md), not made by pyigtl."""
    rows, columns = pixels.shape[:2]
    components = 1 if pixels.ndim == 2 else pixels.shape[2]
    kinds = {"uint8": 3, "int16": 4, "uint16": 5, "float32": 10}
    centre = matrix @ [(columns - 1) / 2, (rows - 1) / 2, 0, 1]
    body = struct.pack(">HBBBB3H", 1, components, kinds[pixels.dtype.name], endian, coordinates, columns, rows, 1)
    body += struct.pack(">12f", *matrix[:3, 0], *matrix[:3, 1], *matrix[:3, 2], *centre[:3])
    body += struct.pack(">6H", 0, 0, 0, columns, rows, 1)
    body += pixels.astype(pixels.dtype.newbyteorder(">" if endian == 1 else "<")).tobytes()
    seconds = int(stamp)
    fraction = int((stamp - seconds) * 2**32)
    return struct.pack(">H12s20sIIQQ", 1, b"IMAGE", b"Probe", seconds, fraction, len(body), CRC64(body)) + body


OBLIQUE = np.array([[0.0, 0.3, 0, 10], [0.2, 0, 0, -20], [0, 0, -1, 5], [0, 0, 0, 1]])


@pytest.mark.parametrize("endian", [1, 2])
@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "float32"])
def test_an_image_of_another_program_is_read(kind, endian):
    pixels = np.arange(12).reshape(3, 4).astype(kind)
    message = unpacked(igtl_image(pixels, OBLIQUE, endian=endian))
    found, matrix = image_of(message)
    assert found.dtype == (np.uint8 if kind == "uint8" else np.float32)
    np.testing.assert_array_equal(found, pixels)
    np.testing.assert_allclose(matrix, OBLIQUE, atol=1e-5)
    assert message.timestamp == pytest.approx(1000.5, abs=1e-6)


def test_lps_becomes_ras():
    _, matrix = image_of(unpacked(igtl_image(np.zeros((3, 4), np.uint8), OBLIQUE, coordinates=2)))
    np.testing.assert_allclose(matrix, np.diag([-1, -1, 1, 1]) @ OBLIQUE, atol=1e-5)


def test_colour_becomes_luminance():
    colour = np.zeros((3, 4, 3), np.uint8)
    colour[..., 1] = 100
    assert image_of(unpacked(igtl_image(colour, np.eye(4))))[0].max() == 59


def test_what_we_send_as_an_image_is_what_the_protocol_says():
    pixels = speckle(8, 6)
    ours = image_message(pixels, OBLIQUE, 1000.5, "Probe").pack()
    theirs = igtl_image(pixels, OBLIQUE)
    assert ours[58 + 12 :] == theirs[58 + 12 :]
    assert ours[58:70] == theirs[58:70]


def live_frame(pixels: np.ndarray, matrix: np.ndarray = OBLIQUE) -> LiveFrame:
    return LiveFrame(pixels, matrix, 0, 0.0, 1000.5, time.time(), time.monotonic(), "Probe")


def test_points_are_laid_out_as_the_protocol_says():
    frame = live_frame(speckle(20, 10))
    data = point_message(
        frame,
        ["A", "B\u00e9"],
        np.array([[3.0, 4.0], [5.0, 6.0]]),
        np.array([True, False]),
        timestamp_s=9.0,
        device="D",
    ).pack()
    assert data[2:14].rstrip(b"\0") == b"POINT"
    assert len(data) == 58 + 2 * 136
    layout = struct.Struct(">64s32s4B3ff20s")
    first, second = (layout.unpack(data[58 + 136 * number :][:136]) for number in range(2))
    np.testing.assert_allclose(first[6:9], OBLIQUE[:3] @ [3, 4, 0, 1], rtol=1e-6)
    assert first[0].rstrip(b"\0") == b"A" and first[1].rstrip(b"\0") == b"Selected"
    assert second[0].rstrip(b"\0").decode() == "B\u00e9" and second[1].rstrip(b"\0") == b"Unselected"
    assert first[-1].rstrip(b"\0") == b"Probe"


def test_a_transform_moves_the_origin_to_the_point():
    message = unpacked(transform_message(np.array([1.0, 2.0, 3.0]), timestamp_s=9.0, device="P1ToRas").pack())
    np.testing.assert_array_equal(message.matrix, [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])


def test_points_go_to_space_and_back():
    frame = live_frame(speckle(20, 10))
    points = np.array([[3.5, 4.25], [0.0, 9.0]])
    np.testing.assert_allclose(frame.ras_to_pixels(frame.pixels_to_ras(points)), points, atol=1e-9)
    sequence = frame.as_sequence()
    np.testing.assert_allclose(sequence.pixels_to_lps_mm(points) * [-1, -1, 1], frame.pixels_to_ras(points), atol=1e-9)
    assert frame.spacing_mm == pytest.approx((0.2, 0.3))
    assert live_frame(speckle(20, 10), np.eye(4)).spacing_mm is None


def test_a_wrong_checksum_is_told_and_none_is_taken():
    data = bytearray(igtl_image(speckle(8, 6), OBLIQUE))
    data[-1] ^= 1
    with pytest.raises(DamagedMessage, match="checksum is wrong"):
        unpacked(bytes(data))
    data[50:58] = bytes(8)  # no checksum
    assert unpacked(bytes(data)) is not None


def test_damaged_contents_are_told():
    data = igtl_image(speckle(8, 6), OBLIQUE)
    body = data[58:-5]
    header = data[:42] + struct.pack(">QQ", len(body), CRC64(body))
    with pytest.raises(DamagedMessage, match="cannot be read"):
        unpacked(header + body)
    body = bytearray(data[58:])
    body[-48 - 12 : -48] = struct.pack(">6H", 1, 0, 0, 7, 6, 1)
    header = data[:42] + struct.pack(">QQ", len(body), CRC64(bytes(body)))
    with pytest.raises(DamagedMessage, match="Subvolume"):
        unpacked(header + bytes(body))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (ImageMessage(np.zeros((2, 3, 4), np.uint8)), "single slice"),
        (ImageMessage(np.full((1, 3, 4), np.nan, np.float32)), "not finite"),
        (ImageMessage(np.zeros((1, 3, 4), np.uint8), ijk_to_world_matrix=np.diag([0, 1, 1, 1.0])), "no size"),
    ],
)
def test_images_that_cannot_be_tracked_are_told(message, reason):
    with pytest.raises(DamagedMessage, match=reason):
        image_of(message)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n" * 4, bytes(58), b"\xff" * 58])
def test_what_is_no_message_is_refused(data):
    with pytest.raises(NotOpenIGTLink, match="no OpenIGTLink message"):
        parse_header(data[:58])


def test_a_message_that_would_fill_the_memory_is_refused():
    header = struct.pack(">H12s20sIIQQ", 1, b"IMAGE", b"x", 0, 0, 1 << 40, 0)
    with pytest.raises(NotOpenIGTLink):
        parse_header(header)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1000, 70001])
def test_the_checksum_without_a_compiler_is_the_same(size):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    assert numpy_crc64(data) == CRC64(data) == crc64(data)


def test_what_is_packed_here_is_what_pyigtl_packs():
    frame, point = live_frame(speckle(20, 10)), np.array([[3.0, 4.0]])
    for message in (
        image_message(frame.pixels, OBLIQUE, 1000.25, "Image"),
        point_message(frame, ["A"], point, np.array([True]), timestamp_s=1000.25, device="D"),
        transform_message(np.ones(3), timestamp_s=1000.25, device="T"),
        string_message("words", timestamp_s=1000.25, device="S"),
    ):
        assert packed(message) == message.pack()
        assert unpacked(packed(message)).timestamp == pytest.approx(1000.25, abs=1e-6)


def test_unknown_types_are_passed_over():
    header = struct.pack(">H12s20sIIQQ", 1, b"STATUS", b"x", 0, 0, 3, 0)
    assert parse_body(parse_header(header), b"abc") is None


def test_a_message_in_pieces_is_put_together():
    scanner = Scanner()
    import socket

    with socket.create_connection(("localhost", scanner.port)) as connection:
        scanner.accept()
        stream = MessageStream(connection)
        data = string_message("hello", timestamp_s=1.0, device="D").pack()
        scanner.send(data[:20])
        assert stream.receive(0.02) is None
        scanner.send(data[20:] + data[:58])
        message = stream.receive(1.0)
        assert isinstance(message, MessageBase) and message.string == "hello"
        scanner.send(data[58:])
        assert stream.receive(1.0).string == "hello"
        scanner.close()
        with pytest.raises(ConnectionError):
            stream.receive(1.0)


def test_a_missing_pyigtl_is_told_in_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyigtl.messages", None)
    with pytest.raises(MissingPackageError, match="pip install pyigtl"):
        require_pyigtl()
    assert openigtlink.HEADER_BYTES == MessageBase.IGTL_HEADER_SIZE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("igtl://localhost:18944", ("localhost", 18944)),
        ("igtl://scanner", ("scanner", 18944)),
        ("10.0.0.2:5", ("10.0.0.2", 5)),
        ("18945", ("localhost", 18945)),
    ],
)
def test_addresses(text, expected):
    assert parse_address(text, option="--source") == expected


@pytest.mark.parametrize("text", ["http://x:1", "igtl://a/b", "x:99999", "x:y"])
def test_wrong_addresses(text):
    with pytest.raises(InputError, match="--source"):
        parse_address(text, option="--source")


def test_the_clock_goes_on_where_stamps_do_not():
    clock = FrameClock()
    stamps = [100.0, 100.1, 100.2, 50.0, 50.1, None, 50.3, 50.4]
    times = [clock.time(stamp, number * 0.25) for number, stamp in enumerate(stamps)]
    assert np.all(np.diff(times) > 0)
    np.testing.assert_allclose(np.diff(times), [0.1, 0.1, 0.25, 0.1, 0.25, 0.25, 0.1])
    assert clock.jumps == 3


def test_percentiles_of_latency():
    statistics = LatencyStatistics()
    values = np.random.default_rng(0).gamma(2.0, 0.02, 20000)
    for value in values:
        statistics.add(value)
    for percent in (50, 95):
        assert statistics.percentile_s(percent) == pytest.approx(np.percentile(values, percent), rel=0.03)
    assert LatencyStatistics().percentile_s(50) is None


def test_the_latency_since_the_stamp_is_known_on_one_clock_only():
    def summary(stamp, *, here):
        latency = Latency()
        latency.see_stamp(stamp, 1000.0, same_computer=here)
        latency.add(stamp, 5.0, now_s=1000.02, monotonic_s=5.02)
        return latency.summary()

    shared = summary(999.99, here=True)
    assert shared.source_p50_s == pytest.approx(0.03, rel=0.03)
    assert shared.recent_p50_s == pytest.approx(0.02)
    for stamp, here in ((999.99, False), (12.0, True), (1001.0, True)):
        other = summary(stamp, here=here)
        assert other.source_p50_s is None and "not known" in other.clock
    assert "no time stamps" in summary(None, here=True).clock
