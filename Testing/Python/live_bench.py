"""A scanner under the control of a test, on the loopback, and frames to send."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import numpy as np

from UltrasoundMotionLib.live.openigtlink import image_message
from waiting import MOST_WAITING_S

WIDTH, HEIGHT = 800, 600


def speckle(width: int = WIDTH, height: int = HEIGHT, shift: tuple[int, int] = (0, 0), seed: int = 0) -> np.ndarray:
    """A frame (H, W) uint8 of smoothed noise, moved by whole pixels (x, y)."""
    from scipy.ndimage import gaussian_filter

    key = (width, height, seed)
    if key not in _textures:
        noise = np.random.default_rng(seed).normal(size=(height + 40, width + 40))
        texture = gaussian_filter(noise, 2.0)
        _textures[key] = np.rint(255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
    x, y = shift
    return _textures[key][20 - y : 20 - y + height, 20 - x : 20 - x + width].copy()


_textures: dict[tuple[int, int, int], np.ndarray] = {}


def sway(number: int) -> tuple[int, int]:
    """The shift of frame `number`."""
    return round(8 * np.sin(number / 8)), round(5 * np.cos(number / 8)) - 5


class Scanner:
    """Listens on a port and sends what the test says, byte for byte."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("localhost", port))
        self.port = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None

    def accept(self, seconds: float = MOST_WAITING_S) -> None:
        """Waits for a connection."""
        self._listener.settimeout(seconds)
        self._connection, _ = self._listener.accept()

    def send(self, data: bytes) -> None:
        """Sends bytes."""
        assert self._connection is not None
        self._connection.sendall(data)

    def image(self, pixels: np.ndarray, stamp: float | None = None, device: str = "Image", scale: float = 0.2) -> None:
        """Sends an image."""
        matrix = np.diag([scale, scale, 1.0, 1.0])
        self.send(image_message(pixels, matrix, time.time() if stamp is None else stamp, device).pack())

    def clip(self, count: int, rate: float, first: int = 0, width: int = WIDTH, height: int = HEIGHT) -> None:
        """Sends frames at a rate."""
        begun = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            self.image(speckle(width, height, sway(first + number)))

    def receive(self, count: int) -> bytes:
        """Reads so many bytes that the other side sends."""
        assert self._connection is not None
        return self._connection.recv(count, socket.MSG_WAITALL)

    def drop(self) -> None:
        """Closes the connection, and listens on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Closes everything."""
        self.drop()
        self._listener.close()


def in_background(work: Callable[[], None]) -> threading.Thread:
    """Runs work on a thread."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
