"""LSDM's network: a deformation network for the long and the short motion, and the Siamese one that it guides (Liu et
al., Figs. 3 and 5).

Windows are in pixels of the working image and follow the landmark: that of x_0 lies around its place on the query
frame, that of x_{t-dt} around where it was found there, that of x_t around where it is expected. So the two motions are
what is left after that shift, a few pixels and a deformation; the whole motion is the shift after the diffeomorphism, a
diffeomorphism again.

Where the paper is silent: see Docs/concepts/lsdm.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.composition import integrate_velocity
from UltrasoundMotionLib.tracking.trackers.lsdm.deformation import DECODERS, DeformationNetwork, matched_motion
from UltrasoundMotionLib.tracking.trackers.lsdm.emma import Emma
from UltrasoundMotionLib.tracking.trackers.lsdm.siamese import DeformationPyramid, SiameseFeatures, SiameseHead

WINDOW = 128
"""Side of the windows of the deformation network and of the search, in pixels; the landmark's sample is number 64 along
both axes.
"""
EXEMPLAR = 64
"""Side of the exemplar, the middle of the window of x_0; its landmark is sample 32."""
CELL = 2
"""Pixels from one cell of the velocities, and of the response, to the next; cell i lies at pixel 2 i."""


@dataclass(frozen=True)
class LsdmConfig:
    """Sizes and options of the network.

    Attributes:
        decoder: "complete", long and short separated at the last convolution, or "partial", two decoders. The paper
            prefers complete.
        iterations: of EMMA; 0 leaves EMMA out.
        seeds: of EMMA, a square number.
        pyramid: with the deformation pyramid network.
        motion_channels: of the deformation network at strides 2, 4, 8 and 16.
        feature_channels: of the Siamese features at strides 2 and 4.
        squarings: of the integration of the velocities.

    Raises:
        InputError: an unknown decoder.
    """

    decoder: str = "complete"
    iterations: int = 5
    seeds: int = 16
    pyramid: bool = True
    motion_channels: tuple[int, int, int, int] = (16, 32, 48, 64)
    feature_channels: tuple[int, int] = (32, 64)
    squarings: int = 5

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise InputError(f"decoder must be one of {', '.join(DECODERS)}, got {self.decoder}")


@dataclass(frozen=True)
class Look:
    """Features of one window (B, 1, 128, 128): the Siamese ones at strides 2 and 4, and the motion encoder's maps."""

    features: tuple[Tensor, Tensor]
    levels: tuple[Tensor, ...]


@dataclass(frozen=True)
class Decoded:
    """Output of the decoder: velocities (B, 2, 64, 64) in pixels, not aligned, and features at strides 2, 4 and 8."""

    long: Tensor
    short: Tensor
    features: tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Motion:
    """Velocities (B, 2, 64, 64) in pixels, one vector a cell, aligned by EMMA.

    exp(long) carries x_0's window to x_t's (a place p of x_0 is found at p + u(p) in x_t), exp(-long) back; short
    likewise from x_{t-dt}.
    """

    long: Tensor
    short: Tensor


class Lsdm(nn.Module):
    """The whole network, the paper's one filter for tracking and motion.

    Windows are (B, 1, 128, 128), `standardised`.
    """

    def __init__(self, config: LsdmConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LsdmConfig()
        self.deformation = DeformationNetwork(config.motion_channels, config.decoder)
        self.alignment = Emma(config.seeds, config.iterations)
        self.features = SiameseFeatures(config.feature_channels)
        self.pyramid = (
            DeformationPyramid(config.motion_channels[:3], config.feature_channels, config.decoder)
            if config.pyramid
            else None
        )
        self.head = SiameseHead()

    def look(self, windows: Tensor) -> Look:
        """Computes the features of a window, whichever of the three it is."""
        return Look(self.features(windows), self.deformation.encode(windows))

    def decode(self, first: Look, before: Look, now: Look) -> Decoded:
        """Decodes windows of x_0, x_{t-dt} and x_t for the response."""
        (long, short), features = self.deformation.decode(first.levels, before.levels, now.levels)
        return Decoded(long, short, features)

    def motion(self, decoded: Decoded, first: Look, before: Look, now: Look) -> Motion:
        """Computes both motions between the windows that were decoded; half of the network's time, only needed where
        the fields are asked for.
        """
        with torch.autocast(decoded.long.device.type, enabled=False):  # a few hundredths of a pixel matter
            long = decoded.long + matched_motion(first.features[1], now.features[1])
            short = decoded.short + matched_motion(before.features[1], now.features[1])
            return Motion(*self.alignment(long, short))

    def displacement(self, velocity: Tensor, *, inverse: bool = False) -> Tensor:
        """Integrates exp(velocity), or exp(-velocity), to displacements (B, 2, 64, 64) in pixels, one vector a cell."""
        sign = -1.0 if inverse else 1.0
        return CELL * integrate_velocity(sign / CELL * velocity.float(), self.config.squarings)

    def response(self, exemplar: tuple[Tensor, Tensor], decoded: Decoded, now: Look) -> Tensor:
        """Computes logits (B, 33, 33) of the landmark's place in the window of x_t; entry (y, x) stands for its pixel
        (32 + 2 x, 32 + 2 y).

        Args:
            exemplar: `features.early` of the exemplar's window.
            decoded: of the deformation network, whose features the pyramid injects into the exemplar.
        """
        injected = self.pyramid(decoded.features) if self.pyramid is not None else (None, None)
        return self.head(self.features.late(exemplar, injected), now.features)


def exemplar_window(first: Tensor) -> Tensor:
    """Cuts the exemplar (B, 1, 64, 64) out of the middle of x_0's window."""
    margin = (WINDOW - EXEMPLAR) // 2
    return first[..., margin : margin + EXEMPLAR, margin : margin + EXEMPLAR]


def to_pixels(displacement: Tensor) -> Tensor:
    """Interpolates a displacement of one vector a cell (B, 2, 64, 64) to every pixel (B, 2, 128, 128) of the window."""
    fine = F.interpolate(displacement, size=(WINDOW - 1, WINDOW - 1), mode="bilinear", align_corners=True)
    return F.pad(fine, (0, 1, 0, 1), mode="replicate")


def at_landmark(displacement: Tensor) -> Tensor:
    """Returns the displacement (B, 2) of the window's middle."""
    middle = WINDOW // 2 // CELL
    return displacement[:, :, middle, middle]
