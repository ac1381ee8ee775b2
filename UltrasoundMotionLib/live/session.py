"""A live session: the newest frame is tracked, its positions are sent, every frame is recorded, and commands are
carried out.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.errors import InputError, OutputError, UltrasoundMotionError
from UltrasoundMotionLib.interrupts import uninterrupted
from UltrasoundMotionLib.live.commands import DEVICE as COMMAND_DEVICE
from UltrasoundMotionLib.live.commands import LiveCommand, parse_command
from UltrasoundMotionLib.live.frame import LiveFrame
from UltrasoundMotionLib.live.latency import Latency
from UltrasoundMotionLib.live.live_strain import LiveStrain, StrainState, wall_points
from UltrasoundMotionLib.live.live_tracker import LivePoints, LiveTracker
from UltrasoundMotionLib.live.openigtlink import image_message, require_pyigtl
from UltrasoundMotionLib.live.position_sender import OWN_DEVICES, PositionSender
from UltrasoundMotionLib.live.recorder import Recorder
from UltrasoundMotionLib.live.request import LiveRequest
from UltrasoundMotionLib.live.server import MessageServer
from UltrasoundMotionLib.live.source import ImageSource, SourceState
from UltrasoundMotionLib.live.tracks_file import LiveTracksFile
from UltrasoundMotionLib.live.update import LiveUpdate, state_of
from UltrasoundMotionLib.tracking.files.query_points_file import read_query_points

_WAIT_S = 0.1
_STOPPED_AFTER_S = 1.0
"""A source that sent no image for so long counts as stopped."""
_SWITCH_S = 0.0005


class LiveSession:
    """Runs a request until it is stopped; use it in a `with` block.

    `run` works on the thread that calls it; `command` may be called from any thread.
    """

    def __init__(
        self,
        request: LiveRequest,
        *,
        points_px: np.ndarray | None = None,
        labels: tuple[str, ...] | None = None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Opens ports and files; nothing is received yet.

        Args:
            points_px: (N, 2) landmarks, or points of the contour where `request.wall` asks for strain, on the
                first image that comes, in place of the request's files.
            labels: their N names.
            on_note: called with what the user should know, one line each; from any thread.

        Raises:
            MissingPackageError: pyigtl is not installed.
            OutputError: a port or a file cannot be opened.
            InputError: the replay or the tracker.
        """
        require_pyigtl()
        self.request = request
        self._on_note = on_note
        self._tracker = LiveTracker(request)
        self._commands: queue.SimpleQueue[LiveCommand] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._latency = Latency()
        self._strain: LiveStrain | None = None
        self._strain_state: StrainState | None = None
        self._recorder: Recorder | None = None
        self._recorded = self._tracked = 0
        self._first = LiveCommand("place", request.points or request.contour, labels, points_px)
        self._has_first = points_px is not None or self._first.points_path is not None
        self._placed_first = False
        self._noted_size: tuple[int, int] | None = None
        self._tracks: LiveTracksFile | None = None
        self._just_placed: LivePoints | None = None
        self._last_state = "tracking", "tracking"
        self._stack = ExitStack()
        try:
            self._open(request)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, request: LiveRequest) -> None:
        if request.out is not None:
            if request.out.suffix.lower() != ".csv":
                raise OutputError(f"{request.out}: the table must end in .csv")
            check_output_path(request.out)
        self._server: MessageServer | None = None
        if request.serve_address is not None:
            self._server = MessageServer(*request.serve_address, on_message=self._on_message)
            self._stack.callback(self._server.close)
        host, port = request.source_address
        if request.replay is not None:
            port = self._open_replay(request.replay, port, request.replay_rate_hz)
        self._source = ImageSource(
            host,
            port,
            device=request.image,
            on_frame=self._on_frame,
            on_message=self._on_message,
            on_note=self._on_note,
        )
        self._sender = PositionSender(self._server, self._source if request.send_back else None)
        if request.out is not None:
            self._tracks = LiveTracksFile(request.out, request.tracker)
            self._stack.callback(self._tracks.close)
        self._stack.callback(lambda: self._record(None))
        if request.record is not None:
            self._record(request.record)
        self._stack.callback(self._source.close)

    def _open_replay(self, clip: Path, port: int, rate_hz: float | None) -> int:
        """Starts the simulated scanner and returns its port."""
        from UltrasoundMotionLib.live.replay_process import ReplayProcess

        replay = ReplayProcess(clip, port, rate_hz)
        self._stack.callback(replay.close)
        return replay.port

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def served_port(self) -> int | None:
        """The port on which other programs get positions, None without a server."""
        return None if self._server is None else self._server.port

    def command(self, command: LiveCommand) -> None:
        """Queues a command; it is carried out with the next frame."""
        self._commands.put(command)
        if command.kind == "stop":
            self._stopping.set()

    def close(self) -> None:
        """Ends everything; files get their names, also where the program was asked to stop."""
        self._stopping.set()
        with uninterrupted():
            self._stack.close()

    def run(self, on_update: Callable[[LiveUpdate], None]) -> None:
        """Tracks until stopped, or for as long as the request says.

        Args:
            on_update: called after every tracked frame, and ten times a second while none comes.
        """
        with _quick_switching():
            self._run(on_update)

    def _run(self, on_update: Callable[[LiveUpdate], None]) -> None:
        self._source.start()
        ends_s = None if self.request.seconds is None else time.monotonic() + self.request.seconds
        while not self._stopping.is_set() and (ends_s is None or time.monotonic() < ends_s):
            frame = self._source.take(_WAIT_S)
            for command in self._drained():
                self._dispatch(command, frame)
            on_update(self._update(frame))

    # One frame

    def _update(self, frame: LiveFrame | None) -> LiveUpdate:
        if frame is None:
            return self._made_update(None, None)
        if self._has_first and not self._placed_first:
            self._placed_first = True
            self._place(self._first, frame)
        points = None
        if self._just_placed is not None:
            points, self._just_placed = self._just_placed, None
        elif self._tracker.fits(frame):
            points = self._tracker.update(frame, self._ahead_s())
        elif self._tracker.labels:
            self._note_size(frame)
        if points is not None:
            self._tracked += 1
            if self._strain is not None:
                self._strain_state = self._strain.add(frame.time_s, points.found)
            self._sender.send_points(frame, points)
            self._latency.add(
                frame.source_time_s, frame.received_monotonic_s, now_s=time.time(), monotonic_s=time.monotonic()
            )
            if self._tracks is not None:
                self._tracks.add(frame, points)
        update = self._made_update(frame, points)
        self._sender.send_state(frame, state_of(update))
        return update

    def _ahead_s(self) -> float | None:
        if not self.request.ahead:
            return None
        return self._latency.summary().best_p50_s or 0.0

    def _made_update(self, frame: LiveFrame | None, points: LivePoints | None) -> LiveUpdate:
        source = self._source.state()
        state, text = self._describe(frame, points, source)
        if frame is not None:
            self._last_state = state, text
        recorder = self._recorder
        return LiveUpdate(
            frame,
            points,
            state,
            text,
            source,
            self._tracked,
            None if recorder is None else recorder.written,
            self._latency.summary(),
            self._strain_state if points is not None else None,
        )

    def _describe(self, frame: LiveFrame | None, points: LivePoints | None, source: SourceState) -> tuple[str, str]:
        """Returns the state, and the line about it."""
        if frame is None and (problem := self._why_no_image(source)):
            return "waiting for images", problem
        if not self._tracker.labels:
            return "waiting for points", "no points yet: give --points, or send a POINT message"
        if frame is None:  # between two frames nothing has changed
            return self._last_state
        if points is None:
            return "image changed", "the image has another size than when the points were placed"
        if points.lost:
            return "lost", f"lost: {', '.join(points.lost)}"
        return "tracking", "tracking"

    def _why_no_image(self, source: SourceState) -> str:
        if not source.connected:
            return source.problem or f"connecting to {self._source.address}"
        if source.idle_s is None:
            return f"{self._source.address}: no image has come yet"
        return f"{self._source.address}: no image for {source.idle_s:.0f} s" if source.idle_s > _STOPPED_AFTER_S else ""

    def _note_size(self, frame: LiveFrame) -> None:
        if self._noted_size != frame.size:
            self._noted_size = frame.size
            width, height = frame.size
            self._on_note(
                f"the image is now {width} x {height} pixels; the points wait for the size that they were placed on, or"
                " place them again"
            )

    # Frames and messages in, on the threads of source and server

    def _on_frame(self, frame: LiveFrame) -> None:
        self._latency.see_stamp(frame.source_time_s, frame.received_s, same_computer=self._source.is_here)
        recorder = self._recorder
        if recorder is not None:
            recorder.add(frame)
        if self._server is not None and self.request.replay is not None:
            stamp = frame.source_time_s or frame.received_s
            self._server.send(image_message(frame.pixels, frame.ijk_to_ras, stamp, frame.device))

    def _on_message(self, message: Any) -> None:
        if message.message_type == "POINT" and message.device_name not in OWN_DEVICES and len(message.positions):
            labels = tuple(name or f"P{number + 1}" for number, name in enumerate(message.names))
            self.command(LiveCommand("place", labels=labels, points_ras=np.array(message.positions, dtype=np.float64)))
        elif message.message_type == "STRING" and message.device_name == COMMAND_DEVICE:
            try:
                self.command(parse_command(message.string))
            except InputError as error:
                self._on_note(str(error))

    # Commands

    def _drained(self) -> list[LiveCommand]:
        commands = []
        with suppress(queue.Empty):
            while True:
                commands.append(self._commands.get_nowait())
        return commands

    def _dispatch(self, command: LiveCommand, frame: LiveFrame | None) -> None:
        if command.kind == "place":
            if frame is None:
                self._commands.put(command)  # it waits for an image
                return
            self._placed_first = True
            self._place(command, frame)
        elif command.kind == "record":
            try:
                self._record(command.record_path)
            except OutputError as error:
                self._on_note(str(error))

    def _place(self, command: LiveCommand, frame: LiveFrame) -> None:
        """Places points on a frame; says why where that cannot be done, and leaves those that are followed."""
        if command.points_path is None and command.points_px is None and command.points_ras is None:
            command = self._first
        try:
            points, labels = self._points_of(command, frame)
            if self._is_wall:
                points, labels = wall_points(points, self.request.view, frame.spacing_mm), None
            self._just_placed = self._tracker.place(frame, points, labels)
        except UltrasoundMotionError as error:
            self._on_note(f"the points were not placed: {error}")
            return
        self._noted_size = None
        if self._is_wall:
            self._strain = LiveStrain(self.request.view, frame.spacing_mm, self.request.tracker)

    @property
    def _is_wall(self) -> bool:
        return self.request.follows_wall

    def _points_of(self, command: LiveCommand, frame: LiveFrame) -> tuple[np.ndarray, tuple[str, ...] | None]:
        if command.points_path is not None:
            read = read_query_points(command.points_path, frame.as_sequence("the image"))
            for note in read.notes:
                self._on_note(note)
            return read.points_px, read.labels
        if command.points_ras is not None:
            return frame.ras_to_pixels(command.points_ras), command.labels
        if command.points_px is None:
            raise InputError("no points were given yet")
        return command.points_px, command.labels

    def _record(self, path: Path | None) -> None:
        """Begins a recording, or ends the one that runs."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
            self._recorded += recorder.written
            if recorder.dropped:
                self._on_note(f"{recorder.dropped} frames were not recorded: the disk is too slow")
            for one in recorder.paths:
                self._on_note(f"recorded {one}")
        if path is not None:
            self._recorder = Recorder(path, self._on_note)


@contextmanager
def _quick_switching() -> Iterator[None]:
    """Lets the thread that receives images take its turn sooner than Python does by default (5 ms)."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
