"""TAPIR's network, and BootsTAPIR's, which is the same with further convolutions and a coarser level.

Doersch et al., "TAPIR: Tracking Any Point with per-frame Initialization and temporal Refinement", ICCV 2023,
arXiv:2306.08637; Doersch et al., "BootsTAP: Bootstrapped Training for Tracking-Any-Point", ACCV 2024,
arXiv:2402.00847. Each point is first found in each frame by itself, in a cost volume; then its whole track is refined
several times from local correlations. A point may be given on any frame.

Points are (x, y) in pixels, the origin at the centre of the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.network_blocks.chunk_sizes import frames_at_once, points_at_once
from UltrasoundMotionLib.tracking.network_blocks.residual_backbone import UNIT_EPSILON, ResidualBackbone, empty_maps
from UltrasoundMotionLib.tracking.network_blocks.track_estimate import TrackEstimate
from UltrasoundMotionLib.tracking.network_blocks.track_features import correlate_along_tracks, sample_query_features
from UltrasoundMotionLib.tracking.trackers.tapir.initial_match import InitialMatch
from UltrasoundMotionLib.tracking.trackers.tapir.mixer import TrackMixer

FINE_STRIDE, COARSE_STRIDE = 4, 8
_RADIUS = 3  # of the neighbourhoods that are compared, in cells
_STATE_BYTES = 8192  # of a point on a frame in the widest layer of the mixer
_NEIGHBOURS = (2 * _RADIUS + 1) ** 2


@dataclass(frozen=True)
class TapirConfig:
    """Sizes of the network; by default TAPIR's.

    Attributes:
        input_size: side of the square that frames are resized to for the first match.
        channels: of the backbone's four groups; the second gives the fine features, the fourth the coarse ones.
        extra_convolutions: residual pairs of convolutions after the coarse features; BootsTAPIR has 5.
        pyramid_levels: further coarse levels, each averaged to half the resolution; BootsTAPIR has 1.
        mixer_blocks: of the mixer over time.
        mixer_channels: of the mixer.
        iterations: of the refinement, at each resolution.
        temperature: factor of the heat map before its softmax; 20 in the official PyTorch code for both networks (the
            official JAX configuration of BootsTAPIR has 10).
    """

    input_size: int = 256
    channels: tuple[int, int, int, int] = (64, 128, 256, 256)
    extra_convolutions: int = 0
    pyramid_levels: int = 0
    mixer_blocks: int = 12
    mixer_channels: int = 512
    iterations: int = 4
    temperature: float = 20.0


@dataclass(frozen=True)
class FeatureMaps:
    """Features of T frames of one size, of unit length: fine (T, C, H/4, W/4) and coarse (T, C', H/8, W/8), channels
    last in memory, with `size` (height, width) in pixels.
    """

    fine: Tensor
    coarse: Tensor
    size: tuple[int, int]


class Tapir(nn.Module):
    """Frames (T, 1 or 3, H, W) from -1 to 1 and points on some of them -> their tracks through all frames."""

    def __init__(self, config: TapirConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TapirConfig()
        fine, coarse = config.channels[1], config.channels[3]
        self.backbone = ResidualBackbone(config.channels)
        self.coarse_blocks = nn.ModuleList(_ConvolutionPair(coarse) for _ in range(config.extra_convolutions))
        self.initial_match = InitialMatch(config.temperature)
        state = 4 + fine + coarse
        self.mixer = TrackMixer(
            state + _NEIGHBOURS * (2 + config.pyramid_levels), state, config.mixer_channels, config.mixer_blocks
        )

    def forward(
        self,
        frames: Tensor,
        points: Tensor,
        query_frames: Tensor,
        sizes: Sequence[tuple[int, int]] = (),
        on_step: Callable[[], None] = lambda: None,
    ) -> TrackEstimate:
        """Follows points (N, 2), in pixels of `frames`, given on frames (N,), through all of them.

        Args:
            sizes: (height, width), multiples of 8, at which tracks are refined one after the other; the estimates of
                all are averaged. By default only the square of `input_size`.
            on_step: called after each chunk of frames and each iteration; raises to stop.
        """
        square = (self.config.input_size,) * 2
        own = (int(frames.shape[-2]), int(frames.shape[-1]))
        by_size = {size: self.features(frames, size, on_step) for size in dict.fromkeys((square, *sizes))}
        points = _rescaled(points, own, square)
        first = self._first_estimate(by_size[square], points, query_frames)
        tracks, refined = first.points, []
        for size in sizes or (square,):
            estimate = TrackEstimate(tracks, first.occlusion, first.distance)
            refined.append(self._refine(by_size[size], estimate, points, query_frames, on_step))
            tracks = refined[-1].points
        return TrackEstimate(
            _rescaled(torch.stack([one.points for one in refined]).mean(0), square, own),
            torch.stack([one.occlusion for one in refined]).mean(0),
            torch.stack([one.distance for one in refined]).mean(0),
        )

    def features(
        self, frames: Tensor, size: tuple[int, int], on_step: Callable[[], None] = lambda: None
    ) -> FeatureMaps:
        """Computes the features of frames (T, 1 or 3, H, W) resized to `size`, a chunk at a time."""
        at_once = frames_at_once(frames.device)
        fine = empty_maps(frames, size, FINE_STRIDE, self.config.channels[1])
        coarse = empty_maps(frames, size, COARSE_STRIDE, self.config.channels[3])
        for start in range(0, len(frames), at_once):
            chunk = frames[start : start + at_once]
            if tuple(chunk.shape[-2:]) != size:
                chunk = F.interpolate(chunk, size, mode="bilinear", align_corners=False)
            _, middle, _, last = self.backbone(chunk)
            for block in self.coarse_blocks:
                last = block(last)
            fine[start : start + at_once] = F.normalize(middle, dim=1, eps=UNIT_EPSILON)
            coarse[start : start + at_once] = F.normalize(last, dim=1, eps=UNIT_EPSILON)
            on_step()
        return FeatureMaps(fine, coarse, size)

    def _first_estimate(self, maps: FeatureMaps, points: Tensor, query_frames: Tensor) -> TrackEstimate:
        """Finds points (N, 2), given on frames (N,), in each frame by itself; on their own they stay as given."""
        queries = sample_query_features(maps.coarse, points, query_frames, COARSE_STRIDE)[:, 0]
        found, occlusion, distance = self.initial_match(maps.coarse, queries)
        found = (found + 0.5) * COARSE_STRIDE - 0.5
        found[torch.arange(len(points), device=points.device), query_frames] = points
        return TrackEstimate(found, occlusion, distance)

    def _refine(
        self,
        maps: FeatureMaps,
        estimate: TrackEstimate,
        points: Tensor,
        query_frames: Tensor,
        on_step: Callable[[], None],
    ) -> TrackEstimate:
        """Refines tracks at one resolution."""
        square = (self.config.input_size,) * 2
        levels = [(maps.fine, FINE_STRIDE), (maps.coarse, COARSE_STRIDE)]
        for _ in range(self.config.pyramid_levels):
            levels.append((F.avg_pool2d(levels[-1][0], 2), 2 * levels[-1][1]))
        points = _rescaled(points, square, maps.size)
        fine = sample_query_features(maps.fine, points, query_frames, FINE_STRIDE)
        coarse = sample_query_features(maps.coarse, points, query_frames, COARSE_STRIDE)
        state = torch.cat((fine, coarse), dim=2)  # (N, 1, C + C'); from the first iteration on (N, T, C + C')
        tracks = _rescaled(estimate.points, square, maps.size)
        current: tuple[Tensor, ...] = (tracks, estimate.occlusion, estimate.distance, state)
        at_once = points_at_once(len(maps.fine), _STATE_BYTES, points.device)
        for _ in range(self.config.iterations):
            parts = [
                self._step(levels, *(values[start : start + at_once] for values in current))
                for start in range(0, len(points), at_once)
            ]
            current = tuple(torch.cat(values) for values in zip(*parts, strict=True))
            on_step()
        return TrackEstimate(_rescaled(current[0], maps.size, square), current[1], current[2])

    def _step(
        self, levels: list[tuple[Tensor, int]], tracks: Tensor, occlusion: Tensor, distance: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Refines the tracks of some points once."""
        split = self.config.channels[1]
        correlations = [
            correlate_along_tracks(
                maps, tracks, state[:, :, None, :split] if level == 0 else state[:, :, None, split:], stride, _RADIUS
            ).flatten(2)
            for level, (maps, stride) in enumerate(levels)
        ]
        state = state.expand(-1, tracks.shape[1], -1)
        known = (torch.zeros_like(tracks), occlusion[..., None], distance[..., None], state)
        change = self.mixer(torch.cat((*known, *correlations), dim=2))
        return tracks + change[..., :2], occlusion + change[..., 2], distance + change[..., 3], state + change[..., 4:]


class _ConvolutionPair(nn.Module):
    """Two convolutions that widen and narrow again, added to the normalised values."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.narrow = nn.Conv2d(4 * channels, channels, 3, padding=1)

    def forward(self, values: Tensor) -> Tensor:
        """Maps (B, C, h, w) to as many."""
        normal = self.norm(values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normal + self.narrow(F.gelu(self.widen(normal), approximate="tanh"))


def _rescaled(points: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """Converts points from images of one size (height, width) to those of another with the same outer edges."""
    factors = torch.tensor([after[1] / before[1], after[0] / before[0]], dtype=points.dtype, device=points.device)
    return (points + 0.5) * factors - 0.5
