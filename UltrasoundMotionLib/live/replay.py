"""A clip as a simulated scanner: its frames are sent over OpenIGTLink at their own rate, again and again."""

from __future__ import annotations

import threading
import time

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.live.frame import LPS_FROM_RAS
from UltrasoundMotionLib.live.openigtlink import image_message
from UltrasoundMotionLib.live.server import MessageServer

DEVICE = "Replay"


class ReplayScanner:
    """Sends a clip's frames to all programs that are connected to a server, with the time of sending as their stamp.

    A scanner that falls behind leaves frames out, and so keeps its rate.

    Attributes:
        rate_hz: frames per second.
        sent: number of frames sent.
    """

    def __init__(self, sequence: ImageSequence, server: MessageServer, rate_hz: float | None = None) -> None:
        """Prepares the scanner; `start` starts its thread.

        Args:
            rate_hz: in place of the clip's own frame rate.

        Raises:
            InputError: the frame rate is unknown.
        """
        rate = rate_hz or sequence.frame_rate_hz
        if rate is None:
            raise InputError(f"{sequence.path or sequence.name}: its frame rate is unknown; give it with --replay-rate")
        self.rate_hz, self.sent = rate, 0
        self._sequence, self._server = sequence, server
        self._matrix = ijk_to_ras_of(sequence)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="replay", daemon=True)

    def start(self) -> None:
        """Starts to send on a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stops sending."""
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def run(self) -> None:
        """Sends until `stop`."""
        begun, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, begun + number / self.rate_hz - time.monotonic())):
            pixels = np.asarray(self._sequence.frames[number % len(self._sequence)])
            self._server.send(image_message(pixels, self._matrix, time.time(), DEVICE))
            self.sent += 1
            number = max(number + 1, int((time.monotonic() - begun) * self.rate_hz))


def ijk_to_ras_of(sequence: ImageSequence) -> np.ndarray:
    """Returns the matrix (4, 4) from indices to RAS mm; a pixel of unknown size counts as 1 mm."""
    spacing = [*(sequence.spacing_mm or (1.0, 1.0)), 1.0]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = sequence.direction * spacing, sequence.origin_mm
    return LPS_FROM_RAS @ matrix
