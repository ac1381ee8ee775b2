"""One connection in both directions: whole messages in, and a box of messages that wait to be sent."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.live.openigtlink import HEADER_BYTES, MessageHeader, parse_body, parse_header

if TYPE_CHECKING:
    from pyigtl.messages import MessageBase

DEFAULT_PORT = 18944
"""OpenIGTLink's registered port."""
_WAIT_S = 0.1
_CLOSE_S = 2.0
_BUFFER_BYTES = 1 << 21


def parse_address(text: str, *, option: str, default_port: int | None = DEFAULT_PORT) -> tuple[str, int]:
    """Parses `igtl://HOST:PORT`, `HOST:PORT` or `PORT`; the host is this computer where none is given.

    Raises:
        InputError: it is none of these; the message names the option.
    """
    rest = text.removeprefix("igtl://").rstrip("/")
    host, colon, port = rest.rpartition(":")
    if not colon and not rest.isdecimal() and default_port is not None:
        host, port = rest, str(default_port)
    host = host or "localhost"
    if not port.isdecimal() or int(port) > 65535 or "/" in host or "://" in host:
        raise InputError(f"{option} {text}: expected igtl://HOST:PORT, as igtl://localhost:{DEFAULT_PORT}")
    return host, int(port)


class MessageStream:
    """Reads whole messages from a connected socket; what has arrived of one is kept between calls."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._header: MessageHeader | None = None
        self._buffer, self._filled = bytearray(HEADER_BYTES), 0

    def receive(self, wait_s: float = _WAIT_S) -> MessageBase | None:
        """Waits for a message; returns None where none is whole by then, or one of a type that is not known came.

        Raises:
            ConnectionError: the other side closed the connection.
            NotOpenIGTLink: it sends something else.
            DamagedMessage: one message cannot be read; call again for the next.
        """
        while self._filled < len(self._buffer):
            if not select.select([self._connection], [], [], wait_s)[0]:
                return None
            # the body in one call: each return to Python waits for its turn beside the tracker
            flags = 0 if self._header is None else socket.MSG_WAITALL
            count = self._connection.recv_into(memoryview(self._buffer)[self._filled :], flags=flags)
            if count == 0:
                raise ConnectionResetError("closed by the other side")
            self._filled += count
            if self._filled == len(self._buffer) and self._header is None:
                self._header = parse_header(bytes(self._buffer))
                self._buffer, self._filled = bytearray(self._header.body_bytes), 0
        header, body = self._header, bytes(self._buffer)
        assert header is not None  # the header alone is never the whole
        self._begin()
        return parse_body(header, body)

    def _begin(self) -> None:
        self._header = None
        self._buffer, self._filled = bytearray(HEADER_BYTES), 0


class Outbox:
    """Sends messages on a thread of its own; of each type and device only the newest waits, so that nothing piles up.

    Attributes:
        dropped: number of messages that a newer one replaced before they were sent.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.dropped = 0
        self._connection = connection
        self._waiting: dict[tuple[str, str], bytes] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="live outbox", daemon=True)
        self._thread.start()

    def put(self, key: tuple[str, str], data: bytes) -> None:
        """Queues a packed message; `key` is its type and device."""
        with self._changed:
            self.dropped += self._waiting.pop(key, None) is not None
            self._waiting[key] = data
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread; closes the connection."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        close_socket(self._connection)
        if threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                key = next(iter(self._waiting))
                data = self._waiting.pop(key)
            try:
                self._connection.sendall(data)
            except OSError:  # the thread that reads from the connection notices its end too
                with self._changed:
                    self._closed = True
                return


def close_socket(connection: socket.socket) -> None:
    """Closes a socket, also one that another thread waits for."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        connection.close()
