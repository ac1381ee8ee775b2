"""Recording of every received frame while it comes, without lag and in bounded memory.

The pixels go to NAME.raw as they come; NAME.seq.nhdr, the header with the time of every frame, is written again every
few seconds and at the end, so that the recording is whole whenever the program ends.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from UltrasoundMotionLib.atomic_output import check_output_path, write_text_file
from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.writers.nrrd import header_lines
from UltrasoundMotionLib.interrupts import uninterrupted
from UltrasoundMotionLib.live.frame import LiveFrame

ENDING = ".seq.nhdr"
_MOST_WAITING_BYTES = 256 << 20
_HEADER_EVERY_S = 5.0


def check_recording_path(path: Path) -> None:
    """Checks the name of a recording and the files it makes.

    Raises:
        OutputError: another ending than .seq.nhdr; a file that is there already, which would be lost; a folder that
            cannot be written to.
    """
    if not path.name.lower().endswith(ENDING):
        raise OutputError(f"{path}: a recording must end in {ENDING}; its pixels go into a .raw file beside it")
    for one in (path, _raw_of(path)):
        check_output_path(one)
        if one.exists():
            raise OutputError(f"{one}: exists already; choose another name, a recording is not written over")


class Recorder:
    """Writes frames on a thread of its own. Frames of another size or type go into a further file, NAME-2 and so on.

    Attributes:
        written: number of frames written.
        dropped: number of frames left out because the disk was too slow.
    """

    def __init__(self, path: Path, on_note: Callable[[str], None] = lambda text: None) -> None:
        """Checks the path and starts the thread.

        Raises:
            OutputError: see `check_recording_path`.
        """
        check_recording_path(path)
        self.written = self.dropped = 0
        self.paths: list[Path] = []
        self._path, self._on_note = path, on_note
        self._waiting: queue.SimpleQueue[LiveFrame | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._part: _Part | None = None
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="live recorder", daemon=True)
        self._thread.start()

    def add(self, frame: LiveFrame) -> None:
        """Queues a frame; returns at once. Leaves it out where a quarter of a gigabyte waits already."""
        with self._lock:
            if self._failed or self._waiting_bytes + frame.pixels.nbytes > _MOST_WAITING_BYTES:
                self.dropped += 1
                return
            self._waiting_bytes += frame.pixels.nbytes
        self._waiting.put(frame)

    def close(self) -> None:
        """Writes what waits, and the header; waits for it."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (frame := self._waiting.get()) is not None:
            try:
                if not self._failed:
                    self._write(frame)
            except (OSError, OutputError) as error:
                self._fail(error)
            with self._lock:
                self._waiting_bytes -= frame.pixels.nbytes
        try:
            if self._part is not None:
                self._part.close()
        except (OSError, OutputError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failed = True
        where = self.paths[-1] if self.paths else self._path
        self._on_note(f"{where}: the recording stopped after {self.written} frames: {error}")

    def _write(self, frame: LiveFrame) -> None:
        if self._part is None or not self._part.fits(frame):
            if self._part is not None:
                self._part.close()
            path = self._path if not self.paths else _numbered(self._path, len(self.paths) + 1)
            if self.paths:
                self._on_note(f"the image changed; the recording goes on in {path}")
                check_recording_path(path)
            self.paths.append(path)
            self._part = _Part(path, frame)
        self._part.write(frame)
        self.written += 1


class _Part:
    """One file of frames of one size, type and place."""

    def __init__(self, path: Path, first: LiveFrame) -> None:
        self._path, self._first = path, first
        self._times: list[float] = []
        self._geometry = first.as_sequence()
        self._file: BinaryIO = _raw_of(path).open("xb")
        self._header_due_s = time.monotonic() + _HEADER_EVERY_S

    def fits(self, frame: LiveFrame) -> bool:
        first = self._first
        same = frame.pixels.shape == first.pixels.shape and frame.pixels.dtype == first.pixels.dtype
        return same and frame.spacing_mm == first.spacing_mm

    def write(self, frame: LiveFrame) -> None:
        self._file.write(np.ascontiguousarray(frame.pixels, frame.pixels.dtype.newbyteorder("<")).data)
        self._times.append(frame.time_s)
        if time.monotonic() >= self._header_due_s:
            self._write_header()

    def close(self) -> None:
        try:
            if self._times:
                self._write_header()
        finally:
            self._file.close()
            if not self._times:  # the disk took no frame
                _raw_of(self._path).unlink(missing_ok=True)

    def _write_header(self) -> None:
        self._file.flush()
        self._header_due_s = time.monotonic() + _HEADER_EVERY_S
        geometry = self._geometry
        sequence = ImageSequence(
            frames=np.broadcast_to(self._first.pixels, (len(self._times), *self._first.pixels.shape)),
            spacing_mm=geometry.spacing_mm,
            times_s=np.array(self._times),
            origin_mm=geometry.origin_mm,
            direction=geometry.direction,
        )
        lines = [*header_lines(sequence, compress=False), f"SourceDevice:={self._first.device or 'unknown'}"]
        if self._first.source_time_s is not None:
            lines.append(f"SourceTimeOfFirstFrame:={self._first.source_time_s:.6f}")
        lines.append(f"NumberOfFirstFrame:={self._first.index}")
        encoding = next(index for index, line in enumerate(lines) if line.startswith("encoding:"))
        lines.insert(encoding + 1, f"data file: {_raw_of(self._path).name}")
        with uninterrupted():  # a request to stop ends the session, which closes this file
            write_text_file(self._path, "\n".join(lines) + "\n")


def _raw_of(path: Path) -> Path:
    return path.with_name(path.name[: -len(ENDING)] + ".raw")


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name[: -len(ENDING)]}-{number}{ENDING}")
