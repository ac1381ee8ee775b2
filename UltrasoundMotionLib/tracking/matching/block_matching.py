"""Block matching by normalised cross-correlation with a prior and a sub-pixel peak, batched over points.

Coarse to fine: a full search over the window on the coarsest level used, small searches on the finer ones. The score of
a shift is its log-posterior, n/2 * -log(1 - rho^2) + log prior, so that between two similar peaks the expected one
wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from UltrasoundMotionLib.tracking.matching.image_pyramid import ImagePyramid, PatchSampler, to_level, window_profile
from UltrasoundMotionLib.tracking.matching.matcher import (
    Match,
    correlation_gain,
    inverse_2x2,
    isotropic,
    times_vectors,
)


@dataclass(frozen=True)
class BlockMatchingConfig:
    """Block and search settings.

    Attributes:
        radius: half size of the block in pixels of each level.
        search_radius: half size of the search window on the coarsest level used, in its pixels.
        refine_radius: the same on the finer levels.
        speckle_area: pixels that vary together; the block has so many fewer independent samples.
        level_deviation: standard deviation, in pixels of the coarser level, by which a point moves differently from the
            coarser block.
    """

    radius: int = 8
    search_radius: int = 5
    refine_radius: int = 3
    speckle_area: float = 12.0
    level_deviation: float = 0.35


@dataclass(frozen=True)
class BlockTemplates:
    """Per level: blocks (N, size, size) with zero weighted mean and unit weighted power, times the window."""

    points: np.ndarray
    blocks: tuple[np.ndarray, ...]


class BlockMatcher:
    """Implements `Matcher`, as this module's docstring describes."""

    def __init__(self, config: BlockMatchingConfig) -> None:
        self.config = config
        self._sampler = PatchSampler(config.radius)
        self._windows = {
            reach: PatchSampler(config.radius + reach) for reach in {config.search_radius + 1, config.refine_radius + 1}
        }
        self._profile = window_profile(config.radius).astype(np.float32)
        self._window = np.outer(self._profile, self._profile)
        self.independent_samples = float(1 / np.square(self._window).sum()) / config.speckle_area

    def describe(self, pyramid: ImagePyramid, points: np.ndarray) -> BlockTemplates:
        """Templates of all levels around points (N, 2)."""
        blocks = []
        for level, image in enumerate(pyramid.levels):
            block = self._sampler.sample(image, to_level(points, level))
            block = block - (block * self._window).sum(axis=(1, 2), keepdims=True)
            power = (np.square(block) * self._window).sum(axis=(1, 2), keepdims=True)
            blocks.append(block * self._window / (np.sqrt(power) + 1e-3))
        return BlockTemplates(points, tuple(blocks))

    def _correlation_map(self, block: np.ndarray, window: np.ndarray) -> np.ndarray:
        """NCC (N, K, K) of each block with every position inside its window (N, size + K - 1, size + K - 1)."""
        window = window - window.mean(axis=(1, 2), keepdims=True)  # keeps the sums of squares small in float32
        side = window.shape[1]
        shifts = side - len(self._profile) + 1
        band = np.zeros((shifts, side), dtype=np.float32)
        for place, row in enumerate(band):
            row[place : place + len(self._profile)] = self._profile
        mean, power = band @ window @ band.T, band @ np.square(window) @ band.T
        return _products(block, window, shifts) / (np.sqrt(np.maximum(power - np.square(mean), 0)) + 1e-3)

    def match(
        self,
        templates: BlockTemplates,
        pyramid: ImagePyramid,
        expected: np.ndarray,
        covariance: np.ndarray,
        *,
        coarsest: int | None = None,
    ) -> Match:
        """Implements `Matcher.match`."""
        start = len(pyramid.levels) - 1 if coarsest is None else min(coarsest, len(pyramid.levels) - 1)
        points, correlation, information = expected, expected[:, 0], covariance
        for level in range(start, -1, -1):
            scale = 2.0**level
            # One more than the search on each side, so that every candidate has neighbours for the sub-pixel peak.
            reach = (self.config.search_radius if level == start else self.config.refine_radius) + 1
            prior_mean = to_level(points, level)
            prior_precision = inverse_2x2(covariance / scale**2)
            scores = self._correlation_map(
                templates.blocks[level], self._windows[reach].sample(pyramid.levels[level], prior_mean)
            )
            shift, correlation, curvature = self._peak(scores, prior_precision, reach)
            gain = correlation_gain(correlation, self.independent_samples)
            information = curvature * (gain / np.maximum(correlation, 0.05) * self.independent_samples)[:, None, None]
            posterior = inverse_2x2(information + prior_precision)
            position = prior_mean + times_vectors(posterior, times_vectors(information, shift))
            points = (position + 0.5) * scale - 0.5
            covariance = posterior * scale**2
            if level > 0:
                covariance = covariance + isotropic((self.config.level_deviation * scale) ** 2, len(points))
        return Match(points, covariance, correlation, information)

    def _peak(
        self, scores: np.ndarray, prior_precision: np.ndarray, reach: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sub-pixel shift (N, 2) of the best candidate, its correlation (N,), and the curvature (N, 2, 2) of the
        correlation there (positive).
        """
        count, width = scores.shape[:2]
        axis = np.arange(-reach, reach + 1, dtype=np.float64)
        y, x = np.meshgrid(axis, axis, indexing="ij")
        candidates = np.stack((x, y), axis=-1).reshape(-1, 2)
        surprise = 0.5 * ((candidates @ prior_precision) * candidates).sum(axis=-1)
        likelihood = -0.5 * self.independent_samples * np.log1p(-np.square(np.clip(scores, 0, 0.999)))
        posterior = (likelihood - surprise.reshape(scores.shape))[:, 1:-1, 1:-1]
        best = posterior.reshape(count, -1).argmax(axis=1)
        row, column = best // (width - 2) + 1, best % (width - 2) + 1
        steps = np.arange(-1, 2)
        near = scores[
            np.arange(count)[:, None, None], (row[:, None] + steps)[:, :, None], (column[:, None] + steps)[:, None, :]
        ].astype(np.float64)
        # Least-squares paraboloid over the 3 x 3 neighbourhood.
        slope_x = (near[:, :, 2] - near[:, :, 0]).mean(axis=1) / 2
        slope_y = (near[:, 2] - near[:, 0]).mean(axis=1) / 2
        bend_x = (near[:, :, 0] - 2 * near[:, :, 1] + near[:, :, 2]).mean(axis=1)
        bend_y = (near[:, 0] - 2 * near[:, 1] + near[:, 2]).mean(axis=1)
        bend_xy = (near[:, 2, 2] - near[:, 2, 0] - near[:, 0, 2] + near[:, 0, 0]) / 4
        xx, yy = np.maximum(-bend_x, 1e-4), np.maximum(-bend_y, 1e-4)
        limit = 0.95 * np.sqrt(xx * yy)
        xy = np.clip(-bend_xy, -limit, limit)
        curvature = np.stack((xx, xy, xy, yy), axis=1).reshape(-1, 2, 2)
        offset = np.clip(times_vectors(inverse_2x2(curvature), np.stack((slope_x, slope_y), axis=1)), -1, 1)
        return np.stack((column, row), axis=1) - reach + offset, near[:, 1, 1], curvature

    def correlate(self, templates: BlockTemplates, pyramid: ImagePyramid, points: np.ndarray) -> np.ndarray:
        """Implements `Matcher.correlate`."""
        return self._correlation_map(templates.blocks[0], self._sampler.sample(pyramid.levels[0], points))[:, 0, 0]


def _products(block: np.ndarray, window: np.ndarray, shifts: int) -> np.ndarray:
    """Products (N, K, K) of blocks (N, size, size) with each place of their windows (N, side, side).

    A block laid out in lines as long as the window's, zeros between its rows, is multiplied with one run of the window
    per place: long runs are several times quicker than the block's short rows.
    """
    count, size = block.shape[:2]
    side = window.shape[1]
    spread = np.zeros((count, size, side), dtype=np.float32)
    spread[:, :, :size] = block
    run = spread.reshape(count, -1)[:, : (size - 1) * side + size]
    window = np.ascontiguousarray(window, dtype=np.float32)
    point, row, column = window.strides
    runs = as_strided(window, (count, shifts, shifts, run.shape[1]), (point, row, column, column), writeable=False)
    return np.einsum("nabl,nl->nab", runs, run)
