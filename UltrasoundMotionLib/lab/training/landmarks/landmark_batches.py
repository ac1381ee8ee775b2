"""Batches of windows around landmarks, for the Siamese trackers and LSDM: three frames of a sequence, moved and changed
in their looks together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.image_augmentation import ImageProbabilities, change_frames
from UltrasoundMotionLib.lab.training.landmarks.landmark_sources import FrameTriple, LandmarkSource
from UltrasoundMotionLib.lab.training.motion_augmentation import MotionRanges, draw_affine, move_frames, move_points
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
"""The windows for motion have the frame's own resolution, as `WorkingScale` has it."""

TRIES = 20


@dataclass(frozen=True)
class LandmarkBatch:
    """B samples on the device. Grey values are about 0 to 1, alike in all windows of a sample.

    Attributes:
        exemplar: (B, 1, 127, 127) around the landmark in x_0.
        instance: (B, 1, 255, 255) search window in x_t, around the landmark's true place plus a drawn offset; samples
            as far apart as the exemplar's.
        target: (B, 2) true place of the landmark in the search window, (x, y) in its samples; its middle is (127, 127).
        visible: (B,) bool, whether the landmark can be seen in x_t; it can in x_0.
        first / before / now: (B, 1, 128, 128) of x_0, x_{t - dt} and x_t. They follow the landmark, as a tracker's do:
            sample (64, 64) is its place in x_0, about its place in x_{t - dt} (where that is known, else in x_t), and
            the middle of the search window in x_t. Samples are `FIELD_SAMPLE_PX / SAMPLE_PX` times as far apart as the
            exemplar's.
        trajectories: (3, B, P, 2) true places of P points near by in those three windows, in their samples, NaN where
            not visible; None where there are none. For judging motion only.
        size: (B,) how much larger the landmark is in the search window than in the exemplar, by the search window's
            drawn scale.
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


@dataclass(frozen=True)
class LandmarkBatchConfig:
    """What a step sees.

    Attributes:
        triples: sets of three frames in a batch.
        landmarks: landmarks of each; batches have `triples` x `landmarks` samples.
        motion / images: the augmentations; None leaves frames as they are.
        longest_offset: of the search window's middle from the landmark, in its samples along x and y; the answer of a
            Siamese network reaches 64.
        hidden_share: greatest part of landmarks that are not visible in x_t.
        trajectories: points near by in each sample; 0 for none.
        liver_share: part of the triples from sources whose names begin with `liver`, when there are others.
        largest_size: the search window is enlarged by a factor drawn between this and its inverse; 1 leaves it.
        windows_for_motion: whether `first`, `before` and `now` are cut; without, they have no samples (B, 1, 0, 0).
        near_share / near_offset: with windows for motion, this part of the samples has offsets up to `near_offset`
            only: a tracker is seldom far off.
        before_deviation: with windows for motion, how far off the landmark's place in x_{t - dt} is (standard
            deviation, in samples of theirs).
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
    windows_for_motion: bool = True
    near_share: float = 0.75
    near_offset: float = 20.0
    before_deviation: float = 0.7


class LandmarkBatches:
    """Draws the batch of a step; everything random comes from the seed and the step's number, so that a run can be
    taken up anywhere.
    """

    def __init__(
        self, sources: Sequence[LandmarkSource], config: LandmarkBatchConfig, seed: int, device: torch.device
    ) -> None:
        """Raises InputError when there is nothing to draw from."""
        if not sources:
            raise InputError(
                "there is nothing to learn from: give clips of phantoms, CLUST-style folders or real frames"
            )
        self._sources, self._config, self._seed, self._device = tuple(sources), config, seed, device
        liver = np.array([source.in_group("liver") for source in self._sources])
        share = config.liver_share if 0 < liver.sum() < len(liver) else liver.mean()
        self._weights = np.where(liver, share / max(1, liver.sum()), (1 - share) / max(1, (~liver).sum()))
        self._weights /= self._weights.sum()

    def step(self, number: int) -> LandmarkBatch:
        """The batch of one step.

        Raises:
            InputError: in many triples not one landmark could be used.
        """
        rng = np.random.default_rng([self._seed, number])
        generator = torch.Generator(self._device).manual_seed(int(rng.integers(2**62)))
        parts = [self._part(rng, generator) for _ in range(self._config.triples)]
        return _joined(parts)

    def _part(self, rng: np.random.Generator, generator: torch.Generator) -> LandmarkBatch:
        for _ in range(TRIES):
            source = self._sources[int(rng.choice(len(self._sources), p=self._weights))]
            part = self._windows(source.draw(rng), rng, generator)
            if part is not None:
                return part
        raise InputError(f"{source.name} and others: no landmark is visible in two frames")

    def _windows(
        self, drawn: FrameTriple, rng: np.random.Generator, generator: torch.Generator
    ) -> LandmarkBatch | None:
        """The windows of some landmarks of a triple; None when it has none that can be used."""
        config = self._config
        frames, points, visible = self._augmented(drawn, rng, generator)
        chosen = _choose(frames[0], points, visible, config, rng)
        if chosen is None:
            return None
        count, unit = len(chosen), max(frames.shape[2:]) / UNIT_SIZE
        start, place = points[0, chosen], points[2, chosen]
        step = torch.full((count,), unit * SAMPLE_PX, device=self._device)
        first, now = frames[0, 0], frames[2, 0]
        offset = torch.as_tensor(self._offsets(count, rng), dtype=torch.float32, device=self._device)
        size = torch.as_tensor(
            config.largest_size ** rng.uniform(-1, 1, count), dtype=torch.float32, device=self._device
        )
        middles = torch.stack(
            (
                start,
                torch.where(torch.isnan(points[1, chosen]), place, points[1, chosen]),
                place + offset * (step / size)[:, None],
            )
        )
        if config.windows_for_motion:
            field_step = torch.full((count,), unit * FIELD_SAMPLE_PX, device=self._device)
            middles[1] += (
                torch.as_tensor(rng.normal(0, config.before_deviation, (count, 2)), device=self._device)
                * field_step[:, None]
            )
            motion = [
                crop_windows(frame[0], at, field_step, FIELD_SIZE, outside="mean")[:, None]
                for frame, at in zip(frames, middles, strict=True)
            ]
        else:
            motion = [first.new_zeros((count, 1, 0, 0))] * 3
        return LandmarkBatch(
            exemplar_windows(first, start, step),
            search_windows(now, middles[2], step / size),
            INSTANCE_SIZE // 2 - offset,
            visible[2, chosen],
            *motion,
            _near_by(points, visible, chosen, middles, step=unit * FIELD_SAMPLE_PX, count=config.trajectories),
            size,
        )

    def _offsets(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(B, 2) of the search windows' middles from the landmarks, in their samples."""
        config = self._config
        longest = np.full((count, 1), config.longest_offset)
        if config.windows_for_motion:
            longest[rng.random(count) < config.near_share] = min(config.near_offset, config.longest_offset)
        return rng.uniform(-1, 1, (count, 2)) * longest

    def _augmented(
        self, drawn: FrameTriple, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (3, 1, S, S), points (3, N, 2) in them and visible (3, N), moved and changed in their looks."""
        config, device = self._config, self._device
        frames = torch.as_tensor(drawn.frames, device=device).float()[:, None]
        points = torch.as_tensor(drawn.points_px, dtype=torch.float32, device=device)
        visible = torch.as_tensor(drawn.visible, device=device)
        longer = max(frames.shape[2:])
        halvings = max(0, int(np.floor(np.log2(longer / UNIT_SIZE))))
        if halvings:  # as `WorkingScale` does
            frames = F.avg_pool2d(frames, 2**halvings, ceil_mode=True, count_include_pad=False)
            points = (points + 0.5) / 2**halvings - 0.5
        frames = GreyRange.of(frames[0]).apply(frames)
        if config.motion is not None:
            side = max(frames.shape[2:])
            affine = draw_affine(config.motion, side, rng)
            frames, points = move_frames(frames, affine, (side, side)), move_points(points, affine)
        if config.images is not None:
            frames, hidden = change_frames(frames, torch.nan_to_num(points), config.images, rng, generator)
            visible = visible & ~hidden
        return frames, points, visible


def _choose(
    first: Tensor, points: Tensor, visible: Tensor, config: LandmarkBatchConfig, rng: np.random.Generator
) -> np.ndarray | None:
    """Numbers of landmarks: seen in x_0 (1, H, W), known and inside in x_t, most of them seen there; some twice when
    there are too few.

    What has structure around it is drawn more often, as whoever sets landmarks chooses it: by the deviation of grey
    levels within a nominal target.
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
    hidden = rng.permutation(np.flatnonzero(usable & ~seen))[: int(config.hidden_share * config.landmarks)]
    count = config.landmarks - len(hidden)
    shown = rng.choice(
        np.flatnonzero(seen), count, replace=int(seen.sum()) < count, p=weights[seen] / weights[seen].sum()
    )
    return np.concatenate([hidden, shown])


def _near_by(
    points: Tensor, visible: Tensor, chosen: np.ndarray, middles: Tensor, *, step: float, count: int
) -> Tensor | None:
    """(3, B, P, 2) places of the points nearest to each landmark, in samples of the windows for motion around `middles`
    (3, B, 2).
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
    names = ("exemplar", "instance", "target", "visible", "first", "before", "now")
    trajectories = [part.trajectories for part in parts]
    return LandmarkBatch(
        *(torch.cat([getattr(part, name) for part in parts]) for name in names),
        None if any(one is None for one in trajectories) else torch.cat(trajectories, dim=1),
        torch.cat([part.size for part in parts]),
    )
