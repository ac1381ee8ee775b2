"""The source of images: a thread that receives every frame, keeps the newest, and connects again when it is lost."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.live.connection import MessageStream, Outbox, close_socket
from UltrasoundMotionLib.live.frame import FrameClock, LiveFrame
from UltrasoundMotionLib.live.openigtlink import DamagedMessage, NotOpenIGTLink, image_of, packed

if TYPE_CHECKING:
    from pyigtl.messages import MessageBase

_CONNECT_S, _AGAIN_S = 1.0, 0.5
_CLOSE_S = 3.0
_VIDEO = "VIDEO"


@dataclass(frozen=True)
class SourceState:
    """State of the source.

    Attributes:
        connected: True while there is a connection.
        received: number of frames received.
        dropped: number of frames that a newer one replaced before they were taken.
        damaged: number of messages that could not be read.
        connections: number of connections made so far.
        idle_s: seconds since the last frame; None before the first.
        problem: why there is no connection; empty where there is one.
    """

    connected: bool = False
    received: int = 0
    dropped: int = 0
    damaged: int = 0
    connections: int = 0
    idle_s: float | None = None
    problem: str = ""


class ImageSource:
    """Receives images from an OpenIGTLink server, on a thread of its own, from `start` to `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        device: str | None = None,
        on_frame: Callable[[LiveFrame], None] = lambda frame: None,
        on_message: Callable[[MessageBase], None] = lambda message: None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Prepares the source.

        Args:
            device: name of the image, where the source sends several; None takes the first that comes.
            on_frame: called with every frame.
            on_message: called with every message that is no image.
            on_note: called with what the user should know, each line once.
        """
        self._host, self._port, self._device = host, port, device
        self._on_frame, self._on_message, self._on_note = on_frame, on_message, on_note
        self._noted: set[str] = set()
        self._clock = FrameClock()
        self._newest: LiveFrame | None = None
        self._last_s: float | None = None
        self._received = self._dropped = self._damaged = self._connections = 0
        self._connected, self._problem = False, ""
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._outbox: Outbox | None = None
        self._thread = threading.Thread(target=self._run, name="live source", daemon=True)

    @property
    def address(self) -> str:
        """`HOST:PORT`."""
        return f"{self._host}:{self._port}"

    @property
    def is_here(self) -> bool:
        """True where the source runs on this computer, as its address says."""
        return self._host in ("localhost", "127.0.0.1", "::1")

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def take(self, wait_s: float) -> LiveFrame | None:
        """Waits for a frame that was not taken yet, and returns the newest; None where none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None, wait_s)
            frame, self._newest = self._newest, None
            return frame

    def send(self, message: MessageBase) -> None:
        """Sends a message back to the source, where there is a connection."""
        outbox = self._outbox
        if outbox is not None:
            outbox.put((message.message_type, message.device_name), packed(message))

    def state(self) -> SourceState:
        """Returns the state now."""
        with self._changed:
            idle = None if self._last_s is None else time.monotonic() - self._last_s
            return SourceState(
                self._connected,
                self._received,
                self._dropped,
                self._damaged,
                self._connections,
                idle,
                self._problem,
            )

    def close(self) -> None:
        """Ends the connection and the thread."""
        self._closing.set()
        if self._outbox is not None:
            self._outbox.close()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                connection = socket.create_connection((self._host, self._port), _CONNECT_S)
            except OSError as error:
                self._lose(f"no connection to {self.address} ({error.strerror or error})")
            else:
                self._receive_all(connection)
            self._closing.wait(_AGAIN_S)

    def _receive_all(self, connection: socket.socket) -> None:
        stream, outbox = MessageStream(connection), Outbox(connection)
        with self._changed:
            self._connected, self._problem, self._outbox = True, "", outbox
            self._connections += 1
        try:
            while not self._closing.is_set():
                try:
                    message = stream.receive()
                    if message is not None:
                        self._take_in(message)
                except DamagedMessage as error:
                    self._damaged += 1
                    self._note(f"{self.address}: {error}; it was left out")
        except NotOpenIGTLink as error:
            self._damaged += 1
            self._note(f"{self.address}: {error}; connecting again")
            self._lose(f"{self.address}: {error}")
        except (OSError, ValueError) as error:
            self._lose(f"the connection to {self.address} ended ({getattr(error, 'strerror', None) or error})")
        finally:
            self._outbox = None
            outbox.close()
            close_socket(connection)

    def _lose(self, problem: str) -> None:
        with self._changed:
            self._connected, self._problem = False, problem

    def _take_in(self, message: Any) -> None:
        received_s, monotonic_s = time.time(), time.monotonic()
        if message.message_type != "IMAGE":
            if message.message_type == _VIDEO:
                self._note(f"{self.address}: sends compressed VIDEO; set it to send IMAGE")
            self._on_message(message)
            return
        if self._device is None:
            self._device = message.device_name
        if message.device_name != self._device:
            self._note(
                f"{self.address}: sends also the image {message.device_name}, which is left out; --image takes it"
            )
            return
        pixels, matrix = image_of(message)
        stamp = message.timestamp if message.timestamp > 0 else None
        time_s = self._clock.time(stamp, monotonic_s)
        if self._clock.jumps == 1:
            self._note(f"{self.address}: a time stamp did not increase; times go on by that of receipt there")
        frame = LiveFrame(pixels, matrix, self._received, time_s, stamp, received_s, monotonic_s, message.device_name)
        with self._changed:
            self._received += 1
            self._last_s = monotonic_s
            self._dropped += self._newest is not None
            self._newest = frame
            self._changed.notify_all()
        self._on_frame(frame)

    def _note(self, text: str) -> None:
        if text not in self._noted and len(self._noted) < _MOST_NOTES:
            self._noted.add(text)
            self._on_note(text)


_MOST_NOTES = 100
