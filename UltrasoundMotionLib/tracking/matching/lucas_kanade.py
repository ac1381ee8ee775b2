"""Pyramidal Lucas-Kanade matching with a prior, batched over points.

Inverse compositional Gauss-Newton (Baker and Matthews, IJCV 2004) on patches whose mean and contrast are normalised, so
that gain and shadow borders do not pull. Each level's estimate is the prior of the next finer one: a patch whose
speckle has changed says little (see `correlation_gain`) and stays where the coarser level, or the caller, expects it.

Between pixels a patch is a mixture of four patches at whole pixels. What a step needs of it (products with the
template and its gradients, mean, power) is the same mixture of theirs, which are computed once (`_PixelCells`): further
steps within the same pixel cost a few sums per point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.tracking.matching.image_pyramid import (
    ImagePyramid,
    PatchSampler,
    to_level,
    window_profile,
    windows_at,
)
from UltrasoundMotionLib.tracking.matching.matcher import (
    Match,
    correlation_gain,
    inverse_2x2,
    isotropic,
    times_vectors,
)

_FLAT = 1e-3
"""Contrast, in grey levels, that is added to each patch's, so that a flat one has no features."""


@dataclass(frozen=True)
class LucasKanadeConfig:
    """Patch and iteration settings.

    Attributes:
        radius: half size of the patch in pixels of each level; the patch is 2 radius + 1 wide.
        iterations: Gauss-Newton steps a level.
        speckle_area: pixels that vary together (a speckle's area); the patch has so many fewer independent samples.
        level_deviation: standard deviation, in pixels of the coarser level, by which a point moves differently from the
            coarser patch.
        search_prior: share of the prior that damps the search itself.
    """

    radius: int = 8
    iterations: int = 4
    speckle_area: float = 12.0
    level_deviation: float = 0.35
    search_prior: float = 0.1


@dataclass(frozen=True)
class _LevelTemplates:
    """Templates of one level.

    Attributes:
        weights: (N, 4, L) float32, what a patch of raw grey levels is multiplied with: the normalised template's
            gradients along x and y and the template itself, each times the window and without regard to the patch's
            mean, and the window.
        own_products: (N, 2) products of the template's gradients with itself.
        hessian: (N, 2, 2).
    """

    weights: np.ndarray
    own_products: np.ndarray
    hessian: np.ndarray


@dataclass(frozen=True)
class LucasKanadeTemplates:
    """Templates around points (N, 2), by level."""

    points: np.ndarray
    levels: tuple[_LevelTemplates, ...]


class LucasKanadeMatcher:
    """Implements `Matcher`, as this module's docstring describes."""

    def __init__(self, config: LucasKanadeConfig) -> None:
        self.config = config
        self._sampler = PatchSampler(config.radius + 1)
        profile = window_profile(config.radius)
        self.independent_samples = float(1 / np.square(np.outer(profile, profile)).sum()) / config.speckle_area
        # Patches are lines with one unused sample after each row, as they lie in windows that are one wider.
        self._size = 2 * config.radius + 1
        window = np.zeros((self._size, self._size + 1))
        window[:, :-1] = np.outer(profile, profile)
        self._window = window.reshape(-1)[:-1].astype(np.float32)

    def _lines(self, patches: np.ndarray) -> np.ndarray:
        """Patches (N, size, size) as lines (N, L) like the window's."""
        lines = np.zeros((len(patches), self._size, self._size + 1), dtype=np.float32)
        lines[:, :, :-1] = patches
        return lines.reshape(len(patches), -1)[:, :-1]

    def _describe_level(self, image: np.ndarray, points: np.ndarray) -> _LevelTemplates:
        around = self._sampler.sample(image, points)
        count, window = len(points), self._window
        weights = np.empty((count, 4, len(window)), dtype=np.float32)
        weights[:, 0] = self._lines(around[:, 1:-1, 2:] - around[:, 1:-1, :-2])
        weights[:, 1] = self._lines(around[:, 2:, 1:-1] - around[:, :-2, 1:-1])
        weights[:, 2] = self._lines(around[:, 1:-1, 1:-1])
        weights[:, 2] -= (weights[:, 2] @ window)[:, None]
        weighted = weights[:, :3] * window
        products = np.matmul(weighted, weights[:, :3].transpose(0, 2, 1)).astype(np.float64)
        contrast = np.sqrt(np.maximum(products[:, 2, 2], 0)) + _FLAT
        scale = np.stack((0.5 / contrast, 0.5 / contrast, 1 / contrast), axis=1)
        products *= scale[:, :, None] * scale[:, None, :]
        weighted *= scale.astype(np.float32)[:, :, None]
        weights[:, :3] = weighted - weighted.sum(axis=2, keepdims=True) * window
        weights[:, 3] = window
        return _LevelTemplates(weights, products[:, :2, 2].copy(), products[:, :2, :2].copy())

    def describe(self, pyramid: ImagePyramid, points: np.ndarray) -> LucasKanadeTemplates:
        """Templates of all levels around points (N, 2)."""
        levels = (self._describe_level(image, to_level(points, level)) for level, image in enumerate(pyramid.levels))
        return LucasKanadeTemplates(points, tuple(levels))

    def match(
        self,
        templates: LucasKanadeTemplates,
        pyramid: ImagePyramid,
        expected: np.ndarray,
        covariance: np.ndarray,
        *,
        coarsest: int | None = None,
    ) -> Match:
        """Implements `Matcher.match`."""
        start = len(pyramid.levels) - 1 if coarsest is None else min(coarsest, len(pyramid.levels) - 1)
        samples = self.independent_samples
        points, correlation, information = expected, expected[:, 0], covariance
        for level in range(start, -1, -1):
            scale = 2.0**level
            prior_mean = to_level(points, level)
            prior_precision = inverse_2x2(covariance / scale**2)
            template = templates.levels[level]
            # While it searches the data counts as if well correlated (a patch that is still off correlates badly) ...
            damping = prior_precision * self.config.search_prior
            step = inverse_2x2(template.hessian * samples + damping)
            recall, descent = step @ damping, step * samples
            position = prior_mean
            cells = _PixelCells(pyramid.levels[level], template, self._window, self._size)
            for _ in range(self.config.iterations):
                products = cells.products(position)[:, :2] - template.own_products
                move = times_vectors(recall, prior_mean - position) - times_vectors(descent, products)
                position = position + np.minimum(np.maximum(move, -2.0), 2.0)
            # ... where it arrives, it counts for what the correlation there is worth.
            correlation = cells.products(position)[:, 2]
            information = template.hessian * (correlation_gain(correlation, samples) * samples)[:, None, None]
            posterior = inverse_2x2(information + prior_precision)
            position = prior_mean + times_vectors(posterior, times_vectors(information, position - prior_mean))
            points = (position + 0.5) * scale - 0.5
            covariance = posterior * scale**2
            if level > 0:
                covariance = covariance + isotropic((self.config.level_deviation * scale) ** 2, len(points))
        return Match(points, covariance, correlation, information)

    def correlate(self, templates: LucasKanadeTemplates, pyramid: ImagePyramid, points: np.ndarray) -> np.ndarray:
        """Implements `Matcher.correlate`."""
        return _PixelCells(pyramid.levels[0], templates.levels[0], self._window, self._size).products(points)[:, 2]


class _PixelCells:
    """Products of normalised patches around moving points with their templates; kept for the pixel that each is in."""

    def __init__(self, image: np.ndarray, templates: _LevelTemplates, window: np.ndarray, size: int) -> None:
        self._image, self._templates, self._window = image, templates, window
        self._line = size + 1
        self._offsets = np.arange(-(size // 2), size // 2 + 2)
        self._pixels: np.ndarray | None = None

    def products(self, positions: np.ndarray) -> np.ndarray:
        """Products (N, 3) of the patches around positions (N, 2), of zero mean and unit contrast, with the templates'
        gradients along x and y, and their correlation with the templates.
        """
        floor = np.floor(positions)
        pixels = floor.astype(np.intp)
        if self._pixels is None:
            self._table = self._mixed(pixels, self._templates.weights)
        else:
            changed = np.flatnonzero((pixels != self._pixels).any(axis=1))
            if len(changed):
                self._table[changed] = self._mixed(pixels[changed], self._templates.weights[changed])
        self._pixels = pixels
        right, low = (positions - floor).T
        mixture = np.stack(((1 - right) * (1 - low), right * (1 - low), (1 - right) * low, right * low), axis=1)
        mixed = np.einsum("nk,nkf->nf", mixture, self._table)
        variance = (mixed[:, 4:] * mixture).sum(axis=1) - np.square(mixed[:, 3])
        return mixed[:, :3] / (np.sqrt(np.maximum(variance, 0)) + _FLAT)[:, None]

    def _mixed(self, pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Products (N, 4, 8) of the four patches at `pixels` (N, 2), to the right, below, and both, with the templates'
        weights, and with each other times the window.
        """
        windows = windows_at(self._image, pixels, self._offsets).reshape(len(pixels), -1)
        windows -= windows.mean(axis=1, keepdims=True)
        length = len(self._window)
        patches = np.empty((len(pixels), 4, length), dtype=np.float32)
        for place, shift in enumerate((0, 1, self._line, self._line + 1)):
            patches[:, place] = windows[:, shift : shift + length]
        table = np.empty((len(pixels), 4, 8))
        table[:, :, :4] = np.matmul(patches, weights.transpose(0, 2, 1))
        table[:, :, 4:] = np.matmul(patches, (patches * self._window).transpose(0, 2, 1))
        return table
