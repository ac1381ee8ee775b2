"""Block matching by normalised cross-correlation with a prior and a sub-pixel peak, batched over points.

Coarse to fine: a full search over the window on the coarsest level used, small searches on the finer ones. The score of
a shift is its log-posterior, n/2 * -log(1 - rho^2) + log prior, so that between two similar peaks the expected one
wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.tracking.matching.image_pyramid import ImagePyramid, PatchSampler, to_level, window_profile
from UltrasoundMotionLib.tracking.matching.matcher import Match, correlation_gain, inverse_2x2, isotropic


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

    points: Tensor
    blocks: tuple[Tensor, ...]


class BlockMatcher:
    """Implements `Matcher`, as this module's docstring describes."""

    def __init__(self, config: BlockMatchingConfig, device: torch.device) -> None:
        self.config = config
        self._sampler = PatchSampler(config.radius, device)
        self._windows = {
            reach: PatchSampler(config.radius + reach, device)
            for reach in {config.search_radius + 1, config.refine_radius + 1}
        }
        self._profile = window_profile(config.radius, device)
        self._window = torch.outer(self._profile, self._profile)
        self.independent_samples = float(1 / self._window.square().sum()) / config.speckle_area
        self._device = device

    def describe(self, pyramid: ImagePyramid, points: Tensor) -> BlockTemplates:
        """Templates of all levels around points (N, 2)."""
        blocks = []
        for level, image in enumerate(pyramid.levels):
            block = self._sampler.sample(image, to_level(points, level))
            block = block - (block * self._window).sum(dim=(1, 2), keepdim=True)
            power = (block.square() * self._window).sum(dim=(1, 2), keepdim=True)
            blocks.append(block * self._window / (power.sqrt() + 1e-3))
        return BlockTemplates(points, tuple(blocks))

    def _correlation_map(self, block: Tensor, window: Tensor) -> Tensor:
        """NCC (N, K, K) of each block with every position inside its window (N, size + K - 1, size + K - 1)."""
        window = window - window.mean(dim=(1, 2), keepdim=True)  # keeps the sums of squares small in float32
        product = F.conv2d(window[None], block[:, None], groups=len(block))[0]
        both = torch.cat((window, window.square()))[:, None]
        mean, power = F.conv2d(F.conv2d(both, self._profile.view(1, 1, -1, 1)), self._profile.view(1, 1, 1, -1))[
            :, 0
        ].chunk(2)
        return product / ((power - mean.square()).clamp(min=0).sqrt() + 1e-3)

    def match(
        self,
        templates: BlockTemplates,
        pyramid: ImagePyramid,
        expected: Tensor,
        covariance: Tensor,
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
            information = curvature * (gain / correlation.clamp(min=0.05) * self.independent_samples)[:, None, None]
            posterior = inverse_2x2(information + prior_precision)
            position = prior_mean + (posterior @ information @ shift[..., None])[..., 0]
            points = (position + 0.5) * scale - 0.5
            covariance = posterior * scale**2
            if level > 0:
                covariance = covariance + isotropic((self.config.level_deviation * scale) ** 2, len(points), points)
        return Match(points, covariance, correlation, information)

    def _peak(self, scores: Tensor, prior_precision: Tensor, reach: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sub-pixel shift (N, 2) of the best candidate, its correlation (N,), and the curvature (N, 2, 2) of the
        correlation there (positive).
        """
        count, width = len(scores), scores.shape[-1]
        axis = torch.arange(-reach, reach + 1, dtype=scores.dtype, device=self._device)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        candidates = torch.stack((x, y), dim=-1).view(-1, 2)
        surprise = 0.5 * ((candidates @ prior_precision) * candidates).sum(-1)
        likelihood = -0.5 * self.independent_samples * torch.log1p(-scores.clamp(0, 0.999).square()).view(count, -1)
        posterior = (likelihood - surprise).view(count, width, width)[:, 1:-1, 1:-1]
        best = posterior.flatten(1).argmax(dim=1)
        row, column = best // (width - 2) + 1, best % (width - 2) + 1
        steps = torch.arange(-1, 2, device=self._device)
        index = (row[:, None] + steps)[:, :, None] * width + (column[:, None] + steps)[:, None, :]
        near = scores.flatten(1).gather(1, index.view(count, 9)).view(count, 3, 3)
        # Least-squares paraboloid over the 3 x 3 neighbourhood.
        slope_x = (near[:, :, 2] - near[:, :, 0]).mean(dim=1) / 2
        slope_y = (near[:, 2] - near[:, 0]).mean(dim=1) / 2
        bend_x = (near[:, :, 0] - 2 * near[:, :, 1] + near[:, :, 2]).mean(dim=1)
        bend_y = (near[:, 0] - 2 * near[:, 1] + near[:, 2]).mean(dim=1)
        bend_xy = (near[:, 2, 2] - near[:, 2, 0] - near[:, 0, 2] + near[:, 0, 0]) / 4
        floor = torch.full_like(bend_x, 1e-4)
        xx, yy = torch.maximum(-bend_x, floor), torch.maximum(-bend_y, floor)
        limit = 0.95 * (xx * yy).sqrt()
        xy = torch.maximum(torch.minimum(-bend_xy, limit), -limit)
        curvature = torch.stack((xx, xy, xy, yy), dim=1).view(-1, 2, 2)
        offset = (inverse_2x2(curvature) @ torch.stack((slope_x, slope_y), dim=1)[..., None])[..., 0].clamp(-1, 1)
        whole = torch.stack((column, row), dim=1).to(scores.dtype) - reach
        return whole + offset, near[:, 1, 1], curvature

    def correlate(self, templates: BlockTemplates, pyramid: ImagePyramid, points: Tensor) -> Tensor:
        """Implements `Matcher.correlate`."""
        return self._correlation_map(templates.blocks[0], self._sampler.sample(pyramid.levels[0], points))[:, 0, 0]
