"""Frames of a clip in the space of a volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.volume import Volume

MIRROR = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From LPS to RAS, and back."""

SCALE_TOLERANCE = 0.01
SPACING_TOLERANCE = 0.02
_ANGLE_TOLERANCE_DEG = 0.5


@dataclass(frozen=True, eq=False)
class Placement:
    """The place of each frame of a clip in a volume.

    Attributes:
        pixel_to_ras: (T, 4, 4), from (x, y, 0, 1) in pixels to the volume's RAS mm; NaN for frames without a place.
        method: "matrix", "landmarks" or "tracking".
        notes: what a user should know of it, one line each.
    """

    pixel_to_ras: np.ndarray
    method: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        matrices = np.array(self.pixel_to_ras, dtype=np.float64)
        if matrices.ndim != 3 or matrices.shape[1:] != (4, 4):
            raise InputError(f"pixel_to_ras must be (T, 4, 4), got {matrices.shape}")
        matrices.setflags(write=False)
        object.__setattr__(self, "pixel_to_ras", matrices)

    @property
    def placed(self) -> np.ndarray:
        """(T,) bool: frames that have a place."""
        return np.isfinite(self.pixel_to_ras).all(axis=(1, 2))

    @property
    def moving(self) -> bool:
        """True where frames lie at different places."""
        matrices = self.pixel_to_ras[self.placed]
        return bool(len(matrices) and np.abs(matrices - matrices[0]).max() > 1e-9)

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """The size of a pixel where it was placed, (x, y)."""
        first = self.pixel_to_ras[int(np.argmax(self.placed))]
        width, height = (float(np.linalg.norm(first[:3, axis])) for axis in (0, 1))
        return width, height

    def points_ras(self, positions_px: np.ndarray) -> np.ndarray:
        """Returns points (T, N, 2) px as (T, N, 3) RAS mm; NaN where the point or its frame has no place."""
        positions = np.asarray(positions_px, dtype=np.float64)
        plane = self.pixel_to_ras[:, None, :3, :2] @ positions[..., None]
        return plane[..., 0] + self.pixel_to_ras[:, None, :3, 3]

    def clip_to_volume(self, sequence: ImageSequence) -> np.ndarray:
        """Returns the transforms (T, 4, 4) from the clip's own RAS mm, as Slicer shows it, to the volume's."""
        return self.pixel_to_ras @ np.linalg.inv(clip_pixel_to_ras(sequence))


def clip_pixel_to_ras(sequence: ImageSequence) -> np.ndarray:
    """Returns the matrix (4, 4) from (x, y, 0) px to the clip's own RAS mm, as Slicer shows it: where the pixel size is
    unknown, a pixel is 1 mm.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = sequence.direction * np.array([*(sequence.spacing_mm or (1.0, 1.0)), 1.0])
    matrix[:3, 3] = sequence.origin_mm
    return MIRROR @ matrix


def check_rigid(matrix: np.ndarray, where: str, hint: str = "") -> None:
    """Checks that a matrix (4, 4) turns and moves only.

    Raises:
        InputError: it is not finite, scales, shears, mirrors or projects; `where` begins the message, `hint` ends it.
    """
    check_affine(matrix, where)
    turn = matrix[:3, :3]
    scale = np.linalg.norm(turn, axis=0)
    more = f"; {hint}" if hint else ""
    if np.abs(scale - 1).max() > SCALE_TOLERANCE:
        shown = " x ".join(f"{value:.4g}" for value in scale)
        raise InputError(f"{where}: scales by {shown}, so it is no rigid transform{more}")
    worst = _worst_angle(turn / scale)
    if worst > _ANGLE_TOLERANCE_DEG:
        raise InputError(f"{where}: its axes stand at {90 - worst:.1f} degrees, so it is no rigid transform")
    if np.linalg.det(turn) < 0:
        raise InputError(f"{where}: mirrors (its determinant is negative), which no rigid transform does")


def check_affine(matrix: np.ndarray, where: str, *, plane: bool = False) -> None:
    """Checks that a matrix (4, 4) is finite and invertible, with the last row 0 0 0 1.

    Args:
        plane: only the image's two axes count.

    Raises:
        InputError: it is not; `where` begins the message.
    """
    if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)):
        raise InputError(f"{where}: expected 4 x 4 finite numbers")
    if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
        shown = " ".join(f"{value:g}" for value in matrix[3])
        hint = "; is it transposed?" if np.allclose(matrix[:, 3], [0, 0, 0, 1], atol=1e-6) else ""
        raise InputError(f"{where}: the last row is {shown}, expected 0 0 0 1{hint}")
    lengths = np.linalg.norm(matrix[:3, : 2 if plane else 3], axis=0)
    if lengths.min() < 1e-9 or (not plane and abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6):
        raise InputError(f"{where}: an axis has no length, or two are the same, so it cannot be inverted")


def plane_matrices(matrices: np.ndarray, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns matrices (T, 4, 4) from pixels to mm with their third axis, which no pixel uses, as a right-handed normal
    of 1 mm, and a note where it pointed the other way.

    Raises:
        InputError: one shears the image; `where` begins the message.
    """
    result, mirrored = matrices.copy(), 0
    for frame in np.flatnonzero(np.isfinite(matrices).all(axis=(1, 2))).tolist():
        matrix = matrices[frame]
        check_affine(matrix, where, plane=True)
        across, down = (matrix[:3, axis] / np.linalg.norm(matrix[:3, axis]) for axis in (0, 1))
        angle = abs(90 - float(np.rad2deg(np.arccos(np.clip(across @ down, -1, 1)))))
        if angle > 2 * _ANGLE_TOLERANCE_DEG:
            raise InputError(f"{where}: rows and columns of the image stand at {90 - angle:.1f} degrees, expected 90")
        normal = np.cross(across, down)
        mirrored += bool(normal @ matrix[:3, 2] < -1e-9)
        result[frame, :3, 2] = normal / np.linalg.norm(normal)
    if not mirrored:
        return result, ()
    return result, (f"{where}: left-handed (its third axis points the other way); the frames lie in the same place",)


def spacing_doubt(pixel_mm: tuple[float, float], sequence: ImageSequence) -> tuple[str, ...]:
    """Returns a note where a matrix from pixels gives them another size than the clip's, or the clip's is unknown."""
    size = f"{pixel_mm[0]:.4g} x {pixel_mm[1]:.4g} mm"
    if sequence.spacing_mm is None:
        return (f"the placement gives a pixel {size}; the clip does not say its size",)
    ratio = np.array(pixel_mm) / np.array(sequence.spacing_mm)
    if np.abs(ratio - 1).max() <= SPACING_TOLERANCE:
        return ()
    own = f"{sequence.spacing_mm[0]:.4g} x {sequence.spacing_mm[1]:.4g} mm"
    return (f"doubtful: the placement gives a pixel {size}, the clip says {own}; was the depth changed?",)


def overlap_doubt(placement: Placement, sequence: ImageSequence, volume: Volume) -> tuple[str, ...]:
    """Returns a note where no part, or only a small part, of the placed frames lies inside a volume."""
    width, height = sequence.frame_size
    y, x = np.mgrid[0 : height - 1 : 24j, 0 : width - 1 : 32j]
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    matrices = placement.pixel_to_ras[placement.placed]
    points = matrices[:, None, :3, :2] @ grid[None, :, :, None]
    ras = points[..., 0] + matrices[:, None, :3, 3]
    to_index = np.linalg.inv(MIRROR @ volume.index_to_lps_mm)
    index = ras @ to_index[:3, :3].T + to_index[:3, 3]
    inside = np.all((index >= -0.5) & (index <= np.array(volume.array.shape[::-1]) - 0.5), axis=-1)
    share = float(inside.mean())
    if share == 0:
        return (f"doubtful: no part of the placed clip lies inside {volume.name}; is the matrix the right way round?",)
    return (f"only {share:.0%} of the placed clip lies inside {volume.name}",) if share < 0.5 else ()


def _worst_angle(axes: np.ndarray) -> float:
    """Returns the largest deviation from 90 degrees between unit columns (3, 3)."""
    cosines = axes.T @ axes
    return float(np.abs(90 - np.rad2deg(np.arccos(np.clip(cosines[np.triu_indices(3, 1)], -1, 1)))).max())
