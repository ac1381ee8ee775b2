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
    WindowGather,
    to_level,
    window_profile,
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
_TOGETHER = 64
"""Points that are computed together: as many as fit into a processor's cache."""


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
        weights: (N, 3, L) float32, gradients along x and y of patches and the patches themselves without their mean,
            times the root of the window: what patches like them are multiplied with.
        sums: (N, 3) their products with the root of the window, which the mean of a patch contributes.
        scale: (N, 3) factors that normalise them to patches of unit contrast.
        own_products: (N, 2) products of the normalised gradients with the normalised patches.
        hessian: (N, 2, 2) products of the normalised gradients.
    """

    weights: np.ndarray
    sums: np.ndarray
    scale: np.ndarray
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
        self._lines = _PatchLines(config.radius, profile)
        self._cells: _PixelCells | None = None

    def _describe_level(self, image: np.ndarray, points: np.ndarray) -> _LevelTemplates:
        around, root = self._sampler.sample(image, points), self._lines.root_window
        size = self._lines.size
        weights = np.empty((len(points), 3, size, size + 1), dtype=np.float32)
        weights[..., size] = 0
        np.subtract(around[:, 1:-1, 2:], around[:, 1:-1, :-2], out=weights[:, 0, :, :size])
        np.subtract(around[:, 2:, 1:-1], around[:, :-2, 1:-1], out=weights[:, 1, :, :size])
        weights[:, 2, :, :size] = around[:, 1:-1, 1:-1]
        weights = weights.reshape(len(points), 3, -1)[..., :-1]
        weights[:, 2] -= (weights[:, 2] @ self._lines.window)[:, None]
        weights *= root
        gradients, patches = weights[:, :2], weights[:, 2]
        scale = np.empty((len(points), 3))
        scale[:, 2] = 1 / (np.sqrt(np.einsum("nl,nl->n", patches, patches)) + _FLAT)
        scale[:, :2] = 0.5 * scale[:, 2:]
        hessian = np.empty((len(points), 2, 2))
        hessian[:, :, 1] = np.matmul(gradients, weights[:, 1, :, None])[:, :, 0]
        hessian[:, 1, 0] = hessian[:, 0, 1]
        hessian[:, 0, 0] = np.einsum("nl,nl->n", weights[:, 0], weights[:, 0])
        own = np.matmul(gradients, patches[:, :, None])[:, :, 0]
        return _LevelTemplates(
            weights,
            (weights @ root).astype(np.float64),
            scale,
            own * (scale[:, :2] * scale[:, 2:]),
            hessian * np.square(scale[:, :1, None]),
        )

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
            # A step from what the prior and the patch say: (N, 2, 4) and (N, 4).
            response = np.concatenate((step @ damping, step * -samples), axis=2)
            position, evidence = prior_mean, np.empty((len(points), 4))
            cells = self._cells = _PixelCells(pyramid.levels[level], template, self._lines)
            for _ in range(self.config.iterations):
                np.subtract(prior_mean, position, out=evidence[:, :2])
                np.subtract(cells.products(position)[:, :2], template.own_products, out=evidence[:, 2:])
                move = times_vectors(response, evidence)
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
        image, template, cells = pyramid.levels[0], templates.levels[0], self._cells
        if cells is None or not cells.belongs_to(image, template):  # else most are known from the last match
            cells = _PixelCells(image, template, self._lines)
        return cells.products(points)[:, 2]


class _PatchLines:
    """Patches of grey levels as lines: their rows one after the other, with an unused sample behind each, as they lie
    in a window that is one pixel wider. Keeps the memory to work in.

    Attributes:
        size: samples along a side of a patch.
        window: (L,) float32 weights of a patch's samples, 0 for the unused ones.
        root_window: their roots.
    """

    def __init__(self, radius: int, profile: np.ndarray) -> None:
        self.size = 2 * radius + 1
        window = np.zeros((self.size, self.size + 1))
        window[:, :-1] = np.outer(profile, profile)
        self.window = window.reshape(-1)[:-1].astype(np.float32)
        self.root_window = np.sqrt(self.window)
        self._windows = WindowGather(radius, radius + 1)
        side = self._windows.side
        self._shifts = (0, 1, side, side + 1, 0)
        self._mean = np.full(side * side, 1 / side**2, dtype=np.float32)
        self._patches = np.empty((_TOGETHER, 5, len(self.window)), dtype=np.float32)
        self._root_windows = np.broadcast_to(self.root_window, self._patches.shape).copy()

    def mixed(self, image: np.ndarray, pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Computes what the mixtures of four patches need: those at `pixels` (N, 2), to the right, below, and both.

        Args:
            image: (H, W); beyond its border the nearest pixel counts.
            weights: (N, 3, L), of `_LevelTemplates`.

        Returns:
            (N, 4, 8): the products of the four patches with the three weights, with the window, and with the four
            patches, beginning with the second.
        """
        mixed = np.empty((len(pixels), 4, 8))
        for start in range(0, len(pixels), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            self._mixed(image, pixels[part], weights[part], mixed[part])
        return mixed

    def _mixed(self, image: np.ndarray, pixels: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
        windows, patches = self._windows.gather(image, pixels), self._patches[: len(pixels)]
        windows -= (windows @ self._mean)[:, None]  # keeps the sums of squares small in float32
        for place, shift in enumerate(self._shifts):
            patches[:, place] = windows[:, shift : shift + len(self.window)]
        patches *= self._root_windows[: len(pixels)]  # in one go: a product for each line costs more
        out[:, :, :3] = np.matmul(patches[:, :4], weights.transpose(0, 2, 1))
        out[:, :, 3] = patches[:, :4] @ self.root_window
        out[:, :, 4:] = np.matmul(patches[:, :4], patches[:, 1:].transpose(0, 2, 1))


class _PixelCells:
    """Products of normalised patches around moving points with their templates; kept for the pixel that each is in."""

    def __init__(self, image: np.ndarray, templates: _LevelTemplates, lines: _PatchLines) -> None:
        self._image, self._templates, self._lines = image, templates, lines
        self._table: np.ndarray | None = None
        self._floor = np.full((len(templates.weights), 2), np.nan)
        self._mixture = np.empty((len(templates.weights), 4))

    def belongs_to(self, image: np.ndarray, templates: _LevelTemplates) -> bool:
        """Returns True for products of these templates with this image."""
        return self._image is image and self._templates is templates

    def products(self, positions: np.ndarray) -> np.ndarray:
        """Products (N, 3) of the patches around positions (N, 2), of zero mean and unit contrast, with the templates'
        gradients along x and y, and their correlation with the templates.
        """
        floor, weights = np.floor(positions), self._templates.weights
        if self._table is None:
            self._table = self._lines.mixed(self._image, floor.astype(np.intp), weights)
        elif (differs := floor != self._floor).any():
            changed = differs.any(axis=1).nonzero()[0]
            pixels = floor[changed].astype(np.intp)
            self._table[changed] = self._lines.mixed(self._image, pixels, weights[changed])
        self._floor = floor
        mixture = self._mixture
        right, low = (positions - floor).T
        both = right * low
        mixture[:, 0], mixture[:, 1] = 1 - right - low + both, right - both
        mixture[:, 2], mixture[:, 3] = low - both, both
        mixed = np.matmul(mixture[:, None], self._table)[:, 0]
        power = mixed[:, 7] * mixture[:, 0] + (mixed[:, 4:7] * mixture[:, 1:]).sum(axis=1)
        variance = np.maximum(power - mixed[:, 3] ** 2, 0)
        products = mixed[:, :3] - mixed[:, 3:4] * self._templates.sums
        return products * (self._templates.scale / (np.sqrt(variance) + _FLAT)[:, None])
