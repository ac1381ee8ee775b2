"""Batches for SpeckNet's temporal head: clips as cost volumes, with running estimates that err as a tracker's do.

The encoder stands still while the head learns. So a pool of clips is encoded once, and each step draws clips of it with
new errors of the running estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.clip_batches import BatchClip, ClipBatches
from UltrasoundMotionLib.lab.training.data.step_batches import CPU, StepBatches
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import Features

_REACH = 23.0  # largest error along an axis, in pixels of the network's input; the head's window reaches 24
_HELD_OUT = 10**6  # clips from this number on are for validation


@dataclass(frozen=True)
class HeadClip:
    """One clip of a batch; positions in pixels of the network's input.

    Attributes:
        volumes: cosines of the query points with the cells of every frame, each (T, N, h, w), float16.
        points: (T, N, 2) true positions; those of frame 0 are the query points.
        visible: (T, N) bool.
        estimates: (T, N, 2) running estimates.
    """

    volumes: Features
    points: Tensor
    visible: Tensor
    estimates: Tensor


class HeadBatches(StepBatches[list[HeadClip]]):
    """Draws batches of encoded clips.

    Args:
        clips: one clip of many frames in each of its batches.
        encode: computes the volumes of a clip.
        pool: number of clips that are encoded and kept.
        count: clips in a batch.
        seed: of everything drawn.
    """

    def __init__(
        self, clips: ClipBatches, encode: Callable[[BatchClip], Features], *, pool: int, count: int, seed: int
    ) -> None:
        self._clips, self._encode, self._pool, self._count, self._seed = clips, encode, pool, count, seed
        self._kept: dict[int, HeadClip] = {}
        self.description = f"{clips.description} pool={pool} count={count}"

    def draw(self, step: int, rank: int = 0, device: torch.device = CPU) -> list[HeadClip]:
        """Returns the batch of a step, see `StepBatches`."""
        rng = np.random.default_rng([self._seed, step, rank, 1])
        return [self._erring(int(rng.integers(self._pool)), rng, device) for _ in range(self._count)]

    def held_out(self, count: int) -> tuple[HeadClip, ...]:
        """Returns clips that no step draws."""
        rng = np.random.default_rng([self._seed, _HELD_OUT])
        return tuple(self._erring(_HELD_OUT + number, rng, CPU) for number in range(count))

    def _erring(self, number: int, rng: np.random.Generator, device: torch.device) -> HeadClip:
        clip = self._encoded(number, device)
        return replace(clip, estimates=draw_estimates(clip.points, rng))

    def _encoded(self, number: int, device: torch.device) -> HeadClip:
        if number not in self._kept:
            clip = self._clips.draw(number, device=device)[0]
            seen = torch.nonzero(clip.visible[0])[:, 0]
            clip = replace(clip, points=clip.points[:, seen], visible=clip.visible[:, seen], query_frame=0)
            first, second, third = (values.half() for values in self._encode(clip))
            self._kept[number] = HeadClip((first, second, third), clip.points, clip.visible, clip.points)
        return self._kept[number]


def draw_estimates(points: Tensor, rng: np.random.Generator) -> Tensor:
    """Draws running estimates (T, N, 2) of true positions: exact on frame 0, then with errors that last.

    Points drift together (a translation and a linear part that wander), each strays by itself, and some stay where they
    were at a moment or go with another point, as at a shadow's edge or on clutter.
    """
    truth = points.cpu().numpy().astype(np.float64)
    frames, count = truth.shape[:2]
    size = float(np.exp(rng.uniform(np.log(0.5), np.log(6.0))))
    error = np.cumsum(rng.normal(0, 0.4 * size, (frames, 1, 2)), axis=0)
    linear = np.cumsum(rng.normal(0, 0.003 * size, (frames, 2, 2)), axis=0)
    error = error + np.einsum("tij,nj->tni", linear, truth[0] - truth[0].mean(axis=0))
    kept, own = rng.uniform(0.5, 0.95), np.zeros((count, 2))
    for frame in range(frames):
        own = kept * own + np.sqrt(1 - kept**2) * rng.normal(0, size, (count, 2))
        error[frame] += own
    for point in np.flatnonzero(rng.random(count) < 0.2):
        first = int(rng.integers(1, frames)) if frames > 1 else 0
        last = int(rng.integers(first, frames)) + 1
        leader = point if rng.random() < 0.5 else int(rng.integers(count))
        way = 0.0 if leader == point else truth[first:last, leader] - truth[first, leader]
        error[first:last, point] += truth[first, point] + way - truth[first:last, point]
    error[0] = 0
    return torch.as_tensor(truth + error.clip(-_REACH, _REACH), dtype=points.dtype, device=points.device)
