"""LSDM's network: one encoder for tracking and motion, EMMA between the two motions, and the joint response (Liu et
al., Figs. 3 to 5, Eq. 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.trackers.lsdm.emma import Emma
from UltrasoundMotionLib.tracking.trackers.lsdm.encoder import DECODERS, MotionDecoder, SharedEncoder
from UltrasoundMotionLib.tracking.trackers.lsdm.motion import Motion
from UltrasoundMotionLib.tracking.trackers.lsdm.tracking_branch import (
    EXEMPLAR,
    INSTANCE,
    RESPONSE,
    SAMPLE,
    STRIDE,
    DeformationPyramid,
    TrackingHead,
)

_CONTROL = 8
"""Samples between the places of the exemplar whose way back to x_0 is computed; between them it is interpolated."""


@dataclass(frozen=True)
class LsdmConfig:
    """Sizes and options of the network.

    Attributes:
        decoder: "complete", long and short separated at the last convolution, or "partial", two decoders. The paper
            prefers complete.
        iterations: N of EMMA (Alg. 1); 0 leaves EMMA out.
        seeds: k of EMMA, a square number.
        motion_channels: c, channels of the maps phi_l and phi_s that EMMA aligns.
        pyramid: with the deformation pyramid network.
        channels: of the encoder at strides 2, 4, 8 and 16.
        feature_channels: of the features that are correlated.
        squarings: of the integration of the velocities.

    Raises:
        InputError: an unknown decoder.
    """

    decoder: str = "complete"
    iterations: int = 3
    seeds: int = 64
    motion_channels: int = 16
    pyramid: bool = True
    channels: tuple[int, int, int, int] = (16, 24, 32, 48)
    feature_channels: int = 32
    squarings: int = 5

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise InputError(f"decoder must be one of {', '.join(DECODERS)}, got {self.decoder}")


@dataclass(frozen=True)
class Landmarks:
    """N landmarks whose response is wanted; places in motion pixels.

    Attributes:
        frames: (N,) number of the triple of frames that each belongs to.
        start: (N, 2) places on x_0.
        middles: (N, 2) middles of the search windows on x_t.
        first: (N, 1, 256, 256) windows of x_0 around `start`, standardised.
        search: (N, 1, 256, 256) search windows of x_t, standardised.
    """

    frames: Tensor
    start: Tensor
    middles: Tensor
    first: Tensor
    search: Tensor


class Lsdm(nn.Module):
    """The unified filter Phi_U for landmarks and motion."""

    def __init__(self, config: LsdmConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LsdmConfig()
        self.encoder = SharedEncoder(config.channels)
        self.decoder = MotionDecoder(config.channels, config.motion_channels, config.decoder)
        self.alignment = Emma(config.seeds, config.iterations)
        self.velocities = nn.ModuleList(nn.Conv2d(config.motion_channels, 2, 3, padding=1) for _ in range(2))
        for last in self.velocities:
            nn.init.normal_(last.get_parameter("weight"), std=1e-2)  # begins near rest, as registration networks do
            nn.init.zeros_(last.get_parameter("bias"))
        copies = 1 if config.decoder == "complete" else 2
        widths = (copies * config.motion_channels, copies * config.channels[1], copies * config.channels[2])
        self.pyramid = DeformationPyramid(widths, config.channels[:2]) if config.pyramid else None
        self.head = TrackingHead(config.channels[1], config.feature_channels)
        self.log_deviation = nn.Parameter(torch.tensor(1.0))
        self.log_outlier = nn.Parameter(torch.tensor(-2.0))

    def motion(self, frames: Tensor) -> Motion:
        """Computes the aligned long and short motion of triples x_0, x_{t-dt}, x_t (B, 3, h, w) of `motion_frames`."""
        long, short, features = self.decoder(self.encoder(frames))
        with torch.autocast(frames.device.type, enabled=False):  # a few hundredths of a pixel matter
            aligned = self.alignment(long.float(), short.float())
            long, short = (last(values) for last, values in zip(self.velocities, aligned, strict=True))
            return Motion.of(long, short, tuple(one.float() for one in features), self.config.squarings)

    def response(self, motion: Motion, landmarks: Landmarks, scales: Tensor | None = None) -> Tensor:
        """Computes logits (N, S, 33, 33) of the landmarks' places in their search windows, p(s | m, x) p(m | x) of Eq.
        2: the response of the exemplar that motion has warped, and the prior around the place where motion brings it.

        Entry (y, x) stands for sample (64 + 4 x, 64 + 4 y) of the search window.

        Args:
            scales: (N, S) sizes of the landmarks relative to what motion predicts; None is one, 1.
        """
        own = motion.of_landmarks(landmarks.frames)
        now = own.place_now(landmarks.start)
        if scales is None:
            scales = landmarks.start.new_ones((len(landmarks.start), 1))
        count, several = scales.shape
        exemplars = self.exemplars(own, landmarks, now, scales)
        half = self.encoder.patch_stride_2(exemplars)
        injected = self.pyramid(own.features, now.detach()) if self.pyramid is not None else None
        if injected is not None:
            half = (half.unflatten(0, (count, several)) + injected[0][:, None]).flatten(0, 1)
        quarter = self.encoder.patch_stride_4(half)
        if injected is not None:
            quarter = (quarter.unflatten(0, (count, several)) + injected[1][:, None]).flatten(0, 1)
        search = self.encoder.patch_stride_4(self.encoder.patch_stride_2(landmarks.search))
        template = self.head.features(quarter).unflatten(0, (count, several))
        return self.head(template, self.head.features(search)) + self.prior(now, landmarks.middles)[:, None]

    def prior(self, now: Tensor, middles: Tensor) -> Tensor:
        """Computes the logarithm (N, 33, 33) of the motion prior p(m | x) over the response's cells: a Gaussian around
        the places `now` (N, 2) where motion brings the landmarks, and a chance that motion is wrong.
        """
        offsets = (now - middles) / (STRIDE * SAMPLE)
        cells = torch.arange(RESPONSE, device=now.device, dtype=now.dtype) - RESPONSE // 2
        squared = (cells[None, None, :] - offsets[:, 0, None, None]).square() + (
            cells[None, :, None] - offsets[:, 1, None, None]
        ).square()
        exponent = -0.5 * squared * torch.exp(-2 * self.log_deviation)
        return torch.logaddexp(exponent, self.log_outlier)

    def exemplars(self, own: Motion, landmarks: Landmarks, now: Tensor, scales: Tensor) -> Tensor:
        """Warps the exemplars out of x_0 into the appearance of x_t: (N S, 1, 128, 128), landmark by landmark.

        Each sample around the place `now` (N, 2) is carried back to x_0 by both motions; the landmark itself stays in
        the middle.
        """
        lines = (torch.arange(EXEMPLAR // _CONTROL + 1, device=now.device, dtype=now.dtype) * _CONTROL) - EXEMPLAR // 2
        y, x = torch.meshgrid(lines, lines, indexing="ij")
        around = SAMPLE * torch.stack((x.flatten(), y.flatten()), dim=1)
        origins = own.origin(torch.cat((now[:, None], now[:, None] + around), dim=1))
        ways = ((origins[:, 1:] - origins[:, :1]) / SAMPLE).transpose(1, 2)  # samples of `first` from its middle
        coarse = ways.unflatten(2, (len(lines), len(lines)))
        fine = F.interpolate(coarse, size=(EXEMPLAR + 1,) * 2, mode="bilinear", align_corners=True)[..., :-1, :-1]
        scaled = fine.permute(0, 2, 3, 1)[:, None] / scales[:, :, None, None, None]
        grid = ((scaled + INSTANCE // 2 + 0.5) * (2 / INSTANCE) - 1).flatten(1, 2)  # the scales one below the other
        warped = F.grid_sample(landmarks.first, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return warped.unflatten(2, (scales.shape[1], EXEMPLAR)).transpose(1, 2).flatten(0, 1)
