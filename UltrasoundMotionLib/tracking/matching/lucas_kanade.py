"""Pyramidal Lucas-Kanade matching with a prior, batched over points.

Inverse compositional Gauss-Newton (Baker and Matthews, IJCV 2004) on patches whose mean and contrast are normalised, so
that gain and shadow borders do not pull. Each level's estimate is the prior of the next finer one: a patch whose
speckle has changed says little (see `correlation_gain`) and stays where the coarser level, or the caller, expects it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.matching.image_pyramid import ImagePyramid, PatchSampler, to_level, window_profile
from UltrasoundMotionLib.tracking.matching.matcher import Match, correlation_gain, inverse_2x2, isotropic


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
class LucasKanadeTemplates:
    """Per level: normalised patches (N, P), their gradients (N, P, 2) and the Hessian (N, 2, 2), all times the root of
    the window.
    """

    points: Tensor
    patches: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]
    hessians: tuple[Tensor, ...]


class LucasKanadeMatcher:
    """Implements `Matcher`, as this module's docstring describes."""

    def __init__(self, config: LucasKanadeConfig, device: torch.device) -> None:
        self.config = config
        self._sampler = PatchSampler(config.radius, device)
        self._template_sampler = PatchSampler(config.radius + 1, device)
        profile = window_profile(config.radius, device)
        window = torch.outer(profile, profile).flatten()
        self._window = window[None]
        self._root_window = window.sqrt()[None]
        self._effective_pixels = float(1 / window.square().sum())
        self.independent_samples = self._effective_pixels / config.speckle_area

    def _normalise(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Patches (N, P) with zero weighted mean and unit weighted power, times the root of the window; and their
        contrast (N, 1).
        """
        centred = (patches - (patches * self._window).sum(dim=1, keepdim=True)) * self._root_window
        contrast = centred.square().sum(dim=1, keepdim=True).sqrt() + 1e-3
        return centred / contrast, contrast

    def describe(self, pyramid: ImagePyramid, points: Tensor) -> LucasKanadeTemplates:
        """Templates of all levels around points (N, 2)."""
        patches, gradients, hessians = [], [], []
        for level, image in enumerate(pyramid.levels):
            window = self._template_sampler.sample(image, to_level(points, level))
            gradient = (
                torch.stack(
                    (window[:, 1:-1, 2:] - window[:, 1:-1, :-2], window[:, 2:, 1:-1] - window[:, :-2, 1:-1]), dim=-1
                )
                * 0.5
            )
            patch, contrast = self._normalise(window[:, 1:-1, 1:-1].flatten(1))
            gradient = gradient.flatten(1, 2) * (self._root_window / contrast)[..., None]
            patches.append(patch)
            gradients.append(gradient)
            hessians.append(gradient.transpose(1, 2) @ gradient)
        return LucasKanadeTemplates(points, tuple(patches), tuple(gradients), tuple(hessians))

    def match(
        self,
        templates: LucasKanadeTemplates,
        pyramid: ImagePyramid,
        expected: Tensor,
        covariance: Tensor,
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
            template, gradient, hessian = (
                templates.patches[level],
                templates.gradients[level],
                templates.hessians[level],
            )
            # While it searches the data counts as if well correlated (a patch that is still off correlates badly) ...
            damping = prior_precision * self.config.search_prior
            step = inverse_2x2(hessian * samples + damping)
            descent = step @ gradient.transpose(1, 2) * samples
            recall = step @ damping
            position = prior_mean
            for _ in range(self.config.iterations):
                patch = self._normalise(self._sampler.sample(pyramid.levels[level], position).flatten(1))[0]
                move = recall @ (prior_mean - position)[..., None] - descent @ (patch - template)[..., None]
                position = position + move[..., 0].clamp(-2.0, 2.0)
            # ... where it arrives, it counts for what the correlation there is worth.
            patch = self._normalise(self._sampler.sample(pyramid.levels[level], position).flatten(1))[0]
            correlation = (patch * template).sum(dim=1)
            information = hessian * (correlation_gain(correlation, samples) * samples)[:, None, None]
            posterior = inverse_2x2(information + prior_precision)
            position = prior_mean + (posterior @ information @ (position - prior_mean)[..., None])[..., 0]
            points = (position + 0.5) * scale - 0.5
            covariance = posterior * scale**2
            if level > 0:
                covariance = covariance + isotropic((self.config.level_deviation * scale) ** 2, len(points), points)
        return Match(points, covariance, correlation, information)

    def correlate(self, templates: LucasKanadeTemplates, pyramid: ImagePyramid, points: Tensor) -> Tensor:
        """Implements `Matcher.correlate`."""
        patch = self._normalise(self._sampler.sample(pyramid.levels[0], points).flatten(1))[0]
        return (patch * templates.patches[0]).sum(dim=1)
