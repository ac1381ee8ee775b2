"""A live session in the child process: its newest image and positions are there for the application at any time."""

from __future__ import annotations

import json
import queue
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.jobs.job import Job, JobProgress, JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.jobs.plain_geometry import plain_sequence, sequence_from
from UltrasoundMotionLib.live.request import LiveRequest
from UltrasoundMotionLib.settings import from_plain, to_plain

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob
    from UltrasoundMotionLib.live.update import LiveUpdate

_SLOTS = 4
_SHOWN_EVERY_S = 0.04


@dataclass(frozen=True, eq=False)
class LiveView:
    """State of a running session as the application sees it.

    Attributes:
        number: counts the states from 1.
        state: what `state_of` says, as in the STRING message `LiveState`, and `strain_text` and `latency_text`.
        notes: lines for the user since the last state.
        pixels: (H, W) the newest image; None where there is none that is new.
        ijk_to_ras: (4, 4) of the image.
        labels, positions_ras, visible: the points on it, (N,), (N, 3) and (N,); empty where they are not tracked.
    """

    number: int
    state: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    pixels: np.ndarray | None = None
    ijk_to_ras: np.ndarray | None = None
    labels: tuple[str, ...] = ()
    positions_ras: np.ndarray | None = None
    visible: tuple[bool, ...] = ()


def live_job(
    request: LiveRequest,
    *,
    labels: tuple[str, ...] | None = None,
    positions_ras: np.ndarray | None = None,
    replay: ImageSequence | None = None,
) -> JobRequest:
    """Makes the job of a `LiveSession`, which ends when it is cancelled; `live_view` reads its progress.

    `JobProcess.send` takes {"command": words}, as the terminal has them, and {"labels": ..., "positions_ras": ...},
    which places points anew.

    Args:
        labels, positions_ras: (N,) and (N, 3) points on the first image that comes.
        replay: a clip to send as a simulated scanner; its frames must not change until the job has started.
    """
    options: dict[str, Any] = {
        "request": to_plain(request),
        "device": request.device,
        "labels": labels,
        "positions_ras": None if positions_ras is None else np.asarray(positions_ras).tolist(),
        "replay": None,
    }
    arrays: dict[str, Any] = {}
    if replay is not None:
        options["replay"] = plain_sequence(replay)
        arrays["frames"] = replay.frames
    return JobRequest(capability=__name__, options=options, arrays=arrays)


def choose_device(options: Mapping[str, Any]) -> str:
    """The device to track on."""
    from UltrasoundMotionLib.device import choose_device as choose
    from UltrasoundMotionLib.tracking.registry import find_tracker

    entry = find_tracker(from_plain(LiveRequest, options["request"]).tracker)
    return choose(options["device"], supported=entry.devices, name=entry.name)


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Runs the session until the job is cancelled."""
    from UltrasoundMotionLib.live.session import LiveSession

    request = replace(from_plain(LiveRequest, job.options["request"]), device=device)
    if job.options["replay"] is not None:
        request = replace(request, replay=_stored_replay(job))
    notes: deque[str] = deque()
    screen = _Screen(job, notes)
    with LiveSession(request, on_note=notes.append) as session:
        if job.options["positions_ras"] is not None:
            _place(session, job.options)

        def on_update(update: LiveUpdate) -> None:
            with suppress(queue.Empty):
                while True:
                    _dispatch(session, job.inbox.get_nowait(), notes)
            screen.show(update)
            if job.cancel_asked.is_set():
                session.command(_command("stop"))

        session.run(on_update)
    screen.flush()
    return {}


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> None:
    """A session has no result but its files."""


def partial(request: JobRequest, folder: JobFolder) -> None:
    """A session has no result but its files."""


def live_view(progress: JobProgress) -> LiveView:
    """Reads a report of a live job, with the image if it is still there."""
    plain = json.loads(progress.message)
    view = LiveView(plain["number"], plain["state"], tuple(plain["notes"]))
    if plain["buffer"] is None:
        return view
    view = replace(
        view,
        ijk_to_ras=np.array(plain["ijk_to_ras"]),
        labels=tuple(plain["labels"]),
        positions_ras=np.array(plain["positions_ras"]).reshape(-1, 3),
        visible=tuple(plain["visible"]),
    )
    return replace(view, pixels=_image(progress.job, plain["buffer"], plain["slot"], plain["number"]))


def _image(job: Job, buffer: str, slot: int, number: int) -> np.ndarray | None:
    """Copies an image out of its slot; None where a newer one has taken its place, or the job has ended."""
    if job.folder is None:
        return None
    try:
        pixels = job.folder.open(f"{buffer}-pixels")[slot].copy()
        numbers = job.folder.open(f"{buffer}-numbers")
    except (OSError, ValueError):
        return None
    return pixels if numbers[slot] == number else None


class _Screen:
    """Puts the newest image where the application sees it, twenty-five times a second at most, and reports on it."""

    def __init__(self, job: RunningJob, notes: deque[str]) -> None:
        self._job, self._notes = job, notes
        self._number = self._buffers = 0
        self._buffer = ""
        self._next_s = 0.0
        self._state = ""
        self._pixels: np.memmap | None = None
        self._unseen: LiveUpdate | None = None

    def show(self, update: LiveUpdate) -> None:
        """Shows an update, unless the last one was just shown and nothing but the image has changed; the image is then
        shown with the next update.
        """
        from UltrasoundMotionLib.live.update import state_of

        if update.frame is not None:
            self._unseen = update
        now = time.monotonic()
        if now < self._next_s and update.state == self._state and not self._notes:
            return
        self._next_s, self._state = now + _SHOWN_EVERY_S, update.state
        self._number += 1
        state = state_of(update)
        state["strain_text"] = "" if update.strain is None else update.strain.text()
        state["latency_text"] = update.latency.text()
        report: dict[str, Any] = {"state": state, "buffer": None}
        if self._unseen is not None:
            report |= self._stored(self._unseen)
            self._unseen = None
        self._report(report)

    def flush(self) -> None:
        """Reports what was noted while the session ended."""
        if self._notes:
            self._number += 1
            self._report({"state": {"state": "ended", "text": ""}, "buffer": None})

    def _report(self, report: dict[str, Any]) -> None:
        notes = [self._notes.popleft() for _ in range(len(self._notes))]
        message = json.dumps({**report, "number": self._number, "notes": notes})
        with suppress(Exception):  # cancelled: the session ends by itself
            self._job.progress(self._number, self._number, message)

    def _stored(self, update: LiveUpdate) -> dict[str, Any]:
        frame, points = update.frame, update.points
        assert frame is not None
        if self._pixels is None or self._pixels.shape[1:] != frame.pixels.shape:
            self._buffers += 1
            self._buffer = f"image-{self._buffers}"
            folder, shape = self._job.folder, (_SLOTS, *frame.pixels.shape)
            self._numbers = folder.create(f"{self._buffer}-numbers", (_SLOTS,), np.int64, 0)
            self._pixels = folder.create(f"{self._buffer}-pixels", shape, frame.pixels.dtype, 0)
        slot = self._number % _SLOTS
        self._numbers[slot] = 0
        self._pixels[slot] = frame.pixels
        self._numbers[slot] = self._number
        positions = np.zeros((0, 3)) if points is None else frame.pixels_to_ras(points.found.positions_px)
        return {
            "buffer": self._buffer,
            "slot": slot,
            "ijk_to_ras": frame.ijk_to_ras.tolist(),
            "labels": [] if points is None else list(points.labels),
            "positions_ras": positions.tolist(),
            "visible": [] if points is None else points.found.visible.tolist(),
        }


def _stored_replay(job: RunningJob) -> Path:
    """Writes the clip into the job's folder, where the simulated scanner reads it."""
    from UltrasoundMotionLib.images.writers.nrrd import write_nrrd
    from UltrasoundMotionLib.progress import no_progress

    sequence = sequence_from(job.folder.required("frames", in_memory=False), job.options["replay"])
    path = job.folder.path / "replay.nrrd"
    write_nrrd(path, sequence, compress=False, progress=no_progress)
    return path


def _dispatch(session: Any, message: Mapping[str, Any], notes: deque[str]) -> None:
    """Carries out a message of the application."""
    from UltrasoundMotionLib.errors import InputError

    if "positions_ras" in message:
        _place(session, message)
        return
    try:
        session.command(_command(str(message.get("command", ""))))
    except InputError as error:
        notes.append(str(error))


def _place(session: Any, message: Mapping[str, Any]) -> None:
    from UltrasoundMotionLib.live.commands import LiveCommand

    labels = message.get("labels")
    session.command(
        LiveCommand(
            "place",
            labels=None if labels is None else tuple(labels),
            points_ras=np.array(message["positions_ras"], dtype=np.float64).reshape(-1, 3),
        )
    )


def _command(text: str) -> Any:
    from UltrasoundMotionLib.live.commands import parse_command

    return parse_command(text)
