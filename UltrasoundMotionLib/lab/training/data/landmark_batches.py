"""Batches of windows around landmarks, for the Siamese trackers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.triple_batches import ChosenLandmarks, TripleBatches
from UltrasoundMotionLib.tracking.trackers.siamese.crops import (
    INSTANCE_SIZE,
    SAMPLE_PX,
    exemplar_windows,
    search_windows,
)
from UltrasoundMotionLib.tracking.working_scale import UNIT_SIZE


@dataclass(frozen=True)
class LandmarkBatch:
    """B samples of landmarks. Grey values are about 0 to 1, on one scale in both windows of a sample.

    Attributes:
        exemplar: (B, 1, 127, 127) around the landmark in x_0.
        instance: (B, 1, 255, 255) search window in x_t, around the landmark's true place plus a drawn offset, with the
            exemplar's sample spacing.
        target: (B, 2) true place of the landmark in the search window, (x, y) in its samples; its middle is (127, 127).
        visible: (B,) bool, True where the landmark is visible in x_t; it always is in x_0.
        size: (B,) size of the landmark in the search window relative to the exemplar, from the window's drawn scale.
        ratio: (B,) height over width of the landmark, a square in the exemplar, in the search window.
    """

    exemplar: Tensor
    instance: Tensor
    target: Tensor
    visible: Tensor
    size: Tensor
    ratio: Tensor


class LandmarkBatches(TripleBatches[LandmarkBatch]):
    """Draws exemplars and search windows from sequences."""

    def _cut(self, drawn: ChosenLandmarks, rng: np.random.Generator) -> LandmarkBatch:
        settings, device = self.settings, drawn.frames.device
        count = len(drawn.start)
        step = torch.full((count,), max(drawn.frames.shape[2:]) / UNIT_SIZE * SAMPLE_PX, device=device)
        longest = settings.longest_offset
        offset = torch.as_tensor(rng.uniform(-longest, longest, (count, 2)), dtype=torch.float32, device=device)
        size = torch.as_tensor(settings.largest_size ** rng.uniform(-1, 1, count), dtype=torch.float32, device=device)
        ratio = torch.ones_like(size)
        if settings.largest_ratio != 1:
            drawn_ratios = settings.largest_ratio ** rng.uniform(-1, 1, count)
            ratio = torch.as_tensor(drawn_ratios, dtype=torch.float32, device=device)
        steps = (step / size)[:, None] * torch.stack((ratio.sqrt(), ratio.rsqrt()), dim=1)
        middles = drawn.place + offset * steps
        return LandmarkBatch(
            exemplar_windows(drawn.frames[0, 0], drawn.start, step),
            search_windows(drawn.frames[2, 0], middles, steps),
            INSTANCE_SIZE // 2 - offset,
            drawn.visible,
            size,
            ratio,
        )

    def _joined(self, parts: Sequence[LandmarkBatch]) -> LandmarkBatch:
        names = [one.name for one in fields(LandmarkBatch)]
        return LandmarkBatch(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
