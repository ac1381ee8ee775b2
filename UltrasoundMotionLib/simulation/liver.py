"""Simulation of a breathing liver with vessels, imaged with a curved probe."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.simulation.breathing_motion import Breathing, BreathingMotion
from UltrasoundMotionLib.simulation.degradation import Clutter, Degradation, draw_shadows
from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.liver_anatomy import LiverAnatomy, draw_anatomy, liver_echogenicity
from UltrasoundMotionLib.simulation.rendering import BeamLoss, Contact, render
from UltrasoundMotionLib.simulation.scanner import Scanner
from UltrasoundMotionLib.simulation.scatterers import Tissue
from UltrasoundMotionLib.simulation.simulated_sequence import SimulatedSequence, with_truth
from UltrasoundMotionLib.simulation.texture import Canvas

CURVED_PROBE = Imaging(
    frame_rate_hz=20.0,
    depth_mm=150.0,
    opening_angle_deg=62.0,
    probe_radius_mm=55.0,
    centre_frequency_mhz=3.5,
    axial_resolution_mm=0.75,
    lateral_resolution_deg=1.6,
    focus_mm=90.0,
    slice_thickness_mm=4.0,
    dynamic_range_db=66.0,
    gain_db=-7.0,
    grey_exponent=1.4,
    looks=3,
)


@dataclass(frozen=True)
class LiverPhantom:
    """A liver and its breathing motion.

    Attributes:
        frame_count: number of frames.
        breathing: the motion.
        vessel_count: vessels that cross the plane; their centres are the landmarks.
        tree_count: bifurcating vessels in the plane.
        contact: acoustic contact of the probe.
        imaging: probe and display.
        degradation: image degradation.
        name: name of the sequence.
    """

    frame_count: int = 100
    breathing: Breathing = field(default_factory=Breathing)
    vessel_count: int = 6
    tree_count: int = 1
    contact: Contact = field(default_factory=lambda: Contact(unevenness_db=2.0, window=0.55, edge_db=30.0))
    imaging: Imaging = CURVED_PROBE
    degradation: Degradation = field(default_factory=Degradation)
    name: str = "liver phantom"

    def __post_init__(self) -> None:
        for name, low, high in (("frame_count", 1, 10**6), ("vessel_count", 1, 20), ("tree_count", 0, 4)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")

    @property
    def times_s(self) -> np.ndarray:
        """The frame times in seconds, (T,)."""
        return np.arange(self.frame_count) / self.imaging.frame_rate_hz


def simulate_liver(
    phantom: LiverPhantom | None = None, *, seed: int = 0, progress: Progress = no_progress
) -> SimulatedSequence:
    """Simulates a clip of a breathing liver with its ground truth.

    Truth points: "vessel-NN" are centres of vessels that cross the plane, "fork-NN" bifurcations of vessels in the
    plane, "parenchyma-NN" points between the vessels.

    Args:
        phantom: the liver; the default one if None.
        seed: seed of all random numbers, including the vessels.
        progress: called after each frame.

    Raises:
        InputError: an impossible configuration, or a sector too small for a vessel.
    """
    phantom = phantom or LiverPhantom()
    imaging, degradation, times = phantom.imaging, phantom.degradation, phantom.times_s
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]
    anatomy = draw_anatomy(imaging, phantom.vessel_count, phantom.tree_count, streams[0])
    if not anatomy.crossing:
        raise InputError(
            f"no vessel fits into a sector of {imaging.depth_mm:g} mm and {imaging.opening_angle_deg:g} degrees"
        )
    motion = BreathingMotion(
        phantom.breathing,
        imaging,
        float(times[-1]),
        streams[1],
        wall_mm=anatomy.wall_mm,
        elevation=(degradation.elevation_cyclic_mm, degradation.elevation_wander_mm),
    )
    scanner = Scanner(imaging)

    def paint(positions: np.ndarray, elevation_phase: np.ndarray, rng: np.random.Generator) -> Canvas:
        return liver_echogenicity(positions, elevation_phase, anatomy, imaging, rng)

    tissue = Tissue(
        motion,
        paint,
        scanner,
        degradation,
        times_s=times,
        margin_mm=8.0 + 1.5 * phantom.breathing.amplitude_mm,
        rng=streams[2],
    )
    loss = BeamLoss(
        scanner,
        phantom.contact,
        draw_shadows(degradation, imaging.half_angle, 1.7 * phantom.breathing.period_s, streams[3]),
        streams[3],
    )
    frames = render(
        scanner, [tissue.next], loss, Clutter(scanner, degradation, streams[4]), times_s=times, progress=progress
    )
    return with_truth(
        frames,
        times,
        phantom.name,
        points_mm=_landmarks(anatomy, imaging, streams[0]),
        is_tissue=lambda positions: anatomy.is_liver(positions, imaging),
        imaging=imaging,
        motion=motion,
        loss=loss,
    )


def _landmarks(
    anatomy: LiverAnatomy, imaging: Imaging, rng: np.random.Generator, parenchyma_count: int = 16
) -> dict[str, np.ndarray]:
    """Draws the truth points: material positions (N, 2) by group."""
    positions = imaging.mm_from_polar(
        rng.uniform(anatomy.wall_mm + 10, 0.92 * imaging.depth_mm, 4000),
        rng.uniform(-0.55, 0.55, 4000) * imaging.half_angle,
    )
    free = (anatomy.distance_beyond_diaphragm(positions) < -6) & (
        np.min([vessel.distance(positions) for vessel in anatomy.vessels], axis=0) > 3
    )
    chosen: list[np.ndarray] = []
    for position in positions[free]:
        if all(np.hypot(*(position - other)) > 0.08 * imaging.depth_mm for other in chosen):
            chosen.append(position)
        if len(chosen) == parenchyma_count:
            break
    groups = {
        "vessel": np.array([vessel.start_mm for vessel in anatomy.crossing]),
        "fork": np.array([tree[0].start_mm for tree in anatomy.trees]),
        "parenchyma": np.array(chosen),
    }
    return {name: points for name, points in groups.items() if len(points)}
