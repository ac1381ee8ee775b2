"""Batches for LSDM: triples of whole frames, and windows around landmarks of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.triple_batches import ChosenLandmarks, TripleBatches
from UltrasoundMotionLib.tracking.trackers.lsdm.motion import MOTION_SIZE, motion_frames
from UltrasoundMotionLib.tracking.trackers.lsdm.network import Landmarks
from UltrasoundMotionLib.tracking.trackers.lsdm.tracking_branch import INSTANCE, SAMPLE
from UltrasoundMotionLib.tracking.trackers.siamese.crops import standardised
from UltrasoundMotionLib.tracking.windows.windows import crop_windows

_NEAR_SHARE, _NEAR = 0.75, 0.35
"""Share of the landmarks whose search window lies nearly right, and the part of the largest offset that it is off by:
a tracker is seldom far off.
"""


@dataclass(frozen=True)
class LsdmBatch:
    """B triples of frames, and N landmarks of them.

    Attributes:
        frames: (B, 3, 128, 128) x_0, x_{t-dt} and x_t of `motion_frames`.
        landmarks: the landmarks' windows.
        target: (N, 2) true places in x_t, (x, y) in samples from the middle of the search window.
        visible: (N,) bool, True where the landmark is visible in x_t; it always is in x_0.
    """

    frames: Tensor
    landmarks: Landmarks
    target: Tensor
    visible: Tensor


class LsdmBatches(TripleBatches[LsdmBatch]):
    """Draws frames and windows from sequences; `longest_offset` is in samples of LSDM's search window."""

    def _cut(self, drawn: ChosenLandmarks, rng: np.random.Generator) -> LsdmBatch:
        frames, start, place = drawn.frames, drawn.start, drawn.place
        whole, scale = motion_frames(frames.transpose(0, 1))
        count, device = len(start), frames.device
        longest = np.full((count, 1), self.settings.longest_offset)
        longest[rng.random(count) < _NEAR_SHARE] *= _NEAR
        offset = torch.as_tensor(rng.uniform(-1, 1, (count, 2)) * longest, dtype=torch.float32, device=device)
        step = SAMPLE / scale
        middles = place + offset * step
        steps = torch.full((count,), step, device=device)
        first, search = (
            standardised(crop_windows(frame[0], at, steps, INSTANCE, outside="mean")[:, None])
            for frame, at in ((frames[0], start), (frames[2], middles))
        )
        landmarks = Landmarks(
            torch.zeros(count, dtype=torch.long, device=device),
            (start + 0.5) * scale - 0.5,
            (middles + 0.5) * scale - 0.5,
            first,
            search,
        )
        return LsdmBatch(whole, landmarks, -offset, drawn.visible)

    def _joined(self, parts: Sequence[LsdmBatch]) -> LsdmBatch:
        marks = [part.landmarks for part in parts]
        return LsdmBatch(
            torch.cat([_square(part.frames) for part in parts]),
            Landmarks(
                torch.cat([one.frames + number for number, one in enumerate(marks)]),
                *(torch.cat([getattr(one, name) for one in marks]) for name in ("start", "middles", "first", "search")),
            ),
            torch.cat([part.target for part in parts]),
            torch.cat([part.visible for part in parts]),
        )


def _square(frames: Tensor) -> Tensor:
    """Fills frames up with 0 to a square, so that those of several sequences fit together."""
    height, width = frames.shape[2:]
    return torch.nn.functional.pad(frames, (0, MOTION_SIZE - width, 0, MOTION_SIZE - height))
