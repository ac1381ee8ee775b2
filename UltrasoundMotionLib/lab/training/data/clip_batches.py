"""Batches of clips for point trackers: a few frames of a segment, with impartial motion, augmented and cropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.image_augmentation import ImageProbabilities, change_frames
from UltrasoundMotionLib.lab.training.data.motion_augmentation import (
    MotionRanges,
    draw_affine,
    move_frames,
    move_points,
)
from UltrasoundMotionLib.lab.training.data.pulse_clips import pulse_clip
from UltrasoundMotionLib.lab.training.data.scanner_effects import NO_EFFECTS, EffectProbabilities, apply_effects
from UltrasoundMotionLib.lab.training.data.speckle_clips import speckle_clip
from UltrasoundMotionLib.lab.training.data.step_batches import CPU, StepBatches
from UltrasoundMotionLib.lab.training.data.texture_recipes import TEXTURES
from UltrasoundMotionLib.lab.training.data.training_clip import TrainingClip
from UltrasoundMotionLib.lab.training.data.trajectory_clips import TrajectoryClips
from UltrasoundMotionLib.lab.training.data.warped_clips import RealFrame, warped_clip
from UltrasoundMotionLib.tracking.trackers.specknet.network_input import GreyScale


@dataclass(frozen=True)
class ClipBatchSettings:
    """The clips of a batch.

    Attributes:
        clips: number of clips in a batch.
        frames: frames of each clip.
        points: points of each clip.
        input_size: side of the network's whole input in pixels.
        crops: up to which fraction of the steps the input is cropped to which side in pixels; the last is the whole
            input.
        motion / images: augmentations.
        reversal: probability that time runs backwards.
        longest_skip: largest number of frames left out between two.
        regular_times: frames follow each other at one distance in time, for networks that look along it; False: they
            are drawn from a segment.
        warped_share: fraction of the clips that are warped real frames, when there are any.
        speckle_share: fraction of the clips that are scatterers imaged on the device.
        own_share: fraction of the others that are users' own clips, when there are any beside phantoms.
        pulse_share: fraction of the clips that are scatterers imaged by short pulses (`pulse_clips`).
        texture_share: fraction of the clips that are warped textures of `texture_recipes`.
        effects: probabilities of the effects of scanners and probes.
        clips_at_start / clips_per_step: number of clips that are drawn from at the first step, and by how many more at
            each later one, at most all, for clips that are still being simulated.
    """

    clips: int = 2
    frames: int = 4
    points: int = 64
    input_size: int = 512
    crops: tuple[tuple[float, int], ...] = ((0.85, 256), (1.0, 512))
    motion: MotionRanges = field(default_factory=MotionRanges)
    images: ImageProbabilities = field(default_factory=ImageProbabilities)
    reversal: float = 0.2
    longest_skip: int = 5
    regular_times: bool = field(default=False, repr=False)
    warped_share: float = 0.2
    speckle_share: float = 0.0
    own_share: float = 0.5
    pulse_share: float = 0.0
    texture_share: float = 0.0
    effects: EffectProbabilities = NO_EFFECTS
    clips_at_start: int = 1_000_000
    clips_per_step: float = 0.0

    def __post_init__(self) -> None:
        if not self.crops or self.crops[-1][0] != 1.0 or any(crop % 16 for _, crop in self.crops):
            raise InputError(f"crops must end with fraction 1.0 and be multiples of 16 px, got {self.crops}")
        if not 0 <= self.made_share <= 1:
            raise InputError(
                f"the shares of speckle, pulses and textures must add up to 1 at most: {self.made_share:g}"
            )

    @property
    def made_share(self) -> float:
        """Fraction of the clips that are made while training, from nothing."""
        return self.speckle_share + self.pulse_share + self.texture_share

    def crop(self, step: int, steps: int) -> int:
        """Returns the side of the input at a step of a run of `steps`."""
        return next(crop for part, crop in self.crops if step < part * steps or part == 1.0)


@dataclass(frozen=True)
class BatchClip:
    """One clip of a batch.

    Attributes:
        frames: (T, 1, S, S).
        points: (T, N, 2) in pixels of the frames.
        visible: (T, N) bool.
        query_frame: a random one.
    """

    frames: Tensor
    points: Tensor
    visible: Tensor
    query_frame: int


def segment_frames(clip_length: int, settings: ClipBatchSettings, rng: np.random.Generator) -> np.ndarray:
    """Draws the indices of `settings.frames` frames, in the order of time or in reverse.

    A segment of random length starts at a multiple of half its length (Sec. 4.4: about half overlap); 0 to 5 frames are
    skipped between those kept; frames are drawn from the rest, or follow each other there with `regular_times`.
    """
    length = int(rng.integers(min(2 * settings.frames, clip_length), clip_length + 1))
    starts = np.arange(0, clip_length - length + 1, max(1, length // 2))
    start = int(rng.choice(starts))
    skip = int(rng.integers(settings.longest_skip + 1))
    skip = min(skip, max(0, (length - 1) // max(1, settings.frames - 1) - 1))
    kept = np.arange(start, start + length, 1 + skip)
    count = min(settings.frames, len(kept))
    if settings.regular_times:
        first = int(rng.integers(len(kept) - count + 1))
        chosen = kept[first : first + count]
    else:
        chosen = np.sort(rng.choice(kept, count, replace=False))
    return chosen[::-1].copy() if rng.random() < settings.reversal else chosen


class ClipBatches(StepBatches[list[BatchClip]]):
    """Draws batches of clips.

    Args:
        clips: clips of phantoms; may be empty when there are real frames.
        real_frames: textures to warp.
        settings: of the batches.
        seed: of everything drawn.
        steps: length of the run, of which `settings.crops` are fractions.
        own: real clips with trajectories.

    Raises:
        InputError: there is nothing to draw from.
    """

    def __init__(
        self,
        clips: Sequence[TrainingClip],
        real_frames: Sequence[RealFrame],
        settings: ClipBatchSettings,
        seed: int,
        steps: int,
        *,
        own: TrajectoryClips | None = None,
    ) -> None:
        if not clips and not real_frames and not settings.made_share and own is None:
            raise InputError(
                "there is nothing to learn from: give clips of phantoms or of your own, real frames or a share of "
                "speckle"
            )
        self._own: Sequence[TrainingClip] = own.clips if own is not None else ()
        self._clips, self._real, self.settings, self._seed, self._steps = clips, real_frames, settings, seed, steps
        self.description = f"{settings!r} clips={len(clips)} real={len(real_frames)}"
        if settings.regular_times:
            self.description += " regular times"
        if own is not None:
            self.description += f" own={len(own.clips)} digest={own.digest}"

    def draw(self, step: int, rank: int = 0, device: torch.device = CPU) -> list[BatchClip]:
        """Returns the batch of a step, see `StepBatches`."""
        settings, crop = self.settings, self.settings.crop(step, self._steps)
        rng = np.random.default_rng([self._seed, step, rank])
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        count = min(len(self._clips), int(settings.clips_at_start + step * settings.clips_per_step))
        return [self._clip(count, crop, rng, generator) for _ in range(settings.clips)]

    def _clip(self, clip_count: int, crop: int, rng: np.random.Generator, generator: torch.Generator) -> BatchClip:
        settings = self.settings
        frames, points, visible = self._draw(clip_count, rng, generator)
        grey = GreyScale.of(frames[int(rng.integers(len(frames)))])
        scale = settings.input_size / max(frames.shape[2:])
        to_network = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2]])
        affine = _compose(draw_affine(settings.motion, settings.input_size, rng), to_network)
        points = move_points(points, affine)
        origin = self._crop_origin(points, visible, crop, rng)
        affine[:, 2] -= origin
        points = points - torch.as_tensor(origin, dtype=points.dtype, device=points.device)
        frames = move_frames(grey.apply(frames), affine, (crop, crop))
        inside = ((points >= 0) & (points <= crop - 1)).all(-1)
        kept = self._choose_points(visible & inside, rng)
        points, visible = points[:, kept], visible[:, kept]
        frames, covered = apply_effects(frames, points, settings.effects, rng, generator)
        frames, hidden = change_frames(frames, points, settings.images, rng, generator)
        return BatchClip(frames, points, visible & ~hidden & ~covered, int(rng.integers(len(frames))))

    def _draw(
        self, clip_count: int, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draws frames (T, 1, H, W), points (T, N, 2) in pixels of them and visible (T, N) from one of the sources."""
        settings, device = self.settings, generator.device
        # A run with neither real frames nor made clips draws the same numbers as before there were any.
        source = rng.random() if len(self._real) or settings.made_share else 1.0
        if not (clip_count or len(self._real) or len(self._own)):
            source *= settings.made_share
        count = 4 * settings.points
        if source < settings.speckle_share:
            return speckle_clip(settings.frames, count, rng, generator, device)
        if source < settings.speckle_share + settings.pulse_share:
            return pulse_clip(settings.frames, count, rng, generator)
        if source < settings.made_share:
            return self._warped(TEXTURES[int(rng.integers(len(TEXTURES)))](rng), rng, device)
        if len(self._real) and (
            not (clip_count or len(self._own)) or source < settings.made_share + settings.warped_share
        ):
            return self._warped(self._real[int(rng.integers(len(self._real)))], rng, device)
        if len(self._own) and (not clip_count or rng.random() < settings.own_share):
            clip = self._own[int(rng.integers(len(self._own)))]
        else:
            clip = self._clips[int(rng.integers(clip_count))]
        chosen = segment_frames(len(clip.frames), settings, rng)
        frames = torch.as_tensor(clip.frames[chosen], device=device).float()[:, None]
        return (
            frames,
            torch.as_tensor(clip.trajectories_px[chosen], device=device),
            torch.as_tensor(clip.visible[chosen], device=device),
        )

    def _warped(
        self, frame: RealFrame, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor]:
        settings, count = self.settings, 4 * self.settings.points
        frames, points = warped_clip(frame, settings.frames, count, rng, device, regular_times=settings.regular_times)
        return frames, points, torch.ones(points.shape[:2], dtype=torch.bool, device=device)

    def _crop_origin(self, points: Tensor, visible: Tensor, crop: int, rng: np.random.Generator) -> np.ndarray:
        """Draws the corner of a crop around a visible point, which is not always in its middle."""
        free = self.settings.input_size - crop
        if free <= 0:
            return np.zeros(2)
        seen = points[visible]
        if len(seen) == 0:
            return np.full(2, free / 2)
        middle = seen[int(rng.integers(len(seen)))].cpu().numpy() + rng.uniform(-0.3, 0.3, 2) * crop
        return np.round(np.clip(middle - crop / 2, 0, free))

    def _choose_points(self, seen: Tensor, rng: np.random.Generator) -> Tensor:
        """Draws points (indices) that are visible in at least two frames; fewer when there are not enough."""
        candidates = torch.nonzero(seen.sum(0) >= 2)[:, 0]
        order = torch.as_tensor(rng.permutation(len(candidates))[: self.settings.points], device=candidates.device)
        return candidates[order]


def _compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Returns the (2, 3) map that applies `inner`, then `outer`."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]], axis=1)
