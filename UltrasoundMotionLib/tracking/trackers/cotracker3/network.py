"""CoTracker3: tracks of many points together, refined step by step over a whole clip or a window of it.

N. Karaev et al., CoTracker3: Simpler and Better Point Tracking by Pseudo-Labelling Real Videos, arXiv:2410.11831. A
convolutional network gives a feature map of stride 4 for each frame. Each track begins where its query point is, on all
frames. In each of a few iterations, every point on every frame becomes a token: its visibility and confidence so far,
the correlation of what is around it with what is around the query point on four scales (4D correlation features), and
its motion from the frame before and to the frame after. A transformer turns the tokens into changes of position,
visibility and confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.network_blocks.chunk_sizes import points_at_once
from UltrasoundMotionLib.tracking.network_blocks.feature_sampling import correlate_tracks, sample_patches
from UltrasoundMotionLib.tracking.network_blocks.residual_encoder import ResidualEncoder
from UltrasoundMotionLib.tracking.trackers.cotracker3.transformer import Transformer

STRIDE = 4
_LEVELS = 4
_RADIUS = 3
_SIDE = 2 * _RADIUS + 1
_WAVES = 10


@dataclass(frozen=True)
class CoTracker3Config:
    """Sizes of the network; the defaults are those of the published weights.

    Attributes:
        window_frames: number of frames of the table of time embeddings, that of a window in training; other numbers of
            frames interpolate it.
        input_size: (height, width) that frames are resized to, multiples of 4; it is the unit of motion too.
        features: channels of the feature maps.
        widths: channels of the four stages of the encoder.
        correlation_hidden: channels inside the perceptron that each scale's correlation passes.
        correlation: channels after it.
        channels: of the tokens, a multiple of the heads.
        depth: layers of the transformer.
        heads: of its attentions.
        virtual_tracks: tracks that are learnt, by which points attend to each other.
    """

    window_frames: int = 60
    input_size: tuple[int, int] = (384, 512)
    features: int = 128
    widths: tuple[int, int, int, int] = (64, 96, 128, 128)
    correlation_hidden: int = 384
    correlation: int = 256
    channels: int = 384
    depth: int = 3
    heads: int = 8
    virtual_tracks: int = 64

    @property
    def token_inputs(self) -> int:
        """Channels of a token before the transformer: visibility, confidence, correlations, motion and its waves."""
        return 2 + _LEVELS * self.correlation + 4 * (1 + 2 * _WAVES)


@dataclass(frozen=True, eq=False)
class TrackState:
    """Tracks of N points on T frames: positions (N, T, 2), (x, y) in pixels of the feature maps, and logits (N, T)."""

    positions: Tensor
    visibility: Tensor
    confidence: Tensor

    @classmethod
    def begin(cls, points: Tensor, frame_count: int) -> TrackState:
        """Returns tracks that stay at their query points (N, 2) px of the input, with logits of 0."""
        nothing = points.new_zeros(len(points), frame_count)
        return cls((points / STRIDE)[:, None].expand(-1, frame_count, -1), nothing, nothing)


class CoTracker3(nn.Module):
    """The network in its parts, of which the trackers make their runs; `forward` runs a clip as a whole."""

    def __init__(self, config: CoTracker3Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = ResidualEncoder(3, config.widths, config.features, STRIDE)
        self.correlation_hidden = nn.Linear(_SIDE**4, config.correlation_hidden)
        self.correlation_output = nn.Linear(config.correlation_hidden, config.correlation)
        self.token_input = nn.Linear(config.token_inputs, config.channels)
        self.transformer = Transformer(config.channels, config.depth, config.heads, config.virtual_tracks)
        self.position_output = nn.Linear(config.channels, 2)
        self.visibility_output = nn.Linear(config.channels, 2)

    def forward(self, images: Tensor, points: Tensor, frames: Tensor, iterations: int = 6) -> TrackState:
        """Follows points (N, 2) px, given on frames (N,), through images (T, 1, H, W) in [-1, 1]."""
        maps = self.pyramid(self.encode(images))
        return self.refine(
            maps, self.templates(maps, points, frames), TrackState.begin(points, len(images)), iterations
        )

    def encode(self, images: Tensor) -> Tensor:
        """Returns features (T, F, H / 4, W / 4), of length 1, of images (T, 1, H, W) in [-1, 1] with sides that are
        multiples of 4.
        """
        maps = self.encoder(images.expand(-1, 3, -1, -1))
        return maps / maps.square().sum(dim=1, keepdim=True).clamp_(min=1e-12).sqrt_()

    def empty_pyramid(self, frame_count: int, shape: tuple[int, int], like: Tensor) -> list[Tensor]:
        """Returns feature maps (T, F, h, w) without values for images (H, W), one for each scale, channels last."""
        return [
            torch.empty(
                (frame_count, self.config.features, shape[0] // (STRIDE << level), shape[1] // (STRIDE << level)),
                dtype=like.dtype,
                device=like.device,
                memory_format=torch.channels_last,
            )
            for level in range(_LEVELS)
        ]

    def pyramid(self, features: Tensor) -> list[Tensor]:
        """Returns features (T, F, h, w) and their averages of 2 x 2 pixels, three times over, channels last."""
        maps = [features]
        while len(maps) < _LEVELS:
            maps.append(F.avg_pool2d(maps[-1], 2))
        return [one.contiguous(memory_format=torch.channels_last) for one in maps]

    def templates(self, maps: Sequence[Tensor], points: Tensor, frames: Tensor) -> list[Tensor]:
        """Returns what is around points (N, 2) px on frames (N,), (N, 49, F) for each scale of the maps."""
        found = [one.new_empty(len(points), _SIDE**2, one.shape[1]) for one in maps]
        for frame in frames.unique().tolist():
            inside = frames == frame
            places = points[inside][None] / STRIDE
            for level, one in enumerate(maps):
                patches = sample_patches(one[frame : frame + 1], places / 2**level, _RADIUS, outside="border")
                found[level][inside] = patches[0].flatten(1, 2)
        return found

    def refine(
        self,
        maps: Sequence[Tensor],
        templates: Sequence[Tensor],
        state: TrackState,
        iterations: int,
        after_step: Callable[[], None] = lambda: None,
    ) -> TrackState:
        """Refines tracks on the frames of the maps.

        Args:
            maps: see `pyramid`.
            templates: see `templates`.
            state: to begin with.
            iterations: of the refinement.
            after_step: called after each iteration; may raise to stop.
        """
        count, frame_count = state.visibility.shape
        time = self._time_embedding(frame_count, maps[0])
        at_once = points_at_once(frame_count, _SIDE**4 * time.element_size(), time.device)
        for _ in range(iterations):
            parts = (slice(first, first + at_once) for first in range(0, count, at_once))
            tokens = torch.cat([self._tokens(maps, templates, state, part, time) for part in parts])
            tokens = self.transformer(tokens)
            visibility, confidence = self.visibility_output(tokens).unbind(-1)
            state = TrackState(
                state.positions + self.position_output(tokens),
                state.visibility + visibility,
                state.confidence + confidence,
            )
            after_step()
        return state

    def _tokens(
        self, maps: Sequence[Tensor], templates: Sequence[Tensor], state: TrackState, part: slice, time: Tensor
    ) -> Tensor:
        """Returns tokens (n, T, channels) of some of the points; time is the embedding (T, inputs)."""
        positions = state.positions[part]
        inputs = [state.visibility[part, :, None], state.confidence[part, :, None]]
        for level, (one, template) in enumerate(zip(maps, templates, strict=True)):
            products = correlate_tracks(one, positions / 2**level, template[part], _RADIUS).flatten(2)
            inputs.append(self.correlation_output(F.gelu(self.correlation_hidden(products))))
        height, width = self.config.input_size
        steps = positions.diff(dim=1) / (positions.new_tensor([width, height]) / STRIDE)
        motion = torch.cat([F.pad(-steps, (0, 0, 0, 1)), F.pad(steps, (0, 0, 1, 0))], dim=-1)
        inputs += [motion, _waves(motion)]
        return self.token_input(torch.cat(inputs, dim=-1) + time)

    def _time_embedding(self, frame_count: int, like: Tensor) -> Tensor:
        """Returns sines and cosines (T, inputs) of the frame's number: a table that is interpolated to T frames."""
        table = time_table(self.config.window_frames, self.config.token_inputs)
        if frame_count != len(table):
            table = F.interpolate(table.t()[None], size=frame_count, mode="linear")[0].t()
        return table.to(like)


def time_table(frame_count: int, channels: int) -> Tensor:
    """Returns the sines, then the cosines, (T, channels) float32, of the numbers of frames at falling rates."""
    rates = 10000.0 ** -(torch.arange(channels // 2, dtype=torch.float64) / (channels / 2))
    angles = torch.arange(frame_count, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def _waves(values: Tensor) -> Tensor:
    """Returns the sines, then the cosines, (..., 10 C) each, of values (..., C) times 1, 2, 4 ... 512."""
    scales = 2.0 ** torch.arange(_WAVES, dtype=values.dtype, device=values.device)
    angles = (values[..., None, :] * scales[:, None]).flatten(-2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
