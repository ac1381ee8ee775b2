"""Analytic motion of the heart in the probe frame: the beating ventricle with rigid motion of the whole heart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.simulation.degradation import complex_normal
from UltrasoundMotionLib.simulation.texture import random_line
from UltrasoundMotionLib.simulation.ventricle_motion import TimeCourse, Ventricle, WallState


@dataclass(frozen=True)
class Sway:
    """Rigid motion of the whole heart.

    Attributes:
        beat_mm: amplitude (x, y) of the translation with the heartbeat.
        beat_deg: amplitude of the rotation with the heartbeat.
        breath_mm: amplitude (x, y) of the translation with breathing.
        breath_period_s: length of a breath.
        breath_phase: fraction of a breath at time 0.
        drift_mm_per_s: constant translation (x, y), as of a slipping probe.
    """

    beat_mm: tuple[float, float] = (0.8, 0.5)
    beat_deg: float = 1.5
    breath_mm: tuple[float, float] = (0.8, 0.8)
    breath_period_s: float = 4.0
    breath_phase: float = 0.0
    drift_mm_per_s: tuple[float, float] = (0.0, 0.0)


class HeartMotion:
    """The map from the material (end-diastole, without sway) to the probe frame; a `TissueMotion`."""

    def __init__(
        self,
        ventricle: Ventricle,
        course: TimeCourse,
        sway: Sway,
        base_mm: tuple[float, float],
        *,
        tilt_deg: float,
        elevation: tuple[float, float],
        wander_phase: float,
    ) -> None:
        """Places a ventricle in the probe frame.

        Args:
            ventricle: the wall and its motion.
            course: the time course of a beat.
            sway: the rigid motion.
            base_mm: position of the middle of the base.
            tilt_deg: rotation that turns the apex to the right.
            elevation: amplitudes of the cyclic motion and of the slow drift out of the plane, in mm.
            wander_phase: phase of the drift, radians.
        """
        self.ventricle, self.course, self.sway = ventricle, course, sway
        self._base = np.asarray(base_mm, dtype=np.float64)
        tilt = np.deg2rad(tilt_deg)
        self._axes = np.array(
            [[np.cos(tilt), np.sin(tilt)], [np.sin(tilt), -np.cos(tilt)]]
        )  # rows: the ventricle's x and y in the probe frame
        self._elevation_cyclic, self._elevation_wander = elevation
        self._wander_phase = wander_phase
        self._states: dict[float, WallState] = {}

    def to_ventricle_frame(self, positions_mm: np.ndarray) -> np.ndarray:
        """Transforms (N, 2) positions in the probe frame to the ventricle's frame."""
        return (positions_mm - self._base) @ self._axes.T

    def to_probe_frame(self, local_mm: np.ndarray) -> np.ndarray:
        """Transforms (N, 2) positions in the ventricle's frame to the probe frame."""
        return local_mm @ self._axes + self._base

    def state(self, time_s: float) -> WallState:
        """Returns the state of the wall at a time; the latest is cached."""
        if time_s not in self._states:
            self._states = {time_s: self.ventricle.state(float(self.course.activation(time_s)))}
        return self._states[time_s]

    def apply_sway(self, positions_mm: np.ndarray, time_s: float) -> np.ndarray:
        """Applies the rigid motion at a time to (N, 2) positions in the probe frame."""
        sway = self.sway
        activation = float(self.course.activation(time_s))
        swing = np.sin(2 * np.pi * float(self.course.phase(time_s)))
        turn = np.deg2rad(sway.beat_deg) * (0.7 * activation + 0.3 * swing)
        breath = np.sin(2 * np.pi * (time_s / sway.breath_period_s + sway.breath_phase))
        shift = (
            activation * np.asarray(sway.beat_mm)
            + breath * np.asarray(sway.breath_mm)
            + time_s * np.asarray(sway.drift_mm_per_s)
        )
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        return (positions_mm - self._base) @ rotation + self._base + shift

    def carry(self, material_mm: np.ndarray) -> Callable[[float], np.ndarray]:
        """Returns a function of time for the positions of material points, in mm."""
        carried = self.ventricle.carry(self.to_ventricle_frame(np.asarray(material_mm, dtype=np.float64)))
        return lambda time_s: self.apply_sway(self.to_probe_frame(carried(self.state(time_s))), time_s)

    def elevation(self, material_mm: np.ndarray) -> Callable[[float], np.ndarray]:
        """Returns a function of time for the distances of material points from the image plane, in mm."""
        # base and apex twist in opposite directions, so they leave the plane on opposite sides
        twist = np.clip(1 - 1.5 * self.to_ventricle_frame(material_mm)[:, 1] / self.ventricle.shape.length_mm, -0.6, 1)
        start = np.sin(self._wander_phase)

        def at(time_s: float) -> np.ndarray:
            drift = self._elevation_wander * (np.sin(2 * np.pi * time_s / 6.0 + self._wander_phase) - start)
            return self._elevation_cyclic * float(self.course.activation(time_s)) * twist + drift

        return at


class Leaflets:
    """Two mitral leaflets at the base that open in diastole; they are not part of the ground truth."""

    COUNT = 700

    def __init__(self, motion: HeartMotion, amplitude: float, rng: np.random.Generator) -> None:
        """`amplitude` is the amplitude of a scatterer in 0 dB tissue."""
        self._motion = motion
        ventricle = motion.ventricle
        self._side = np.where(np.arange(self.COUNT) % 2 == 0, -1.0, 1.0)
        self._along = rng.random(self.COUNT)
        self._across = 0.45 * rng.standard_normal(self.COUNT)
        # the hinges are on the inner side of the wall's ends
        self._hinges = motion.to_probe_frame(
            ventricle.ellipse(np.full(2, ventricle.endo), np.array([-1.0, 1.0]) * ventricle.base)
        )
        self._reach = np.where(self._side < 0, 0.62, 0.46)  # the anterior leaflet is the longer one
        uneven = 1 + 0.5 * random_line(self._along + 3 * self._side, 0.2, rng)
        self._strength = complex_normal(self.COUNT, rng) * np.float32(amplitude) * uneven.astype(np.float32)

    def opening(self, time_s: float) -> float:
        """Returns the opening at a time: 0 closed, 1 fully open."""
        course = self._motion.course
        phase = float(course.phase(time_s))
        part = (phase - course.systole - 0.04) / (1 - course.systole - 0.06)
        if not 0 < part < 1:
            return 0.0
        early, late = np.exp(-(((part - 0.22) / 0.16) ** 2)), np.exp(-(((part - 0.85) / 0.1) ** 2))
        return float(min(1.0, early + 0.75 * late + 0.35) * np.sin(np.pi * min(part / 0.12, (1 - part) / 0.05, 0.5)))

    def next(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns (N, 2) positions in the probe frame at a time and (N,) complex amplitudes."""
        hinges = self._motion.to_ventricle_frame(self._motion.carry(self._hinges)(time_s))
        span = float(np.hypot(*(hinges[1] - hinges[0])))
        across = (hinges[1] - hinges[0]) / span
        upwards = np.array([-across[1], across[0]])
        direction = np.deg2rad(-14 + 84 * self.opening(time_s))
        along = self._along * self._reach * span
        bulge = 0.22 * along * (along / span) * (1 - 0.8 * self.opening(time_s)) + self._across
        inwards = -self._side * (np.cos(direction) * along - np.sin(direction) * bulge)
        up = np.sin(direction) * along + np.cos(direction) * bulge
        hinge = np.where(self._side[:, None] < 0, hinges[0], hinges[1])
        return self._motion.to_probe_frame(hinge + inwards[:, None] * across + up[:, None] * upwards), self._strength
