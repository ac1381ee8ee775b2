"""Training clips simulated on the device while training: scatterers of random anatomy, moved by analytic motion, imaged
by the simulation's physics.

Unlike in `warped_clips`, speckle changes for physical reasons, as tissue rotates, thickens and leaves the plane. On a
GPU a clip costs less than a training step; on a CPU core about half a second, so there `phantom_clips` kept in a folder
serve better.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.speckle_anatomy import ANATOMIES
from UltrasoundMotionLib.lab.training.data.warped_clips import draw_motion
from UltrasoundMotionLib.simulation import Contact, Degradation, Imaging
from UltrasoundMotionLib.simulation.degradation import draw_shadows
from UltrasoundMotionLib.simulation.liver import CURVED_PROBE
from UltrasoundMotionLib.simulation.rendering import BeamLoss
from UltrasoundMotionLib.simulation.scanner import SIGMA_PER_WIDTH, Scanner
from UltrasoundMotionLib.simulation.scatterers import Slice, scatter_positions, thin_dark
from UltrasoundMotionLib.simulation.torch_scanner import TorchScanner

_BLOOD_MEMORY_S = 0.02
_BEAT_S = 1.0  # duration of a cycle of the motion


def _draw_imaging(anatomy: str, rng: np.random.Generator) -> Imaging:
    """Draws the usual probe of an anatomy: a linear one for muscle (a curved one of 200 mm radius is nearly straight),
    a phased or curved one for the others.
    """
    display: dict[str, Any] = {
        "gain_db": rng.uniform(-7, 3),
        "dynamic_range_db": rng.uniform(50, 72),
        "grey_exponent": rng.uniform(0.9, 1.5),
    }
    looks = int(rng.integers(1, 4))
    if anatomy == "muscle":
        return Imaging(
            depth_mm=rng.uniform(35, 65),
            opening_angle_deg=rng.uniform(10, 14),
            probe_radius_mm=200,
            centre_frequency_mhz=rng.uniform(5, 9),
            axial_resolution_mm=rng.uniform(0.35, 0.6),
            lateral_resolution_deg=rng.uniform(1.2, 2.2),
            focus_mm=rng.uniform(20, 40),
            slice_thickness_mm=2.5,
            looks=looks,
            **display,
        )
    if anatomy == "right ventricle" or rng.random() < 0.3:
        return Imaging(
            depth_mm=rng.uniform(70, 150),
            opening_angle_deg=rng.uniform(65, 95),
            probe_radius_mm=rng.uniform(2, 12),
            axial_resolution_mm=rng.uniform(0.7, 1.4),
            lateral_resolution_deg=rng.uniform(1.4, 2.6),
            looks=looks,
            **display,
        )
    return Imaging(
        depth_mm=rng.uniform(80, 180),
        opening_angle_deg=rng.uniform(50, 75),
        probe_radius_mm=rng.uniform(35, 62),
        centre_frequency_mhz=CURVED_PROBE.centre_frequency_mhz,
        axial_resolution_mm=rng.uniform(0.6, 1.2),
        lateral_resolution_deg=rng.uniform(1.2, 2.2),
        looks=looks,
        **display,
    )


def draw_degradation(rng: np.random.Generator) -> Degradation:
    """Draws a degradation between easy and a little beyond extreme."""
    level = rng.random()
    return Degradation(
        decorrelated_fraction=0.05 + 0.65 * level * rng.random(),
        decorrelation_time_s=float(np.exp(rng.uniform(np.log(0.1), np.log(0.6)))),
        elevation_cyclic_mm=2.5 * level * rng.random(),
        elevation_wander_mm=0.0,
        shadow_count=int(rng.integers(0, 3)) if level > 0.3 else 0,
        shadow_attenuation_db=rng.uniform(8, 26),
        shadow_width_deg=rng.uniform(5, 12),
        shadow_sway_deg=rng.uniform(2, 12),
        noise_db=-32 + 18 * level * rng.random(),
    )


def speckle_clip(
    frame_count: int, point_count: int, rng: np.random.Generator, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Simulates one clip of 256 x 256.

    Args:
        generator: random numbers on `device`.

    Returns:
        frames: (T, 1, 256, 256) of 0 to 1.
        points: (T, N, 2) exact places of tissue points in pixels.
        visible: (T, N) bool, inside of the sector and not behind a shadow.
    """
    anatomy = str(rng.choice(list(ANATOMIES)))
    imaging, degradation = _draw_imaging(anatomy, rng), draw_degradation(rng)
    numpy_scanner = Scanner(imaging)
    scanner = TorchScanner(numpy_scanner, device)
    material_mm, amplitude = scatter_positions(imaging, numpy_scanner, 0.08 * imaging.depth_mm, rng)
    canvas = ANATOMIES[anatomy](material_mm, imaging.depth_mm, rng)
    kept, amplitude = thin_dark(canvas.decibels, amplitude, rng)
    material = torch.as_tensor(material_mm[kept], device=device)
    strength = torch.as_tensor((amplitude * 10 ** (canvas.decibels[kept] / 20)).astype(np.float32), device=device)
    motion = draw_motion(frame_count, rng)

    def moved(places_mm: Tensor) -> Tensor:
        """Returns moved places (T, N, 2) in mm; the motion's unit square has the depth of the image as its side."""
        return places_mm + imaging.depth_mm * motion.at(places_mm[None] / imaging.depth_mm)

    speckle = _Speckle(
        torch.as_tensor(canvas.blood[kept], device=device), degradation, motion.times * _BEAT_S, generator
    )
    cut = Slice(imaging.slice_thickness_mm)
    elevation = torch.as_tensor(cut.draw(len(kept), rng), device=device, dtype=torch.float32)
    shadows = draw_shadows(degradation, imaging.half_angle, _BEAT_S, rng)
    loss = BeamLoss(
        numpy_scanner, Contact(rng.uniform(1, 3.5), rng.uniform(0.5, 0.9), rng.uniform(5, 20)), shadows, rng
    )
    noise = _noise_level(degradation, numpy_scanner, device)
    positions = moved(material)
    frames = []
    for index, time in enumerate(motion.times * _BEAT_S):
        lifted = elevation + degradation.elevation_cyclic_mm * float(motion.activation[index])
        weight = torch.exp(
            -0.5
            * (torch.remainder(lifted / cut.range_mm + 0.5, 1.0).sub(0.5) * cut.range_mm / _slice_sigma(imaging)) ** 2
        )
        looks = scanner.focus(scanner.place(positions[index], strength * weight * speckle.next()))
        factor = torch.as_tensor(loss.factor(float(time)), device=device)
        shape = numpy_scanner.shape
        received = [scanner.receive(factor * look) + noise * _complex_normal(shape, generator) for look in looks]
        frames.append(scanner.display(scanner.decibels(received)) / 255)
    chosen = _choose_points(imaging, canvas.blood[kept], material_mm[kept], point_count, rng)
    trajectories_mm = moved(torch.as_tensor(chosen, device=device)).cpu().numpy()
    seen = imaging.in_sector(trajectories_mm)
    seen &= ~np.stack(
        [loss.hides(places, float(time)) for places, time in zip(trajectories_mm, motion.times * _BEAT_S, strict=True)]
    )
    points = torch.as_tensor(imaging.pixels_from_mm(trajectories_mm), dtype=torch.float32, device=device)
    return torch.stack(frames)[:, None], points, torch.as_tensor(seen, device=device)


class _Speckle:
    """Complex scattering strengths: a constant part and a part whose autocorrelation falls to 1/e in the decorrelation
    time; blood is renewed.
    """

    def __init__(
        self, blood: Tensor, degradation: Degradation, times_s: np.ndarray, generator: torch.Generator
    ) -> None:
        self._fraction = torch.where(blood, 1.0, degradation.decorrelated_fraction)
        self._memory_s = torch.where(blood, _BLOOD_MEMORY_S, degradation.decorrelation_time_s)
        self._steps, self._generator = iter(np.diff(times_s, append=times_s[-1])), generator
        angle = 2 * torch.pi * torch.rand(len(blood), generator=generator, device=blood.device)
        self._constant = torch.polar(torch.ones_like(angle), angle)
        self._state = _complex_normal((len(blood),), generator)

    def next(self) -> Tensor:
        """Returns the strengths (N,) of the next frame."""
        strength = torch.sqrt(1 - self._fraction) * self._constant + torch.sqrt(self._fraction) * self._state
        memory = torch.exp(-float(next(self._steps)) / self._memory_s)
        self._state = memory * self._state + torch.sqrt(1 - memory**2) * _complex_normal(
            tuple(self._state.shape), self._generator
        )
        return strength


def _noise_level(degradation: Degradation, scanner: Scanner, device: torch.device) -> Tensor:
    """Returns the electronic noise (R, 1), which rises with depth as the gain does."""
    decibels = degradation.noise_db - 14 * (1 - scanner.depths_mm[:, None] / scanner.imaging.depth_mm)
    return torch.as_tensor((10 ** (decibels / 20)).astype(np.float32), device=device)


def _slice_sigma(imaging: Imaging) -> float:
    return SIGMA_PER_WIDTH * imaging.slice_thickness_mm


def _complex_normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draws circular complex Gaussian numbers of unit power."""
    return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.complex64)


def _choose_points(
    imaging: Imaging, blood: np.ndarray, material_mm: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws (count, 2) material places of tissue, evenly over the pixels of the sector."""
    grid = imaging.pixel_grid_mm()
    grid = grid[imaging.in_sector(grid)]
    places = grid[rng.integers(len(grid), size=4 * count)] + rng.uniform(-0.5, 0.5, (4 * count, 2)) * imaging.spacing_mm
    if not blood.any():
        return places[:count]
    from scipy.spatial import cKDTree

    # A place is tissue when most of the nearest scatterers are.
    nearest = cKDTree(material_mm).query(places, k=5)[1]
    tissue = places[blood[nearest].mean(axis=1) < 0.5]
    return tissue[:count] if len(tissue) else places[:count]
