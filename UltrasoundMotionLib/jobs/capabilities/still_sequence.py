"""A sequence with the motion removed: every frame is registered to the reference frame and warped onto it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs.capabilities import register_sequence
from UltrasoundMotionLib.jobs.capabilities.register_sequence import choose_device, sequence_registration_job
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.registration.request import SequenceRequest
from UltrasoundMotionLib.registration.sequences.sequence_registration import AnyFrameRegistration, SequenceRegistration
from UltrasoundMotionLib.settings import takes_request

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob

__all__ = ["StillSequence", "choose_device", "partial", "result", "run", "still_sequence_job"]


@dataclass(frozen=True, eq=False)
class StillSequence:
    """A registered sequence and its frames without motion.

    Attributes:
        registration: the fields.
        frames: (T, H, W) or (T, D, H, W) in the sequence's dtype: frame t at x + u_t(x), which looks like the
            reference; None where the run was interrupted before all were made.
    """

    registration: SequenceRegistration
    frames: np.ndarray | None


@takes_request(SequenceRequest)
def still_sequence_job(sequence: ImageSequence | Sequence[Volume], *, request: SequenceRequest) -> JobRequest:
    """Makes the job of registering a sequence to a frame and warping it onto that; its result is a `StillSequence`.

    Raises:
        InputError: as `sequence_registration_job`; fields from frame to frame, which cannot remove the motion.
    """
    if request.mode != SequenceRequest().mode:
        raise OptionError("mode", f"expected {SequenceRequest().mode}, got {request.mode!r}")
    return replace(sequence_registration_job(sequence, request=request), capability=__name__)


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Registers in the child process, then warps frame by frame."""
    found = register_sequence.run(job, device)
    if found["interrupted"]:
        return found
    registration = register_sequence.result(JobRequest(__name__, job.options, {}), job.folder, found)
    frames = job.folder.open("frames")
    still = np.empty(frames.shape, frames.dtype)
    for one in registration.frames:
        assert one is not None  # it was not interrupted
        still[one.frame] = _warped(frames[one.frame], one, device)
        job.progress(one.frame + 1, len(frames), "taking the motion out")
    job.folder.write("still", still)
    return found


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> StillSequence:
    """Builds the result from the arrays in the folder."""
    still = folder.read("still") if folder.has("still") else None
    return StillSequence(register_sequence.result(request, folder, found), still)


def partial(request: JobRequest, folder: JobFolder) -> StillSequence | None:
    """The fields that are finished by now; None before there is one."""
    registration = register_sequence.partial(request, folder)
    return None if registration is None else StillSequence(registration, None)


def _warped(frame: np.ndarray, registration: AnyFrameRegistration, device: str) -> np.ndarray:
    import torch

    from UltrasoundMotionLib.fields import warp

    image = torch.from_numpy(frame.astype(np.float32))[None, None].to(device)
    displacement = torch.from_numpy(np.ascontiguousarray(np.moveaxis(registration.displacement, -1, 0)))[None].to(
        device
    )
    values = warp(image, displacement)[0, 0].cpu().numpy()
    return values if frame.dtype.kind == "f" else np.round(values)
