"""Batches of windows around landmarks, for the Siamese trackers and LSDM, from three frames augmented alike."""

from __future__ import annotations

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
from UltrasoundMotionLib.lab.training.data.step_batches import CPU, StepBatches
from UltrasoundMotionLib.tracking.trackers.siamese.crops import (
    INSTANCE_SIZE,
    SAMPLE_PX,
    TARGET_PX,
    GreyRange,
    exemplar_windows,
    search_windows,
)
from UltrasoundMotionLib.tracking.windows.windows import crop_windows
from UltrasoundMotionLib.tracking.working_scale import UNIT_SIZE

FIELD_SIZE = 128
FIELD_SAMPLE_PX = 1.0
"""The windows for motion have the resolution that the frame has after `WorkingScale`."""

_TRIES = 20


@dataclass(frozen=True)
class LandmarkBatch:
    """B samples of landmarks. Grey values are about 0 to 1, on one scale in all windows of a sample.

    Attributes:
        exemplar: (B, 1, 127, 127) around the landmark in x_0.
        instance: (B, 1, 255, 255) search window in x_t, around the landmark's true place plus a drawn offset, with the
            exemplar's sample spacing.
        target: (B, 2) true place of the landmark in the search window, (x, y) in its samples; its middle is (127, 127).
        visible: (B,) bool, True where the landmark is visible in x_t; it always is in x_0.
        first / before / now: (B, 1, 128, 128) windows for motion in x_0, x_{t - dt} and x_t. They follow the landmark,
            as a tracker's do: sample (64, 64) is its place in x_0, about its place in x_{t - dt} (where that is known,
            else in x_t), and the middle of the search window in x_t. Their sample spacing is
            `FIELD_SAMPLE_PX / SAMPLE_PX` times the exemplar's.
        trajectories: (3, B, P, 2) true places of P points nearby in those three windows, in their samples, NaN where
            not visible; None where there are none. For validation of motion only.
        size: (B,) size of the landmark in the search window relative to the exemplar, from the window's drawn scale.
        ratio: (B,) height over width of the landmark, a square in the exemplar, in the search window.
    """

    exemplar: Tensor
    instance: Tensor
    target: Tensor
    visible: Tensor
    first: Tensor
    before: Tensor
    now: Tensor
    trajectories: Tensor | None
    size: Tensor
    ratio: Tensor


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
        trajectories: number of points nearby in each sample; 0: none.
        liver_share: fraction of the triples from sources whose names begin with `liver`, when there are others.
        largest_size: the search window is enlarged by a factor drawn between this and its inverse; 1 leaves it.
        largest_ratio: the search window is stretched so that height over width of what it shows changes by a factor
            drawn between this and its inverse; 1 leaves it.
        windows_for_motion: cut `first`, `before` and `now`; otherwise they are empty, (B, 1, 0, 0).
        near_share / near_offset: with windows for motion, this fraction of the samples has offsets up to `near_offset`
            only, since a tracker is seldom far off.
        before_deviation: with windows for motion, standard deviation of the error of the landmark's place in
            x_{t - dt}, in their samples.
    """

    triples: int = 4
    landmarks: int = 4
    motion: MotionRanges | None = field(default_factory=MotionRanges)
    images: ImageProbabilities | None = field(default_factory=ImageProbabilities)
    longest_offset: float = 56.0
    hidden_share: float = 0.25
    trajectories: int = 16
    liver_share: float = 0.7
    largest_size: float = 1.0
    largest_ratio: float = 1.0
    windows_for_motion: bool = True
    near_share: float = 0.75
    near_offset: float = 20.0
    before_deviation: float = 0.7


class LandmarkBatches(StepBatches[LandmarkBatch]):
    """Draws batches of landmarks from sequences.

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

    def draw(self, step: int, rank: int = 0, device: torch.device = CPU) -> LandmarkBatch:
        """Returns the batch of a step, see `StepBatches`.

        Raises:
            InputError: no landmark could be used in many triples.
        """
        rng = np.random.default_rng([self._seed, step, rank])
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        return _joined([self._part(rng, generator) for _ in range(self.settings.triples)])

    def _part(self, rng: np.random.Generator, generator: torch.Generator) -> LandmarkBatch:
        for _ in range(_TRIES):
            source = self._sources[int(rng.choice(len(self._sources), p=self._weights))]
            part = self._windows(source.draw(rng), rng, generator)
            if part is not None:
                return part
        raise InputError(f"{source.name} and others: no landmark is visible in two frames")

    def _windows(
        self, drawn: FrameTriple, rng: np.random.Generator, generator: torch.Generator
    ) -> LandmarkBatch | None:
        """Returns the windows of some landmarks of a triple; None when it has none that can be used."""
        settings, device = self.settings, generator.device
        frames, points, visible = self._augmented(drawn, rng, generator)
        chosen = _choose(frames[0], points, visible, settings, rng)
        if chosen is None:
            return None
        count, unit = len(chosen), max(frames.shape[2:]) / UNIT_SIZE
        start, place = points[0, chosen], points[2, chosen]
        step = torch.full((count,), unit * SAMPLE_PX, device=device)
        first, now = frames[0, 0], frames[2, 0]
        offset = torch.as_tensor(self._offsets(count, rng), dtype=torch.float32, device=device)
        size = torch.as_tensor(settings.largest_size ** rng.uniform(-1, 1, count), dtype=torch.float32, device=device)
        ratio = torch.ones_like(size)
        if settings.largest_ratio != 1:
            drawn_ratios = settings.largest_ratio ** rng.uniform(-1, 1, count)
            ratio = torch.as_tensor(drawn_ratios, dtype=torch.float32, device=device)
        steps = (step / size)[:, None] * torch.stack((ratio.sqrt(), ratio.rsqrt()), dim=1)
        middles = torch.stack(
            (
                start,
                torch.where(torch.isnan(points[1, chosen]), place, points[1, chosen]),
                place + offset * steps,
            )
        )
        if settings.windows_for_motion:
            field_step = torch.full((count,), unit * FIELD_SAMPLE_PX, device=device)
            middles[1] += (
                torch.as_tensor(rng.normal(0, settings.before_deviation, (count, 2)), device=device)
                * field_step[:, None]
            )
            windows = [
                crop_windows(frame[0], at, field_step, FIELD_SIZE, outside="mean")[:, None]
                for frame, at in zip(frames, middles, strict=True)
            ]
        else:
            windows = [first.new_zeros((count, 1, 0, 0))] * 3
        return LandmarkBatch(
            exemplar_windows(first, start, step),
            search_windows(now, middles[2], steps),
            INSTANCE_SIZE // 2 - offset,
            visible[2, chosen],
            windows[0],
            windows[1],
            windows[2],
            _near_by(points, visible, chosen, middles, step=unit * FIELD_SAMPLE_PX, count=settings.trajectories),
            size,
            ratio,
        )

    def _offsets(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws the offsets (B, 2) of the search windows' middles from the landmarks, in their samples."""
        settings = self.settings
        longest = np.full((count, 1), settings.longest_offset)
        if settings.windows_for_motion:
            longest[rng.random(count) < settings.near_share] = min(settings.near_offset, settings.longest_offset)
        return rng.uniform(-1, 1, (count, 2)) * longest

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


def _near_by(
    points: Tensor, visible: Tensor, chosen: np.ndarray, middles: Tensor, *, step: float, count: int
) -> Tensor | None:
    """Returns the places (3, B, P, 2) of the points nearest to each landmark, in samples of the windows for motion
    around `middles` (3, B, 2).
    """
    if count == 0 or points.shape[1] < count:
        return None
    known = torch.where(visible[..., None], points, torch.nan)
    distance = torch.nan_to_num(torch.linalg.norm(known[0, None] - points[0, chosen][:, None], dim=2), nan=torch.inf)
    nearest = distance.argsort(dim=1)[:, :count]
    places = (known[:, nearest] - middles[:, :, None]) / step + FIELD_SIZE // 2
    inside = ((places >= 0) & (places <= FIELD_SIZE - 1)).all(dim=3, keepdim=True)
    return torch.where(inside, places, torch.nan)


def _joined(parts: Sequence[LandmarkBatch]) -> LandmarkBatch:
    names = ("exemplar", "instance", "target", "visible", "first", "before", "now", "size", "ratio")
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    known = [part.trajectories for part in parts if part.trajectories is not None]
    return LandmarkBatch(**joined, trajectories=torch.cat(known, dim=1) if len(known) == len(parts) else None)
