"""LocoTrack's network: tracks refined from the correlation of whole neighbourhoods with whole neighbourhoods.

Cho et al., "Local All-Pair Correspondence for Point Tracking", ECCV 2024, arXiv:2407.15420. Each point is first found
in each frame by itself; then its whole track is refined several times by a transformer over time from local 4D
correlations on three scales. A point may be given on any frame.

Points are (x, y) in pixels, the origin at the centre of the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.network_blocks.chunk_sizes import bytes_at_once, frames_at_once, points_at_once
from UltrasoundMotionLib.tracking.network_blocks.heatmap_peak import heatmap_peak
from UltrasoundMotionLib.tracking.network_blocks.residual_backbone import UNIT_EPSILON, ResidualBackbone, empty_maps
from UltrasoundMotionLib.tracking.network_blocks.track_estimate import TrackEstimate
from UltrasoundMotionLib.tracking.network_blocks.track_features import correlate_along_tracks, sample_query_features
from UltrasoundMotionLib.tracking.trackers.locotrack.correlation_encoder import CorrelationEncoder
from UltrasoundMotionLib.tracking.trackers.locotrack.track_transformer import TrackTransformer

STRIDES = (4, 8, 2)
"""Of the three feature maps, in the order in which the network compares them."""
_GROUPS = (1, 3, 0)  # of the backbone, whose maps these are
_RADIUS = 3  # of the neighbourhoods that are compared, in cells
_SIDE = 2 * _RADIUS + 1
_PEAK_RADIUS = 5.0  # in cells
_TEMPERATURE = 20.0  # factor of the heat map before its softmax
_FREQUENCIES = 10
_STATE_BYTES = 16384  # of a point on a frame: its correlations and their first convolution


@dataclass(frozen=True)
class LocoTrackConfig:
    """Sizes of the network; by default LocoTrack-S's.

    Attributes:
        input_size: side of the square that frames are resized to, a multiple of 8.
        channels: of the backbone's four groups.
        encoder_channels, encoder_kernels, encoder_strides: of the convolutions of the correlation encoders;
            LocoTrack-B has (64, 128, 128), (3, 3, 2) and (2, 2, 2).
        transformer_channels, heads, layers: of the transformer; LocoTrack-B has 384 channels and 6 heads.
        iterations: of the refinement.
    """

    input_size: int = 256
    channels: tuple[int, int, int, int] = (64, 128, 256, 256)
    encoder_channels: tuple[int, ...] = (64, 128)
    encoder_kernels: tuple[int, ...] = (5, 2)
    encoder_strides: tuple[int, ...] = (4, 2)
    transformer_channels: int = 256
    heads: int = 4
    layers: int = 3
    iterations: int = 4


class LocoTrack(nn.Module):
    """Frames (T, 1 or 3, S, S) from -1 to 1 and points on some of them -> their tracks through all frames."""

    def __init__(self, config: LocoTrackConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LocoTrackConfig()
        self.backbone = ResidualBackbone(config.channels)
        self.heatmap = nn.Conv2d(2, 1, 3, padding=1)
        self.visibility = nn.Linear(6, 2)
        self.encoders = nn.ModuleList(
            CorrelationEncoder(_SIDE, config.encoder_channels, config.encoder_kernels, config.encoder_strides)
            for _ in STRIDES
        )
        inputs = 2 + len(STRIDES) * 2 * config.encoder_channels[-1] + 4 * (1 + 2 * _FREQUENCIES)
        outputs = 4 + config.channels[1] + config.channels[3]  # from the fifth on: features that nothing reads
        self.transformer = TrackTransformer(inputs, outputs, config.transformer_channels, config.heads, config.layers)

    def forward(
        self, frames: Tensor, points: Tensor, query_frames: Tensor, on_step: Callable[[], None] = lambda: None
    ) -> TrackEstimate:
        """Follows points (N, 2), given on frames (N,), through all of them.

        Args:
            on_step: called after each chunk of frames and each iteration; raises to stop.
        """
        maps = self.features(frames, on_step)
        templates = [
            sample_query_features(values, points, query_frames, stride, _RADIUS)
            for values, stride in zip(maps, STRIDES, strict=True)
        ]
        first = self._first_estimate(maps, [one[:, one.shape[1] // 2] for one in templates], points, query_frames)
        current = (first.points, first.occlusion, first.distance)
        bias, at_once = (
            self.transformer.time_bias(len(frames)),
            points_at_once(len(frames), _STATE_BYTES, frames.device),
        )
        for _ in range(self.config.iterations):
            parts = [
                self._step(
                    maps,
                    [one[start : start + at_once] for one in templates],
                    bias,
                    [values[start : start + at_once] for values in current],
                )
                for start in range(0, len(points), at_once)
            ]
            tracks, occlusion, distance = (torch.cat(values) for values in zip(*parts, strict=True))
            current = (tracks, occlusion, distance)
            on_step()
        return TrackEstimate(*current)

    def features(self, frames: Tensor, on_step: Callable[[], None] = lambda: None) -> list[Tensor]:
        """Computes the maps (T, C, h, w) of strides 4, 8 and 2, of unit length, a chunk of frames at a time."""
        size, at_once = (int(frames.shape[-2]), int(frames.shape[-1])), frames_at_once(frames.device)
        maps = [
            empty_maps(frames, size, stride, self.config.channels[group])
            for stride, group in zip(STRIDES, _GROUPS, strict=True)
        ]
        for start in range(0, len(frames), at_once):
            groups = self.backbone(frames[start : start + at_once])
            for values, group in zip(maps, _GROUPS, strict=True):
                values[start : start + at_once] = F.normalize(groups[group], dim=1, eps=UNIT_EPSILON)
            on_step()
        return maps

    def _first_estimate(
        self, maps: list[Tensor], queries: list[Tensor], points: Tensor, query_frames: Tensor
    ) -> TrackEstimate:
        """Finds points with features (N, C) in each frame by itself; on their own frames they stay as given."""
        fine, coarse = maps[:2]
        count, frame_count, size = len(points), len(fine), (int(fine.shape[2]), int(fine.shape[3]))
        found = points.new_empty((count, frame_count, 2))
        logits = points.new_empty((count, frame_count, 2))
        at_once = max(1, bytes_at_once(fine.device) // (2 * size[0] * size[1] * fine.element_size()))
        for start in range(0, count, at_once):
            part = slice(start, start + at_once)
            fine_queries, coarse_queries = queries[0][part], queries[1][part]
            for frame in range(frame_count):
                costs = (coarse_queries @ coarse[frame].flatten(1)).unflatten(1, coarse.shape[2:])[:, None]
                upper = F.interpolate(costs, size, mode="bilinear", align_corners=False)[:, 0]
                lower = (fine_queries @ fine[frame].flatten(1)).unflatten(1, size)
                volume = torch.stack((upper, lower), dim=1)
                found[part, frame] = heatmap_peak(self.heatmap(volume)[:, 0] * _TEMPERATURE, _PEAK_RADIUS)
                flat = volume.flatten(2)
                logits[part, frame] = self.visibility(torch.cat((flat.mean(2), flat.amax(2), flat.amin(2)), dim=1))
        found = (found + 0.5) * STRIDES[0] - 0.5
        found[torch.arange(count, device=points.device), query_frames] = points
        return TrackEstimate(found, logits[..., 0], logits[..., 1])

    def _step(
        self, maps: Sequence[Tensor], templates: Sequence[Tensor], bias: Tensor, current: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Refines the tracks of some points once, from their templates (N, cells, C) on each map."""
        tracks, occlusion, distance = current
        count, frame_count = occlusion.shape
        encoded = []
        for values, stride, template, encoder in zip(maps, STRIDES, templates, self.encoders, strict=True):
            found = correlate_along_tracks(values, tracks, template[:, None], stride, _RADIUS)
            encoded.append(encoder(found.flatten(0, 1)).view(count, frame_count, -1))
        steps = (tracks[:, :-1] - tracks[:, 1:]) / self.config.input_size
        motion = torch.cat((F.pad(steps, (0, 0, 0, 1)), F.pad(-steps, (0, 0, 1, 0))), dim=2)
        states = (occlusion[..., None], distance[..., None], *encoded, _with_waves(motion))
        change = self.transformer(torch.cat(states, dim=2), bias)
        return tracks + change[..., :2], occlusion + change[..., 2], distance + change[..., 3]


def _with_waves(values: Tensor) -> Tensor:
    """Adds sines and cosines of 10 frequencies, each twice the one before, to values (..., C): (..., 21 C)."""
    factors = 2.0 ** torch.arange(_FREQUENCIES, dtype=values.dtype, device=values.device)
    angles = (values[..., None, :] * factors[:, None]).flatten(-2)
    return torch.cat((values, angles.sin(), angles.cos()), dim=-1)
