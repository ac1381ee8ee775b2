"""The long and the short diffeomorphic motion of whole frames, and their uses (LSDM, Sec. III-B, Eqs. 4 to 6).

Places are (x, y) in motion pixels, those of the frame brought to `MOTION_SIZE` on its longer side; fields have one
vector for each second of them (`CELL`): cell i lies at pixel 2 i.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MOTION_SIZE = 128
"""Longer side of the frames whose motion is computed, in pixels."""
CELL = 2
"""Motion pixels from one vector of the fields to the next."""
_NEIGHBOURHOOD = 9
"""Side in motion pixels of the square whose mean and deviation standardise its middle."""


@dataclass(frozen=True)
class Motion:
    """Aligned velocities, their flows, and the features that the pyramid reads.

    Attributes:
        long / short: (B, 2, h/2, w/2) stationary velocities v of Eq. 5, in cells. exp(long) carries x_0 to x_{t-dt}: a
            place p of x_0 is found at p + u(p) on x_{t-dt}; exp(short) likewise x_{t-dt} to x_t.
        long_forward / short_forward: displacements u of exp(v), in cells.
        long_backward / short_backward: displacements of exp(-v): x_0 and x_{t-dt} warped by them resemble x_{t-dt} and
            x_t, the registered images x_0 o phi_l and x_{t-dt} o phi_s of Eq. 6.
        features: the decoder's maps at strides 2, 4 and 8.
    """

    long: Tensor
    short: Tensor
    long_forward: Tensor
    short_forward: Tensor
    long_backward: Tensor
    short_backward: Tensor
    features: tuple[Tensor, ...]

    @classmethod
    def of(cls, long: Tensor, short: Tensor, features: tuple[Tensor, ...], squarings: int) -> Motion:
        """Integrates the velocities by scaling and squaring (Eq. 5)."""
        velocities = torch.cat((long, short, -long, -short)).float()
        forth, brief, back, brief_back = flow(velocities, squarings).chunk(4)
        return cls(long, short, forth, brief, back, brief_back, features)

    def of_landmarks(self, frames: Tensor) -> Motion:
        """Repeats the motion of frame triple `frames[n]` (N,) for each landmark n."""

        def own(value: Tensor) -> Tensor:
            return value.expand(len(frames), -1, -1, -1) if len(value) == 1 else value[frames]

        return Motion(
            long=own(self.long),
            short=own(self.short),
            long_forward=own(self.long_forward),
            short_forward=own(self.short_forward),
            long_backward=own(self.long_backward),
            short_backward=own(self.short_backward),
            features=tuple(own(value) for value in self.features),
        )

    def place_before(self, start: Tensor) -> Tensor:
        """Carries places (N, 2) of x_0 to x_{t-dt} by the long motion."""
        return moved(start[:, None], self.long_forward)[:, 0]

    def place_after(self, before: Tensor) -> Tensor:
        """Carries places (N, 2) of x_{t-dt} to x_t by the short motion."""
        return moved(before[:, None], self.short_forward)[:, 0]

    def place_now(self, start: Tensor) -> Tensor:
        """Carries places (N, 2) of x_0 to x_t by the long motion, then the short one."""
        return self.place_after(self.place_before(start))

    def origin(self, now: Tensor) -> Tensor:
        """Carries places (N, P, 2) of x_t back to x_0, by the short motion's inverse, then the long one's."""
        return moved(moved(now, self.short_backward), self.long_backward)


def flow(velocity: Tensor, squarings: int) -> Tensor:
    """Integrates stationary velocities (B, 2, h, w) in cells by scaling and squaring: the displacements of exp(v).

    `fields.integrate_velocity` for small two-dimensional fields, four times quicker on a CPU.
    """
    displacement = velocity / 2**squarings
    for _ in range(squarings):
        displacement = displacement + warped(displacement, displacement)
    return displacement


def warped(maps: Tensor, displacement: Tensor) -> Tensor:
    """Samples maps (B, C, h, w) at p + u(p), for displacements (B, 2, h, w) in their cells."""
    height, width = displacement.shape[-2:]
    y, x = (torch.arange(size, device=maps.device, dtype=maps.dtype) for size in (height, width))
    places = torch.stack((displacement[:, 0] + x, displacement[:, 1] + y[:, None]), dim=3)
    return sampled(maps, places.flatten(1, 2)).unflatten(2, (height, width))


def moved(places: Tensor, displacement: Tensor) -> Tensor:
    """Moves places (N, P, 2) by displacements (N, 2, h, w) in cells."""
    return places + CELL * sampled(displacement, places / CELL).transpose(1, 2)


def sampled(maps: Tensor, places: Tensor) -> Tensor:
    """Samples maps (N, C, h, w) at places (N, P, 2) in cells, linearly; the border's value continues outside: (N, C,
    P).
    """
    size = torch.tensor([maps.shape[3], maps.shape[2]], device=maps.device, dtype=maps.dtype)
    grid = (places[:, None] + 0.5) * (2 / size) - 1
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]


def to_pixels(displacement: Tensor) -> Tensor:
    """Interpolates displacements in cells (B, 2, h, w) to every motion pixel (B, 2, 2 h, 2 w), in motion pixels."""
    height, width = displacement.shape[-2:]
    padded = F.pad(displacement, (0, 1, 0, 1), mode="replicate")
    fine = F.interpolate(padded, size=(2 * height + 1, 2 * width + 1), mode="bilinear", align_corners=True)
    return CELL * fine[..., :-1, :-1]


def motion_frames(frames: Tensor) -> tuple[Tensor, float]:
    """Brings frames (B, C, H, W) to the size whose motion is computed, standardised place by place.

    Grey values depend on depth, gain and shadows, speckle's pattern moves with the tissue: each value is its difference
    from the mean of its neighbourhood over the neighbourhood's deviation, to which a tenth of the frame's is added so
    that noise in dark areas stays small.

    Returns:
        (B, C, h, w), filled up with 0 at the right and below to multiples of 16; and the motion pixels for one pixel of
        the frame. A pixel p becomes (p + 0.5) * scale - 0.5.
    """
    scale = MOTION_SIZE / max(frames.shape[2:])
    small = F.interpolate(frames, scale_factor=scale, mode="bilinear", antialias=scale < 1)
    variance = small.var(dim=(2, 3), correction=0, keepdim=True)
    centred = small - _neighbourhood_mean(small)
    own = _neighbourhood_mean(centred.square())
    small = centred / (own + 0.01 * variance + 1e-6).sqrt()
    return F.pad(small, (0, -small.shape[3] % 16, 0, -small.shape[2] % 16)), scale


def _neighbourhood_mean(frames: Tensor) -> Tensor:
    return F.avg_pool2d(frames, _NEIGHBOURHOOD, 1, _NEIGHBOURHOOD // 2, count_include_pad=False)
