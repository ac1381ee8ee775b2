"""One position from LSDM's three answers.

The response (absolute, coarse), the long motion (absolute, fine), and the short motion (from the last place; adds up to drift).
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
        short_deviation: what the short motion may be off in one frame.
        short_share: of its length, what it may be off beside.
        response_weight: log-likelihood for one logit.
        response_search: how far off, beyond the position's own uncertainty, the response is searched.
        response_radius: of the mean around the response's best cell, in cells.
        response_deviation: of the place that the response gives, if it is the right one.
        response_readiness: log odds with which an unsurprising answer of the response is believed.
        long_deviation / long_readiness: the same of the long motion.
        long_floor: likeness of the windows carried onto each other under which the long motion is hardly believed.
        long_slope: log odds for one unit of that likeness.
        trust: weight of one absolute answer; its errors stay the same for many frames, so each brings little that is new.
        freedom: degrees of freedom of the surprise; the fewer, the sooner a long way is believed.
        gate: squared distance, in standard deviations, beyond which a believed answer widens the uncertainty.
        largest_deviation: the uncertainty grows no further.
    """

    short_deviation: float = 0.25
    short_share: float = 0.15
    response_weight: float = 0.5
    response_search: float = 3.0
    response_radius: float = 2.5
    response_deviation: float = 0.8
    response_readiness: float = 2.0
    long_deviation: float = 0.5
    long_readiness: float = 2.0
    long_floor: float = 0.1
    long_slope: float = 20.0
    trust: float = 0.4
    freedom: float = 3.0
    gate: float = 4.0
    largest_deviation: float = 12.0


@dataclass(frozen=True)
class Belief:
    """Places (N, 2) and their variance (N,), in pixels and pixels squared."""

    points: Tensor
    variance: Tensor


def predicted(belief: Belief, short: Tensor, config: FusionConfig) -> Belief:
    """After the short motion (N, 2)."""
    step = config.short_deviation**2 + (config.short_share * short).square().sum(dim=1)
    variance = (belief.variance + step).clamp(max=config.largest_deviation**2)
    return Belief(belief.points + short, variance)


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


def corrected(belief: Belief, points: Tensor, deviation: float, odds: Tensor, config: FusionConfig) -> Belief:
    """A Kalman update with doubts, for places (N, 2) of that standard deviation, believed with log odds (N,) less their surprise (Student's t).

    The same as the point trackers' (points/long_short_tracker), with one variance for both axes.
    """
    way = points - belief.points
    squared = way.square().sum(dim=1) / (belief.variance + deviation**2)
    believed = torch.sigmoid(odds - 0.5 * (config.freedom + 2) * torch.log1p(squared / config.freedom))
    variance = belief.variance * (1 + believed * (squared / config.gate - 1).clamp(min=0))
    information = config.trust * believed / deviation**2
    after = 1 / (1 / variance + information)
    return Belief(belief.points + (after * information)[:, None] * way, after)
