"""From clips to what one training step sees: a few frames of a segment, moved impartially, changed in their looks, cut
out, on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.lab.training.image_augmentation import ImageProbabilities, change_frames
from UltrasoundMotionLib.lab.training.motion_augmentation import MotionRanges, draw_affine, move_frames, move_points
from UltrasoundMotionLib.lab.training.speckle_clips import speckle_clip
from UltrasoundMotionLib.lab.training.training_clip import TrainingClip
from UltrasoundMotionLib.lab.training.warped_clips import RealFrame, warped_clip
from UltrasoundMotionLib.tracking.trackers.specknet.network_input import GreyScale


@dataclass(frozen=True)
class BatchConfig:
    """What a step sees.

    Attributes:
        clips: clips of a step.
        frames: frames of each.
        points: points of each.
        input_size: side of the network's whole input in pixels.
        motion / images: the augmentations.
        reversal: probability that time runs backwards.
        longest_skip: frames left out between two, 0 to this.
        warped_share: part of clips that are warped real frames, when there are any.
        speckle_share: part of clips that are scatterers imaged on the device.
        clips_at_start / clips_per_step: how many of the clips are drawn from at the first step, and by how many more at
            each later one, for clips that are made while training goes on; at most all of them.
    """

    clips: int = 2
    frames: int = 4
    points: int = 64
    input_size: int = 512
    motion: MotionRanges = field(default_factory=MotionRanges)
    images: ImageProbabilities = field(default_factory=ImageProbabilities)
    reversal: float = 0.2
    longest_skip: int = 5
    warped_share: float = 0.2
    speckle_share: float = 0.0
    clips_at_start: int = 1_000_000
    clips_per_step: float = 0.0


@dataclass(frozen=True)
class BatchClip:
    """One clip of a step: frames (T, 1, S, S); points (T, N, 2) in pixels of them; visible (T, N) bool; a random query
    frame.
    """

    frames: Tensor
    points: Tensor
    visible: Tensor
    query_frame: int


def segment_frames(clip_length: int, config: BatchConfig, rng: np.random.Generator) -> np.ndarray:
    """Numbers of `config.frames` frames in order of time, or against it.

    A segment of random length starts at a multiple of half its length (Sec. 4.4: about half overlap); 0 to 5 frames are
    left out between those kept; of what is left, frames are drawn.
    """
    length = int(rng.integers(min(2 * config.frames, clip_length), clip_length + 1))
    starts = np.arange(0, clip_length - length + 1, max(1, length // 2))
    start = int(rng.choice(starts))
    skip = int(rng.integers(config.longest_skip + 1))
    skip = min(skip, max(0, (length - 1) // max(1, config.frames - 1) - 1))
    kept = np.arange(start, start + length, 1 + skip)
    chosen = np.sort(rng.choice(kept, min(config.frames, len(kept)), replace=False))
    return chosen[::-1].copy() if rng.random() < config.reversal else chosen


class ClipSource:
    """Draws the clips of a step; everything random comes from the seed and the step's number, so that a run can be
    taken up anywhere.
    """

    def __init__(
        self,
        clips: Sequence[TrainingClip],
        real_frames: Sequence[RealFrame],
        config: BatchConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self._clips, self._real, self._config, self._seed, self._device = clips, real_frames, config, seed, device

    def step(self, number: int, crop: int) -> list[BatchClip]:
        """The clips of one step, cut to `crop` x `crop` pixels of the network's input."""
        rng = np.random.default_rng([self._seed, number])
        generator = torch.Generator(self._device).manual_seed(int(rng.integers(2**62)))
        count = min(len(self._clips), int(self._config.clips_at_start + number * self._config.clips_per_step))
        return [self._clip(count, crop, rng, generator) for _ in range(self._config.clips)]

    def _clip(self, clip_count: int, crop: int, rng: np.random.Generator, generator: torch.Generator) -> BatchClip:
        config = self._config
        frames, points, visible = self._draw(clip_count, rng, generator)
        grey = GreyScale.of(frames[int(rng.integers(len(frames)))])
        scale = config.input_size / max(frames.shape[2:])
        to_network = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2]])
        affine = _compose(draw_affine(config.motion, config.input_size, rng), to_network)
        points = move_points(points, affine)
        origin = self._crop_origin(points, visible, crop, rng)
        affine[:, 2] -= origin
        points = points - torch.as_tensor(origin, dtype=points.dtype, device=points.device)
        frames = move_frames(grey.apply(frames), affine, (crop, crop))
        inside = ((points >= 0) & (points <= crop - 1)).all(-1)
        kept = self._choose_points(visible & inside, rng)
        points, visible = points[:, kept], visible[:, kept]
        frames, hidden = change_frames(frames, points, config.images, rng, generator)
        return BatchClip(frames, points, visible & ~hidden, int(rng.integers(len(frames))))

    def _draw(
        self, clip_count: int, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (T, 1, H, W), points (T, N, 2) in pixels of them and visible (T, N) of a clip of one of the three
        sources.
        """
        config, device = self._config, self._device
        source = (
            rng.random() if len(self._real) or config.speckle_share else 1.0
        )  # so that a run with neither draws the same numbers
        if source < config.speckle_share or not (clip_count or len(self._real)):
            return speckle_clip(config.frames, 4 * config.points, rng, generator, device)
        if len(self._real) and (not clip_count or source < config.speckle_share + config.warped_share):
            frame = self._real[int(rng.integers(len(self._real)))]
            frames, points = warped_clip(frame, config.frames, 4 * config.points, rng, device)
            return frames, points, torch.ones(points.shape[:2], dtype=torch.bool, device=device)
        clip = self._clips[int(rng.integers(clip_count))]
        chosen = segment_frames(len(clip.frames), config, rng)
        frames = torch.as_tensor(clip.frames[chosen], device=device).float()[:, None]
        return (
            frames,
            torch.as_tensor(clip.trajectories_px[chosen], device=device),
            torch.as_tensor(clip.visible[chosen], device=device),
        )

    def _crop_origin(self, points: Tensor, visible: Tensor, crop: int, rng: np.random.Generator) -> np.ndarray:
        """Around a point that can be seen, not always in the middle."""
        free = self._config.input_size - crop
        if free <= 0:
            return np.zeros(2)
        seen = points[visible]
        if len(seen) == 0:
            return np.full(2, free / 2)
        middle = seen[int(rng.integers(len(seen)))].cpu().numpy() + rng.uniform(-0.3, 0.3, 2) * crop
        return np.round(np.clip(middle - crop / 2, 0, free))

    def _choose_points(self, seen: Tensor, rng: np.random.Generator) -> Tensor:
        """Numbers of points, of those that are seen in at least two frames; fewer when there are not enough."""
        candidates = torch.nonzero(seen.sum(0) >= 2)[:, 0]
        order = torch.as_tensor(rng.permutation(len(candidates))[: self._config.points], device=candidates.device)
        return candidates[order]


def _compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(2, 3) map: first `inner`, then `outer`."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]], axis=1)
