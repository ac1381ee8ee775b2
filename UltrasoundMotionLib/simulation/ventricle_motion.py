"""Analytic motion of a left ventricle with a strain known in closed form, in prolate spheroidal coordinates.

The wall is between two confocal ellipses (the classical model of the left ventricle, e.g. Guccione and McCulloch 1991).
With x to the side and y from the middle of the base to the apex, a material point is x = f sinh(m) sin(n), y = f
cosh(m) cos(n). At time t the mid-wall ellipse has new semi-axes, and

1. A point of the mid-wall moves along the wall so that its arc length from the apex is the integral of 1 + e(t) w(s)
   over its arc length s at end-diastole; e(t) is the global longitudinal strain, w the relative strain of its segment
   (of mean 1 over the wall). The strain is therefore exact everywhere.
2. A point off the mid-wall moves so that the volume element f^3 (sinh^2 m + sin^2 n) sinh(m) sin(n) dm dn is conserved.
   With C = cosh m this is T = C^3 / 3 - cos^2(n) C, a cubic with a closed-form root: the wall is exactly incompressible
   as a body of revolution, and thickens as it shortens.

Blood follows the endocardium, and the surroundings follow the epicardium with a displacement that decreases with the
distance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import ellipeinc

from UltrasoundMotionLib.errors import InputError

SEGMENT_COUNT = 6
_TABLE_SIZE = 2049
_FADE_END_ANGLE = np.deg2rad(142)  # below the base the displacement decreases to 0 at this angle
_APICAL_MOTION = 0.12  # fraction of the wall's shortening that moves the apex


@dataclass(frozen=True)
class TimeCourse:
    """Activation over a cycle, 0 at end-diastole and 1 at end-systole: ejection, fast filling, diastasis, atrial kick.

    Attributes:
        period_s: length of a cycle.
        systole: end-systole, as a fraction of the cycle.
        diastasis: activation in mid-diastole, before the atrial kick.
        start: fraction of the cycle at time 0.
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
        """Returns the phase of the cycle, 0 (end-diastole) to 1."""
        return np.mod(np.asarray(time_s) / self.period_s + self.start, 1.0)

    def activation(self, time_s: np.ndarray | float) -> np.ndarray:
        """Returns the activation, 0 to 1, smooth and periodic."""
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
        half_width_mm: half width of the mid-wall at its widest.
        length_mm: distance from the widest part to the mid-wall's apex.
        thickness_mm: thickness of the wall at its widest (it is thinner at the apex).
        base_angle_deg: prolate angle at which the wall ends; 90 is the widest part.
    """

    half_width_mm: float = 25.0
    length_mm: float = 78.0
    thickness_mm: float = 9.0
    base_angle_deg: float = 96.0


def _half_ellipse_arc(width: float, length: float, angle: np.ndarray) -> np.ndarray:
    """Returns the signed arc length from the apex (angle 0) of x = width sin(angle), y = length cos(angle).

    `width` is less than `length`.
    """
    parameter = 1 - (width / length) ** 2
    return length * (ellipeinc(np.pi / 2, parameter) - ellipeinc(np.pi / 2 - angle, parameter))


@dataclass(frozen=True)
class WallState:
    """The wall at one time, tabulated over the material angle n (-base to base).

    The symbols are those of the module's docstring.
    """

    focus_mm: float
    cosh_mid: float
    shift_mm: float
    angle: np.ndarray
    volume: np.ndarray


class Ventricle:
    """Motion of the heart in the ventricle's frame (x to the side, y from base to apex, mm).

    Material positions are those at end-diastole.
    """

    def __init__(self, shape: VentricleShape, peak_strain: float, segment_scales: tuple[float, ...]) -> None:
        """Prepares the tables of the mid-wall.

        Args:
            shape: the wall at end-diastole.
            peak_strain: global longitudinal strain at end-systole, a fraction (-0.18).
            segment_scales: six relative strains, from the left base over the apex to the right base.

        Raises:
            InputError: impossible values, or values that would close the cavity.
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
            raise InputError(f"the ventricle's shape is impossible: {shape}")
        self.shape, self.peak_strain = shape, peak_strain
        self.focus = float(np.sqrt(shape.length_mm**2 - shape.half_width_mm**2))
        self.mid = float(np.arctanh(shape.half_width_mm / shape.length_mm))
        half = shape.thickness_mm / 2 / shape.length_mm  # f cosh(m) dm at the widest part
        self.endo, self.epi = self.mid - half, self.mid + half
        self.base = np.deg2rad(shape.base_angle_deg)
        self._angles = np.linspace(-self.base, self.base, _TABLE_SIZE)
        self._arc = _half_ellipse_arc(shape.half_width_mm, shape.length_mm, self._angles)
        self.segment_edges_mm = np.linspace(self._arc[0], self._arc[-1], SEGMENT_COUNT + 1)
        self._weight, self._weight_integral = self._segment_weights(np.asarray(segment_scales, dtype=np.float64))
        if np.any(1 + peak_strain * self._weight <= 0.3):
            raise InputError(f"segment_scales {segment_scales} ask for a segment shortened by more than 70 percent")
        state = self.state(1.0)
        inner = self._volume_of(np.cosh(self.endo), self._angles) - self._volume_of(np.cosh(self.mid), self._angles)
        at_one = 1 / 3 - np.cos(state.angle) ** 2
        if np.any(self._volume_of(state.cosh_mid, state.angle) + state.volume * inner <= at_one + 1e-6):
            raise InputError(
                f"a wall of {shape.thickness_mm:g} mm closes the cavity at {100 * peak_strain:g} percent strain: "
                "make it thinner"
            )

    def _segment_weights(self, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the relative strain over the wall and its integral from the apex, at the angles of the table.

        The strain changes smoothly between segments.
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
        """Returns the material angles n at signed arc lengths (mm) from the apex along the mid-wall at end-diastole."""
        angle = np.interp(arc_mm, self._arc, self._angles)
        for _ in range(4):
            angle -= (_half_ellipse_arc(self.shape.half_width_mm, self.shape.length_mm, angle) - arc_mm) / self._speed(
                angle
            )
        return angle

    def _speed(self, angle: np.ndarray) -> np.ndarray:
        """Returns d arc / d angle of the mid-wall at end-diastole."""
        return np.hypot(self.shape.half_width_mm * np.cos(angle), self.shape.length_mm * np.sin(angle))

    def segment_strain(self, strain: np.ndarray) -> np.ndarray:
        """Returns the strain (T, 6) of each segment of the mid-wall for a global strain (T,)."""
        at_edges = np.interp(self.segment_edges_mm, self._arc, self._weight_integral)
        return np.asarray(strain)[:, None] * np.diff(at_edges) / np.diff(self.segment_edges_mm)

    @staticmethod
    def _volume_of(cosh: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
        return cosh**3 / 3 - np.cos(angle) ** 2 * cosh

    def state(self, activation: float) -> WallState:
        """Returns the wall at a global longitudinal strain of `activation` times its peak."""
        strain = activation * self.peak_strain
        width, length = self.shape.half_width_mm * (1 + 0.6 * strain), self.shape.length_mm * (1 + 1.04 * strain)
        focus = float(np.sqrt(length**2 - width**2))
        wanted = self._arc + strain * self._weight_integral
        angle = self._angles.copy()
        for _ in range(8):  # Newton; the arc length is smooth and monotonic
            speed = np.hypot(width * np.cos(angle), length * np.sin(angle))
            step = (_half_ellipse_arc(width, length, angle) - wanted) / speed
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
        shift = (1 - _APICAL_MOTION) * (self.focus * np.cosh(self.epi) - apex)
        return WallState(focus, state.cosh_mid, float(shift), angle, state.volume)

    def _wall(self, state: WallState, radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Returns (N, 2) positions of wall points with material coordinates (m, n)."""
        index = (angle + self.base) * ((_TABLE_SIZE - 1) / (2 * self.base))
        first = np.clip(index.astype(np.int64), 0, _TABLE_SIZE - 2)
        part = index - first
        new_angle = state.angle[first] * (1 - part) + state.angle[first + 1] * part
        ratio = state.volume[first] * (1 - part) + state.volume[first + 1] * part
        volume = self._volume_of(np.cosh(radius), angle) - self._volume_of(np.cosh(self.mid), angle)
        target = self._volume_of(state.cosh_mid, new_angle) + ratio * volume
        cosine = np.cos(new_angle)
        c = np.maximum(np.abs(cosine), 1e-6)
        root = 1.5 * target / c**3
        one_root, three_roots = np.arccosh(np.maximum(root, 1)), np.arccos(np.clip(root, -1, 1))
        cosh = 2 * c * np.where(root >= 1, np.cosh(one_root / 3), np.cos(three_roots / 3))
        sinh = np.sqrt(np.maximum(cosh**2 - 1, 0))
        return np.stack(
            [state.focus_mm * sinh * np.sin(new_angle), state.focus_mm * cosh * cosine + state.shift_mm], axis=-1
        )

    def ellipse(self, radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Returns (N, 2) material positions with coordinates (m, n)."""
        return np.stack(
            [self.focus * np.sinh(radius) * np.sin(angle), self.focus * np.cosh(radius) * np.cos(angle)], axis=-1
        )

    def coordinates(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns m (>= 0) and n (-pi to pi, negative on the left) of (N, 2) material positions."""
        coordinates = np.arccosh((positions[:, 1] + 1j * positions[:, 0]) / self.focus)
        sign = np.where(coordinates.real < 0, -1.0, 1.0)
        return coordinates.real * sign, coordinates.imag * sign

    def is_wall(self, positions: np.ndarray) -> np.ndarray:
        """Returns True for (N, 2) material positions in the wall; (N,) bool."""
        radius, angle = self.coordinates(positions)
        return (radius >= self.endo) & (radius <= self.epi) & (np.abs(angle) <= self.base)

    def carry(self, positions: np.ndarray) -> Callable[[WallState], np.ndarray]:
        """Returns a function from the state of the wall to the positions (N, 2) of material points."""
        radius, angle = self.coordinates(positions)
        on_wall = np.clip(angle, -self.base, self.base)
        fade = np.clip((_FADE_END_ANGLE - np.abs(angle)) / (_FADE_END_ANGLE - self.base), 0, 1)
        fade = fade**2 * (3 - 2 * fade)
        wall_index = np.flatnonzero((radius >= self.endo) & (radius <= self.epi) & (fade > 0))
        blood_index = np.flatnonzero(radius < self.endo)
        outside_index = np.flatnonzero((radius > self.epi) & (fade > 0))
        reach = 0.42 - 0.2 * np.sin(
            angle[outside_index]
        )  # the displacement reaches further into the right heart, on the left
        outside_fade = (np.exp(-(((radius[outside_index] - self.epi) / reach) ** 2)) * fade[outside_index])[:, None]
        inside = (radius[blood_index] / self.endo)[:, None]
        wall_fade = fade[wall_index, None]
        wall_radius, wall_angle = radius[wall_index], on_wall[wall_index]
        wall_from = self.ellipse(wall_radius, wall_angle)
        table_endo = self.ellipse(np.full(_TABLE_SIZE, self.endo), self._angles)
        table_epi = self.ellipse(np.full(_TABLE_SIZE, self.epi), self._angles)

        def at(state: WallState) -> np.ndarray:
            """Returns the positions for a state of the wall, (N, 2)."""
            moved = positions.copy()
            if len(wall_index):
                moved[wall_index] += wall_fade * (self._wall(state, wall_radius, wall_angle) - wall_from)
            if len(outside_index):
                epi = self._wall(state, np.full(_TABLE_SIZE, self.epi), self._angles) - table_epi
                moved[outside_index] += outside_fade * self._from_table(epi, on_wall[outside_index])
            if len(blood_index):
                endo = self._wall(state, np.full(_TABLE_SIZE, self.endo), self._angles) - table_endo
                here = self._from_table(endo, on_wall[blood_index])
                mirrored = self._from_table(endo, -on_wall[blood_index])
                moved[blood_index] += fade[blood_index, None] * (inside * here + (1 - inside) * (here + mirrored) / 2)
            return moved

        return at

    def _from_table(self, table: np.ndarray, angle: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(angle, self._angles, table[:, axis]) for axis in range(2)], axis=-1)
