"""The network EchoTracker: a global search in every frame, then trajectories refined by local correlations over time.

M. A. Azad et al., EchoTracker: Advancing Myocardial Point Tracking in Echocardiography, MICCAI 2024, arXiv:2405.08587.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.network_blocks.correlation_pyramid import feature_pyramid, local_correlations
from UltrasoundMotionLib.tracking.network_blocks.feature_sampling import sample_features
from UltrasoundMotionLib.tracking.network_blocks.residual_encoder import ResidualEncoder, encode_in_chunks
from UltrasoundMotionLib.tracking.network_blocks.sinusoidal_embedding import embed_vectors
from UltrasoundMotionLib.tracking.network_blocks.temporal_convolution import TrajectoryConvolution

_AfterStep = Callable[[], None]
_CHANGES_SHAPE = (50, 60)
_SEARCH_SIDE = 14
_LAGS = (2, 4)
"""Frames back at which a point's features are taken anew for the second and third template."""


@dataclass(frozen=True)
class EchoTrackerConfig:
    """Shape of the network; the defaults are those of the published weights.

    Attributes:
        features: channels of the feature maps, a multiple of 4.
        widths: channels of the four stages of each encoder.
        coarse_stride: image pixels along the side of a pixel of the coarse feature maps.
        fine_stride: the same of the fine ones.
        width: channels of the first temporal convolutions.
        levels: of the pyramid of feature maps.
        radius: of the local correlations, in pixels of each level.
        image_size: sides (height, width) in pixels of the images that the weights were trained for, multiples of 8.
    """

    features: int = 64
    widths: tuple[int, int, int, int] = (32, 48, 64, 64)
    coarse_stride: int = 8
    fine_stride: int = 2
    width: int = 64
    levels: int = 4
    radius: int = 3
    image_size: tuple[int, int] = (256, 256)


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """The network's view of a clip.

    Attributes:
        first_coarse: coarse features (1, F, H / 8, W / 8) of the first frame.
        search: coarse features (T, F, 196) of all frames on a 14 x 14 grid over the image, averaged over the pyramid.
        fine: pyramid of the fine features (T, F, H / 2, W / 2) of all frames.
        changes: the last frame, then the change of each frame from the one before, on a grid, (T, 3000).
    """

    first_coarse: Tensor
    search: Tensor
    fine: list[Tensor]
    changes: Tensor

    def float(self) -> ClipFeatures:
        """Returns the same in single precision."""
        fine = [level.float() for level in self.fine]
        return ClipFeatures(self.first_coarse.float(), self.search.float(), fine, self.changes.float())


class EchoTracker(nn.Module):
    """Trajectories of points of a clip's first frame.

    The network was trained with the differences between frames in the order described at `ClipFeatures.changes`.
    """

    def __init__(self, config: EchoTrackerConfig) -> None:
        super().__init__()
        self.config = config
        self.coarse_encoder = ResidualEncoder(1, config.widths, config.features, config.coarse_stride)
        self.fine_encoder = ResidualEncoder(1, config.widths, config.features, config.fine_stride)
        changes = _CHANGES_SHAPE[0] * _CHANGES_SHAPE[1]
        motion = config.features + 2 + 2  # embedded motion and its two components; position on the first frame
        self.global_search = TrajectoryConvolution(_SEARCH_SIDE**2 + motion, config.width, changes)
        correlations = (1 + len(_LAGS)) * config.levels * (2 * config.radius + 1) ** 2
        self.reduce = nn.Linear(correlations, 2 * _SEARCH_SIDE**2)
        self.refinement = TrajectoryConvolution(2 * _SEARCH_SIDE**2 + motion, config.width, changes)

    def forward(self, images: Tensor, points: Tensor, iterations: int = 4) -> list[Tensor]:
        """Follows points.

        Args:
            images: (T, 1, H, W) in [-1, 1], T at least 2, H and W multiples of 8.
            points: (N, 2), (x, y) in pixels of the first image.
            iterations: of the refinement.

        Returns:
            Trajectories (T, N, 2) px of the global search and of each iteration.
        """
        return self.follow(self.encode(images, len(images)), points, iterations)

    def encode(self, images: Tensor, images_at_once: int, after_chunk: _AfterStep = lambda: None) -> ClipFeatures:
        """Returns the features of images (T, 1, H, W) in [-1, 1], computed a few images at a time.

        `after_chunk` is called twice for each few images, once by either encoder; it may raise to stop.
        """
        search, first = [], None
        for start in range(0, len(images), images_at_once):
            coarse = self.coarse_encoder(images[start : start + images_at_once])
            first = coarse[:1] if first is None else first
            grids = [
                F.interpolate(level, (_SEARCH_SIDE, _SEARCH_SIDE), mode="bilinear", align_corners=True)
                for level in feature_pyramid(coarse, self.config.levels)
            ]
            search.append(torch.stack(grids).mean(dim=0).flatten(2))
            after_chunk()
        fine = encode_in_chunks(self.fine_encoder, images, images_at_once, after_chunk)
        small = F.interpolate(images, _CHANGES_SHAPE, mode="bilinear").flatten(1)
        changes = torch.cat([small[-1:], small[1:] - small[:-1]])
        assert first is not None
        return ClipFeatures(first.clone(), torch.cat(search), feature_pyramid(fine, self.config.levels), changes)

    def follow(
        self, features: ClipFeatures, points: Tensor, iterations: int = 4, after_step: _AfterStep = lambda: None
    ) -> list[Tensor]:
        """Returns the trajectories (T, N, 2) px of points (N, 2) px of the global search and of each iteration.

        `after_step` is called after each iteration; it may raise to stop.
        """
        found = [self._search_globally(features, points)]
        stride, count = self.config.fine_stride, len(features.changes)
        places = found[0] / stride
        start = places[0]
        template = sample_features(features.fine[0][:1], start[None])  # (1, N, F)
        times = torch.arange(count, device=points.device)
        for _ in range(iterations):
            places = places.detach()
            current = sample_features(features.fine[0], places)  # (T, N, F)
            earlier = [current[(times - lag).clamp(min=0)] for lag in _LAGS]
            templates = torch.stack([template.expand_as(current), *earlier], dim=2)
            correlations = local_correlations(features.fine, places, templates, self.config.radius)
            measured = self.reduce(correlations.flatten(2)).transpose(0, 1)  # (N, T, 392)
            values = torch.cat([measured, self._motion(places, start)], dim=2)
            places = places + self.refinement(values, features.changes).transpose(0, 1)
            found.append(places * stride)
            after_step()
        return found

    def _search_globally(self, features: ClipFeatures, points: Tensor) -> Tensor:
        """Returns trajectories (T, N, 2) px from the correlation of each point with all of every frame."""
        stride = self.config.coarse_stride
        start = points / stride
        template = sample_features(features.first_coarse, start[None])[0] * self.config.features**-0.5  # (N, F)
        correlations = (template @ features.search).transpose(0, 1)  # (N, T, 196)
        still = start.expand(len(features.changes), -1, -1)
        values = torch.cat([correlations, self._motion(still, start)], dim=2)
        return (start + self.global_search(values, features.changes).transpose(0, 1)) * stride

    def _motion(self, places: Tensor, start: Tensor) -> Tensor:
        """Returns (N, T, F + 4): the motion to the next frame, embedded, and the positions (N, 2) on the first."""
        steps = places[1:] - places[:-1]
        steps = torch.cat([steps, steps[-1:]]).transpose(0, 1)
        embedded = embed_vectors(steps, self.config.features)
        return torch.cat([embedded, start[:, None].expand(-1, len(places), -1)], dim=2)
