"""Image degradation: decorrelation, out-of-plane motion, shadows, haze and noise, in four graded presets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.simulation.scanner import Scanner


@dataclass(frozen=True)
class Degradation:
    """Image degradation of a clip.

    Attributes:
        decorrelated_fraction: fraction of the tissue's backscattered power whose scatterers change at random.
        decorrelation_time_s: time after which that fraction has an autocorrelation of 1/e.
        elevation_cyclic_mm: amplitude of the out-of-plane motion in phase with the heartbeat or the breath.
        elevation_wander_mm: amplitude of the slow out-of-plane drift, over several beats or breaths.
        shadow_count: number of acoustic shadows (ribs, lung) that sweep over the sector.
        shadow_attenuation_db: their attenuation.
        shadow_width_deg: their width.
        shadow_sway_deg: amplitude of their sweep to each side.
        haze_db: level of static reverberation near the probe, relative to tissue.
        noise_db: level of electronic noise at the bottom of the sector, relative to tissue.

    Raises:
        InputError: a value out of range, naming it.
    """

    decorrelated_fraction: float = 0.1
    decorrelation_time_s: float = 0.5
    elevation_cyclic_mm: float = 0.4
    elevation_wander_mm: float = 0.2
    shadow_count: int = 0
    shadow_attenuation_db: float = 20.0
    shadow_width_deg: float = 7.0
    shadow_sway_deg: float = 4.0
    haze_db: float = -8.0
    noise_db: float = -28.0

    def __post_init__(self) -> None:
        limits = {
            "decorrelated_fraction": (0, 1), "decorrelation_time_s": (1e-3, 1e4), "elevation_cyclic_mm": (0, 20),
            "elevation_wander_mm": (0, 20), "shadow_count": (0, 10), "shadow_attenuation_db": (0, 80),
            "shadow_width_deg": (0.5, 60), "shadow_sway_deg": (0, 90), "haze_db": (-120, 30), "noise_db": (-120, 30),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")


DIFFICULTIES: dict[str, Degradation] = {
    "easy": Degradation(
        decorrelated_fraction=0.05,
        decorrelation_time_s=0.5,
        elevation_cyclic_mm=0.2,
        elevation_wander_mm=0.1,
        shadow_count=0,
        shadow_attenuation_db=20,
        shadow_width_deg=7,
        shadow_sway_deg=4,
        haze_db=-14,
        noise_db=-32,
    ),
    "moderate": Degradation(
        decorrelated_fraction=0.25,
        decorrelation_time_s=0.4,
        elevation_cyclic_mm=0.8,
        elevation_wander_mm=0.5,
        shadow_count=1,
        shadow_attenuation_db=10,
        shadow_width_deg=7,
        shadow_sway_deg=4,
        haze_db=-8,
        noise_db=-27,
    ),
    "hard": Degradation(
        decorrelated_fraction=0.45,
        decorrelation_time_s=0.25,
        elevation_cyclic_mm=1.6,
        elevation_wander_mm=1.1,
        shadow_count=1,
        shadow_attenuation_db=18,
        shadow_width_deg=9,
        shadow_sway_deg=8,
        haze_db=-3,
        noise_db=-21,
    ),
    "extreme": Degradation(
        decorrelated_fraction=0.65,
        decorrelation_time_s=0.15,
        elevation_cyclic_mm=2.3,
        elevation_wander_mm=1.7,
        shadow_count=2,
        shadow_attenuation_db=26,
        shadow_width_deg=11,
        shadow_sway_deg=12,
        haze_db=1,
        noise_db=-15,
    ),
}


def degradation_preset(difficulty: str) -> Degradation:
    """Returns a preset of `DIFFICULTIES`.

    Raises:
        InputError: an unknown name.
    """
    if difficulty not in DIFFICULTIES:
        raise InputError(f"difficulty must be one of {', '.join(DIFFICULTIES)}, got {difficulty}")
    return DIFFICULTIES[difficulty]


@dataclass(frozen=True)
class Shadow:
    """An acoustic shadow: a wedge of attenuation along the beams with an oscillating angle.

    Attributes:
        angle: mean angle of its middle, radians.
        half_width: angle from the middle at which the attenuation is half, radians.
        edge: width of its soft edges, radians.
        start_mm: depth at which it starts.
        attenuation_db: loss inside.
        sway, period_s, phase: its middle is at angle + sway sin(2 pi t / period_s + phase).
    """

    angle: float
    half_width: float
    edge: float
    start_mm: float
    attenuation_db: float
    sway: float = 0.0
    period_s: float = 1.0
    phase: float = 0.0

    def loss_db(self, depth_mm: np.ndarray, angle: np.ndarray, time_s: float) -> np.ndarray:
        """Returns the loss in dB at positions in the beam domain."""
        middle = self.angle + self.sway * np.sin(2 * np.pi * time_s / self.period_s + self.phase)
        across = 1 / (1 + np.exp((np.abs(angle - middle) - self.half_width) / self.edge))
        along = 1 / (1 + np.exp(-(depth_mm - self.start_mm) / 3.0))
        return self.attenuation_db * across * along


def draw_shadows(
    degradation: Degradation, half_angle: float, period_s: float, rng: np.random.Generator
) -> tuple[Shadow, ...]:
    """Draws the shadows of a preset at random angles; each oscillates with a period of about `period_s`."""
    shadows = []
    for _ in range(degradation.shadow_count):
        width = np.deg2rad(degradation.shadow_width_deg) * rng.uniform(0.8, 1.2)
        shadows.append(
            Shadow(
                angle=half_angle * rng.uniform(-0.6, 0.6),
                half_width=width / 2,
                edge=np.deg2rad(0.8),
                start_mm=rng.uniform(5, 12),
                attenuation_db=degradation.shadow_attenuation_db,
                sway=np.deg2rad(degradation.shadow_sway_deg) * rng.uniform(0.7, 1.3),
                period_s=period_s * rng.uniform(0.9, 1.6),
                phase=rng.uniform(0, 2 * np.pi),
            )
        )
    return tuple(shadows)


class Clutter:
    """Additive clutter: static haze near the probe, and electronic noise, drawn anew for each frame."""

    def __init__(self, scanner: Scanner, degradation: Degradation, rng: np.random.Generator) -> None:
        depth = scanner.depths_mm[:, None]
        noise_db = degradation.noise_db - 14 * (1 - depth / scanner.imaging.depth_mm)
        self._noise = (0.5 * 10 ** (noise_db / 20)).astype(np.float32)
        profile = np.exp(-np.maximum(depth, 0) / 22.0)
        for echo_mm in rng.uniform(4, 30, size=3):  # reverberation between the probe and layers near it
            profile = profile + rng.uniform(0.3, 1.0) * np.exp(-echo_mm / 15) * np.exp(
                -0.5 * ((depth - echo_mm) / 0.8) ** 2
            )
        haze = (10 ** (degradation.haze_db / 20) * profile).astype(np.float32)
        self._haze = [haze * look for look in scanner.focus(complex_normal(scanner.shape, rng))]
        self._rng = rng

    def next(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns (haze, noise) of the next frame for each look, both (R, B) complex64.

        Haze is added before `Scanner.receive` (the convolution along the beam), noise after it.
        """
        rows, beams = self._haze[0].shape
        looks = []
        for haze in self._haze:
            noise = complex_normal((rows + 1, beams + 1), self._rng)
            noise = noise[:-1] + noise[1:]  # the receiver's bandwidth is twice the pulse's
            looks.append((haze, self._noise * (noise[:, :-1] + noise[:, 1:])))  # neighbouring beams share channels
        return looks


def complex_normal(shape: tuple[int, ...] | int, rng: np.random.Generator) -> np.ndarray:
    """Draws circular complex Gaussian numbers of unit power, complex64."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return (rng.standard_normal((*shape, 2), dtype=np.float32) * np.float32(np.sqrt(0.5))).view(np.complex64)[..., 0]
