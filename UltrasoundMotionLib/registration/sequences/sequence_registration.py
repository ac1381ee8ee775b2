"""The result of registering a sequence: the field of each frame, and all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.fields.linear_maps import mapped


@dataclass(frozen=True)
class FrameMeasures:
    """Similarity of the fixed frame and the moving one inside the mask, intensities in [0, 1] (SSMSR, III-B).

    Attributes:
        mse_before, mse: mean squared difference, by position alone and with the field.
        nlcc_before, nlcc: mean squared local cross-correlation, window 21 voxels (radius ten).
        share_nonpositive: share of voxels in the mask where the field folds.
    """

    mse_before: float
    mse: float
    nlcc_before: float
    nlcc: float
    share_nonpositive: float


NO_MEASURES = FrameMeasures(*[float("nan")] * 5)


@dataclass(frozen=True, eq=False)
class FrameRegistration:
    """The field of one frame.

    The field is linear between the nodes of a control grid that covers the frame (borders of voxels included), and is
    kept there.

    Attributes:
        frame: its number.
        control: (n, *nodes) float32 in voxels of the frame, channels (x, y[, z]).
        grid: of the frame; a 2D clip is a grid of one slice in space.
        measures: similarity without and with the field.
    """

    frame: int
    control: np.ndarray
    grid: ImageGrid
    measures: FrameMeasures

    @property
    def dimension(self) -> int:
        """The number of axes of a frame, 2 or 3."""
        return int(self.control.shape[0])

    @property
    def displacement(self) -> np.ndarray:
        """The displacement u at every voxel, (H, W, 2) or (D, H, W, 3) float32 in voxels, components (x, y[, z])."""
        import torch
        from torch.nn import functional

        mode = "bilinear" if self.control.shape[0] == 2 else "trilinear"
        size = self.grid.shape[-self.control.shape[0] :]
        full = functional.interpolate(torch.from_numpy(self.control)[None], size=size, mode=mode, align_corners=False)
        return np.ascontiguousarray(np.moveaxis(full[0].numpy(), 0, -1))

    def at(self, points: np.ndarray) -> np.ndarray:
        """Returns u (N, n) in voxels at points (N, n) of the fixed frame in voxels (x, y[, z])."""
        from scipy.ndimage import map_coordinates

        nodes = self.control.shape[:0:-1]
        sizes = self.grid.shape[::-1][: self.control.shape[0]]
        points = np.asarray(points, dtype=np.float64)
        index = [
            (points[:, axis] + 0.5) * count / size - 0.5
            for axis, (count, size) in enumerate(zip(nodes, sizes, strict=True))
        ]
        return np.stack(
            [
                map_coordinates(channel, index[::-1], order=1, mode="nearest", output=np.float64)
                for channel in self.control
            ],
            axis=1,
        )

    def field(self, *, coarse: bool = False) -> DisplacementField:
        """Returns the field in LPS mm on the frame's grid.

        Args:
            coarse: on the control grid instead, which holds the same field and is much smaller.
        """
        voxels = np.moveaxis(self.control, 0, -1) if coarse else self.displacement
        if voxels.shape[-1] == 2:
            voxels = np.pad(voxels[None], [(0, 0)] * 3 + [(0, 1)])
        grid = _control_grid(self.grid, voxels.shape[:-1]) if coarse else self.grid
        return DisplacementField((voxels @ self.grid.index_to_lps_mm[:3, :3].T).astype(np.float32), grid)


@dataclass(frozen=True, eq=False)
class LinearFrameRegistration:
    """The rigid or affine motion of one frame.

    Attributes:
        frame: its number.
        matrix: (4, 4) LPS mm, from points of the reference to points of the frame.
        dimension: the number of axes of a frame, 2 or 3.
        grid: of the frame; a 2D clip is a grid of one slice in space.
        measures: similarity without and with the motion.
    """

    frame: int
    matrix: np.ndarray
    dimension: int
    grid: ImageGrid
    measures: FrameMeasures

    @property
    def displacement(self) -> np.ndarray:
        """The displacement u at every voxel, (H, W, 2) or (D, H, W, 3) float32 in voxels, components (x, y[, z])."""
        size = self.grid.shape[-self.dimension :]
        index = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")[::-1], axis=-1).astype(np.float64)
        return np.ascontiguousarray(self._moved(index) - index, dtype=np.float32)

    def at(self, points: np.ndarray) -> np.ndarray:
        """Returns u (N, n) in voxels at points (N, n) of the fixed frame in voxels (x, y[, z])."""
        points = np.asarray(points, dtype=np.float64)
        return self._moved(points) - points

    def field(self, *, coarse: bool = False) -> DisplacementField:
        """Returns the field in LPS mm on the frame's grid.

        Args:
            coarse: on the corners of the frame instead, which hold the same field within them.
        """
        grid = _corners(self.grid) if coarse else self.grid
        points = grid.points_lps_mm()
        return DisplacementField((mapped(self.matrix, points) - points).astype(np.float32), grid)

    def _moved(self, index: np.ndarray) -> np.ndarray:
        to_space = self.grid.index_to_lps_mm
        own = np.linalg.inv(to_space) @ self.matrix @ to_space
        n = self.dimension
        return index @ own[:n, :n].T + own[:n, 3]


AnyFrameRegistration = FrameRegistration | LinearFrameRegistration


@dataclass(frozen=True, eq=False)
class SequenceRegistration:
    """The fields of all frames of a sequence.

    Attributes:
        frames: in the order of the sequence; None for those that an interrupted call did not reach.
        reference_frame: the frame whose grid the fields live on (`mode` "to-reference").
        mode: "to-reference": frame_t(x + u_t(x)) = reference(x), so landmarks placed on the reference move forward with
            u. "frame-to-frame": frame_(t-1)(x + u_t(x)) = frame_t(x), the paper's tissue tracking; frame 0 has none and
            is at rest.
        seconds: wall time.
        device: the device that it ended on.
        notes: lines for the user, such as another device.
        interrupted: whether `progress` raised and what was finished was kept.
    """

    frames: tuple[AnyFrameRegistration | None, ...]
    reference_frame: int
    mode: str
    seconds: float
    device: str
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def reached(self) -> np.ndarray:
        """True for the frames that have a field, (T,) bool."""
        return np.array([frame is not None for frame in self.frames])

    @property
    def matrices(self) -> np.ndarray | None:
        """The matrices (T, 4, 4) in LPS mm of a rigid or affine motion, NaN in frames not reached; None for fields."""
        if not all(frame is None or isinstance(frame, LinearFrameRegistration) for frame in self.frames):
            return None
        lost = np.full((4, 4), np.nan)
        return np.stack([frame.matrix if isinstance(frame, LinearFrameRegistration) else lost for frame in self.frames])

    def trajectories(self, points: np.ndarray) -> np.ndarray:
        """The positions (T, N, n) in voxels of points (N, n) of the reference frame; NaN in frames not reached.

        Raises:
            InputError: fields from frame to frame, which do not start at one frame; points of another shape.
        """
        if self.mode != "to-reference":
            raise InputError(f"trajectories need the mode to-reference, these fields are {self.mode}")
        points = np.asarray(points, dtype=np.float64)
        dimension = next(frame for frame in self.frames if frame is not None).dimension
        if points.ndim != 2 or points.shape[1] != dimension:
            raise InputError(f"points: expected (N, {dimension}) voxels, got {points.shape}")
        lost = np.full(points.shape, np.nan)
        return np.stack([lost if frame is None else points + frame.at(points) for frame in self.frames])

    def mean_measures(self) -> FrameMeasures:
        """The mean over all frames that were registered (SSMSR, Table II), without the reference itself.

        Raises:
            InputError: no frame was.
        """
        still = self.reference_frame if self.mode == "to-reference" else 0
        rows = [frame.measures for number, frame in enumerate(self.frames) if frame is not None and number != still]
        if not rows:
            raise InputError("no frame was registered, so there is nothing to average")
        names = FrameMeasures.__dataclass_fields__
        return FrameMeasures(**{name: float(np.mean([getattr(row, name) for row in rows])) for name in names})


def _corners(grid: ImageGrid) -> ImageGrid:
    """A grid of two nodes along each axis longer than one voxel, at its first and its last voxel."""
    shape = tuple(min(size, 2) for size in grid.shape)
    spacing = tuple(step * max(size - 1, 1) for step, size in zip(grid.spacing_mm, grid.shape[::-1], strict=True))
    return ImageGrid(shape, spacing, grid.origin_mm, grid.direction)


def _control_grid(grid: ImageGrid, nodes: tuple[int, ...]) -> ImageGrid:
    """A grid of so many nodes over the region of another."""
    ratio = np.array(grid.shape[::-1]) / nodes[::-1]
    origin = np.array(grid.origin_mm) + grid.direction @ ((ratio - 1) / 2 * grid.spacing_mm)
    return ImageGrid(nodes, tuple(ratio * grid.spacing_mm), tuple(origin), grid.direction)
