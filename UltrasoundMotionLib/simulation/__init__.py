"""Simulation of B-mode clips with exactly known motion: beating left ventricles and breathing livers.

    from UltrasoundMotionLib.simulation import HeartPhantom, simulate_heart

    simulated = simulate_heart(HeartPhantom(frame_count=64, global_longitudinal_strain_percent=-18), seed=1)
    simulated.sequence                     # ImageSequence: uint8 (T, H, W), spacing, times
    simulated.truth                        # PointTracks: exact positions_px (T, N, 2), visible, labels; query frame 0
    simulated.truth_from(20)               # the points that are visible on frame 20, with query frame 20
    simulated.displacement_px(18, points)  # exact displacement of any points of frame 0 to frame 18
    simulated.strain.global_longitudinal   # (T,) exact strain of the mid-wall (heart only)

`simulate_liver(LiverPhantom(...), seed=1)` returns the same for a breathing liver, with the landmarks
`simulated.groups["vessel"]`. `phantom_set("heart", "hard", count=8, seed=3)` returns varied cases, and
`case.simulate()` makes each.

Scatterers follow an analytic motion, are imaged with a point-spread function that varies with depth, and are scan
converted. All random numbers come from `seed`. `DIFFICULTIES["easy" | "moderate" | "hard" | "extreme"]` are graded
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
