"""A left ventricle that beats with a strain known in closed form, in prolate spheroidal coordinates.

The wall lies between two confocal ellipses (the classical model of the left ventricle, e.g. Guccione and McCulloch
1991). With x to the side and y from the middle of the base to the apex, a material point is x = f sinh(m) sin(n), y = f
cosh(m) cos(n). At time t the mid-wall ellipse has new semi-axes, and

1. a point of the mid-wall moves along it so that its distance from the apex along the wall is the integral of 1 + e(t)
w(s) over the distance s
   it had at end-diastole: e(t) is the global longitudinal strain, w the relative strain of its segment (of mean 1 over
   the wall). So strain is exact, everywhere.
2. a point off the mid-wall moves so that the volume element f^3 (sinh^2 m + sin^2 n) sinh(m) sin(n) dm dn is conserved.
With C = cosh m this is
   T = C^3 / 3 - cos^2(n) C, a cubic with a closed-form root: the wall is exactly incompressible as a body of
   revolution, and thickens as it shortens.

Blood follows the endocardium, and the surroundings follow the epicardium with a displacement that fades away from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import ellipeinc

from UltrasoundMotionLib.errors import InputError

SEGMENT_COUNT = 6
TABLE_SIZE = 2049
FADE_END_ANGLE = np.deg2rad(142)  # below the base the displacement fades out until here
APICAL_MOTION = 0.12  # part of the wall's shortening that is seen as motion of the apex


@dataclass(frozen=True)
class TimeCourse:
    """Activation over a cycle, 0 at end-diastole and 1 at end-systole: ejection, fast filling, diastasis, atrial kick.

    Attributes:
        period_s: length of a cycle.
        systole: end-systole, as a part of the cycle.
        diastasis: activation left in mid-diastole, which the atrial kick takes away.
        start: part of the cycle at which time 0 lies.
    """

    period_s: float = 0.9
    systole: float = 0.36
    diastasis: float = 0.2
    start: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("period_s", 0.2, 5), ("systole", 0.15, 0.7), ("diastasis", 0, 0.6), ("start", -1, 1)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")

    def phase(self, time_s: np.ndarray | float) -> np.ndarray:
        """Place in the cycle, 0 (end-diastole) to 1."""
        return np.mod(np.asarray(time_s) / self.period_s + self.start, 1.0)

    def activation(self, time_s: np.ndarray | float) -> np.ndarray:
        """0 to 1; smooth and exactly periodic."""
        es = self.systole
        rest = 1 - es
        knots = [
            0.0,
            0.04,
            0.5 * es,
            0.85 * es,
            es,
            es + 0.08 * rest,
            es + 0.3 * rest,
            es + 0.45 * rest,
            es + 0.66 * rest,
            es + 0.86 * rest,
            1.0,
        ]
        values = [
            0.0,
            0.01,
            0.58,
            0.97,
            1.0,
            0.94,
            self.diastasis + 0.12,
            self.diastasis,
            0.95 * self.diastasis,
            0.04,
            0.0,
        ]
        return PchipInterpolator(knots, values)(self.phase(time_s))


@dataclass(frozen=True)
class VentricleShape:
    """The wall at end-diastole.

    Attributes:
        half_width_mm: of the mid-wall at its widest.
        length_mm: from the widest place to the mid-wall's apex.
        thickness_mm: of the wall at its widest (it is thinner at the apex, as real ones are).
        base_angle_deg: prolate angle at which the wall ends, 90 being the widest place.
    """

    half_width_mm: float = 25.0
    length_mm: float = 78.0
    thickness_mm: float = 9.0
    base_angle_deg: float = 96.0


def half_ellipse_arc(width: float, length: float, angle: np.ndarray) -> np.ndarray:
    """Signed arc length from the apex (angle 0) of x = width sin(angle), y = length cos(angle); width < length."""
    parameter = 1 - (width / length) ** 2
    return length * (ellipeinc(np.pi / 2, parameter) - ellipeinc(np.pi / 2 - angle, parameter))


@dataclass(frozen=True)
class WallState:
    """The wall at one time, tabulated over the material angle n (-base to base): see the module's text for the symbols."""

    focus_mm: float
    cosh_mid: float
    shift_mm: float
    angle: np.ndarray
    volume: np.ndarray


class Ventricle:
    """Motion of the heart in its own frame: (x to the side, y from base to apex) in mm, material places as at
    end-diastole.
    """

    def __init__(self, shape: VentricleShape, peak_strain: float, segment_scales: tuple[float, ...]) -> None:
        """`peak_strain` is a fraction (-0.18); `segment_scales` has six relative strains, from the left base over the
        apex to the right base.

        Raises:
            InputError: values that no wall can have, or that would close the cavity.
        """
        if len(segment_scales) != SEGMENT_COUNT or not np.all(np.isfinite(segment_scales)) or sum(segment_scales) <= 0:
            raise InputError(
                f"segment_scales must be {SEGMENT_COUNT} numbers with a positive mean, got {segment_scales}"
            )
        if not -0.3 <= peak_strain <= 0:
            raise InputError(f"the strain must lie between -30 and 0 percent, got {100 * peak_strain:g}")
        if (
            not 0 < shape.thickness_mm < shape.half_width_mm < 0.8 * shape.length_mm
            or not 80 <= shape.base_angle_deg <= 110
        ):
            raise InputError(f"no such ventricle: {shape}")
        self.shape, self.peak_strain = shape, peak_strain
        self.focus = float(np.sqrt(shape.length_mm**2 - shape.half_width_mm**2))
        self.mid = float(np.arctanh(shape.half_width_mm / shape.length_mm))
        half = shape.thickness_mm / 2 / shape.length_mm  # f cosh(m) dm at the widest place
        self.endo, self.epi = self.mid - half, self.mid + half
        self.base = np.deg2rad(shape.base_angle_deg)
        self._angles = np.linspace(-self.base, self.base, TABLE_SIZE)
        self._arc = half_ellipse_arc(shape.half_width_mm, shape.length_mm, self._angles)
        self.segment_edges_mm = np.linspace(self._arc[0], self._arc[-1], SEGMENT_COUNT + 1)
        self._weight, self._weight_integral = self._segment_weights(np.asarray(segment_scales, dtype=np.float64))
        if np.any(1 + peak_strain * self._weight <= 0.3):
            raise InputError(f"segment_scales {segment_scales} ask for a segment shortened by more than 70 percent")
        state = self.state(1.0)
        inner = self._volume_of(np.cosh(self.endo), self._angles) - self._volume_of(np.cosh(self.mid), self._angles)
        at_one = 1 / 3 - np.cos(state.angle) ** 2
        if np.any(self._volume_of(state.cosh_mid, state.angle) + state.volume * inner <= at_one + 1e-6):
            raise InputError(
                f"a wall of {shape.thickness_mm:g} mm closes the cavity at {100 * peak_strain:g} percent strain: make it thinner"
            )

    def _segment_weights(self, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Relative strain over the wall, smooth from segment to segment, and its integral from the apex; both on the
        table's angles.
        """
        edges = self.segment_edges_mm
        fine = np.linspace(edges[0], edges[-1], 20001)
        soft = 0.15 * (edges[1] - edges[0])
        weight = np.full_like(fine, scales[0])
        for edge, before, after in zip(edges[1:-1], scales[:-1], scales[1:], strict=True):
            part = np.clip((fine - edge) / (2 * soft) + 0.5, 0, 1)
            weight += (after - before) * part**2 * (3 - 2 * part)
        integral = np.concatenate([[0], np.cumsum((weight[1:] + weight[:-1]) / 2) * (fine[1] - fine[0])])
        mean = integral[-1] / (fine[-1] - fine[0])
        weight, integral = weight / mean, integral / mean
        integral -= np.interp(0.0, fine, integral)
        return np.interp(self._arc, fine, weight), np.interp(self._arc, fine, integral)

    def mid_wall_angles(self, arc_mm: np.ndarray) -> np.ndarray:
        """Material angles n at signed distances (mm) from the apex along the mid-wall at end-diastole."""
        angle = np.interp(arc_mm, self._arc, self._angles)
        for _ in range(4):
            angle -= (half_ellipse_arc(self.shape.half_width_mm, self.shape.length_mm, angle) - arc_mm) / self._speed(
                angle
            )
        return angle

    def _speed(self, angle: np.ndarray) -> np.ndarray:
        """d arc / d angle of the mid-wall at end-diastole."""
        return np.hypot(self.shape.half_width_mm * np.cos(angle), self.shape.length_mm * np.sin(angle))

    def segment_strain(self, strain: np.ndarray) -> np.ndarray:
        """(T, 6) strain of each segment of the mid-wall when the global one is (T,)."""
        at_edges = np.interp(self.segment_edges_mm, self._arc, self._weight_integral)
        return np.asarray(strain)[:, None] * np.diff(at_edges) / np.diff(self.segment_edges_mm)

    @staticmethod
    def _volume_of(cosh: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
        return cosh**3 / 3 - np.cos(angle) ** 2 * cosh

    def state(self, activation: float) -> WallState:
        """The wall when the global longitudinal strain is `activation` times its peak."""
        strain = activation * self.peak_strain
        width, length = self.shape.half_width_mm * (1 + 0.6 * strain), self.shape.length_mm * (1 + 1.04 * strain)
        focus = float(np.sqrt(length**2 - width**2))
        wanted = self._arc + strain * self._weight_integral
        angle = self._angles.copy()
        for _ in range(8):  # Newton; the arc length is smooth and monotonic
            speed = np.hypot(width * np.cos(angle), length * np.sin(angle))
            step = (half_ellipse_arc(width, length, angle) - wanted) / speed
            angle -= step
            if np.max(np.abs(step)) < 1e-8:  # the next step would be its square
                break
        speed = np.hypot(width * np.cos(angle), length * np.sin(angle))
        turn = (1 + strain * self._weight) * self._speed(self._angles) / speed  # d angle / d material angle
        sine = np.sin(angle)
        centre = np.abs(self._angles) < 1e-9
        ratio = np.where(centre, 1 / turn, np.sin(self._angles) / np.where(centre, 1.0, sine)) / turn
        state = WallState(focus, length / focus, 0.0, angle, (self.focus / focus) ** 3 * ratio)
        apex = self._wall(state, np.array([self.epi]), np.array([0.0]))[0, 1]
        shift = (1 - APICAL_MOTION) * (self.focus * np.cosh(self.epi) - apex)
        return WallState(focus, state.cosh_mid, float(shift), angle, state.volume)

    def _wall(self, state: WallState, radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """(N, 2) places of wall points of material coordinates (m, n)."""
        place = (angle + self.base) * ((TABLE_SIZE - 1) / (2 * self.base))
        first = np.clip(place.astype(np.int64), 0, TABLE_SIZE - 2)
        part = place - first
        new_angle = state.angle[first] * (1 - part) + state.angle[first + 1] * part
        ratio = state.volume[first] * (1 - part) + state.volume[first + 1] * part
        volume = self._volume_of(np.cosh(radius), angle) - self._volume_of(np.cosh(self.mid), angle)
        target = self._volume_of(state.cosh_mid, new_angle) + ratio * volume
        cosine = np.cos(new_angle)
        c = np.maximum(np.abs(cosine), 1e-6)
        root = 1.5 * target / c**3
        cosh = (
            2
            * c
            * np.where(
                root >= 1, np.cosh(np.arccosh(np.maximum(root, 1)) / 3), np.cos(np.arccos(np.clip(root, -1, 1)) / 3)
            )
        )
        sinh = np.sqrt(np.maximum(cosh**2 - 1, 0))
        return np.stack(
            [state.focus_mm * sinh * np.sin(new_angle), state.focus_mm * cosh * cosine + state.shift_mm], axis=-1
        )

    def ellipse(self, radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """(N, 2) material places of coordinates (m, n)."""
        return np.stack(
            [self.focus * np.sinh(radius) * np.sin(angle), self.focus * np.cosh(radius) * np.cos(angle)], axis=-1
        )

    def coordinates(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """m (>= 0) and n (-pi to pi, negative on the left) of (N, 2) material places."""
        complex_place = np.arccosh((places[:, 1] + 1j * places[:, 0]) / self.focus)
        sign = np.where(complex_place.real < 0, -1.0, 1.0)
        return complex_place.real * sign, complex_place.imag * sign

    def is_wall(self, places: np.ndarray) -> np.ndarray:
        """(N,) bool: which (N, 2) material places lie in the wall."""
        radius, angle = self.coordinates(places)
        return (radius >= self.endo) & (radius <= self.epi) & (np.abs(angle) <= self.base)

    def carry(self, places: np.ndarray) -> Callable[[WallState], np.ndarray]:
        """Prepares (N, 2) material places; the result gives their (N, 2) places in a state of the wall."""
        radius, angle = self.coordinates(places)
        on_wall = np.clip(angle, -self.base, self.base)
        fade = np.clip((FADE_END_ANGLE - np.abs(angle)) / (FADE_END_ANGLE - self.base), 0, 1)
        fade = fade**2 * (3 - 2 * fade)
        wall_index = np.flatnonzero((radius >= self.endo) & (radius <= self.epi) & (fade > 0))
        blood_index = np.flatnonzero(radius < self.endo)
        outside_index = np.flatnonzero((radius > self.epi) & (fade > 0))
        reach = 0.42 - 0.2 * np.sin(angle[outside_index])  # the right heart, on the left, is drawn along further
        outside_fade = (np.exp(-(((radius[outside_index] - self.epi) / reach) ** 2)) * fade[outside_index])[:, None]
        inside = (radius[blood_index] / self.endo)[:, None]
        wall_fade = fade[wall_index, None]
        wall_radius, wall_angle = radius[wall_index], on_wall[wall_index]
        wall_from = self.ellipse(wall_radius, wall_angle)
        table_endo = self.ellipse(np.full(TABLE_SIZE, self.endo), self._angles)
        table_epi = self.ellipse(np.full(TABLE_SIZE, self.epi), self._angles)

        def at(state: WallState) -> np.ndarray:
            moved = places.copy()
            if len(wall_index):
                moved[wall_index] += wall_fade * (self._wall(state, wall_radius, wall_angle) - wall_from)
            if len(outside_index):
                epi = self._wall(state, np.full(TABLE_SIZE, self.epi), self._angles) - table_epi
                moved[outside_index] += outside_fade * self._from_table(epi, on_wall[outside_index])
            if len(blood_index):
                endo = self._wall(state, np.full(TABLE_SIZE, self.endo), self._angles) - table_endo
                here, mirrored = (
                    self._from_table(endo, on_wall[blood_index]),
                    self._from_table(endo, -on_wall[blood_index]),
                )
                moved[blood_index] += fade[blood_index, None] * (inside * here + (1 - inside) * (here + mirrored) / 2)
            return moved

        return at

    def _from_table(self, table: np.ndarray, angle: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(angle, self._angles, table[:, axis]) for axis in range(2)], axis=-1)
