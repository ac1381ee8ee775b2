"""Simulation of a beating left ventricle in an apical view."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.simulation.degradation import Clutter, Degradation, draw_shadows
from UltrasoundMotionLib.simulation.heart_anatomy import heart_echogenicity
from UltrasoundMotionLib.simulation.heart_motion import HeartMotion, Leaflets, Sway
from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.rendering import BeamLoss, Contact, render
from UltrasoundMotionLib.simulation.scanner import Scanner
from UltrasoundMotionLib.simulation.scatterers import Tissue
from UltrasoundMotionLib.simulation.simulated_sequence import SimulatedSequence, VentricleStrain, with_truth
from UltrasoundMotionLib.simulation.texture import Canvas
from UltrasoundMotionLib.simulation.ventricle_motion import TimeCourse, Ventricle, VentricleShape

FOUR_CHAMBER_SEGMENTS = (
    "basal inferoseptal",
    "mid inferoseptal",
    "apical septal",
    "apical lateral",
    "mid anterolateral",
    "basal anterolateral",
)
TWO_CHAMBER_SEGMENTS = (
    "basal inferior",
    "mid inferior",
    "apical inferior",
    "apical anterior",
    "mid anterior",
    "basal anterior",
)


@dataclass(frozen=True)
class HeartPhantom:
    """A left ventricle and its surroundings.

    Attributes:
        frame_count: number of frames.
        global_longitudinal_strain_percent: peak (end-systolic) strain of the mid-wall contour, -30 to 0.
        segment_scales: relative strain of the six segments, from the left base to the right base, normalised to the
            global strain. 0 is akinetic.
        course: time course of a beat.
        shape: shape of the wall.
        sway: rigid motion.
        apex_depth_mm: depth of the outer side of the apex.
        apex_x_mm: lateral position of the apex.
        tilt_deg: rotation of the ventricle's long axis about the apex.
        right_heart: a four-chamber view (True) or a two-chamber view.
        points_per_contour: default truth points along each of the three contours (endo, mid, epi).
        contact: acoustic contact of the probe.
        imaging: probe and display.
        degradation: image degradation.
        name: name of the sequence.
    """

    frame_count: int = 64
    global_longitudinal_strain_percent: float = -18.0
    segment_scales: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    course: TimeCourse = field(default_factory=TimeCourse)
    shape: VentricleShape = field(default_factory=VentricleShape)
    sway: Sway = field(default_factory=Sway)
    apex_depth_mm: float = 16.0
    apex_x_mm: float = 2.0
    tilt_deg: float = 4.0
    right_heart: bool = True
    points_per_contour: int = 49
    contact: Contact = field(default_factory=Contact)
    imaging: Imaging = field(default_factory=Imaging)
    degradation: Degradation = field(default_factory=Degradation)
    name: str = "heart phantom"

    def __post_init__(self) -> None:
        if self.frame_count < 1:
            raise InputError(f"frame_count must be at least 1, got {self.frame_count}")
        for name, low, high in (("apex_depth_mm", 5, 100), ("apex_x_mm", -80, 80), ("tilt_deg", -60, 60)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")
        if self.points_per_contour < 3:
            raise InputError(f"points_per_contour must be at least 3, got {self.points_per_contour}")

    @property
    def times_s(self) -> np.ndarray:
        """The frame times in seconds, (T,)."""
        return np.arange(self.frame_count) / self.imaging.frame_rate_hz


def heart_motion(phantom: HeartPhantom, wander_phase: float = 0.0) -> HeartMotion:
    """Returns the analytic motion of a phantom without simulating its images."""
    ventricle = Ventricle(
        phantom.shape, phantom.global_longitudinal_strain_percent / 100, tuple(phantom.segment_scales)
    )
    apex_to_base = ventricle.focus * np.cosh(ventricle.epi)
    tilt = np.deg2rad(phantom.tilt_deg)
    base = (phantom.apex_x_mm - apex_to_base * np.sin(tilt), phantom.apex_depth_mm + apex_to_base * np.cos(tilt))
    degradation = phantom.degradation
    elevation = (degradation.elevation_cyclic_mm, degradation.elevation_wander_mm)
    return HeartMotion(
        ventricle,
        phantom.course,
        phantom.sway,
        base,
        tilt_deg=phantom.tilt_deg,
        elevation=elevation,
        wander_phase=wander_phase,
    )


def wall_contour(motion: HeartMotion, layer: str, count: int) -> np.ndarray:
    """Returns (count, 2) material positions along a contour of the wall, from the left base to the right base.

    Evenly spaced on the mid-wall; `layer` is endo, mid or epi.
    """
    ventricle = motion.ventricle
    radius = {"endo": ventricle.endo, "mid": ventricle.mid, "epi": ventricle.epi}[layer]
    angles = ventricle.mid_wall_angles(
        np.linspace(ventricle.segment_edges_mm[0], ventricle.segment_edges_mm[-1], count)
    )
    # slightly inside the wall, so that the motion is smooth on both sides of the point
    radius = radius + {"endo": 1e-6, "mid": 0.0, "epi": -1e-6}[layer]
    return motion.to_probe_frame(ventricle.ellipse(np.full(count, radius), angles))


def simulate_heart(
    phantom: HeartPhantom | None = None, *, seed: int = 0, progress: Progress = no_progress
) -> SimulatedSequence:
    """Simulates a clip of a beating left ventricle with its ground truth.

    Args:
        phantom: the heart; the default one if None.
        seed: seed of all random numbers.
        progress: called after each frame.

    Raises:
        InputError: an impossible configuration.
    """
    phantom = phantom or HeartPhantom()
    imaging, degradation, times = phantom.imaging, phantom.degradation, phantom.times_s
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]
    motion = heart_motion(phantom, wander_phase=streams[0].uniform(0, 2 * np.pi))
    scanner = Scanner(imaging)

    def paint(positions: np.ndarray, elevation_phase: np.ndarray, rng: np.random.Generator) -> Canvas:
        return heart_echogenicity(
            motion.to_ventricle_frame(positions),
            elevation_phase,
            motion.ventricle,
            right_heart=phantom.right_heart,
            rng=rng,
        )

    tissue = Tissue(motion, paint, scanner, degradation, times_s=times, margin_mm=12.0, rng=streams[1])
    leaflets = Leaflets(motion, tissue.reference_amplitude, streams[2])
    loss = BeamLoss(
        scanner,
        phantom.contact,
        draw_shadows(degradation, imaging.half_angle, phantom.course.period_s, streams[3]),
        streams[3],
    )
    frames = render(
        scanner,
        [tissue.next, leaflets.next],
        loss,
        Clutter(scanner, degradation, streams[4]),
        times_s=times,
        progress=progress,
    )
    ventricle = motion.ventricle
    strain = ventricle.peak_strain * phantom.course.activation(times)
    return with_truth(
        frames,
        times,
        phantom.name,
        points_mm={layer: wall_contour(motion, layer, phantom.points_per_contour) for layer in ("endo", "mid", "epi")},
        is_tissue=lambda positions: ventricle.is_wall(motion.to_ventricle_frame(positions)),
        imaging=imaging,
        motion=motion,
        loss=loss,
        strain=VentricleStrain(
            global_longitudinal=strain,
            segmental=ventricle.segment_strain(strain),
            segment_names=FOUR_CHAMBER_SEGMENTS if phantom.right_heart else TWO_CHAMBER_SEGMENTS,
            end_diastole_frames=_event_frames(phantom, 0.0),
            end_systole_frames=_event_frames(phantom, phantom.course.systole),
        ),
    )


def _event_frames(phantom: HeartPhantom, phase: float) -> tuple[int, ...]:
    """Returns the frames nearest to the times at which the cycle is at `phase`."""
    course, times = phantom.course, phantom.times_s
    first = np.mod(phase - course.start, 1.0) * course.period_s
    events = np.arange(first, times[-1] + 0.5 / phantom.imaging.frame_rate_hz, course.period_s)
    return tuple(int(np.argmin(np.abs(times - event))) for event in events)
