"""Dense motion through a sequence in the child process, each frame's field visible as soon as it is found."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.jobs.plain_geometry import plain_geometry, volume_from
from UltrasoundMotionLib.registration.request import SequenceRequest
from UltrasoundMotionLib.registration.sequences.sequence_registration import (
    AnyFrameRegistration,
    FrameMeasures,
    FrameRegistration,
    LinearFrameRegistration,
    SequenceRegistration,
)
from UltrasoundMotionLib.registration.sequences.settings import SEQUENCE_DEVICES, SEQUENCE_NAME
from UltrasoundMotionLib.settings import from_plain, takes_request, to_plain

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob


@takes_request(SequenceRequest)
def sequence_registration_job(sequence: ImageSequence | Sequence[Volume], *, request: SequenceRequest) -> JobRequest:
    """Makes the job of `register_sequence` with these arguments; its result is the same `SequenceRegistration`.

    `command` is empty: the frames of a scene have no file that `register-sequence` could be given.

    Raises:
        InputError: no frames, or volumes of different size or type.
    """
    arrays: dict[str, Any] = {}
    if isinstance(request.mask, np.ndarray):
        arrays["mask"] = request.mask
        request = replace(request, mask=None)
    options: dict[str, Any] = {"request": to_plain(request), "device": request.device}
    if isinstance(sequence, ImageSequence):
        options["clip"] = {
            name: getattr(sequence, name) for name in ("spacing_mm", "origin_mm", "direction", "name", "path")
        }
        arrays["frames"] = sequence.frames
    else:
        options["volumes"] = [plain_geometry(volume) for volume in sequence]
        arrays["frames"] = _Stack(sequence)
    return JobRequest(capability=__name__, options=options, arrays=arrays)


class _Stack:
    """Volumes of one size and type as (T, *shape), without a copy."""

    in_memory = True

    def __init__(self, volumes: Sequence[Volume]) -> None:
        if not volumes:
            raise InputError("sequence: holds no frames")
        self._arrays = [np.asarray(volume.array) for volume in volumes]
        self.shape, self.dtype = (len(self._arrays), *self._arrays[0].shape), self._arrays[0].dtype
        for number, array in enumerate(self._arrays):
            if (array.shape, array.dtype) != (self.shape[1:], self.dtype):
                raise InputError(
                    f"sequence: frame {number} is {array.shape[::-1]} of {array.dtype}, frame 0 {self.shape[:0:-1]} of"
                    f" {self.dtype}; give all frames one size and type"
                )

    def __getitem__(self, index: int) -> np.ndarray:
        return self._arrays[index]


def choose_device(options: Mapping[str, Any]) -> str:
    """Returns the device to register on."""
    from UltrasoundMotionLib.device import choose_device as choose

    return choose(options["device"], supported=SEQUENCE_DEVICES, name=SEQUENCE_NAME)


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Registers in the child process, and writes every frame at once where the application sees it."""
    from UltrasoundMotionLib.registration import register_sequence

    options, frames, began = job.options, job.folder.open("frames"), time.perf_counter()
    sequence: ImageSequence | list[Volume]
    if "clip" in options:
        sequence = ImageSequence(frames=frames, **options["clip"])
    else:
        sequence = [volume_from(frame, geometry) for frame, geometry in zip(frames, options["volumes"], strict=True)]
    kept: dict[str, np.ndarray] = {}

    def keep(one: AnyFrameRegistration) -> None:
        """Writes motion, measures and time of a frame; the first one makes the files."""
        name, values = ("matrix", one.matrix) if isinstance(one, LinearFrameRegistration) else ("control", one.control)
        if not kept:
            job.folder.write("device", np.array([device]))
            job.folder.write("grid", _grid_array(one.grid))
            kept["measures"] = job.folder.create(
                "measures", (len(frames), len(astuple(one.measures))), np.float64, np.nan
            )
            kept[name] = job.folder.create(name, (len(frames), *values.shape), values.dtype, np.nan)
            kept["seconds"] = job.folder.create("seconds", (len(frames),), np.float64, np.nan)
        kept[name][one.frame] = values
        kept["measures"][one.frame] = astuple(one.measures)
        kept["seconds"][one.frame] = time.perf_counter() - began  # last: a frame that has its time is whole

    request = from_plain(SequenceRequest, options["request"])
    found = register_sequence(
        sequence,
        progress=job.progress,
        on_frame=keep,
        keep_partial=True,
        request=replace(
            request,
            device=request.device if device == choose_device(options) else device,
            mask=request.mask or (job.folder.open("mask") if job.folder.has("mask") else None),
        ),
    )
    return {"seconds": found.seconds, "device": found.device, "notes": found.notes, "interrupted": found.interrupted}


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> SequenceRegistration:
    """Builds the registration from the arrays in the folder."""
    measures, seconds = (folder.read(name) for name in ("measures", "seconds"))
    grid = _grid_from_array(folder.read("grid"))
    linear = folder.has("matrix")
    motion = folder.read("matrix" if linear else "control")
    asked = request.options["request"]
    dimension = 2 if "clip" in request.options else 3

    def frame_of(frame: int) -> AnyFrameRegistration:
        found = FrameMeasures(*map(float, measures[frame]))
        if linear:
            return LinearFrameRegistration(frame, motion[frame], dimension, grid, found)
        return FrameRegistration(frame, motion[frame], grid, found)

    frames = [frame_of(frame) if np.isfinite(seconds[frame]) else None for frame in range(len(seconds))]
    return SequenceRegistration(
        frames=tuple(frames),
        reference_frame=asked["reference_frame"],
        mode=asked["mode"],
        seconds=found["seconds"],
        device=found["device"],
        notes=tuple(found["notes"]),
        interrupted=found["interrupted"],
    )


def partial(request: JobRequest, folder: JobFolder) -> SequenceRegistration | None:
    """The frames that are finished by now; None before there is one."""
    if not folder.has("seconds"):
        return None
    seconds = folder.open("seconds")
    if not np.isfinite(seconds).any():
        return None
    found = {
        "seconds": float(np.nanmax(seconds)),
        "device": str(folder.read("device")[0]),
        "notes": (),
        "interrupted": True,
    }
    return result(request, folder, found)


def _grid_array(grid: ImageGrid) -> np.ndarray:
    return np.concatenate([grid.shape, grid.spacing_mm, grid.origin_mm, grid.direction.ravel()]).astype(np.float64)


def _grid_from_array(values: np.ndarray) -> ImageGrid:
    shape, spacing, origin, direction = np.split(values, [3, 6, 9])
    return ImageGrid(tuple(shape.astype(int)), tuple(spacing), tuple(origin), direction.reshape(3, 3))
