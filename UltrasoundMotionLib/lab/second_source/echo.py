"""An apical view of a beating left ventricle, written apart from `UltrasoundMotionLib.simulation`.

The wall is carried by a map in coordinates along the ventricle's axis: the base descends to the apex, the cavity
narrows, the wall thickens so that its volume stays, the whole rocks, breathes and twists across the plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from UltrasoundMotionLib.lab.second_source.obstacles import Obstacle, Obstacles
from UltrasoundMotionLib.lab.second_source.scene import Dropout, Haze, Scene
from UltrasoundMotionLib.lab.second_source.tissue import Tissue, smooth_field

LAYERS = ("endo", "mid", "epi")
LAYER_POINTS = 15
PAPILLARY_POINTS = 3
SYSTOLE_ENDS = 0.355
"""Phase of the beat at which the ventricle is smallest."""

_SCATTERERS, _THICKNESS_MM = 62_000, 9.0
_PHASES = (0, 0.04, 0.11, 0.2, 0.28, 0.33, SYSTOLE_ENDS, 0.40, 0.46, 0.54, 0.62, 0.8, 0.88, 0.95, 1)
_CONTRACTION = (0, 0.02, 0.24, 0.63, 0.92, 0.99, 1, 0.95, 0.66, 0.35, 0.24, 0.19, 0.08, 0.015, 0)


@dataclass(frozen=True)
class Ventricle:
    """Shape and motion of the ventricle; lengths in mm, angles in radians.

    `u` runs across its axis, to the lateral wall, and `v` along it, from the tip of the cavity (0) to the base.

    Attributes:
        length, radius, wall: of the cavity at rest, its greatest half width, and the thickness of the wall.
        tilt, tip: angle of the axis against the depth, and (x, z) of the cavity's tip.
        descent: of the base towards the tip, at end-systole.
        narrowing: of the cavity at end-systole as a part of its half width, on the septal and the lateral side.
        rocking: turn of the whole in the image's plane, at end-systole.
        twist: turn about the axis at end-systole, tip against base, which moves tissue across the image's plane.
        breath: (x, z) shift of the whole by a full breath.
        drift_across: shift across the image's plane by a full breath.
    """

    length: float
    radius: float
    wall: float
    tilt: float
    tip: tuple[float, float]
    descent: float
    narrowing: tuple[float, float]
    rocking: float
    twist: float
    breath: tuple[float, float]
    drift_across: float

    def cavity(self, v: np.ndarray) -> np.ndarray:
        """Half width of the cavity at rest."""
        widest = 0.66 * self.length
        above = np.clip((widest - v) / widest, 0, 1)
        below = np.clip((v - widest) / (1.5 * self.length), 0, 1)
        return np.where(v < 0, 0.0, self.radius * np.sqrt(np.clip(1 - above**2.3, 0, 1)) * np.sqrt(1 - below**2))

    def outside(self, v: np.ndarray) -> np.ndarray:
        """Half width of the outer surface at rest."""
        widest, top = 0.66 * self.length, -0.8 * self.wall
        above = np.clip((widest - v) / (widest - top), 0, 1)
        below = np.clip((v - widest) / (1.5 * self.length), 0, 1)
        half = (self.radius + self.wall) * np.sqrt(np.clip(1 - above**2.3, 0, 1)) * np.sqrt(1 - below**2)
        return np.where(v < top, 0.0, half)

    def layer(self, name: str, count: int) -> np.ndarray:
        """Points (N, 2) in (u, v) of a layer, evenly spaced from the septal base over the apex to the lateral base."""
        v = np.linspace(0.97 * self.length, -0.8 * self.wall, 4001)
        share = {"endo": 0.08, "mid": 0.5, "epi": 0.9}[name]
        top = -share * 0.8 * self.wall
        # The layer's own half width: a share of the way from the cavity to the outside, closed over the apex.
        widest = 0.66 * self.length
        above = np.clip((widest - v) / (widest - top), 0, 1)
        below = np.clip((v - widest) / (1.5 * self.length), 0, 1)
        half = (self.radius + share * self.wall) * np.sqrt(np.clip(1 - above**2.3, 0, 1)) * np.sqrt(1 - below**2)
        keep = v >= top
        left = np.stack([-half[keep], v[keep]], axis=1)
        contour = np.concatenate([left, left[::-1][1:] * [-1, 1]])
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(contour, axis=0), axis=1))])
        even = np.linspace(0, along[-1], count)
        return np.stack([np.interp(even, along, contour[:, axis]) for axis in (0, 1)], axis=1)

    def carried(self, uv: np.ndarray, contraction: float) -> np.ndarray:
        """Returns the place of material (N, 2) in (u, v) at a contraction between 0 and 1."""
        u, v = uv[:, 0], uv[:, 1]
        reach = np.clip((v + 8) / (self.length + 8), 0, None)
        inside = np.minimum(reach, 1)
        # Below the base the displacement fades out over the atria.
        fall = np.exp(-np.clip(v - self.length, 0, None) / 45.0)
        rise = inside**1.15
        stretch = 1 - contraction * self.descent * 1.15 * inside**0.15 / (self.length + 8) * (v < self.length)
        stretch = np.where(v < -8, 1.0, stretch)
        moved_v = v - contraction * self.descent * rise * fall
        septal, lateral = self.narrowing
        side = 0.5 * (1 + np.tanh(u / 8.0))
        narrowing = (septal * (1 - side) + lateral * side) * (0.75 + 0.25 * np.clip(v / self.length, 0, 1))
        narrowing = narrowing * np.exp(-np.clip(v - self.length, 0, None) / 20.0)
        distance = np.abs(u)
        inner, outer = self.cavity(v), self.outside(v)
        small_inner = inner * (1 - contraction * narrowing)
        # Outside of the cavity volume stays: rings keep their area times the shortened length.
        of_wall = np.sqrt(small_inner**2 + np.clip(np.minimum(distance, outer) ** 2 - inner**2, 0, None) / stretch)
        beyond = np.clip(distance - outer, 0, None)
        pulled = np.sqrt(small_inner**2 + np.clip(outer**2 - inner**2, 0, None) / stretch) - outer
        of_outside = distance + pulled * np.exp(-beyond / 22.0)
        of_cavity = distance * np.where(inner > 0, small_inner / np.maximum(inner, 1e-6), 1.0)
        moved = np.where(distance <= inner, of_cavity, np.where(distance <= outer, of_wall, of_outside))
        return np.stack([np.sign(u) * moved, moved_v], axis=1)

    def placed(self, uv: np.ndarray, contraction: float, breath: float) -> np.ndarray:
        """Positions (N, 2) in the image's plane of (u, v), with rocking and breathing."""
        angle = self.tilt + self.rocking * contraction
        pivot = np.array([0.0, 0.35 * self.length])
        around = uv - pivot
        cosine, sine = np.cos(angle), np.sin(angle)
        turned = np.stack(
            [cosine * around[:, 0] - sine * around[:, 1], sine * around[:, 0] + cosine * around[:, 1]], axis=1
        )
        at_rest = np.array([-np.sin(self.tilt) * pivot[1], np.cos(self.tilt) * pivot[1]])
        return turned + at_rest + self.tip + breath * np.asarray(self.breath)


@dataclass(frozen=True, kw_only=True)
class EchoScene(Scene):
    """A ventricle before the probe.

    Attributes:
        ventricle: its shape and motion.
        contractions: (T,), 0 at end-diastole and 1 at end-systole.
        rib: depth, middle at rest, half width, and movement with the breath, in mm.
        lung: depth, its edge at rest on the right, and movement with the breath, in mm.
    """

    ventricle: Ventricle
    contractions: np.ndarray
    rib: tuple[float, float, float, float] | None = None
    lung: tuple[float, float, float] | None = None

    def moved(self, rest_mm: np.ndarray, frame: int) -> np.ndarray:
        """Returns where the material at (N, 2), given as (u, v) of the ventricle, is on a frame, (N, 2) in mm."""
        contraction = float(self.contractions[frame])
        return self.ventricle.placed(
            self.ventricle.carried(rest_mm, contraction), contraction, float(self.breaths[frame])
        )

    def across_mm(self, rest_mm: np.ndarray, frame: int) -> np.ndarray:
        """Returns by how much that material has moved across the image's plane, (N,)."""
        along = np.clip(rest_mm[:, 1] / self.ventricle.length, -0.1, 1.3)
        turned = self.ventricle.twist * (0.45 - along) * 1.6 * self.contractions[frame]
        return turned * rest_mm[:, 0] + self.ventricle.drift_across * self.breaths[frame]

    def obstacles(self, frame: int) -> Obstacles:
        """Returns the rib and the edge of the lung."""
        strips = []
        if self.rib is not None:
            depth, middle, half, sway = self.rib
            middle += sway * self.breaths[frame]
            strips.append(Obstacle(depth, middle - half, middle + half, 0.12))
        if self.lung is not None:
            depth, edge, sway = self.lung
            strips.append(Obstacle(depth, edge + sway * self.breaths[frame], np.inf, 0.08))
        return Obstacles(tuple(strips))


def contraction_at(phase: np.ndarray) -> np.ndarray:
    """Contraction, 0 at end-diastole and 1 at end-systole, of phases of the beat."""
    return np.clip(PchipInterpolator(_PHASES, _CONTRACTION)(np.mod(phase, 1)), 0, 1)


def draw_echo_scene(rng: np.random.Generator, hard: bool, frame_count: int = 64) -> tuple[EchoScene, np.ndarray]:
    """Draws a ventricle and its surroundings.

    Returns:
        The scene; and the phase (T,) of each frame, in beats, the first end-diastole being phase 1.
    """
    ventricle = Ventricle(
        length=rng.uniform(70, 84),
        radius=rng.uniform(19, 25),
        wall=rng.uniform(8, 11.5),
        tilt=rng.uniform(-0.08, 0.08),
        tip=(rng.uniform(-4, 5), rng.uniform(22, 29)),
        descent=rng.uniform(10, 14) if hard else rng.uniform(8, 12),
        narrowing=(rng.uniform(0.16, 0.34), rng.uniform(0.2, 0.36)) if hard else (0.24, 0.26),
        rocking=rng.uniform(-0.09, 0.09) if hard else rng.uniform(-0.03, 0.03),
        twist=rng.uniform(0.03, 0.06) if hard else 0.02,
        breath=(rng.uniform(-4, 4), rng.uniform(-3.5, 3.5)) if hard else (0.5, 0.5),
        drift_across=rng.uniform(-1.0, 1.0) if hard else 0.2,
    )
    beats_per_frame = 1 / rng.uniform(28, 34) if hard else 1 / rng.uniform(36, 46)
    rate = rng.uniform(24, 32) if hard else rng.uniform(40, 50)
    unsteady = 1 + (0.04 if hard else 0.01) * np.sin(np.arange(frame_count) * 0.21 + rng.uniform(0, 6))
    phases = 0.9 + np.concatenate([[0], np.cumsum(beats_per_frame * unsteady[:-1])])
    beat_strength = 1 + (0.05 if hard else 0.0) * np.sin(2 * np.pi * np.floor(phases) * 0.37)
    contractions = contraction_at(phases) * np.clip(beat_strength, 0.9, 1.05)
    breaths = np.sin(2 * np.pi * (np.arange(frame_count) / frame_count * rng.uniform(0.5, 0.9)) + rng.uniform(0, 6.28))
    tissue = _draw_tissue(rng, ventricle)
    layers = {name: ventricle.layer(name, LAYER_POINTS) for name in LAYERS}
    papillary = _papillary(ventricle)[None] + np.array([[0.0, 0.0], [-1.5, -5.0], [1.0, 5.0]])
    points = np.concatenate([*layers.values(), papillary])
    labels = tuple(f"{name}-{index + 1:02d}" for name, one in layers.items() for index in range(len(one)))
    labels += tuple(f"papillary-{index + 1:02d}" for index in range(PAPILLARY_POINTS))
    dropouts: tuple[Dropout, ...] = ()
    rib = lung = None
    if hard:
        side = rng.choice([-1, 1])
        dropouts = (
            Dropout(
                side * rng.uniform(0.22, 0.4),
                rng.uniform(0.05, 0.09),
                rng.uniform(0.05, 0.2),
                rng.uniform(-0.05, 0.05),
                35,
            ),
        )
        if rng.uniform() < 0.6:
            rib = (rng.uniform(9, 14), -side * rng.uniform(4, 8), rng.uniform(1.0, 1.9), rng.uniform(1, 3))
        else:
            lung = (rng.uniform(10, 16), rng.uniform(8, 11), rng.uniform(1, 3))
    scene = EchoScene(
        tissue=tissue,
        labels=labels,
        rest_points_mm=points,
        extents_mm=np.full(len(points), 2.5),
        times_s=np.arange(frame_count) / rate,
        haze=_draw_haze(rng, hard),
        dropouts=dropouts,
        slice_mm=rng.uniform(1.8, 2.6),
        renewed_share=rng.uniform(0.06, 0.16) if hard else 0.03,
        memory_frames=rng.uniform(5, 14),
        breaths=breaths,
        ventricle=ventricle,
        contractions=contractions,
        rib=rib,
        lung=lung,
    )
    return scene, phases


def _papillary(ventricle: Ventricle) -> np.ndarray:
    return np.array([0.74 * ventricle.cavity(np.array(0.46 * ventricle.length)), 0.46 * ventricle.length])


def _draw_tissue(rng: np.random.Generator, heart: Ventricle) -> Tissue:
    count = _SCATTERERS
    extent = (-105.0, 105.0, -35.0, 140.0)
    points = rng.uniform((extent[0], extent[2]), (extent[1], extent[3]), (count, 2))
    u, v = points.T
    distance = np.abs(u)
    inner, outer = heart.cavity(v), heart.outside(v)
    base = v < heart.length
    wall = base & (distance <= outer) & (distance >= inner) & (v > -0.8 * heart.wall)
    # Level of each tissue in dB; what is behind the base are the atria, left of the septum the right ventricle.
    level = np.full(count, -17.0)
    around = np.hypot(u / 62, (v - 45) / 78)
    level[around < 1] = -9
    right = (u < 0) & (distance > outer) & (distance < outer + 17 * np.sqrt(np.clip(1 - ((v - 62) / 45) ** 2, 0, 1)))
    right &= base & (v > 22)
    blood = right | (base & (distance < inner))
    left_atrium = ((u - 3) / 19) ** 2 + ((v - heart.length - 24) / 21) ** 2 < 1
    right_atrium = ((u + 39) / 17) ** 2 + ((v - heart.length - 20) / 20) ** 2 < 1
    blood |= left_atrium | right_atrium
    level[wall] = -2
    near_edge = wall & ((outer - distance < 1.3) | (distance - inner < 1.0))
    level[near_edge] = 1.5
    free_wall = (u < 0) & base & (v > 20) & ~right & (distance > outer + 8) & (distance < outer + 24) & (v < 100)
    level[free_wall] = -1
    pericardium = (u > 0) & base & (distance > outer) & (distance < outer + 4.5) & (v > 15)
    level[pericardium] = 4
    annulus = (np.abs(v - heart.length) < 3) & (np.abs(distance - 0.5 * (inner + outer)) < 5)
    level[annulus] = 6
    leaflet = (np.abs(v - heart.length + 1 - 0.012 * (inner - distance) ** 2) < 1.2) & (distance < inner)
    level[leaflet] = 3
    septum_below = (np.abs(u + 20 - 0.05 * (v - heart.length)) < 2.6) & (v >= heart.length) & (v < heart.length + 42)
    level[septum_below] = -1
    papillary = np.hypot((u - _papillary(heart)[0]) / 4.2, (v - _papillary(heart)[1]) / 12) < 1
    blood &= ~(leaflet | papillary | septum_below)
    level[papillary] = -3
    level[blood] = -27
    patches = smooth_field(rng, extent, 5.0).at(points)
    grain = smooth_field(rng, extent, 1.8).at(points)
    level += np.where(blood, 0.0, 2.6 * patches + 2.2 * grain)
    # A wall that runs along the beam returns less than one across it.
    level[wall] -= 3.0 * np.clip(v[wall] / heart.length, 0, 1)
    across = rng.uniform(-_THICKNESS_MM / 2, _THICKNESS_MM / 2, count)
    return Tissue(points, across, 10 ** (level / 20), blood, _THICKNESS_MM)


def _draw_haze(rng: np.random.Generator, hard: bool) -> Haze:
    """Near-field haze over the apex and ranges that repeat, fixed to the probe."""
    count = 5000
    angle = rng.uniform(-0.62, 0.62, count)
    distance = rng.uniform(3, 20 if not hard else 44, count)
    level = -5 - 0.55 * np.clip(distance - 8, 0, None)
    if hard:
        level = -8 - 0.4 * np.clip(distance - 10, 0, None)
        for _ in range(rng.integers(2, 5)):
            at, middle = rng.uniform(22, 85), rng.uniform(-0.45, 0.45)
            members = rng.choice(count, 500, replace=False)
            distance[members] = at + rng.normal(0, 0.9, 500)
            angle[members] = middle + rng.normal(0, rng.uniform(0.05, 0.13), 500)
            level[members] = rng.uniform(-10, -2)
        side = rng.choice([-1, 1])
        members = rng.choice(count, 1300, replace=False)
        distance[members] = rng.uniform(35, 95, 1300)
        angle[members] = side * rng.uniform(0.2, 0.36) + rng.normal(0, 0.06, 1300)
        level[members] = rng.uniform(-20, -13)
    points = np.stack([np.sin(angle) * distance, np.cos(angle) * distance], axis=1)
    return Haze(points, 10 ** (level / 20) * rng.normal(size=count), 0.25 if hard else 0.05)
