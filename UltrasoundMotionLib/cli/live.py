"""`live`: follow points in images that arrive over OpenIGTLink, and send the positions on."""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.cli.output_files import check_no_input, weights_files
from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments
from UltrasoundMotionLib.errors import InputError, UltrasoundMotionError
from UltrasoundMotionLib.live.request import LiveRequest

if TYPE_CHECKING:
    from UltrasoundMotionLib.live.session import LiveSession
    from UltrasoundMotionLib.live.update import LiveUpdate

DESCRIPTION = """Follows points in images that arrive over OpenIGTLink (from PLUS, 3D Slicer or a replay), the newest
first: what cannot be tracked in time is left out, and counted. Positions go to every program that connects to --serve
as POINT (LiveLandmarks), TRANSFORM (a lost point sends none) and STRING (LiveState). While it runs, `again` places the
points anew, `again P.csv` others, `record R.seq.nhdr` and `record off` record, `stop` ends it."""

_LINE_EVERY_S = 15.0
_REDRAW_S = 0.2


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = DESCRIPTION
    add_arguments(parser, LiveRequest)
    parser.add_argument(
        "--only-replay", action="store_true", help="only send the clip of --replay at --source; track nothing"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs a session until it is stopped, and prints what it did."""
    from UltrasoundMotionLib.live.session import LiveSession

    request = from_arguments(LiveRequest, arguments)
    inputs = [path for path in (request.replay, request.points, request.contour) if path is not None]
    for name in ("record", "out"):
        path = getattr(request, name)
        if path is not None:
            check_output_path(path)
            check_no_input(name, path, (*inputs, *weights_files(request.weights)))
    if arguments.only_replay:
        return _replay(request, quiet=arguments.quiet)
    line = _Line(quiet=arguments.quiet)
    with LiveSession(request, on_note=line.note) as session:
        if session.served_port is not None:
            line.note(f"positions are sent on port {session.served_port}")
        _read_commands(session, line.note)
        try:
            session.run(line.update)
        except KeyboardInterrupt:
            session.close()  # files get their names before the program ends
            line.end()
            raise
    line.end()
    return 0


def _replay(request: LiveRequest, *, quiet: bool) -> int:
    """Sends the clip as a scanner would, and nothing else."""
    from UltrasoundMotionLib.images.sequence_files import read_sequence
    from UltrasoundMotionLib.live.connection import DEFAULT_PORT
    from UltrasoundMotionLib.live.openigtlink import require_pyigtl
    from UltrasoundMotionLib.live.replay import ReplayScanner
    from UltrasoundMotionLib.live.server import MessageServer

    if request.replay is None:
        raise InputError("--only-replay: needs --replay CLIP")
    require_pyigtl()
    sequence = read_sequence(request.replay)
    host, port = ("localhost", DEFAULT_PORT) if request.source is None else request.source_address
    server = MessageServer(host, port)
    scanner = ReplayScanner(sequence, server, request.replay_rate_hz)
    try:
        if not quiet:
            print(
                f"sending {request.replay} at {scanner.rate_hz:.4g} frames/s on port {server.port}; Ctrl-C ends it",
                flush=True,
            )
        scanner.start()
        threading.Event().wait(request.seconds)
    finally:
        scanner.stop()
        server.close()
    return 0


def _read_commands(session: LiveSession, note: Callable[[str], None]) -> None:
    """Takes commands from the terminal, or from a program's pipe, while the session runs."""
    from UltrasoundMotionLib.live.commands import parse_command

    def read() -> None:
        with suppress(OSError, ValueError):  # closed while it is read
            for text in filter(str.strip, sys.stdin):
                try:
                    session.command(parse_command(text))
                except UltrasoundMotionError as error:
                    note(str(error))

    if sys.stdin is not None:
        threading.Thread(target=read, name="live commands", daemon=True).start()


class _Line:
    """The state as one line that is redrawn on a terminal, and printed now and then elsewhere; notes above it."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._is_terminal = sys.stderr.isatty()
        self._next_s = 0.0
        self._state = ""
        self._last: LiveUpdate | None = None
        self._lock = threading.Lock()
        self._width = 0

    def note(self, text: str) -> None:
        """Prints a note."""
        if not self._quiet:
            with self._lock:
                self._wipe()
                print(f"note: {text}", flush=True)

    def update(self, update: LiveUpdate) -> None:
        """Shows the state; at once where it has changed."""
        self._last = (
            update
            if update.points is not None or self._last is None
            else replace(self._last, source=update.source, state=update.state, text=update.text)
        )
        now = time.monotonic()
        changed = update.state != self._state
        if self._quiet or (now < self._next_s and not (changed and not self._is_terminal)):
            return
        self._state = update.state
        self._next_s = now + (_REDRAW_S if self._is_terminal else _LINE_EVERY_S)
        with self._lock:
            if self._is_terminal:
                text = _describe(self._last)[: shutil.get_terminal_size().columns - 1]
                sys.stderr.write("\r" + text.ljust(self._width))
                self._width = max(self._width, len(text))
            else:
                sys.stderr.write(_describe(self._last) + "\n")
            sys.stderr.flush()

    def end(self) -> None:
        """Prints what the session did."""
        if self._quiet or self._last is None:
            return
        last, source = self._last, self._last.source
        with self._lock:
            self._wipe()
            print(
                f"{source.received} images received, {last.tracked} tracked, {source.dropped} left out for newer ones,"
                f" {source.damaged} damaged."
            )
            latency = last.latency
            if latency.processing_p50_s is not None and latency.processing_p95_s is not None:
                print(
                    f"From receipt to positions: median {1e3 * latency.processing_p50_s:.0f} ms, 95 % within"
                    f" {1e3 * latency.processing_p95_s:.0f} ms; {latency.clock}."
                )

    def _wipe(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0


def _describe(update: LiveUpdate) -> str:
    """`tracking; 812 images (3 left out); latency 21 ms (p95 34)`."""
    source = update.source
    parts = [update.text, f"{source.received} images ({source.dropped} left out)", update.latency.text()]
    if update.recorded is not None:
        parts.append(f"{update.recorded} recorded")
    if update.strain is not None:
        parts.append(update.strain.text())
    return "; ".join(parts)
