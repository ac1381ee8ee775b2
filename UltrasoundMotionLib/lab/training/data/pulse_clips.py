"""Training clips of moving scatterers imaged by short pulses: random probes, pulses and displays, milliseconds a frame.

The physics is plainer than `simulation`'s and its spread wider: scatterers at exact depths are laid on a grid of beams,
convolved with a Gaussian pulse and beam (the magnitude of the complex sum is the envelope), compressed and converted to
pixels. Probes are linear, curved or phased; frequency, bandwidth, beam width, density, dynamic range, gain over depth
and noise are drawn for each clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.speckle_anatomy import ANATOMIES
from UltrasoundMotionLib.lab.training.data.warped_clips import SIDE, SmoothMotion, draw_motion

_DEPTH_MM = 120.0  # of the drawn anatomy; the image itself has no unit
_MARGIN = 0.15  # tissue beyond the image, which motion brings in


@dataclass(frozen=True)
class _Probe:
    """Probe of the unit square, whose top middle it lies at.

    Attributes:
        radius: radius of the face's curvature; 0: linear.
        half_angle: half the opening angle in radians; of a linear probe, half its width.
        rows / beams: samples along the beam, and beams.
        wave_number: phase of an echo per unit of depth, radians.
        pulse / beam: standard deviations of the pulse in rows and of the beam in beams.
    """

    radius: float
    half_angle: float
    rows: int
    beams: int
    wave_number: float
    pulse: float
    beam: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Probe:
        """Draws a probe and its pulse."""
        kind = rng.choice(["linear", "curved", "phased"])
        radius, half_angle = {
            "linear": (0.0, rng.uniform(0.3, 0.5)),
            "curved": (rng.uniform(0.25, 0.6), np.deg2rad(rng.uniform(20, 36))),
            "phased": (rng.uniform(0.01, 0.08), np.deg2rad(rng.uniform(28, 46))),
        }[kind]
        rows, beams = int(rng.integers(240, 420)), int(rng.integers(80, 180))
        wavelength = rng.uniform(0.002, 0.008)
        pulse = wavelength * rng.uniform(0.5, 1.4) * rows / 2
        return cls(radius, half_angle, rows, beams, 4 * np.pi / wavelength, max(0.6, pulse), rng.uniform(0.5, 2.2))

    def beams_of(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Converts places (..., 2) of the unit square to depth (0 to 1) and position across (-1 to 1)."""
        across, depth = places[..., 0] - 0.5, places[..., 1]
        if self.radius == 0:
            return depth, across / self.half_angle
        top = self.radius * np.cos(self.half_angle)
        reach = torch.hypot(across, depth * (1 + self.radius - top) + top) - self.radius
        return reach, torch.atan2(across, depth * (1 + self.radius - top) + top) / self.half_angle


def pulse_clip(
    frame_count: int,
    point_count: int,
    rng: np.random.Generator,
    generator: torch.Generator,
    motion: SmoothMotion | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Images one clip of 256 x 256.

    Args:
        generator: random numbers on the device of the clip.
        motion: motion of the tissue; None: one is drawn.

    Returns:
        frames: (T, 1, 256, 256) of 0 to 1.
        points: (T, N, 2) exact places of tissue points in pixels.
        visible: (T, N) bool, inside of the sector and of the image.
    """
    device, probe = generator.device, _Probe.draw(rng)
    motion = motion or draw_motion(frame_count, rng)
    material = rng.uniform(-_MARGIN, 1 + _MARGIN, (int(rng.integers(10_000, 40_000)), 2))
    canvas = ANATOMIES[str(rng.choice(list(ANATOMIES)))]((material - [0.5, 0]) * _DEPTH_MM, _DEPTH_MM, rng)
    strength = torch.as_tensor(
        rng.standard_normal(len(material)) * 10 ** (canvas.decibels / 20), dtype=torch.float32, device=device
    )
    positions = _moved(torch.as_tensor(material, dtype=torch.float32, device=device), motion)
    renewed = rng.uniform(0, 0.5) * rng.random()
    elevation = torch.as_tensor(rng.uniform(-1.5, 1.5, len(material)), dtype=torch.float32, device=device)
    way = 1.2 * rng.random() ** 2
    display = _Display.draw(rng)
    rows, columns = _pixel_beams(probe, device)
    kernels = _kernel(probe.pulse, device), _kernel(probe.beam, device)
    blood = torch.as_tensor(canvas.blood, device=device)
    frames = []
    for index in range(frame_count):
        fresh = torch.randn(strength.shape, generator=generator, device=device) * strength.abs()
        part = torch.where(blood, 1.0, renewed)
        value = (1 - part).sqrt() * strength + part.sqrt() * fresh
        value = value * torch.exp(-0.5 * (elevation + way * float(motion.activation[index])) ** 2)
        echo = _image(probe, positions[index], value, kernels)
        echo = echo + display.noise * torch.randn(echo.shape, generator=generator, device=device)
        grey = display.grey(torch.hypot(echo[0], echo[1]), probe.rows)
        grid = torch.stack([columns, rows], dim=-1)[None]
        frames.append(F.grid_sample(grey[None, None], grid, mode="bilinear", align_corners=True)[0])
    tissue = np.flatnonzero(
        ~canvas.blood & (canvas.decibels > -24) & ((material > 0.02) & (material < 0.98)).all(axis=1)
    )
    if len(tissue) == 0:
        tissue = np.arange(len(material))
    points = positions[:, torch.as_tensor(rng.choice(tissue, point_count), device=device)]
    depth, across = probe.beams_of(points)
    seen = (depth > 0.02) & (depth < 0.98) & (across.abs() < 0.97) & ((points > 0.005) & (points < 0.995)).all(dim=-1)
    return torch.stack(frames), points * SIDE - 0.5, seen


def _moved(material: Tensor, motion: SmoothMotion) -> Tensor:
    """Returns the places (T, N, 2) of material (N, 2)."""
    return material + motion.at(material[None])


@dataclass(frozen=True)
class _Display:
    """Conversion of echo envelopes to grey values.

    Attributes:
        range_db / exponent: dynamic range and exponent of the grey map.
        gain_db: gain at evenly spaced depths.
        level: envelope that is white.
        noise: standard deviation of the receiver's noise.
    """

    range_db: float
    exponent: float
    gain_db: tuple[float, ...]
    level: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Display:
        gain = rng.uniform(0, 5) * rng.standard_normal(5)
        return cls(
            rng.uniform(38, 75),
            rng.uniform(0.7, 1.6),
            tuple(gain),
            10 ** (rng.uniform(2, 12) / 20),
            10 ** (rng.uniform(-40, -12) / 20),
        )

    def grey(self, envelope: Tensor, rows: int) -> Tensor:
        """Returns grey values of 0 to 1 of an envelope (rows, beams) whose mean tissue is about 1."""
        knots = torch.tensor(self.gain_db, dtype=envelope.dtype, device=envelope.device)
        gain = F.interpolate(knots[None, None], rows, mode="linear", align_corners=True)[0, 0, :, None]
        decibels = 20 * torch.log10(envelope / self.level + 1e-6) + gain
        return (1 + decibels / self.range_db).clamp(0, 1) ** self.exponent


def _image(probe: _Probe, positions: Tensor, strength: Tensor, kernels: tuple[Tensor, Tensor]) -> Tensor:
    """Returns the complex echo (2, rows, beams) of scatterers, scaled so that its mean envelope is about 1."""
    depth, across = probe.beams_of(positions)
    row, beam = depth * (probe.rows - 1), 0.5 * (across + 1) * (probe.beams - 1)
    phase = probe.wave_number * depth
    parts = torch.stack([strength * torch.cos(phase), strength * torch.sin(phase)])
    first_row, first_beam = row.floor(), beam.floor()
    echo = parts.new_zeros(2, probe.rows * probe.beams)
    for down in (0, 1):
        for right in (0, 1):
            y, x = first_row + down, first_beam + right
            weight = (1 - (row - y).abs()) * (1 - (beam - x).abs())
            inside = (y >= 0) & (y < probe.rows) & (x >= 0) & (x < probe.beams)
            cell = torch.where(inside, y * probe.beams + x, 0).long()
            echo.index_add_(1, cell, parts * (weight * inside))
    echo = echo.view(2, 1, probe.rows, probe.beams)
    echo = F.conv2d(echo, kernels[0].view(1, 1, -1, 1), padding=(len(kernels[0]) // 2, 0))
    echo = F.conv2d(echo, kernels[1].view(1, 1, 1, -1), padding=(0, len(kernels[1]) // 2))[:, 0]
    bright = torch.quantile(torch.hypot(echo[0], echo[1]).flatten()[::7], 0.9)
    return echo / bright.clamp(min=1e-6)


def _kernel(sigma: float, device: torch.device) -> Tensor:
    reach = int(np.ceil(2.5 * sigma))
    return torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=device, dtype=torch.float32) / sigma) ** 2)


def _pixel_beams(probe: _Probe, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns row and beam of each pixel, (256, 256) each, from -1 to 1 inside of the sector."""
    y, x = torch.meshgrid(*[(torch.arange(SIDE, device=device) + 0.5) / SIDE] * 2, indexing="ij")
    depth, across = probe.beams_of(torch.stack([x, y], dim=-1))
    return 2 * depth - 1, across
