"""Ultrasound with known motion: physically made B-mode clips whose every point has an exact trajectory.

    from UltrasoundMotionLib.simulation import HeartPhantom, simulate_heart

    simulated = simulate_heart(HeartPhantom(frame_count=64, global_longitudinal_strain_percent=-18), seed=1)
    simulated.sequence                     # ImageSequence: uint8 (T, H, W), spacing, times
    simulated.truth                        # PointTracks: exact positions_px (T, N, 2), visible, labels; query frame 0
    simulated.truth_from(20)               # the same for the points that can be seen on frame 20, with query frame 20
    simulated.displacement_px(18, points)  # exact motion of any points of frame 0 to frame 18
    simulated.strain.global_longitudinal   # (T,) exact strain of the mid-wall (heart only)

`simulate_liver(LiverPhantom(...), seed=1)` gives the same for a breathing liver; its landmarks are
`simulated.groups["vessel"]`. `phantom_set("heart", "hard", count=8, seed=3)` gives varied cases: `for case in cases:
simulated = case.simulate()`.

Scatterers are carried by an analytic motion, imaged with a point-spread function that varies with depth, and scan
converted. Everything random comes from `seed`. `DIFFICULTIES["easy" | "moderate" | "hard" | "extreme"]` are graded
presets of `Degradation`.
"""

from UltrasoundMotionLib.simulation.breathing_motion import Breathing
from UltrasoundMotionLib.simulation.degradation import DIFFICULTIES, Degradation
from UltrasoundMotionLib.simulation.heart import HeartPhantom, simulate_heart
from UltrasoundMotionLib.simulation.heart_motion import Sway
from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.liver import LiverPhantom, simulate_liver
from UltrasoundMotionLib.simulation.phantom_set import PhantomCase, phantom_set
from UltrasoundMotionLib.simulation.rendering import Contact
from UltrasoundMotionLib.simulation.simulated_sequence import SimulatedSequence, VentricleStrain
from UltrasoundMotionLib.simulation.ventricle_motion import TimeCourse, VentricleShape

__all__ = [
    "DIFFICULTIES",
    "Breathing",
    "Contact",
    "Degradation",
    "HeartPhantom",
    "Imaging",
    "LiverPhantom",
    "PhantomCase",
    "SimulatedSequence",
    "Sway",
    "TimeCourse",
    "VentricleShape",
    "VentricleStrain",
    "phantom_set",
    "simulate_heart",
    "simulate_liver",
]
