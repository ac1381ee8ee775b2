"""Reproducible sets of varied phantoms for benchmarks and training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.simulation.breathing_motion import Breathing
from UltrasoundMotionLib.simulation.degradation import Degradation, degradation_preset
from UltrasoundMotionLib.simulation.heart import HeartPhantom, simulate_heart
from UltrasoundMotionLib.simulation.heart_motion import Sway
from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.liver import CURVED_PROBE, LiverPhantom, simulate_liver
from UltrasoundMotionLib.simulation.rendering import Contact
from UltrasoundMotionLib.simulation.simulated_sequence import SimulatedSequence
from UltrasoundMotionLib.simulation.ventricle_motion import SEGMENT_COUNT, TimeCourse, Ventricle, VentricleShape

KINDS = ("heart", "liver")


@dataclass(frozen=True)
class PhantomCase:
    """One phantom of a set; `simulate()` makes its clip."""

    name: str
    phantom: HeartPhantom | LiverPhantom
    seed: int

    def simulate(self, progress: Progress = no_progress) -> SimulatedSequence:
        """Simulates the clip and its ground truth."""
        if isinstance(self.phantom, HeartPhantom):
            return simulate_heart(self.phantom, seed=self.seed, progress=progress)
        return simulate_liver(self.phantom, seed=self.seed, progress=progress)


def phantom_set(
    kind: str,
    difficulty: str,
    count: int,
    seed: int,
    *,
    frame_count: int = 64,
    image_size: tuple[int, int] = (256, 256),
) -> tuple[PhantomCase, ...]:
    """Draws phantoms that differ in view, gain, depth, frame rate, size, strain or breathing, anatomy and speckle.

    The arguments determine the set, and a larger set starts with the smaller one. Sets of different seeds are
    independent.

    Args:
        kind: "heart" or "liver".
        difficulty: a name in `DIFFICULTIES`.
        count: number of phantoms.
        seed: seed of all random numbers.
        frame_count: frames per clip.
        image_size: (W, H) in pixels.

    Raises:
        InputError: an unknown kind or difficulty, or a count under 1.
    """
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind}")
    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    degradation = degradation_preset(difficulty)
    draw = _heart if kind == "heart" else _liver
    cases = []
    for index, child in enumerate(np.random.SeedSequence([seed, KINDS.index(kind), *difficulty.encode()]).spawn(count)):
        rng = np.random.default_rng(child)
        name = f"{kind}-{difficulty}-{index + 1:02d}"
        phantom = replace(draw(degradation, rng), frame_count=frame_count, name=name)
        cases.append(
            PhantomCase(
                name,
                replace(phantom, imaging=replace(phantom.imaging, image_size=image_size)),
                int(rng.integers(2**31)),
            )
        )
    return tuple(cases)


def _display(rng: np.random.Generator) -> dict[str, Any]:
    """Draws the display settings of an `Imaging`."""
    return {
        "gain_db": rng.uniform(-7, 3),
        "dynamic_range_db": rng.uniform(54, 70),
        "grey_exponent": rng.uniform(1.0, 1.5),
    }


def _heart(degradation: Degradation, rng: np.random.Generator) -> HeartPhantom:
    size = rng.uniform(0.85, 1.15)
    shape = VentricleShape(
        25 * size * rng.uniform(0.9, 1.15), 78 * size, rng.uniform(7.5, 10.5) * size, rng.uniform(92, 99)
    )
    scales = np.clip(1 + 0.08 * rng.standard_normal(SEGMENT_COUNT), 0.7, 1.3)
    strain = rng.uniform(-25, -5)
    if rng.random() < 0.35:  # an infarct: two adjacent segments hardly move
        first = int(rng.integers(SEGMENT_COUNT - 1))
        scales[first : first + 2] = rng.uniform(-0.2, 0.4)
        strain = max(strain, -17.0)
    apex_depth = rng.uniform(12, 24)
    imaging = Imaging(
        frame_rate_hz=rng.uniform(35, 80),
        depth_mm=apex_depth + 82 * size + rng.uniform(40, 65) * size,
        opening_angle_deg=rng.uniform(70, 92),
        probe_radius_mm=rng.uniform(2, 8),
        centre_frequency_mhz=rng.uniform(2.2, 3.6),
        axial_resolution_mm=rng.uniform(0.9, 1.5),
        lateral_resolution_deg=rng.uniform(1.5, 2.5),
        focus_mm=rng.uniform(55, 100),
        looks=int(rng.integers(1, 4)),
        **_display(rng),
    )
    return HeartPhantom(
        global_longitudinal_strain_percent=strain,
        segment_scales=tuple(float(scale) for scale in scales),
        course=TimeCourse(rng.uniform(0.65, 1.15), rng.uniform(0.32, 0.44), rng.uniform(0.1, 0.3), rng.random()),
        shape=_open_cavity(shape, strain / 100, scales),
        sway=Sway(
            beat_mm=(rng.normal(0, 1.0), rng.normal(0, 0.8)),
            beat_deg=rng.normal(0, 2.0),
            breath_mm=(rng.uniform(0, 2), rng.uniform(0, 1.5)),
            breath_period_s=rng.uniform(3, 6),
            breath_phase=rng.random(),
            drift_mm_per_s=(rng.normal(0, 0.4), rng.normal(0, 0.3)),
        ),
        apex_depth_mm=apex_depth,
        apex_x_mm=rng.uniform(-8, 10),
        tilt_deg=rng.uniform(-8, 12),
        right_heart=bool(rng.random() < 0.65),
        contact=Contact(rng.uniform(1.5, 3.5), rng.uniform(0.5, 0.8), rng.uniform(6, 18)),
        imaging=imaging,
        degradation=degradation,
    )


def _open_cavity(shape: VentricleShape, strain: float, scales: np.ndarray) -> VentricleShape:
    """Thins the wall until the cavity stays open at the strongest contraction."""
    while shape.thickness_mm > 1:
        try:
            Ventricle(shape, strain, tuple(scales))
        except InputError:
            shape = replace(shape, thickness_mm=0.94 * shape.thickness_mm)
        else:
            break
    return shape


def _liver(degradation: Degradation, rng: np.random.Generator) -> LiverPhantom:
    depth = rng.uniform(110, 180)
    imaging = replace(
        CURVED_PROBE,
        frame_rate_hz=rng.uniform(12, 25),
        depth_mm=depth,
        opening_angle_deg=rng.uniform(54, 72),
        probe_radius_mm=rng.uniform(40, 62),
        centre_frequency_mhz=rng.uniform(2.5, 4.5),
        axial_resolution_mm=rng.uniform(0.6, 1.1),
        lateral_resolution_deg=rng.uniform(1.2, 2.0),
        focus_mm=rng.uniform(0.4, 0.75) * depth,
        looks=int(rng.integers(2, 5)),
        **_display(rng),
    )
    breathing = Breathing(
        amplitude_mm=rng.uniform(5, 18),
        period_s=rng.uniform(2.8, 5.5),
        direction_deg=rng.choice([0.0, 180.0]) + rng.uniform(-35, 35),
        irregularity=rng.uniform(0.05, 0.25),
        hysteresis=rng.uniform(0.0, 0.25),
        deformation=rng.uniform(0.05, 0.3),
        heartbeat_mm=rng.uniform(0, 0.6),
        drift_mm_per_s=(rng.normal(0, 0.05), rng.normal(0, 0.05)),
        start=rng.random(),
    )
    return LiverPhantom(
        breathing=breathing,
        vessel_count=int(rng.integers(4, 8)),
        tree_count=int(rng.integers(0, 3)),
        contact=Contact(rng.uniform(1.0, 3.0), rng.uniform(0.45, 0.75), rng.uniform(15, 35)),
        imaging=imaging,
        degradation=degradation,
    )
