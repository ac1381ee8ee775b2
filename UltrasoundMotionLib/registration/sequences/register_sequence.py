"""Dense motion through a 2D+t or 3D+t sequence, every frame to the reference or each to the one before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.device import choose_device, choose_threads, device_note, on_threads, threads_note
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import jacobian_determinant, resample_displacement, warp
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.request import SEQUENCE_METHODS, SequenceRequest, with_config
from UltrasoundMotionLib.registration.sequences.frames import Frames, open_frames
from UltrasoundMotionLib.registration.sequences.linear_following import LinearFollower
from UltrasoundMotionLib.registration.sequences.sequence_registration import (
    NO_MEASURES,
    AnyFrameRegistration,
    FrameMeasures,
    FrameRegistration,
    LinearFrameRegistration,
    SequenceRegistration,
)
from UltrasoundMotionLib.registration.sequences.settings import SEQUENCE_DEVICES, SEQUENCE_NAME, SequenceSettings
from UltrasoundMotionLib.registration.sequences.template_following import TemplateFollower
from UltrasoundMotionLib.settings import takes_request, with_changes
from UltrasoundMotionLib.similarity import lncc, mse

_NLCC_WINDOW = 21
"""Radius ten, as in SSMSR, III-B."""


@takes_request(SequenceRequest)
def register_sequence(
    sequence: ImageSequence | Sequence[Volume],
    *,
    config: Any = None,
    progress: Progress = no_progress,
    on_frame: Callable[[AnyFrameRegistration], None] | None = None,
    keep_partial: bool = False,
    request: SequenceRequest,
) -> SequenceRegistration:
    """Finds where every point of the reference frame is in every other frame.

    Args:
        sequence: a clip, or volumes of one grid in the order of time.
        config: former name of `settings`.
        progress: called for each frame; raising from it stops the call.
        on_frame: called with each frame as soon as it is found, before `progress`.
        keep_partial: when `progress` raises, return what was finished (`interrupted` says so) rather than pass the
            exception on.
        request: the options; each can be given by name instead, as in `register_sequence(..., reference_frame=3)`.

    Raises:
        InputError: fewer than two frames; frames that are too small, constant or not finite; volumes of different
            grids; a mask, frame, mode or device that does not fit.
    """
    began = time.perf_counter()
    stream = _Stream(sequence, with_config(request, config))
    found: list[AnyFrameRegistration | None] = [None] * len(stream.frames)
    interrupted = False
    try:
        for done, one in enumerate(stream):
            found[one.frame] = one
            if on_frame is not None:
                on_frame(one)
            progress(done + 1, len(found), "registering frames")
    except BaseException:
        if not keep_partial or not any(found):
            raise
        interrupted = True
    seconds = time.perf_counter() - began
    return SequenceRegistration(
        tuple(found), request.reference_frame, request.mode, seconds, stream.device, tuple(stream.notes), interrupted
    )


@takes_request(SequenceRequest)
def stream_sequence_registration(
    sequence: ImageSequence | Sequence[Volume], *, config: Any = None, request: SequenceRequest
) -> Iterator[AnyFrameRegistration]:
    """Registers one frame at a time in bounded memory: the reference frame first, then to the end, then from the
    reference back to the first frame.

    Input is checked at the call. Arguments and errors as `register_sequence`.
    """
    return iter(_Stream(sequence, with_config(request, config)))


class _Stream:
    """Checked input, and the loop over it."""

    def __init__(self, sequence: ImageSequence | Sequence[Volume], request: SequenceRequest) -> None:
        self._settings = _sequence_settings(request.settings)
        self.frames: Frames = open_frames(sequence, request.reference_frame, request.mask)
        self.device = choose_device(request.device, supported=SEQUENCE_DEVICES, name=SEQUENCE_NAME)
        self._threads = choose_threads(request.threads, deterministic=request.deterministic)
        self._deterministic = request.deterministic
        said = (
            device_note(request.device, supported=SEQUENCE_DEVICES, name=SEQUENCE_NAME),
            threads_note(self._threads, self.device),
        )
        self.notes = [note for note in said if note]
        self._reference_frame, self._mode, self._method = request.reference_frame, request.mode, request.method

    def __iter__(self) -> Iterator[AnyFrameRegistration]:
        if self._method != SEQUENCE_METHODS[0]:
            return self._linear()
        return self._to_reference() if self._mode == "to-reference" else self._frame_to_frame()

    def _to_reference(self) -> Iterator[FrameRegistration]:
        first = self._reference_frame
        fixed = self.frames.tensor(first)
        yield self._result(first, self._follower(fixed, self.frames.mask), fixed, fixed)
        for numbers in (range(first + 1, len(self.frames)), range(first - 1, -1, -1)):
            follower = self._follower(fixed, self.frames.mask)
            for number in numbers:
                moving = self.frames.tensor(number)
                follower = self._updated(follower, moving)
                yield self._result(number, follower, fixed, moving)

    def _linear(self) -> Iterator[LinearFrameRegistration]:
        """Aligns every frame to the reference by a matrix, on the CPU."""
        first, frames = self._reference_frame, self.frames
        fixed, mask = frames.tensor(first), frames.mask[0, 0].numpy() > 0
        dimension = fixed.ndim - 2
        threads = 1 if self._deterministic else self._threads

        def result(number: int, matrix: np.ndarray, moving: Tensor) -> LinearFrameRegistration:
            found = LinearFrameRegistration(number, matrix, dimension, frames.grid, NO_MEASURES)
            displacement = torch.from_numpy(np.moveaxis(found.displacement, -1, 0).copy())[None]
            return replace(found, measures=measure_frame(fixed, moving, frames.mask, displacement))

        yield result(first, np.eye(4), fixed)
        for numbers in (range(first + 1, len(frames)), range(first - 1, -1, -1)):
            follower = LinearFollower(fixed[0, 0].numpy(), mask, frames.grid, self._method)
            for number in numbers:
                moving = frames.tensor(number)
                yield result(number, follower.update(moving[0, 0].numpy(), number, threads=threads), moving)

    def _frame_to_frame(self) -> Iterator[FrameRegistration]:
        before = self.frames.tensor(0)
        follower = self._follower(before, self.frames.mask)
        yield self._result(0, follower, before, before)
        for number in range(1, len(self.frames)):
            fixed = self.frames.tensor(number)
            last, follower = follower, self._follower(fixed, self.frames.mask)
            follower.field = last.field.to(follower.field)  # motion continues much as before
            follower = self._updated(follower, before)
            yield self._result(number, follower, fixed, before)
            before = fixed

    def _follower(self, fixed: Tensor, mask: Tensor) -> TemplateFollower:
        settings = self._settings
        if self._mode == "frame-to-frame":  # one pair: the other templates would be the fixed frame again
            settings = replace(settings, reference=1.0, previous=0.0, average=0.0)
        reference, counts, moving_mask = (one.to(self.device) for one in (fixed, mask, self.frames.moving_mask))
        return TemplateFollower(reference, counts, moving_mask, settings, self.frames.relative_spacing)

    def _updated(self, follower: TemplateFollower, moving: Tensor) -> TemplateFollower:
        """Advances the follower by one frame; when a GPU's memory runs out, continues on the CPU."""
        with on_threads(self._threads, deterministic=self._deterministic):
            try:
                follower.update(moving.to(self.device))
            except torch.OutOfMemoryError:
                self.notes.append(f"{self.device} ran out of memory; continued on the CPU")
                self.device = "cpu"
                follower = follower.on("cpu")
                follower.update(moving)
        return follower

    def _result(self, number: int, follower: TemplateFollower, fixed: Tensor, moving: Tensor) -> FrameRegistration:
        field = follower.field
        voxels_per_node = [size / nodes for size, nodes in zip(fixed.shape[:1:-1], field.shape[:1:-1], strict=True)]
        control = field[0].cpu() * torch.tensor(voxels_per_node).view(-1, *[1] * (field.ndim - 2))
        displacement = resample_displacement(field, tuple(fixed.shape[2:]))
        fixed, moving, mask = (one.to(field.device) for one in (fixed, moving, self.frames.mask))
        measures = measure_frame(fixed, moving, mask, displacement)
        return FrameRegistration(number, control.numpy().astype(np.float32), self.frames.grid, measures)


@torch.no_grad()
def measure_frame(fixed: Tensor, moving: Tensor, mask: Tensor, displacement: Tensor) -> FrameMeasures:
    """Measures the similarity of two frames without and with a displacement, as SSMSR for tissue tracking (III-B).

    Args:
        fixed, moving: (1, 1, *spatial) in [0, 1].
        mask: the same shape, above 0 where the frames count.
        displacement: (1, n, *spatial) in voxels, channels (x, y[, z]).
    """
    warped = warp(moving, displacement)
    folded = (jacobian_determinant(displacement)[:, None] <= 0) & (mask > 0)
    return FrameMeasures(
        mse_before=float(mse(fixed, moving, mask=mask)),
        mse=float(mse(fixed, warped, mask=mask)),
        nlcc_before=float(lncc(fixed, moving, _NLCC_WINDOW, mask=mask)),
        nlcc=float(lncc(fixed, warped, _NLCC_WINDOW, mask=mask)),
        share_nonpositive=float(folded.sum() / (mask > 0).sum()),
    )


def _sequence_settings(settings: Any = None) -> SequenceSettings:
    """The settings given, or the default ones with the changes of a mapping.

    Raises:
        InputError: settings of another kind, or changes to settings that do not exist.
    """
    if settings is None or isinstance(settings, Mapping):
        return with_changes(SequenceSettings(), settings)
    if not isinstance(settings, SequenceSettings):
        raise InputError(f"settings: a sequence takes SequenceSettings, got {type(settings).__name__}")
    return settings
