"""Batches of landmarks from three frames of a sequence, augmented alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.image_augmentation import ImageProbabilities, change_frames
from UltrasoundMotionLib.lab.training.data.landmark_sources import FrameTriple, LandmarkSource
from UltrasoundMotionLib.lab.training.data.motion_augmentation import (
    MotionRanges,
    draw_affine,
    move_frames,
    move_points,
)
from UltrasoundMotionLib.lab.training.data.step_batches import CPU, Batch, StepBatches
from UltrasoundMotionLib.tracking.trackers.siamese.crops import TARGET_PX, GreyRange
from UltrasoundMotionLib.tracking.working_scale import UNIT_SIZE

_TRIES = 20


@dataclass(frozen=True)
class LandmarkBatchSettings:
    """The landmarks of a batch.

    Attributes:
        triples: sets of three frames in a batch.
        landmarks: landmarks of each; batches have `triples` x `landmarks` samples.
        motion / images: augmentations; None leaves frames as they are.
        longest_offset: largest offset of the search window's middle from the landmark, in its samples along x and y;
            the response of a Siamese network reaches 64.
        hidden_share: largest fraction of landmarks that are not visible in x_t.
        liver_share: fraction of the triples from sources whose names begin with `liver`, when there are others.
        largest_size: the search window is enlarged by a factor drawn between this and its inverse; 1 leaves it.
        largest_ratio: the search window is stretched so that height over width of what it shows changes by a factor
            drawn between this and its inverse; 1 leaves it.
    """

    triples: int = 4
    landmarks: int = 4
    motion: MotionRanges | None = field(default_factory=MotionRanges)
    images: ImageProbabilities | None = field(default_factory=ImageProbabilities)
    longest_offset: float = 56.0
    hidden_share: float = 0.25
    liver_share: float = 0.7
    largest_size: float = 1.0
    largest_ratio: float = 1.0


@dataclass(frozen=True)
class ChosenLandmarks:
    """Three augmented frames and the landmarks chosen in them.

    Attributes:
        frames: (3, 1, H, W) x_0, x_{t - dt} and x_t, grey values of about 0 to 1 on one scale.
        start / place: (N, 2) true places in x_0 and x_t, in pixels.
        visible: (N,) bool, True where the landmark is visible in x_t; it always is in x_0.
    """

    frames: Tensor
    start: Tensor
    place: Tensor
    visible: Tensor


class TripleBatches(StepBatches[Batch]):
    """Draws landmarks of three frames from sequences.

    Raises:
        InputError: there are no sources.
    """

    def __init__(self, sources: Sequence[LandmarkSource], settings: LandmarkBatchSettings, seed: int) -> None:
        if not sources:
            raise InputError(
                "there is nothing to learn from: give clips of phantoms, CLUST-style folders or real frames"
            )
        self._sources, self.settings, self._seed = tuple(sources), settings, seed
        self.description = f"{settings!r} sources={len(sources)}"
        liver = np.array([source.in_group("liver") for source in self._sources])
        share = settings.liver_share if 0 < liver.sum() < len(liver) else liver.mean()
        self._weights = np.where(liver, share / max(1, liver.sum()), (1 - share) / max(1, (~liver).sum()))
        self._weights /= self._weights.sum()

    def draw(self, step: int, rank: int = 0, device: torch.device = CPU) -> Batch:
        """Returns the batch of a step, see `StepBatches`.

        Raises:
            InputError: no landmark could be used in many triples.
        """
        rng = np.random.default_rng([self._seed, step, rank])
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        return self._joined([self._part(rng, generator) for _ in range(self.settings.triples)])

    @abstractmethod
    def _cut(self, drawn: ChosenLandmarks, rng: np.random.Generator) -> Batch:
        """Cuts the landmarks' windows out of the frames."""

    @abstractmethod
    def _joined(self, parts: Sequence[Batch]) -> Batch:
        """Joins the samples of several triples."""

    def _part(self, rng: np.random.Generator, generator: torch.Generator) -> Batch:
        for _ in range(_TRIES):
            source = self._sources[int(rng.choice(len(self._sources), p=self._weights))]
            frames, points, visible = self._augmented(source.draw(rng), rng, generator)
            chosen = _choose(frames[0], points, visible, self.settings, rng)
            if chosen is not None:
                return self._cut(ChosenLandmarks(frames, points[0, chosen], points[2, chosen], visible[2, chosen]), rng)
        raise InputError(f"{source.name} and others: no landmark is visible in two frames")

    def _augmented(
        self, drawn: FrameTriple, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns augmented frames (3, 1, S, S), points (3, N, 2) in them and visible (3, N)."""
        settings, device = self.settings, generator.device
        frames = torch.as_tensor(drawn.frames, device=device).float()[:, None]
        points = torch.as_tensor(drawn.points_px, dtype=torch.float32, device=device)
        visible = torch.as_tensor(drawn.visible, device=device)
        longer = max(frames.shape[2:])
        halvings = max(0, int(np.floor(np.log2(longer / UNIT_SIZE))))
        if halvings:  # as `WorkingScale` does
            frames = F.avg_pool2d(frames, 2**halvings, ceil_mode=True, count_include_pad=False)
            points = (points + 0.5) / 2**halvings - 0.5
        frames = GreyRange.of(frames[0]).apply(frames)
        if settings.motion is not None:
            side = max(frames.shape[2:])
            affine = draw_affine(settings.motion, side, rng)
            frames, points = move_frames(frames, affine, (side, side)), move_points(points, affine)
        if settings.images is not None:
            frames, hidden = change_frames(frames, torch.nan_to_num(points), settings.images, rng, generator)
            visible = visible & ~hidden
        return frames, points, visible


def _choose(
    first: Tensor, points: Tensor, visible: Tensor, settings: LandmarkBatchSettings, rng: np.random.Generator
) -> np.ndarray | None:
    """Draws landmarks (indices) that are visible in x_0 (1, H, W) and known and inside in x_t, most of them visible
    there; some are repeated when there are too few.

    Places with structure are drawn more often, as people choose landmarks there: by the deviation of grey levels within
    a target of nominal size.
    """
    height, width = first.shape[1:]
    limits = torch.tensor([width - 1, height - 1], device=points.device)
    inside = ((points >= 0) & (points <= limits)).all(dim=2)  # False where not known
    usable = (visible[0] & inside[0] & inside[2]).cpu().numpy()
    seen = usable & visible[2].cpu().numpy()
    if not seen.any():
        return None
    side = round(TARGET_PX * max(height, width) / UNIT_SIZE) // 2 * 2 + 1
    mean, power = (
        F.avg_pool2d(values, side, 4, side // 2, count_include_pad=False)[0] for values in (first, first.square())
    )
    deviation = (power - mean.square()).clamp(min=0).sqrt()
    columns, rows = (torch.nan_to_num(points[0]).clamp(min=0).minimum(limits) / 4).long().T
    weights = deviation[rows, columns].cpu().numpy().astype(np.float64) + 0.02
    hidden = rng.permutation(np.flatnonzero(usable & ~seen))[: int(settings.hidden_share * settings.landmarks)]
    count = settings.landmarks - len(hidden)
    shown = rng.choice(
        np.flatnonzero(seen), count, replace=int(seen.sum()) < count, p=weights[seen] / weights[seen].sum()
    )
    return np.concatenate([hidden, shown])
