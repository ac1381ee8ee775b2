"""The network PIPs++: trajectories refined by local correlations with templates from several times.

Y. Zheng, A. W. Harley et al., PointOdyssey: A Large-Scale Synthetic Dataset for Long-Term Point Tracking, ICCV 2023,
arXiv:2307.15055.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.network_blocks.correlation_pyramid import feature_pyramid, local_correlations
from UltrasoundMotionLib.tracking.network_blocks.feature_sampling import sample_features
from UltrasoundMotionLib.tracking.network_blocks.residual_encoder import ResidualEncoder, encode_in_chunks
from UltrasoundMotionLib.tracking.network_blocks.sinusoidal_embedding import embed_vectors
from UltrasoundMotionLib.tracking.network_blocks.temporal_convolution import TrajectoryConvolution

_AfterStep = Callable[[], None]
_EMBEDDING = 128
_LAGS = (2, 4)
"""Frames back at which a point's features are taken anew for the second and third template."""


@dataclass(frozen=True)
class PipsPlusPlusConfig:
    """Shape of the network; the defaults are those of the published weights.

    Attributes:
        features: channels of the feature maps.
        widths: channels of the four stages of the encoder.
        stride: image pixels along the side of a pixel of the feature maps.
        width: channels of the first temporal convolutions.
        levels: of the pyramid of feature maps.
        radius: of the local correlations, in pixels of each level.
        image_size: sides (height, width) in pixels of the images that the weights were trained for, multiples of 8.
    """

    features: int = 128
    widths: tuple[int, int, int, int] = (64, 96, 128, 128)
    stride: int = 8
    width: int = 128
    levels: int = 4
    radius: int = 3
    image_size: tuple[int, int] = (512, 512)


@dataclass(frozen=True, eq=False)
class Templates:
    """The features that points are looked for with: those of the query frame (N, F), and those taken at each time
    from the frames before, (T, N, L, F) for L lags.
    """

    first: Tensor
    earlier: Tensor


class PipsPlusPlus(nn.Module):
    """Trajectories of points of a window's first frame."""

    def __init__(self, config: PipsPlusPlusConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ResidualEncoder(3, config.widths, config.features, config.stride)
        correlations = (1 + len(_LAGS)) * config.levels * (2 * config.radius + 1) ** 2
        self.refinement = TrajectoryConvolution(correlations + _EMBEDDING + 2, config.width)

    def forward(self, images: Tensor, points: Tensor, iterations: int = 6) -> list[Tensor]:
        """Follows points.

        Args:
            images: (T, 1, H, W) grey or (T, 3, H, W) in [-1, 1], T at least 2.
            points: (N, 2), (x, y) in pixels of the first image.
            iterations: of the refinement.

        Returns:
            Trajectories (T, N, 2) px of each iteration, see `follow`.
        """
        start = points.expand(len(images), -1, -1)
        return self.follow(self.encode(images, len(images)), start, iterations)[0]

    def encode(self, images: Tensor, images_at_once: int, after_chunk: _AfterStep = lambda: None) -> list[Tensor]:
        """Returns the pyramid of features of images (T, 1 or 3, H, W) in [-1, 1], computed a few images at a time.

        `after_chunk` is called after each few images; it may raise to stop.
        """
        coloured = images.expand(-1, 3, -1, -1)
        return feature_pyramid(
            encode_in_chunks(self.encoder, coloured, images_at_once, after_chunk), self.config.levels
        )

    def follow(
        self,
        features: list[Tensor],
        trajectories: Tensor,
        iterations: int,
        templates: Templates | None = None,
        after_step: _AfterStep = lambda: None,
    ) -> tuple[list[Tensor], Templates]:
        """Refines trajectories, whose first positions are taken as given.

        Args:
            features: see `encode`.
            trajectories: (T, N, 2) px, to begin with.
            iterations: of the refinement, at least 1.
            templates: those of the window before; None takes the first frame's.
            after_step: called after each iteration; may raise to stop.

        Returns:
            The trajectories (T, N, 2) px of each iteration, the first positions of all but the last as the network
            moved them, so that training sees them, and of the last as given; and the templates at the end.
        """
        stride, count = self.config.stride, len(trajectories)
        places = trajectories / stride
        start = places[:1]
        if templates is None:
            first = sample_features(features[0][:1], start)[0]
            templates = Templates(first, first[None, :, None].expand(count, -1, len(_LAGS), -1))
        earlier = templates.earlier
        times = torch.arange(count, device=trajectories.device)
        found = []
        for iteration in range(iterations):
            places = places.detach()
            if iteration > 0:
                current = sample_features(features[0], places)  # (T, N, F)
                earlier = torch.stack([current[(times - lag).clamp(min=0)] for lag in _LAGS], dim=2)
            looked_for = torch.cat([templates.first[None, :, None].expand(count, -1, 1, -1), earlier], dim=2)
            correlations = local_correlations(features, places, looked_for, self.config.radius).flatten(2)
            steps = places[1:] - places[:-1]
            motion = embed_vectors(torch.cat([steps, steps[-1:]]), _EMBEDDING)
            values = torch.cat([correlations, motion], dim=2).transpose(0, 1)
            places = places + self.refinement(values).transpose(0, 1)
            found.append(places * stride)
            places = torch.cat([start, places[1:]])
            after_step()
        found[-1] = places * stride
        return found, Templates(templates.first, earlier)
