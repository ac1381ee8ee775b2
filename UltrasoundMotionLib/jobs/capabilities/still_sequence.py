"""Dense motion through a sequence, and the sequence with that motion taken out: every frame warped onto the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs.capabilities import register_sequence
from UltrasoundMotionLib.jobs.capabilities.register_sequence import choose_device, sequence_registration_request
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.registration.sequences.sequence_registration import FrameRegistration, SequenceRegistration

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob

__all__ = ["StillSequence", "choose_device", "partial", "result", "run", "still_sequence_request"]


@dataclass(frozen=True, eq=False)
class StillSequence:
    """A registered sequence.

    Attributes:
        registration: the fields.
        frames: (T, H, W) or (T, D, H, W) in the sequence's dtype: frame t at x + u_t(x), which looks like the
            reference; None where the run was interrupted before all were made.
    """

    registration: SequenceRegistration
    frames: np.ndarray | None


def still_sequence_request(
    sequence: ImageSequence | Sequence[Volume],
    reference_frame: int = 0,
    *,
    mask: np.ndarray | str | None = None,
    device: str = "auto",
) -> JobRequest:
    """Asks for `register_sequence` to the reference frame, and for the warped frames; the result is a `StillSequence`.

    Raises:
        InputError: as `sequence_registration_request`.
    """
    return replace(
        sequence_registration_request(sequence, reference_frame, mask=mask, device=device), capability=__name__
    )


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Registers in the child process, then warps frame by frame."""
    found = register_sequence.run(job, device)
    if found["interrupted"]:
        return found
    registration = register_sequence.result(_Options(job.options), job.folder, found)
    frames = job.folder.open("frames")
    still = np.empty(frames.shape, frames.dtype)
    for one in registration.frames:
        still[one.frame] = _warped(frames[one.frame], one, device)
        job.progress(one.frame + 1, len(frames), "taking the motion out")
    job.folder.write("still", still)
    return found


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> StillSequence:
    """The fields and the frames as they are in the folder."""
    return StillSequence(register_sequence.result(request, folder, found), folder.read("still"))


def partial(request: JobRequest, folder: JobFolder) -> StillSequence | None:
    """The fields that are whole by now; None before there is one."""
    registration = register_sequence.partial(request, folder)
    return None if registration is None else StillSequence(registration, None)


@dataclass(frozen=True)
class _Options:
    """What `register_sequence.result` reads of a request."""

    options: Mapping[str, Any]


def _warped(frame: np.ndarray, registration: FrameRegistration, device: str) -> np.ndarray:
    import torch

    from UltrasoundMotionLib.fields import warp

    image = torch.from_numpy(frame.astype(np.float32))[None, None].to(device)
    displacement = torch.from_numpy(np.ascontiguousarray(np.moveaxis(registration.displacement, -1, 0)))[None].to(
        device
    )
    values = warp(image, displacement)[0, 0].cpu().numpy()
    return values if frame.dtype.kind == "f" else np.round(values)
