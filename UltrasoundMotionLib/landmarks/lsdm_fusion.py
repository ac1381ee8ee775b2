"""One position from LSDM's three answers.

The response (absolute, coarse), the long motion (absolute), and the short motion (from the last place; adds up to drift), both motions refined by
grey levels at the landmark.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.landmarks.lsdm_network import CELL


@dataclass(frozen=True)
class FusionConfig:
    """How the answers are weighed. Lengths in pixels of a frame whose longer side has 256. Chosen on tuning liver phantoms (Docs/LSDM.md).

    Attributes:
        patch_px: side of the patch that refines a motion at the landmark, odd.
        short_radius / long_radius: how far around what the motion says the patch is looked for.
        motion_trust: where on the way of the short field the search begins, 0 where the landmark was, 1 where the field carries it.
        short_correlation / short_slope: correlation at which the patch of the last frame is followed half of its way, and how sharply that changes.
        patch_deviation: standard deviation of a place found by a patch, for a correlation rho: this times sqrt(1 / rho^2 - 1), ...
        short_floor / long_floor: ... and this at least.
        samples: independent samples of a patch; the log-likelihood ratio of two places is half of this times the logarithm of their 1 - rho^2.
        patch_readiness: log odds with which a patch of the query frame is believed where it is expected.
        response_weight: log-likelihood for one logit.
        response_search: how far off, beyond the position's own uncertainty, the response is searched.
        response_radius: of the mean around the response's best cell, in cells.
        response_deviation: of the place that the response gives, if it is the right one.
        response_readiness: log odds with which an unsurprising answer of the response is believed.
        field_deviation: the same of the long motion.
        field_readiness: log odds with which the long motion is believed, where the windows that it carries onto each other are ...
        field_likeness / field_slope: ... as alike as this, and the log odds for one unit more.
        trust: weight of one absolute answer; its errors stay the same for many frames, so each brings little that is new.
        freedom: degrees of freedom of the surprise; the fewer, the sooner a long way is believed.
        gate: squared distance, in standard deviations, beyond which a believed answer widens the uncertainty.
        largest_deviation: the uncertainty grows no further.
        lost_below: confidence under which a landmark is taken to be out of sight. It then goes back towards its usual place, by `return_rate` of the
            way in each frame, and its uncertainty grows: breathing brings it back, and the search reaches 32 pixels.
        usual_rate: share of each frame in which the landmark was seen in its usual place.
    """

    patch_px: int = 25
    short_radius: int = 5
    long_radius: int = 3
    motion_trust: float = 0.0
    short_correlation: float = 0.35
    short_slope: float = 12.0
    patch_deviation: float = 0.15
    short_floor: float = 0.05
    long_floor: float = 0.15
    samples: float = 40.0
    patch_readiness: float = 0.0
    response_weight: float = 0.5
    response_search: float = 3.0
    response_radius: float = 2.5
    response_deviation: float = 0.9
    response_readiness: float = 3.0
    field_deviation: float = 1.5
    field_readiness: float = 0.0
    field_likeness: float = 0.2
    field_slope: float = 20.0
    trust: float = 0.2
    freedom: float = 3.0
    gate: float = 4.0
    largest_deviation: float = 12.0
    lost_below: float = 0.45
    return_rate: float = 0.1
    usual_rate: float = 0.02


@dataclass(frozen=True)
class Belief:
    """Places (N, 2) and their variance (N,), in pixels and pixels squared."""

    points: Tensor
    variance: Tensor


def patch_variance(correlation: Tensor, floor: float, config: FusionConfig) -> Tensor:
    """(N,) of a place found by a patch; the bound of a shift between two signals of that correlation (Cramer and Rao), and `floor`."""
    squared = correlation.clamp(0.05, 0.995).square()
    return config.patch_deviation**2 * (1 / squared - 1) + floor**2


def predicted(belief: Belief, points: Tensor, correlation: Tensor, config: FusionConfig) -> Belief:
    """After the short motion to points (N, 2), found with that correlation (N,); of a patch that is not found again, little of the way is gone."""
    followed = torch.sigmoid(config.short_slope * (correlation - config.short_correlation))
    points = torch.lerp(belief.points, points, followed[:, None])
    variance = belief.variance + patch_variance(correlation, config.short_floor, config)
    return Belief(points, variance.clamp(max=config.largest_deviation**2))


def patch_odds(there: Tensor, expected: Tensor, config: FusionConfig) -> Tensor:
    """Log odds (N,) of a patch being where its correlation is `there` and not where it is `expected`."""
    evidence = torch.log1p(-expected.clamp(0, 0.999).square()) - torch.log1p(-there.clamp(0, 0.999).square())
    return 0.5 * config.samples * evidence + config.patch_readiness


@dataclass(frozen=True)
class Answer:
    """What the response says: places (N, 2), the logits there (N,), and where the landmark was expected (N,)."""

    points: Tensor
    there: Tensor
    expected: Tensor


def read_response(logits: Tensor, belief: Belief, config: FusionConfig) -> Answer:
    """The best place of responses (N, h, w), in pixels from their middle, under what is believed: of two alike, the expected one."""
    height, width = logits.shape[1:]
    x = CELL * (torch.arange(width, device=logits.device) - width // 2)
    y = CELL * (torch.arange(height, device=logits.device) - height // 2)
    squared = (x[None, None] - belief.points[:, 0, None, None]).square() + (y[None, :, None] - belief.points[:, 1, None, None]).square()
    spread = belief.variance + config.response_search**2
    score = config.response_weight * logits - 0.5 * squared / spread[:, None, None]
    best = score.flatten(1).argmax(dim=1)
    column, row = best % width, best // width
    along_x, along_y = x[None, None] - x[column][:, None, None], y[None, :, None] - y[row][:, None, None]
    near = along_x.square() + along_y.square() <= (CELL * config.response_radius) ** 2
    share = torch.softmax(logits.masked_fill(~near, -torch.inf).flatten(1), dim=1).view_as(logits)
    place = torch.stack(((share * x).sum(dim=(1, 2)), (share * y[:, None]).sum(dim=(1, 2))), dim=1)
    return Answer(place, _sample(logits, place), _sample(logits, belief.points))


def _sample(logits: Tensor, places: Tensor) -> Tensor:
    """Logits (N,) at places (N, 2) in pixels from the middle, interpolated; the border's beyond it."""
    middle = torch.tensor([logits.shape[2] // 2, logits.shape[1] // 2], device=logits.device)
    grid = (places / CELL / middle)[:, None, None]
    return torch.nn.functional.grid_sample(logits[:, None], grid, mode="bilinear", padding_mode="border", align_corners=True)[:, 0, 0, 0]


def corrected(belief: Belief, points: Tensor, spread: Tensor | float, odds: Tensor, config: FusionConfig) -> Belief:
    """A Kalman update with doubts, for places (N, 2) of variance `spread`, believed with log odds (N,) less their surprise (Student's t).

    The same as the point trackers' (points/long_short_tracker), with one variance for both axes.
    """
    way = points - belief.points
    squared = way.square().sum(dim=1) / (belief.variance + spread)
    believed = torch.sigmoid(odds - 0.5 * (config.freedom + 2) * torch.log1p(squared / config.freedom))
    variance = belief.variance * (1 + believed * (squared / config.gate - 1).clamp(min=0))
    information = config.trust * believed / spread
    after = 1 / (1 / variance + information)
    return Belief(belief.points + (after * information)[:, None] * way, after)
