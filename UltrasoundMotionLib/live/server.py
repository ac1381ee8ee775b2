"""A server of OpenIGTLink messages for any number of programs, each of which gets the newest."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.live.connection import MessageStream, Outbox, close_socket
from UltrasoundMotionLib.live.openigtlink import DamagedMessage, packed

if TYPE_CHECKING:
    from pyigtl.messages import MessageBase

_WAIT_S = 0.2


class MessageServer:
    """Listens on a port and sends messages to all programs that connect.

    Attributes:
        port: the port; another than was asked for where that was 0.
    """

    def __init__(self, host: str, port: int, on_message: Callable[[MessageBase], None] = lambda message: None) -> None:
        """Starts to listen.

        Args:
            port: 0 takes one that is free.
            on_message: called with each message that a program sends, on a thread of its own.

        Raises:
            OutputError: the port is taken, or the host is not this computer.
        """
        self._on_message = on_message
        self._clients: list[tuple[socket.socket, Outbox]] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._dropped = 0
        try:
            self._listener = _listen(host, port)
        except OSError as error:
            raise OutputError(
                f"port {port} on {host} cannot be opened ({error.strerror or error}); does another live session or "
                "server use it? Choose another port"
            ) from error
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="live server", daemon=True).start()

    @property
    def client_count(self) -> int:
        """The number of programs that are connected."""
        with self._lock:
            return len(self._clients)

    @property
    def dropped(self) -> int:
        """The number of messages that were replaced by newer ones before a slow program took them."""
        with self._lock:
            return self._dropped + sum(outbox.dropped for _, outbox in self._clients)

    def send(self, message: MessageBase) -> None:
        """Sends a message to all programs; returns at once."""
        with self._lock:
            clients = list(self._clients)
        if clients:
            data = packed(message)
            for _, outbox in clients:
                outbox.put((message.message_type, message.device_name), data)

    def close(self) -> None:
        """Ends all connections."""
        self._closing.set()
        close_socket(self._listener)
        with self._lock:
            clients = list(self._clients)
        for _, outbox in clients:
            outbox.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="live client", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Reads from one program until it leaves, or sends something that is no message."""
        stream, outbox = MessageStream(connection), Outbox(connection)
        with self._lock:
            self._clients.append((connection, outbox))
        try:
            with suppress(OSError, ValueError, InputError):
                while not self._closing.is_set():
                    try:
                        message = stream.receive(_WAIT_S)
                    except DamagedMessage:
                        continue
                    if message is not None:
                        self._on_message(message)
        finally:
            with self._lock:
                self._clients = [client for client in self._clients if client[1] is not outbox]
                self._dropped += outbox.dropped
            outbox.close()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # there, reuse would let two sessions share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        listener.settimeout(_WAIT_S)
    except OSError:
        listener.close()
        raise
    return listener
