"""A breathing liver seen from below the ribs, written apart from `UltrasoundMotionLib.simulation`.

The liver slides under an abdominal wall that stays; its way out of a breath is not the way in; what lies near the
diaphragm goes farther; the heart beats against it; vessels of equal size lie side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.lab.second_source.obstacles import Obstacle, Obstacles
from UltrasoundMotionLib.lab.second_source.scene import Dropout, Haze, Scene
from UltrasoundMotionLib.lab.second_source.tissue import Tissue, smooth_field

PARENCHYMA_POINTS = 26
DIAPHRAGM_POINTS = 4
_EXTENT = (-140.0, 140.0, -12.0, 190.0)
_SCATTERERS, _THICKNESS_MM = 80_000, 9.0


@dataclass(frozen=True)
class Vessel:
    """A vessel across the plane: an ellipse, (x, z) of its middle and its half axes in mm, and the turn of its axes.

    Attributes:
        bright_wall: whether its wall shows, as a portal vein's does.
        fades: by how much its contrast goes with the movement across the plane, 0 to 1.
    """

    middle: tuple[float, float]
    half_axes: tuple[float, float]
    turn: float
    bright_wall: bool
    fades: float = 0.0

    def distance(self, points_mm: np.ndarray) -> np.ndarray:
        """Distance of points (N, 2) from the middle, 1 on the wall."""
        x, z = (points_mm - self.middle).T
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return np.hypot((cosine * x + sine * z) / self.half_axes[0], (cosine * z - sine * x) / self.half_axes[1])


@dataclass(frozen=True)
class Waves:
    """Small smooth deviations of the motion from place to place: a few plane waves."""

    directions: np.ndarray
    phases: np.ndarray
    sizes: np.ndarray

    def at(self, points_mm: np.ndarray) -> np.ndarray:
        """Values (N, 2) at points (N, 2)."""
        return np.sin(points_mm @ self.directions.T + self.phases) @ self.sizes


@dataclass(frozen=True, kw_only=True)
class LiverScene(Scene):
    """A breathing liver before the probe.

    Attributes:
        wall_depth_mm: thickness of the abdominal wall, under which the liver slides.
        reach_mm: how far a breath carries the liver along the probe and to the depth.
        reach_across_mm: how far it carries the liver across the image's plane.
        breath_along, breath_deep: (T,) course of the breath for the two directions, between -1 and 1.
        heart: (T,) push of the heart in mm.
        growth: by how much deeper tissue moves more.
        waves: deviations from place to place.
        vessels: across the plane.
        rib: depth, middle at rest, half width, and movement with the breath, in mm.
        lung: depth, its edge at rest on the left, and movement with the breath, in mm.
    """

    wall_depth_mm: float
    reach_mm: tuple[float, float]
    reach_across_mm: float
    breath_along: np.ndarray
    breath_deep: np.ndarray
    heart: np.ndarray
    growth: float
    waves: Waves
    vessels: tuple[Vessel, ...]
    rib: tuple[float, float, float, float] | None = None
    lung: tuple[float, float, float] | None = None

    def moved(self, rest_mm: np.ndarray, frame: int) -> np.ndarray:
        """Returns where the material at (N, 2) is on a frame, (N, 2) in mm."""
        along, deep = float(self.breath_along[frame]), float(self.breath_deep[frame])
        x, z = rest_mm.T
        below = z > self.wall_depth_mm
        more = 1 + self.growth * (z - 70) / 70 - 0.25 * self.growth * x / 70
        shift = np.stack([self.reach_mm[0] * along * more, self.reach_mm[1] * deep * (1 + 0.2 * x / 70)], axis=1)
        shift += along * self.waves.at(rest_mm)
        beat = float(self.heart[frame]) * np.exp(-(((x + 40) / 35) ** 2) - ((z - 50) / 30) ** 2)
        shift += beat[:, None] * np.array([0.5, 1.0])
        return rest_mm + below[:, None] * shift

    def across_mm(self, rest_mm: np.ndarray, frame: int) -> np.ndarray:
        """Returns by how much that material has moved across the image's plane, (N,)."""
        below = rest_mm[:, 1] > self.wall_depth_mm
        return below * self.reach_across_mm * self.breath_deep[frame]

    def obstacles(self, frame: int) -> Obstacles:
        """Returns the rib and the edge of the lung."""
        strips = []
        if self.rib is not None:
            depth, middle, half, sway = self.rib
            middle += sway * self.breath_deep[frame]
            strips.append(Obstacle(depth, middle - half, middle + half, 0.1, 0.8))
        if self.lung is not None:
            depth, edge, sway = self.lung
            strips.append(Obstacle(depth, -np.inf, edge + sway * self.breath_along[frame], 0.06, 0.8))
        return Obstacles(tuple(strips))

    def fade(self, rest_mm: np.ndarray, frame: int) -> np.ndarray | float:
        """Returns the factor by which vessels that fade echo like the tissue beside them."""
        factor = np.ones(len(rest_mm))
        for vessel in self.vessels:
            if vessel.fades:
                # A lumen that leaves the plane fills with the tissue beside it.
                inside = vessel.distance(rest_mm) < 1
                gone = vessel.fades * 0.5 * (1 + float(self.breath_deep[frame]))
                factor[inside] *= 10 ** (gone * 19 / 20)
        return factor


def draw_liver_scene(rng: np.random.Generator, hard: bool, frame_count: int = 64) -> LiverScene:
    """Draws a liver and how it breathes."""
    wall_depth = rng.uniform(13, 19)
    vessels = _draw_vessels(rng, hard)
    dome = (rng.uniform(-15, 15), rng.uniform(112, 124), rng.uniform(95, 140))
    frames = np.arange(frame_count)
    cycles = rng.uniform(1.2, 1.9) if hard else rng.uniform(0.9, 1.2)
    phase = 2 * np.pi * cycles * frames / frame_count * (1 + 0.12 * np.sin(0.05 * frames)) + rng.uniform(0, 6.28)
    # Long out, short in: the way of the diaphragm over a breath; depth follows later, which makes a loop of the path.
    along = _breath(phase) * (1 + (0.12 if hard else 0.0) * np.sin(0.045 * frames + 1))
    deep = _breath(phase - (rng.uniform(0.5, 0.9) if hard else 0.15))
    rate = rng.uniform(10, 16)
    waves = Waves(
        rng.normal(0, 1 / 45.0, (4, 2)), rng.uniform(0, 6.28, 4), rng.normal(0, 0.5 if hard else 0.15, (4, 2))
    )
    points, labels = _draw_points(rng, vessels, dome, wall_depth)
    rib = lung = None
    dropouts: tuple[Dropout, ...] = ()
    if hard:
        side = rng.choice([-1, 1])
        rib = (rng.uniform(7, 11), side * rng.uniform(6, 15), rng.uniform(2.5, 4.5), rng.uniform(-4, 4))
        if rng.uniform() < 0.5:
            lung = (rng.uniform(8, 14), rng.uniform(-26, -20), rng.uniform(4, 8))
        dropouts = (
            Dropout(-side * rng.uniform(0.2, 0.35), rng.uniform(0.04, 0.08), rng.uniform(0.15, 0.35), 0.04, 25),
        )
    reach = rng.uniform(4.4, 6.2) * rng.choice([-1, 1]) if hard else rng.uniform(2.5, 4.0)
    return LiverScene(
        tissue=_draw_tissue(rng, vessels, dome, wall_depth),
        labels=labels,
        rest_points_mm=points,
        extents_mm=np.array([max(vessel.half_axes) + 1.5 for vessel in vessels] + [3.0] * (len(points) - len(vessels))),
        times_s=frames / rate,
        haze=_draw_haze(rng, hard),
        dropouts=dropouts,
        slice_mm=rng.uniform(1.8, 2.8),
        renewed_share=rng.uniform(0.06, 0.16) if hard else 0.03,
        memory_frames=rng.uniform(5, 14),
        breaths=deep,
        wall_depth_mm=wall_depth,
        reach_mm=(reach, rng.uniform(1.5, 3.5) if hard else 1.0),
        reach_across_mm=rng.uniform(-1.3, 1.3) if hard else 0.3,
        breath_along=along,
        breath_deep=deep,
        heart=(0.9 if hard else 0.2) * np.sin(2 * np.pi * frames / rate * 1.15) ** 3,
        growth=rng.uniform(0.05, 0.2) if hard else 0.05,
        waves=waves,
        vessels=vessels,
        rib=rib,
        lung=lung,
    )


def _breath(phase: np.ndarray) -> np.ndarray:
    """A breath between -1 (out) and 1 (in), longer out than in."""
    return 1 - 2 * np.cos(phase / 2 - 0.35 * np.sin(phase)) ** 4


def _draw_vessels(rng: np.random.Generator, hard: bool) -> tuple[Vessel, ...]:
    vessels: list[Vessel] = []
    while len(vessels) < 11:
        middle = (float(rng.uniform(-45, 45)), float(rng.uniform(34, 104)))
        radius = float(rng.uniform(2.2, 5.5))
        if any(np.hypot(*np.subtract(middle, one.middle)) < radius + max(one.half_axes) + 5 for one in vessels):
            continue
        axes = (radius * float(rng.uniform(1, 1.5)), radius)
        fades = float(rng.uniform(0.5, 1)) if hard and rng.uniform() < 0.35 else 0.0
        vessels.append(Vessel(middle, axes, float(rng.uniform(-1.5, 1.5)), bool(rng.uniform() < 0.5), fades))
        if hard and len(vessels) in (2, 6):
            # A twin beside it, as far away as it moves.
            twin = (middle[0] + float(rng.choice([-1, 1])) * float(rng.uniform(13, 17)), middle[1] + rng.uniform(-3, 3))
            vessels.append(Vessel((float(twin[0]), float(twin[1])), axes, vessels[-1].turn, vessels[-1].bright_wall))
    return tuple(vessels)


def _dome_depth(x: np.ndarray, dome: tuple[float, float, float]) -> np.ndarray:
    middle, depth, radius = dome
    return depth - radius + np.sqrt(np.clip(radius**2 - (x - middle) ** 2, 100, None))


def _draw_points(
    rng: np.random.Generator, vessels: tuple[Vessel, ...], dome: tuple[float, float, float], wall_depth: float
) -> tuple[np.ndarray, tuple[str, ...]]:
    middles = np.array([vessel.middle for vessel in vessels])
    parenchyma: list[np.ndarray] = []
    while len(parenchyma) < PARENCHYMA_POINTS:
        point = np.array([rng.uniform(-50, 50), rng.uniform(wall_depth + 8, 112)])
        inside = point[1] < _dome_depth(point[:1], dome)[0] - 5
        apart = all(np.hypot(*(point - other)) > 7 for other in parenchyma)
        if inside and apart and all(vessel.distance(point[None])[0] > 1.5 for vessel in vessels):
            parenchyma.append(point)
    x = np.linspace(-35, 35, DIAPHRAGM_POINTS)
    diaphragm = np.stack([x, _dome_depth(x, dome)], axis=1)
    labels = [f"vessel-{index + 1:02d}" for index in range(len(middles))]
    labels += [f"parenchyma-{index + 1:02d}" for index in range(PARENCHYMA_POINTS)]
    labels += [f"diaphragm-{index + 1:02d}" for index in range(DIAPHRAGM_POINTS)]
    return np.concatenate([middles, np.array(parenchyma), diaphragm]), tuple(labels)


def _draw_tissue(
    rng: np.random.Generator, vessels: tuple[Vessel, ...], dome: tuple[float, float, float], wall_depth: float
) -> Tissue:
    count = _SCATTERERS
    points = rng.uniform((_EXTENT[0], _EXTENT[2]), (_EXTENT[1], _EXTENT[3]), (count, 2))
    x, z = points.T
    level = np.full(count, -5.0)
    level += 1.1 * smooth_field(rng, _EXTENT, 14.0).at(points) + 1.6 * smooth_field(rng, _EXTENT, 2.2).at(points)
    blood = np.zeros(count, dtype=bool)
    for vessel in vessels:
        distance = vessel.distance(points)
        thin = 0.9 / min(vessel.half_axes)
        wall = (distance >= 1) & (distance < 1 + thin)
        if vessel.bright_wall:
            level[wall] += 9
        else:
            level[wall] += 2.5
        level[distance < 1] = -24
        # Even a vessel that can fade keeps its scatterers, so that it fades into tissue and not into flowing blood.
        if not vessel.fades:
            blood |= distance < 1
    # Smaller vessels and ducts in the plane: bright double lines.
    for _ in range(9):
        start, angle = rng.uniform((-60, 30), (60, 105)), rng.uniform(-0.7, 0.7)
        along = (points - start) @ [np.cos(angle), np.sin(angle)]
        beside = np.abs((points - start) @ [-np.sin(angle), np.cos(angle)] - 0.01 * along**2)
        here = (along > 0) & (along < rng.uniform(10, 26)) & ~blood
        level[here & (beside < 1.0)] -= 7
        level[here & (beside >= 1.0) & (beside < 1.9)] += 5
    edge = _dome_depth(x, dome)
    level[(z > edge - 0.9) & (z < edge + 0.9)] = 8
    behind = z >= edge + 0.9
    level[behind] = -13 - 0.3 * np.clip(z[behind] - edge[behind], 0, 60)
    near = z <= wall_depth
    level[near] = -9 + 5 * np.sin(z[near] * 1.9 + 0.8 * np.sin(x[near] / 17))
    level[(z > wall_depth - 0.8) & (z < wall_depth + 0.6)] = 3
    across = rng.uniform(-_THICKNESS_MM / 2, _THICKNESS_MM / 2, count)
    return Tissue(points, across, 10 ** (level / 20), blood, _THICKNESS_MM)


def _draw_haze(rng: np.random.Generator, hard: bool) -> Haze:
    """Reverberations of the abdominal wall, fixed to the probe."""
    count = 4000
    x = rng.uniform(-60, 60, count)
    z = rng.uniform(2, 24 if not hard else 52, count)
    level = (-12 if not hard else -8) - 0.35 * np.clip(z - 10, 0, None)
    if hard:
        for at in rng.uniform(24, 75, rng.integers(2, 5)):
            members = rng.choice(count, 420, replace=False)
            x[members] = rng.uniform(-35, 35) + rng.normal(0, 9, 420)
            z[members] = at + rng.normal(0, 0.7, 420)
            level[members] = rng.uniform(-9, -2)
    return Haze(np.stack([x, z], axis=1), 10 ** (level / 20) * rng.normal(size=count), 0.2 if hard else 0.0)
