"""The pixels of a clip that are filled before tracking, found in the child process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.images.colour import SampledColour, WithSampledColour
from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob


@dataclass(frozen=True, eq=False)
class FoundGraphics:
    """The pixels of a clip that `without_graphics` fills.

    Attributes:
        mask: (H, W) bool, filled in every frame.
        notes: for the user, one line each: the share of the image, and colour flow.
    """

    mask: np.ndarray
    notes: tuple[str, ...]


def find_graphics_job(sequence: ImageSequence) -> JobRequest:
    """Makes the job of finding what a tracker would not see; its result is `FoundGraphics`."""
    arrays: dict[str, Any] = {"frames": sequence.frames}
    colour = SampledColour.of(sequence)
    if colour is not None:
        arrays["colour"] = colour
    return JobRequest(capability=__name__, options={"device": "cpu", "name": sequence.name}, arrays=arrays)


def choose_device(options: Mapping[str, Any]) -> str:
    """Returns the CPU."""
    return "cpu"


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Looks for graphics in the child process."""
    from UltrasoundMotionLib.images.graphics_mask import find_graphics, without_graphics

    frames: FrameSource = job.folder.required("frames", in_memory=False)
    if job.folder.has("colour"):
        frames = WithSampledColour(frames, job.folder.required("colour"))
    sequence = ImageSequence(frames=frames, name=job.options["name"])
    job.folder.write("mask", find_graphics(sequence).astype(np.uint8))
    return {"notes": without_graphics(sequence).notes[len(sequence.notes) :]}


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> FoundGraphics:
    """Builds the result from the array in the folder."""
    return FoundGraphics(folder.required("mask").astype(bool), tuple(found["notes"]))


def partial(request: JobRequest, folder: JobFolder) -> None:
    """Returns None: there is no part of a mask."""
