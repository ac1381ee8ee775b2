"""A clip read from a file or a folder in the child process, so that the application goes on meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import colour_frame, luminance, sample_indices
from UltrasoundMotionLib.images.grey_range import grey_range
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.sequence_files import read_sequence
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob

_GEOMETRY = ("spacing_mm", "times_s", "origin_mm", "direction", "name", "frame_fields", "notes")
_READING = "reading the clip"
_GREY_SPREAD = 16
"""Largest difference of red, green and blue in a grey picture: compression leaves some. `find_graphics` asks for twice
as much.
"""


@dataclass(frozen=True, eq=False)
class ReadClip:
    """A clip in memory.

    Attributes:
        sequence: its frames and geometry; its frames are a `ColourFrameSource` where the file shows colour.
        grey_levels: the levels to show as black and white.
    """

    sequence: ImageSequence
    grey_levels: tuple[float, float]


def read_clip_job(path: str | Path) -> JobRequest:
    """Makes the job of `read_sequence` with all frames decoded; its result is a `ReadClip`.

    A clip of one frame is refused: there is nothing to follow through it.
    """
    return JobRequest(capability=__name__, options={"path": str(path), "device": "cpu"}, arrays={})


def choose_device(options: Mapping[str, Any]) -> str:
    """Returns the CPU: reading needs no graphics card."""
    return "cpu"


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Reads in the child process."""
    sequence = read_sequence(job.options["path"])
    count = len(sequence)
    if count < 2:
        raise InputError(f"{sequence.path or sequence.name}: holds one frame; a clip has at least two")
    job.progress(0, count, _READING)
    coloured = _shows_colour(sequence)
    job.folder.write("pixels", _Pixels(sequence, coloured, job))
    job.progress(count, count, _READING)
    found = {name: getattr(sequence, name) for name in _GEOMETRY}
    found["frame_fields"] = dict(sequence.frame_fields)
    found["path"] = sequence.path
    in_memory = ImageSequence(_frames(job.folder.open("pixels")))
    return {**found, "grey_levels": grey_range(in_memory)}


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> ReadClip:
    """Builds the clip from the pixels in the folder."""
    geometry = {name: found[name] for name in _GEOMETRY}
    path = found["path"]
    frames = _frames(folder.required("pixels"))
    return ReadClip(
        ImageSequence(frames=frames, path=Path(path) if path else None, **geometry), tuple(found["grey_levels"])
    )


def partial(request: JobRequest, folder: JobFolder) -> None:
    """A clip is of use when it is whole."""


def _shows_colour(sequence: ImageSequence) -> bool:
    """Returns False where the frames that are looked at for scanner graphics are grey, though stored in colour."""
    for index in sample_indices(len(sequence)):
        frame = colour_frame(sequence, index)
        if frame is None:
            return False
        if np.any(np.ptp(frame, axis=-1) > _GREY_SPREAD):
            return True
    return False


def _frames(pixels: np.ndarray) -> np.ndarray | _ColourFrames:
    return pixels if pixels.ndim == 3 else _ColourFrames(pixels)


class _Pixels:
    """Pixels (T, H, W), or (T, H, W, 3) of a clip in colour, decoded one frame at a time; reports progress."""

    def __init__(self, sequence: ImageSequence, coloured: bool, job: RunningJob) -> None:
        self._sequence, self._coloured, self._job = sequence, coloured, job
        self.shape = (*sequence.frames.shape, 3) if coloured else tuple(sequence.frames.shape)
        self.dtype = np.dtype(sequence.frames.dtype)

    def __getitem__(self, index: int) -> np.ndarray:
        self._job.progress(index, self.shape[0], _READING)
        if self._coloured:
            frame = colour_frame(self._sequence, index)
            assert frame is not None  # `_shows_colour` has seen some
            return frame
        return self._sequence.frame(index).astype(self.dtype)


class _ColourFrames:
    """RGB frames in memory as a `ColourFrameSource`."""

    in_memory = True

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self.shape: tuple[int, int, int] = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
        self.dtype = np.dtype(np.uint8)

    def __getitem__(self, index: int) -> np.ndarray:
        return luminance(self._pixels[index])

    def colour_frame(self, index: int) -> np.ndarray:
        """Returns frame `index` as RGB (H, W, 3)."""
        return self._pixels[index]
