"""Anatomy and echogenicity of a liver with vessels between the body wall and the diaphragm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.simulation.imaging import Imaging
from UltrasoundMotionLib.simulation.texture import Canvas, random_field, random_slice, ridge, soft_step

_LUMEN_DB = -34.0


@dataclass(frozen=True)
class _Vessel:
    """A tube in the image plane, or across it.

    Attributes:
        start_mm, end_mm: ends of its axis in the probe frame; equal for a vessel that crosses the plane.
        start_radius_mm, end_radius_mm: radius of the lumen at both ends; linear between.
        wall_db: brightness of the wall (high for portal veins, low for hepatic veins).
        flattening: height over width of the lumen of a crossing vessel.
    """

    start_mm: tuple[float, float]
    end_mm: tuple[float, float]
    start_radius_mm: float
    end_radius_mm: float
    wall_db: float
    flattening: float = 1.0

    def distance(self, positions_mm: np.ndarray) -> np.ndarray:
        """Returns the distance (N,) to the lumen's border, negative inside."""
        start, axis = np.asarray(self.start_mm), np.subtract(self.end_mm, self.start_mm)
        offset = positions_mm - start
        length = float(axis @ axis)
        if length == 0:
            return np.hypot(offset[:, 0], offset[:, 1] / self.flattening) - self.start_radius_mm
        part = np.clip(offset @ axis / length, 0, 1)
        return np.hypot(*(offset - part[:, None] * axis).T) - (
            self.start_radius_mm + part * (self.end_radius_mm - self.start_radius_mm)
        )


@dataclass(frozen=True)
class LiverAnatomy:
    """Positions of body wall, diaphragm and vessels at end-expiration, in the probe frame (mm).

    Attributes:
        wall_mm: thickness of the body wall.
        diaphragm_centre_mm, diaphragm_radius_mm: circle of the liver's dome; its lower arc is the diaphragm.
        crossing: vessels that cross the plane, the landmarks "vessel".
        trees: vessels in the plane, each a trunk and two branches that start at its bifurcation, the landmark "fork".
    """

    wall_mm: float
    diaphragm_centre_mm: tuple[float, float]
    diaphragm_radius_mm: float
    crossing: tuple[_Vessel, ...]
    trees: tuple[tuple[_Vessel, ...], ...]

    @property
    def vessels(self) -> tuple[_Vessel, ...]:
        """All vessels, those that cross the plane first."""
        return self.crossing + tuple(vessel for tree in self.trees for vessel in tree)

    def distance_beyond_diaphragm(self, positions_mm: np.ndarray) -> np.ndarray:
        """Returns the signed distance (N,) to the diaphragm, positive beyond it."""
        return np.hypot(*(positions_mm - self.diaphragm_centre_mm).T) - self.diaphragm_radius_mm

    def is_liver(self, positions_mm: np.ndarray, imaging: Imaging) -> np.ndarray:
        """Returns True for positions in parenchyma or a vessel; (N,) bool."""
        depth, _ = imaging.polar_from_mm(positions_mm)
        return (depth > self.wall_mm + 4) & (self.distance_beyond_diaphragm(positions_mm) < -1)


def draw_anatomy(imaging: Imaging, vessel_count: int, tree_count: int, rng: np.random.Generator) -> LiverAnatomy:
    """Draws an anatomy with vessels of different sizes that do not touch, in the middle of the sector."""
    wall = rng.uniform(12, 20) * imaging.depth_mm / 150
    radius = imaging.depth_mm * rng.uniform(0.62, 0.75)
    centre = (imaging.depth_mm * rng.uniform(-0.12, 0.12), imaging.depth_mm * rng.uniform(0.9, 0.95) - radius)
    bare = LiverAnatomy(wall, centre, radius, (), ())
    taken: list[_Vessel] = []

    def fits(vessels: list[_Vessel]) -> bool:
        along = np.linspace(0, 1, 8)[:, None]
        for vessel in vessels:
            positions = np.asarray(vessel.start_mm) * (1 - along) + np.asarray(vessel.end_mm) * along
            room = max(vessel.start_radius_mm, vessel.end_radius_mm) + 6
            depth, angle = imaging.polar_from_mm(positions)
            if (
                np.any(depth < wall + 8 + room)
                or np.any(np.abs(angle) > 0.62 * imaging.half_angle)
                or np.any(bare.distance_beyond_diaphragm(positions) > -room)
            ):
                return False
            if any(np.any(other.distance(positions) < room) for other in taken):
                return False
        return True

    trees: list[tuple[_Vessel, ...]] = []
    for _ in range(40 * tree_count):
        if len(trees) == tree_count:
            break
        tree = _draw_tree(imaging, rng)
        if fits(list(tree)):
            trees.append(tree)
            taken.extend(tree)
    crossing: list[_Vessel] = []
    for attempt in range(400):
        if len(crossing) == vessel_count:
            break
        size = rng.uniform(2.2, 7.0) * (1 - attempt / 800) * imaging.depth_mm / 150
        position = imaging.mm_from_polar(
            np.array(rng.uniform(0.2, 0.9) * imaging.depth_mm), np.array(rng.uniform(-0.6, 0.6) * imaging.half_angle)
        )
        centre_mm = (float(position[0]), float(position[1]))
        vessel = _Vessel(
            centre_mm, centre_mm, size, size, wall_db=rng.choice([2.0, 9.0]), flattening=rng.uniform(0.7, 1.1)
        )
        if fits([vessel]):
            crossing.append(vessel)
            taken.append(vessel)
    return LiverAnatomy(wall, centre, radius, tuple(crossing), tuple(trees))


def _draw_tree(imaging: Imaging, rng: np.random.Generator) -> tuple[_Vessel, ...]:
    scale = imaging.depth_mm / 150
    fork = imaging.mm_from_polar(
        np.array(rng.uniform(0.35, 0.75) * imaging.depth_mm), np.array(rng.uniform(-0.45, 0.45) * imaging.half_angle)
    )
    heading = rng.uniform(0, 2 * np.pi)
    radius, wall_db = rng.uniform(3.0, 5.0) * scale, rng.choice([0.0, 8.0])

    def tube(angle: float, length: float, near: float, far: float) -> _Vessel:
        end = fork + length * scale * np.array([np.cos(angle), np.sin(angle)])
        return _Vessel((float(fork[0]), float(fork[1])), (float(end[0]), float(end[1])), near, far, wall_db)

    return (
        tube(heading + np.pi, rng.uniform(18, 28), radius, 0.7 * radius),
        tube(heading + rng.uniform(0.3, 0.6), rng.uniform(18, 32), 0.8 * radius, 0.45 * radius),
        tube(heading - rng.uniform(0.3, 0.7), rng.uniform(15, 28), 0.7 * radius, 0.4 * radius),
    )


def liver_echogenicity(
    positions_mm: np.ndarray,
    elevation_phase: np.ndarray,
    anatomy: LiverAnatomy,
    imaging: Imaging,
    rng: np.random.Generator,
) -> Canvas:
    """Returns the echogenicity at (N, 2) material positions in the probe frame; `elevation_phase` is (N,)."""
    depth, angle = imaging.polar_from_mm(positions_mm)
    parenchyma = (
        -3
        + 1.3 * random_field(positions_mm, 50.0, rng)
        + 1.8 * random_slice(positions_mm, (9.0, 5.0), elevation_phase, rng)
    )
    parenchyma += np.where(rng.random(len(depth)) < 0.006, 12, 0) + 6 * np.clip(
        random_field(positions_mm, (16.0, 4.0), rng) - 1.3, 0, None
    )
    canvas = Canvas(parenchyma)
    rough = 0.4 * random_field(positions_mm, 6.0, rng)
    for vessel in anatomy.vessels:
        rim = vessel.distance(positions_mm) - 0.8
        canvas.brighten(np.abs(rim) < 1.6, -3 + vessel.wall_db * ridge(rim, 0.7))
    for vessel in anatomy.vessels:
        canvas.cover(vessel.distance(positions_mm) + rough < 0, _LUMEN_DB, blood=True)
    _diaphragm(canvas, positions_mm, anatomy, imaging, rng)
    # the body wall with layers along the probe's face, and below it the liver's capsule
    layers = random_field(np.stack([depth, angle * 60], axis=1), (4.0, 90.0), rng)
    canvas.cover(
        depth < anatomy.wall_mm,
        -6 + 5 * layers + 6 * ridge(depth - anatomy.wall_mm * 0.45, 0.7) + 4 * np.exp(-np.maximum(depth, 0) / 3),
    )
    canvas.brighten(np.abs(depth - anatomy.wall_mm - 4.2) < 1.5, 5 * ridge(depth - anatomy.wall_mm - 4.2, 0.7) - 1.5)
    return canvas


def _diaphragm(
    canvas: Canvas, positions_mm: np.ndarray, anatomy: LiverAnatomy, imaging: Imaging, rng: np.random.Generator
) -> None:
    """Paints the bright arc of the diaphragm and, beyond it, mirror echoes and scatter of the lung that fade away."""
    depth, angle = imaging.polar_from_mm(positions_mm)
    beyond = anatomy.distance_beyond_diaphragm(positions_mm)
    canvas.cover(beyond > 0, -9 - 0.35 * np.maximum(beyond, 0) + 4 * random_field(positions_mm, (30.0, 12.0), rng))
    patchy = random_field(np.stack([angle * 100, beyond], axis=1), (40.0, 50.0), rng)
    arc = ridge(beyond - 0.5, 0.9) + 0.5 * ridge(beyond - 3.2, 0.8)
    lower = soft_step(depth - 0.45 * imaging.depth_mm, 0.3 * imaging.depth_mm)
    canvas.brighten((arc > 0.1) & (lower > 0), -3 + (12 + 3 * patchy) * arc * lower)
