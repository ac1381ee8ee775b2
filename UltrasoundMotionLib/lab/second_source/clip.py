"""Makes a clip and its truth of a scene, a probe and a console."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.second_source.console import Console, Screen
from UltrasoundMotionLib.lab.second_source.obstacles import Obstacles
from UltrasoundMotionLib.lab.second_source.probe import Probe
from UltrasoundMotionLib.lab.second_source.scene import Scene
from UltrasoundMotionLib.lab.second_source.tissue import Renewal
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

SEEN_AMPLITUDE = 0.25
"""A point counts as seen while at least this part of its echo's amplitude (-12 dB) passes what stands in the way ..."""

SEEN_IN_HAZE = 0.25
"""... and while the energy of the tissue's echoes around it is at least this part (-6 dB) of the clutter's there."""

Image = Callable[[np.ndarray, np.ndarray, Obstacles, np.random.Generator], np.ndarray]
"""(positions in mm, amplitudes, obstacles, generator of the noise) -> beamformed lines (L, S)."""


@dataclass(frozen=True)
class Clip:
    """A clip of the second source.

    Attributes:
        sequence: uint8 frames with spacing and times.
        truth: exact positions of all points; `visible` is False where they are hidden or out of the sector.
    """

    sequence: ImageSequence
    truth: PointTracks


class ProbeImage:
    """The image formation of `Probe`, with thermal noise of its elements.

    Args:
        probe: the probe.
        noise_db: level of the noise against the echoes of the first frame deep in the image (a negative number).
    """

    def __init__(self, probe: Probe, noise_db: float) -> None:
        self._probe, self._noise_db = probe, noise_db
        self._deviation: float | None = None

    def __call__(
        self, points_mm: np.ndarray, amplitudes: np.ndarray, obstacles: Obstacles, rng: np.random.Generator
    ) -> np.ndarray:
        """Returns beamformed lines (L, S) of scatterers at (N, 2)."""
        probe = self._probe
        echoes = probe.echoes(points_mm, amplitudes, obstacles)
        noise = rng.standard_normal((*echoes.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
        if self._deviation is None:
            deep = slice(int(0.7 * probe.sample_count), int(0.9 * probe.sample_count))
            of_echoes, of_noise = (np.median(np.abs(probe.beamform(one)[:, deep])) for one in (echoes, noise))
            self._deviation = float(10 ** (self._noise_db / 20) * of_echoes / of_noise)
        return probe.beamform(echoes + np.float32(self._deviation) * noise)


def make_clip(
    scene: Scene,
    probe: Probe,
    console: Console,
    name: str,
    rng: np.random.Generator,
    *,
    image: Image,
    most_scatterers: int | None = None,
    frame_count: int | None = None,
) -> Clip:
    """Simulates every frame.

    Args:
        image: see `Image`.
        most_scatterers: of each frame; the strongest are kept where the image formation is slow.
        frame_count: of the clip; None makes all that the scene has.
    """
    frame_count = len(scene.times_s) if frame_count is None else frame_count
    tissue = scene.tissue
    renewal = Renewal(np.random.default_rng(rng.integers(2**32)), tissue.flow, scene.renewed_share, scene.memory_frames)
    screen = Screen(probe, console, frame_count)
    frames, seen_each = [], []
    for frame in range(frame_count):
        points = scene.moved(tissue.points_mm, frame)
        strength = tissue.seen_strength(scene.across_mm(tissue.points_mm, frame), scene.slice_mm)
        strength = strength * scene.fade(tissue.points_mm, frame)
        haze = scene.haze.strength * (1 + scene.haze.pulse * np.sin(0.4 * frame))
        angle, distance = probe.polar(points)
        for dropout in scene.dropouts:
            strength = strength * dropout.gain(angle, distance, float(scene.breaths[frame]))
        at = scene.moved(scene.rest_points_mm, frame)
        clutter = _energy(scene.haze.points_mm, haze, at, scene.extents_mm)
        above_haze = _energy(points, strength, at, scene.extents_mm) >= SEEN_IN_HAZE * clutter
        passed = passed_amplitude(scene, probe, at, frame)
        seen_each.append(probe.sees(at) & (passed >= SEEN_AMPLITUDE) & above_haze)
        keep = (np.abs(angle) < probe.half_angle + 0.06) & (distance > 1.5) & (distance < probe.depth_mm + 2)
        keep &= strength > 1e-4
        haze_points = scene.haze.points_mm
        if most_scatterers is not None and keep.sum() > most_scatterers:
            keep &= strength >= np.partition(strength[keep], -most_scatterers)[-most_scatterers]
            thinned = max(4 * len(haze) // most_scatterers, 1)
            haze, haze_points = np.sqrt(thinned) * haze[::thinned], haze_points[::thinned]
        strength = strength * renewal.next()
        points = np.concatenate([points[keep], haze_points])
        lines = image(points, np.concatenate([strength[keep], haze]), scene.obstacles(frame), rng)
        frames.append(screen.show(lines))
    times = scene.times_s[:frame_count]
    spacing = (screen.spacing_mm, screen.spacing_mm)
    positions = np.stack([scene.moved(scene.rest_points_mm, frame) for frame in range(frame_count)])
    seen = np.stack(seen_each)
    pixels = screen.pixels(positions)
    width, height = console.size
    seen &= np.all((pixels > 1) & (pixels < [width - 2, height - 2]), axis=2)
    truth = PointTracks(
        positions_px=pixels,
        confidence=np.ones(seen.shape),
        visible=seen,
        labels=scene.labels,
        query_frame=0,
        times_s=times,
        spacing_mm=spacing,
        model="truth",
    )
    sequence = ImageSequence(np.stack(frames), spacing, times, (*screen.origin_mm, 0.0), name=name)
    return Clip(sequence, truth)


def passed_amplitude(scene: Scene, probe: Probe, points_mm: np.ndarray, frame: int) -> np.ndarray:
    """Returns the part (N,) of an echo's amplitude from points that obstacles and dropouts leave, both ways."""
    obstacles = scene.obstacles(frame)
    weights = probe.receiving_weights(points_mm)
    received = np.stack([obstacles.passed(points_mm, element) for element in probe.elements_mm])
    sent = np.mean([obstacles.passed(points_mm, source) for source in probe.sources_mm], axis=0)
    passed = sent * (weights * received).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-9)
    angle, distance = probe.polar(points_mm)
    for dropout in scene.dropouts:
        passed = passed * dropout.gain(angle, distance, float(scene.breaths[frame]))
    return passed


def _energy(
    scatterers_mm: np.ndarray, strength: np.ndarray, points_mm: np.ndarray, extents_mm: np.ndarray
) -> np.ndarray:
    """Energy of the echoes from around each of (N, 2) points."""
    tree = cKDTree(scatterers_mm)
    near = tree.query_ball_point(points_mm, extents_mm)
    return np.array([float(np.sum(strength[index] ** 2)) for index in near])
