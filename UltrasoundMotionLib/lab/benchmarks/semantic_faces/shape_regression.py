"""Explicit shape regression (Cao et al., IJCV 2014): landmarks of a face by a cascade of boosted random ferns.

Written from the paper, with its numbers. It learns from landmarks, which the semantically guided paper's networks do
not see: its Table 1 has it as an upper bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.progress import Progress, no_progress

_DEPTH = 5
"""Pairs of pixels of a fern."""
_SHRINKAGE = 1000.0
_CONSTANT = 1e-8
"""Variance up to which a difference of pixels counts as constant; images are in [0, 1]."""
_THRESHOLD = 0.2
"""Thresholds are drawn up to this share of the largest difference."""


@dataclass(frozen=True)
class ShapeRegressionSettings:
    """Settings, by default those of the paper.

    Attributes:
        stages, ferns: of the cascade and of each stage.
        pixels: whose differences a stage may use.
        reach: largest distance of a pixel from its landmark, in sizes of the mean shape.
        starts: initial shapes of every training image, taken from the others.
        test_starts: initial shapes of a test image, whose results' median is the answer.
        seed: of everything drawn.
    """

    stages: int = 10
    ferns: int = 500
    pixels: int = 400
    reach: float = 0.3
    starts: int = 20
    test_starts: int = 5
    seed: int = 1


DEFAULT_SETTINGS = ShapeRegressionSettings()


@dataclass(frozen=True, eq=False)
class _Fern:
    """Pairs of a stage's pixels (5, 2), thresholds (5,), and the increment of each of 32 bins (32, L, 2)."""

    pairs: np.ndarray
    thresholds: np.ndarray
    increments: np.ndarray

    def bins(self, values: np.ndarray) -> np.ndarray:
        """Returns the bin (N,) of pixel values (N, pixels)."""
        differences = values[:, self.pairs[:, 0]] - values[:, self.pairs[:, 1]]
        return (differences > self.thresholds) @ (1 << np.arange(_DEPTH))


@dataclass(frozen=True, eq=False)
class _Stage:
    """The landmark (P,) and offset (P, 2) of each pixel, in the frame of the mean shape, and the ferns."""

    landmarks: np.ndarray
    offsets: np.ndarray
    ferns: tuple[_Fern, ...]


@dataclass(frozen=True, eq=False)
class ShapeRegression:
    """A learnt cascade.

    Attributes:
        mean: (L, 2) mean shape, centred, of size 1.
        shapes: (K, L, 2) shapes to begin with, in pixels.
        stages: of the cascade.
        settings: that it was learnt with.
    """

    mean: np.ndarray
    shapes: np.ndarray
    stages: tuple[_Stage, ...]
    settings: ShapeRegressionSettings

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Returns the landmarks (L, 2) of an image (H, W), (x, y) in pixels."""
        chosen = np.linspace(0, len(self.shapes) - 1, self.settings.test_starts).round().astype(int)
        shapes, images = self.shapes[chosen], [image] * len(chosen)
        for stage in self.stages:
            frames = _frames(shapes, self.mean)
            values = _pixel_values(images, shapes, frames, stage)
            increments = sum(fern.increments[fern.bins(values)] for fern in stage.ferns)
            shapes = shapes + increments @ frames
        return np.median(shapes, axis=0)


def learn_shapes(
    images: Sequence[np.ndarray],
    shapes: np.ndarray,
    settings: ShapeRegressionSettings = DEFAULT_SETTINGS,
    progress: Progress = no_progress,
) -> ShapeRegression:
    """Learns a cascade.

    Args:
        images: (H, W) each, cropped alike.
        shapes: (K, L, 2) landmarks, (x, y) in pixels.

    Raises:
        InputError: fewer than two images, or landmarks of another number of images.
    """
    if len(images) < 2 or shapes.ndim != 3 or len(shapes) != len(images):
        raise InputError(
            f"shape regression: two images or more with landmarks are needed, got {len(images)} images and"
            f" landmarks {shapes.shape}"
        )
    random = np.random.default_rng(settings.seed)
    centred = shapes - shapes.mean(1, keepdims=True)
    mean = (centred / np.linalg.norm(centred, axis=(1, 2), keepdims=True)).mean(0)
    mean /= np.linalg.norm(mean)
    count, starts = len(images), min(settings.starts, len(images) - 1)
    whose = np.repeat(np.arange(count), starts)
    others = np.concatenate([random.permutation(np.delete(np.arange(count), one))[:starts] for one in range(count)])
    current, goal = shapes[others], shapes[whose]
    stages: list[_Stage] = []
    for number in range(settings.stages):
        frames = _frames(current, mean)
        landmarks = random.integers(shapes.shape[1], size=settings.pixels)
        offsets = random.uniform(-1, 1, (settings.pixels, 2)) * settings.reach * np.ptp(mean, axis=0).max()
        stage = _Stage(landmarks, offsets, ())
        values = _pixel_values([images[one] for one in whose], current, frames, stage)
        left = ((goal - current) @ np.linalg.inv(frames)).astype(np.float32)
        features = _Features.of(values)
        ferns = []
        for _ in range(settings.ferns):
            fern = _learn_fern(features, left, random)
            left -= fern.increments[fern.bins(values)]
            ferns.append(fern)
        current = goal - left @ frames
        stages.append(_Stage(landmarks, offsets, tuple(ferns)))
        progress(number + 1, settings.stages, "learning landmarks")
    return ShapeRegression(mean, shapes, tuple(stages), settings)


@dataclass(frozen=True, eq=False)
class _Features:
    """A stage's pixel values (N, P), the same without their means, and the deviations (P, P) of their differences;
    infinite where a difference is constant.
    """

    values: np.ndarray
    centred: np.ndarray
    deviations: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> _Features:
        """Computes them."""
        centred = values - values.mean(0)
        covariance = (centred.T @ centred).astype(np.float64)
        powers = np.diag(covariance)
        spread = powers[:, None] + powers - 2 * covariance
        return cls(values, centred, np.sqrt(np.where(spread > _CONSTANT * len(values), spread, np.inf)))


def _learn_fern(features: _Features, goals: np.ndarray, random: np.random.Generator) -> _Fern:
    """Learns a fern: pairs of pixels whose difference correlates best with the goals along random directions."""
    flat, values = goals.reshape(len(goals), -1), features.values
    pairs = np.zeros((_DEPTH, 2), int)
    for place in range(_DEPTH):
        along = flat @ random.standard_normal(flat.shape[1], dtype=np.float32)
        shared = (along - along.mean()) @ features.centred
        likeness = (shared[:, None] - shared) / features.deviations
        pairs[place] = np.unravel_index(int(likeness.argmax()), likeness.shape)
    differences = values[:, pairs[:, 0]] - values[:, pairs[:, 1]]
    thresholds = random.uniform(-_THRESHOLD, _THRESHOLD, _DEPTH) * np.abs(differences).max(0)
    fern = _Fern(pairs, thresholds, np.zeros(0))
    chosen = np.eye(1 << _DEPTH, dtype=np.float32)[fern.bins(values)]
    increments = (chosen.T @ flat) / (chosen.sum(0) + _SHRINKAGE)[:, None]
    return _Fern(pairs, thresholds, increments.reshape(-1, *goals.shape[1:]))


def _frames(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Returns the similarities (N, 2, 2) that turn and enlarge offsets, as rows, from the mean shape's frame to that of
    each shape.
    """
    centred = shapes - shapes.mean(1, keepdims=True)
    cosine = (centred * mean).sum((1, 2))
    sine = (centred[..., 1] * mean[:, 0] - centred[..., 0] * mean[:, 1]).sum(1)
    return np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], 1)


def _pixel_values(images: Sequence[np.ndarray], shapes: np.ndarray, frames: np.ndarray, stage: _Stage) -> np.ndarray:
    """Returns the values (N, P) of the nearest pixels, beyond the border those of the border."""
    places = np.rint(shapes[:, stage.landmarks] + stage.offsets @ frames).astype(int)
    values = np.empty(places.shape[:2], np.float32)
    for row, (image, place) in enumerate(zip(images, places, strict=True)):
        height, width = image.shape
        values[row] = image[place[:, 1].clip(0, height - 1), place[:, 0].clip(0, width - 1)]
    return values
